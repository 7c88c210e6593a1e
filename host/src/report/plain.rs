//! The display for terminals that cannot move the cursor, for log files and for those who like to
//! read: one line a fact, each with the group or task that it is about.

use std::io::{self, Write};

use super::board::Board;
use super::narrator::Narrator;
use super::{Interest, Reporter};
use crate::model::Event;

/// Prints starts and ends, retries and failures, and the guests' lines. The branches of a large
/// group are told by the tenth and not one by one, save those that fail.
pub struct Plain {
    out: Box<dyn Write + Send>,
    board: Board,
    narrator: Narrator,
    buffer: String,
}

impl Plain {
    /// Prints to `out`, in colour if `color`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, color: bool) -> Self {
        Self { out, board: Board::default(), narrator: Narrator::new(color, true), buffer: String::new() }
    }
}

impl Reporter for Plain {
    fn interest(&self) -> Interest {
        Interest { starts: true, successes: true, logs: true, progress: false, writes: false }
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        self.buffer.clear();
        for event in events {
            self.board.apply(event);
            self.narrator.tell(event, &self.board, &mut self.buffer);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.out.write_all(self.buffer.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
