//! What the outcome of a deterministic call depends on, each part by its digest, so that it can be said
//! which of them changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::model::{Call, Entry, Value};

/// A part of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The component's bytes.
    Component,
    /// The export.
    Function,
    /// The workflow's seed.
    Seed,
    /// Granted environment variables.
    Environment,
    /// Those limits that a guest can notice: memory, fuel and output.
    Limits,
    /// The versions of flowhost and of the engine, and its settings.
    Engine,
}

impl Part {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Function => "function",
            Self::Seed => "seed",
            Self::Environment => "environment",
            Self::Limits => "limits",
            Self::Engine => "engine",
        }
    }
}

/// All that the outcome of a deterministic call depends on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Key {
    parts: BTreeMap<Part, Digest>,
    /// Each argument, in the order of the parameters.
    arguments: Vec<Digest>,
}

impl Key {
    /// The key of one call. `engine` names what executes it.
    #[must_use]
    pub fn of(call: &Call, arguments: &[Value], engine: &str) -> Self {
        let part = |part, write: &dyn Fn(&mut Writer)| {
            let mut writer = Writer(Hasher::default());
            write(&mut writer);
            (part, writer.0.finish())
        };
        let parts = BTreeMap::from([
            (Part::Component, call.component),
            part(Part::Function, &|to| match &call.entry {
                Entry::Function { interface, name } => {
                    to.number(0);
                    to.text(interface.as_deref().unwrap_or_default());
                    to.text(name);
                }
                Entry::Command { bytes } => to.number(1 + u64::from(*bytes)),
            }),
            part(Part::Seed, &|to| to.number(call.deterministic.unwrap_or_default())),
            part(Part::Environment, &|to| {
                for (name, value) in &call.environment {
                    to.text(name);
                    to.text(value);
                }
            }),
            part(Part::Limits, &|to| {
                to.number(call.limits.memory);
                to.number(call.limits.fuel.map_or(0, |fuel| fuel.saturating_add(1)));
                to.number(call.limits.output);
            }),
            part(Part::Engine, &|to| to.text(engine)),
        ]);
        let argument = |value| {
            let mut writer = Writer(Hasher::default());
            writer.value(value);
            writer.0.finish()
        };
        Self { parts, arguments: arguments.iter().map(argument).collect() }
    }

    /// Its parts but the arguments.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &Digest)> {
        self.parts.iter().map(|(part, digest)| (*part, digest))
    }

    /// Its arguments, in the order of the parameters.
    #[must_use]
    pub fn arguments(&self) -> &[Digest] {
        &self.arguments
    }

    /// A name for a file.
    pub(super) fn name(&self) -> String {
        // Every key has the same parts, so whatever follows them are arguments.
        let all = self.parts.values().chain(&self.arguments);
        let all: Vec<u8> = all.flat_map(|digest| digest.as_bytes()).copied().collect();
        Digest::of(&all).hex()
    }
}

