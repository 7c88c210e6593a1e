//! What the pool knows and decides: which attempts wait, which worker has which, and what is to be told.
//! Who is given what is in `hands`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::calls::Calls;
use super::hands::LARGE;
use super::launch::{End, Gone, Launch, Reach, Staff};
use super::nodes::Nodes;
use super::parts::Parts;
use super::starts::Starts;
use super::worker::{News, Pending, Worker, WorkerId};
use super::{Order, Outstanding, Workers, cores};
use crate::executor::{Capacity, Port, Report, Unreachable};
use crate::id::{AttemptId, BranchId};
use crate::model::{Attempt, Cause, Ending, Outcome, Usage, Warning};
use crate::runtime::ENGINE;
use crate::wire::{FromWorker, Hello, Said, ToWorker, Wants};

/// Attempts that a worker has at most beside the one that it executes.
pub(super) const AHEAD: usize = 64;

/// Attempts that are handed to nodes beforehand, for each that they execute at once: they are further away.
const AHEAD_OF_NODES: usize = 16;

/// So many are handed to them at least, so that many travel together. A node has no more of them beside those that it
/// executes.
pub(super) const LEAST_AHEAD: usize = 512;

/// How long an attempt that was cancelled may take to end, and one whose timeout passed beyond that.
const GRACE: Duration = Duration::from_millis(500);

/// A branch that was lost so often with others beside it is executed without.
const SUSPECT: u32 = 2;

/// How long a worker may take to load code that it was handed, before the attempt begins whose timeout it is
/// held to.
const LOADING: Duration = Duration::from_secs(2);

pub(super) struct State {
    pub(super) launch: Arc<dyn Launch>,
    pub(super) ours: Arc<Hello>,
    pub(super) port: Option<Port>,
    opening: Option<oneshot::Sender<Result<Capacity, Unreachable>>>,
    outstanding: Arc<Outstanding>,
    pub(super) calls: Calls,
    /// What waits, by profile.
    pub(super) ready: Vec<VecDeque<Attempt>>,
    pub(super) workers: Workers,
    pub(super) next: WorkerId,
    pub(super) news: Option<mpsc::UnboundedSender<(WorkerId, News)>>,
    pub(super) cores: usize,
    /// How many children there are at most; as many as there are nodes.
    pub(super) most: usize,
    /// Where workers are those of nodes, and not children.
    pub(super) nodes: Option<Nodes>,
    pub(super) starts: Starts,
    /// Why no more workers will ever be ready.
    pub(super) hopeless: Option<String>,
    /// The run was asked to stop.
    stopping: bool,
    /// What nodes have of arguments.
    pub(super) parts: Parts,
    /// How often branches were lost on nodes one time after the other.
    pub(super) losses: HashMap<BranchId, u32>,
    /// Warnings that were told.
    warned: HashSet<(Warning, String)>,
    /// What is to be told.
    reports: Vec<Report>,
    /// How many of these are ends.
    ended: usize,
}

impl State {
    pub(super) fn new(launch: Arc<dyn Launch>, outstanding: Arc<Outstanding>) -> Self {
        let (most, nodes) = match launch.staff() {
            Staff::Children(most) => (most, None),
            Staff::Nodes(places, breakers) => (places.len(), Some(Nodes::new(places, breakers))),
        };
        Self {
            launch,
            ours: Arc::new(Hello::of(ENGINE)),
            port: None,
            opening: None,
            outstanding,
            calls: Calls::default(),
            ready: Vec::new(),
            workers: Workers::default(),
            next: 0,
            news: None,
            cores: cores(),
            most,
            nodes,
            starts: Starts::default(),
            hopeless: None,
            stopping: false,
            parts: Parts::default(),
            losses: HashMap::new(),
            warned: HashSet::new(),
            reports: Vec::new(),
            ended: 0,
        }
    }

    /// Whether anything waits or executes.
    pub(super) fn is_wanted(&self) -> bool {
        self.opening.is_some()
            || self.ready.iter().any(|ready| !ready.is_empty())
            || self.workers.values().any(|worker| !worker.pending.is_empty())
    }

