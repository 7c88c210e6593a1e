//! The scheduler: takes what happened, says what is to be done. It ties the nodes together by their
//! order, the capacity that they share, and the end of the run, and must not know what a branch does.

mod ends;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use super::node::{Effect, Ended, Moment, Node, Phase};
use super::order::unreachable;
use super::{Action, Input, Plan, Recorded};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Cause, Counts, Status};

/// Decides what runs when. The same inputs give the same actions.
///
/// An input costs O(log n) at most in the number of branches under way, save those that cancel or
/// end nodes. A branch takes some tens of bytes from its first submission to its end, and none
/// before or after.
#[derive(Debug)]
pub struct Scheduler {
    nodes: Vec<Node>,
    seed: u64,
    /// What shares a capacity each.
    lanes: Vec<Lane>,
    /// In all lanes.
    running: usize,
    /// Nodes of which a group may begin, or of which one has ended.
    turns: VecDeque<NodeId>,
    /// Branches that wait for their time, the earliest first.
    backoff: BinaryHeap<Reverse<(Duration, NodeId, u32)>>,
    /// What comes to whole nodes with time, the earliest first.
    alarms: BTreeSet<(Duration, NodeId, Alarm)>,
    /// Whether any node may start branches of another.
    flows: bool,
    /// Whether nodes whose branches others start may have become such that no more can come.
    look_for_ends: bool,
    /// How a task ended the run, if one did.
    ended: Option<Status>,
    /// Nodes that can never open, until the run begins.
    unreachable: Vec<NodeId>,
    begun: bool,
    stopping: bool,
    over: bool,
    unclosed: usize,
    failed: bool,
    cancelled: bool,
    counts: Counts,
    stale: u64,
}

/// Nodes whose attempts share a capacity.
#[derive(Debug)]
struct Lane {
    capacity: usize,
    running: usize,
    /// Nodes that may have something to submit, in turn.
    round: VecDeque<NodeId>,
}

impl Lane {
    /// Whether one of its nodes may submit something now.
    fn has_turn(&self) -> bool {
        self.running < self.capacity && !self.round.is_empty()
    }
}

/// What comes to a node with time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Alarm {
    /// It has to end.
    Deadline,
    /// What held its attempts back does so no longer.
    Gate,
}

impl Scheduler {
    /// A scheduler for one run of `plan`. `seed` draws the jitter of retries; at most `capacity`
    /// attempts are submitted at once in each lane.
    #[must_use]
    pub fn new(plan: Plan, seed: u64, capacity: usize) -> Self {
        let total = plan.nodes.len();
        let mut dependants = vec![Vec::new(); total];
        let lanes = plan.nodes.iter().map(|node| node.lane + 1).max().unwrap_or(1);
        let lane = || Lane { capacity, running: 0, round: VecDeque::new() };
        let mut nodes = Vec::with_capacity(total);
        let members = members(&plan);
        for (id, mut plan) in (0_u32..).map(NodeId).zip(plan.nodes) {
            let member = members.as_ref().and_then(|members| members.get(&id));
            // In a group, the first node waits for its turn alone, and the others for the one before.
            let (mut missing, after) = match member {
                None => (0, std::mem::take(&mut plan.after)),
                Some((_, None)) => (1, BTreeSet::new()),
                Some((_, Some(before))) => (0, [*before].into()),
            };
            for needed in after {
                // One that does not exist stays missing for ever.
                missing += 1;
                if let Some(waiting) = dependants.get_mut(needed.index()) {
                    waiting.push(id);
                }
            }
            let mut node = Node::new(id, plan, missing);
            node.member = member.map(|(branch, _)| *branch);
            nodes.push(node);
        }
        for (node, dependants) in nodes.iter_mut().zip(dependants) {
            node.dependants = dependants;
        }
        Self {
            unreachable: match members {
                Some(_) => unreachable(&nodes),
                None => (0_u32..).map(NodeId).take(total).collect(),
            },
            flows: nodes.iter().any(|node| node.started),
            look_for_ends: true,
            ended: None,
            unclosed: total,
            nodes,
            seed,
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            running: 0,
            turns: VecDeque::new(),
            backoff: BinaryHeap::new(),
            alarms: BTreeSet::new(),
            begun: false,
            stopping: false,
            over: false,
            failed: false,
            cancelled: false,
            counts: Counts::default(),
            stale: 0,
        }
    }

    /// Sets how many attempts may be submitted at once in each lane. It takes effect with the next
    /// input; what runs beyond it goes on. With 0 nothing is submitted.
    pub fn set_capacity(&mut self, in_flight: usize) {
        self.lanes.iter_mut().for_each(|lane| lane.capacity = in_flight);
    }

