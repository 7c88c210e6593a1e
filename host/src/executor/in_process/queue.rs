//! What waits, what executes where, and who is to be woken: the lanes' common ground, under one
//! short lock. Pure data: it neither executes nor wakes anyone itself.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::turns::Turns;
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

/// What a call has of the lanes.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    /// Lanes whose guests compute.
    computes: usize,
    /// Lanes that execute its attempts.
    holds: usize,
}

#[derive(Default)]
struct Lane {
    running: Option<AttemptId>,
    /// The call of what runs.
    call: Option<Address>,
    cancelled: Option<Cause>,
    /// Turns that its guest has computed.
    turns: u32,
    /// Another was let in beside it.
    gave: Option<Gave>,
}

/// Why another lane was let in beside one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gave {
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
    /// Wake these, and rest until woken.
    Rest(Wake),
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
    turns: Turns,
    /// Lanes whose guests compute beside those that are awake.
    computing: u32,
    running: usize,
    parked: usize,
    /// Lanes of the whole that are kept for calls which hold fewer than so many.
    kept: usize,
}

impl Queue {
    /// For `lanes` lanes, all of them resting, on `threads` threads. The last `kept` of the lanes are
    /// for calls that hold fewer than so many, so that one whose attempts never end does not keep
    /// all others waiting.
    pub(super) fn new(lanes: usize, threads: usize, kept: usize) -> Self {
        let threads = threads.max(1);
        Self {
            ready: VecDeque::new(),
            calls: HashMap::new(),
            lanes: std::iter::repeat_with(Lane::default).take(lanes).collect(),
            resting: (0..lanes).rev().collect(),
            awake: 0,
            threads,
            turns: Turns::new(lanes, threads),
            computing: 0,
            running: 0,
            parked: 0,
            kept,
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
            // Where others were let in beside lanes that are back now, more are awake than there are threads.
            let crowded = self.awake > self.threads && !self.is_unfair();
            // A single lane keeps the order: what comes after a call that is not ready waits with it.
            let crowded = crowded || (self.lanes.len() == 1 && self.parked > 0);
            let Some(attempt) = (if crowded { None } else { self.take() }) else {
                self.awake = self.awake.saturating_sub(1);
                self.resting.push(lane);
                self.turns.go(lane);
                return Next::Rest(self.wake());
            };
            if last.is_some_and(|last| Arc::ptr_eq(last, &attempt.call)) {
                self.enter(lane, &attempt);
                return Next::Again(attempt);
            }
            let address = Address::of(&attempt.call);
            match self.calls.get_mut(&address).map(|entry| &mut entry.known) {
                Some(Known::Ready(prepared)) => {
                    let prepared = Arc::clone(prepared);
                    self.enter(lane, &attempt);
                    return Next::Run(attempt, prepared);
                }
                Some(Known::Refused(reason)) => {
                    let reason = Arc::clone(reason);
                    self.enter(lane, &attempt);
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

    /// The guest of `lane` has computed for a turn: after a while it lets in another of its own kind
    /// beside it.
    pub(super) fn turn(&mut self, lane: usize) -> Wake {
        if let Some(at) = self.lanes.get_mut(lane) {
            at.turns += 1;
            if at.turns >= PATIENCE.checked_shl(self.computing).unwrap_or(u32::MAX) {
                self.give(lane, Gave::Computing);
            }
        }
        self.turns.over(lane);
        self.wake()
    }

    /// Whether the guest of `lane` may compute on.
    pub(super) fn has_turn(&self, lane: usize) -> bool {
        self.turns.has(lane)
    }

    /// The guest of `lane` waits, for something other than its turn.
    pub(super) fn wait(&mut self, lane: usize) -> Wake {
        self.turns.go(lane);
        self.give(lane, Gave::Waiting);
        self.wake()
    }

    /// What the guest of `lane` waited for may be there.
    pub(super) fn back(&mut self, lane: usize) {
        if self.turns.is_away(lane) {
            self.turns.come(lane);
        }
    }

    /// The attempt of `lane` is over, after waits or turns.
    pub(super) fn over(&mut self, lane: usize) {
        self.turns.come(lane);
        if let Some(gave) = self.lanes.get_mut(lane).and_then(|lane| lane.gave.take()) {
            self.awake += 1;
            match gave {
                Gave::Waiting => {}
                Gave::Computing => self.computing = self.computing.saturating_sub(1),
            }
        }
    }

    /// At every tick, while attempts execute.
    pub(super) fn nudge(&mut self) -> Wake {
        self.turns.nudge().into_iter().collect()
    }

    /// Another may be let in beside `lane`, once for each of its attempts.
    fn give(&mut self, lane: usize, gave: Gave) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        if lane.gave.is_none() {
            lane.gave = Some(gave);
            self.awake = self.awake.saturating_sub(1);
            match gave {
                Gave::Waiting => {}
                Gave::Computing => self.computing += 1,
            }
        }
    }

    /// A guest that has computed for a turn lets another in at once that has waited for the likes of it.
    fn lend(&mut self) {
        let computes = |lane: &Lane| lane.running.is_some() && lane.turns > 0 && lane.gave.is_none();
        if self.awake >= self.threads
            && let Some(lane) = self.lanes.iter().position(computes)
            && self.is_unfair()
        {
            self.give(lane, Gave::Computing);
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
        let returned = self.give_back(ids);
        let ids: HashSet<&AttemptId> = ids.iter().collect();
        let mut lanes = Vec::new();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            if lane.running.is_some_and(|running| ids.contains(&running)) {
                lane.cancelled = Some(cause);
                lanes.push(at);
            }
        }
        (returned, lanes)
    }

    /// Removes those of these that did not begin.
    pub(super) fn give_back(&mut self, ids: &[AttemptId]) -> Vec<AttemptId> {
        let ids: HashSet<&AttemptId> = ids.iter().collect();
        self.remove(|id| ids.contains(id))
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

    /// The next attempt that may have a lane. While attempts hold more lanes than there are threads it
    /// is one of the call that computes least, so that many of one call keep no other waiting.
    fn take(&mut self) -> Option<Attempt> {
        if self.running < self.threads {
            return self.ready.pop_front();
        }
        let (at, _) = self.least(&self.loads())?;
        self.ready.remove(at)
    }

    /// Where the first ready attempt is that may have a lane and whose call computes in the fewest, and
    /// how many those are.
    fn least(&self, loads: &HashMap<Address, Load>) -> Option<(usize, usize)> {
        let bound =
            if self.running < self.lanes.len().saturating_sub(self.kept) { usize::MAX } else { self.kept };
        let mut least: Option<(usize, Load)> = None;
        let mut before = None;
        for (at, attempt) in self.ready.iter().enumerate() {
            let address = Address::of(&attempt.call);
            // Attempts of one call mostly stand together.
            if before == Some(address) {
                continue;
            }
            before = Some(address);
            let load = loads.get(&address).copied().unwrap_or_default();
            if load.holds < bound && least.is_none_or(|(_, least)| load < least) {
                least = Some((at, load));
            }
            if load == Load::default() {
                break;
            }
        }
        least.map(|(at, load)| (at, load.computes))
    }

    /// What each call has of the lanes.
    fn loads(&self) -> HashMap<Address, Load> {
        let mut loads: HashMap<Address, Load> = HashMap::new();
        for (at, lane) in self.lanes.iter().enumerate() {
            if let (Some(_), Some(call)) = (lane.running, lane.call) {
                let load = loads.entry(call).or_default();
                load.computes += usize::from(!self.turns.is_away(at));
                load.holds += 1;
            }
        }
        loads
    }

    /// Whether something is ready whose call computes in no lane, or in at least two fewer than another.
    fn is_unfair(&self) -> bool {
        let loads = self.loads();
        let most = loads.values().map(|load| load.computes).max().unwrap_or_default();
        self.least(&loads)
            .is_some_and(|(_, computes)| computes < most && (computes == 0 || computes + 1 < most))
    }

    /// Whether nothing of what is ready may have one of the lanes that are left.
    fn is_held_back(&self) -> bool {
        let left = self.lanes.len().saturating_sub(self.running);
        self.running >= self.threads && left <= self.kept && self.least(&self.loads()).is_none()
    }

    fn enter(&mut self, lane: usize, attempt: &Attempt) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            let call = Some(Address::of(&attempt.call));
            *lane = Lane { running: Some(attempt.id), call, ..Lane::default() };
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

    /// Lanes to be woken: no more than there is work for, and than there are threads to run them. Those
    /// that compute have their turns after those that begin.
    fn wake(&mut self) -> Wake {
        self.lend();
        let threads = self.threads.saturating_sub(self.awake);
        let count = self.ready.len().min(threads).min(self.resting.len());
        // They would find nothing to take, wake each other again, and let no timer have a thread.
        let held_back = self.is_held_back() || (self.lanes.len() == 1 && self.parked > 0);
        let count = if count > 0 && held_back { 0 } else { count };
        self.awake += count;
        let mut wake = self.resting.split_off(self.resting.len() - count);
        wake.iter().for_each(|lane| self.turns.come(*lane));
        wake.extend(std::iter::from_fn(|| self.turns.grant()));
        wake
    }

    fn make_room(&mut self) {
        if self.calls.len() >= KEPT {
            self.calls.retain(|_, entry| matches!(entry.known, Known::Preparing(_)));
        }
    }
}
