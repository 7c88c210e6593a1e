//! One task or group while it runs: which of its branches come next, which are under way, and how
//! they join. It must not know of other nodes, of the capacity they share, or of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::branch::{Branch, Life, Step};
use super::retry::{self, Verdict};
use super::{Action, NodePlan};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Cause, Counts, Ending, OnFailure, Retry, Status};

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Waits for so many nodes. With none missing, the run was stopped before it could open.
    Waiting { missing: u32 },
    /// `when` and the items are being evaluated.
    Opening,
    /// Its branches run.
    Open,
    /// It ended.
    Closed,
}

/// What an ended attempt means beyond its branch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Effect {
    /// The branch ended, and nothing else changes.
    None,
    /// The branch is ready again.
    Ready,
    /// The branch waits for so long.
    Wait(Duration),
    /// The branch ended, and all others are to be cancelled.
    CancelOthers,
}

/// One task or group.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    concurrency: u32,
    on_failure: OnFailure,
    tolerant: bool,
    retry: Vec<Retry>,
    /// Which nodes wait for this one.
    pub(super) dependants: Vec<NodeId>,
    pub(super) phase: Phase,
    /// Whether it stands in the scheduler's round.
    pub(super) queued: bool,
    branches: u32,
    /// The first branch that was never submitted. Never one that is left out.
    next: u32,
    /// Branches from `next` on that count for nothing, ascending.
    left_out: VecDeque<u32>,
    /// Branches that were submitted and have not ended.
    active: FxHashMap<u32, Branch>,
    /// Those of the active ones that may be submitted, each once.
    ready: BinaryHeap<Reverse<u32>>,
    running: u32,
    cancelling: bool,
    counts: Counts,
}

impl Node {
    pub(super) fn new(id: NodeId, plan: NodePlan, missing: u32) -> Self {
        Self {
            id,
            concurrency: plan.concurrency.map_or(u32::MAX, |bound| bound.max(1)),
            on_failure: plan.on_failure,
            tolerant: plan.tolerant,
            retry: plan.retry,
            dependants: Vec::new(),
            phase: Phase::Waiting { missing },
            queued: false,
            branches: 0,
            next: 0,
            left_out: VecDeque::new(),
            active: FxHashMap::default(),
            ready: BinaryHeap::new(),
            running: 0,
            cancelling: false,
            counts: Counts::default(),
        }
    }

    /// Begins to run `branches` branches, of which those `left_out` count for nothing.
    pub(super) fn open(&mut self, branches: u32, mut left_out: Vec<u32>) {
        left_out.sort_unstable();
        left_out.dedup();
        self.phase = Phase::Open;
        self.branches = branches;
        self.left_out = left_out.into();
        self.skip_left_out();
    }

    fn skip_left_out(&mut self) {
        while self.next < self.branches && self.left_out.front() == Some(&self.next) {
            self.left_out.pop_front();
            self.next += 1;
        }
    }

    /// Whether a branch may be submitted now, as far as this node is concerned.
    pub(super) fn can_submit(&self) -> bool {
        self.phase == Phase::Open
            && !self.cancelling
            && self.running < self.concurrency
            && (self.next < self.branches || !self.ready.is_empty())
    }

    /// Submits the branch that is next in turn: ready ones first, in the order of their positions.
    pub(super) fn submit(&mut self) -> Option<AttemptId> {
        if !self.can_submit() {
            return None;
        }
        let index = match self.ready.pop() {
            Some(Reverse(index)) => index,
            None => {
                let index = self.next;
                self.next += 1;
                self.skip_left_out();
                index
            }
        };
        let branch = self.active.entry(index).or_insert_with(Branch::new);
        branch.step(Step::Submit);
        self.running += 1;
        Some(AttemptId { branch: BranchId { node: self.id, index }, number: branch.number() })
    }

