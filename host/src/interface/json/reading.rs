//! JSON to values. Recursion follows the type, which is finite; the JSON's own nesting has no say.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Number, Value as Json};

use super::error::{Segment, describe, type_text};
use super::{ERR, INFINITY, JsonError, JsonProblem, NAN, NEGATIVE_INFINITY, OK, SOME, is_nullable};
use crate::interface::suggest::suggest;
use crate::model::{Case, Field, Named, Type, Value};

/// The value of type `ty` that `json` writes, by the table in [`crate::interface`].
///
/// # Errors
/// Fails when `json` writes no value of the type: with the place, what was expected and what was
/// found.
pub fn from_json(json: &Json, ty: &Type) -> Result<Value, JsonError> {
    match ty {
        Type::Bool => match json {
            Json::Bool(value) => Ok(Value::Bool(*value)),
            _ => Err(JsonError::mismatch(ty, json)),
        },
        Type::S8 => integer(json, ty, i8::MIN, i8::MAX).map(Value::S8),
        Type::U8 => integer(json, ty, u8::MIN, u8::MAX).map(Value::U8),
        Type::S16 => integer(json, ty, i16::MIN, i16::MAX).map(Value::S16),
        Type::U16 => integer(json, ty, u16::MIN, u16::MAX).map(Value::U16),
        Type::S32 => integer(json, ty, i32::MIN, i32::MAX).map(Value::S32),
        Type::U32 => integer(json, ty, u32::MIN, u32::MAX).map(Value::U32),
        Type::S64 => integer(json, ty, i64::MIN, i64::MAX).map(Value::S64),
        Type::U64 => match json {
            Json::String(text) => digits(text).ok_or_else(|| JsonError::mismatch(ty, json)).map(Value::U64),
            _ => integer(json, ty, u64::MIN, u64::MAX).map(Value::U64),
        },
        Type::F32 => float32(json, ty).map(Value::F32),
        Type::F64 => float64(json, ty).map(Value::F64),
        Type::Char => {
            let mut characters = text(json, ty)?.chars();
            match (characters.next(), characters.next()) {
                (Some(character), None) => Ok(Value::Char(character)),
                _ => Err(JsonError::mismatch(ty, json)),
            }
        }
        Type::String => Ok(Value::String(Arc::from(text(json, ty)?))),
        Type::List(_) if ty.is_bytes() => bytes(json, ty),
        Type::List(element) => Ok(Value::List(elements(array(json, ty)?, element)?)),
        Type::Option(some) => option(json, ty, some),
        Type::Result { ok, err } => result(json, ty, ok.as_deref(), err.as_deref()),
        Type::Tuple(types) => tuple(json, ty, types),
        Type::Record(record) => match json {
            Json::Object(object) => fields(object, record),
            _ => Err(JsonError::mismatch(ty, json)),
        },
        Type::Variant(variant) => case(json, ty, variant),
        Type::Enum(names) => {
            let name = text(json, ty)?;
            Ok(Value::Enum(position("case", name, &names.members)?))
        }
        Type::Flags(names) => flags(array(json, ty)?, &names.members),
    }
}

fn text<'a>(json: &'a Json, ty: &Type) -> Result<&'a str, JsonError> {
    json.as_str().ok_or_else(|| JsonError::mismatch(ty, json))
}

fn array<'a>(json: &'a Json, ty: &Type) -> Result<&'a [Json], JsonError> {
    match json {
        Json::Array(elements) => Ok(elements),
        _ => Err(JsonError::mismatch(ty, json)),
    }
}

fn elements(json: &[Json], ty: &Type) -> Result<Arc<[Value]>, JsonError> {
    let value =
        |(index, json)| from_json(json, ty).map_err(|error: JsonError| error.inside(Segment::Index(index)));
    json.iter().enumerate().map(value).collect()
}

fn integer<T: TryFrom<i128> + fmt::Display>(json: &Json, ty: &Type, min: T, max: T) -> Result<T, JsonError> {
    let number = match json {
        Json::Number(number) => whole(number),
        _ => None,
    };
    let number = number.ok_or_else(|| JsonError::mismatch(ty, json))?;
    T::try_from(number).map_err(|_| {
        let (min, max) = (min.to_string(), max.to_string());
        JsonProblem::OutOfRange { ty: ty.to_string(), found: number.to_string(), min, max }.into()
    })
}