    /// Whether there is something to look at from time to time.
    pub(super) fn is_watched(&self) -> bool {
        self.is_wanted() || self.nodes.is_none() && self.has_spare()
    }

    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Open(port, answer) => self.open(port, answer),
            Order::Submit(batch) => batch.into_iter().for_each(|attempt| self.submit(attempt)),
            Order::Cancel(ids, cause) => self.cancel(&ids, cause),
            Order::Stop => {
                self.stopping = true;
                self.hand_back_ready();
                for (outbox, _) in self.workers.values().filter_map(|worker| worker.up.as_ref()) {
                    // It is small.
                    let _ = outbox.to_worker(ToWorker::Drain);
                }
            }
        }
    }

    fn open(&mut self, port: Port, answer: oneshot::Sender<Result<Capacity, Unreachable>>) {
        let name = self.launch.name();
        if self.port.is_some() {
            let reason = "it is in use by another run; make an executor for each run".to_owned();
            // Who asked may be gone.
            let _ = answer.send(Err(Unreachable { executor: name, reason }));
            return;
        }
        let interest = port.interest();
        let wants = Wants {
            starts: interest.starts,
            logs: interest.logs,
            progress: interest.progress,
            ..Wants::default()
        };
        self.ours = Arc::new(Hello { wants: Some(wants), ..Hello::of(ENGINE) });
        self.port = Some(port);
        self.opening = Some(answer);
        // The first shows whether any can be had.
        let profile = self.calls.profile(Reach::default());
        match self.nodes {
            None => self.start_worker(profile, 0),
            Some(_) => self.reach_nodes(Instant::now()),
        }
    }

    /// Whoever waits for the first worker is told that there is one. Nodes are waited for a moment, since they say
    /// how much they take.
    fn opened(&mut self, now: Instant) {
        let slots = match &self.nodes {
            None => Some(self.most),
            Some(nodes) => nodes.slots(now),
        };
        if let (Some(slots), Some(opening)) = (slots, self.opening.take_if(|_| slots.is_some())) {
            let ahead = match self.nodes {
                None => AHEAD * self.cores,
                Some(_) => slots.saturating_mul(AHEAD_OF_NODES).max(LEAST_AHEAD),
            };
            // Who asked may be gone.
            let _ = opening.send(Ok(Capacity { slots, ahead }));
        }
    }

    /// Whoever waits for the first worker is told that there will be none.
    pub(super) fn not_opened(&mut self, reason: &str) {
        if let Some(opening) = self.opening.take() {
            let executor = self.launch.name();
            // Who asked may be gone.
            let _ = opening.send(Err(Unreachable { executor, reason: reason.to_owned() }));
        }
    }

    fn submit(&mut self, attempt: Attempt) {
        // Nodes hold attempts to their own bounds: there is one kind of them.
        let reach = if self.nodes.is_some() { Reach::default() } else { Reach::of(&attempt.call) };
        let (profile, forgotten) = self.calls.meet(&attempt.call, reach);
        if !forgotten.is_empty() {
            for worker in self.workers.values_mut() {
                let known = forgotten.iter().copied().filter(|number| worker.calls.remove(number));
                let calls: Vec<u32> = known.collect();
                if let (Some((outbox, _)), false) = (&worker.up, calls.is_empty()) {
                    // It is small.
                    let _ = outbox.to_worker(ToWorker::Forget { calls });
                }
            }
        }
        self.waits(profile).push_back(attempt);
    }

    /// What waits for workers of a profile.
    pub(super) fn waits(&mut self, profile: usize) -> &mut VecDeque<Attempt> {
        if self.ready.len() <= profile {
            self.ready.resize_with(profile + 1, VecDeque::new);
        }
        let last = self.ready.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there are more than `profile`, as was just seen to")]
        &mut self.ready[profile.min(last)]
    }

    fn cancel(&mut self, ids: &[AttemptId], cause: Cause) {
        let ids: rustc_hash::FxHashSet<AttemptId> = ids.iter().copied().collect();
        let mut returned = Vec::new();
        for ready in &mut self.ready {
            ready.retain(|attempt| {
                let meant = ids.contains(&attempt.id);
                if meant {
                    returned.push(attempt.id);
                }
                !meant
            });
        }
        returned.into_iter().for_each(|id| self.hand_back(id));
        let now = Instant::now();
        for worker in self.workers.values_mut() {
            let mut meant = Vec::new();
            for pending in worker.pending.iter_mut().filter(|pending| ids.contains(&pending.attempt.id)) {
                pending.cancelled.get_or_insert((cause, now));
                meant.push(pending.attempt.id);
            }
            if let (Some((outbox, _)), false) = (&worker.up, meant.is_empty()) {
                // It is small.
                let _ = outbox.to_worker(ToWorker::Cancel { ids: meant, cause });
            }
        }
    }

    pub(super) fn news(&mut self, id: WorkerId, news: News) {
        match news {
            News::Up(outbox, side, hello) => {
                if self.stopping {
                    // It is small.
                    let _ = outbox.to_worker(ToWorker::Drain);
                }
                let now = Instant::now();
                let mut back = None;
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.up = Some((outbox, side));
                    worker.since = now;
                    if let Some(nodes) = &mut self.nodes {
                        let slots = hello.capacity.map_or(1, |(slots, _)| slots as usize);
                        let (slots, again) = nodes.up(worker.node, slots, now);
                        worker.slots = slots;
                        back = again.then(|| nodes.name(worker.node));
                    }
                }
                if let Some(name) = back {
                    // As often as that happens.
                    let message = format!("node `{name}` is ready again").into();
                    self.report(Report::Warning { kind: Warning::NodeUnreachable, message });
                }
                self.opened(now);
            }
            News::Said(FromWorker::Said(said)) => said.into_iter().for_each(|said| self.said(id, said)),
            News::Said(FromWorker::NeedComponent { component }) => self.supply(id, component, None),
            News::Said(FromWorker::NeedCode { component, settings }) => {
                self.supply(id, component, Some(settings));
            }
            News::Said(FromWorker::Ask { number, from, ask }) => {
                if let (Some(worker), Some(port)) = (self.workers.get_mut(&id), self.port.clone())
                    && let Some((outbox, _)) = worker.up.clone()
                {
                    worker.answering.spawn(async move {
                        let answer = port.channel().ask(from, ask).await;
                        // Its size is bounded.
                        let _ = outbox.to_worker(ToWorker::Answer { number, answer });
                    });
                    // Those that were given are of no more interest.
                    while worker.answering.try_join_next().is_some() {}
                }
            }
            News::Supplied => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.awaits = worker.awaits.saturating_sub(1);
                    worker.since = Instant::now();
                    worker.loads = true;
                }
            }
            News::Ended(gone) => self.lost(id, gone),
        }
    }

    fn said(&mut self, worker: WorkerId, said: Said) {
        let has = |this: &Self, id: AttemptId| {
            let worker = this.workers.get(&worker);
            worker.is_some_and(|worker| worker.pending.iter().any(|pending| pending.attempt.id == id))
        };
        match said {
            Said::Started { id } if has(self, id) => self.reports.push(Report::Started { id }),
            Said::Log { id, level, stream, message, cut } if has(self, id) => {
                let message = message.into_text().into();
                self.reports.push(Report::Log { id, level, stream, message, cut });
            }
            Said::Progress { id, done, total, message } if has(self, id) => {
                let message = message.map(|message| message.into_text().into());
                self.reports.push(Report::Progress { id, done, total, message });
            }
            // Of an attempt that it does not have.
            Said::Started { .. } | Said::Log { .. } | Said::Progress { .. } => {}
            Said::Returned { id } => {
                if let Some(pending) = self.take(worker, id) {
                    self.came_back(worker, pending);
                }
            }
            Said::Finished { id, ended, usage } => {
                let Some(pending) = self.take(worker, id) else { return };
                match (&mut self.nodes, self.workers.get(&worker)) {
                    (Some(nodes), Some(worker)) => nodes.worked(worker.node),
                    (_, _) => self.starts.worked(),
                }
                self.losses.remove(&id.branch);
                if self.nodes.is_some() && ended.length() > LARGE {
                    self.warn_of_size(&pending.attempt.call, "returns");
                }
                let Some(known) = self.calls.get_mut(&pending.attempt.call) else { return };
                known.took(usage.wall);
                let outcome = ended.into_outcome(&known.value).unwrap_or_else(|error| {
                    if let Some(worker) = self.workers.get(&worker) {
                        worker.stop.notify_one();
                    }
                    Outcome::Lost {
                        reason: format!("the worker's answer makes no sense: {error}"),
                        exhausted: false,
                    }
                });
                let ending = outcome.ending();
                let name = self.workers.get(&worker).and_then(Worker::name);
                self.tell_breaker(id, worker, Some(ending));
                self.finish(id, outcome, usage, name);
                // What its guest left behind is nobody's any more, and gone for sure. A node has others' in hand.
                if matches!(ending, Ending::TimedOut | Ending::Cancelled)
                    && self.nodes.is_none()
                    && let Some(worker) = self.workers.get_mut(&worker)
                {
                    worker.retire();
                }
            }
            // What one says of its machine, all of them say.
            Said::Warning { kind, message } => self.warn(kind, message),
        }
    }

    /// Says what people should know of, once.
    pub(super) fn warn(&mut self, kind: Warning, message: String) {
        if self.warned.insert((kind, message.clone())) {
            self.report(Report::Warning { kind, message: message.into() });
        }
    }

    /// A worker gave an attempt back without an outcome.
    fn came_back(&mut self, worker: WorkerId, pending: Pending) {
        let profile = self.workers.get(&worker).map(|worker| worker.profile);
        self.tell_breaker(pending.attempt.id, worker, None);
        match profile.filter(|_| pending.taken_back && pending.cancelled.is_none() && !self.stopping) {
            Some(profile) => {
                // Before those that came later.
                let (attempt, waits) = (pending.attempt, self.waits(profile));
                let before =
                    |other: &Attempt| Arc::ptr_eq(&other.call, &attempt.call) && other.id < attempt.id;
                let at = waits.iter().take_while(|other| before(other)).count();
                waits.insert(at, attempt);
            }
            None => self.hand_back(pending.attempt.id),
        }
    }

    /// Takes an attempt out of a worker's hands.
    pub(super) fn take(&mut self, worker: WorkerId, id: AttemptId) -> Option<Pending> {
        let worker = self.workers.get_mut(&worker)?;
        let at = worker.pending.iter().position(|pending| pending.attempt.id == id)?;
        let pending = worker.pending.remove(at)?;
        worker.load = worker.load.saturating_sub(pending.expected);
        if at == 0 {
            worker.since = Instant::now();
            worker.loads = false;
        }
        if worker.retires {
            worker.retire();
        }
        Some(pending)
    }

    fn lost(&mut self, id: WorkerId, gone: Gone) {
        let Some(worker) = self.workers.remove(&id) else { return };
        let now = Instant::now();
        let (reason, idle) = match &self.nodes {
            None => self.child_lost(&worker, gone, now),
            Some(_) => (self.node_lost(&worker, &gone, now), worker.up.is_none()),
        };
        let name = worker.name();
        let mut pending = worker.pending.into_iter();
        for first in pending.by_ref().take(if idle { 0 } else { worker.slots }) {
            let outcome = match (first.cancelled, worker.overdue, first.attempt.call.limits.timeout) {
                (Some((cause, _)), _, _) => Outcome::Cancelled { cause },
                (None, true, Some(after)) => Outcome::TimedOut { after },
                (None, _, _) => {
                    self.suspect(&first.attempt);
                    Outcome::Lost { reason: reason.clone(), exhausted: false }
                }
            };
            self.tell_breaker_of(first.attempt.id, worker.node, Some(outcome.ending()));
            self.finish(first.attempt.id, outcome, Usage::default(), name.clone());
        }
        for Pending { attempt, cancelled, .. } in pending.rev() {
            self.tell_breaker_of(attempt.id, worker.node, None);
            if cancelled.is_some() || self.stopping {
                self.hand_back(attempt.id);
            } else {
                self.waits(worker.profile).push_front(attempt);
            }
        }
    }

    /// What follows for others from the end of a child. Says why it ended, and whether not even the first of its
    /// attempts executed.
    fn child_lost(&mut self, worker: &Worker, gone: Gone, now: Instant) -> (String, bool) {
        let (reason, killed) = match gone {
            Gone::Lost(End { how, killed, .. }) => (how, killed),
            Gone::Refused(refusal) => (self.hopeless.insert(refusal.to_string()).clone(), false),
            Gone::Unstarted(reason) => (self.hopeless.insert(reason).clone(), false),
        };
        let idle = worker.up.is_none() || worker.awaits > 0;
        // Those that are ended here could be started.
        if idle && !worker.overdue {
            self.starts.ended(killed, now);
            if self.starts.are_hopeless(now) {
                self.hopeless.get_or_insert_with(|| reason.clone());
            }
            if self.hopeless.is_some() || self.starts.are_out_of_reach(now) {
                self.not_opened(&reason);
            }
        }
        (reason, idle)
    }

    fn tell_breaker(&mut self, id: AttemptId, worker: WorkerId, ending: Option<Ending>) {
        if let Some(node) = self.workers.get(&worker).map(|worker| worker.node) {
            self.tell_breaker_of(id, node, ending);
        }
    }

    /// An attempt may have ended its worker.
    fn suspect(&mut self, attempt: &Attempt) {
        match self.nodes {
            None => {
                if let Some(known) = self.calls.get_mut(&attempt.call) {
                    known.alone = true;
                }
            }
            Some(_) => *self.losses.entry(attempt.id.branch).or_default() += 1,
        }
    }

    /// Whether an attempt is handed over without others beside it, so that it is known what it does to its worker.
    pub(super) fn alone(&self, attempt: &Attempt) -> bool {
        self.calls.get(&attempt.call).is_some_and(|known| known.alone)
            || self.losses.get(&attempt.id.branch).is_some_and(|losses| *losses >= SUSPECT)
    }

    /// Looks at what takes long. Says whether a second look soon tells more.
    pub(super) fn look(&mut self) -> bool {
        let now = Instant::now();
        self.take_back(now);
        if self.nodes.is_some() {
            self.opened(now);
            return false;
        }
        for worker in self.workers.values_mut().filter(|worker| worker.awaits == 0) {
            let Some(first) = worker.pending.front() else { continue };
            let executes = now.saturating_duration_since(worker.since);
            let loads = if worker.loads { LOADING } else { Duration::ZERO };
            let late = |timeout: Duration| executes > timeout + timeout / 10 + GRACE + loads;
            let overdue = first.attempt.call.limits.timeout.is_some_and(late);
            let stubborn = first.cancelled.is_some_and(|(_, at)| now.saturating_duration_since(at) > GRACE);
            let late = overdue || stubborn;
            // Where this process was stopped, it may have said so long ago: that is heard before the next look.
            if std::mem::replace(&mut worker.late, late) && late && !worker.overdue {
                worker.overdue = true;
                worker.stop.notify_one();
            }
        }
        let again = self.grow_beside(now);
        self.end_idle(now);
        again
    }

    /// Does what follows from all that happened.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        if self.port.is_some() && self.nodes.is_some() {
            self.reach_nodes(now);
        }
        if self.opening.is_some() {
            // Another is tried where the first was not to be had.
            if self.workers.is_empty() && self.nodes.is_none() {
                let profile = self.calls.profile(Reach::default());
                self.start_beside(profile);
            }
        } else if self.port.is_some() {
            self.hand_out(now);
            if self.nodes.is_none() {
                self.grow();
            }
            self.give_up();
        }
        if let (Some(port), false) = (&self.port, self.reports.is_empty()) {
            port.report(self.reports.drain(..));
            port.flush();
            self.outstanding.ended(std::mem::take(&mut self.ended));
        }
    }

    /// Where no more workers can be had: what waits for one of a kind that there is none of is lost.
    fn give_up(&mut self) {
        let Some(reason) = self.hopeless.clone() else { return };
        for profile in 0..self.ready.len() {
            let mine = |worker: &Worker| worker.profile == profile && !worker.retires;
            if !self.workers.values().any(mine) {
                for attempt in std::mem::take(self.waits(profile)) {
                    let reason = format!("no worker starts: {reason}");
                    self.finish(
                        attempt.id,
                        Outcome::Lost { reason, exhausted: false },
                        Usage::default(),
                        None,
                    );
                }
            }
        }
    }

    pub(super) fn hand_back_ready(&mut self) {
        for attempt in std::mem::take(&mut self.ready).into_iter().flatten() {
            self.hand_back(attempt.id);
        }
    }

    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    pub(super) fn hand_back(&mut self, id: AttemptId) {
        self.reports.push(Report::Returned { id });
        self.ended += 1;
    }

    /// It ended, with the worker of this name if any had it.
    pub(super) fn finish(&mut self, id: AttemptId, outcome: Outcome, usage: Usage, worker: Option<Arc<str>>) {
        self.reports.push(Report::Finished { id, outcome, usage, worker });
        self.ended += 1;
    }
}
