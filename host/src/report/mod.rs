//! What people and programs see of a run. Reporters know events and nothing of where they come
//! from.

mod board;
#[cfg(feature = "otel")]
mod export;
mod figures;
mod json_lines;
mod narrator;
#[cfg(not(feature = "otel"))]
mod no_export;
mod paint;
mod plain;
mod progress;
mod spans;
mod summary;
mod text;
mod tolerance;
mod warnings;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

#[cfg(feature = "otel")]
pub use export::Exporter;
pub(crate) use figures::{count, duration, metrics};
pub use json_lines::JsonLines;
pub(crate) use json_lines::harmless_json;
#[cfg(not(feature = "otel"))]
pub use no_export::Exporter;
pub use plain::Plain;
pub use progress::Progress;
pub use spans::{Attribute, RunSpans, Span, SpanKind};
pub use summary::Summary;
pub(crate) use text::harmless;
pub use warnings::Warnings;

use crate::model::Event;

/// Why spans go nowhere, although somebody wants them.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A variable of the environment makes no sense.
    #[error("{name} is `{value}`: {what}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        what: &'static str,
    },
    /// The certificates to trust are not to be had.
    #[error("the certificates `{path}`, which OTEL_EXPORTER_OTLP_CERTIFICATE names: {reason}")]
    Certificate {
        /// Their file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The exporter cannot be made, as of an endpoint that is no URL.
    #[error("{0}")]
    Exporter(String),
    /// The system starts no thread.
    #[error("cannot start a thread: {0}")]
    Threads(#[source] io::Error),
}

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