fn whole(number: &Number) -> Option<i128> {
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    // The parser keeps the sign of `-0` by making it a float.
    number.as_f64().is_some_and(|number| number == 0.0 && number.is_sign_negative()).then_some(0)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn special(text: &str) -> Option<f64> {
    match text {
        NAN => Some(f64::NAN),
        INFINITY => Some(f64::INFINITY),
        NEGATIVE_INFINITY => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn float64(json: &Json, ty: &Type) -> Result<f64, JsonError> {
    let mismatch = || JsonError::mismatch(ty, json);
    match json {
        Json::String(text) => special(text).ok_or_else(mismatch),
        Json::Number(number) => {
            let float = number.as_f64().ok_or_else(mismatch)?;
            exact(number, float, ty).map(|()| float)
        }
        _ => Err(mismatch()),
    }
}

fn float32(json: &Json, ty: &Type) -> Result<f32, JsonError> {
    let mismatch = || JsonError::mismatch(ty, json);
    match json {
        Json::String(text) => special(text).map(|float| float as f32).ok_or_else(mismatch),
        Json::Number(number) => {
            let double = number.as_f64().ok_or_else(mismatch)?;
            let float = double as f32;
            if float.is_infinite() {
                let nearest = if float > 0.0 { INFINITY } else { NEGATIVE_INFINITY }.to_owned();
                return Err(
                    JsonProblem::Inexact { ty: ty.to_string(), found: number.to_string(), nearest }.into()
                );
            }
            exact(number, float.into(), ty).map(|()| float)
        }
        _ => Err(mismatch()),
    }
}

/// A number without fraction or exponent was counted, not measured: it is not rounded.
fn exact(number: &Number, float: f64, ty: &Type) -> Result<(), JsonError> {
    let Some(whole) = whole(number) else { return Ok(()) };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float that a 64-bit integer rounds to fits 128 bits"
    )]
    if float as i128 == whole {
        return Ok(());
    }
    let (ty, found) = (ty.to_string(), number.to_string());
    Err(JsonProblem::Inexact { ty, found, nearest: float.to_string() }.into())
}

fn bytes(json: &Json, ty: &Type) -> Result<Value, JsonError> {
    match json {
        Json::String(text) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(Bytes::from(bytes))),
            Err(error) => {
                let reason = error.to_string().to_lowercase();
                Err(JsonProblem::Base64 { found: describe(json), reason }.into())
            }
        },
        Json::Array(numbers) => {
            let byte = |(index, json)| {
                integer(json, &Type::U8, u8::MIN, u8::MAX)
                    .map_err(|error| error.inside(Segment::Index(index)))
            };
            let bytes: Result<Vec<u8>, _> = numbers.iter().enumerate().map(byte).collect();
            Ok(Value::Bytes(Bytes::from(bytes?)))
        }
        _ => Err(JsonError::mismatch(ty, json)),
    }
}

fn option(json: &Json, ty: &Type, some: &Type) -> Result<Value, JsonError> {
    if json.is_null() {
        return Ok(Value::Option(None));
    }
    if !is_nullable(some) {
        return Ok(Value::Option(Some(Arc::new(from_json(json, some)?))));
    }
    match only_field(json) {
        Some((SOME, json)) => {
            let value = from_json(json, some).map_err(|error| error.inside(field(SOME)))?;
            Ok(Value::Option(Some(Arc::new(value))))
        }
        _ => Err(JsonError::mismatch(ty, json)),
    }
}

fn result(json: &Json, ty: &Type, ok: Option<&Type>, err: Option<&Type>) -> Result<Value, JsonError> {
    let payload = |json: &Json, ty: Option<&Type>, key: &str| match ty {
        Some(ty) => {
            from_json(json, ty).map(|value| Some(Arc::new(value))).map_err(|error| error.inside(field(key)))
        }
        None if json.is_null() => Ok(None),
        None => Err(JsonError::mismatch(&Type::unit(), json).inside(field(key))),
    };
    match only_field(json) {
        Some((OK, json)) => Ok(Value::Result(Ok(payload(json, ok, OK)?))),
        Some((ERR, json)) => Ok(Value::Result(Err(payload(json, err, ERR)?))),
        _ => Err(JsonError::mismatch(ty, json)),
    }
}

fn tuple(json: &Json, ty: &Type, types: &[Type]) -> Result<Value, JsonError> {
    if types.is_empty() && json.is_null() {
        return Ok(Value::unit());
    }
    let json = array(json, ty)?;
    if json.len() != types.len() {
        return Err(JsonProblem::Length { expected: types.len(), found: json.len() }.into());
    }
    let value = |(index, (json, ty))| {
        from_json(json, ty).map_err(|error: JsonError| error.inside(Segment::Index(index)))
    };
    let values: Result<Arc<[Value]>, _> = json.iter().zip(types).enumerate().map(value).collect();
    Ok(Value::Tuple(values?))
}

