//! The key of a cached call as the journal has it: each part by the beginning of its digest, which is
//! enough to see what changed from one run to the next. What the parts are is the cache's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What the outcome of a cached call depended on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyPrint {
    parts: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    arguments: BTreeMap<Arc<str>, Arc<str>>,
}

/// A part that two keys do not have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum KeyChange {
    /// A part by its name, such as `component`.
    Part(Arc<str>),
    /// The argument of this parameter.
    Argument(Arc<str>),
}

impl KeyPrint {
    /// Of parts and arguments by their names.
    pub fn new<'n>(
        parts: impl IntoIterator<Item = (&'n str, &'n Digest)>,
        arguments: impl IntoIterator<Item = (&'n str, &'n Digest)>,
    ) -> Self {
        let print = |(name, digest): (&str, &Digest)| (Arc::from(name), Arc::from(digest.beginning()));
        Self {
            parts: parts.into_iter().map(print).collect(),
            arguments: arguments.into_iter().map(print).collect(),
        }
    }

    /// What differs between this and `other`: parts first, then arguments, each by name.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Vec<KeyChange> {
        let parts = differing(&self.parts, &other.parts).map(KeyChange::Part);
        parts.chain(differing(&self.arguments, &other.arguments).map(KeyChange::Argument)).collect()
    }
}

fn differing<'m>(
    one: &'m BTreeMap<Arc<str>, Arc<str>>,
    other: &'m BTreeMap<Arc<str>, Arc<str>>,
) -> impl Iterator<Item = Arc<str>> {
    let changed = one.iter().filter(|(name, print)| other.get(*name) != Some(print));
    let gone = other.iter().filter(|(name, _)| !one.contains_key(*name));
    changed.chain(gone).map(|(name, _)| Arc::clone(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let of = |component, text, more| {
            KeyPrint::new([("component", component), ("seed", &a)], [("text", text), (more, &a)])
        };
        let base = of(&a, &a, "n");
        assert_eq!(base.changes(&base), []);
        assert_eq!(base.changes(&of(&b, &a, "n")), [KeyChange::Part("component".into())]);
        let argument = |name: &str| KeyChange::Argument(name.into());
        assert_eq!(base.changes(&of(&a, &b, "n")), [argument("text")]);
        assert_eq!(base.changes(&of(&a, &a, "m")), [argument("n"), argument("m")]);
        let json = serde_json::to_string(&base).unwrap();
        assert_eq!(serde_json::from_str::<KeyPrint>(&json).unwrap(), base);
        assert!(json.contains(r#""component":"ca978112ca1b""#), "{json}");
    }
}
