//! The nodes of a pool: which of them has a worker, when one that was lost is tried again, and which of them a
//! group's attempts are kept from. Decides, and starts nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::launch::{End, Gone, Place, Reach};
use super::state::State as Pool;
use super::worker::Worker;
use crate::executor::Report;
use crate::id::{AttemptId, NodeId};
use crate::model::{self, Attempt, Ending, Warning};
use crate::schedule::{Breaker, News};

/// How long the others are waited for once the first node is ready, so that it is known how much all take.
const OTHERS: Duration = Duration::from_millis(300);

/// How long a node rests that was lost or not reached. Twice as long each time.
const REST: Duration = Duration::from_millis(500);

/// How long it rests at most.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Where no node was reached in so many tries, the executor is out of reach.
const TRIED: u32 = 3;

/// So many nodes are named where none can be reached.
const TOLD: usize = 3;

/// A node that was tried so often, one time after the other, is given up: after some three minutes of rests.
const FAILURES: u32 = 10;

/// How a node stands.
enum State {
    /// It has no worker, and is tried at this time.
    Down(Instant),
    /// A worker is being started.
    Starting,
    /// It has one.
    Up,
    /// It is not tried any more.
    GivenUp,
}

struct Node {
    place: Place,
    state: State,
    /// What it takes at once, once it said so.
    slots: Option<usize>,
    /// How often it was tried since it last executed anything.
    failures: u32,
    /// Why it failed last.
    reason: String,
}

/// What became of a node, in words.
pub(super) enum Fate {
    /// It is tried again.
    Tried(String),
    /// It is not.
    GivenUp(String),
}

pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// Since when there is one that is up.
    first: Option<Instant>,
    policies: HashMap<NodeId, model::Breaker>,
    breakers: HashMap<(NodeId, usize), Breaker>,
    /// What breakers count time from.
    began: Instant,
}

impl Nodes {
    pub(super) fn new(places: Vec<Place>, policies: HashMap<NodeId, model::Breaker>) -> Self {
        let now = Instant::now();
        let node =
            |place| Node { place, state: State::Down(now), slots: None, failures: 0, reason: String::new() };
        let nodes = places.into_iter().map(node).collect();
        Self { nodes, first: None, policies, breakers: HashMap::new(), began: now }
    }