fn fields(object: &Map<String, Json>, record: &Named<Field>) -> Result<Value, JsonError> {
    let mut values = Vec::with_capacity(record.members.len());
    let mut known = 0;
    for member in &record.members {
        let json = match object.get(&*member.name) {
            Some(json) => {
                known += 1;
                json
            }
            None if is_nullable(&member.ty) => &Json::Null,
            None => {
                // A mistyped name is both missing and unknown; the unknown one says more.
                unknown_field(object, record)?;
                let (field, ty) = (Arc::clone(&member.name), type_text(&member.ty));
                return Err(JsonProblem::MissingField { field, ty }.into());
            }
        };
        let value = from_json(json, &member.ty);
        values.push(value.map_err(|error| error.inside(Segment::Field(Arc::clone(&member.name))))?);
    }
    if known < object.len() {
        unknown_field(object, record)?;
    }
    Ok(Value::Record(values.into()))
}

fn unknown_field(object: &Map<String, Json>, record: &Named<Field>) -> Result<(), JsonError> {
    let names = || record.members.iter().map(|member| &member.name);
    match object.keys().find(|key| !names().any(|name| **name == ***key)) {
        None => Ok(()),
        Some(key) => Err(JsonProblem::UnknownField {
            field: key.clone(),
            suggestion: suggest(key, names().map(|name| &**name)).map(str::to_owned),
            known: names().cloned().collect(),
        }
        .into()),
    }
}

fn case(json: &Json, ty: &Type, variant: &Named<Case>) -> Result<Value, JsonError> {
    let (name, payload) = match json {
        Json::String(name) => (name.as_str(), None),
        _ => match only_field(json) {
            Some((name, json)) => (name, Some(json)),
            None => return Err(JsonError::mismatch(ty, json)),
        },
    };
    let Some((index, case)) = variant.members.iter().enumerate().find(|(_, case)| *case.name == *name) else {
        return Err(unknown_name("case", name, variant.members.iter().map(|case| &case.name)));
    };
    let value = match (&case.ty, payload) {
        (None, None) => None,
        (Some(ty), Some(json)) => {
            let value = from_json(json, ty);
            Some(Arc::new(value.map_err(|error| error.inside(Segment::Field(Arc::clone(&case.name))))?))
        }
        (Some(ty), None) => {
            let (case, ty) = (Arc::clone(&case.name), type_text(ty));
            return Err(JsonProblem::MissingPayload { case, ty }.into());
        }
        (None, Some(_)) => return Err(JsonProblem::UnexpectedPayload(Arc::clone(&case.name)).into()),
    };
    Ok(Value::Variant(number(index), value))
}

fn flags(json: &[Json], names: &[Arc<str>]) -> Result<Value, JsonError> {
    let mut words = vec![0_u32; names.len().div_ceil(32)];
    for (index, json) in json.iter().enumerate() {
        let flag = flag(json, names, &mut words);
        flag.map_err(|error| error.inside(Segment::Index(index)))?;
    }
    Ok(Value::Flags(words.into()))
}

fn flag(json: &Json, names: &[Arc<str>], words: &mut [u32]) -> Result<(), JsonError> {
    let name = text(json, &Type::String)?;
    let flag = position("flag", name, names)?;
    let bit = 1 << (flag % 32);
    if let Some(word) = words.get_mut(flag as usize / 32) {
        if *word & bit != 0 {
            return Err(JsonProblem::DuplicateFlag(Arc::from(name)).into());
        }
        *word |= bit;
    }
    Ok(())
}

fn position(what: &'static str, name: &str, names: &[Arc<str>]) -> Result<u32, JsonError> {
    match names.iter().position(|known| **known == *name) {
        Some(index) => Ok(number(index)),
        None => Err(unknown_name(what, name, names.iter())),
    }
}

fn unknown_name<'a>(
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a Arc<str>> + Clone,
) -> JsonError {
    JsonProblem::UnknownName {
        what,
        name: name.to_owned(),
        suggestion: suggest(name, known.clone().map(|name| &**name)).map(str::to_owned),
        known: known.cloned().collect(),
    }
    .into()
}

/// The one key and value of an object that has exactly one.
fn only_field(json: &Json) -> Option<(&str, &Json)> {
    let mut fields = json.as_object()?.iter();
    match (fields.next(), fields.next()) {
        (Some((key, json)), None) => Some((key, json)),
        _ => None,
    }
}

fn field(name: &str) -> Segment {
    Segment::Field(Arc::from(name))
}

/// A position among members, which the component format bounds far below 2^32.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
