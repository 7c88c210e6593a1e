//! Who is given what, and when there are more workers. As many as there are cores do all the work while
//! attempts compute; beside those that wait for something, others are started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::{AHEAD, State};
use super::worker::{News, Pending, Worker, WorkerId, attend};
use crate::digest::Digest;
use crate::model::{Attempt, Outcome, Usage};
use crate::wire::{Start, ToWorker, WireError, encode};

/// So much work a worker has in hand, so that it need not wait for more.
const IN_HAND: Duration = Duration::from_millis(1);

/// Bytes on their way to a worker, beyond which it is given nothing ahead.
const ON_THE_WAY: usize = 1 << 20;

/// An attempt that takes longer than this may be one that waits.
const LONG: Duration = Duration::from_millis(10);

/// Bytes of arguments that go into one message, where one attempt alone does not have more.
const TOGETHER: u64 = 1 << 20;

impl State {
    /// Gives attempts to workers, to each of them in one message.
    pub(super) fn hand_out(&mut self) {
        let mut handed: BTreeMap<WorkerId, (Vec<Start>, u64)> = BTreeMap::new();
        for profile in 0..self.ready.len() {
            while let Some(next) = self.ready.get(profile).and_then(|ready| ready.front()) {
                let Some(known) = self.calls.get(&next.call) else { break };
                let (alone, expected, number) = (known.alone, known.expected(), known.number);
                let fits = |worker: &Worker| worker.profile == profile && worker.has_room(alone);
                let free = self.workers.iter().filter(|(_, worker)| fits(worker));
                let Some((id, _)) = free.min_by_key(|(_, worker)| (worker.load, worker.pending.len())) else {
                    break;
                };
                let id = *id;
                let Some(attempt) = self.waits(profile).pop_front() else { break };
                match self.pack(id, number, &attempt) {
                    Ok(start) => {
                        let (starts, bytes) = handed.entry(id).or_default();
                        *bytes += start.arguments.length();
                        starts.push(start);
                        let full = *bytes > TOGETHER;
                        if let Some(worker) = self.workers.get_mut(&id) {
                            worker.has(Pending { attempt, expected, alone, cancelled: None });
                        }
                        if full && let Some((starts, _)) = handed.remove(&id) {
                            self.send(id, starts);
                        }
                    }
                    Err(reason) => {
                        self.finish(attempt.id, Outcome::Rejected { reason }, Usage::default(), None);
                    }
                }
            }
        }
        handed.into_iter().for_each(|(id, (starts, _))| self.send(id, starts));
    }

    /// An attempt as it travels. Its worker knows its call then.
    fn pack(&mut self, id: WorkerId, number: u32, attempt: &Attempt) -> Result<Start, String> {
        let types = attempt.call.signature.parameters.iter().map(|(_, ty)| ty);
        let arguments = encode(&attempt.arguments, types).map_err(|error| error.to_string())?;
        if let Some(worker) = self.workers.get_mut(&id)
            && let Some((outbox, _)) = &worker.up
            && worker.calls.insert(number)
        {
            let call = Arc::clone(&attempt.call);
            outbox
                .to_worker(ToWorker::Call { number, call })
                .map_err(|error: WireError| error.to_string())?;
        }
        Ok(Start { id: attempt.id, call: number, iteration: attempt.iteration, arguments })
    }

    fn send(&mut self, id: WorkerId, attempts: Vec<Start>) {
        let Some((outbox, _)) = self.workers.get(&id).and_then(|worker| worker.up.as_ref()) else { return };
        let ids: Vec<_> = attempts.iter().map(|start| start.id).collect();
        if let Err(error) = outbox.to_worker(ToWorker::Start { attempts }) {
            for attempt in ids {
                if self.take(id, attempt).is_some() {
                    let reason = format!("the arguments cannot be handed over: {error}");
                    self.finish(attempt, Outcome::Rejected { reason }, Usage::default(), None);
                }
            }
        }
    }

    /// Starts workers for what waits, as many as there are cores, and one for each profile that has none.
    pub(super) fn grow(&mut self) {
        for profile in 0..self.ready.len() {
            let waiting = self.ready.get(profile).map_or(0, |ready| ready.len());
            if waiting == 0 {
                continue;
            }
            let of = |worker: &&Worker| worker.profile == profile && !worker.retires;
            let mine = self.workers.values().filter(of).count();
            let starting = self.workers.values().filter(of).filter(|worker| worker.up.is_none()).count();
            let busy = self.workers.values().filter(|worker| worker.profile == profile || worker.is_busy());
            let busy = busy.filter(|worker| !worker.retires).count();
            let wanted = self.cores.saturating_sub(busy).max(usize::from(mine == 0));
            for _ in 0..wanted.min(waiting.saturating_sub(starting)) {
                self.start_beside(profile);
            }
        }
    }

