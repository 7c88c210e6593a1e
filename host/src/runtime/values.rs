//! Between our values and wasmtime's dynamic ones, directed by type. The slow way, for what the
//! typed shapes do not cover. Knows nothing of calls.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{Val, types};

use crate::model::{Type, Value};

/// `value` as wasmtime's; none where it is not of type `ty`.
pub(super) fn lower(value: &Value, ty: &Type) -> Option<Val> {
    Some(match (value, ty) {
        (Value::Bool(value), Type::Bool) => Val::Bool(*value),
        (Value::S8(value), Type::S8) => Val::S8(*value),
        (Value::U8(value), Type::U8) => Val::U8(*value),
        (Value::S16(value), Type::S16) => Val::S16(*value),
        (Value::U16(value), Type::U16) => Val::U16(*value),
        (Value::S32(value), Type::S32) => Val::S32(*value),
        (Value::U32(value), Type::U32) => Val::U32(*value),
        (Value::S64(value), Type::S64) => Val::S64(*value),
        (Value::U64(value), Type::U64) => Val::U64(*value),
        (Value::F32(value), Type::F32) => Val::Float32(*value),
        (Value::F64(value), Type::F64) => Val::Float64(*value),
        (Value::Char(value), Type::Char) => Val::Char(*value),
        (Value::String(text), Type::String) => Val::String(text.to_string()),
        (Value::Bytes(bytes), ty) if ty.is_bytes() => Val::List(bytes.iter().copied().map(Val::U8).collect()),
        (Value::List(values), Type::List(element)) if !ty.is_bytes() => {
            Val::List(values.iter().map(|value| lower(value, element)).collect::<Option<_>>()?)
        }
        (Value::Option(value), Type::Option(some)) => Val::Option(match value {
            None => None,
            Some(value) => Some(Box::new(lower(value, some)?)),
        }),
        (Value::Result(result), Type::Result { ok, err }) => Val::Result(match result {
            Ok(value) => Ok(lower_payload(value.as_deref(), ok.as_deref())?),
            Err(value) => Err(lower_payload(value.as_deref(), err.as_deref())?),
        }),
        (Value::Tuple(values), Type::Tuple(types)) if values.len() == types.len() => {
            let each = values.iter().zip(types.iter());
            Val::Tuple(each.map(|(value, ty)| lower(value, ty)).collect::<Option<_>>()?)
        }
        (Value::Record(values), Type::Record(record)) if values.len() == record.members.len() => {
            let each = values.iter().zip(&record.members);
            let field = |(value, field): (&Value, &crate::model::Field)| {
                Some((field.name.to_string(), lower(value, &field.ty)?))
            };
            Val::Record(each.map(field).collect::<Option<_>>()?)
        }
        (Value::Variant(case, value), Type::Variant(variant)) => {
            let case = variant.members.get(usize::try_from(*case).ok()?)?;
            Val::Variant(case.name.to_string(), lower_payload(value.as_deref(), case.ty.as_ref())?)
        }
        (Value::Enum(case), Type::Enum(names)) => {
            Val::Enum(names.members.get(usize::try_from(*case).ok()?)?.to_string())
        }
        (Value::Flags(words), Type::Flags(names)) => {
            let set = |at: &usize| words.get(at / 32).is_some_and(|word| word >> (at % 32) & 1 == 1);
            let named = names.members.iter().enumerate().filter(|(at, _)| set(at));
            Val::Flags(named.map(|(_, name)| name.to_string()).collect())
        }
        _ => return None,
    })
}

#[expect(clippy::option_option, reason = "no payload is not the same as a payload that does not fit")]
fn lower_payload(value: Option<&Value>, ty: Option<&Type>) -> Option<Option<Box<Val>>> {
    match (value, ty) {
        (None, None) => Some(None),
        (Some(value), Some(ty)) => Some(Some(Box::new(lower(value, ty)?))),
        (None, Some(_)) | (Some(_), None) => None,
    }
}

