//! Builds components from source before a workflow is checked, where `--build` asks for it.

use std::io;
use std::process::{Command, Stdio};

use super::output::say;
use crate::manifest::Build;

/// Why a component could not be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error("component `{alias}`: its `build` is empty")]
    Empty { alias: String },
    #[error("component `{alias}`: `{program}` cannot be started: {source}")]
    Start { alias: String, program: String, source: io::Error },
    #[error("component `{alias}`: `{command}` ended with {status}")]
    Failed { alias: String, command: String, status: std::process::ExitStatus },
}

/// Runs every build, one after the other, in the workflow file's folder and without a shell. What
/// they print goes to standard error.
pub(super) fn build(builds: &[Build]) -> Result<(), BuildError> {
    for Build { alias, words, folder } in builds {
        let command = words.join(" ");
        say(&format!("building {alias}: {command}"));
        let Some((program, arguments)) = words.split_first() else {
            return Err(BuildError::Empty { alias: alias.clone() });
        };
        let status = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(io::stderr())
            .status()
            .map_err(|source| BuildError::Start { alias: alias.clone(), program: program.clone(), source })?;
        if !status.success() {
            return Err(BuildError::Failed { alias: alias.clone(), command, status });
        }
    }
    Ok(())
}
