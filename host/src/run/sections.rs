//! Groups of several nodes: their ends, told as one. Knows what ended, not what it was worth.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::model::{Counts, Kind, Node, Status, Totals};

/// How a node ended, or a group whose sections are several nodes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct End {
    pub(super) status: Status,
    /// Branches by their ending. A task that splits or merges is none.
    pub(super) counts: Counts,
    /// When it opened, if it did.
    pub(super) opened: Option<Instant>,
    /// The sums over its attempts.
    pub(super) totals: Totals,
    /// Why it was skipped, or failed other than by its branches.
    pub(super) reason: Option<Arc<str>>,
}

/// The ends of groups whose last section has not ended.
#[derive(Debug, Default)]
pub(super) struct Sections(HashMap<Arc<str>, End>);

impl Sections {
    /// Takes a node's end. Yields what is to be told of it, or of its group once the last section of
    /// that ended.
    pub(super) fn end(&mut self, node: &Node, end: End) -> Option<End> {
        let section = node.section;
        if !section.follows && !section.goes_on {
            return Some(end);
        }
        let mut end = end;
        if let Kind::Task(task) = &node.kind {
            end.counts = Counts::default();
            if end.status == Status::Failed && end.reason.is_none() {
                let does = if section.follows { "merges" } else { "splits" };
                end.reason = Some(format!("task `{}`, which {does} it, did not succeed", task.name).into());
            }
        }
        let whole = match self.0.remove(&node.name) {
            None => end,
            Some(before) => before.and(end),
        };
        if section.goes_on {
            self.0.insert(Arc::clone(&node.name), whole);
            return None;
        }
        Some(whole)
    }
}

impl End {
    /// The end of both: the first that did not succeed says how and why, since what comes after it
    /// never began.
    fn and(self, later: Self) -> Self {
        let (status, reason) = match self.status {
            // What ended branches early is still to be told of a group that had what it required.
            Status::Succeeded => (later.status, later.reason.or(self.reason)),
            Status::Pending | Status::Running | Status::Failed | Status::Cancelled | Status::Skipped => {
                (self.status, self.reason)
            }
        };
        // Only the branches' node has any.
        let counts = if self.counts == Counts::default() { later.counts } else { self.counts };
        let mut totals = self.totals;
        // That names were left out is told of the run's totals, which have them all.
        let _whole = totals.add_all(&later.totals);
        Self { status, counts, opened: self.opened.or(later.opened), totals, reason }
    }
}
