//! What a run yields: one JSON object, and files.

use std::sync::Arc;

use super::RunError;
use super::evaluate::Scope;
use crate::interface::to_json;
use crate::model::{Output, Value, Workflow};

/// What a run yields.
#[derive(Debug, Default)]
pub struct Outputs {
    /// By name, in the file's order; those that go to files are not among them.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Names and files that were written.
    pub files: Vec<(Arc<str>, std::path::PathBuf)>,
    /// Names of those left out, because what they need has no value.
    pub left_out: Vec<Arc<str>>,
}

impl Outputs {
    /// Makes the outputs whose nodes `has_value`, and writes files. All are tried; the first failure
    /// is returned.
    pub(crate) fn make(
        workflow: &Workflow,
        scope: &Scope,
        has_value: impl Fn(&Output) -> bool,
    ) -> Result<Self, RunError> {
        let mut outputs = Self::default();
        let mut failure = None;
        for output in &workflow.outputs {
            if !has_value(output) {
                outputs.left_out.push(Arc::clone(&output.name));
            } else if let Err(reason) = outputs.add(output, scope) {
                failure.get_or_insert(RunError::Output { name: Arc::clone(&output.name), reason });
            }
        }
        match failure {
            None => Ok(outputs),
            Some(failure) => Err(failure),
        }
    }

    fn add(&mut self, output: &Output, scope: &Scope) -> Result<(), String> {
        let value = scope.evaluate(&output.value).map_err(|error| error.to_string())?;
        let Some(path) = &output.file else {
            self.values.insert(output.name.to_string(), to_json(&value, &output.ty));
            return Ok(());
        };
        let written = match &value {
            Value::Bytes(bytes) => scope.root.write(path, bytes),
            Value::String(text) => scope.root.write(path, text.as_bytes()),
            _ => {
                let mut json = to_json(&value, &output.ty).to_string();
                json.push('\n');
                scope.root.write(path, json.as_bytes())
            }
        };
        written.map_err(|error| format!("`{}`: {error}", path.display()))?;
        self.files.push((Arc::clone(&output.name), path.clone()));
        Ok(())
    }
}
