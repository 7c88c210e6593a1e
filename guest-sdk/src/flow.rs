//! What happens next, as far as a task decides it: that other tasks start, that it runs again, that the run
//! ends. The workflow file allows it, with `may-start`, `max-iterations` and `may-end`; nothing takes effect
//! unless the attempt succeeds. A deterministic task may not ask for anything.
//!
//! Arguments are a JSON object by parameter, as text or as anything that displays as one, such as a
//! `serde_json::Value`. What it leaves out is in the task's `with`.

use std::fmt::Display;

pub use crate::bindings::flowhost::task::flow::Error;
use crate::host;

/// Starts `task` once this attempt has succeeded. The task runs once each time, and its value in the
/// workflow is the list of its values in the order started.
///
/// ```
/// # use flowhost_guest::{flow, testing::Host};
/// # let host = Host::start();
/// flow::next("refine", r#"{"text": "a draft"}"#)?;
/// # assert_eq!(host.requests().len(), 1);
/// # Ok::<(), flow::Error>(())
/// ```
///
/// # Errors
/// Fails when `may-start` does not list the task, when these are no arguments for it, or when the attempt
/// has asked 10,000 times or with more than 1,048,576 bytes (1 MiB) of text in all.
pub fn next(task: &str, arguments: impl Display) -> Result<(), Error> {
    host::next(task, &arguments.to_string())
}

/// Runs this branch again once this attempt has succeeded. Its value is that of the last iteration.
///
/// # Errors
/// Fails when the branch has run `max-iterations` times, this one included, when these are no arguments for
/// it, or when this attempt has said how it goes on.
pub fn iterate(arguments: impl Display) -> Result<(), Error> {
    host::iterate(&arguments.to_string())
}

/// Starts `task` with the arguments that the file gives it, and skips what waits for this task, but for what
/// it may start.
///
/// # Errors
/// Fails when `may-start` does not list the task, when the file lacks an argument of it, when this is a
/// branch of a group, or when this attempt has said how it goes on.
pub fn goto(task: &str) -> Result<(), Error> {
    host::goto(task)
}

/// Ends the run as succeeded once this attempt has. What runs is cancelled, and what waits does not run.
///
/// # Errors
/// Fails without `may-end`, or when this attempt has said how it goes on.
pub fn finish() -> Result<(), Error> {
    host::finish()
}

/// Ends the run as failed, for this reason. The attempt counts as failed and is not retried; it has to
/// return a value all the same, since a failure of its own asks for nothing.
///
/// # Errors
/// Fails without `may-end`, or when this attempt has said how it goes on.
pub fn abort(reason: impl Display) -> Result<(), Error> {
    host::abort(&reason.to_string())
}

impl Error {
    /// What went wrong, in words.
    #[must_use]
    pub fn describe(&self) -> &str {
        match self {
            Self::NotAllowed(reason) | Self::InvalidArguments(reason) => reason,
            Self::TooManyIterations => "the branch has run `max-iterations` times",
            Self::AlreadyDecided => "this attempt has said how it goes on",
            Self::TooManyRequests => "the attempt has asked too often, or with too much text",
        }
    }
}

/// Permanent: another attempt would be told the same.
impl From<Error> for crate::Failure {
    fn from(error: Error) -> Self {
        Self::Permanent(format!("flow: {}", error.describe()))
    }
}