    /// As [`Scheduler::set_capacity`], in the lane of a node alone.
    pub fn set_capacity_for(&mut self, node: NodeId, in_flight: usize) {
        if let Some(lane) = self.lane(node) {
            lane.capacity = in_flight;
        }
    }

    fn lane(&mut self, node: NodeId) -> Option<&mut Lane> {
        let lane = self.nodes.get(node.index())?.lane;
        self.lanes.get_mut(lane)
    }

    /// Takes an input at `now`, the time since the run's start, and appends what is to be done.
    pub fn handle(&mut self, input: Input, now: Duration, actions: &mut Vec<Action>) {
        match input {
            Input::Begin => self.begin(actions),
            Input::Recorded { node, branches } => self.recorded(node, branches),
            Input::Opened { node, branches, left_out } => {
                self.opened(node, branches, left_out, now, actions);
            }
            Input::Skipped { node } => self.unopened(node, Status::Skipped, actions),
            Input::Refused { node } => self.unopened(node, Status::Failed, actions),
            Input::Finished { id, ending, permanent, again, ends } => {
                self.finished(id, Ended { ending, permanent, again }, ends, now, actions);
            }
            Input::Start { node } => self.start(node, now),
            Input::Leave { node } => match self.nodes.get_mut(node.index()) {
                Some(node) if matches!(node.phase, Phase::Opening | Phase::Open) => node.left = true,
                Some(_) | None => self.stale += 1,
            },
            Input::End { succeeded } => self.end(succeeded, actions),
            Input::Returned { id } => self.returned(id, now, actions),
            Input::KeptOut { node: id } => match self.nodes.get(id.index()) {
                Some(node) if matches!(node.phase, Phase::Open) && node.settled.is_none() => {
                    self.settle(id, Cause::Breaker, actions);
                }
                Some(_) | None => self.stale += 1,
            },
            Input::Tick => {}
            Input::Interrupt => self.stop(actions),
            Input::Abort => {
                self.stop(actions);
                for node in &mut self.nodes {
                    node.tell_running(Cause::Interrupted, actions);
                }
            }
        }
        self.ring(now, actions);
        if self.stopping {
            self.end_what_waits(actions);
        } else {
            self.wake(now);
            self.submit(now, actions);
        }
        while self.flows && std::mem::take(&mut self.look_for_ends) {
            self.close_unstartable(actions);
        }
        if self.begun && self.unclosed == 0 && !self.over {
            self.over = true;
            actions.push(Action::Over { status: self.status(), counts: self.counts });
        }
    }