    /// Starts workers beside those whose attempts wait for something.
    pub(super) fn grow_beside_sleepers(&mut self, now: Instant) {
        let (mut sleeping, mut busy) = (0, 0);
        for worker in self.workers.values_mut().filter(|worker| worker.is_busy()) {
            let long = worker.awaits == 0 && now.saturating_duration_since(worker.since) > LONG;
            let waits = long && worker.up.as_ref().is_some_and(|(_, side)| side.waits());
            // At two looks: the first may have come at a moment's pause.
            if std::mem::replace(&mut worker.waited, waits) && waits {
                sleeping += 1;
            } else {
                busy += 1;
            }
        }
        if sleeping == 0 || busy >= self.cores {
            return;
        }
        for profile in 0..self.ready.len() {
            let waiting = self.ready.get(profile).map_or(0, |ready| ready.len());
            let more = waiting.min(sleeping.max(self.cores.saturating_sub(busy)));
            (0..more).for_each(|_| self.start_beside(profile));
        }
    }

    /// Starts a worker, unless there are as many as may be. One of another profile that has nothing to do
    /// makes way.
    fn start_beside(&mut self, profile: usize) {
        if self.workers.len() >= self.launch.most() {
            let idle =
                |worker: &&mut Worker| worker.profile != profile && !worker.retires && !worker.is_busy();
            if let Some(worker) = self.workers.values_mut().find(idle) {
                worker.retire();
            }
            return;
        }
        self.start_worker(profile);
    }

    pub(super) fn start_worker(&mut self, profile: usize) {
        let Some(news) = self.news.clone() else { return };
        let id = self.next;
        self.next += 1;
        let stop = Arc::new(Notify::new());
        self.workers.insert(id, Worker::new(profile, Arc::clone(&stop)));
        let reach = self.calls.reach(profile);
        let (launch, ours) = (Arc::clone(&self.launch), Arc::clone(&self.ours));
        drop(tokio::spawn(attend(id, launch, reach, ours, stop, news)));
    }

    /// Gets a worker the component that it lacks, or its code.
    pub(super) fn supply(&mut self, id: WorkerId, component: Digest, settings: Option<Arc<str>>) {
        let (Some(worker), Some(news)) = (self.workers.get_mut(&id), self.news.clone()) else { return };
        let Some((outbox, side)) = worker.up.clone() else { return };
        worker.awaits += 1;
        let launch = Arc::clone(&self.launch);
        drop(tokio::spawn(async move {
            let answer = match &settings {
                Some(settings) => side.code(component, Arc::clone(settings)).await.map(|()| None),
                None => launch.component(component).await.map(|wasm| {
                    let wasm = crate::wire::Payload::of(vec![wasm]);
                    Some(ToWorker::Component { component, wasm })
                }),
            };
            let refused = |reason| Some(ToWorker::Refused { component, settings: settings.clone(), reason });
            if let Some(message) = answer.unwrap_or_else(refused)
                && let Err(error) = outbox.to_worker(message)
            {
                // Saying so is small.
                let _ =
                    outbox.to_worker(ToWorker::Refused { component, settings, reason: error.to_string() });
            }
            // The pool may be gone.
            let _ = news.send((id, News::Supplied));
        }));
    }
}

impl Worker {
    /// Whether it has, or will have, something to do.
    fn is_busy(&self) -> bool {
        !self.pending.is_empty() || self.up.is_none()
    }

    /// Whether it can be given an attempt, which must not have others beside it if it is to be `alone`.
    fn has_room(&self, alone: bool) -> bool {
        let Some((outbox, _)) = self.up.as_ref().filter(|_| !self.retires) else { return false };
        self.pending.is_empty()
            || !alone
                && self.load < IN_HAND
                && self.pending.len() <= AHEAD
                && !self.pending.iter().any(|pending| pending.alone)
                && outbox.queued() < ON_THE_WAY
    }

    fn has(&mut self, pending: Pending) {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        self.load += pending.expected;
        self.pending.push_back(pending);
    }
}
