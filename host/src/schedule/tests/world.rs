//! A simulated world around the scheduler, which makes the moves of a case. It keeps books of its
//! own and checks every action against them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::cases::{Answer, Case, Move};
use super::ms;
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Cause, Counts, Ending, LOST_BUDGET, OnFailure, Retry, RetryOn, Status};
use crate::schedule::{Action, Input, Scheduler};

/// What the books say of a branch that was submitted.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    running: bool,
    /// Submitted so often under a new number.
    number: u32,
    lost: u32,
    /// When the next attempt is due, where one was announced.
    due: Option<Duration>,
    told: bool,
}

/// A run in progress, and the books.
pub(super) struct World<'a> {
    case: &'a Case,
    scheduler: Scheduler,
    pub(super) trace: Vec<Action>,
    now: Duration,
    capacity: usize,
    opening: BTreeSet<NodeId>,
    opened: BTreeMap<NodeId, (u32, BTreeSet<u32>)>,
    branches: BTreeMap<BranchId, Entry>,
    ended: BTreeMap<BranchId, Ending>,
    closed: BTreeMap<NodeId, Status>,
    first_started: BTreeMap<NodeId, Vec<u32>>,
    /// Nodes in which a branch failed and whose others are to be cancelled.
    failed_fast: BTreeSet<NodeId>,
    stopping: bool,
    aborted: bool,
    over: Option<Status>,
    stale: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        Self {
            case,
            scheduler: Scheduler::new(case.plan.clone(), case.seed, case.capacity),
            trace: Vec::new(),
            now: Duration::ZERO,
            capacity: case.capacity,
            opening: BTreeSet::new(),
            opened: BTreeMap::new(),
            branches: BTreeMap::new(),
            ended: BTreeMap::new(),
            closed: BTreeMap::new(),
            first_started: BTreeMap::new(),
            failed_fast: BTreeSet::new(),
            stopping: false,
            aborted: false,
            over: None,
            stale: 0,
        }
    }

    /// Runs the case to its end, with the moves about strangers or without.
    pub(super) fn run(mut self, with_stale: bool) -> Vec<Action> {
        self.tell(Input::Begin);
        for &step in &self.case.moves {
            self.make(step, with_stale);
        }
        self.finish();
        self.trace
    }

    fn make(&mut self, step: Move, with_stale: bool) {
        match step {
            Move::Answer(which) => {
                if let Some(node) = pick(&self.opening.iter().copied().collect::<Vec<_>>(), which) {
                    self.answer(node);
                }
            }
            Move::Finish(which, ending, permanent) => {
                if let Some(id) = pick(&self.running(), which) {
                    self.finish_attempt(id, ending, permanent);
                }
            }
            Move::Return(which) => {
                if let Some(id) = pick(&self.running(), which) {
                    self.entry(id.branch).running = false;
                    self.tell(Input::Returned { id });
                }
            }
            Move::Pass(milliseconds) => {
                self.now += ms(milliseconds);
                self.tell(Input::Tick);
            }
            Move::Capacity(capacity) => {
                self.capacity = capacity;
                self.scheduler.set_capacity(capacity);
                // What it allows is seen with the next input, as is documented.
                self.tell(Input::Tick);
            }
            Move::Interrupt => {
                self.stopping = true;
                self.tell(Input::Interrupt);
            }
            Move::Abort => {
                (self.stopping, self.aborted) = (true, true);
                self.tell(Input::Abort);
                let deaf = self.branches.iter().find(|(_, entry)| entry.running && !entry.told);
                assert!(deaf.is_none(), "aborted, yet not cancelled: {deaf:?}");
            }
            Move::Stale(which, how) => {
                if with_stale {
                    self.tell_stale(which, how);
                }
            }
        }
    }

    /// Lets everything end well, so that the run must.
    fn finish(&mut self) {
        self.capacity = self.capacity.max(1);
        self.scheduler.set_capacity(self.capacity);
        self.tell(Input::Tick);
        for _ in 0..10_000 {
            if let Some(&node) = self.opening.first() {
                self.answer(node);
            } else if let Some(&id) = self.running().first() {
                let ending = if self.aborted { Ending::Cancelled } else { Ending::Succeeded };
                self.finish_attempt(id, ending, false);
            } else if let Some(wake_at) = self.scheduler.wake_at() {
                assert!(wake_at > self.now, "due since {wake_at:?}, now {:?}", self.now);
                self.now = wake_at;
                self.tell(Input::Tick);
            } else {
                break;
            }
        }
        self.check_end();
    }

    fn answer(&mut self, node: NodeId) {
        self.opening.remove(&node);
        match self.case.answers[node.index()].clone() {
            Answer::Opened { branches, left_out } => {
                let out = left_out.iter().copied().filter(|index| *index < branches).collect();
                self.opened.insert(node, (branches, out));
                self.tell(Input::Opened { node, branches, left_out });
            }
            Answer::Skipped => self.tell(Input::Skipped { node }),
            Answer::Refused => self.tell(Input::Refused { node }),
        }
    }

    /// Ends an attempt, and checks by the policy alone what follows for its branch.
    fn finish_attempt(&mut self, id: AttemptId, ending: Ending, permanent: bool) {
        let plan = &self.case.plan.nodes[id.branch.node.index()];
        let retry = plan.retry.get(id.branch.index as usize).or(plan.retry.last()).cloned();
        let cancelling = self.stopping || self.failed_fast.contains(&id.branch.node);
        let (before, now) = (self.trace.len(), self.now);
        let entry = self.entry(id.branch);
        entry.running = false;
        let counted = entry.number - entry.lost;
        let in_budget = |on: fn(&RetryOn) -> bool| {
            retry.as_ref().filter(|retry| on(&retry.on) && counted < retry.max_attempts)
        };
        let again = match ending {
            Ending::Lost => (entry.lost < LOST_BUDGET).then_some((Duration::ZERO, Duration::ZERO)),
            Ending::Failed => in_budget(|on| on.failed).map(|retry| delays(retry, counted)),
            Ending::Trapped => in_budget(|on| on.trapped).map(|retry| delays(retry, counted)),
            Ending::TimedOut => in_budget(|on| on.timed_out).map(|retry| delays(retry, counted)),
            Ending::Succeeded | Ending::Cancelled | Ending::Rejected => None,
        };
        let again = again.filter(|_| !permanent);
        if ending == Ending::Lost {
            entry.lost += 1;
        }
        let attempts = entry.number;
        let ended = |ending| Action::Ended { branch: id.branch, ending, attempts };
        if again.is_none() && ending != Ending::Succeeded && plan.on_failure == OnFailure::Cancel {
            let expected = !(ending == Ending::Cancelled && cancelling);
            if expected {
                self.failed_fast.insert(id.branch.node);
            }
        }
        self.tell(Input::Finished { id, ending, permanent });

        let first = &self.trace[before];
        match again {
            None => assert_eq!(*first, ended(ending)),
            Some(_) if cancelling => assert_eq!(*first, ended(Ending::Cancelled)),
            Some((least, most)) => {
                let Action::Retry { id: retried, delay } = *first else { panic!("no retry: {first:?}") };
                assert_eq!(retried, id);
                let slack = Duration::from_nanos(2);
                assert!(least <= delay + slack && delay <= most + slack, "{least:?} {delay:?} {most:?}");
                let entry = self.entry(id.branch);
                if !entry.running {
                    entry.due = Some(now + delay);
                }
            }
        }
    }

    fn tell_stale(&mut self, which: usize, how: u32) {
        let node = NodeId((which % 9) as u32);
        let id = AttemptId { branch: BranchId { node, index: how % 13 }, number: how % 5 };
        let runs = self.branches.get(&id.branch).is_some_and(|e| e.running && e.number == id.number);
        let input = match how % 4 {
            0 | 1 if !runs => Input::Finished { id, ending: Ending::Succeeded, permanent: false },
            2 if !runs => Input::Returned { id },
            3 if !self.opening.contains(&node) => Input::Opened { node, branches: 3, left_out: vec![] },
            _ => return,
        };
        self.stale += 1;
        let before = self.trace.len();
        self.tell(input);
        assert_eq!(self.trace.len(), before, "a stale input caused {:?}", &self.trace[before..]);
    }

    fn tell(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.scheduler.handle(input, self.now, &mut actions);
        for action in actions {
            self.check(&action);
            self.trace.push(action);
        }
        self.check_full();
    }

    /// Checks an action against the books, and enters it.
    fn check(&mut self, action: &Action) {
        assert!(self.over.is_none(), "{action:?} after the end");
        match action {
            Action::Open { node } => {
                assert!(!self.stopping, "{node:?} opened though the run stops");
                for needed in &self.case.plan.nodes[node.index()].after {
                    assert_eq!(
                        self.closed.get(needed),
                        Some(&Status::Succeeded),
                        "{node:?} before {needed:?}"
                    );
                }
                assert!(self.opening.insert(*node) && !self.closed.contains_key(node));
            }
            Action::Submit { id } => self.check_submit(*id),
            Action::Cancel { id, cause } => {
                match cause {
                    Cause::Interrupted => assert!(self.aborted),
                    Cause::Sibling => assert!(self.failed_fast.contains(&id.branch.node)),
                }
                let entry = self.entry(id.branch);
                assert!(entry.running && entry.number == id.number && !entry.told, "{id:?} {entry:?}");
                entry.told = true;
            }
            Action::Retry { id, .. } => assert!(!self.entry(id.branch).running),
            Action::Ended { branch, ending, .. } => {
                let running = self.entry(*branch).running;
                assert!(!running, "{branch:?} ended while it runs");
                self.end(*branch, *ending);
            }
            Action::EndedUnstarted { node, range } => {
                assert!(!range.is_empty());
                for index in Range::clone(range) {
                    let branch = BranchId { node: *node, index };
                    assert!(!self.branches.contains_key(&branch), "{branch:?} was started");
                    self.end(branch, Ending::Cancelled);
                }
            }
            Action::Closed { node, status, counts, because } => {
                self.check_closed(*node, *status, *counts, *because);
            }
            Action::Over { status, counts } => {
                let mut all = Counts::default();
                self.ended.values().for_each(|ending| all.add(*ending));
                assert_eq!(*counts, all);
                assert_eq!(*status, self.expected_status());
                self.over = Some(*status);
            }
        }
    }

    fn check_submit(&mut self, id: AttemptId) {
        let BranchId { node, index } = id.branch;
        assert!(!self.stopping && !self.failed_fast.contains(&node), "{id:?} though cancelled");
        let (branches, left_out) = &self.opened[&node];
        assert!(index < *branches && !left_out.contains(&index) && !self.ended.contains_key(&id.branch));
        let now = self.now;
        let first = !self.branches.contains_key(&id.branch);
        let entry = self.entry(id.branch);
        assert!(!entry.running, "{id:?} runs already");
        assert!(entry.due.is_none_or(|due| due <= now), "{id:?} before its time");
        assert!(id.number == entry.number || id.number == entry.number + 1, "{id:?} after {entry:?}");
        *entry = Entry { running: true, number: id.number, lost: entry.lost, due: None, told: false };
        if first {
            self.first_started.entry(node).or_default().push(index);
        }
        let of_node = self.running().iter().filter(|id| id.branch.node == node).count();
        let bound = self.case.plan.nodes[node.index()].concurrency;
        assert!(bound.is_none_or(|bound| of_node <= bound as usize), "{of_node} of {node:?} run");
        assert!(self.running().len() <= self.capacity, "more than the capacity");
    }

    fn check_closed(&mut self, node: NodeId, status: Status, counts: Counts, because: Option<NodeId>) {
        self.opening.remove(&node);
        let mut expected = Counts::default();
        let of_node = self.ended.range(BranchId { node, index: 0 }..=BranchId { node, index: u32::MAX });
        of_node.for_each(|(_, ending)| expected.add(*ending));
        assert_eq!(counts, expected, "{node:?}");
        match self.opened.get(&node) {
            Some((branches, left_out)) => {
                let ended = counts.ended() + left_out.len() as u64;
                assert_eq!(ended, u64::from(*branches), "{node:?} closed before its branches");
                let tolerant = self.case.plan.nodes[node.index()].tolerant;
                let cut_short = self.stopping && counts.cancelled > 0;
                let all = counts.ended() == counts.succeeded;
                assert_eq!(status == Status::Succeeded, all || tolerant && !cut_short, "{node:?}");
                assert!(matches!(status, Status::Succeeded | Status::Failed | Status::Cancelled));
            }
            None => assert!(matches!(status, Status::Skipped | Status::Failed | Status::Cancelled)),
        }
        assert!(status != Status::Cancelled || self.stopping);
        if let Some(because) = because {
            assert_eq!(status, Status::Skipped);
            assert!(self.case.plan.nodes[node.index()].after.contains(&because));
            assert!(self.closed.get(&because).is_some_and(|status| *status != Status::Succeeded));
        }
        assert_eq!(self.closed.insert(node, status), None, "{node:?} closed twice");
    }

    /// Nothing may be left undone that capacity and concurrency allow.
    fn check_full(&self) {
        let running = self.running();
        assert_eq!(self.scheduler.running(), running.len());
        assert_eq!(self.scheduler.stale(), self.stale);
        if self.stopping || running.len() >= self.capacity {
            return;
        }
        for (&node, (branches, left_out)) in &self.opened {
            let of_node = running.iter().filter(|id| id.branch.node == node).count();
            let bound = self.case.plan.nodes[node.index()].concurrency;
            if self.closed.contains_key(&node)
                || self.failed_fast.contains(&node)
                || bound.is_some_and(|bound| of_node >= bound as usize)
            {
                continue;
            }
            let unstarted = (0..*branches)
                .filter(|index| !left_out.contains(index))
                .find(|&index| !self.branches.contains_key(&BranchId { node, index }));
            assert_eq!(unstarted, None, "{node:?} could have gone on");
        }
    }

    fn check_end(&self) {
        assert!(self.over.is_some(), "the run never ends: {:?}", self.scheduler);
        assert_eq!(self.closed.len(), self.case.plan.nodes.len());
        assert_eq!(self.scheduler.running(), 0);
        assert_eq!(self.scheduler.wake_at(), None);
        for order in self.first_started.values() {
            assert!(order.is_sorted(), "first attempts out of order: {order:?}");
        }
    }

    fn expected_status(&self) -> Status {
        let any = |status| self.closed.values().any(|closed| *closed == status);
        if any(Status::Failed) {
            Status::Failed
        } else if any(Status::Cancelled) {
            Status::Cancelled
        } else {
            Status::Succeeded
        }
    }

    fn running(&self) -> Vec<AttemptId> {
        let running = self.branches.iter().filter(|(_, entry)| entry.running);
        running.map(|(&branch, entry)| AttemptId { branch, number: entry.number }).collect()
    }

    fn end(&mut self, branch: BranchId, ending: Ending) {
        let (branches, left_out) = &self.opened[&branch.node];
        assert!(branch.index < *branches && !left_out.contains(&branch.index));
        assert_eq!(self.ended.insert(branch, ending), None, "{branch:?} ended twice");
    }

    fn entry(&mut self, branch: BranchId) -> &mut Entry {
        self.branches.entry(branch).or_default()
    }
}

/// The shortest and the longest delay after the `counted`-th attempt.
fn delays(retry: &Retry, counted: u32) -> (Duration, Duration) {
    let full = retry.delay.mul_f64(retry.factor.powf(f64::from(counted - 1))).min(retry.max_delay);
    (full.mul_f64(1.0 - retry.jitter), full)
}

fn pick<T: Copy>(from: &[T], which: usize) -> Option<T> {
    from.get(which.checked_rem(from.len())?).copied()
}
