//! Whose turn it is on the guests' threads. Guests that compute take turns of one tick; what begins or
//! comes back from a wait goes first, so that many endless loops delay it by a turn and not by a
//! round of theirs. Pure data, as the queue that it belongs to.

use std::collections::VecDeque;

/// Where a lane stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It rests, or its guest waits for something: it needs no thread.
    Away,
    /// It has a thread, or gets the next one that is free.
    On,
    /// Its turn was over: it waits for the next.
    Queued,
}

/// The lanes' turns.
pub(super) struct Turns {
    places: Vec<Place>,
    /// Lanes that are on.
    on: usize,
    threads: usize,
    queued: VecDeque<usize>,
    /// Whether a lane got a turn since the last nudge.
    moved: bool,
}

impl Turns {
    /// For `lanes` lanes, all of them away.
    pub(super) fn new(lanes: usize, threads: usize) -> Self {
        Self { places: vec![Place::Away; lanes], on: 0, threads, queued: VecDeque::new(), moved: false }
    }

    /// `lane` needs a thread, at once.
    pub(super) fn come(&mut self, lane: usize) {
        match self.set(lane, Place::On) {
            Place::On => {}
            Place::Away => self.on += 1,
            Place::Queued => {
                self.queued.retain(|queued| *queued != lane);
                self.on += 1;
            }
        }
    }

    /// `lane` needs no thread. A lane whose turn was over needs one still.
    pub(super) fn go(&mut self, lane: usize) {
        if self.has(lane) {
            self.set(lane, Place::Away);
            self.on -= 1;
        }
    }

    /// `lane` has had its turn.
    pub(super) fn over(&mut self, lane: usize) {
        if self.has(lane) {
            self.set(lane, Place::Queued);
            self.on -= 1;
            self.queued.push_back(lane);
        }
    }

    /// Whether `lane` may go on.
    pub(super) fn has(&self, lane: usize) -> bool {
        self.places.get(lane) == Some(&Place::On)
    }

    /// Whether `lane` needs no thread.
    pub(super) fn is_away(&self, lane: usize) -> bool {
        self.places.get(lane) == Some(&Place::Away)
    }

    /// The next lane that may go on, while a thread is free.
    pub(super) fn grant(&mut self) -> Option<usize> {
        if self.on < self.threads { self.give() } else { None }
    }

    /// At every tick: what comes back from waits may need all threads for ever. The others get a turn
    /// now and then all the same.
    pub(super) fn nudge(&mut self) -> Option<usize> {
        if std::mem::take(&mut self.moved) { None } else { self.give() }
    }

    fn give(&mut self) -> Option<usize> {
        let lane = self.queued.pop_front()?;
        self.set(lane, Place::On);
        self.on += 1;
        self.moved = true;
        Some(lane)
    }

    /// Gives the place that `lane` had.
    fn set(&mut self, lane: usize, place: Place) -> Place {
        self.places.get_mut(lane).map_or(place, |at| std::mem::replace(at, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_that_compute_take_turns() {
        let mut turns = Turns::new(4, 2);
        (0..4).for_each(|lane| turns.come(lane));
        turns.over(0);
        assert_eq!(turns.grant(), None, "three have begun, for two threads");
        turns.over(1);
        assert_eq!(turns.grant(), None);
        turns.over(2);
        assert_eq!(turns.grant(), Some(0));
        assert!(turns.has(0) && !turns.has(1) && !turns.has(2) && turns.has(3));
        turns.go(3);
        assert_eq!((turns.grant(), turns.grant()), (Some(1), None));
    }

    #[test]
    fn a_guest_alone_keeps_its_thread() {
        let mut turns = Turns::new(4, 2);
        turns.come(3);
        turns.over(3);
        assert_eq!(turns.grant(), Some(3));
    }

    #[test]
    fn what_ends_while_it_waits_for_its_turn_leaves_no_trace() {
        let mut turns = Turns::new(3, 1);
        (0..3).for_each(|lane| turns.come(lane));
        turns.over(0);
        turns.over(1);
        turns.come(0);
        turns.go(0);
        turns.go(2);
        assert_eq!((turns.grant(), turns.grant()), (Some(1), None));
    }

    #[test]
    fn those_that_wait_and_come_back_starve_nobody() {
        let mut turns = Turns::new(3, 1);
        (0..3).for_each(|lane| turns.come(lane));
        turns.over(0);
        assert_eq!((turns.grant(), turns.nudge()), (None, Some(0)));
        turns.over(0);
        assert_eq!((turns.nudge(), turns.nudge()), (None, Some(0)), "one for each nudge at most");
    }
}
