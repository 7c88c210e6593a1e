//! The branches of a node that are groups: which are under way, and how they ended. It must not know what
//! their nodes do in between.

use super::Nested;
use crate::id::NodeId;
use crate::model::{Counts, Ending, Status};

/// The branches of a node that are groups.
#[derive(Debug)]
pub(super) struct Inside {
    /// In the order of their positions.
    groups: Vec<Group>,
    under_way: usize,
    /// Those that ended.
    counts: Counts,
}

#[derive(Debug)]
struct Group {
    plan: Nested,
    under_way: bool,
    /// How the first of its nodes ended that did not succeed.
    short: Option<Status>,
}

impl Inside {
    pub(super) fn new(mut groups: Vec<Nested>) -> Self {
        groups.sort_unstable_by_key(|group| group.index);
        let groups = groups.into_iter().map(|plan| Group { plan, under_way: false, short: None });
        Self { groups: groups.collect(), under_way: 0, counts: Counts::default() }
    }

    /// All of them, in the order of their positions, and whether each has begun and not ended.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = (Nested, bool)> {
        self.groups.iter().map(|group| (group.plan, group.under_way))
    }

    pub(super) fn is_done(&self) -> bool {
        self.under_way == 0
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the branch at `index` is a group.
    pub(super) fn has(&self, index: u32) -> bool {
        self.groups.binary_search_by_key(&index, |group| group.plan.index).is_ok()
    }

    /// Begins all that are below `branches` and not `left_out`, which is sorted. Adds them to it.
    pub(super) fn begin(&mut self, branches: u32, left_out: &mut Vec<u32>) {
        for group in &mut self.groups {
            let index = group.plan.index;
            group.under_way = index < branches && left_out.binary_search(&index).is_err();
        }
        left_out.extend(self.groups.iter().filter(|group| group.under_way).map(|group| group.plan.index));
        left_out.sort_unstable();
        self.under_way = self.groups.iter().filter(|group| group.under_way).count();
    }

    /// One of the nodes of the branch at `index` ended. Yields how the branch did, once its last node has.
    pub(super) fn ended(&mut self, index: u32, node: NodeId, status: Status) -> Option<Ending> {
        let at = self.groups.binary_search_by_key(&index, |group| group.plan.index).ok()?;
        let group = self.groups.get_mut(at).filter(|group| group.under_way)?;
        match status {
            Status::Succeeded => {}
            Status::Pending | Status::Running | Status::Failed | Status::Cancelled | Status::Skipped => {
                group.short.get_or_insert(status);
            }
        }
        if group.plan.last != node {
            return None;
        }
        group.under_way = false;
        self.under_way -= 1;
        let ending = match group.short {
            None => Ending::Succeeded,
            Some(Status::Failed) => Ending::Failed,
            Some(
                Status::Pending | Status::Running | Status::Succeeded | Status::Cancelled | Status::Skipped,
            ) => Ending::Cancelled,
        };
        self.counts.add(ending);
        Some(ending)
    }
}
