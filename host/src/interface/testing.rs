//! Random types and values, and components made from WIT, for this floor's tests.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::model::{Case, Field, Named, Type, Value};

/// Every kind of WIT value type, nested up to four levels.
pub(super) fn any_type() -> BoxedStrategy<Type> {
    let leaf = prop_oneof![
        Just(Type::Bool),
        Just(Type::S8),
        Just(Type::U8),
        Just(Type::S16),
        Just(Type::U16),
        Just(Type::S32),
        Just(Type::U32),
        Just(Type::S64),
        Just(Type::U64),
        Just(Type::F32),
        Just(Type::F64),
        Just(Type::Char),
        Just(Type::String),
        Just(Type::bytes()),
        names(40).prop_map(|names| Type::Enum(named(names))),
        names(32).prop_map(|names| Type::Flags(named(names))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let side = option::of(inner.clone().prop_map(Arc::new));
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::option),
            (side.clone(), side).prop_map(|(ok, err)| Type::Result { ok, err }),
            vec(inner.clone(), 1..4).prop_map(|types| Type::Tuple(types.into())),
            (names(4), vec(inner.clone(), 4)).prop_map(|(names, types)| {
                let fields = names.into_iter().zip(types).map(|(name, ty)| Field { name, ty });
                Type::Record(named(fields.collect()))
            }),
            (names(4), vec(option::of(inner), 4)).prop_map(|(names, types)| {
                let cases = names.into_iter().zip(types).map(|(name, ty)| Case { name, ty });
                Type::Variant(named(cases.collect()))
            }),
        ]
    })
    .boxed()
}

fn named<M>(members: Vec<M>) -> Arc<Named<M>> {
    Arc::new(Named { name: None, members })
}

/// Up to `most` distinct kebab-case names, those among them that the JSON form gives a meaning.
fn names(most: usize) -> impl Strategy<Value = Vec<Arc<str>>> {
    let name = prop_oneof![
        (0_u32..1000).prop_map(|number| format!("n{number}")),
        prop_oneof![Just("some"), Just("ok"), Just("err"), Just("nan"), Just("a-b"), Just("a-b-c")]
            .prop_map(str::to_owned),
    ];
    btree_set(name, 1..=most).prop_map(|names| names.into_iter().map(Arc::from).collect())
}

/// Any value of the type.
pub(super) fn any_value(ty: &Type) -> BoxedStrategy<Value> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Type::S64 => prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Value::S64).boxed(),
        Type::U64 => prop_oneof![any::<u64>(), Just(u64::MAX)].prop_map(Value::U64).boxed(),
        // From bits, so that every float is as likely: huge, tiny, subnormal, infinite, NaN.
        Type::F32 => any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))).boxed(),
        Type::F64 => {
            let small = (-1000_i16..1000).prop_map(f64::from);
            let float = prop_oneof![any::<u64>().prop_map(f64::from_bits), small, Just(-0.0)];
            float.prop_map(Value::F64).boxed()
        }
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => any::<String>().prop_map(|text| Value::string(&text)).boxed(),
        Type::List(element) if **element == Type::U8 => {
            vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(Bytes::from(bytes))).boxed()
        }
        Type::List(element) => {
            vec(any_value(element), 0..4).prop_map(|values| Value::List(values.into())).boxed()
        }
        Type::Option(some) => {
            option::of(any_value(some)).prop_map(|value| Value::Option(value.map(Arc::new))).boxed()
        }
        Type::Result { ok, err } => {
            prop_oneof![payload(ok).prop_map(Ok), payload(err).prop_map(Err)].prop_map(Value::Result).boxed()
        }
        Type::Tuple(types) => {
            let parts: Vec<_> = types.iter().map(any_value).collect();
            parts.prop_map(|values| Value::Tuple(values.into())).boxed()
        }
        Type::Record(record) => {
            let parts: Vec<_> = record.members.iter().map(|field| any_value(&field.ty)).collect();
            parts.prop_map(|values| Value::Record(values.into())).boxed()
        }
        Type::Variant(variant) => {
            let cases: Vec<_> = (0..)
                .zip(variant.members.iter())
                .map(|(index, case)| {
                    let ty = case.ty.clone().map(Arc::new);
                    payload(&ty).prop_map(move |value| Value::Variant(index, value)).boxed()
                })
                .collect();
            proptest::strategy::Union::new(cases).boxed()
        }
        Type::Enum(names) => {
            let count = u32::try_from(names.members.len()).unwrap();
            (0..count).prop_map(Value::Enum).boxed()
        }
        Type::Flags(names) => {
            let count = names.members.len();
            vec(any::<bool>(), count)
                .prop_map(move |set| {
                    let mut words = vec![0_u32; count.div_ceil(32)];
                    for (flag, set) in set.into_iter().enumerate() {
                        words[flag / 32] |= u32::from(set) << (flag % 32);
                    }
                    Value::Flags(words.into())
                })
                .boxed()
        }
    }
}

fn payload(ty: &Option<Arc<Type>>) -> BoxedStrategy<Option<Arc<Value>>> {
    match ty {
        Some(ty) => any_value(ty).prop_map(|value| Some(Arc::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

/// A type and a value of it.
pub(super) fn any_typed_value() -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(|ty| {
        let value = any_value(&ty);
        (Just(ty), value)
    })
}

/// A component with the last world of the WIT, whose functions trap.
pub(super) fn component(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap_or_else(|error| panic!("{error:?}\n{wit}"));
    let world = *resolve.packages[package].worlds.values().last().unwrap();
    let legacy = ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = dummy_module(&resolve, world, legacy);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Writes types as WIT, giving each record, variant, enum and flags type a name of its own.
#[derive(Default)]
pub(super) struct Wit {
    /// The definitions, in order.
    pub(super) definitions: String,
    count: u32,
}

impl Wit {
    /// The text that stands for the type where it is used.
    pub(super) fn ty(&mut self, ty: &Type) -> String {
        match ty {
            Type::List(element) => format!("list<{}>", self.ty(element)),
            Type::Option(some) => format!("option<{}>", self.ty(some)),
            Type::Result { ok, err } => {
                let ok = ok.as_ref().map(|ty| self.ty(ty));
                let err = err.as_ref().map(|ty| self.ty(ty));
                match (ok, err) {
                    (None, None) => "result".to_owned(),
                    (Some(ok), None) => format!("result<{ok}>"),
                    (ok, Some(err)) => format!("result<{}, {err}>", ok.unwrap_or("_".to_owned())),
                }
            }
            Type::Tuple(types) => {
                let types: Vec<_> = types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            Type::Record(record) => {
                let fields = record.members.iter().map(|field| {
                    let ty = self.ty(&field.ty);
                    format!("%{}: {ty}", field.name)
                });
                let fields = fields.collect();
                self.define("record", fields)
            }
            Type::Variant(variant) => {
                let cases = variant.members.iter().map(|case| match &case.ty {
                    Some(ty) => format!("%{}({})", case.name, self.ty(ty)),
                    None => format!("%{}", case.name),
                });
                let cases = cases.collect();
                self.define("variant", cases)
            }
            Type::Enum(names) => self.define("enum", escaped(&names.members)),
            Type::Flags(names) => self.define("flags", escaped(&names.members)),
            primitive => primitive.to_string(),
        }
    }

    fn define(&mut self, keyword: &str, members: Vec<String>) -> String {
        self.count += 1;
        let name = format!("type{}", self.count);
        self.definitions.push_str(&format!("{keyword} {name} {{ {} }}\n", members.join(", ")));
        name
    }
}

fn escaped(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| format!("%{name}")).collect()
}
