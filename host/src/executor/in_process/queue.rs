//! What waits, what executes where, and who is to be woken: the lanes' common ground, under one
//! short lock. Pure data: it neither executes nor wakes anyone itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::id::AttemptId;
use crate::model::{Attempt, Call, Cause};
use crate::runtime::Prepared;

/// So many turns of 10 ms a guest computes before another attempt is let in beside it, while as many
/// compute as there are threads. Each that was let in doubles it: short attempts have a thread to
/// themselves, and long ones keep nobody out for ever.
const PATIENCE: u32 = 5;

/// Prepared calls that are kept for lanes to come. Beyond it they are prepared again.
const KEPT: usize = 1024;

/// What is known of a call.
enum Known {
    /// It is being prepared; these attempts wait for it.
    Preparing(Vec<Attempt>),
    Ready(Arc<Prepared>),
    Refused(Arc<str>),
}

struct Entry {
    /// Keeps the address from being used for another call.
    _call: Arc<Call>,
    known: Known,
}

/// A call is known again by where it is.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Address(usize);

impl Address {
    fn of(call: &Arc<Call>) -> Self {
        Self(Arc::as_ptr(call).addr())
    }
}

#[derive(Default)]
struct Lane {
    running: Option<AttemptId>,
    cancelled: Option<Cause>,
}

/// Why a lane let others have its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gave {
    /// Its guest waits for something.
    Waiting,
    /// Its guest has computed for long.
    Computing,
}

/// What a lane does next.
pub(super) enum Next {
    /// Execute this, of the call that the lane executed last.
    Again(Attempt),
    /// Execute this, of another call.
    Run(Attempt, Arc<Prepared>),
    /// Report that this is refused.
    Refuse(Attempt, Arc<str>),
    /// See to it that this call is prepared.
    Prepare(Arc<Call>),
    /// Rest until woken.
    Rest,
}

/// Lanes by their position. To be woken once the lock is released.
pub(super) type Wake = Vec<usize>;

/// The lanes' common ground.
pub(super) struct Queue {
    ready: VecDeque<Attempt>,
    calls: HashMap<Address, Entry>,
    lanes: Vec<Lane>,
    /// Lanes that rest.
    resting: Vec<usize>,
    /// Lanes that will look here again without having to wait for anything: as many as there are
    /// threads do all the work while nothing waits.
    awake: usize,
    threads: usize,
    /// Lanes whose guests compute beside those that are awake.
    computing: u32,
    running: usize,
    parked: usize,
}

