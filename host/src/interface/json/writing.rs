//! Values to JSON and to the text that stands inside other text.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value as Json};

use super::{ERR, INFINITY, NAN, NEGATIVE_INFINITY, OK, SOME, is_nullable};
use crate::model::{Type, Value};

/// The JSON of a value of type `ty`, by the table in [`crate::interface`]: the same JSON for the same value,
/// fields and flags in the type's order. [`from_json`](super::from_json) reads it back.
///
/// What in `value` is not of its type, which is a defect of the caller, becomes `null`.
#[must_use]
pub fn to_json(value: &Value, ty: &Type) -> Json {
    let json = match (value, ty) {
        (Value::Bool(value), Type::Bool) => Some(Json::Bool(*value)),
        (Value::S8(value), Type::S8) => Some((*value).into()),
        (Value::U8(value), Type::U8) => Some((*value).into()),
        (Value::S16(value), Type::S16) => Some((*value).into()),
        (Value::U16(value), Type::U16) => Some((*value).into()),
        (Value::S32(value), Type::S32) => Some((*value).into()),
        (Value::U32(value), Type::U32) => Some((*value).into()),
        (Value::S64(value), Type::S64) => Some((*value).into()),
        (Value::U64(value), Type::U64) => Some((*value).into()),
        (Value::F32(value), Type::F32) => Some(float(decimal(*value))),
        (Value::F64(value), Type::F64) => Some(float(*value)),
        (Value::Char(value), Type::Char) => Some(value.to_string().into()),
        (Value::String(value), Type::String) => Some((**value).into()),
        (Value::Bytes(bytes), ty) if ty.is_bytes() => Some(STANDARD.encode(bytes).into()),
        (Value::List(values), Type::List(element)) => {
            Some(values.iter().map(|value| to_json(value, element)).collect())
        }
        (Value::Option(None), Type::Option(_)) => Some(Json::Null),
        (Value::Option(Some(value)), Type::Option(some)) => {
            let json = to_json(value, some);
            Some(if is_nullable(some) { single(SOME, json) } else { json })
        }
        (Value::Result(Ok(value)), Type::Result { ok, .. }) => Some(single(OK, payload(value, ok))),
        (Value::Result(Err(value)), Type::Result { err, .. }) => Some(single(ERR, payload(value, err))),
        (Value::Tuple(values), Type::Tuple(types)) if types.is_empty() && values.is_empty() => {
            Some(Json::Null)
        }
        (Value::Tuple(values), Type::Tuple(types)) => {
            Some(values.iter().zip(types.iter()).map(|(value, ty)| to_json(value, ty)).collect())
        }
        (Value::Record(values), Type::Record(record)) => {
            let fields = values.iter().zip(&record.members);
            let fields = fields.map(|(value, field)| (field.name.to_string(), to_json(value, &field.ty)));
            Some(Json::Object(fields.collect()))
        }
        (Value::Variant(index, value), Type::Variant(variant)) => {
            variant.members.get(*index as usize).map(|case| match (value, &case.ty) {
                (Some(value), Some(ty)) => single(&case.name, to_json(value, ty)),
                _ => (*case.name).into(),
            })
        }
        (Value::Enum(index), Type::Enum(names)) => {
            names.members.get(*index as usize).map(|name| (**name).into())
        }
        (Value::Flags(words), Type::Flags(names)) => Some(flags(words, &names.members)),
        _ => None,
    };
    debug_assert!(json.is_some(), "{value:?} is no {ty}");
    json.unwrap_or_default()
}

/// The text of a string, number, char or bool: as JSON writes it, without quotes. None for values of
/// every other type.
#[must_use]
pub fn to_text(value: &Value, ty: &Type) -> Option<String> {
    if !ty.is_scalar() {
        return None;
    }
    Some(match to_json(value, ty) {
        Json::String(text) => text,
        json => json.to_string(),
    })
}

fn payload(value: &Option<Arc<Value>>, ty: &Option<Arc<Type>>) -> Json {
    match (value, ty) {
        (Some(value), Some(ty)) => to_json(value, ty),
        _ => Json::Null,
    }
}

fn single(key: &str, json: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), json)]))
}

fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None => special(value).into(),
    }
}

/// The text for what JSON has no number for.
pub(super) fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some(NAN)
    } else if value.is_finite() {
        None
    } else if value > 0.0 {
        Some(INFINITY)
    } else {
        Some(NEGATIVE_INFINITY)
    }
}

/// The number that people would write for it, 0.1 for the `f32` nearest to 0.1, where that reads back
/// as the same `f32`; else its exact value.
pub(super) fn decimal(value: f32) -> f64 {
    let exact = f64::from(value);
    if !value.is_finite() {
        return exact;
    }
    let shortest: f64 = value.to_string().parse().unwrap_or(exact);
    let read = shortest as f32;
    if read.to_bits() == value.to_bits() { shortest } else { exact }
}

fn flags(words: &[u32], names: &[Arc<str>]) -> Json {
    set_flags(words, names).collect()
}

/// The names of the flags that are set.
pub(super) fn set_flags<'a>(words: &'a [u32], names: &'a [Arc<str>]) -> impl Iterator<Item = &'a str> {
    let set = |index: usize| words.get(index / 32).is_some_and(|word| word >> (index % 32) & 1 == 1);
    names.iter().enumerate().filter(move |(index, _)| set(*index)).map(|(_, name)| &**name)
}