    /// Those that are to be started now, which they are taken to be from here on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<usize> {
        let due = |(_, node): &(usize, &mut Node)| matches!(node.state, State::Down(at) if at <= now);
        let start = |(at, node): (usize, &mut Node)| {
            node.state = State::Starting;
            at
        };
        self.nodes.iter_mut().enumerate().filter(due).map(start).collect()
    }

    /// A node's worker is ready and takes so many attempts at once. Says how many it is given, and whether it was
    /// lost or not reached before.
    pub(super) fn up(&mut self, node: usize, slots: usize, now: Instant) -> (usize, bool) {
        self.first.get_or_insert(now);
        let Some(node) = self.nodes.get_mut(node) else { return (slots, false) };
        node.state = State::Up;
        let slots = node.place.concurrency.map_or(slots, |most| most.min(slots)).max(1);
        node.slots = Some(slots);
        (slots, node.failures > 0)
    }

    /// A node executed something.
    pub(super) fn worked(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.failures = 0;
        }
    }

    /// A node's worker ended, or there is none.
    pub(super) fn ended(&mut self, node: usize, gone: &Gone, now: Instant) -> Fate {
        let Some(node) = self.nodes.get_mut(node) else { return Fate::Tried(String::new()) };
        let name = &node.place.name;
        node.failures += 1;
        let given_up = match gone {
            Gone::Refused(refusal) => Some(refusal.to_string()),
            Gone::Unstarted(reason) => Some(reason.clone()),
            Gone::Lost(End { how, .. }) if node.failures >= FAILURES => {
                Some(format!("{how} (tried {FAILURES} times, one after the other)"))
            }
            Gone::Lost(_) => None,
        };
        if let Some(reason) = given_up {
            node.reason = format!("node `{name}`: {reason}");
            node.state = State::GivenUp;
            return Fate::GivenUp(node.reason.clone());
        }
        let Gone::Lost(End { how, .. }) = gone else { return Fate::Tried(String::new()) };
        let rest = REST.saturating_mul(1 << (node.failures - 1).min(10)).min(LONGEST_REST);
        node.state = State::Down(now + rest);
        node.reason = format!("node `{name}`: {how}");
        Fate::Tried(node.reason.clone())
    }

    /// How many attempts all of them execute at once, once that can be said: those that are not reached yet are
    /// taken to be like the largest of the others.
    pub(super) fn slots(&self, now: Instant) -> Option<usize> {
        let first = self.first?;
        let awaited = |node: &Node| node.failures == 0 && matches!(node.state, State::Starting);
        if now.saturating_duration_since(first) < OTHERS && self.nodes.iter().any(awaited) {
            return None;
        }
        let largest = self.nodes.iter().filter_map(|node| node.slots).max().unwrap_or(1);
        let counted = self.nodes.iter().filter(|node| !matches!(node.state, State::GivenUp));
        let slots = counted.map(|node| node.slots.or(node.place.concurrency).unwrap_or(largest));
        Some(slots.sum::<usize>().max(1))
    }

    /// Whether no node will ever execute anything.
    pub(super) fn are_hopeless(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node.state, State::GivenUp))
    }

    /// Whether none was reached so far, however often they were tried.
    pub(super) fn are_out_of_reach(&self) -> bool {
        let tried = |node: &Node| node.failures >= TRIED || matches!(node.state, State::GivenUp);
        self.first.is_none() && self.nodes.iter().all(tried)
    }

    /// Why nodes failed last, those first that are not tried any more.
    pub(super) fn reasons(&self) -> String {
        let (given_up, others): (Vec<_>, Vec<_>) =
            self.nodes.iter().partition(|node| matches!(node.state, State::GivenUp));
        let all = given_up.into_iter().chain(others).map(|node| &*node.reason);
        let told: Vec<&str> = all.filter(|reason| !reason.is_empty()).take(TOLD).collect();
        match self.nodes.len() - told.len() {
            0 => told.join("; "),
            more => format!("{}; and {more} more", told.join("; ")),
        }
    }

    /// A node's name.
    pub(super) fn name(&self, node: usize) -> Arc<str> {
        self.nodes.get(node).map_or_else(|| "".into(), |node| Arc::clone(&node.place.name))
    }

    /// Whether a node's breaker lets an attempt of this group through.
    pub(super) fn admits(&self, group: NodeId, node: usize, now: Instant) -> bool {
        let breaker = self.breakers.get(&(group, node));
        let admits = |breaker: &Breaker| {
            !breaker.gave_up() && breaker.opens_at().is_some_and(|at| at <= now - self.began)
        };
        breaker.is_none_or(admits)
    }

    /// Whether this group's attempts are kept from every node for good.
    pub(super) fn keeps_out(&self, group: NodeId) -> bool {
        let mut nodes = self.nodes.iter().enumerate();
        let usable = |(_, node): &(usize, &Node)| !matches!(node.state, State::GivenUp);
        let open = |(at, _): (usize, &Node)| {
            self.breakers.get(&(group, at)).is_none_or(|breaker| !breaker.gave_up())
        };
        self.policies.contains_key(&group) && !nodes.by_ref().filter(usable).any(open)
    }

    /// A node is handed an attempt.
    pub(super) fn handed(&mut self, id: AttemptId, node: usize) {
        if let Some(policy) = self.policies.get(&id.branch.node) {
            let breaker = self.breakers.entry((id.branch.node, node));
            breaker.or_insert_with(|| Breaker::new(*policy)).submitted(id);
        }
    }

    /// An attempt ended on a node or, without an ending, came back. Says what became of the node's breaker, in
    /// words.
    pub(super) fn attempt_ended(
        &mut self,
        id: AttemptId,
        node: usize,
        ending: Option<Ending>,
        now: Instant,
    ) -> Option<(News, String)> {
        let breaker = self.breakers.get_mut(&(id.branch.node, node))?;
        let model::Breaker { failures, cooldown } = *self.policies.get(&id.branch.node)?;
        let news = breaker.ended(id, ending, now - self.began);
        let name = self.name(node);
        let said = match news {
            News::None => return None,
            News::Opened => format!(
                "breaker of node `{name}` opened after {failures} failures in a row: others go elsewhere, and one probes it after {cooldown:?}"
            ),
            News::Closed => format!("breaker of node `{name}` closed: a probe succeeded"),
            News::GaveUp => {
                format!("breaker of node `{name}` stays open: {} probes failed", model::MOST_PROBES)
            }
        };
        Some((news, said))
    }
}

