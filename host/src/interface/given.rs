//! Arguments by parameter, as a guest gives them to a task that it starts: a JSON object, read by the types
//! of the parameters.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use super::json::{JsonError, from_json};
use super::suggest::{listed, suggest};
use crate::model::{Type, Value};

/// Why a text gives no arguments.
#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    /// It is no JSON object, or names a parameter twice.
    #[error("not a JSON object of arguments: {0}")]
    Json(#[from] serde_json::Error),
    /// It names what is no parameter.
    #[error("there is no parameter `{name}`: {help}")]
    Unknown {
        /// What it names.
        name: String,
        /// What there is.
        help: String,
    },
    /// It leaves out a parameter that has no other value.
    #[error("`{0}` is missing: it is not in the task's `with` either")]
    Missing(Arc<str>),
    /// An argument is no value of its parameter's type.
    #[error("`{name}`: {source}")]
    Misfit {
        /// The parameter.
        name: Arc<str>,
        /// Why.
        source: JsonError,
    },
}

/// The values that `text`, a JSON object, gives to `parameters`, in their order; none for those that it
/// leaves out, which is allowed for those whose value is known otherwise.
///
/// # Errors
/// Fails when it is no such object.
pub fn given<'p>(
    text: &str,
    parameters: impl Iterator<Item = (&'p Arc<str>, &'p Type, bool)> + Clone,
) -> Result<Vec<Option<Value>>, GivenError> {
    let Pairs(mut pairs) = serde_json::from_str(text)?;
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !parameters.clone().any(|(p, ..)| **p == **name)) {
        let known = || parameters.clone().map(|(name, ..)| &**name);
        let help = match suggest(name, known()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there is {}", listed(known())),
        };
        return Err(GivenError::Unknown { name: name.clone(), help });
    }
    let value = |(name, ty, known): (&Arc<str>, &Type, bool)| {
        let Some(at) = pairs.iter().position(|(given, _)| **given == **name) else {
            return if known { Ok(None) } else { Err(GivenError::Missing(Arc::clone(name))) };
        };
        let (_, json) = pairs.swap_remove(at);
        let misfit = |source| GivenError::Misfit { name: Arc::clone(name), source };
        from_json(&json, ty).map(Some).map_err(misfit)
    };
    parameters.map(value).collect()
}

/// An object's members, each name once.
struct Pairs(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, Json)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if pairs.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format!("`{name}` is there twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }

        from.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> [(Arc<str>, Type, bool); 2] {
        [("text".into(), Type::String, false), ("round".into(), Type::U8, true)]
    }

    fn told(text: &str) -> Result<Vec<Option<Value>>, String> {
        let parameters = parameters();
        given(text, parameters.iter().map(|(name, ty, known)| (name, ty, *known)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_come_in_the_order_of_parameters() {
        let both = vec![Some(Value::string("a")), Some(Value::U8(2))];
        assert_eq!(told(r#"{"round": 2, "text": "a"}"#), Ok(both));
        assert_eq!(told(r#"{"text": "a"}"#), Ok(vec![Some(Value::string("a")), None]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("", "not a JSON object"),
            ("[]", "expected an object"),
            ("{\"text\": \"a\"} x", "trailing"),
            (r#"{"text": "a", "text": "b"}"#, "`text` is there twice"),
            (r#"{"txt": "a"}"#, "no parameter `txt`: did you mean `text`?"),
            ("{}", "`text` is missing"),
            (r#"{"text": 1}"#, "`text`: expected a string, found 1"),
            (r#"{"text": "a", "round": 256}"#, "`round`: 256 is out of range"),
        ] {
            let error = told(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let deep = format!("{{\"text\": {}", "[".repeat(100_000));
        assert!(told(&deep).unwrap_err().contains("recursion limit"));
    }
}
