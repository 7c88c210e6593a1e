//! The queue that a run on Redis and its workers share: names of keys, the scripts that change them, and
//! the rules of leases. Knows no attempts, only their ids and bytes.

mod announce;
mod connect;
mod keys;
pub mod leases;
pub mod look;
mod scripts;
mod seal;
mod slip;
#[cfg(test)]
mod tests;

pub use announce::Announcement;
pub use connect::{BLOCK, ConnectError, Link, Server, advice};
pub use keys::{Keys, NameError, RunKeys};
pub use scripts::{Begun, Cancelled, Entry, Finish, Finished, Held, Renewal, Scripts};
pub use seal::{Seal, SealError};
pub use slip::{INLINE, Slip, SlipError};

/// The consumer group of every stream of tasks.
pub const GROUP: &str = "workers";

/// An entry is delivered so often at most: once, and as often again as a branch may be lost.
pub const DELIVERIES: u64 = 1 + crate::model::LOST_BUDGET as u64;

/// A run's keys are kept for so long after it last renewed them, in seconds: 7 days.
pub const KEPT: u64 = 7 * 24 * 60 * 60;

/// Under a seal, what attempts share.
pub const CALL: &str = "call";
/// Under a seal, what a run says to a worker, what a worker says of attempts, and how one ended.
pub const INBOX: &str = "inbox";
/// See [`INBOX`].
pub const SAID: &str = "said";
/// See [`INBOX`].
pub const OUTCOME: &str = "outcome";

/// So many entries wait for a run at most before what is no outcome is left out.
pub const UNREAD: u64 = 50_000;

/// A worker says so often that it is there.
pub const ANNOUNCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A worker that said nothing for so long is not there.
pub const ABSENT: std::time::Duration = std::time::Duration::from_secs(15);

/// So many dead letters are kept, about: Redis trims whole nodes of a stream.
pub const LETTERS: u64 = 10_000;