    /// When the time comes of the next branch or node that waits for its own, since the run's start:
    /// [`Input::Tick`] is due then. None when nothing waits for its time.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let branch = self.backoff.peek().map(|Reverse((until, ..))| *until);
        let node = self.alarms.first().map(|(at, ..)| *at);
        branch.into_iter().chain(node).min()
    }

    /// How many attempts are submitted and have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many inputs were dropped: about attempts that do not run, or nodes that are not opening.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale
    }

    fn begin(&mut self, actions: &mut Vec<Action>) {
        if self.begun {
            return;
        }
        self.begun = true;
        for node in std::mem::take(&mut self.unreachable) {
            self.close(node, Status::Failed, actions);
        }
        for id in (0_u32..).map(NodeId).take(self.nodes.len()) {
            if self.phase(id) == Some(Phase::Waiting { missing: 0 }) {
                self.reach(id, actions);
            }
        }
    }

    /// Opens a node that has all it waits for.
    fn reach(&mut self, id: NodeId, actions: &mut Vec<Action>) {
        if !self.stopping
            && self.ended.is_none()
            && let Some(node) = self.nodes.get_mut(id.index())
        {
            node.phase = Phase::Opening;
            actions.push(Action::Open { node: id });
        }
    }

    fn recorded(&mut self, id: NodeId, branches: Vec<Recorded>) {
        match self.nodes.get_mut(id.index()) {
            Some(node) if node.phase == Phase::Opening => node.record(branches),
            Some(_) | None => self.stale += 1,
        }
    }

    fn opened(
        &mut self,
        id: NodeId,
        branches: u32,
        left_out: Vec<u32>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        match self.nodes.get_mut(id.index()) {
            Some(node) if node.phase == Phase::Opening => {
                node.open(branches, left_out, now);
                self.alarms.extend(node.deadline.map(|at| (at, id, Alarm::Deadline)));
                let decided = node.decided_before();
                self.end_left_out(id, actions);
                if let Some(cause) = decided {
                    self.settle(id, cause, actions);
                }
            }
            Some(_) | None => {
                self.stale += 1;
                return;
            }
        }
        self.enqueue(id, now);
        self.close_if_done(id, actions);
    }

    fn unopened(&mut self, id: NodeId, status: Status, actions: &mut Vec<Action>) {
        if self.phase(id) == Some(Phase::Opening) {
            self.close(id, status, actions);
        } else {
            self.stale += 1;
        }
    }

    fn finished(
        &mut self,
        id: AttemptId,
        ended: Ended,
        ends: Option<bool>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let moment = self.moment(now);
        let node = self.nodes.get_mut(id.branch.node.index());
        let effect = node.and_then(|node| node.finish(id, ended, moment, actions));
        if let (Some(succeeded), Some(_)) = (ends, effect) {
            self.end(succeeded, actions);
        }
        self.apply(id, effect, now, actions);
    }

    fn start(&mut self, id: NodeId, now: Duration) {
        match self.nodes.get_mut(id.index()) {
            Some(node) if node.started && node.more && node.phase != Phase::Closed => node.start(),
            Some(_) | None => {
                self.stale += 1;
                return;
            }
        }
        self.enqueue(id, now);
    }

    /// Ends the run as a task asked for: what runs is cancelled, and the rest never runs.
    fn end(&mut self, succeeded: bool, actions: &mut Vec<Action>) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(if succeeded { Status::Succeeded } else { Status::Failed });
        let cause = if succeeded { Cause::Finished } else { Cause::Aborted };
        for id in (0_u32..).map(NodeId).take(self.nodes.len()) {
            match self.phase(id) {
                Some(Phase::Open) => {
                    self.settle(id, cause, actions);
                    self.close_if_done(id, actions);
                }
                Some(Phase::Opening | Phase::Waiting { .. }) => {
                    self.close(id, Status::Cancelled, actions);
                }
                Some(Phase::Closed) | None => {}
            }
        }
    }

    /// Closes those nodes whose branches others start and that no other can start any more.
    fn close_unstartable(&mut self, actions: &mut Vec<Action>) {
        let ids = || (0_u32..).map(NodeId);
        // What has not ended may start others, which may start others in turn.
        let lives = |node: &Node| match node.phase {
            Phase::Waiting { .. } | Phase::Opening => true,
            Phase::Open => !(node.started && node.is_idle()),
            Phase::Closed => false,
        };
        let alive = ids().zip(&self.nodes).filter(|(_, node)| lives(node));
        let mut open: Vec<NodeId> = alive.map(|(id, _)| id).collect();
        let mut startable = vec![false; self.nodes.len()];
        while let Some(id) = open.pop() {
            for target in self.nodes.get(id.index()).map_or(&[][..], |node| &node.may_start) {
                if let Some(startable) = startable.get_mut(target.index())
                    && !std::mem::replace(startable, true)
                {
                    open.push(*target);
                }
            }
        }
        for (id, startable) in ids().zip(startable) {
            if let Some(node) = self.nodes.get_mut(id.index())
                && !startable
                && node.started
                && node.phase == Phase::Open
            {
                node.more = false;
                self.close_if_done(id, actions);
            }
        }
    }

    fn returned(&mut self, id: AttemptId, now: Duration, actions: &mut Vec<Action>) {
        let moment = self.moment(now);
        let node = self.nodes.get_mut(id.branch.node.index());
        let effect = node.and_then(|node| node.take_back(id, moment, actions));
        self.apply(id, effect, now, actions);
    }

    fn moment(&self, now: Duration) -> Moment {
        Moment { now, stopping: self.stopping, seed: self.seed }
    }

    /// Carries on after an attempt is no longer running.
    fn apply(&mut self, id: AttemptId, effect: Option<Effect>, now: Duration, actions: &mut Vec<Action>) {
        let Some(effect) = effect else {
            self.stale += 1;
            return;
        };
        self.running -= 1;
        let node = id.branch.node;
        if let Some(lane) = self.lane(node) {
            lane.running -= 1;
        }
        match effect {
            Effect::None | Effect::Ready => {}
            Effect::Wait(delay) => {
                self.backoff.push(Reverse((now.saturating_add(delay), node, id.branch.index)));
            }
            Effect::Settle(cause) => self.settle(node, cause, actions),
        }
        self.enqueue(node, now);
        self.close_if_done(node, actions);
    }

    /// Does what has come to nodes with time.
    fn ring(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(&(at, id, alarm)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            match alarm {
                Alarm::Deadline => {
                    if let Some(node) = self.nodes.get_mut(id.index()) {
                        node.deadline = None;
                    }
                    self.settle(id, Cause::GroupTimeout, actions);
                    self.close_if_done(id, actions);
                }
                Alarm::Gate => {
                    if let Some(node) = self.nodes.get_mut(id.index()) {
                        node.look_again = None;
                    }
                    self.enqueue(id, now);
                }
            }
        }
    }

    /// Sees to it that a node which is held back is looked at again `at` that time, and at no other.
    fn look_again(&mut self, id: NodeId, at: Option<Duration>) {
        let Some(node) = self.nodes.get_mut(id.index()) else { return };
        if node.look_again == at {
            return;
        }
        if let Some(before) = std::mem::replace(&mut node.look_again, at) {
            self.alarms.remove(&(before, id, Alarm::Gate));
        }
        self.alarms.extend(at.map(|at| (at, id, Alarm::Gate)));
    }

    /// Makes ready what has waited long enough.
    fn wake(&mut self, now: Duration) {
        while let Some(&Reverse((until, id, index))) = self.backoff.peek()
            && until <= now
        {
            self.backoff.pop();
            if let Some(node) = self.nodes.get_mut(id.index()) {
                node.wake(index);
            }
            self.enqueue(id, now);
        }
    }

    /// Gives a node its place in the round if it has anything to submit, and sees to it that it comes
    /// back if that is a matter of time.
    fn enqueue(&mut self, id: NodeId, now: Duration) {
        let Some(node) = self.nodes.get_mut(id.index()) else { return };
        if !node.queued
            && node.can_submit(now)
            && let Some(lane) = self.lanes.get_mut(node.lane)
        {
            node.queued = true;
            lane.round.push_back(id);
        }
        if self.stopping {
            return;
        }
        if node.can_begin_group() {
            self.turns.push_back(id);
        }
        let at = node.submits_at(now);
        self.look_again(id, at);
    }

    /// Submits what may be submitted, one branch of each node in turn.
    fn submit(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.begin_groups(now, actions);
        // What is submitted in one lane may let groups begin whose nodes stand in another.
        while let Some(at) = self.lanes.iter().position(Lane::has_turn) {
            self.submit_one(at, now, actions);
            self.begin_groups(now, actions);
        }
    }

    /// Submits a branch of the node in a lane whose turn it is, if it has any.
    fn submit_one(&mut self, at: usize, now: Duration, actions: &mut Vec<Action>) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let Some(id) = lane.round.pop_front() else { return };
        let Some(node) = self.nodes.get_mut(id.index()) else { return };
        node.queued = false;
        if let Some(id) = node.submit(now) {
            lane.running += 1;
            self.running += 1;
            actions.push(Action::Submit { id });
        }
        self.enqueue(id, now);
    }

    /// Begins the groups in others whose turn has come.
    fn begin_groups(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some(id) = self.turns.pop_front() {
            while let Some(group) = self.nodes.get_mut(id.index()).and_then(Node::begin_group) {
                if let Some(node) = self.nodes.get_mut(group.first.index()) {
                    node.phase = Phase::Waiting { missing: 0 };
                }
                self.reach(group.first, actions);
            }
            self.enqueue(id, now);
        }
    }

    /// Submits nothing more from here on.
    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.stopping = true;
        self.turns.clear();
        self.lanes.iter_mut().for_each(|lane| lane.round.clear());
        self.backoff = BinaryHeap::new();
        // Nodes still have to end in time.
        self.alarms.retain(|(_, _, alarm)| *alarm == Alarm::Deadline);
        self.begin(actions);
    }

    /// Once nothing runs, ends all that waits.
    fn end_what_waits(&mut self, actions: &mut Vec<Action>) {
        if self.running > 0 || self.unclosed == 0 {
            return;
        }
        for id in (0_u32..).map(NodeId).take(self.nodes.len()) {
            let Some(node) = self.nodes.get_mut(id.index()) else { continue };
            match node.phase {
                Phase::Open => {
                    node.drop_waiting(actions);
                    self.end_dropped(id, actions);
                    self.close_if_done(id, actions);
                }
                Phase::Opening | Phase::Waiting { missing: 0 } => self.close(id, Status::Cancelled, actions),
                // Closed with the first of those that it waits for.
                Phase::Waiting { .. } | Phase::Closed => {}
            }
        }
    }

    fn status(&self) -> Status {
        if let Some(ended) = self.ended {
            ended
        } else if self.failed {
            Status::Failed
        } else if self.cancelled {
            Status::Cancelled
        } else {
            Status::Succeeded
        }
    }

    fn phase(&self, id: NodeId) -> Option<Phase> {
        self.nodes.get(id.index()).map(|node| node.phase)
    }
}

/// Of each node that is in a group, the branch that it is or is a part of, and the part before it. None where
/// a node is in two, or does not exist.
fn members(plan: &Plan) -> Option<BTreeMap<NodeId, (BranchId, Option<NodeId>)>> {
    let mut members = BTreeMap::new();
    for (id, node) in (0_u32..).map(NodeId).zip(&plan.nodes) {
        for group in &node.groups {
            let branch = BranchId { node: id, index: group.index };
            if group.first > group.last || group.last.index() >= plan.nodes.len() {
                return None;
            }
            let mut before = None;
            for part in (group.first.0..=group.last.0).map(NodeId) {
                if members.insert(part, (branch, before)).is_some() {
                    return None;
                }
                before = Some(part);
            }
        }
    }
    Some(members)
}
