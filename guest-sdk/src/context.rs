//! Where this attempt stands in the run. A deterministic task, and native code without a
//! double of the host, sees constants.

use std::time::Duration;

pub use crate::bindings::flowhost::task::context::Place;
use crate::host;

/// This attempt's place in the run. It does not change while the attempt runs.
///
/// A deterministic task sees run `""`, index 0, count 1 and attempt 1, whatever runs it.
#[must_use]
pub fn current() -> Place {
    host::current()
}

/// The time until the attempt's timeout ends it; `None` when it has no timeout or is deterministic.
#[must_use]
pub fn time_left() -> Option<Duration> {
    host::time_left().map(Duration::from_nanos)
}

/// Whether the run was asked to stop. The attempt may go on; returning early is a courtesy.
#[must_use]
pub fn cancelled() -> bool {
    host::cancelled()
}
