//! What the scheduler needs to know of a workflow: which node waits for which, and how each
//! treats concurrency, failure and retry. Names, types and values stay behind.

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::model::{
    Executor, Form, Group, GroupPolicy, Kind, Merge, Node, OnFailure, Require, Retry, Runs, Task, Workflow,
};

/// What the scheduler needs to know of a workflow.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// In the workflow's order: a node's position is its [`NodeId`].
    pub nodes: Vec<NodePlan>,
}

/// What the scheduler needs to know of one task or group. The default waits for nothing, bounds
/// nothing and retries nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodePlan {
    /// What it waits for. A node that waits for itself, directly or through others, or for one that
    /// does not exist fails when the run begins; where others start it, it waits for them to end.
    pub after: BTreeSet<NodeId>,
    /// How many of its attempts may be submitted at once; none is bounded by the capacity alone.
    /// 0 counts as 1, since it could never end.
    pub concurrency: Option<u32>,
    /// What becomes of its other branches when one does not succeed.
    pub on_failure: OnFailure,
    /// What has to succeed, and how long and how fast.
    pub policy: GroupPolicy,
    /// Whether the first branch to succeed decides, so that the others are cancelled.
    pub first_success: bool,
    /// Whether it succeeds whatever becomes of its branches, since all of that is its value.
    pub tolerant: bool,
    /// Whether it has no branches but those that others start. It ends once no other can.
    pub started: bool,
    /// What of those that others start its branches may start. Those that it cannot start, or that
    /// do not exist, are passed over.
    pub may_start: BTreeSet<NodeId>,
    /// For each branch the policy at its position, and the last one for all beyond. So one serves
    /// all branches of a for-each. Without any, nothing is retried.
    pub retry: Vec<Retry>,
    /// Nodes of one number share a capacity.
    pub lane: usize,
    /// The branches that are groups, in the order of their positions.
    pub groups: Vec<Nested>,
}

/// A branch that is a group, which is nodes of its own. The first opens when the branch's turn comes, and each
/// other when the one before has succeeded: what else they wait for, the node that this is a branch of has to
/// wait for. The end of the last is the branch's. In that node's concurrency it counts as one, whatever runs in
/// it; rate and breaker are for attempts and not for groups; and it is not retried as a whole.
///
/// A plan in which a node is in two groups fails as a whole when the run begins; so do nodes that are in
/// themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nested {
    /// The branch's position.
    pub index: u32,
    /// The group's first node.
    pub first: NodeId,
    /// The group's last node; those from the first to it are the group's.
    pub last: NodeId,
}

impl From<&Workflow> for Plan {
    fn from(workflow: &Workflow) -> Self {
        let executors =
            |node: &Node| node.tasks().map(|task| task.policy.executor.clone()).collect::<BTreeSet<_>>();
        let mut lanes: Vec<BTreeSet<Executor>> = Vec::new();
        let nodes = workflow.nodes.iter().map(|node| {
            let executors = executors(node);
            let lane = lanes.iter().position(|lane| *lane == executors).unwrap_or_else(|| {
                lanes.push(executors);
                lanes.len() - 1
            });
            let retry_of = |task: &Task| task.policy.retry.clone();
            let after = node.after.clone();
            let may_start = node.tasks().flat_map(|task| &task.flow.may_start).copied().collect();
            match &node.kind {
                Kind::Task(task) => {
                    NodePlan { after, lane, may_start, retry: vec![retry_of(task)], ..NodePlan::default() }
                }
                Kind::Started(task) => NodePlan {
                    after,
                    lane,
                    may_start,
                    started: true,
                    retry: vec![retry_of(task)],
                    ..NodePlan::default()
                },
                Kind::Best(_) => NodePlan { after, lane, ..NodePlan::default() },
                Kind::Group(group) => NodePlan {
                    after,
                    lane,
                    may_start,
                    started: false,
                    concurrency: group.concurrency,
                    on_failure: group.on_failure,
                    policy: GroupPolicy {
                        // On nodes, each of them has its own.
                        breaker: group.policy.breaker.filter(|_| workflow.on_nodes(node).is_none()),
                        ..group.policy.clone()
                    },
                    first_success: group.merge.takes_first(),
                    tolerant: is_tolerant(group),
                    retry: match &group.form {
                        Form::ForEach { task, .. } => vec![retry_of(task)],
                        Form::Tasks(members) => members
                            .iter()
                            .map(|member| member.task().map(retry_of).unwrap_or_default())
                            .collect(),
                    },
                    groups: nested(group),
                },
            }
        });
        Self { nodes: nodes.collect() }
    }
}