impl Queue {
    /// For `lanes` lanes, all of them resting, on `threads` threads.
    pub(super) fn new(lanes: usize, threads: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            calls: HashMap::new(),
            lanes: std::iter::repeat_with(Lane::default).take(lanes).collect(),
            resting: (0..lanes).rev().collect(),
            awake: 0,
            threads: threads.max(1),
            computing: 0,
            running: 0,
            parked: 0,
        }
    }

    /// Whether nothing waits and nothing executes.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.running == 0 && self.parked == 0
    }

    /// Takes attempts over.
    pub(super) fn submit(&mut self, batch: Vec<Attempt>) -> Wake {
        self.ready.extend(batch);
        self.wake()
    }

    /// What `lane` does next. `last` is the call that it executed last.
    pub(super) fn next(&mut self, lane: usize, last: Option<&Arc<Call>>) -> Next {
        self.leave(lane);
        loop {
            // Lanes that are back from giving their threads away may be more than there are threads.
            let crowded = self.awake > self.threads;
            let Some(attempt) = (if crowded { None } else { self.ready.pop_front() }) else {
                self.awake = self.awake.saturating_sub(1);
                self.resting.push(lane);
                return Next::Rest;
            };
            if last.is_some_and(|last| Arc::ptr_eq(last, &attempt.call)) {
                self.enter(lane, attempt.id);
                return Next::Again(attempt);
            }
            let address = Address::of(&attempt.call);
            match self.calls.get_mut(&address).map(|entry| &mut entry.known) {
                Some(Known::Ready(prepared)) => {
                    let prepared = Arc::clone(prepared);
                    self.enter(lane, attempt.id);
                    return Next::Run(attempt, prepared);
                }
                Some(Known::Refused(reason)) => {
                    let reason = Arc::clone(reason);
                    self.enter(lane, attempt.id);
                    return Next::Refuse(attempt, reason);
                }
                Some(Known::Preparing(waiting)) => {
                    waiting.push(attempt);
                    self.parked += 1;
                }
                None => {
                    let call = Arc::clone(&attempt.call);
                    self.make_room();
                    let known = Known::Preparing(vec![attempt]);
                    self.calls.insert(address, Entry { _call: Arc::clone(&call), known });
                    self.parked += 1;
                    return Next::Prepare(call);
                }
            }
        }
    }

    /// Whether a guest that has computed for so many turns is to let another in.
    pub(super) fn is_long(&self, turns: u32) -> bool {
        turns >= PATIENCE.checked_shl(self.computing).unwrap_or(u32::MAX)
    }

    /// A lane gives its thread away within its attempt: another may have it.
    pub(super) fn give(&mut self, gave: Gave) -> Wake {
        self.awake = self.awake.saturating_sub(1);
        match gave {
            Gave::Waiting => {}
            Gave::Computing => self.computing += 1,
        }
        self.wake()
    }

    /// A lane that gave its thread away is back.
    pub(super) fn resume(&mut self, gave: Gave) {
        self.awake += 1;
        match gave {
            Gave::Waiting => {}
            Gave::Computing => self.computing = self.computing.saturating_sub(1),
        }
    }

    /// Whether `lane` rests still: it was woken by chance, by what was meant for its last attempt.
    pub(super) fn rests(&self, lane: usize) -> bool {
        self.resting.contains(&lane)
    }

    /// `call` is prepared, or refused: its attempts go first.
    pub(super) fn prepared(&mut self, call: &Arc<Call>, result: Result<Arc<Prepared>, Arc<str>>) -> Wake {
        let known = match result {
            Ok(prepared) => Known::Ready(prepared),
            Err(reason) => Known::Refused(reason),
        };
        let entry = Entry { _call: Arc::clone(call), known };
        let before = self.calls.insert(Address::of(call), entry);
        if let Some(Entry { known: Known::Preparing(waiting), .. }) = before {
            self.parked = self.parked.saturating_sub(waiting.len());
            for attempt in waiting.into_iter().rev() {
                self.ready.push_front(attempt);
            }
        }
        self.wake()
    }

    /// Removes those of `ids` that did not begin, and marks those that execute. Gives the former, and
    /// the lanes of the latter.
    pub(super) fn cancel(&mut self, ids: &[AttemptId], cause: Cause) -> (Vec<AttemptId>, Wake) {
        let ids: HashSet<&AttemptId> = ids.iter().collect();
        let returned = self.remove(|id| ids.contains(id));
        let mut lanes = Vec::new();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            if lane.running.is_some_and(|running| ids.contains(&running)) {
                lane.cancelled = Some(cause);
                lanes.push(at);
            }
        }
        (returned, lanes)
    }

    /// Removes all that did not begin.
    pub(super) fn take_waiting(&mut self) -> Vec<AttemptId> {
        self.remove(|_| true)
    }

    /// Removes those that did not begin and are `meant`.
    fn remove(&mut self, meant: impl Fn(&AttemptId) -> bool) -> Vec<AttemptId> {
        let mut removed = Vec::new();
        let mut keep = |attempt: &Attempt| {
            let meant = meant(&attempt.id);
            if meant {
                removed.push(attempt.id);
            }
            !meant
        };
        self.ready.retain(&mut keep);
        for entry in self.calls.values_mut() {
            if let Known::Preparing(waiting) = &mut entry.known {
                let before = waiting.len();
                waiting.retain(&mut keep);
                self.parked = self.parked.saturating_sub(before - waiting.len());
            }
        }
        removed
    }

    /// Why `lane`'s attempt is to end now, if it is.
    pub(super) fn cancelled(&mut self, lane: usize) -> Option<Cause> {
        self.lanes.get_mut(lane)?.cancelled.take()
    }

    fn enter(&mut self, lane: usize, id: AttemptId) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            *lane = Lane { running: Some(id), cancelled: None };
            self.running += 1;
        }
    }

    fn leave(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane)
            && lane.running.take().is_some()
        {
            lane.cancelled = None;
            self.running = self.running.saturating_sub(1);
        }
    }

    /// Lanes to be woken: no more than there is work for, and than there are threads to run them.
    fn wake(&mut self) -> Wake {
        let threads = self.threads.saturating_sub(self.awake);
        let count = self.ready.len().min(threads).min(self.resting.len());
        self.awake += count;
        self.resting.split_off(self.resting.len() - count)
    }

    fn make_room(&mut self) {
        if self.calls.len() >= KEPT {
            self.calls.retain(|_, entry| matches!(entry.known, Known::Preparing(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Type;
    use crate::runtime::testing;

    /// A queue of two threads with more attempts ready than there are lanes, and the lanes that took
    /// one.
    fn busy() -> (Queue, Wake) {
        let mut queue = Queue::new(16, 2);
        let call = Arc::new(testing::call(b"", &[], Type::unit()));
        let attempt = |index| Attempt {
            id: testing::attempt_id(index),
            call: Arc::clone(&call),
            arguments: Vec::new(),
        };
        let woken = queue.submit((0..100).map(attempt).collect());
        (queue, woken)
    }

    #[test]
    fn short_attempts_have_a_thread_to_themselves() {
        let (queue, woken) = busy();
        assert_eq!(woken.len(), 2);
        assert!(!queue.is_long(PATIENCE - 1) && queue.is_long(PATIENCE));
    }

    #[test]
    fn each_that_is_let_in_doubles_the_patience() {
        let (mut queue, _) = busy();
        assert_eq!(queue.give(Gave::Computing).len(), 1);
        assert!(!queue.is_long(2 * PATIENCE - 1) && queue.is_long(2 * PATIENCE));
        assert_eq!(queue.give(Gave::Computing).len(), 1);
        assert!(!queue.is_long(4 * PATIENCE - 1));
        queue.resume(Gave::Computing);
        assert!(queue.is_long(2 * PATIENCE));
    }

    #[test]
    fn what_waits_lets_all_lanes_begin() {
        let (mut queue, _) = busy();
        let begun: usize = (0..20).map(|_| queue.give(Gave::Waiting).len()).sum();
        assert_eq!(begun, 14);
        assert!(queue.is_long(PATIENCE));
    }

    #[test]
    fn lanes_that_come_back_rest_while_the_threads_are_taken() {
        let (mut queue, woken) = busy();
        let let_in = queue.give(Gave::Computing);
        queue.resume(Gave::Computing);
        assert!(matches!(queue.next(woken[0], None), Next::Rest), "two others are awake");
        assert!(matches!(queue.next(let_in[0], None), Next::Prepare(_)));
    }
}
