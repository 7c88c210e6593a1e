//! How attempts are repeated and where they run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Executor, Grants, Limits};

/// All that governs the attempts of one task, after defaults, task and group are merged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Where attempts run.
    pub executor: Executor,
    /// Whether and when another attempt is made.
    pub retry: Retry,
    /// What one attempt may use.
    pub limits: Limits,
    /// What one attempt may reach.
    pub grants: Grants,
    /// Virtual clock, seeded randomness and canonical NaNs: equal arguments give equal bytes.
    pub deterministic: bool,
    /// Succeeded outcomes are kept, and found by the next run. Only where `deterministic`.
    pub cache: bool,
}

/// Whether and when another attempt is made: after `delay * factor^(n - 1)`, at most `max_delay`,
/// of which the share `jitter` is random.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts at most, the first included. At least 1.
    pub max_attempts: u32,
    /// Before the second attempt.
    pub delay: Duration,
    /// By how much each further delay grows. At least 1.
    pub factor: f64,
    /// The longest delay.
    pub max_delay: Duration,
    /// From 0, always the full delay, to 1, anything between nothing and the full delay.
    pub jitter: f64,
    /// Which outcomes are retried.
    pub on: RetryOn,
}

/// Which outcomes are retried. A permanent failure never is; a lost attempt always is, within
/// [`LOST_BUDGET`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RetryOn {
    /// The export returned `err`.
    pub failed: bool,
    /// The guest trapped.
    pub trapped: bool,
    /// The timeout passed.
    pub timed_out: bool,
}

/// How often a branch whose attempt was lost runs again, besides its retries.
pub const LOST_BUDGET: u32 = 3;

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: 0.5,
            on: RetryOn { failed: true, trapped: false, timed_out: true },
        }
    }
}