    /// Takes the end of an attempt. None when no such attempt runs.
    pub(super) fn finish(
        &mut self,
        id: AttemptId,
        ending: Ending,
        permanent: bool,
        stopping: bool,
        seed: u64,
        actions: &mut Vec<Action>,
    ) -> Option<Effect> {
        let index = id.branch.index;
        let branch = running(&mut self.active, id)?;
        self.running -= 1;
        let retry = self.retry.get(index as usize).or(self.retry.last());
        let verdict = retry::verdict(retry, id, branch.lost(), ending, permanent, seed);
        // A branch that would have been attempted again stands with those that wait.
        let last = stopping || self.cancelling;
        let ending = match verdict {
            Verdict::Final => ending,
            Verdict::AtOnce | Verdict::After(_) if last => Ending::Cancelled,
            Verdict::AtOnce => {
                branch.step(Step::Lose);
                self.ready.push(Reverse(index));
                actions.push(Action::Retry { id, delay: Duration::ZERO });
                return Some(Effect::Ready);
            }
            Verdict::After(delay) => {
                branch.step(Step::Postpone);
                actions.push(Action::Retry { id, delay });
                return Some(Effect::Wait(delay));
            }
        };
        branch.step(Step::Finish(ending));
        self.remove(index, actions);
        let harmless = match ending {
            Ending::Succeeded => true,
            Ending::Cancelled => last,
            Ending::Failed | Ending::Trapped | Ending::TimedOut | Ending::Rejected | Ending::Lost => false,
        };
        match self.on_failure {
            OnFailure::Cancel if !harmless && !self.cancelling => Some(Effect::CancelOthers),
            OnFailure::Cancel | OnFailure::Continue => Some(Effect::None),
        }
    }

    /// Takes back an attempt that never began. None when no such attempt runs.
    pub(super) fn take_back(
        &mut self,
        id: AttemptId,
        stopping: bool,
        actions: &mut Vec<Action>,
    ) -> Option<Effect> {
        let branch = running(&mut self.active, id)?;
        branch.step(Step::Return);
        self.running -= 1;
        if stopping || self.cancelling {
            branch.step(Step::Drop);
            self.remove(id.branch.index, actions);
            return Some(Effect::None);
        }
        self.ready.push(Reverse(id.branch.index));
        Some(Effect::Ready)
    }

    /// Makes a branch ready whose time has come.
    pub(super) fn wake(&mut self, index: u32) {
        if let Some(branch) = self.active.get_mut(&index)
            && branch.step(Step::Wake)
        {
            self.ready.push(Reverse(index));
        }
    }

    /// Cancels what runs and drops what waits. Nothing of this node is submitted any more.
    pub(super) fn cancel(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        self.cancelling = true;
        self.tell_running(cause, actions);
        self.drop_waiting(actions);
    }

    /// Asks for the end of what runs, each once, in the order of positions.
    pub(super) fn tell_running(&mut self, cause: Cause, actions: &mut Vec<Action>) {
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

    /// Ends as cancelled all that is not running, in the order of positions.
    pub(super) fn drop_waiting(&mut self, actions: &mut Vec<Action>) {
        let mut dropped = Vec::new();
        for (&index, branch) in &mut self.active {
            if branch.step(Step::Drop) {
                dropped.push(index);
            }
        }
        dropped.sort_unstable();
        for index in dropped {
            self.remove(index, actions);
        }
        self.ready.clear();

        while self.next < self.branches {
            let gap = self.left_out.front().copied().unwrap_or(self.branches).min(self.branches);
            let range = self.next..gap;
            self.counts.cancelled += u64::from(gap - self.next);
            actions.push(Action::EndedUnstarted { node: self.id, range });
            self.next = gap;
            self.skip_left_out();
        }
    }

    /// Forgets a branch that is done.
    fn remove(&mut self, index: u32, actions: &mut Vec<Action>) {
        let Some(branch) = self.active.remove(&index) else { return };
        match branch.life() {
            Life::Done { ending, attempts } => {
                self.counts.add(ending);
                let branch = BranchId { node: self.id, index };
                actions.push(Action::Ended { branch, ending, attempts });
            }
            // Not done after all: keep it.
            Life::Ready | Life::Running { .. } | Life::Backoff => {
                self.active.insert(index, branch);
            }
        }
    }

    /// Whether all its branches have ended.
    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Open && self.next >= self.branches && self.active.is_empty()
    }

    /// How a node stands whose branches have all ended.
    pub(super) fn status(&self, stopping: bool) -> Status {
        if self.counts.failed > 0 && !self.tolerant {
            Status::Failed
        } else if self.counts.cancelled == 0 {
            Status::Succeeded
        } else if stopping {
            Status::Cancelled
        } else if self.tolerant {
            Status::Succeeded
        } else {
            Status::Failed
        }
    }

    /// Ends the node and gives back what it held.
    pub(super) fn close(&mut self) -> (Counts, Vec<NodeId>) {
        self.phase = Phase::Closed;
        self.active = FxHashMap::default();
        self.ready = BinaryHeap::new();
        self.left_out = VecDeque::new();
        (self.counts, std::mem::take(&mut self.dependants))
    }
}

/// The branch whose attempt `id` runs. An id of an earlier attempt, or of one that does not run, is
/// no longer anybody's.
fn running(active: &mut FxHashMap<u32, Branch>, id: AttemptId) -> Option<&mut Branch> {
    active.get_mut(&id.branch.index).filter(|branch| branch.is_running() && branch.number() == id.number)
}