/// `val` as ours; none where it is not of type `ty`.
pub(super) fn lift(val: Val, ty: &Type) -> Option<Value> {
    Some(match (val, ty) {
        (Val::Bool(value), Type::Bool) => Value::Bool(value),
        (Val::S8(value), Type::S8) => Value::S8(value),
        (Val::U8(value), Type::U8) => Value::U8(value),
        (Val::S16(value), Type::S16) => Value::S16(value),
        (Val::U16(value), Type::U16) => Value::U16(value),
        (Val::S32(value), Type::S32) => Value::S32(value),
        (Val::U32(value), Type::U32) => Value::U32(value),
        (Val::S64(value), Type::S64) => Value::S64(value),
        (Val::U64(value), Type::U64) => Value::U64(value),
        (Val::Float32(value), Type::F32) => Value::F32(value),
        (Val::Float64(value), Type::F64) => Value::F64(value),
        (Val::Char(value), Type::Char) => Value::Char(value),
        (Val::String(text), Type::String) => Value::String(Arc::from(text)),
        (Val::List(vals), ty) if ty.is_bytes() => {
            let byte = |val| match val {
                Val::U8(byte) => Some(byte),
                _ => None,
            };
            Value::Bytes(Bytes::from(vals.into_iter().map(byte).collect::<Option<Vec<u8>>>()?))
        }
        (Val::List(vals), Type::List(element)) => {
            Value::List(vals.into_iter().map(|val| lift(val, element)).collect::<Option<_>>()?)
        }
        (Val::Option(val), Type::Option(some)) => Value::Option(match val {
            None => None,
            Some(val) => Some(Arc::new(lift(*val, some)?)),
        }),
        (Val::Result(result), Type::Result { ok, err }) => Value::Result(match result {
            Ok(val) => Ok(lift_payload(val, ok.as_deref())?),
            Err(val) => Err(lift_payload(val, err.as_deref())?),
        }),
        (Val::Tuple(vals), Type::Tuple(types)) if vals.len() == types.len() => {
            let each = vals.into_iter().zip(types.iter());
            Value::Tuple(each.map(|(val, ty)| lift(val, ty)).collect::<Option<_>>()?)
        }
        (Val::Record(fields), Type::Record(record)) if fields.len() == record.members.len() => {
            let each = fields.into_iter().zip(&record.members);
            let field = |((name, val), field): ((String, Val), &crate::model::Field)| {
                (*name == *field.name).then(|| lift(val, &field.ty)).flatten()
            };
            Value::Record(each.map(field).collect::<Option<_>>()?)
        }
        (Val::Variant(name, val), Type::Variant(variant)) => {
            let at = variant.members.iter().position(|case| *case.name == *name)?;
            let ty = variant.members.get(at)?.ty.as_ref();
            Value::Variant(u32::try_from(at).ok()?, lift_payload(val, ty)?)
        }
        (Val::Enum(name), Type::Enum(names)) => {
            let at = names.members.iter().position(|member| **member == *name)?;
            Value::Enum(u32::try_from(at).ok()?)
        }
        (Val::Flags(set), Type::Flags(names)) => {
            let mut words = vec![0u32; names.members.len().div_ceil(32)];
            for name in set {
                let at = names.members.iter().position(|member| **member == *name)?;
                *words.get_mut(at / 32)? |= 1 << (at % 32);
            }
            Value::Flags(Arc::from(words))
        }
        _ => return None,
    })
}

#[expect(clippy::option_option, reason = "no payload is not the same as a payload that does not fit")]
fn lift_payload(val: Option<Box<Val>>, ty: Option<&Type>) -> Option<Option<Arc<Value>>> {
    match (val, ty) {
        (None, None) => Some(None),
        (Some(val), Some(ty)) => Some(Some(Arc::new(lift(*val, ty)?))),
        (None, Some(_)) | (Some(_), None) => None,
    }
}

