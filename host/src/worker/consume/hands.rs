//! What a worker has in hand, shared by all that works in it: entries that it holds, by a number of its own,
//! and how many more there is room for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::id::{AttemptId, BranchId, NodeId, RunId};
use crate::model::Type;
use crate::queue::leases::HoldId;
use crate::queue::{Held, Keys};
use crate::worker::spans::Traced;

/// Entries that are taken beforehand at most.
const AHEAD: usize = 64;

/// So much work is taken beforehand.
const WORK: Duration = Duration::from_millis(20);

/// Outcomes that wait for Redis, and bytes of them, before no more is taken.
const UNRECORDED: usize = 4096;
const UNRECORDED_BYTES: usize = 64 << 20;

/// What a run wants to be told besides outcomes, and how it is spoken to.
#[derive(Debug)]
pub(super) struct Customer {
    pub(super) run: RunId,
    pub(super) queue: Arc<Keys>,
    pub(super) starts: bool,
    pub(super) logs: bool,
    pub(super) progress: bool,
}

/// An attempt that is executed here, or will be.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) customer: Arc<Customer>,
    pub(super) held: Arc<Held>,
    /// As its run has it.
    pub(super) id: AttemptId,
    /// Of its task's value.
    pub(super) value: Arc<Type>,
    pub(super) began: Option<Instant>,
    /// It was stopped because its run wants no more of it.
    pub(super) cancelled: bool,
    /// Its last lines, where its run wants none of those that succeed.
    pub(super) lines: Vec<crate::wire::Said>,
    /// Where it is recorded.
    pub(super) traced: Option<Box<Traced>>,
}

/// Attempts by the numbers that they have here: ids of two runs may be the same.
#[derive(Debug, Default)]
pub(super) struct Hands {
    holds: Mutex<HashMap<HoldId, Hold, rustc_hash::FxBuildHasher>>,
}

/// The id that an attempt has here: guests see all of it but the node.
pub(super) fn local(hold: HoldId, id: AttemptId) -> AttemptId {
    // Numbers begin again after 2^32 entries: the first of them are long gone then.
    let node = NodeId(u32::try_from(hold & u64::from(u32::MAX)).unwrap_or_default());
    AttemptId { branch: BranchId { node, index: id.branch.index }, number: id.number }
}

/// The number of an attempt that is called so here.
pub(super) fn number(id: AttemptId) -> HoldId {
    HoldId::from(id.branch.node.0)
}

impl Hands {
    pub(super) fn holds(&self) -> MutexGuard<'_, HashMap<HoldId, Hold, rustc_hash::FxBuildHasher>> {
        // Nothing in there panics halfway.
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much there is room for.
#[derive(Debug)]
pub(super) struct Room {
    slots: usize,
    in_hand: AtomicUsize,
    ahead: AtomicUsize,
    unrecorded: AtomicUsize,
    unrecorded_bytes: AtomicUsize,
    /// Nanoseconds that an attempt takes, by the last ones; 0 where none ended yet.
    mean: AtomicUsize,
    /// There is more room, or less is held.
    pub(super) changed: Notify,
}

impl Room {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            in_hand: AtomicUsize::default(),
            ahead: AtomicUsize::default(),
            unrecorded: AtomicUsize::default(),
            unrecorded_bytes: AtomicUsize::default(),
            mean: AtomicUsize::default(),
            changed: Notify::new(),
        }
    }

    /// Entries that are held and have not ended.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Acquire)
    }

    /// How many more may be taken, where it is worth it: a slot would be idle, or half of those that are
    /// taken beforehand are gone.
    pub(super) fn free(&self) -> usize {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let free = (self.slots + ahead).saturating_sub(self.in_hand());
        let swamped = self.unrecorded.load(Ordering::Relaxed) >= UNRECORDED
            || self.unrecorded_bytes.load(Ordering::Relaxed) >= UNRECORDED_BYTES;
        let idle = self.in_hand() < self.slots;
        if swamped || (!idle && free <= ahead / 2) { 0 } else { free }
    }

    pub(super) fn took(&self, count: usize) {
        self.in_hand.fetch_add(count, Ordering::AcqRel);
    }

    /// Entries are held no more, or their attempts ended.
    pub(super) fn gave(&self, count: usize) {
        if count > 0 {
            self.in_hand.fetch_sub(count, Ordering::AcqRel);
            self.changed.notify_waiters();
        }
    }

    /// Outcomes wait to be recorded.
    pub(super) fn owes(&self, bytes: usize) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        self.unrecorded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// One was recorded, or counts for nothing.
    pub(super) fn paid(&self, bytes: usize) {
        self.unrecorded.fetch_sub(1, Ordering::Relaxed);
        self.unrecorded_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// An attempt took so long.
    pub(super) fn lasted(&self, wall: Duration) {
        let last = usize::try_from(wall.as_nanos()).unwrap_or(usize::MAX).max(1);
        let mean = match self.mean.load(Ordering::Relaxed) {
            0 => last,
            // A long one is believed at once: what waits behind it waits for nothing.
            mean => (mean / 8 * 7).saturating_add(last / 8).max(1),
        };
        self.mean.store(mean, Ordering::Relaxed);
        let work = usize::try_from(WORK.as_nanos()).unwrap_or(usize::MAX).saturating_mul(self.slots);
        self.ahead.store((work / mean).min(AHEAD), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_taken_beforehand_as_takes_twenty_milliseconds() {
        let room = Room::new(2);
        assert_eq!(room.free(), 2);
        for (wall, ahead) in [(1, 64), (1_000_000, 40), (10_000_000, 4), (1_000_000_000, 0)] {
            for _ in 0..200 {
                room.lasted(Duration::from_nanos(wall));
            }
            assert_eq!(room.free(), 2 + ahead, "{wall} ns");
        }
    }

    #[test]
    fn it_is_read_again_once_half_of_what_was_taken_beforehand_is_gone() {
        let room = Room::new(2);
        room.lasted(Duration::from_nanos(100));
        room.took(66);
        assert_eq!(room.free(), 0);
        room.gave(32);
        assert_eq!(room.free(), 0);
        room.gave(1);
        assert_eq!(room.free(), 33);
        room.owes(UNRECORDED_BYTES);
        assert_eq!(room.free(), 0);
        room.paid(UNRECORDED_BYTES);
        assert_eq!(room.free(), 33);
    }

    #[test]
    fn an_attempt_keeps_all_but_its_node() {
        let id = AttemptId { branch: BranchId { node: NodeId(3), index: 7 }, number: 2 };
        let here = local(41, id);
        assert_eq!((number(here), here.branch.index, here.number), (41, 7, 2));
    }
}
