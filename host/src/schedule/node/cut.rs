//! How a node's branches end before their time: what runs is asked to end, and what waits is dropped. It
//! must not know why.

use super::{Node, Phase};
use crate::id::{AttemptId, BranchId};
use crate::model::Cause;
use crate::schedule::Action;
use crate::schedule::branch::Step;

impl Node {
    /// Decides the node, because the group that it is in is: however its branches ended, it is cancelled.
    pub(in crate::schedule) fn cancel(&mut self, actions: &mut Vec<Action>) {
        self.cancelled = true;
        self.settle(Cause::Outer, actions);
    }

    /// Decides the node, unless it was: cancels what runs and drops what waits. Nothing of it is
    /// submitted any more. Branches that are groups are for whoever knows all nodes.
    pub(in crate::schedule) fn settle(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        if self.phase != Phase::Open || self.settled.is_some() {
            return;
        }
        self.settled = Some(cause);
        actions.push(Action::Settled { node: self.id, cause });
        self.tell_running(cause, actions);
        self.drop_waiting(actions);
    }

    /// Asks for the end of what runs, each once, in the order of positions.
    pub(in crate::schedule) fn tell_running(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        let mut told = Vec::new();
        for (&index, branch) in &mut self.active {
            if branch.step(Step::Tell) {
                let branch_id = BranchId { node: self.id, index };
                told.push(AttemptId { branch: branch_id, number: branch.number() });
            }
        }
        // A map's order is nobody's order.
        told.sort_unstable();
        actions.extend(told.into_iter().map(|id| Action::Cancel { id, cause }));
    }

    /// Ends as cancelled all that is not running, in the order of positions: of a node that is
    /// decided, or because the run stops.
    pub(in crate::schedule) fn drop_waiting(&mut self, actions: &mut Vec<Action>) {
        let mut dropped = Vec::new();
        for (&index, branch) in &mut self.active {
            if branch.step(Step::Drop) {
                dropped.push(index);
            }
        }
        dropped.sort_unstable();
        let stopping = self.settled.is_none();
        for index in dropped {
            self.remove(index, stopping, actions);
        }
        self.ready.clear();
        self.cut_short |= self.is_cut(stopping) && (self.next < self.branches || self.more);
        self.more = false;

        while self.next < self.branches {
            let gap = self.left_out.front().copied().unwrap_or(self.branches).min(self.branches);
            let range = self.next..gap;
            self.counts.cancelled += u64::from(gap - self.next);
            actions.push(Action::EndedUnstarted { node: self.id, range });
            self.next = gap;
            self.skip_left_out();
        }
        self.counts.cancelled -= self.inside.drop_waiting();
    }

    /// Whether what is cancelled now is so because the run ends, and not for anything in the node.
    pub(super) fn is_cut(&self, stopping: bool) -> bool {
        match self.settled {
            None => stopping,
            Some(Cause::Finished | Cause::Aborted) => true,
            Some(
                Cause::Interrupted
                | Cause::Sibling
                | Cause::Winner
                | Cause::GroupTimeout
                | Cause::Breaker
                | Cause::Outer,
            ) => false,
        }
    }
}
