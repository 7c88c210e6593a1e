//! Values that must not be shown: read from flowhost's environment when the run begins, and
//! redacted wherever a guest repeats them.

use std::sync::Arc;

use super::{Environment, RunError};
use crate::model::{ChannelChange, ChannelWrite, EnvironmentValue, Expr, Value, Workflow};

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";

/// Secrets by the name of their variable. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[(Arc<str>, Arc<str>)]>);

/// Names only.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Secrets {
    /// Every secret that the workflow names.
    pub(crate) fn read(workflow: &Workflow, environment: &Environment) -> Result<Self, RunError> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for node in &workflow.nodes {
            for expr in node.expressions() {
                expr.walk(&mut |expr| {
                    if let Expr::Secret { name } = expr {
                        names.push(Arc::clone(name));
                    }
                });
            }
            for (_, value) in node.tasks().flat_map(|task| &task.policy.grants.environment) {
                match value {
                    EnvironmentValue::Literal(_) => {}
                    EnvironmentValue::Secret { name } => names.push(Arc::clone(name)),
                }
            }
        }
        names.sort();
        names.dedup();
        let read = |name: Arc<str>| match environment(&name) {
            Some(value) => Ok((name, value.into())),
            None => Err(RunError::Secret(name)),
        };
        names.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// A secret's value.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    /// Whether a text or bytes in `value` hold a secret.
    pub(crate) fn are_in(&self, value: &Value) -> bool {
        if self.is_empty() {
            return false;
        }
        match value {
            Value::String(text) => self.are_in_bytes(text.as_bytes()),
            Value::Bytes(bytes) => self.are_in_bytes(bytes),
            Value::List(values) | Value::Tuple(values) | Value::Record(values) => {
                values.iter().any(|value| self.are_in(value))
            }
            Value::Option(Some(value))
            | Value::Variant(_, Some(value))
            | Value::Result(Ok(Some(value)) | Err(Some(value))) => self.are_in(value),
            Value::Option(None)
            | Value::Variant(_, None)
            | Value::Result(Ok(None) | Err(None))
            | Value::Bool(_)
            | Value::S8(_)
            | Value::U8(_)
            | Value::S16(_)
            | Value::U16(_)
            | Value::S32(_)
            | Value::U32(_)
            | Value::S64(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::Char(_)
            | Value::Enum(_)
            | Value::Flags(_) => false,
        }
    }

    fn are_in_bytes(&self, bytes: &[u8]) -> bool {
        let mut secrets =
            self.0.iter().map(|(_, secret)| secret.as_bytes()).filter(|secret| !secret.is_empty());
        secrets.any(|secret| bytes.windows(secret.len()).any(|window| window == secret))
    }

    /// Whether one of them is in a change of the channel.
    pub(crate) fn are_in_write(&self, write: &ChannelWrite) -> bool {
        let value = match &write.change {
            ChannelChange::Set { value, .. } | ChannelChange::Append { value } => &**value,
            ChannelChange::Delete => &[],
        };
        self.are_in_bytes(write.key.as_bytes()) || self.are_in_bytes(value)
    }

    /// The text without secrets.
    pub(crate) fn redact(&self, text: Arc<str>) -> Arc<str> {
        let secrets = self.0.iter().map(|(_, secret)| secret).filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| {
            if text.contains(&**secret) { text.replace(&**secret, REDACTED).into() } else { text }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_and_never_printed() {
        let pair = |name: &str, value: &str| (Arc::from(name), Arc::from(value));
        let secrets = Secrets(Arc::new([pair("KEY", "hunter2"), pair("EMPTY", "")]));
        assert_eq!(&*secrets.redact("the key is hunter2!".into()), "the key is [redacted]!");
        assert_eq!(format!("{secrets:?}"), r#"["KEY", "EMPTY"]"#);
        let within = |value: Value| secrets.are_in(&Value::Option(Some(Arc::new(value))));
        assert!(within(Value::string("it is hunter2")) && within(Value::Bytes(b"hunter2!"[..].into())));
        assert!(!within(Value::string("hunter")) && !within(Value::U8(1)));
    }
}