impl Pool {
    /// Starts the workers of those nodes that have none and whose time it is, while there is something for them.
    pub(super) fn reach_nodes(&mut self, now: Instant) {
        let wanted = self.is_wanted();
        let nodes = self.nodes.as_mut().filter(|_| wanted);
        let due = nodes.map(|nodes| nodes.due(now)).unwrap_or_default();
        for node in due {
            let profile = self.calls.profile(Reach::default());
            self.start_worker(profile, node);
        }
        self.keep_out();
    }

    /// What follows for others from the end of a node's worker. Says why it ended.
    pub(super) fn node_lost(&mut self, worker: &Worker, gone: &Gone, now: Instant) -> String {
        let Some(nodes) = &mut self.nodes else { return String::new() };
        let (kind, reason, said) = match nodes.ended(worker.node, gone, now) {
            Fate::Tried(reason) => {
                (Warning::NodeUnreachable, reason.clone(), format!("{reason}; it is tried again"))
            }
            Fate::GivenUp(reason) => {
                (Warning::NodeLeftOut, reason.clone(), format!("{reason}; it is left out"))
            }
        };
        self.hopeless = nodes.are_hopeless().then(|| nodes.reasons());
        match &self.hopeless {
            Some(hopeless) => {
                let hopeless = hopeless.clone();
                self.not_opened(&hopeless);
            }
            None if nodes.are_out_of_reach() => {
                let reasons = nodes.reasons();
                self.not_opened(&reasons);
            }
            None => self.warn(kind, said),
        }
        reason
    }

    /// An attempt ended on a node, or came back from it.
    pub(super) fn tell_breaker_of(&mut self, id: AttemptId, node: usize, ending: Option<Ending>) {
        let Some(nodes) = &mut self.nodes else { return };
        let group = id.branch.node;
        if let Some((news, said)) = nodes.attempt_ended(id, node, ending, Instant::now()) {
            if news == News::GaveUp && nodes.keeps_out(group) {
                // The group's end says so.
                return;
            }
            let kind = if news == News::Closed { Warning::BreakerClosed } else { Warning::BreakerOpened };
            self.report(Report::GroupWarning { node: group, kind, message: said.into() });
        }
    }

    /// What waits of groups that the breakers of all nodes keep out for good is handed back.
    fn keep_out(&mut self) {
        let Some(nodes) = self.nodes.as_ref().filter(|nodes| !nodes.breakers.is_empty()) else { return };
        let mut kept_out = Vec::new();
        for ready in &mut self.ready {
            let kept = |attempt: &Attempt| nodes.keeps_out(attempt.id.branch.node);
            kept_out.extend(ready.iter().filter(|attempt| kept(attempt)).map(|attempt| attempt.id));
            ready.retain(|attempt| !kept(attempt));
        }
        let groups: BTreeSet<NodeId> = kept_out.iter().map(|id| id.branch.node).collect();
        groups.into_iter().for_each(|node| self.report(Report::KeptOut { node }));
        kept_out.into_iter().for_each(|id| self.hand_back(id));
    }
}
