//! The branches of a node that are groups: which wait for their turn, which are under way, and how they ended.
//! It must not know what their nodes do in between.

use super::Nested;
use crate::id::NodeId;
use crate::model::{Counts, Ending, Status};

/// The branches of a node that are groups.
#[derive(Debug)]
pub(super) struct Inside {
    /// In the order of their positions.
    groups: Vec<Group>,
    /// Of `groups` the first that waits for its turn; beyond all where none does. It only moves on.
    upcoming: usize,
    under_way: usize,
    /// Those that ended.
    counts: Counts,
}

#[derive(Debug)]
struct Group {
    plan: Nested,
    stage: Stage,
    /// How the first of its nodes ended that did not succeed.
    short: Option<Status>,
}

/// Where a branch that is a group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It counts for nothing.
    LeftOut,
    /// Its turn has not come.
    Waiting,
    /// It has begun.
    UnderWay,
    /// It ended.
    Ended,
}

impl Inside {
    pub(super) fn new(mut groups: Vec<Nested>) -> Self {
        groups.sort_unstable_by_key(|group| group.index);
        let groups = groups.into_iter().map(|plan| Group { plan, stage: Stage::LeftOut, short: None });
        Self { groups: groups.collect(), upcoming: usize::MAX, under_way: 0, counts: Counts::default() }
    }

    /// All of them, in the order of their positions.
    pub(super) fn all(&self) -> impl Iterator<Item = (Nested, Stage)> {
        self.groups.iter().map(|group| (group.plan, group.stage))
    }

    /// Whether none has begun that has not ended.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Those that ended.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The position of the next that may begin; beyond all branches where there is none.
    pub(super) fn upcoming(&self) -> u32 {
        self.groups.get(self.upcoming).map_or(u32::MAX, |group| group.plan.index)
    }

    /// The node opened with so many branches, without those `left_out`, which is sorted.
    pub(super) fn open(&mut self, branches: u32, left_out: &[u32]) {
        for group in &mut self.groups {
            let index = group.plan.index;
            if index < branches && left_out.binary_search(&index).is_err() {
                group.stage = Stage::Waiting;
            }
        }
        self.upcoming = 0;
        self.look_ahead();
    }

    /// Where the branch at `index` stands, if it is a group.
    pub(super) fn stage(&self, index: u32) -> Option<Stage> {
        self.group(index).map(|group| group.stage)
    }

    fn group(&self, index: u32) -> Option<&Group> {
        let at = self.groups.binary_search_by_key(&index, |group| group.plan.index).ok()?;
        self.groups.get(at)
    }

    fn group_mut(&mut self, index: u32) -> Option<&mut Group> {
        let at = self.groups.binary_search_by_key(&index, |group| group.plan.index).ok()?;
        self.groups.get_mut(at)
    }

    fn look_ahead(&mut self) {
        let mut rest = self.groups.iter().skip(self.upcoming);
        let passed = rest.position(|group| group.stage == Stage::Waiting);
        self.upcoming = passed.map_or(usize::MAX, |passed| self.upcoming + passed);
    }

    /// The next one begins.
    pub(super) fn begin(&mut self) -> Option<Nested> {
        let group = self.groups.get_mut(self.upcoming)?;
        group.stage = Stage::UnderWay;
        let plan = group.plan;
        self.under_way += 1;
        self.look_ahead();
        Some(plan)
    }

    /// One ended before it began.
    pub(super) fn drop(&mut self, index: u32, ending: Ending) {
        if let Some(group) = self.group_mut(index).filter(|group| group.stage == Stage::Waiting) {
            group.stage = Stage::Ended;
            self.counts.add(ending);
            self.look_ahead();
        }
    }

    /// All that wait end cancelled. Returns how many.
    pub(super) fn drop_waiting(&mut self) -> u64 {
        let mut dropped = 0;
        for group in self.groups.iter_mut().filter(|group| group.stage == Stage::Waiting) {
            group.stage = Stage::Ended;
            self.counts.add(Ending::Cancelled);
            dropped += 1;
        }
        self.upcoming = usize::MAX;
        dropped
    }

    /// One of the nodes of the branch at `index` ended. Yields how the branch did, once its last node has.
    pub(super) fn ended(&mut self, index: u32, node: NodeId, status: Status) -> Option<Ending> {
        let group = self.group_mut(index).filter(|group| group.stage == Stage::UnderWay)?;
        match status {
            Status::Succeeded => {}
            Status::Pending | Status::Running | Status::Failed | Status::Cancelled | Status::Skipped => {
                group.short.get_or_insert(status);
            }
        }
        if group.plan.last != node {
            return None;
        }
        group.stage = Stage::Ended;
        let ending = match group.short {
            None => Ending::Succeeded,
            Some(Status::Failed) => Ending::Failed,
            Some(
                Status::Pending | Status::Running | Status::Succeeded | Status::Cancelled | Status::Skipped,
            ) => Ending::Cancelled,
        };
        self.under_way -= 1;
        self.counts.add(ending);
        Some(ending)
    }
}
