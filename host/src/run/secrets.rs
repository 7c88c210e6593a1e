//! Values that must not be shown: read from flowhost's environment when the run begins, and
//! redacted wherever a guest repeats them.

use std::sync::Arc;

use super::{Environment, RunError};
use crate::model::{EnvironmentValue, Expr, Workflow};

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
    }
}
