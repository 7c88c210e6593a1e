//! One task or group while it runs: which of its branches come next, which are under way, and how
//! they join. It must not know of other nodes or of the capacity they share.

mod cut;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::branch::{Branch, Life, Step};
use super::breaker::News;
use super::gate::Gate;
use super::nesting::Inside;
use super::requirement::Requirement;
use super::retry::{self, Verdict};
use super::{Action, Nested, NodePlan, Recorded};
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
    /// The branch ended, and with it the node is decided.
    Settle(Cause),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) ending: Ending,
    /// Whether another attempt would end the same way.
    pub(super) permanent: bool,
    /// Whether the branch goes on with another iteration if it succeeded.
    pub(super) again: bool,
}

/// What is true of the whole run while a node takes an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Since the run's start.
    pub(super) now: Duration,
    /// Nothing more is submitted.
    pub(super) stopping: bool,
    /// Of the jitter.
    pub(super) seed: u64,
}

/// One task or group.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    /// Whose capacity it shares.
    pub(super) lane: usize,
    concurrency: u32,
    on_failure: OnFailure,
    first_success: bool,
    tolerant: bool,
    retry: Vec<Retry>,
    timeout: Option<Duration>,
    requirement: Requirement,
    /// What holds attempts back although they are ready.
    gate: Option<Box<Gate>>,
    /// When it has to end; set when it opens.
    pub(super) deadline: Option<Duration>,
    /// When the scheduler looks again at a node that is held back.
    pub(super) look_again: Option<Duration>,
    /// Which nodes wait for this one.
    pub(super) dependants: Vec<NodeId>,
    /// The branch of another node that it is, or is a part of.
    pub(super) member: Option<BranchId>,
    /// Its branches that are groups. They are neither active nor ready here, and run while they are under
    /// way.
    pub(super) inside: Inside,
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
    /// Why the node is decided, if it is.
    pub(super) settled: Option<Cause>,
    /// Whether that is because the group that it is in was decided.
    cancelled: bool,
    /// Whether a branch ended because the run stops, which might have succeeded otherwise.
    cut_short: bool,
    counts: Counts,
    /// What is known from before, until the node opens.
    recorded: Vec<Recorded>,
    /// Attempts of a branch that count against no budget, where there are any.
    before: FxHashMap<u32, u32>,
    /// What of nodes that are started its branches may start.
    pub(super) may_start: Vec<NodeId>,
    /// Whether others start its branches.
    pub(super) started: bool,
    /// Whether others may still start more of them.
    pub(super) more: bool,
    /// One that might have started more of them, but did not succeed.
    pub(super) denied: Option<NodeId>,
    /// Whether what waits for it is not to run.
    pub(super) left: bool,
}

impl Node {
    pub(super) fn new(id: NodeId, plan: NodePlan, missing: u32) -> Self {
        Self {
            id,
            lane: plan.lane,
            concurrency: plan.concurrency.map_or(u32::MAX, |bound| bound.max(1)),
            on_failure: plan.on_failure,
            first_success: plan.first_success,
            tolerant: plan.tolerant,
            retry: plan.retry,
            timeout: plan.policy.timeout,
            gate: Gate::new(&plan.policy),
            requirement: Requirement::new(plan.policy.require),
            deadline: None,
            look_again: None,
            dependants: Vec::new(),
            member: None,
            inside: Inside::new(plan.groups),
            phase: Phase::Waiting { missing },
            queued: false,
            branches: 0,
            next: 0,
            left_out: VecDeque::new(),
            active: FxHashMap::default(),
            ready: BinaryHeap::new(),
            running: 0,
            settled: None,
            cancelled: false,
            cut_short: false,
            counts: Counts::default(),
            recorded: Vec::new(),
            before: FxHashMap::default(),
            may_start: plan.may_start.into_iter().collect(),
            started: plan.started,
            more: plan.started,
            denied: None,
            left: false,
        }
    }

    /// Gets another branch. One that has not opened learns then how many it has.
    pub(super) fn start(&mut self) {
        if self.phase == Phase::Open {
            self.branches = self.branches.saturating_add(1);
            self.requirement.grow();
        }
    }

