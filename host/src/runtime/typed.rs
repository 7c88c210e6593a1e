//! The fast way into a guest: functions over bytes, strings and scalars in the common shapes are
//! called with their Rust types, which moves bytes at memory speed. Chosen once for each call; what
//! is not here goes through `values`.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Lift, Lower};

use super::sandbox::State;
use crate::model::{Signature, Type, Value};

/// A call's result as a value of its type.
pub(super) type Called<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<Value>> + Send + 'a>>;

/// One shape of function.
pub(super) trait Shape: Send + Sync {
    /// Calls `func`, which has this shape.
    fn call<'a>(&self, func: Func, store: &'a mut Store<State>, arguments: &'a [Value]) -> Called<'a>;
}

/// The shape of functions of `signature`, if it is one of the common ones.
pub(super) fn shape(signature: &Signature) -> Option<Arc<dyn Shape>> {
    let kinds: Option<Vec<Kind>> = signature.parameters.iter().map(|(_, ty)| Kind::of(ty)).collect();
    let result = &signature.result;
    match kinds?.as_slice() {
        [] => returning::<()>(result),
        [Kind::Bytes] => returning::<(B,)>(result),
        [Kind::Text] => returning::<(S,)>(result),
        [Kind::ManyBytes] => returning::<(Many<B>,)>(result),
        [Kind::ManyTexts] => returning::<(Many<S>,)>(result),
        [Kind::U32] => returning::<(u32,)>(result),
        [Kind::U64] => returning::<(u64,)>(result),
        [Kind::Bytes, Kind::Bytes] => returning::<(B, B)>(result),
        [Kind::Bytes, Kind::Text] => returning::<(B, S)>(result),
        [Kind::Text, Kind::Bytes] => returning::<(S, B)>(result),
        [Kind::Text, Kind::Text] => returning::<(S, S)>(result),
        [Kind::Bytes, Kind::U32] => returning::<(B, u32)>(result),
        [Kind::Bytes, Kind::U64] => returning::<(B, u64)>(result),
        [Kind::U32, Kind::U32] => returning::<(u32, u32)>(result),
        _ => None,
    }
}

fn returning<P: Parameters + 'static>(result: &Type) -> Option<Arc<dyn Shape>> {
    Some(match result {
        ty if ty.is_bytes() => typed::<P, Vec<u8>>(),
        Type::String => typed::<P, String>(),
        Type::U32 => typed::<P, u32>(),
        Type::U64 => typed::<P, u64>(),
        Type::Result { ok, err: Some(err) } if **err == Type::String => match ok.as_deref() {
            None => typed::<P, Result<(), String>>(),
            Some(ok) if ok.is_bytes() => typed::<P, Result<Vec<u8>, String>>(),
            Some(Type::String) => typed::<P, Result<String, String>>(),
            Some(_) => return None,
        },
        Type::Result { ok, err: Some(err) } if err.is_failure() => match ok.as_deref() {
            None => typed::<P, Result<(), Failure>>(),
            Some(ok) if ok.is_bytes() => typed::<P, Result<Vec<u8>, Failure>>(),
            Some(Type::String) => typed::<P, Result<String, Failure>>(),
            Some(_) => return None,
        },
        _ => return None,
    })
}

fn typed<P: Parameters + 'static, R: Returned>() -> Arc<dyn Shape> {
    Arc::new(Typed::<P, R>(PhantomData))
}

struct Typed<P, R>(PhantomData<fn(P) -> R>);

impl<P: Parameters, R: Returned> Shape for Typed<P, R> {
    fn call<'a>(&self, func: Func, store: &'a mut Store<State>, arguments: &'a [Value]) -> Called<'a> {
        Box::pin(async move {
            let arguments = P::from_values(arguments)
                .ok_or_else(|| wasmtime::Error::msg("the arguments do not have the call's types"))?;
            let function = func.typed::<P::Lowered<'a>, (R,)>(&*store)?;
            let (returned,) = function.call_async(store, arguments).await?;
            Ok(returned.into_value())
        })
    }
}

/// What a parameter can be.
enum Kind {
    Bytes,
    Text,
    /// What a group of tasks that return bytes is collected to.
    ManyBytes,
    ManyTexts,
    U32,
    U64,
}

