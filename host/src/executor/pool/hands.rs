//! Who is given what, and what is taken back. When there are more workers is in `growth`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::launch::Component;
use super::state::{AHEAD, LEAST_AHEAD, State};
use super::worker::{News, Pending, Worker, WorkerId};
use crate::digest::Digest;
use crate::id::NodeId;
use crate::model::{Attempt, Call, Outcome, Usage, Warning};
use crate::wire::{Payload, Shared, Start, ToWorker, WireError, encode};

/// So much work a worker has in hand, so that it need not wait for more.
const IN_HAND: Duration = Duration::from_millis(1);

/// So much a node has in hand for each attempt that it executes at once, so that its distance does not show.
const IN_HAND_OF_NODES: Duration = Duration::from_millis(20);

/// Bytes on their way to a worker, beyond which it is given nothing ahead.
const ON_THE_WAY: usize = 1 << 20;

/// An attempt that takes longer than this may be one that waits.
const LONG: Duration = Duration::from_millis(10);

/// What was handed over behind an attempt that takes so long is taken back.
const HELD: Duration = Duration::from_millis(50);

/// Bytes of an attempt's values of which people are told, since they take long to reach a node.
pub(super) const LARGE: u64 = 16 << 20;

/// Bytes of arguments that go into one message, where one attempt alone does not have more.
const TOGETHER: u64 = 1 << 20;

