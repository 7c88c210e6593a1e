//! Warnings alone, for those who want to see nothing of what goes well.

use std::io::{self, Write};

use super::board::Board;
use super::narrator::Narrator;
use super::{Interest, Reporter};
use crate::model::{Event, Fact};

/// Prints warnings as they come.
pub struct Warnings {
    out: Box<dyn Write + Send>,
    board: Board,
    narrator: Narrator,
}

impl Warnings {
    /// Prints to `out`, in colour if `color`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, color: bool) -> Self {
        Self { out, board: Board::default(), narrator: Narrator::new(color, false) }
    }
}

impl Reporter for Warnings {
    fn interest(&self) -> Interest {
        Interest::default()
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        let mut lines = String::new();
        for event in events {
            // That something takes a moment is no warning to anybody who looks at nothing.
            if matches!(&event.fact, Fact::Warning { kind, .. } if !kind.is_a_notice()) {
                self.narrator.tell(event, &self.board, &mut lines);
            }
        }
        self.out.write_all(lines.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
