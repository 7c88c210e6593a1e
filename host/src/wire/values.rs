//! Values as bytes, by their WIT type and never as a tree that describes itself: a type is finite, so
//! no bytes can nest more deeply than it does. Every value takes at least one byte.

use std::sync::Arc;

use bytes::Bytes;

use super::Payload;
use crate::compact::{self, CompactError, Reader};
use crate::model::{Type, Value};

/// Longer bytes and texts become pieces of their own and are not copied.
const PIECE: usize = 16 << 10;

/// Shorter bytes are copied out of what was received, which need not be kept for their sake.
const KEPT: usize = 4 << 10;

/// Elements that a list has room for before they came.
const ROOM: usize = 1 << 10;

/// Why a value does not travel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ValueError {
    /// It is not of its type.
    #[error("the value is no {0}")]
    Type(Type),
    /// There are more or fewer values than types.
    #[error("{found} values came where there are {wanted} types")]
    Count {
        /// Values.
        found: usize,
        /// Types.
        wanted: usize,
    },
    /// The bytes are no such value.
    #[error("the bytes are no value of their type: {0}")]
    Bytes(#[from] CompactError),
}

/// Values one after the other, each by its type.
///
/// # Errors
/// Fails when one is not of its type.
pub fn encode<'t>(
    values: &[Value],
    types: impl IntoIterator<Item = &'t Type>,
) -> Result<Payload, ValueError> {
    let mut writer = Writer { pieces: Vec::new(), last: Vec::new() };
    let mut types = types.into_iter();
    for (at, value) in values.iter().enumerate() {
        let ty = types.next().ok_or(ValueError::Count { found: values.len(), wanted: at })?;
        writer.value(value, ty)?;
    }
    match types.count() {
        0 => Ok(writer.end()),
        more => Err(ValueError::Count { found: values.len(), wanted: values.len() + more }),
    }
}

/// Reads what [`encode`] wrote, by the same types.
///
/// # Errors
/// Fails when the bytes are something else. Memory is taken as elements are found, not as they are
/// claimed.
pub fn decode<'t>(
    bytes: &Bytes,
    types: impl IntoIterator<Item = &'t Type>,
) -> Result<Vec<Value>, ValueError> {
    let mut reader = ValueReader { reader: Reader::new(bytes), whole: bytes };
    let values = types.into_iter().map(|ty| reader.value(ty)).collect::<Result<_, _>>()?;
    reader.reader.end()?;
    Ok(values)
}

struct Writer {
    pieces: Vec<Bytes>,
    last: Vec<u8>,
}

impl Writer {
    fn end(mut self) -> Payload {
        self.pieces.push(self.last.into());
        Payload::of(self.pieces)
    }

    fn long(&mut self, piece: Bytes) {
        if piece.len() < PIECE {
            return self.last.extend_from_slice(&piece);
        }
        let before = std::mem::take(&mut self.last);
        self.pieces.push(before.into());
        self.pieces.push(piece);
    }

    fn value(&mut self, value: &Value, ty: &Type) -> Result<(), ValueError> {
        let wrong = || ValueError::Type(ty.clone());
        let to = &mut self.last;
        match (value, ty) {
            (Value::Bool(value), Type::Bool) => to.push(u8::from(*value)),
            (Value::S8(value), Type::S8) => to.extend(value.to_le_bytes()),
            (Value::U8(value), Type::U8) => to.push(*value),
            (Value::S16(value), Type::S16) => to.extend(value.to_le_bytes()),
            (Value::U16(value), Type::U16) => to.extend(value.to_le_bytes()),
            (Value::S32(value), Type::S32) => to.extend(value.to_le_bytes()),
            (Value::U32(value), Type::U32) => to.extend(value.to_le_bytes()),
            (Value::S64(value), Type::S64) => to.extend(value.to_le_bytes()),
            (Value::U64(value), Type::U64) => to.extend(value.to_le_bytes()),
            (Value::F32(value), Type::F32) => to.extend(value.to_le_bytes()),
            (Value::F64(value), Type::F64) => to.extend(value.to_le_bytes()),
            (Value::Char(value), Type::Char) => to.extend(u32::from(*value).to_le_bytes()),
            (Value::String(text), Type::String) => {
                compact::length(to, text.len());
                if text.len() < PIECE {
                    to.extend_from_slice(text.as_bytes());
                } else {
                    self.long(Bytes::from_owner(Text(Arc::clone(text))));
                }
            }
            (Value::Bytes(bytes), ty) if ty.is_bytes() => {
                compact::length(to, bytes.len());
                self.long(bytes.clone());
            }
            (Value::List(values), Type::List(element)) if !ty.is_bytes() => {
                compact::length(to, values.len());
                values.iter().try_for_each(|value| self.value(value, element))?;
            }
            (Value::Option(some), Type::Option(ty)) => match some {
                None => to.push(0),
                Some(value) => {
                    to.push(1);
                    self.value(value, ty)?;
                }
            },
            (Value::Result(result), Type::Result { ok, err }) => {
                let (tag, payload, ty) = match result {
                    Ok(payload) => (0, payload, ok),
                    Err(payload) => (1, payload, err),
                };
                to.push(tag);
                self.payload(payload.as_deref(), ty.as_deref(), wrong)?;
            }
            (Value::Tuple(values), Type::Tuple(types)) if values.len() == types.len() => {
                if types.is_empty() {
                    to.push(0);
                }
                for (value, ty) in values.iter().zip(types.iter()) {
                    self.value(value, ty)?;
                }
            }
            (Value::Record(values), Type::Record(record)) if values.len() == record.members.len() => {
                if values.is_empty() {
                    to.push(0);
                }
                for (value, field) in values.iter().zip(&record.members) {
                    self.value(value, &field.ty)?;
                }
            }
            (Value::Variant(case, payload), Type::Variant(variant)) => {
                let of = variant.members.get(*case as usize).ok_or_else(wrong)?;
                compact::number(to, u64::from(*case));
                self.payload(payload.as_deref(), of.ty.as_ref(), wrong)?;
            }
            (Value::Enum(case), Type::Enum(cases)) if (*case as usize) < cases.members.len() => {
                compact::number(to, u64::from(*case));
            }
            (Value::Flags(words), Type::Flags(flags)) if words.len() == flags.members.len().div_ceil(32) => {
                if words.is_empty() {
                    to.push(0);
                }
                words.iter().for_each(|word| to.extend(word.to_le_bytes()));
            }
            (_, _) => return Err(wrong()),
        }
        Ok(())
    }

