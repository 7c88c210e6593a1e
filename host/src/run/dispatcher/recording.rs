//! What of a run goes into the journal, and what does not.

use super::super::recorder::AttemptNote;
use super::{Dispatcher, LINES};
use crate::id::{AttemptId, NodeId};
use crate::journal::{LogLine, Record};
use crate::model::{ChannelWrite, Ending};

impl Dispatcher {
    /// Keeps a change of the channel for the journal; of one that holds a secret, that there was one.
    pub(super) fn record_write(&mut self, write: &ChannelWrite) {
        if self.recorder.is_on() {
            let sequence = write.sequence;
            let write = (!self.scope.secrets.are_in_write(write)).then(|| Box::new(write.clone()));
            self.recorder.record(self.now, Record::ChannelWritten { sequence, write });
        }
    }

    /// Keeps a line for the journal, in case that its attempt does not succeed.
    pub(super) fn keep_line(&mut self, id: AttemptId, mut line: LogLine) {
        if !self.recorder.is_on() {
            return;
        }
        line.message = self.scope.secrets.redact(line.message);
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let log = &mut flight.more.get_or_insert_default().log;
        if log.len() == LINES {
            log.pop_front();
        }
        log.push_back(line);
    }

    /// Records the end of an attempt, unless it is to be made again when the run goes on.
    pub(super) fn record_attempt(&mut self, note: AttemptNote) {
        if self.stopping && note.ending == Ending::Cancelled {
            return;
        }
        if note.last {
            self.recorded = Some(note.id.branch);
        }
        self.recorder.attempt(self.now, note);
    }

    pub(super) fn record_unstarted(&mut self, node: NodeId, range: &std::ops::Range<u32>) {
        if self.stopping {
            return;
        }
        if let Some(node) = self.workflow.nodes.get(node.index()) {
            let (node, from, to) = (node.recorded_as(), range.start, range.end);
            self.recorder.record(self.now, Record::Unstarted { node, from, to });
        }
    }
}
