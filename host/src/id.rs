//! The names of things within a run. Ids are plain data: what they name is known by who made them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A run's id: its start in UTC to the second, and six random letters or digits, so that ids
/// sort by time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Arc<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task or group of a workflow: its position in [`Workflow::nodes`](crate::model::Workflow).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The position as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One branch of a node. A lone task has the one branch 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BranchId {
    /// The task or group.
    pub node: NodeId,
    /// The position in the group, from 0.
    pub index: u32,
}

/// One attempt of one branch. Ids follow from the workflow and are never reused within a run, so
/// that an outcome of an earlier attempt is known to be stale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AttemptId {
    /// The branch that is attempted.
    pub branch: BranchId,
    /// Which attempt this is, from 1.
    pub number: u32,
}
