//! Values to JSON as text, without a tree in between: for the many values that go to disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::writing::{decimal, set_flags, special};
use super::{ERR, OK, SOME, is_nullable};
use crate::model::{Type, Value};

/// Appends the text of [`to_json`](super::to_json)'s JSON to `out`, byte for byte.
pub fn write_json(value: &Value, ty: &Type, out: &mut Vec<u8>) {
    match (value, ty) {
        (Value::Bool(value), Type::Bool) => plain(out, value),
        (Value::S8(value), Type::S8) => plain(out, value),
        (Value::U8(value), Type::U8) => plain(out, value),
        (Value::S16(value), Type::S16) => plain(out, value),
        (Value::U16(value), Type::U16) => plain(out, value),
        (Value::S32(value), Type::S32) => plain(out, value),
        (Value::U32(value), Type::U32) => plain(out, value),
        (Value::S64(value), Type::S64) => plain(out, value),
        (Value::U64(value), Type::U64) => plain(out, value),
        (Value::F32(value), Type::F32) => float(out, decimal(*value)),
        (Value::F64(value), Type::F64) => float(out, *value),
        (Value::Char(value), Type::Char) => plain(out, value),
        (Value::String(value), Type::String) => plain(out, &**value),
        (Value::Bytes(bytes), ty) if ty.is_bytes() => {
            // What base64 writes needs no escapes.
            let start = out.len() + 1;
            out.push(b'"');
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            let written = out.get_mut(start..).map(|room| STANDARD.encode_slice(bytes, room));
            debug_assert!(matches!(written, Some(Ok(_))), "the room is what base64 needs");
            out.push(b'"');
        }
        (Value::List(values), Type::List(element)) => {
            between(out, b"[]", values.iter(), |out, value| write_json(value, element, out));
        }
        (Value::Option(Some(value)), Type::Option(some)) if is_nullable(some) => {
            single(out, SOME, |out| write_json(value, some, out));
        }
        (Value::Option(Some(value)), Type::Option(some)) => write_json(value, some, out),
        (Value::Result(Ok(value)), Type::Result { ok, .. }) => single(out, OK, |out| match (value, ok) {
            (Some(value), Some(ty)) => write_json(value, ty, out),
            _ => null(out),
        }),
        (Value::Result(Err(value)), Type::Result { err, .. }) => {
            single(out, ERR, |out| match (value, err) {
                (Some(value), Some(ty)) => write_json(value, ty, out),
                _ => null(out),
            });
        }
        (Value::Tuple(values), Type::Tuple(types)) if !types.is_empty() || !values.is_empty() => {
            between(out, b"[]", values.iter().zip(types.iter()), |out, (value, ty)| {
                write_json(value, ty, out)
            });
        }
        (Value::Record(values), Type::Record(record)) => {
            between(out, b"{}", values.iter().zip(&record.members), |out, (value, field)| {
                plain(out, &*field.name);
                out.push(b':');
                write_json(value, &field.ty, out);
            });
        }
        (Value::Variant(index, value), Type::Variant(variant)) => {
            match variant.members.get(*index as usize) {
                Some(case) => match (value, &case.ty) {
                    (Some(value), Some(ty)) => single(out, &case.name, |out| write_json(value, ty, out)),
                    _ => plain(out, &*case.name),
                },
                None => null(out),
            }
        }
        (Value::Enum(index), Type::Enum(names)) => match names.members.get(*index as usize) {
            Some(name) => plain(out, &**name),
            None => null(out),
        },
        (Value::Flags(words), Type::Flags(names)) => {
            let set = set_flags(words, &names.members);
            between(out, b"[]", set, plain);
        }
        _ => null(out),
    }
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// A scalar or a string, as serde_json writes it.
fn plain<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // A vector takes all that is written, and scalars and strings always have a form.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

fn float(out: &mut Vec<u8>, value: f64) {
    match special(value) {
        Some(name) => plain(out, name),
        None => plain(out, &value),
    }
}

fn single(out: &mut Vec<u8>, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'{');
    plain(out, key);
    out.push(b':');
    write(out);
    out.push(b'}');
}

fn between<T>(
    out: &mut Vec<u8>,
    [open, close]: &[u8; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(*open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(*close);
}