    /// Begins to run `branches` branches, of which those `left_out` count for nothing.
    pub(super) fn open(&mut self, branches: u32, mut left_out: Vec<u32>, now: Duration) {
        left_out.retain(|index| *index < branches);
        left_out.sort_unstable();
        left_out.dedup();
        self.requirement.open(branches, &left_out);
        self.deadline = self.timeout.map(|timeout| now.saturating_add(timeout));
        self.phase = Phase::Open;
        self.branches = branches;
        self.inside.open(branches, &left_out);
        self.recall(&mut left_out);
        self.left_out = left_out.into();
        self.skip_left_out();
    }

    /// Keeps what is known from before for when the node opens.
    pub(super) fn record(&mut self, recorded: Vec<Recorded>) {
        self.recorded = recorded;
    }

    /// Takes what is known from before into account, and adds to `passed` what the cursor passes by.
    fn recall(&mut self, passed: &mut Vec<u32>) {
        let mut recorded = std::mem::take(&mut self.recorded);
        recorded.sort_unstable_by_key(|recorded| recorded.index);
        recorded.dedup_by_key(|recorded| recorded.index);
        let left_out = passed.len();
        for Recorded { index, attempts, lost, before, ended } in recorded {
            let known = passed.get(..left_out).unwrap_or_default();
            if index >= self.branches || known.binary_search(&index).is_ok() {
                continue;
            }
            if self.inside.stage(index).is_some() {
                // One that began is known by its own branches.
                if let Some(ending) = ended.filter(|ending| *ending != Ending::Succeeded) {
                    self.inside.drop(index, ending);
                    self.requirement.miss(index);
                    passed.push(index);
                }
                continue;
            }
            if let Some(ending) = ended {
                self.counts.add(ending);
                match ending {
                    Ending::Succeeded => self.requirement.succeed(index),
                    Ending::Failed
                    | Ending::Trapped
                    | Ending::TimedOut
                    | Ending::Cancelled
                    | Ending::Rejected
                    | Ending::Lost => self.requirement.miss(index),
                }
            } else if attempts > 0 {
                self.active.insert(index, Branch::resumed(attempts, lost));
                self.ready.push(Reverse(index));
                if before > 0 {
                    self.before.insert(index, before);
                }
            } else {
                continue;
            }
            passed.push(index);
        }
        passed.sort_unstable();
    }

    /// Why the node is decided by what is known from before, if it is.
    pub(super) fn decided_before(&self) -> Option<Cause> {
        if self.counts.succeeded > 0 && self.first_success {
            return Some(Cause::Winner);
        }
        match self.on_failure {
            OnFailure::Cancel if self.told().ended() > 0 && self.requirement.is_out_of_reach() => {
                Some(Cause::Sibling)
            }
            OnFailure::Cancel | OnFailure::Continue => None,
        }
    }

    /// Whether a group is next in turn and may begin.
    pub(super) fn can_begin_group(&self) -> bool {
        self.next == self.inside.upcoming()
            && self.phase == Phase::Open
            && self.settled.is_none()
            && self.running < self.concurrency
    }

    /// Begins the group that is next in turn, if one is. It takes none of the capacity, and neither rate
    /// nor breaker hold it back.
    pub(super) fn begin_group(&mut self) -> Option<Nested> {
        if !self.can_begin_group() {
            return None;
        }
        let group = self.inside.begin()?;
        self.running += 1;
        self.next += 1;
        self.skip_left_out();
        Some(group)
    }

    fn skip_left_out(&mut self) {
        while self.next < self.branches && self.left_out.front() == Some(&self.next) {
            self.left_out.pop_front();
            self.next += 1;
        }
    }

    /// Whether a branch may be submitted now, as far as this node is concerned.
    pub(super) fn can_submit(&self, now: Duration) -> bool {
        self.wants_to_submit() && self.gate.as_ref().is_none_or(|gate| is_past(gate.opens_at(), now))
    }

    /// When a branch may be submitted, where nothing but time keeps it from being submitted now.
    pub(super) fn submits_at(&self, now: Duration) -> Option<Duration> {
        let gate = self.gate.as_ref()?;
        gate.opens_at().filter(|at| *at > now && self.wants_to_submit())
    }

