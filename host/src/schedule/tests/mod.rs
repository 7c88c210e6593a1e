//! Tests of the scheduler as a whole: each rule by example, and all of them on random runs.

mod cases;
mod flow;
mod nesting;
mod oracle;
mod policies;
mod properties;
mod resume;
mod rules;
mod script;
mod speed;
mod world;

use std::time::Duration;

use super::{NodePlan, Plan};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Retry, RetryOn};

/// A node that waits for nothing and retries nothing.
fn node() -> NodePlan {
    NodePlan::default()
}

fn after(needed: &[u32]) -> NodePlan {
    NodePlan { after: needed.iter().copied().map(NodeId).collect(), ..node() }
}

fn plan(nodes: impl IntoIterator<Item = NodePlan>) -> Plan {
    Plan { nodes: nodes.into_iter().collect() }
}

/// Retries everything that can be, a second apart.
fn retry(max_attempts: u32) -> Retry {
    Retry {
        max_attempts,
        delay: ms(1_000),
        factor: 1.0,
        jitter: 0.0,
        on: RetryOn { failed: true, trapped: true, timed_out: true },
        ..Retry::default()
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn branch(node: u32, index: u32) -> BranchId {
    BranchId { node: NodeId(node), index }
}

fn attempt(node: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { branch: branch(node, index), number }
}
