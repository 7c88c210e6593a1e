//! A script tells the scheduler what happens and reads what it answers; words for the answers.

use super::{attempt, branch, ms, plan};
use crate::id::{AttemptId, NodeId};
use crate::model::{Cause, Counts, Ending, Status};
use crate::schedule::{Action, Input, NodePlan, Plan, Scheduler};

pub(super) struct Script {
    pub(super) scheduler: Scheduler,
    /// In milliseconds.
    pub(super) now: u64,
}

impl Script {
    pub(super) fn new(plan: Plan, capacity: usize) -> Self {
        Self { scheduler: Scheduler::new(plan, 1, capacity), now: 0 }
    }

    /// One node of so many branches, already open.
    pub(super) fn group(node: NodePlan, branches: u32, capacity: usize) -> (Self, Vec<Action>) {
        let mut script = Self::new(plan([node]), capacity);
        assert_eq!(script.tell(Input::Begin), [open(0)]);
        let actions = script.opened(0, branches);
        (script, actions)
    }

    pub(super) fn tell(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.scheduler.handle(input, ms(self.now), &mut actions);
        actions
    }

    pub(super) fn opened(&mut self, node: u32, branches: u32) -> Vec<Action> {
        self.tell(Input::Opened { node: NodeId(node), branches, left_out: vec![] })
    }

    pub(super) fn finished(&mut self, id: AttemptId, ending: Ending) -> Vec<Action> {
        self.tell(Input::Finished { id, ending, permanent: false, again: false, ends: None })
    }

    pub(super) fn succeed(&mut self, node: u32, index: u32) -> Vec<Action> {
        self.finished(attempt(node, index, 1), Ending::Succeeded)
    }
}

pub(super) fn open(node: u32) -> Action {
    Action::Open { node: NodeId(node) }
}

pub(super) fn submit(node: u32, index: u32, number: u32) -> Action {
    Action::Submit { id: attempt(node, index, number) }
}

pub(super) fn cancel(index: u32, cause: Cause) -> Action {
    Action::Cancel { id: attempt(0, index, 1), cause }
}

pub(super) fn ended(node: u32, index: u32, ending: Ending, attempts: u32) -> Action {
    Action::Ended { branch: branch(node, index), ending, attempts }
}

pub(super) fn unstarted(node: u32, range: std::ops::Range<u32>) -> Action {
    Action::EndedUnstarted { node: NodeId(node), range }
}

pub(super) fn again(index: u32, number: u32, delay: u64) -> Action {
    Action::Retry { id: attempt(0, index, number), delay: ms(delay) }
}

pub(super) fn counts(succeeded: u64, failed: u64, cancelled: u64) -> Counts {
    Counts { succeeded, failed, cancelled, cached: 0 }
}

pub(super) fn closed(node: u32, status: Status, counts: Counts) -> Action {
    Action::Closed { node: NodeId(node), status, counts, because: None }
}

pub(super) fn skipped_for(node: u32, because: u32) -> Action {
    let because = Some(NodeId(because));
    Action::Closed { node: NodeId(node), status: Status::Skipped, counts: Counts::default(), because }
}

pub(super) fn over(status: Status, counts: Counts) -> Action {
    Action::Over { status, counts }
}

pub(super) fn settled(cause: Cause) -> Action {
    Action::Settled { node: NodeId(0), cause }
}
