//! A simulated world around the scheduler, which makes the moves of a case. It keeps books of its
//! own and checks every action against them.

mod groups;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::cases::{Answer, Case, Move};
use super::ms;
use super::oracle::{self, Standing, Step};
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
    /// Nodes that were opened, or are to be.
    begun: BTreeSet<NodeId>,
    opened: BTreeMap<NodeId, (u32, BTreeSet<u32>)>,
    opened_at: BTreeMap<NodeId, Duration>,
    /// What became of the attempts of each node, in order.
    steps: BTreeMap<NodeId, Vec<Step>>,
    branches: BTreeMap<BranchId, Entry>,
    ended: BTreeMap<BranchId, Ending>,
    /// The same of branches that are groups.
    inner: BTreeMap<BranchId, Ending>,
    closed: BTreeMap<NodeId, Status>,
    first_started: BTreeMap<NodeId, Vec<u32>>,
    /// Nodes that are decided, and why.
    settled: BTreeMap<NodeId, Cause>,
    /// Branches that did not succeed, other than because the run stops or their node was decided.
    missed: BTreeSet<BranchId>,
    /// Nodes of which a branch ended because the run stops.
    cut_short: BTreeSet<NodeId>,
    /// Breakers that were said to open and to close.
    breakers: BTreeMap<NodeId, (usize, usize)>,
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
            begun: BTreeSet::new(),
            opened: BTreeMap::new(),
            opened_at: BTreeMap::new(),
            steps: BTreeMap::new(),
            branches: BTreeMap::new(),
            ended: BTreeMap::new(),
            inner: BTreeMap::new(),
            closed: BTreeMap::new(),
            first_started: BTreeMap::new(),
            settled: BTreeMap::new(),
            missed: BTreeSet::new(),
            cut_short: BTreeSet::new(),
            breakers: BTreeMap::new(),
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
                    self.note(id.branch.node, Step::Ended(id, None, self.now));
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
                self.opened_at.insert(node, self.now);
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
        let node = id.branch.node;
        let settled = self.settled.contains_key(&node);
        if !settled {
            self.note(node, Step::Ended(id, Some(ending), self.now));
        }
        let cancelling = self.stopping || settled || self.standing(node) == Standing::GaveUp;
        let before = self.trace.len();
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
        self.tell(Input::Finished { id, ending, permanent, again: false, ends: None });

        let first = &self.trace[before];
        match again {
            None => assert_eq!(*first, ended(ending)),
            Some(_) if cancelling => assert_eq!(*first, ended(Ending::Cancelled)),
            Some((least, most)) => {
                let Action::Retry { id: retried, delay } = *first else { panic!("no retry: {first:?}") };
                assert_eq!(retried, id);
                let slack = Duration::from_nanos(2);
                assert!(least <= delay + slack && delay <= most + slack, "{least:?} {delay:?} {most:?}");
            }
        }
    }

    fn tell_stale(&mut self, which: usize, how: u32) {
        let node = NodeId((which % 9) as u32);
        let id = AttemptId { branch: BranchId { node, index: how % 13 }, number: how % 5 };
        let runs = self.branches.get(&id.branch).is_some_and(|e| e.running && e.number == id.number);
        let input = match how % 4 {
            0 | 1 if !runs => {
                Input::Finished { id, ending: Ending::Succeeded, permanent: false, again: false, ends: None }
            }
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
        self.check_settled();
        self.check_full();
        self.check_turns();
        self.check_wake();
    }

    fn note(&mut self, node: NodeId, step: Step) {
        self.steps.entry(node).or_default().push(step);
    }

    fn steps(&self, node: NodeId) -> &[Step] {
        self.steps.get(&node).map_or(&[], Vec::as_slice)
    }

    fn standing(&self, node: NodeId) -> Standing {
        let breaker = self.case.plan.nodes[node.index()].policy.breaker;
        breaker.map_or(Standing::Closed, |breaker| oracle::breaker_after(breaker, self.steps(node)).0)
    }

    /// From when on rate and breaker allow another attempt, if time is all that keeps them from it.
    fn allowed_at(&self, node: NodeId) -> Option<Duration> {
        let limit = self.case.plan.nodes[node.index()].policy.rate_limit;
        let rate = limit.map_or(Duration::ZERO, |limit| oracle::rate_allows_at(limit, self.steps(node)));
        match self.standing(node) {
            Standing::Closed => Some(rate),
            Standing::Open(until) => Some(until.max(rate)),
            Standing::Probing(_) | Standing::GaveUp => None,
        }
    }

    /// Branches of a node that ended.
    fn ends(&self, node: NodeId) -> impl Iterator<Item = (&BranchId, &Ending)> {
        let all = || BranchId { node, index: 0 }..=BranchId { node, index: u32::MAX };
        self.ended.range(all()).chain(self.inner.range(all()))
    }

    /// Branches of a node that succeeded.
    fn succeeded(&self, node: NodeId) -> BTreeSet<u32> {
        let of_node = self.ends(node);
        of_node.filter(|(_, ending)| **ending == Ending::Succeeded).map(|(branch, _)| branch.index).collect()
    }

    fn is_met(&self, node: NodeId) -> bool {
        let (branches, left_out) = &self.opened[&node];
        let require = &self.case.plan.nodes[node.index()].policy.require;
        oracle::is_met(require, *branches, left_out, &self.succeeded(node))
    }

    /// Whether the node's requirement would be met if all succeeded that still may.
    fn is_within_reach(&self, node: NodeId) -> bool {
        let (branches, left_out) = &self.opened[&node];
        let missed = |index: &u32| self.missed.contains(&BranchId { node, index: *index });
        let may = (0..*branches).filter(|index| !left_out.contains(index) && !missed(index)).collect();
        let require = &self.case.plan.nodes[node.index()].policy.require;
        oracle::is_met(require, *branches, left_out, &may)
    }

    /// Whether there is this reason to decide a node that is open.
    fn decides(&self, node: NodeId, cause: Cause) -> bool {
        let plan = &self.case.plan.nodes[node.index()];
        let missed_any = self.missed.iter().any(|branch| branch.node == node);
        match cause {
            // No task ends these runs.
            Cause::Interrupted | Cause::Finished | Cause::Aborted => false,
            Cause::Sibling => {
                plan.on_failure == OnFailure::Cancel && missed_any && !self.is_within_reach(node)
            }
            Cause::Winner => plan.first_success && !self.succeeded(node).is_empty(),
            Cause::GroupTimeout => {
                plan.policy.timeout.is_some_and(|timeout| self.opened_at[&node] + timeout <= self.now)
            }
            Cause::Breaker => self.standing(node) == Standing::GaveUp,
            Cause::Outer => {
                self.member(node).is_some_and(|(branch, _)| self.settled.contains_key(&branch.node))
            }
        }
    }

    /// Whether the node's own bound lets nothing more run.
    fn is_full(&self, node: NodeId) -> bool {
        let bound = self.case.plan.nodes[node.index()].concurrency;
        bound.is_some_and(|bound| self.under_way(node) >= bound as usize)
    }

    /// A branch of a node that only waits for its turn.
    fn waiting(&self, node: NodeId) -> Option<u32> {
        self.plain(node).find(|&index| {
            let branch = BranchId { node, index };
            !self.ended.contains_key(&branch)
                && self
                    .branches
                    .get(&branch)
                    .is_none_or(|entry| !entry.running && entry.due.is_none_or(|due| due <= self.now))
        })
    }

    /// Checks an action against the books, and enters it.
    fn check(&mut self, action: &Action) {
        assert!(self.over.is_none(), "{action:?} after the end");
        match action {
            Action::Open { node } => {
                assert!(!self.stopping, "{node:?} opened though the run stops");
                for needed in self.needed(*node) {
                    assert_eq!(
                        self.closed.get(&needed),
                        Some(&Status::Succeeded),
                        "{node:?} before {needed:?}"
                    );
                }
                if let Some((BranchId { node: outer, index }, _)) = self.member(*node) {
                    assert!(self.groups(outer).any(|group| group.index == index), "{node:?} is left out");
                    assert!(!self.closed.contains_key(&outer) && !self.settled.contains_key(&outer));
                }
                self.begun.insert(*node);
                assert!(self.opening.insert(*node) && !self.closed.contains_key(node));
                if let Some((branch, group)) = self.member(*node)
                    && group.first == *node
                {
                    self.check_bound(branch.node);
                    self.first_started.entry(branch.node).or_default().push(branch.index);
                }
            }
            Action::Submit { id } => self.check_submit(*id),
            Action::Cancel { id, cause } => {
                match cause {
                    Cause::Interrupted => assert!(self.aborted),
                    Cause::Sibling
                    | Cause::Winner
                    | Cause::GroupTimeout
                    | Cause::Breaker
                    | Cause::Outer
                    | Cause::Finished
                    | Cause::Aborted => {
                        assert_eq!(self.settled.get(&id.branch.node), Some(cause));
                    }
                }
                let entry = self.entry(id.branch);
                assert!(entry.running && entry.number == id.number && !entry.told, "{id:?} {entry:?}");
                entry.told = true;
            }
            Action::Retry { id, delay } => {
                let due = self.now + *delay;
                let entry = self.entry(id.branch);
                assert!(!entry.running);
                entry.due = Some(due);
            }
            Action::Settled { node, cause } => {
                assert!(self.decides(*node, *cause), "{node:?} is decided for {cause:?}");
                assert!(self.opened.contains_key(node) && !self.closed.contains_key(node));
                assert_eq!(self.settled.insert(*node, *cause), None, "{node:?} is decided twice");
            }
            Action::BreakerOpened { node } => self.breakers.entry(*node).or_default().0 += 1,
            Action::BreakerClosed { node } => self.breakers.entry(*node).or_default().1 += 1,
            Action::Ended { branch, ending, .. } => {
                let running = self.entry(*branch).running;
                assert!(!running, "{branch:?} ended while it runs");
                self.end(*branch, *ending);
            }
            Action::EndedUnstarted { node, range } => {
                assert!(!range.is_empty());
                for index in Range::clone(range) {
                    let branch = BranchId { node: *node, index };
                    let group = self.groups(*node).find(|group| group.index == index);
                    if let Some(group) = group {
                        assert!(!self.has_begun(&group), "{branch:?} has begun");
                        assert_eq!(
                            self.inner.insert(branch, Ending::Cancelled),
                            None,
                            "{branch:?} ended twice"
                        );
                        self.note_end(branch, Ending::Cancelled);
                        continue;
                    }
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
        assert!(!self.stopping && !self.settled.contains_key(&node), "{id:?} though cancelled");
        let allowed_at = self.allowed_at(node);
        assert!(allowed_at.is_some_and(|at| at <= self.now), "{id:?} though held back to {allowed_at:?}");
        self.note(node, Step::Submitted(id, self.now));
        if let Some(limit) = self.case.plan.nodes[node.index()].policy.rate_limit {
            assert!(!oracle::is_exceeded(limit, self.steps(node)), "{id:?} is more than {limit:?}");
        }
        let (branches, left_out) = &self.opened[&node];
        assert!(index < *branches && !left_out.contains(&index) && !self.ended.contains_key(&id.branch));
        assert!(self.groups(node).all(|group| group.index != index), "{id:?} is of a group");
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
        self.check_bound(node);
        assert!(self.running().len() <= self.capacity, "more than the capacity");
    }

    fn check_closed(&mut self, node: NodeId, status: Status, counts: Counts, because: Option<NodeId>) {
        self.opening.remove(&node);
        let mut expected = Counts::default();
        self.ends(node).for_each(|(_, ending)| expected.add(*ending));
        assert_eq!(counts, expected, "{node:?}");
        match self.opened.get(&node) {
            Some((branches, left_out)) => {
                let ended = counts.ended() + left_out.len() as u64;
                assert_eq!(ended, u64::from(*branches), "{node:?} closed before its branches");
                assert_eq!(status, self.expected_of(node), "{node:?}");
            }
            None => assert!(matches!(status, Status::Skipped | Status::Failed | Status::Cancelled)),
        }
        let mut around = self.around(node);
        let decided = around.iter().any(|outer| self.settled.contains_key(outer));
        assert!(status != Status::Cancelled || self.stopping || decided);
        if let Some(because) = because {
            assert_eq!(status, Status::Skipped);
            around.push(node);
            assert!(around.into_iter().any(|node| self.needed(node).contains(&because)));
            assert!(self.closed.get(&because).is_some_and(|status| *status != Status::Succeeded));
        }
        assert_eq!(self.closed.insert(node, status), None, "{node:?} closed twice");
        self.inner_end(node);
    }

    /// How a node stands whose branches have all ended.
    fn expected_of(&self, node: NodeId) -> Status {
        let cut_short = self.cut_short.contains(&node);
        if self.decides(node, Cause::Outer) {
            return Status::Cancelled;
        }
        let tolerant = self.case.plan.nodes[node.index()].tolerant;
        let failed = !tolerant && !self.is_within_reach(node);
        let decided = self.settled.get(&node) == Some(&Cause::Winner) || failed;
        match tolerant || self.is_met(node) {
            _ if cut_short && !decided => Status::Cancelled,
            true => Status::Succeeded,
            false => Status::Failed,
        }
    }

    fn running(&self) -> Vec<AttemptId> {
        let running = self.branches.iter().filter(|(_, entry)| entry.running);
        running.map(|(&branch, entry)| AttemptId { branch, number: entry.number }).collect()
    }

    fn end(&mut self, branch: BranchId, ending: Ending) {
        let (branches, left_out) = &self.opened[&branch.node];
        assert!(branch.index < *branches && !left_out.contains(&branch.index));
        assert!(self.groups(branch.node).all(|group| group.index != branch.index), "{branch:?} is a group");
        assert_eq!(self.ended.insert(branch, ending), None, "{branch:?} ended twice");
        self.note_end(branch, ending);
    }

    fn note_end(&mut self, branch: BranchId, ending: Ending) {
        let excused = self.settled.contains_key(&branch.node);
        match ending {
            Ending::Succeeded => {}
            Ending::Cancelled if excused => {}
            Ending::Cancelled if self.stopping => drop(self.cut_short.insert(branch.node)),
            _ => drop(self.missed.insert(branch)),
        }
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
