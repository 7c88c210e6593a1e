//! The WIT value types, as data. Resources, streams and futures are no value types and have no
//! place here.

use std::fmt;
use std::sync::Arc;

/// A WIT value type. Equality is structural, as in the component model: the name of a record,
/// variant, enum or flags type is kept for messages and does not take part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Arc<Type>),
    /// `option<T>`
    Option(Arc<Type>),
    /// `result<T, E>`, either side of which may be absent.
    Result {
        /// The type of `ok`'s payload.
        ok: Option<Arc<Type>>,
        /// The type of `err`'s payload.
        err: Option<Arc<Type>>,
    },
    /// `tuple<…>`. The empty tuple, which WIT itself cannot write, is the type of a function
    /// without a result.
    Tuple(Arc<[Type]>),
    /// `record { … }`
    Record(Arc<Named<Field>>),
    /// `variant { … }`
    Variant(Arc<Named<Case>>),
    /// `enum { … }`, its members the names of the cases.
    Enum(Arc<Named<Arc<str>>>),
    /// `flags { … }`, its members the names of the flags.
    Flags(Arc<Named<Arc<str>>>),
}

/// A type with members, and the name that its author gave it.
#[derive(Clone, Debug)]
pub struct Named<M> {
    /// The name in WIT; none for a type that flowhost makes, as for a group's record of results.
    pub name: Option<Arc<str>>,
    /// Fields, cases or flags in order.
    pub members: Vec<M>,
}

impl<M: PartialEq> PartialEq for Named<M> {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl<M: Eq> Eq for Named<M> {}

/// A record's field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// The field's kebab-case name.
    pub name: Arc<str>,
    /// The field's type.
    pub ty: Type,
}

/// A variant's case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The case's kebab-case name.
    pub name: Arc<str>,
    /// The type of its payload, if it has one.
    pub ty: Option<Type>,
}

impl Type {
    /// The type of a function without a result: the empty tuple.
    #[must_use]
    pub fn unit() -> Self {
        Self::Tuple(Arc::new([]))
    }

    /// `list<element>`
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// `option<some>`
    #[must_use]
    pub fn option(some: Self) -> Self {
        Self::Option(Arc::new(some))
    }

    /// `list<u8>`
    #[must_use]
    pub fn bytes() -> Self {
        Self::list(Self::U8)
    }

    /// A nameless record.
    #[must_use]
    pub fn record(fields: impl IntoIterator<Item = (Arc<str>, Self)>) -> Self {
        let members = fields.into_iter().map(|(name, ty)| Field { name, ty }).collect();
        Self::Record(Arc::new(Named { name: None, members }))
    }

    /// Whether this is `list<u8>`, which travels as plain bytes.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::List(element) if **element == Self::U8)
    }

    /// Whether a value of this type can stand inside text: a string, number, char or bool.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Bool
            | Self::S8
            | Self::U8
            | Self::S16
            | Self::U16
            | Self::S32
            | Self::U32
            | Self::S64
            | Self::U64
            | Self::F32
            | Self::F64
            | Self::Char
            | Self::String => true,
            Self::List(_)
            | Self::Option(_)
            | Self::Result { .. }
            | Self::Tuple(_)
            | Self::Record(_)
            | Self::Variant(_)
            | Self::Enum(_)
            | Self::Flags(_) => false,
        }
    }

    /// As WIT writes it, spelled out to the first members even where it has a name.
    #[must_use]
    pub fn definition(&self) -> String {
        fn nameless<M: Clone>(named: &Named<M>) -> Arc<Named<M>> {
            Arc::new(Named { name: None, members: named.members.clone() })
        }
        match self {
            Self::Record(named) => Self::Record(nameless(named)).to_string(),
            Self::Variant(named) => Self::Variant(nameless(named)).to_string(),
            Self::Enum(named) => Self::Enum(nameless(named)).to_string(),
            Self::Flags(named) => Self::Flags(nameless(named)).to_string(),
            other => other.to_string(),
        }
    }

    /// What a task whose export returns `self` has as its value: `T` of `result<T, E>`, else
    /// `self`.
    #[must_use]
    pub fn task_value(&self) -> Self {
        match self {
            Self::Result { ok, .. } => ok.as_deref().cloned().unwrap_or_else(Self::unit),
            _ => self.clone(),
        }
    }

    /// Whether this is `failure` of `flowhost:task/types`.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let Self::Variant(variant) = self else { return false };
        let names = variant.members.iter().map(|case| (&*case.name, case.ty.as_ref()));
        variant.name.as_deref() == Some("failure")
            && names.eq([("retryable", Some(&Self::String)), ("permanent", Some(&Self::String))])
    }
}

/// As WIT writes it, with the name of a type that has one.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let primitive = match self {
            Self::Bool => "bool",
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "string",
            Self::List(element) => return write!(f, "list<{element}>"),
            Self::Option(some) => return write!(f, "option<{some}>"),
            Self::Result { ok, err } => {
                return match (ok, err) {
                    (None, None) => f.write_str("result"),
                    (Some(ok), None) => write!(f, "result<{ok}>"),
                    (None, Some(err)) => write!(f, "result<_, {err}>"),
                    (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
                };
            }
            Self::Tuple(types) if types.is_empty() => return f.write_str("nothing"),
            Self::Tuple(types) => {
                f.write_str("tuple<")?;
                separated(f, types.iter(), |f, ty| write!(f, "{ty}"))?;
                return f.write_str(">");
            }
            Self::Record(named) => {
                return braced(f, "record", named, |f, field| write!(f, "{}: {}", field.name, field.ty));
            }
            Self::Variant(named) => {
                return braced(f, "variant", named, |f, case| match &case.ty {
                    Some(ty) => write!(f, "{}({ty})", case.name),
                    None => f.write_str(&case.name),
                });
            }
            Self::Enum(named) => return braced(f, "enum", named, |f, name| f.write_str(name)),
            Self::Flags(named) => return braced(f, "flags", named, |f, name| f.write_str(name)),
        };
        f.write_str(primitive)
    }
}

type Write<T> = fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result;

fn braced<M>(f: &mut fmt::Formatter<'_>, keyword: &str, named: &Named<M>, write: Write<M>) -> fmt::Result {
    if let Some(name) = &named.name {
        return f.write_str(name);
    }
    write!(f, "{keyword} {{ ")?;
    separated(f, named.members.iter(), write)?;
    f.write_str(" }")
}

fn separated<'a, T: 'a>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = &'a T>,
    write: Write<T>,
) -> fmt::Result {
    for (at, item) in items.enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
