//! What runs when: order by data, concurrency, failure, retry, and what a group requires. Decides and never acts: it must not
//! know of clocks, randomness, executors, values or threads. Time and seed arrive as arguments, and
//! whoever calls carries the [`Action`]s out and answers with [`Input`]s.

mod branch;
mod breaker;
mod gate;
mod nesting;
mod node;
mod order;
mod plan;
mod rate;
mod requirement;
mod retry;
mod scheduler;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

pub use breaker::{Breaker, News};
pub use plan::{Nested, NodePlan, Plan};
pub use scheduler::Scheduler;

use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Cause, Counts, Ending, Status};

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The run begins. A second one changes nothing.
    Begin,
    /// What is known from before of the branches of a node that is to be opened: comes after
    /// [`Action::Open`] and before its answer. At any other time it is dropped as stale.
    Recorded {
        /// Which node.
        node: NodeId,
        /// At most one of each branch, in any order. Those of branches that the node turns out not to
        /// have are dropped.
        branches: Vec<Recorded>,
    },
    /// The answer to [`Action::Open`]: the node runs, with so many branches.
    Opened {
        /// Which.
        node: NodeId,
        /// How many branches it has, those left out included. None is a success.
        branches: u32,
        /// Branches that count for nothing: members whose own `when` is false. In any order.
        left_out: Vec<u32>,
    },
    /// The answer to [`Action::Open`]: the node's `when` is false.
    Skipped {
        /// Which.
        node: NodeId,
    },
    /// The answer to [`Action::Open`]: `when` or the items could not be evaluated. The node failed.
    Refused {
        /// Which.
        node: NodeId,
    },
    /// A submitted attempt ended.
    Finished {
        /// Which.
        id: AttemptId,
        /// How.
        ending: Ending,
        /// Whether another attempt would end the same way, whatever the retry policy says.
        permanent: bool,
        /// Whether the branch goes on with another iteration, if the attempt succeeded: its budgets of
        /// attempts begin anew.
        again: bool,
        /// Whether it ends the run, as [`Input::End`] does, and whether as succeeded.
        ends: Option<bool>,
    },
    /// A node that opens only branches which are asked for gets one more. What asks for it has not
    /// ended yet.
    Start {
        /// Which.
        node: NodeId,
    },
    /// What waits for this node is not to run, but for what it may start.
    Leave {
        /// Which. It has not ended yet.
        node: NodeId,
    },
    /// A task ended the run before it was resumed: what runs is cancelled, and what waits ends cancelled.
    End {
        /// Whether the run succeeded so; else it failed.
        succeeded: bool,
    },
    /// Whoever executes a node's attempts takes no more of them, since they fail one after the other: the node is
    /// decided as by its own breaker.
    KeptOut {
        /// Which.
        node: NodeId,
    },
    /// A submitted attempt was handed back before it began. It is submitted again under the same
    /// id, unless its node or the run is being cancelled.
    Returned {
        /// Which.
        id: AttemptId,
    },
    /// Time passed, or the capacity changed.
    Tick,
    /// Start nothing more. Running attempts finish; then all that waits ends cancelled.
    Interrupt,
    /// [`Input::Interrupt`], and running attempts are cancelled.
    Abort,
}

/// What is known of a branch from before this scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its position.
    pub index: u32,
    /// How many attempts ended. The next has the number after that.
    pub attempts: u32,
    /// How many of these were lost and count against the budget for that.
    pub lost: u32,
    /// How many of these count against no budget.
    pub before: u32,
    /// How it ended for good, if it did. Then it counts, and nothing is said of it.
    pub ended: Option<Ending>,
}

/// What is to be done, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// All that the node waits for has succeeded: evaluate its `when` and its items and answer with
    /// [`Input::Opened`], [`Input::Skipped`] or [`Input::Refused`]. When the run is interrupted, or the
    /// group that it is in is decided, the node may be closed before the answer, which is then dropped as
    /// stale.
    Open {
        /// Which.
        node: NodeId,
    },
    /// Hand the attempt to its executor.
    Submit {
        /// Which.
        id: AttemptId,
    },
    /// Ask the executor to end the attempt. Its [`Input::Finished`] or [`Input::Returned`] is still
    /// due.
    Cancel {
        /// Which.
        id: AttemptId,
        /// Why.
        cause: Cause,
    },
    /// The attempt ended and its branch is attempted again.
    Retry {
        /// Which attempt ended.
        id: AttemptId,
        /// How long the branch waits.
        delay: Duration,
    },
    /// The node is decided: nothing more of it is submitted, what runs is being cancelled and what
    /// waits ends cancelled. Said at most once of each node, before those cancellations.
    Settled {
        /// Which.
        node: NodeId,
        /// Why. Never [`Cause::Interrupted`].
        cause: Cause,
    },
    /// The node's attempts failed one after the other, and are held back from here on.
    BreakerOpened {
        /// Which.
        node: NodeId,
    },
    /// A probe succeeded, and the node's attempts go on.
    BreakerClosed {
        /// Which.
        node: NodeId,
    },
    /// A branch ended for good. Said once of each branch, here or in [`Action::EndedUnstarted`]; of a
    /// group that began, the [`Action::Closed`] of its last node says it.
    Ended {
        /// Which.
        branch: BranchId,
        /// How.
        ending: Ending,
        /// How many attempts were made. One that was handed back unstarted is not counted.
        attempts: u32,
    },
    /// Branches that were never submitted, and groups that have not begun, ended cancelled.
    EndedUnstarted {
        /// Of which node.
        node: NodeId,
        /// Their positions. Never empty.
        range: Range<u32>,
    },
    /// A node ended. Said once of each node, after all its branches.
    Closed {
        /// Which.
        node: NodeId,
        /// How. Never pending or running.
        status: Status,
        /// Its branches by their ending, those that are groups among them.
        counts: Counts,
        /// A node that it waits for and that has no value, that went elsewhere, or that might have
        /// started more of it, where it is skipped for that.
        because: Option<NodeId>,
    },
    /// The run ended. The last action.
    Over {
        /// What [`Input::End`] said, or else failed if any node failed, cancelled if any was cancelled,
        /// and succeeded otherwise. Nodes that are in a group do not matter: the group does.
        status: Status,
        /// All branches by their ending, but for those that are groups, whose own branches count.
        counts: Counts,
    },
}