/// The members that are groups.
fn nested(group: &Group) -> Vec<Nested> {
    let members = match &group.form {
        Form::ForEach { .. } => &[][..],
        Form::Tasks(members) => members,
    };
    (0..)
        .zip(members)
        .filter_map(|(index, member)| match member.runs {
            Runs::Task(_) => None,
            Runs::Group { first, last } => Some(Nested { index, first, last }),
        })
        .collect()
}

/// Whether a group succeeds whatever becomes of its branches. Where the file says what is required,
/// that decides.
fn is_tolerant(group: &Group) -> bool {
    let results = match group.merge {
        Merge::Results => true,
        Merge::Collect | Merge::FirstSuccess | Merge::List | Merge::Concat => false,
    };
    results && group.policy.require == Require::All
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::digest::Digest;
    use crate::model::{Entry, Flow, Items, Member, Node, Policy, Section, Signature, Split, Type};

    fn task(max_attempts: u32) -> Task {
        Task {
            name: Arc::from("task"),
            component: 0,
            entry: Entry::Command { bytes: false },
            signature: Arc::new(Signature::command(false)),
            arguments: vec![],
            policy: Policy { retry: Retry { max_attempts, ..Retry::default() }, ..Policy::default() },
            flow: Flow::default(),
        }
    }

    fn group(form: Form, merge: Merge, require: Require) -> Group {
        Group {
            form,
            concurrency: Some(3),
            on_failure: OnFailure::Cancel,
            policy: GroupPolicy { require, ..GroupPolicy::default() },
            merge,
            max_branches: 100,
        }
    }

    #[test]
    fn a_plan_follows_the_workflow() {
        let (task_of, items) = (Box::new(task(2)), Items::Range { start: 0, end: 9 });
        let for_each = Form::ForEach { task: task_of, items, split: Split::Item };
        let mut members: Vec<Member> = [4, 5]
            .map(|attempts| Member {
                name: "m".into(),
                runs: Runs::Task(Box::new(task(attempts))),
                when: None,
            })
            .into();
        members.push(Member {
            name: "g".into(),
            runs: Runs::Group { first: NodeId(3), last: NodeId(4) },
            when: None,
        });
        let first = group(for_each, Merge::FirstSuccess, Require::Any);
        let results = group(Form::Tasks(members), Merge::Results, Require::All);
        let kinds = [Kind::Task(Box::new(task(1))), Kind::Group(first), Kind::Group(results)];
        let nodes = (0_u32..).zip(kinds).map(|(at, kind)| Node {
            name: Arc::from("node"),
            section: Section::default(),
            inside: None,
            after: (0..at).map(NodeId).collect(),
            when: None,
            kind,
            value: Type::String,
        });
        let plan = Plan::from(&Workflow {
            executors: Vec::new(),
            name: Arc::from("workflow"),
            digest: Digest::of(b""),
            folder: PathBuf::new(),
            root: PathBuf::new(),
            seed: 0,
            inputs: vec![],
            components: vec![],
            nodes: nodes.collect(),
            outputs: vec![],
        });

        let attempts = |node: &NodePlan| node.retry.iter().map(|retry| retry.max_attempts).collect();
        let retries: Vec<Vec<u32>> = plan.nodes.iter().map(attempts).collect();
        assert_eq!(retries, [vec![1], vec![2], vec![4, 5, 1]]);
        let bounds: Vec<_> = plan.nodes.iter().map(|node| (node.concurrency, node.on_failure)).collect();
        let of_groups = (Some(3), OnFailure::Cancel);
        assert_eq!(bounds, [(None, OnFailure::Continue), of_groups, of_groups]);
        let require = |node: &NodePlan| (node.policy.require.clone(), node.first_success, node.tolerant);
        assert_eq!(
            plan.nodes.iter().map(require).collect::<Vec<_>>(),
            [(Require::All, false, false), (Require::Any, true, false), (Require::All, false, true)]
        );
        assert_eq!(plan.nodes[2].after, BTreeSet::from([NodeId(0), NodeId(1)]));
        assert_eq!(plan.nodes[2].groups, [Nested { index: 2, first: NodeId(3), last: NodeId(4) }]);
    }

    #[test]
    fn results_are_tolerant_where_nothing_less_than_all_is_required() {
        let tolerant = |merge, require| is_tolerant(&group(Form::Tasks(vec![]), merge, require));
        assert!(tolerant(Merge::Results, Require::All));
        for require in [Require::Any, Require::AtLeast(2), Require::Critical(vec![0])] {
            assert!(!tolerant(Merge::Results, require));
        }
        assert!(!tolerant(Merge::Collect, Require::All));
    }
}