    fn payload(
        &mut self,
        payload: Option<&Value>,
        ty: Option<&Type>,
        wrong: impl Fn() -> ValueError,
    ) -> Result<(), ValueError> {
        match (payload, ty) {
            (None, None) => Ok(()),
            (Some(value), Some(ty)) => self.value(value, ty),
            (None, Some(_)) | (Some(_), None) => Err(wrong()),
        }
    }
}

/// A text whose bytes are shared.
struct Text(Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

struct ValueReader<'a> {
    reader: Reader<'a>,
    whole: &'a Bytes,
}

impl ValueReader<'_> {
    fn value(&mut self, ty: &Type) -> Result<Value, CompactError> {
        let from = &mut self.reader;
        Ok(match ty {
            Type::Bool => Value::Bool(self.tag("the bool", 2)? == 1),
            Type::S8 => Value::S8(i8::from_le_bytes(from.array()?)),
            Type::U8 => Value::U8(from.byte()?),
            Type::S16 => Value::S16(i16::from_le_bytes(from.array()?)),
            Type::U16 => Value::U16(u16::from_le_bytes(from.array()?)),
            Type::S32 => Value::S32(i32::from_le_bytes(from.array()?)),
            Type::U32 => Value::U32(u32::from_le_bytes(from.array()?)),
            Type::S64 => Value::S64(i64::from_le_bytes(from.array()?)),
            Type::U64 => Value::U64(u64::from_le_bytes(from.array()?)),
            Type::F32 => Value::F32(f32::from_le_bytes(from.array()?)),
            Type::F64 => Value::F64(f64::from_le_bytes(from.array()?)),
            Type::Char => {
                let code = u32::from_le_bytes(from.array()?);
                let meaningless = CompactError::Meaningless { what: "the character", found: code.into() };
                Value::Char(char::from_u32(code).ok_or(meaningless)?)
            }
            Type::String => Value::String(from.text()?.into()),
            Type::List(_) if ty.is_bytes() => {
                let length = from.count()?;
                let start = from.position();
                let bytes = from.take(length)?;
                Value::Bytes(if length < KEPT {
                    Bytes::copy_from_slice(bytes)
                } else {
                    self.whole.slice(start..start + length)
                })
            }
            Type::List(element) => {
                let count = from.count()?;
                let mut values = Vec::with_capacity(count.min(ROOM));
                for _ in 0..count {
                    values.push(self.value(element)?);
                }
                Value::List(values.into())
            }
            Type::Option(some) => match self.tag("the option", 2)? {
                0 => Value::Option(None),
                _ => Value::Option(Some(Arc::new(self.value(some)?))),
            },
            Type::Result { ok, err } => match self.tag("the result", 2)? {
                0 => Value::Result(Ok(self.payload(ok.as_deref())?)),
                _ => Value::Result(Err(self.payload(err.as_deref())?)),
            },
            Type::Tuple(types) => {
                if types.is_empty() {
                    self.tag("the empty tuple", 1)?;
                }
                let values = types.iter().map(|ty| self.value(ty)).collect::<Result<Vec<_>, _>>()?;
                Value::Tuple(values.into())
            }
            Type::Record(record) => {
                if record.members.is_empty() {
                    self.tag("the empty record", 1)?;
                }
                let fields = record.members.iter().map(|field| self.value(&field.ty));
                Value::Record(fields.collect::<Result<Vec<_>, _>>()?.into())
            }
            Type::Variant(variant) => {
                let case = self.tag("the case", variant.members.len())?;
                let of = variant.members.get(case as usize).and_then(|case| case.ty.as_ref());
                Value::Variant(case, self.payload(of)?)
            }
            Type::Enum(cases) => Value::Enum(self.tag("the case", cases.members.len())?),
            Type::Flags(flags) => {
                let count = flags.members.len();
                if count == 0 {
                    self.tag("the empty flags", 1)?;
                }
                let words = (0..count.div_ceil(32)).map(|at| {
                    let word = u32::from_le_bytes(self.reader.array()?);
                    let used = count - at * 32;
                    if used < 32 && word >> used != 0 {
                        return Err(CompactError::Meaningless { what: "the flags", found: word.into() });
                    }
                    Ok(word)
                });
                Value::Flags(words.collect::<Result<Vec<_>, _>>()?.into())
            }
        })
    }

    fn payload(&mut self, ty: Option<&Type>) -> Result<Option<Arc<Value>>, CompactError> {
        ty.map(|ty| self.value(ty).map(Arc::new)).transpose()
    }

    /// A position below `count`.
    fn tag(&mut self, what: &'static str, count: usize) -> Result<u32, CompactError> {
        let found = self.reader.number()?;
        match u32::try_from(found) {
            Ok(tag) if (tag as usize) < count => Ok(tag),
            Ok(_) | Err(_) => Err(CompactError::Meaningless { what, found }),
        }
    }
}
