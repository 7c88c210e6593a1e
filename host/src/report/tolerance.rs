//! Which failures a run tolerates: those in a group that succeeded all the same, however deep. Knows how groups
//! ended, and nothing of how that is told.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::Arc;

use crate::model::{Counts, Status};

/// How groups ended, as far as is known.
#[derive(Default)]
pub(super) struct Tolerance(HashMap<Arc<str>, Group>);

#[derive(Default)]
struct Group {
    succeeded: bool,
    within: Option<Arc<str>>,
    /// Its branches.
    branches: Counts,
    /// Those of them that are groups, of which the run counts what is in them.
    members: Counts,
    /// Tasks that split or merge it, which the run counts and the group does not.
    joins_failed: u64,
}

impl Tolerance {
    /// A task that splits or merges the group failed.
    pub(super) fn join_failed(&mut self, group: &Arc<str>) {
        self.0.entry(Arc::clone(group)).or_default().joins_failed += 1;
    }

    /// A group ended that is `within` another.
    pub(super) fn group_ended(
        &mut self,
        name: &Arc<str>,
        status: Status,
        counts: &Counts,
        within: Option<&Arc<str>>,
    ) {
        if let Some(outer) = within {
            let members = &mut self.0.entry(Arc::clone(outer)).or_default().members;
            match status {
                Status::Failed => members.failed += 1,
                Status::Cancelled => members.cancelled += 1,
                Status::Pending | Status::Running | Status::Succeeded | Status::Skipped => {}
            }
        }
        let group = self.0.entry(Arc::clone(name)).or_default();
        group.succeeded = status == Status::Succeeded;
        group.within = within.cloned();
        group.branches = *counts;
    }

    /// Whether what failed in this group, or the group itself, was not needed.
    pub(super) fn covers(&self, group: Option<&Arc<str>>) -> bool {
        let known = |name: &Arc<str>| self.0.get(name);
        let around = successors(group.and_then(known), |group| group.within.as_ref().and_then(known));
        around.into_iter().any(|group| group.succeeded)
    }

    /// How many of the run's failures and cancellations were not needed.
    pub(super) fn counts(&self) -> Counts {
        let covered = self.0.iter().filter(|(name, _)| self.covers(Some(name)));
        covered.fold(Counts::default(), |all, (_, group)| Counts {
            failed: all.failed
                + group.branches.failed.saturating_sub(group.members.failed)
                + group.joins_failed,
            cancelled: all.cancelled + group.branches.cancelled.saturating_sub(group.members.cancelled),
            ..all
        })
    }
}
