//! What one attempt may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one attempt may use. A breach ends the attempt, never the host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories of the attempt.
    pub memory: u64,
    /// Wall-clock time from the moment the guest starts; none is unbounded.
    pub timeout: Option<Duration>,
    /// Units of wasmtime fuel, about one an instruction; none is uncounted.
    pub fuel: Option<u64>,
    /// Bytes of the encoded result.
    pub output: u64,
    /// Bytes of captured stdout, stderr and log lines together. Beyond it lines are cut, with a mark.
    pub log: u64,
}

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 256 * MIB, timeout: None, fuel: None, output: 64 * MIB, log: MIB }
    }
}