impl State {
    /// Gives attempts to workers, to each of them in one message.
    pub(super) fn hand_out(&mut self, now: Instant) {
        let mut handed: BTreeMap<WorkerId, (Vec<Start>, u64)> = BTreeMap::new();
        for profile in 0..self.ready.len() {
            let several = self.ready.get(profile).is_some_and(|ready| {
                let mut calls = ready.iter().map(|attempt| &attempt.call);
                calls.next().is_some_and(|first| calls.any(|call| !Arc::ptr_eq(call, first)))
            });
            // Groups whose attempts no node's breaker lets through at this moment.
            let mut held = Vec::new();
            while let Some(at) = self.next(profile, several, &held) {
                let Some(next) = self.ready.get(profile).and_then(|ready| ready.get(at)) else { break };
                let Some(known) = self.calls.get(&next.call) else { break };
                let (group, alone) = (next.id.branch.node, self.alone(next));
                let (expected, number) = (known.expected(), known.number);
                let fits = |worker: &Worker| worker.profile == profile && worker.has_room(alone, now);
                let free: Vec<_> = self.workers.iter().filter(|(_, worker)| fits(worker)).collect();
                if free.is_empty() {
                    break;
                }
                let admits = |worker: &Worker| {
                    self.nodes.as_ref().is_none_or(|nodes| nodes.admits(group, worker.node, now))
                };
                let admitting = free.into_iter().filter(|(_, worker)| admits(worker));
                let Some((id, _)) = admitting.min_by_key(|(id, worker)| (worker.burden(), **id)) else {
                    held.push(group);
                    continue;
                };
                let id = *id;
                let Some(attempt) = self.waits(profile).remove(at) else { break };
                match self.pack(id, number, &attempt) {
                    Ok(start) => {
                        let (starts, bytes) = handed.entry(id).or_default();
                        *bytes += start.arguments.length();
                        starts.push(start);
                        let full = *bytes > TOGETHER;
                        if let Some(worker) = self.workers.get_mut(&id) {
                            if let Some(nodes) = &mut self.nodes {
                                nodes.handed(attempt.id, worker.node);
                            }
                            worker.has(Pending {
                                attempt,
                                expected,
                                alone,
                                cancelled: None,
                                taken_back: false,
                            });
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
        self.forget_parts();
    }

    /// Which of the attempts that wait is next.
    fn next(&self, profile: usize, several: bool, held: &[NodeId]) -> Option<usize> {
        match held.is_empty() {
            true if several && self.nodes.is_none() => Some(self.least_served(profile)),
            true => Some(0),
            false => {
                self.ready.get(profile)?.iter().position(|attempt| !held.contains(&attempt.id.branch.node))
            }
        }
    }

    /// Which of the attempts that wait is next: the first one, unless as many workers as there are cores
    /// execute its call already. Then one whose call fewer execute, so that no call keeps others waiting.
    fn least_served(&self, profile: usize) -> usize {
        let Some(ready) = self.ready.get(profile) else { return 0 };
        match ready.front() {
            Some(first) if self.executing(&first.call) >= self.cores => {
                let served = |(_, attempt): &(usize, &Attempt)| self.executing(&attempt.call);
                ready.iter().enumerate().min_by_key(served).map_or(0, |(at, _)| at)
            }
            Some(_) | None => 0,
        }
    }

    /// How many workers execute attempts of `call`.
    pub(super) fn executing(&self, call: &Arc<Call>) -> usize {
        self.workers.values().filter(|worker| worker.executes(call)).count()
    }

    /// Takes back what was handed over behind an attempt that takes long, so that others execute it.
    pub(super) fn take_back(&mut self, now: Instant) {
        for worker in self.workers.values_mut().filter(|worker| worker.awaits == 0) {
            if now.saturating_duration_since(worker.since) <= HELD {
                continue;
            }
            let behind = worker.pending.iter_mut().skip(worker.slots);
            let held = behind.filter(|pending| pending.cancelled.is_none() && !pending.taken_back);
            let ids: Vec<_> = held
                .map(|pending| {
                    pending.taken_back = true;
                    pending.attempt.id
                })
                .collect();
            if let (Some((outbox, _)), false) = (&worker.up, ids.is_empty()) {
                // It is small.
                let _ = outbox.to_worker(ToWorker::GiveBack { ids });
            }
        }
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
        let (arguments, shared) = self.share(id, attempt, arguments);
        Ok(Start { id: attempt.id, call: number, iteration: attempt.iteration, arguments, shared })
    }

    /// Leaves out of an attempt's arguments what its node has already.
    fn share(&mut self, id: WorkerId, attempt: &Attempt, arguments: Payload) -> (Payload, Vec<Shared>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|_| self.nodes.is_some()) else {
            return (arguments, Vec::new());
        };
        let length = arguments.length();
        let (rest, shared) = self.parts.share(arguments, &mut worker.parts);
        if length > LARGE {
            self.warn_of_size(&attempt.call, "is given");
        }
        (rest, shared)
    }

    /// Has nodes forget the parts that gave way, once all that names them is on its way.
    fn forget_parts(&mut self) {
        let gone = self.parts.take_gone();
        if gone.is_empty() {
            return;
        }
        for worker in self.workers.values_mut() {
            let numbers: Vec<u32> =
                gone.iter().copied().filter(|number| worker.parts.remove(number)).collect();
            if let (Some((outbox, _)), false) = (&worker.up, numbers.is_empty()) {
                // It is small.
                let _ = outbox.to_worker(ToWorker::ForgetShared { numbers });
            }
        }
    }

    /// Says that values are so large that their way shows.
    pub(super) fn warn_of_size(&mut self, call: &Call, does: &str) {
        let (task, executor) = (&call.task, self.launch.name());
        let message = format!(
            "task `{task}` on executor `{executor}` {does} values of more than {} MiB, which travel over ssh: what is there already, or stays there, is better a file in a granted directory",
            LARGE >> 20
        );
        self.warn(Warning::LargeValues, message);
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
                    let Component { wasm, packed } = wasm;
                    Some(ToWorker::Component { component, wasm: Payload::of(vec![wasm]), packed })
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
    pub(super) fn is_busy(&self) -> bool {
        !self.pending.is_empty() || self.up.is_none()
    }

    /// Whether it can be given an attempt, which must not have others beside it if it is to be `alone`.
    fn has_room(&self, alone: bool, now: Instant) -> bool {
        let Some((outbox, _)) = self.up.as_ref().filter(|_| !self.retires) else { return false };
        let (slots, in_hand, ahead) = match self.slots {
            1 => (1, IN_HAND, AHEAD),
            slots => (
                slots,
                IN_HAND_OF_NODES.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX)),
                LEAST_AHEAD,
            ),
        };
        self.pending.is_empty()
            || !alone
                // It has nothing beside it.
                && !self.pending.front().is_some_and(|pending| pending.alone)
                && (self.pending.len() < slots
                    || !self.is_long(now) && self.load < in_hand && self.pending.len() < slots + ahead)
                && outbox.queued() < ON_THE_WAY.saturating_mul(slots)
    }

    /// What speaks against handing it more than others: the least is given the next attempt.
    fn burden(&self) -> (Reverse<usize>, Duration, usize) {
        (Reverse(self.slots.saturating_sub(self.pending.len())), self.load, self.pending.len())
    }

    /// Whether it executes an attempt that takes long.
    pub(super) fn is_long(&self, now: Instant) -> bool {
        let executes = !self.pending.is_empty() && self.awaits == 0;
        executes && now.saturating_duration_since(self.since) > LONG
    }

    /// Whether the attempt that it executes is of `call`.
    pub(super) fn executes(&self, call: &Arc<Call>) -> bool {
        self.pending.front().is_some_and(|first| Arc::ptr_eq(&first.attempt.call, call))
    }

    fn has(&mut self, pending: Pending) {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        self.load += pending.expected;
        self.pending.push_back(pending);
    }
}