    fn wants_to_submit(&self) -> bool {
        self.phase == Phase::Open
            && self.settled.is_none()
            && self.running < self.concurrency
            && (self.next < self.branches.min(self.inside.upcoming()) || !self.ready.is_empty())
    }

    /// Submits the branch that is next in turn: ready ones first, in the order of their positions.
    pub(super) fn submit(&mut self, now: Duration) -> Option<AttemptId> {
        if !self.can_submit(now) {
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
        let id = AttemptId { branch: BranchId { node: self.id, index }, number: branch.number() };
        if let Some(gate) = &mut self.gate {
            gate.submitted(id, now);
        }
        Some(id)
    }

    /// Takes the end of an attempt. None when no such attempt runs.
    pub(super) fn finish(
        &mut self,
        id: AttemptId,
        ended: Ended,
        moment: Moment,
        actions: &mut Vec<Action>,
    ) -> Option<Effect> {
        let Ended { ending, permanent, again } = ended;
        let index = id.branch.index;
        let branch = running(&mut self.active, id)?;
        self.running -= 1;
        let retry = self.retry.get(index as usize).or(self.retry.last());
        // An attempt that counts against no budget is as if it had not been.
        let before = self.before.get(&index).copied().unwrap_or_default();
        let counted = AttemptId { number: id.number.saturating_sub(before), ..id };
        let verdict = retry::verdict(retry, counted, branch.lost(), ending, permanent, moment.seed);
        let news = match &mut self.gate {
            Some(gate) if self.settled.is_none() => gate.ended(id, Some(ending), moment.now),
            Some(_) | None => News::None,
        };
        // A branch that would have been attempted again stands with those that wait.
        let last = moment.stopping || self.settled.is_some() || news == News::GaveUp;
        let again = again && ending == Ending::Succeeded;
        let (ending, effect) = match verdict {
            Verdict::Final if again && last => (Ending::Cancelled, Effect::None),
            Verdict::Final if again => {
                branch.step(Step::Iterate);
                self.ready.push(Reverse(index));
                self.before.insert(index, id.number);
                (ending, Effect::Ready)
            }
            Verdict::Final => (ending, Effect::None),
            Verdict::AtOnce | Verdict::After(_) if last => (Ending::Cancelled, Effect::None),
            Verdict::AtOnce => {
                branch.step(Step::Lose);
                self.ready.push(Reverse(index));
                actions.push(Action::Retry { id, delay: Duration::ZERO });
                (ending, Effect::Ready)
            }
            Verdict::After(delay) => {
                branch.step(Step::Postpone);
                actions.push(Action::Retry { id, delay });
                (ending, Effect::Wait(delay))
            }
        };
        if effect == Effect::None {
            branch.step(Step::Finish(ending));
            self.remove(index, moment.stopping, actions);
        }
        match news {
            News::None => {}
            News::Opened => actions.push(Action::BreakerOpened { node: self.id }),
            News::Closed => actions.push(Action::BreakerClosed { node: self.id }),
            News::GaveUp => return Some(Effect::Settle(Cause::Breaker)),
        }
        Some(match effect {
            Effect::None => self.decision(ending, moment.stopping).map_or(Effect::None, Effect::Settle),
            Effect::Ready | Effect::Wait(_) | Effect::Settle(_) => effect,
        })
    }

    /// Takes the end of a node that is a branch, or the last part of one. None where the branch goes on;
    /// else why this node is decided by that, if it is.
    pub(super) fn inner_ended(
        &mut self,
        index: u32,
        node: NodeId,
        status: Status,
        stopping: bool,
    ) -> Option<Option<Cause>> {
        let ending = self.inside.ended(index, node, status)?;
        self.running -= 1;
        self.require(index, ending, stopping);
        Some(self.decision(ending, stopping))
    }

    /// Why the node is decided now that a branch ended so, if it is and was not before.
    fn decision(&self, ending: Ending, stopping: bool) -> Option<Cause> {
        // What the stop of the run ends is no failure.
        if self.settled.is_some() || (stopping && ending == Ending::Cancelled) {
            return None;
        }
        if ending == Ending::Succeeded {
            return self.first_success.then_some(Cause::Winner);
        }
        match self.on_failure {
            OnFailure::Cancel if self.requirement.is_out_of_reach() => Some(Cause::Sibling),
            OnFailure::Cancel | OnFailure::Continue => None,
        }
    }

    /// Takes back an attempt that never began. None when no such attempt runs.
    pub(super) fn take_back(
        &mut self,
        id: AttemptId,
        moment: Moment,
        actions: &mut Vec<Action>,
    ) -> Option<Effect> {
        let branch = running(&mut self.active, id)?;
        branch.step(Step::Return);
        self.running -= 1;
        if let Some(gate) = &mut self.gate {
            gate.ended(id, None, moment.now);
        }
        if moment.stopping || self.settled.is_some() {
            branch.step(Step::Drop);
            self.remove(id.branch.index, moment.stopping, actions);
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

    /// Forgets a branch that is done, and counts it.
    fn remove(&mut self, index: u32, stopping: bool, actions: &mut Vec<Action>) {
        let Some(branch) = self.active.remove(&index) else { return };
        match branch.life() {
            Life::Done { ending, attempts } => {
                self.counts.add(ending);
                self.require(index, ending, stopping);
                let branch = BranchId { node: self.id, index };
                actions.push(Action::Ended { branch, ending, attempts });
            }
            // Not done after all: keep it.
            Life::Ready | Life::Running { .. } | Life::Backoff => {
                self.active.insert(index, branch);
            }
        }
    }

    /// Takes into account what the end of a branch means for what is required.
    fn require(&mut self, index: u32, ending: Ending, stopping: bool) {
        match ending {
            Ending::Succeeded => self.requirement.succeed(index),
            Ending::Cancelled if self.is_cut(stopping) => self.cut_short = true,
            Ending::Cancelled if self.settled.is_some() => {}
            Ending::Cancelled
            | Ending::Failed
            | Ending::Trapped
            | Ending::TimedOut
            | Ending::Rejected
            | Ending::Lost => self.requirement.miss(index),
        }
    }

    /// Whether all its branches have ended.
    pub(super) fn is_done(&self) -> bool {
        self.is_idle() && !self.more
    }

    /// Whether all its branches have ended that it has so far.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Open
            && self.next >= self.branches
            && self.active.is_empty()
            && self.inside.is_idle()
    }

    /// How a node stands whose branches have all ended. One that the stop of the run kept from
    /// having all that it could is cancelled, not failed or content with less, so that whoever goes
    /// on with the run goes on with it. A failure decides nothing where failures are values.
    pub(super) fn status(&self) -> Status {
        let failed = !self.tolerant && self.requirement.is_out_of_reach();
        let decided = self.settled == Some(Cause::Winner) || failed;
        if self.cancelled || (self.cut_short && !decided) {
            Status::Cancelled
        } else if self.tolerant || self.requirement.is_met() {
            Status::Succeeded
        } else {
            Status::Failed
        }
    }

    /// Its branches by their ending, those that are groups among them.
    pub(super) fn told(&self) -> Counts {
        self.counts.plus(self.inside.counts())
    }

    /// Ends the node and gives back what it held: its branches by their ending, without those that are
    /// groups, and who waits for it.
    pub(super) fn close(&mut self) -> (Counts, Vec<NodeId>) {
        self.phase = Phase::Closed;
        self.active = FxHashMap::default();
        self.ready = BinaryHeap::new();
        self.left_out = VecDeque::new();
        self.before = FxHashMap::default();
        (self.counts, std::mem::take(&mut self.dependants))
    }
}

/// Whether the time is there and has come.
fn is_past(at: Option<Duration>, now: Duration) -> bool {
    at.is_some_and(|at| at <= now)
}

/// The branch whose attempt `id` runs. An id of an earlier attempt, or of one that does not run, is
/// no longer anybody's.
fn running(active: &mut FxHashMap<u32, Branch>, id: AttemptId) -> Option<&mut Branch> {
    active.get_mut(&id.branch.index).filter(|branch| branch.is_running() && branch.number() == id.number)
}