/// What is digested. Everything says how long it is, or has one length, so that no two things are
/// written alike.
struct Writer(Hasher);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    fn values(&mut self, values: &[Value]) {
        self.number(values.len() as u64);
        values.iter().for_each(|value| self.value(value));
    }

    fn maybe(&mut self, value: Option<&Value>) {
        self.number(u64::from(value.is_some()));
        value.into_iter().for_each(|value| self.value(value));
    }

    /// Floats by their bits: a guest can tell two NaNs apart.
    fn value(&mut self, value: &Value) {
        let mut scalar = |tag: u8, bits: u64| {
            self.0.update(&[tag]);
            self.0.update(&bits.to_le_bytes());
        };
        match value {
            Value::Bool(value) => scalar(0, u64::from(*value)),
            Value::S8(value) => scalar(1, i64::from(*value).cast_unsigned()),
            Value::U8(value) => scalar(2, u64::from(*value)),
            Value::S16(value) => scalar(3, i64::from(*value).cast_unsigned()),
            Value::U16(value) => scalar(4, u64::from(*value)),
            Value::S32(value) => scalar(5, i64::from(*value).cast_unsigned()),
            Value::U32(value) => scalar(6, u64::from(*value)),
            Value::S64(value) => scalar(7, value.cast_unsigned()),
            Value::U64(value) => scalar(8, *value),
            Value::F32(value) => scalar(9, u64::from(value.to_bits())),
            Value::F64(value) => scalar(10, value.to_bits()),
            Value::Char(value) => scalar(11, u64::from(*value)),
            Value::Enum(case) => scalar(12, u64::from(*case)),
            Value::String(text) => {
                self.0.update(&[13]);
                self.text(text);
            }
            Value::Bytes(bytes) => {
                self.0.update(&[14]);
                self.raw(bytes);
            }
            Value::List(values) => {
                self.0.update(&[15]);
                self.values(values);
            }
            Value::Tuple(values) => {
                self.0.update(&[16]);
                self.values(values);
            }
            Value::Record(values) => {
                self.0.update(&[17]);
                self.values(values);
            }
            Value::Option(value) => {
                self.0.update(&[18]);
                self.maybe(value.as_deref());
            }
            Value::Result(Ok(value)) => {
                self.0.update(&[19]);
                self.maybe(value.as_deref());
            }
            Value::Result(Err(value)) => {
                self.0.update(&[20]);
                self.maybe(value.as_deref());
            }
            Value::Variant(case, value) => {
                self.0.update(&[21]);
                self.number(u64::from(*case));
                self.maybe(value.as_deref());
            }
            Value::Flags(words) => {
                self.0.update(&[22]);
                self.number(words.len() as u64);
                words.iter().for_each(|word| self.number(u64::from(*word)));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::id::RunId;
    use crate::model::{Limits, Signature, Type};

    /// A deterministic call with a seed.
    pub(in super::super) fn call(seed: u64) -> Call {
        Call {
            component: Digest::of(b"component"),
            entry: Entry::Function { interface: None, name: "f".into() },
            signature: Arc::new(Signature { parameters: vec![], result: Type::U64 }),
            limits: Limits::default(),
            directories: vec![],
            environment: vec![],
            net: [].into(),
            http: [].into(),
            deterministic: Some(seed),
            run: RunId("run".into()),
            task: "task".into(),
            group: None,
            count: 1,
            allowed: None,
            trace: None,
        }
    }

    fn key(call: &Call) -> Key {
        Key::of(call, &[Value::U64(1)], "engine")
    }

    #[test]
    fn every_part_counts_and_nothing_else() {
        let base = key(&call(0));
        let changed = |change: fn(&mut Call)| {
            let mut call = call(0);
            change(&mut call);
            let other = key(&call);
            assert_eq!(base.arguments, other.arguments);
            let parts = base.parts().zip(other.parts()).filter(|(one, other)| one != other);
            parts.map(|((part, _), _)| part).collect::<Vec<_>>()
        };
        assert_eq!(changed(|call| call.component = Digest::of(b"other")), [Part::Component]);
        assert_eq!(changed(|call| call.entry = Entry::Command { bytes: false }), [Part::Function]);
        assert_eq!(changed(|call| call.deterministic = Some(1)), [Part::Seed]);
        assert_eq!(changed(|call| call.environment = vec![("A".into(), "1".into())]), [Part::Environment]);
        assert_eq!(changed(|call| call.limits.memory = 1), [Part::Limits]);
        assert_eq!(changed(|call| call.limits.fuel = Some(0)), [Part::Limits]);
        assert_eq!(changed(|call| call.limits.output = 1), [Part::Limits]);
        assert_eq!(
            changed(|call| {
                call.limits.timeout = Some(Duration::ZERO);
                call.limits.log = 0;
                call.run = RunId("other".into());
                call.task = "other".into();
                call.group = Some("group".into());
                call.count = 9;
            }),
            []
        );
        let other = Key::of(&call(0), &[Value::U64(1)], "other");
        assert_ne!((&base, base.name()), (&other, other.name()));
        let other = Key::of(&call(0), &[Value::U64(2)], "engine");
        assert!(base.parts().eq(other.parts()) && base.arguments() != other.arguments());
        assert_ne!(base.name(), other.name());
    }

    #[test]
    fn no_two_lists_of_arguments_are_alike() {
        let text = |text: &str| Value::string(text);
        let list = |values: &[Value]| Value::List(values.into());
        let lists = [
            vec![],
            vec![text("")],
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![list(&[text("ab")]), text("c")],
            vec![list(&[text("ab"), text("c")])],
            vec![Value::Tuple([text("ab"), text("c")].into())],
            vec![Value::U8(1)],
            vec![Value::U16(1)],
            vec![Value::U32(1)],
            vec![Value::S8(1)],
            vec![Value::S8(-1)],
            vec![Value::S16(-1)],
            vec![Value::S32(-1)],
            vec![Value::S64(-1)],
            vec![Value::U64(u64::MAX)],
            vec![Value::Bool(true)],
            vec![Value::Char('\u{1}')],
            vec![Value::F32(0.0)],
            vec![Value::Record([text("ab"), text("c")].into())],
            vec![Value::F64(0.0)],
            vec![Value::F64(-0.0)],
            vec![Value::F64(f64::NAN)],
            vec![Value::F64(-f64::NAN)],
            vec![Value::Bytes(b"ab".as_slice().into())],
            vec![Value::Option(None)],
            vec![Value::Option(Some(Arc::new(Value::Option(None))))],
            vec![Value::Result(Ok(None))],
            vec![Value::Result(Err(None))],
            vec![Value::Variant(0, None)],
            vec![Value::Enum(0)],
            vec![Value::Flags([0].into())],
            vec![Value::Flags([0, 0].into())],
        ];
        let names: std::collections::HashSet<String> =
            lists.iter().map(|list| Key::of(&call(0), list, "engine").name()).collect();
        assert_eq!(names.len(), lists.len());
    }
}
