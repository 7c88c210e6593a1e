//! What people and programs see of a run. Reporters know events and nothing of where they come
//! from.

mod board;
mod figures;
mod json_lines;
mod narrator;
mod paint;
mod plain;
mod progress;
mod summary;
mod text;
mod tolerance;

#[cfg(test)]
mod tests;

use std::io;

pub(crate) use figures::{count, duration, metrics};
pub use json_lines::JsonLines;
pub(crate) use json_lines::harmless_json;
pub use plain::Plain;
pub use progress::Progress;
pub use summary::Summary;
pub(crate) use text::harmless;

use crate::model::Event;

/// Shows or keeps events.
pub trait Reporter: Send {
    /// What it wants to be told. Events that no reporter wants are never made.
    fn interest(&self) -> Interest {
        Interest::default()
    }

    /// Takes the next events, in order.
    ///
    /// # Errors
    /// Fails when it cannot show or keep them; it is then left out.
    fn report(&mut self, events: &[Event]) -> io::Result<()>;

    /// Called about ten times a second while the run goes on, for displays that move.
    ///
    /// # Errors
    /// As [`Reporter::report`].
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Takes leave, after the last event.
    ///
    /// # Errors
    /// As [`Reporter::report`].
    fn finish(&mut self) -> io::Result<()>;
}

/// The frequent events that a reporter wants. All others it gets in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    /// `attempt-started`.
    pub starts: bool,
    /// `metric`, `attempt-ended` and `task-ended` of what succeeded at once. Every other ending is always told.
    pub successes: bool,
    /// `log`.
    pub logs: bool,
    /// `progress`.
    pub progress: bool,
    /// Changes of the run's channel.
    pub writes: bool,
}
