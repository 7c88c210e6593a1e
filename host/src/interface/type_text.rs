//! Types as a workflow writes them: WIT's primitives and built-in constructors, and the named types
//! of components. Knows nothing of what an alias stands for.

use std::sync::Arc;

use super::lift::{MAX_TYPE_DEPTH, MAX_TYPE_NODES};
use super::suggest;
use super::suggest::{hint, shorten};
use crate::model::Type;

/// A type's text may have so many bytes, at most.
pub const MAX_TYPE_TEXT: usize = 4096;

/// Why a text is no type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TypeTextError {
    /// Nothing where a type should be.
    #[error("a type is missing {0}; write one such as `u32` or `list<string>`")]
    Missing(String),
    /// A word that is no type.
    #[error("`{}` is no type{}", shorten(.word), .suggestion.as_deref().map_or_else(|| ALIAS.to_owned(), |name| hint(Some(name))))]
    Unknown {
        /// The word.
        word: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A named type that no component has.
    #[error("`{}` is not a type that a component names; write `alias#name`, as `flowhost inspect` shows it", shorten(.0))]
    UnknownNamed(String),
    /// What no value can have.
    #[error("`{0}` is no type of values; workflows hold only values")]
    NotAValue(String),
    /// Something else than what belongs there.
    #[error("expected {expected} in a type, found {found}")]
    Unexpected {
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Arguments too few, too many, or where there should be none.
    #[error("`{constructor}` takes {takes}, as in `{example}`")]
    Arguments {
        /// The constructor.
        constructor: &'static str,
        /// What it takes.
        takes: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// Longer than [`MAX_TYPE_TEXT`].
    #[error("a type of {0} bytes is too long; at most {MAX_TYPE_TEXT} are read")]
    TooLong(usize),
    /// Nested deeper than [`MAX_TYPE_DEPTH`].
    #[error("a type may nest {MAX_TYPE_DEPTH} levels deep, and this one goes deeper")]
    TooDeep,
    /// More parts than [`MAX_TYPE_NODES`].
    #[error("a type may have {MAX_TYPE_NODES} parts, and this one has more")]
    TooLarge,
}

const ALIAS: &str = "; a component's named type is written `alias#name`";
const CONSTRUCTORS: [&str; 4] = ["list", "option", "result", "tuple"];
const PRIMITIVES: [(&str, Type); 13] = [
    ("bool", Type::Bool),
    ("s8", Type::S8),
    ("u8", Type::U8),
    ("s16", Type::S16),
    ("u16", Type::U16),
    ("s32", Type::S32),
    ("u32", Type::U32),
    ("s64", Type::S64),
    ("u64", Type::U64),
    ("f32", Type::F32),
    ("f64", Type::F64),
    ("char", Type::Char),
    ("string", Type::String),
];
const NOT_VALUES: [&str; 5] = ["own", "borrow", "stream", "future", "error-context"];

/// Reads a type as WIT writes it: a primitive, `list<…>`, `option<…>`, `result<…>`, `tuple<…>`, or a
/// component's type `alias#name`, which `named` looks up as a whole.
///
/// # Errors
/// Fails when the text is no type, names an unknown one, or goes past [`MAX_TYPE_TEXT`],
/// [`MAX_TYPE_DEPTH`] or [`MAX_TYPE_NODES`].
pub fn parse_type(text: &str, named: &dyn Fn(&str) -> Option<Type>) -> Result<Type, TypeTextError> {
    if text.len() > MAX_TYPE_TEXT {
        return Err(TypeTextError::TooLong(text.len()));
    }
    let mut parser = Parser { rest: text, named, budget: MAX_TYPE_NODES };
    let ty = parser.ty(MAX_TYPE_DEPTH, || "here".to_owned())?;
    match parser.peek() {
        None => Ok(ty),
        Some(_) => Err(parser.unexpected("the end")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    named: &'a dyn Fn(&str) -> Option<Type>,
    /// How many more parts the type may have.
    budget: u32,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.peek();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> String {
        self.peek();
        let end = self.rest.find(|c: char| "<>,".contains(c) || c.is_whitespace()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word.to_owned()
    }

    fn unexpected(&mut self, expected: &'static str) -> TypeTextError {
        let found = match self.peek() {
            Some(_) => format!("`{}`", shorten(self.rest)),
            None => "the end".to_owned(),
        };
        TypeTextError::Unexpected { expected, found }
    }

    fn ty(&mut self, depth: u32, place: impl Fn() -> String) -> Result<Type, TypeTextError> {
        let depth = depth.checked_sub(1).ok_or(TypeTextError::TooDeep)?;
        self.spend(1)?;
        let word = self.word();
        if word.is_empty() {
            return Err(TypeTextError::Missing(place()));
        }
        if word.contains('#') {
            let ty = (self.named)(&word).ok_or(TypeTextError::UnknownNamed(word))?;
            self.measure(&ty, depth)?;
            return Ok(ty);
        }
        match word.as_str() {
            "list" => self.one(depth, "list", "list<u32>").map(Type::list),
            "option" => self.one(depth, "option", "option<u32>").map(Type::option),
            "tuple" => {
                let types: Vec<_> = self.arguments(depth, "tuple")?.into_iter().flatten().collect();
                if types.is_empty() {
                    return Err(arguments("tuple", "one type or more", "tuple<string, u32>"));
                }
                Ok(Type::Tuple(types.into()))
            }
            "result" => {
                let mut sides = self.arguments(depth, "result")?.into_iter();
                let (ok, err) = (sides.next(), sides.next());
                if sides.next().is_some() {
                    return Err(arguments("result", "at most two types", "result<u32, string>"));
                }
                let side = |argument: Option<Option<Type>>| argument.flatten().map(Arc::new);
                Ok(Type::Result { ok: side(ok), err: side(err) })
            }
            other => self.primitive(other),
        }
    }

    fn primitive(&mut self, word: &str) -> Result<Type, TypeTextError> {
        if let Some((_, ty)) = PRIMITIVES.iter().find(|(name, _)| *name == word) {
            if self.peek() == Some('<') {
                return Err(self.unexpected("no `<` after a primitive type"));
            }
            return Ok(ty.clone());
        }
        if NOT_VALUES.contains(&word) {
            return Err(TypeTextError::NotAValue(word.to_owned()));
        }
        let known = PRIMITIVES.iter().map(|(name, _)| *name).chain(CONSTRUCTORS);
        let suggestion = suggest::suggest(word, known).map(str::to_owned);
        Err(TypeTextError::Unknown { word: word.to_owned(), suggestion })
    }

    fn one(&mut self, depth: u32, name: &'static str, example: &'static str) -> Result<Type, TypeTextError> {
        let mut all = self.arguments(depth, name)?.into_iter();
        match (all.next(), all.next()) {
            (Some(Some(ty)), None) => Ok(ty),
            _ => Err(arguments(name, "one type", example)),
        }
    }

    /// What stands between `<` and `>`, none for the `_` of `result<_, E>`; nothing where there is no
    /// `<`. A comma may follow the last.
    fn arguments(&mut self, depth: u32, constructor: &str) -> Result<Vec<Option<Type>>, TypeTextError> {
        let mut all = Vec::new();
        if !self.take('<') {
            return Ok(all);
        }
        loop {
            if !all.is_empty() && self.take('>') {
                return Ok(all);
            }
            let may_be_blank = constructor == "result" && all.is_empty();
            all.push(if may_be_blank && self.take('_') {
                None
            } else {
                Some(self.ty(depth, || format!("in `{constructor}<…>`"))?)
            });
            if self.take('>') {
                return Ok(all);
            }
            if !self.take(',') {
                return Err(self.unexpected("`,` or `>`"));
            }
        }
    }

    fn spend(&mut self, parts: usize) -> Result<(), TypeTextError> {
        let left = u32::try_from(parts).ok().and_then(|parts| self.budget.checked_sub(parts));
        self.budget = left.ok_or(TypeTextError::TooLarge)?;
        Ok(())
    }

    /// Counts a component's type, written out in full, like one that was written here.
    fn measure(&mut self, ty: &Type, depth: u32) -> Result<(), TypeTextError> {
        let mut parts: Vec<&Type> = Vec::new();
        match ty {
            Type::List(inner) | Type::Option(inner) => parts.push(inner),
            Type::Result { ok, err } => parts.extend([ok, err].into_iter().flatten().map(|ty| &**ty)),
            Type::Tuple(types) => parts.extend(types.iter()),
            Type::Record(record) => parts.extend(record.members.iter().map(|field| &field.ty)),
            Type::Variant(variant) => {
                self.spend(variant.members.len())?;
                parts.extend(variant.members.iter().filter_map(|case| case.ty.as_ref()));
            }
            Type::Enum(names) | Type::Flags(names) => self.spend(names.members.len())?,
            Type::Bool
            | Type::S8
            | Type::U8
            | Type::S16
            | Type::U16
            | Type::S32
            | Type::U32
            | Type::S64
            | Type::U64
            | Type::F32
            | Type::F64
            | Type::Char
            | Type::String => {}
        }
        self.spend(parts.len())?;
        if parts.is_empty() {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(TypeTextError::TooDeep)?;
        parts.into_iter().try_for_each(|part| self.measure(part, depth))
    }
}

fn arguments(constructor: &'static str, takes: &'static str, example: &'static str) -> TypeTextError {
    TypeTextError::Arguments { constructor, takes, example }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Type, TypeTextError> {
        parse_type(text, &|name| (name == "text#ns:pkg/stats@0.1.0.counts").then_some(Type::U16))
    }

    #[test]
    fn reads_what_wit_writes() {
        for text in [
            "bool",
            "u64",
            "char",
            "string",
            "list<u8>",
            "option<option<f32>>",
            "result",
            "result<u32>",
            "result<_, string>",
            "result<list<u8>, string>",
            "tuple<string, u32, tuple<s8>>",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse(" list < tuple< u8 ,\n s64 , > >\t").unwrap().to_string(), "list<tuple<u8, s64>>");
        assert_eq!(parse("list<text#ns:pkg/stats@0.1.0.counts>").unwrap(), Type::list(Type::U16));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("", "a type is missing here; write one such as `u32` or `list<string>`"),
            ("list<>", "a type is missing in `list<…>`; write one such as `u32` or `list<string>`"),
            ("strin", "`strin` is no type; did you mean `string`?"),
            ("counts", "`counts` is no type; a component's named type is written `alias#name`"),
            (
                "a#b",
                "`a#b` is not a type that a component names; write `alias#name`, as `flowhost inspect` shows it",
            ),
            ("stream<u8>", "`stream` is no type of values; workflows hold only values"),
            ("list", "`list` takes one type, as in `list<u32>`"),
            ("list<u8, u8>", "`list` takes one type, as in `list<u32>`"),
            ("tuple", "`tuple` takes one type or more, as in `tuple<string, u32>`"),
            ("result<u8, u8, u8>", "`result` takes at most two types, as in `result<u32, string>`"),
            ("list<u8", "expected `,` or `>` in a type, found the end"),
            ("list<u8>>", "expected the end in a type, found `>`"),
            ("u8<u8>", "expected no `<` after a primitive type in a type, found `<u8>`"),
            ("u8 u8", "expected the end in a type, found `u8`"),
            ("tuple<_>", "`_` is no type; a component's named type is written `alias#name`"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn bounds_hold() {
        let nested = |depth: usize| format!("{}u8{}", "list<".repeat(depth), ">".repeat(depth));
        assert!(parse(&nested(63)).is_ok());
        assert_eq!(parse(&nested(64)), Err(TypeTextError::TooDeep));
        assert_eq!(parse(&"list<".repeat(800)), Err(TypeTextError::TooDeep));
        assert_eq!(parse(&"<".repeat(5000)), Err(TypeTextError::TooLong(5000)));
        // 400 named types of 100 parts each.
        let large = Type::Tuple(vec![Type::U8; 100].into());
        let text = format!("tuple<{}>", "a#b,".repeat(400));
        assert_eq!(parse_type(&text, &|_| Some(large.clone())), Err(TypeTextError::TooLarge));
        // A type that doubles at each of 60 levels has 2^60 parts and is refused at once.
        let doubling = (0..60).fold(Type::U8, |ty, _| Type::Tuple([ty.clone(), ty].into()));
        assert_eq!(parse_type("a#b", &|_| Some(doubling.clone())), Err(TypeTextError::TooLarge));
    }
}
