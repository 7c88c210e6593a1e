//! How an attempt ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Metrics, Requests, Value};

/// How an attempt ended. Messages are for people and may hold anything that a guest wrote.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The export returned, and `ok` where it returns a `result`.
    Succeeded(Value),
    /// The export returned `err`, or the command exited with a code other than 0.
    Failed {
        /// What the guest said: the string itself, or the JSON of what it returned.
        message: String,
        /// Whether another attempt would fail the same way.
        permanent: bool,
    },
    /// The guest trapped, or reached a limit.
    Trapped {
        /// The trap, the limit's name and value where one was reached, and the wasm backtrace.
        message: String,
    },
    /// The attempt's timeout passed.
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The run or the group was cancelled, or a sibling's failure cancelled it.
    Cancelled {
        /// Why.
        cause: Cause,
    },
    /// Refused before it ran.
    Rejected {
        /// Why.
        reason: String,
    },
    /// The worker, child, connection or lease was lost.
    Lost {
        /// What is known of how.
        reason: String,
        /// Whether it was delivered as often as it may be, so that it is not attempted again.
        exhausted: bool,
    },
}

/// Why an attempt was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The run was interrupted.
    Interrupted,
    /// Another branch of a group with `on-failure = "cancel"` did not succeed.
    Sibling,
    /// Another branch of a group with `merge = "first-success"` succeeded.
    Winner,
    /// The group's timeout passed.
    GroupTimeout,
    /// The group's breaker stayed open.
    Breaker,
    /// A task ended the run as succeeded.
    Finished,
    /// A task ended the run as failed.
    Aborted,
    /// The group is a member of another one, which was decided.
    Outer,
}

impl Cause {
    /// In words, as in "cancelled: …".
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Interrupted => "the run was interrupted",
            Self::Sibling => "another branch of its group did not succeed",
            Self::Winner => "another branch of its group succeeded first",
            Self::GroupTimeout => "the timeout of its group passed",
            Self::Breaker => "breaker open",
            Self::Finished => "a task finished the run",
            Self::Aborted => "a task aborted the run",
            Self::Outer => "the group that its group is in was decided",
        }
    }
}

/// An outcome's name, without its payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// See [`Outcome::Succeeded`].
    Succeeded,
    /// See [`Outcome::Failed`].
    Failed,
    /// See [`Outcome::Trapped`].
    Trapped,
    /// See [`Outcome::TimedOut`].
    TimedOut,
    /// See [`Outcome::Cancelled`].
    Cancelled,
    /// See [`Outcome::Rejected`].
    Rejected,
    /// See [`Outcome::Lost`].
    Lost,
}

impl Ending {
    /// The word of the vocabulary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
        }
    }
}

impl Outcome {
    /// Which outcome this is.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::Succeeded(_) => Ending::Succeeded,
            Self::Failed { .. } => Ending::Failed,
            Self::Trapped { .. } => Ending::Trapped,
            Self::TimedOut { .. } => Ending::TimedOut,
            Self::Cancelled { .. } => Ending::Cancelled,
            Self::Rejected { .. } => Ending::Rejected,
            Self::Lost { .. } => Ending::Lost,
        }
    }

    /// What is to be said of it; none where it succeeded.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Succeeded(_) => None,
            Self::Failed { message, .. } | Self::Trapped { message } => Some(message.clone()),
            Self::TimedOut { after } => Some(format!("the timeout of {after:?} passed")),
            Self::Cancelled { cause } => Some(cause.describe().to_owned()),
            Self::Rejected { reason } | Self::Lost { reason, .. } => Some(reason.clone()),
        }
    }
}

/// What an attempt used and reported beside its result.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// From the moment the guest started to its end.
    pub wall: Duration,
    /// The most linear memory that it had at once, in bytes.
    pub peak_memory: u64,
    /// Units of fuel, where they were counted.
    pub fuel: Option<u64>,
    /// What the guest reported; none unless the attempt succeeded.
    pub metrics: Metrics,
    /// What the guest asked for; none unless the attempt succeeded.
    pub requests: Option<Box<Requests>>,
}
