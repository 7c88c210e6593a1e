//! The queue that a run on Redis and its workers share: names of keys, the scripts that change them, and
//! the rules of leases. Knows no attempts, only their ids and bytes.

mod announce;
mod keys;
pub mod leases;
pub mod look;
mod scripts;
#[cfg(test)]
mod tests;

pub use announce::Announcement;
pub use keys::{Keys, NameError, RunKeys};
pub use scripts::{Begun, Entry, Finish, Finished, Held, Renewal, Scripts};

/// The consumer group of every stream of tasks.
pub const GROUP: &str = "workers";

/// An entry is delivered so often at most: once, and as often again as a branch may be lost.
pub const DELIVERIES: u64 = 1 + crate::model::LOST_BUDGET as u64;

/// A run's keys are kept for so long after it last renewed them, in seconds: 7 days.
pub const KEPT: u64 = 7 * 24 * 60 * 60;

/// So many dead letters are kept, about: Redis trims whole nodes of a stream.
pub const LETTERS: u64 = 10_000;