impl Kind {
    fn of(ty: &Type) -> Option<Self> {
        match ty {
            ty if ty.is_bytes() => Some(Self::Bytes),
            Type::String => Some(Self::Text),
            Type::List(element) if element.is_bytes() => Some(Self::ManyBytes),
            Type::List(element) if **element == Type::String => Some(Self::ManyTexts),
            Type::U32 => Some(Self::U32),
            Type::U64 => Some(Self::U64),
            _ => None,
        }
    }
}

/// `list<u8>` as a parameter.
struct B;
/// `string` as a parameter.
struct S;
/// A list of either as a parameter.
struct Many<P>(PhantomData<P>);

/// One parameter.
trait Parameter {
    type Lowered<'a>: Lower + ComponentType + Send + Sync;

    fn from_value(value: &Value) -> Option<Self::Lowered<'_>>;
}

impl Parameter for B {
    type Lowered<'a> = &'a [u8];

    fn from_value(value: &Value) -> Option<&[u8]> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Parameter for S {
    type Lowered<'a> = &'a str;

    fn from_value(value: &Value) -> Option<&str> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl<P: Parameter> Parameter for Many<P> {
    type Lowered<'a> = Vec<P::Lowered<'a>>;

    fn from_value(value: &Value) -> Option<Vec<P::Lowered<'_>>> {
        match value {
            Value::List(values) => values.iter().map(P::from_value).collect(),
            _ => None,
        }
    }
}

impl Parameter for u32 {
    type Lowered<'a> = Self;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::U32(number) => Some(*number),
            _ => None,
        }
    }
}

impl Parameter for u64 {
    type Lowered<'a> = Self;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::U64(number) => Some(*number),
            _ => None,
        }
    }
}

/// All parameters of a function.
trait Parameters {
    type Lowered<'a>: ComponentNamedList + Lower + Send + Sync;

    fn from_values(values: &[Value]) -> Option<Self::Lowered<'_>>;
}

impl Parameters for () {
    type Lowered<'a> = ();

    fn from_values(values: &[Value]) -> Option<()> {
        values.is_empty().then_some(())
    }
}

impl<P: Parameter> Parameters for (P,) {
    type Lowered<'a> = (P::Lowered<'a>,);

    fn from_values(values: &[Value]) -> Option<Self::Lowered<'_>> {
        match values {
            [value] => Some((P::from_value(value)?,)),
            _ => None,
        }
    }
}

impl<P: Parameter, Q: Parameter> Parameters for (P, Q) {
    type Lowered<'a> = (P::Lowered<'a>, Q::Lowered<'a>);

    fn from_values(values: &[Value]) -> Option<Self::Lowered<'_>> {
        match values {
            [first, second] => Some((P::from_value(first)?, Q::from_value(second)?)),
            _ => None,
        }
    }
}

/// What a function returns.
trait Returned: Lift + ComponentType + Send + Sync + 'static {
    fn into_value(self) -> Value;

    /// As the payload of a `result`.
    fn into_payload(self) -> Option<Arc<Value>> {
        Some(Arc::new(self.into_value()))
    }
}

/// No payload.
impl Returned for () {
    fn into_value(self) -> Value {
        Value::unit()
    }

    fn into_payload(self) -> Option<Arc<Value>> {
        None
    }
}

impl Returned for Vec<u8> {
    fn into_value(self) -> Value {
        Value::Bytes(Bytes::from(self))
    }
}

impl Returned for String {
    fn into_value(self) -> Value {
        Value::String(Arc::from(self))
    }
}

impl Returned for u32 {
    fn into_value(self) -> Value {
        Value::U32(self)
    }
}

impl Returned for u64 {
    fn into_value(self) -> Value {
        Value::U64(self)
    }
}

/// `failure` of `flowhost:task/types`.
#[derive(ComponentType, Lift)]
#[component(variant)]
enum Failure {
    #[component(name = "retryable")]
    Retryable(String),
    #[component(name = "permanent")]
    Permanent(String),
}

impl Returned for Failure {
    fn into_value(self) -> Value {
        let (case, message) = match self {
            Self::Retryable(message) => (0, message),
            Self::Permanent(message) => (1, message),
        };
        Value::Variant(case, Some(Arc::new(message.into_value())))
    }
}

impl<T: Returned, E: Returned> Returned for Result<T, E> {
    fn into_value(self) -> Value {
        Value::Result(match self {
            Ok(value) => Ok(value.into_payload()),
            Err(error) => Err(error.into_payload()),
        })
    }
}
