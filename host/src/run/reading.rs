//! Whose turn it is to read the files that its arguments are made of. What was read stays in memory until its attempt has
//! ended, so little of it is read ahead of those that can execute.

use std::collections::VecDeque;

use crate::id::AttemptId;
use crate::model::Executor;

/// Bytes of arguments that are read ahead at most, as far as their sizes can be foreseen.
const AHEAD: u64 = 128 << 20;

/// How far an attempt is that reads files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Its turn has not come.
    Waits,
    /// It reads.
    Reads,
    /// It has read arguments of so many bytes.
    HasRead(u64),
}

/// The attempts that read files and have not ended, by their executors: none waits for another's.
#[derive(Default)]
pub(crate) struct Reading(Vec<(Executor, Line)>);

/// Those of one executor.
#[derive(Default)]
struct Line {
    waiting: VecDeque<AttemptId>,
    /// How many read.
    reads: usize,
    /// How many have read.
    have_read: usize,
    /// So many bytes.
    bytes: u64,
    /// The most of one, once there was one.
    largest: Option<u64>,
}

impl Reading {
    /// An attempt waits for its turn.
    pub(crate) fn waits(&mut self, executor: &Executor, id: AttemptId) {
        match self.line(executor) {
            Some(line) => line.waiting.push_back(id),
            None => self.0.push((executor.clone(), Line { waiting: [id].into(), ..Line::default() })),
        }
    }

    /// The attempt whose turn it is, if it is anybody's. It always is where fewer are in flight than their executor
    /// executes `at_once`.
    pub(crate) fn next(&mut self, at_once: impl Fn(&Executor) -> usize) -> Option<AttemptId> {
        self.0.iter_mut().find_map(|(executor, line)| line.next(|| at_once(executor)))
    }

    /// An attempt whose turn it was has read.
    pub(crate) fn has_read(&mut self, executor: &Executor, bytes: u64) {
        let Some(line) = self.line(executor) else { return };
        line.reads = line.reads.saturating_sub(1);
        line.have_read += 1;
        line.bytes = line.bytes.saturating_add(bytes);
        line.largest = line.largest.max(Some(bytes));
    }

    /// An attempt ended.
    pub(crate) fn ended(&mut self, executor: &Executor, id: AttemptId, turn: Turn) {
        let Some(line) = self.line(executor) else { return };
        match turn {
            Turn::Waits => line.waiting.retain(|waiting| *waiting != id),
            Turn::Reads => line.reads = line.reads.saturating_sub(1),
            Turn::HasRead(bytes) => {
                line.have_read = line.have_read.saturating_sub(1);
                line.bytes = line.bytes.saturating_sub(bytes);
            }
        }
    }

    /// All that wait.
    pub(crate) fn take_waiting(&mut self) -> Vec<AttemptId> {
        self.0.iter_mut().flat_map(|(_, line)| std::mem::take(&mut line.waiting)).collect()
    }

    fn line(&mut self, executor: &Executor) -> Option<&mut Line> {
        self.0.iter_mut().find_map(|(known, line)| (known == executor).then_some(line))
    }
}

impl Line {
    fn next(&mut self, at_once: impl Fn() -> usize) -> Option<AttemptId> {
        let first = *self.waiting.front()?;
        let foreseen = self.largest.map(|largest| {
            let unknown = largest.saturating_mul(self.reads as u64 + 1);
            self.bytes.saturating_add(unknown)
        });
        let is_room = || self.reads + self.have_read < at_once().max(1);
        if foreseen.is_none_or(|bytes| bytes > AHEAD) && !is_room() {
            return None;
        }
        self.waiting.pop_front();
        self.reads += 1;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BranchId, NodeId};

    const HERE: Executor = Executor::InProcess;

    fn attempt(index: u32) -> AttemptId {
        AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 }
    }

    fn reading(attempts: u32) -> Reading {
        let mut reading = Reading::default();
        (0..attempts).for_each(|index| reading.waits(&HERE, attempt(index)));
        reading
    }

    fn turns(reading: &mut Reading, at_once: usize) -> Vec<u32> {
        std::iter::from_fn(|| reading.next(|_| at_once)).map(|id| id.branch.index).collect()
    }

    #[test]
    fn while_sizes_are_unknown_as_many_read_as_execute_at_once() {
        assert_eq!(turns(&mut reading(10), 3), [0, 1, 2]);
        assert_eq!(turns(&mut reading(10), 0), [0], "one always does");
    }

    #[test]
    fn small_files_are_read_ahead_and_large_ones_no_further_than_they_may() {
        let mut small = reading(1000);
        turns(&mut small, 2);
        small.has_read(&HERE, 1000);
        assert_eq!(turns(&mut small, 2).len(), 998);
        let mut large = reading(100);
        turns(&mut large, 2);
        large.has_read(&HERE, AHEAD / 4);
        assert_eq!(turns(&mut large, 2), [2, 3]);
        large.has_read(&HERE, AHEAD / 4);
        assert!(turns(&mut large, 2).is_empty());
        assert_eq!(turns(&mut large, 5), [4], "more execute at once");
        large.ended(&HERE, attempt(0), Turn::HasRead(AHEAD / 4));
        assert_eq!(turns(&mut large, 5), [5]);
    }

    #[test]
    fn who_ends_while_it_waits_or_reads_takes_no_turn_and_gives_it_back() {
        let mut reading = reading(4);
        assert_eq!(turns(&mut reading, 1), [0]);
        reading.ended(&HERE, attempt(1), Turn::Waits);
        reading.ended(&HERE, attempt(0), Turn::Reads);
        assert_eq!(turns(&mut reading, 1), [2]);
        assert_eq!(reading.take_waiting(), [attempt(3)]);
    }

    #[test]
    fn no_executor_waits_for_another() {
        let mut reading = reading(2);
        reading.waits(&Executor::Process, attempt(7));
        assert_eq!(turns(&mut reading, 1), [0, 7]);
    }
}
