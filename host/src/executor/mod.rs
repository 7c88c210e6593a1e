//! Where attempts execute. An executor knows attempts and reports on them; workflows, groups and
//! retries are none of its business.

mod components;
mod descriptors;
mod in_process;
mod pool;
mod port;
mod process;
mod redis;
mod ssh;
mod words;
mod writes;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use in_process::{InProcess, InProcessSettings, ServingSettings, Supply};
pub use port::{Pace, Port, Reports};
pub use process::{Beneath, CHILD_SUBCOMMAND, Process};

pub use self::redis::{Queue, QueueSettings};
pub use self::ssh::{FoundMachine, FoundNode, Plan, Ssh, SshExecutorSettings, look_at_nodes};
pub(crate) use descriptors::receive;

use crate::id::{AttemptId, NodeId};
use crate::model::{Attempt, Cause, ChannelWrite, Level, Outcome, Stream, Usage, Warning};

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Executes attempts. Every attempt that is submitted ends in exactly one [`Report::Finished`] or
/// [`Report::Returned`].
pub trait Executor: Send + Sync {
    /// Reaches what it needs. Reports go to `port` from here on.
    ///
    /// # Errors
    /// Fails when the executor cannot be reached, the only failure that is not an outcome.
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>>;

    /// Takes attempts over. Never blocks.
    fn submit(&self, batch: Vec<Attempt>);

    /// Ends attempts. Those not yet started are `Returned`; running ones are stopped at once and
    /// then `Finished` as cancelled. Unknown ids are ignored.
    fn cancel(&self, ids: &[AttemptId], cause: Cause);

    /// The run was asked to stop. Guests that ask for it are told, attempts that were handed over and
    /// have not begun are `Returned`, and those that execute go on.
    fn announce_cancel(&self);

    /// Waits until nothing executes.
    fn drain(&self) -> BoxFuture<'_, ()>;

    /// Waits until somebody is there to execute, for so long as a group waits that may run elsewhere
    /// instead. Who executes by itself always is.
    ///
    /// # Errors
    /// Fails when nobody came.
    fn staffed(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The ends of these attempts are written down, or nobody writes them down: nothing that is kept of
    /// them elsewhere is needed any more. Never blocks.
    fn recorded(&self, ids: &[AttemptId]) {
        let _ = ids;
    }

    /// The run is over and nobody goes on with it: what it left elsewhere is removed.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How much an executor takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Attempts that execute at once. For so many, files are read however large these are.
    pub slots: usize,
    /// Attempts handed over beforehand, so that none of the slots waits for the next.
    pub ahead: usize,
}

/// An executor that cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("executor `{executor}` cannot be reached: {reason}")]
pub struct Unreachable {
    /// The executor's name.
    pub executor: Arc<str>,
    /// Why, and what to do.
    pub reason: String,
}

/// What an executor says of an attempt.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// It began to execute.
    Started {
        /// Which.
        id: AttemptId,
    },
    /// The guest wrote a line.
    Log {
        /// Which.
        id: AttemptId,
        /// How much it matters.
        level: Level,
        /// Where the guest wrote it.
        stream: Stream,
        /// The line, without its end.
        message: Arc<str>,
        /// Whether this marks that lines were cut.
        cut: bool,
    },
    /// The guest said how far it has come.
    Progress {
        /// Which.
        id: AttemptId,
        /// Units done.
        done: u64,
        /// Of so many, where that is known.
        total: Option<u64>,
        /// What is being done.
        message: Option<Arc<str>>,
    },
    /// It changed the run's channel. In the order of the changes, before its end and before that of
    /// every attempt that saw the change.
    Channel {
        /// Which.
        id: AttemptId,
        /// The change.
        write: Box<ChannelWrite>,
    },
    /// It was cancelled before it began to execute.
    Returned {
        /// Which.
        id: AttemptId,
    },
    /// It ended.
    Finished {
        /// Which.
        id: AttemptId,
        /// How.
        outcome: Outcome,
        /// What it used.
        usage: Usage,
        /// Which of the executor's workers had it, where it has any.
        worker: Option<Arc<str>>,
    },
    /// Something that people should know of.
    Warning {
        /// What kind.
        kind: Warning,
        /// In words.
        message: Arc<str>,
    },
    /// The same, of a group's attempts.
    GroupWarning {
        /// The group.
        node: NodeId,
        /// What kind.
        kind: Warning,
        /// In words.
        message: Arc<str>,
    },
    /// Breakers keep a group's attempts out for good: those that were submitted and wait are returned after this.
    KeptOut {
        /// The group.
        node: NodeId,
    },
}
