//! How many bytes a value takes when encoded: what `limits.output` counts.

use crate::model::{Type, Value};

/// A pointer and a length.
const REFERENCE: u64 = 8;

/// The bytes of a value of type `ty` in the component model's canonical ABI for 32-bit memories,
/// without padding for alignment: the bytes of numbers, bools and chars (4); 8 and the contents for
/// strings and lists; 1, 2 or 4 for the case of a variant, enum, option or result, and the payload
/// of that case alone; 1 or 2 for up to 8 or 16 flags, else 4 for every 32; records and tuples the
/// sum of their parts.
///
/// What in `value` is not of its type counts nothing.
#[must_use]
pub fn encoded_size(value: &Value, ty: &Type) -> u64 {
    match (value, ty) {
        (Value::Bool(_) | Value::S8(_) | Value::U8(_), _) => 1,
        (Value::S16(_) | Value::U16(_), _) => 2,
        (Value::S32(_) | Value::U32(_) | Value::F32(_) | Value::Char(_), _) => 4,
        (Value::S64(_) | Value::U64(_) | Value::F64(_), _) => 8,
        (Value::String(text), _) => REFERENCE + length(text.len()),
        (Value::Bytes(bytes), _) => REFERENCE + length(bytes.len()),
        (Value::List(values), Type::List(element)) => {
            REFERENCE + values.iter().map(|value| encoded_size(value, element)).sum::<u64>()
        }
        (Value::Option(None), _) => 1,
        (Value::Option(Some(value)), Type::Option(some)) => 1 + encoded_size(value, some),
        (Value::Result(value), Type::Result { ok, err }) => {
            let (value, ty) = match value {
                Ok(value) => (value, ok),
                Err(value) => (value, err),
            };
            1 + value.iter().zip(ty).map(|(value, ty)| encoded_size(value, ty)).sum::<u64>()
        }
        (Value::Tuple(values), Type::Tuple(types)) => {
            values.iter().zip(types.iter()).map(|(value, ty)| encoded_size(value, ty)).sum()
        }
        (Value::Record(values), Type::Record(record)) => {
            values.iter().zip(&record.members).map(|(value, field)| encoded_size(value, &field.ty)).sum()
        }
        (Value::Variant(index, value), Type::Variant(variant)) => {
            let ty = variant.members.get(*index as usize).and_then(|case| case.ty.as_ref());
            let payload = value.iter().zip(ty).map(|(value, ty)| encoded_size(value, ty)).sum::<u64>();
            discriminant(variant.members.len()) + payload
        }
        (Value::Enum(_), Type::Enum(names)) => discriminant(names.members.len()),
        (Value::Flags(_), Type::Flags(names)) => match names.members.len() {
            0..=8 => 1,
            9..=16 => 2,
            more => 4 * length(more.div_ceil(32)),
        },
        _ => 0,
    }
}

fn discriminant(cases: usize) -> u64 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
