//! What the tests of this floor share: an observer that keeps what it is told.

use std::sync::{Arc, Mutex};

use super::Observer;
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Level, Stream};

/// The first attempt of branch `index`.
pub(super) fn attempt_id(index: u32) -> AttemptId {
    AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 }
}

/// Keeps what it is told.
#[derive(Default)]
pub(super) struct Heard {
    lines: Mutex<Vec<String>>,
    progress: Mutex<Vec<(u64, Option<u64>)>>,
}

impl Heard {
    /// Lines as `stream text`, or `stream CUT text`.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Done and total.
    pub(super) fn progress(&self) -> Vec<(u64, Option<u64>)> {
        self.progress.lock().unwrap().clone()
    }
}

impl Observer for Heard {
    fn line(&self, _: AttemptId, _: Level, stream: Stream, message: Arc<str>, cut: bool) {
        let cut = if cut { "CUT " } else { "" };
        self.lines.lock().unwrap().push(format!("{} {cut}{message}", stream.name()));
    }

    fn progress(&self, _: AttemptId, done: u64, total: Option<u64>, _: Option<Arc<str>>) {
        self.progress.lock().unwrap().push((done, total));
    }

    fn wants_progress(&self) -> bool {
        true
    }

    fn cancelling(&self) -> bool {
        false
    }
}
