//! What the scheduler needs to know of a workflow: which node waits for which, and how each
//! treats concurrency, failure and retry. Names, types and values stay behind.

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::model::{Form, Kind, OnFailure, Retry, Task, Workflow};

/// What the scheduler needs to know of a workflow.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// In the workflow's order: a node's position is its [`NodeId`].
    pub nodes: Vec<NodePlan>,
}

/// What the scheduler needs to know of one task or group.
#[derive(Clone, PartialEq, Debug)]
pub struct NodePlan {
    /// What it waits for. A node that waits for itself, directly or through others, or for one that
    /// does not exist fails when the run begins.
    pub after: BTreeSet<NodeId>,
    /// How many of its attempts may be submitted at once; none is bounded by the capacity alone.
    /// 0 counts as 1, since it could never end.
    pub concurrency: Option<u32>,
    /// What becomes of its other branches when one does not succeed.
    pub on_failure: OnFailure,
    /// For each branch the policy at its position, and the last one for all beyond. So one serves
    /// all branches of a for-each. Without any, nothing is retried.
    pub retry: Vec<Retry>,
}

impl From<&Workflow> for Plan {
    fn from(workflow: &Workflow) -> Self {
        let nodes = workflow.nodes.iter().map(|node| {
            let retry_of = |task: &Task| task.policy.retry.clone();
            let (concurrency, on_failure, retry) = match &node.kind {
                Kind::Task(task) => (None, OnFailure::default(), vec![retry_of(task)]),
                Kind::Group(group) => {
                    let retry = match &group.form {
                        Form::ForEach { task, .. } => vec![retry_of(task)],
                        Form::Tasks(members) => members.iter().map(|m| retry_of(&m.task)).collect(),
                    };
                    (group.concurrency, group.on_failure, retry)
                }
            };
            NodePlan { after: node.after.clone(), concurrency, on_failure, retry }
        });
        Self { nodes: nodes.collect() }
    }
}
