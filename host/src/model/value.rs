//! Values of the WIT value types. A value does not carry its type: who holds one knows it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A WIT value. Cloning never copies a payload. Names of fields, cases and flags live in the
/// [`Type`](super::Type); here they are positions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(Arc<str>),
    /// `list<u8>`, always in this form and never as [`Value::List`].
    Bytes(Bytes),
    /// Every other list.
    List(Arc<[Value]>),
    /// `option<T>`
    Option(Option<Arc<Value>>),
    /// `result<T, E>`
    Result(Result<Option<Arc<Value>>, Option<Arc<Value>>>),
    /// `tuple<…>`, empty for a function without a result.
    Tuple(Arc<[Value]>),
    /// `record`: the fields in the type's order.
    Record(Arc<[Value]>),
    /// `variant`: the case's position, and its payload.
    Variant(u32, Option<Arc<Value>>),
    /// `enum`: the case's position.
    Enum(u32),
    /// `flags`: bit `n % 32` of word `n / 32` is flag `n`. As many words as the type needs.
    Flags(Arc<[u32]>),
}

impl Value {
    /// The value of a function without a result.
    #[must_use]
    pub fn unit() -> Self {
        Self::Tuple(Arc::new([]))
    }

    /// A string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::String(Arc::from(text))
    }
}
