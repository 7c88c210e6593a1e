//! How each group and lone task stands, kept up with every event at the cost of a few additions.
//! It must not know how anything is shown.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Counts, Ending, Event, Fact, Place};

/// How all groups and lone tasks stand that have begun.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
    by_name: FxHashMap<Arc<str>, usize>,
    /// The row of the last event, since events come in runs.
    last: usize,
    /// The time of the last event, in microseconds since 1970.
    now: u64,
}

/// How one group or lone task stands.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Arc<str>,
    /// Whether it is a group, and no lone task.
    pub(super) group: bool,
    /// How many branches it has, if known.
    pub(super) branches: Option<u64>,
    /// Attempts that execute.
    pub(super) running: u64,
    /// Branches that ended.
    pub(super) counts: Counts,
    /// How far the guest said to have come, in a lone task.
    pub(super) progress: Option<Progress>,
    /// When it began, in microseconds since 1970.
    pub(super) started: u64,
    /// Whether it ended.
    pub(super) ended: bool,
}

/// How far a guest said to have come.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    pub(super) message: Option<Arc<str>>,
}

impl Board {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The time of the last event, in microseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The row that a place belongs to, once it has begun.
    pub(super) fn row(&self, place: &Place) -> Option<&Row> {
        self.rows.get(self.find(place)?)
    }

    fn find(&self, place: &Place) -> Option<usize> {
        let name = place.group.as_ref().or(place.task.as_ref())?;
        let is = |row: &Row| Arc::ptr_eq(&row.name, name) || row.name == *name;
        if self.rows.get(self.last).is_some_and(is) {
            return Some(self.last);
        }
        self.by_name.get(name).copied()
    }

    /// Takes an event into account.
    pub(super) fn apply(&mut self, event: &Event) {
        self.now = event.time;
        let Some(place) = &event.place else { return };
        if let Fact::GroupStarted { branches, .. } = event.fact
            && let Some(name) = place.group.as_ref().or(place.task.as_ref())
        {
            // Said again of a group whose branches were not known at first.
            if let Some(at) = self.find(place)
                && let Some(row) = self.rows.get_mut(at)
            {
                row.branches = branches;
                self.last = at;
                return;
            }
            self.last = self.rows.len();
            self.by_name.insert(Arc::clone(name), self.last);
            self.rows.push(Row {
                name: Arc::clone(name),
                group: place.group.is_some(),
                branches,
                running: 0,
                counts: Counts::default(),
                progress: None,
                started: event.time,
                ended: false,
            });
            return;
        }
        let Some(at) = self.find(place) else { return };
        self.last = at;
        let Some(row) = self.rows.get_mut(at) else { return };
        match &event.fact {
            Fact::AttemptStarted => row.running += 1,
            // What was rejected never began.
            Fact::AttemptEnded { ending: Ending::Rejected, .. } => {}
            Fact::AttemptEnded { .. } => {
                row.running = row.running.saturating_sub(1);
                row.progress = None;
            }
            // A task that splits or merges is no branch.
            Fact::TaskEnded { ending, .. } if !row.group || place.index.is_some() => row.counts.add(*ending),
            Fact::Recorded { succeeded } => row.counts.succeeded += succeeded,
            Fact::GroupEnded { counts, .. } => {
                row.counts = *counts;
                row.running = 0;
                row.ended = true;
            }
            Fact::Progress { done, total, message } if !row.group => {
                row.progress = Some(Progress { done: *done, total: *total, message: message.clone() });
            }
            Fact::RunStarted(_)
            | Fact::GroupStarted { .. }
            | Fact::TaskEnded { .. }
            | Fact::Log { .. }
            | Fact::Progress { .. }
            | Fact::Metric { .. }
            | Fact::Flow { .. }
            | Fact::ChannelWrite(_)
            | Fact::Warning { .. }
            | Fact::RunEnded { .. } => {}
        }
    }
}