/// Whether `ours` is the type that the compiled component has.
pub(super) fn same(ours: &Type, theirs: &types::Type) -> bool {
    match (ours, theirs) {
        (Type::Bool, types::Type::Bool)
        | (Type::S8, types::Type::S8)
        | (Type::U8, types::Type::U8)
        | (Type::S16, types::Type::S16)
        | (Type::U16, types::Type::U16)
        | (Type::S32, types::Type::S32)
        | (Type::U32, types::Type::U32)
        | (Type::S64, types::Type::S64)
        | (Type::U64, types::Type::U64)
        | (Type::F32, types::Type::Float32)
        | (Type::F64, types::Type::Float64)
        | (Type::Char, types::Type::Char)
        | (Type::String, types::Type::String) => true,
        (Type::List(ours), types::Type::List(theirs)) => same(ours, &theirs.ty()),
        (Type::Option(ours), types::Type::Option(theirs)) => same(ours, &theirs.ty()),
        (Type::Result { ok, err }, types::Type::Result(theirs)) => {
            same_payload(ok.as_deref(), theirs.ok().as_ref())
                && same_payload(err.as_deref(), theirs.err().as_ref())
        }
        (Type::Tuple(ours), types::Type::Tuple(theirs)) => {
            let theirs = theirs.types();
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, &theirs))
        }
        (Type::Record(ours), types::Type::Record(theirs)) => {
            let theirs = theirs.fields();
            ours.members.len() == theirs.len()
                && ours
                    .members
                    .iter()
                    .zip(theirs)
                    .all(|(ours, theirs)| *ours.name == *theirs.name && same(&ours.ty, &theirs.ty))
        }
        (Type::Variant(ours), types::Type::Variant(theirs)) => {
            let theirs = theirs.cases();
            ours.members.len() == theirs.len()
                && ours.members.iter().zip(theirs).all(|(ours, theirs)| {
                    *ours.name == *theirs.name && same_payload(ours.ty.as_ref(), theirs.ty.as_ref())
                })
        }
        (Type::Enum(ours), types::Type::Enum(theirs)) => {
            ours.members.iter().map(|name| &**name).eq(theirs.names())
        }
        (Type::Flags(ours), types::Type::Flags(theirs)) => {
            ours.members.iter().map(|name| &**name).eq(theirs.names())
        }
        _ => false,
    }
}

fn same_payload(ours: Option<&Type>, theirs: Option<&types::Type>) -> bool {
    match (ours, theirs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => same(ours, theirs),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Case, Field, Named};

    fn names(names: &[&str]) -> Arc<Named<Arc<str>>> {
        Arc::new(Named { name: None, members: names.iter().map(|name| Arc::from(*name)).collect() })
    }

    #[test]
    fn every_type_comes_back_as_it_went() {
        let field = |name: &str, ty| Field { name: Arc::from(name), ty };
        let record = Type::Record(Arc::new(Named {
            name: None,
            members: vec![field("a", Type::bytes()), field("b", Type::option(Type::String))],
        }));
        let variant = Type::Variant(Arc::new(Named {
            name: None,
            members: vec![
                Case { name: "none".into(), ty: None },
                Case { name: "some".into(), ty: Some(record.clone()) },
            ],
        }));
        let many: Vec<String> = (0..40).map(|at| format!("f{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let inner = Value::Record(Arc::new([
            Value::Bytes(Bytes::from_static(b"xyz")),
            Value::Option(Some(Arc::new(Value::string("é")))),
        ]));
        let result = Type::Result { ok: Some(Arc::new(Type::Char)), err: None };
        for (value, ty) in [
            (Value::Bool(true), Type::Bool),
            (Value::S8(-1), Type::S8),
            (Value::U64(u64::MAX), Type::U64),
            (Value::F32(f32::INFINITY), Type::F32),
            (inner.clone(), record),
            (Value::Variant(1, Some(Arc::new(inner))), variant.clone()),
            (Value::Variant(0, None), variant),
            (Value::List(Arc::new([Value::U16(1), Value::U16(2)])), Type::list(Type::U16)),
            (Value::Tuple(Arc::new([])), Type::unit()),
            (Value::Enum(1), Type::Enum(names(&["a", "b"]))),
            (Value::Flags(Arc::new([1 << 31 | 1, 1 << 7])), Type::Flags(names(&many))),
            (Value::Result(Ok(Some(Arc::new(Value::Char('x'))))), result.clone()),
            (Value::Result(Err(None)), result),
        ] {
            let val = lower(&value, &ty).unwrap_or_else(|| panic!("{value:?} is refused as {ty}"));
            assert_eq!(lift(val, &ty), Some(value));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let letters = Type::Enum(names(&["a", "b"]));
        for (value, ty) in [
            (Value::U8(1), Type::U16),
            (Value::List(Arc::new([Value::U8(1)])), Type::bytes()),
            (Value::Enum(2), letters),
            (Value::Tuple(Arc::new([])), Type::Tuple(Arc::new([Type::Bool]))),
            (Value::Result(Ok(None)), Type::Result { ok: Some(Arc::new(Type::Bool)), err: None }),
        ] {
            assert!(lower(&value, &ty).is_none(), "{value:?} passes as {ty}");
        }
    }
}
