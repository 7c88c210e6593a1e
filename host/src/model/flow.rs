//! What a task may ask for beside its result: that other tasks start, that it runs again, that the
//! run ends. Says what was asked and what is allowed; it must not know how that comes about.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Type;

/// So often one attempt may ask for something.
pub const MOST_REQUESTS: usize = 10_000;

/// So much text one attempt's requests may hold in all, in bytes: names, arguments, reasons.
pub const REQUESTS_TEXT: usize = 1 << 20;

/// What an attempt asked for, in order. It takes effect only if the attempt succeeds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Requests {
    /// Tasks that start, each once.
    pub next: Vec<Start>,
    /// How the branch itself goes on.
    pub then: Then,
}

/// A task that starts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Its name in the workflow file.
    pub task: Arc<str>,
    /// A JSON object: arguments by parameter. What it leaves out is in the task's `with`.
    pub arguments: Arc<str>,
}

/// How a branch goes on after an attempt that succeeded.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// As if nothing had been asked for: it ends.
    #[default]
    Ends,
    /// It runs again, with these arguments: a JSON object, as in [`Start`].
    Iterates(Arc<str>),
    /// It ends, this task starts, and what waits for the branch's own task is skipped.
    GoesTo(Arc<str>),
    /// It ends, and the run with it, which succeeded.
    Finishes,
    /// The run ends as failed, for this reason.
    Aborts(Arc<str>),
}

impl Requests {
    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_empty() && self.then == Then::Ends
    }
}

/// What a task may ask for. The default is nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Allowed {
    /// Tasks that it may start.
    pub start: Vec<Startable>,
    /// The task itself, as [`Requests`] may run it again.
    pub itself: Vec<Parameter>,
    /// So often a branch of it may run, the first time included. 1 allows no iteration.
    pub iterations: u32,
    /// Whether it may end the run.
    pub end: bool,
    /// Whether it may continue elsewhere: not as one of several branches, which others wait for.
    pub leave: bool,
}

/// A task that may be started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Startable {
    /// Its name.
    pub task: Arc<str>,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
}

/// A parameter of a task that may be started or run again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Whether the workflow file has a value for it.
    pub known: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_something_is_not_empty() {
        assert!(Requests::default().is_empty());
        let start = Start { task: "t".into(), arguments: "{}".into() };
        assert!(!Requests { next: vec![start], then: Then::Ends }.is_empty());
        let thens =
            [Then::Iterates("{}".into()), Then::GoesTo("t".into()), Then::Finishes, Then::Aborts("r".into())];
        for then in thens {
            assert!(!Requests { next: Vec::new(), then }.is_empty());
        }
    }
}
