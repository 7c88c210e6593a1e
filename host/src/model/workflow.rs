//! A workflow after every name and type in it was checked: nothing dangles, nothing is unset.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    Allowed, Best, Breaker, ExecutorKind, Expr, Form, Group, Items, Member, NamedExecutor, Runs, Source,
    Startable, Task, Type, Value,
};
use crate::digest::Digest;
use crate::id::{BranchId, NodeId};

/// The validated graph of tasks and groups that a workflow file describes.
#[derive(Clone, PartialEq, Debug)]
pub struct Workflow {
    /// Its name; the file's stem where the file gives none.
    pub name: Arc<str>,
    /// Of the file's bytes.
    pub digest: Digest,
    /// The folder that holds the file, absolute. Relative paths start here.
    pub folder: PathBuf,
    /// The folder that no path of the file leads out of, absolute.
    pub root: PathBuf,
    /// Of deterministic randomness.
    pub seed: u64,
    /// The inputs with their values, for the record.
    pub inputs: Vec<Input>,
    /// The components that tasks run.
    pub components: Vec<Component>,
    /// What the names are that tasks and groups have for executors other than those of this machine. Only
    /// such as some of them run on.
    pub executors: Vec<NamedExecutor>,
    /// Lone tasks and groups, in the file's order. A task that groups name is inside those groups. A
    /// group may be several nodes, one right after the other: see [`Section`]. A group that another one
    /// names has nodes of its own: see [`Node::inside`].
    pub nodes: Vec<Node>,
    /// What the run yields, in the file's order.
    pub outputs: Vec<Output>,
}

impl Workflow {
    /// The ssh executor that all tasks of a node run on, if it is one. A group's breaker counts for each of the
    /// executor's nodes then.
    #[must_use]
    pub fn on_nodes(&self, node: &Node) -> Option<&Arc<str>> {
        let mut names = node.tasks().map(|task| task.policy.executor.name());
        let first = names.next()?;
        let ssh =
            |named: &&NamedExecutor| *named.name == *first && matches!(named.kind, ExecutorKind::Ssh(_));
        self.executors.iter().find(ssh).filter(|_| names.all(|name| name == first)).map(|named| &named.name)
    }

    /// The breakers of the groups that run on the nodes of the executor `name`.
    #[must_use]
    pub fn node_breakers(&self, name: &str) -> HashMap<NodeId, Breaker> {
        let breaker = |(at, node): (usize, &Node)| {
            let Kind::Group(group) = &node.kind else { return None };
            let breaker =
                group.policy.breaker.filter(|_| self.on_nodes(node).is_some_and(|on| **on == *name));
            Some((NodeId(u32::try_from(at).ok()?), breaker?))
        };
        self.nodes.iter().enumerate().filter_map(breaker).collect()
    }

    /// What `task` may ask for; `grouped` where it is one of a group's branches.
    #[must_use]
    pub fn allowed(&self, task: &Task, grouped: bool) -> Allowed {
        let targets = task.flow.may_start.iter().filter_map(|id| self.nodes.get(id.index())?.task(0));
        let startable =
            |target: &Task| Startable { task: Arc::clone(&target.name), parameters: target.parameters() };
        Allowed {
            start: targets.map(startable).collect(),
            itself: if task.flow.max_iterations > 1 { task.parameters() } else { Vec::new() },
            iterations: task.flow.max_iterations,
            end: task.flow.may_end,
            leave: !grouped,
        }
    }

    /// Which nodes' values some of `exprs` use, by position.
    pub fn used<'a>(nodes: usize, exprs: impl Iterator<Item = &'a Expr>) -> Vec<bool> {
        let mut used = vec![false; nodes];
        for expr in exprs {
            expr.walk(&mut |expr| {
                if let Expr::Reference { source: Source::Node(node), .. } = expr
                    && let Some(used) = used.get_mut(node.index())
                {
                    *used = true;
                }
            });
        }
        used
    }

    /// The groups that `node` is in, from the nearest to the outermost.
    pub fn around<'a>(&'a self, node: &Node) -> impl Iterator<Item = &'a Node> + use<'a> {
        let outer = |node: &Node| node.inside.and_then(|branch| self.nodes.get(branch.node.index()));
        std::iter::successors(outer(node), move |node| outer(node))
    }

    /// The value of a member that is a group goes to the group that it is a member of: where `used` says
    /// that this one's is used, so is the member's.
    pub fn use_members(nodes: &[Node], used: &mut [bool]) {
        let mut at: Vec<NodeId> = (0_u32..)
            .zip(nodes)
            .filter(|(_, node)| node.inside.is_none())
            .map(|(id, _)| NodeId(id))
            .collect();
        while let Some(id) = at.pop() {
            let of_outer = used.get(id.index()).copied().unwrap_or_default();
            for (first, last) in nodes.get(id.index()).into_iter().flat_map(Node::member_groups) {
                if let Some(used) = used.get_mut(last.index()) {
                    *used |= of_outer;
                }
                at.extend((first.0..=last.0).map(NodeId));
            }
        }
    }
}

/// A value that is set from outside.
#[derive(Clone, PartialEq, Debug)]
pub struct Input {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Its value.
    pub value: Value,
}

/// Where a component's bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Component {
    /// Its alias in the file.
    pub alias: Arc<str>,
    /// The file, absolute.
    pub path: PathBuf,
    /// Of the bytes that were checked. No other bytes are run.
    pub digest: Digest,
}

/// A lone task, a group, or one section of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Its name, which all sections of a group share.
    pub name: Arc<str>,
    /// Which section of a group it is.
    pub section: Section,
    /// The branch of another group that its group is, where it is a member of one. It begins when that
    /// one does.
    pub inside: Option<BranchId>,
    /// What it waits for, by reference or by `after`.
    pub after: BTreeSet<NodeId>,
    /// It is skipped unless this `bool` is true.
    pub when: Option<Expr>,
    /// What it runs.
    pub kind: Kind,
    /// The type of its value.
    pub value: Type,
}

/// Which section of a group a node is; by default the whole. A group whose items a task makes, whose values a task merges, or of
/// whose values the best is chosen, is up to three nodes, each of which waits for the one before: the
/// task that splits, the branches, the merge. The last one's value is the group's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Section {
    /// Whether another node of the group comes right before it.
    pub follows: bool,
    /// Whether another node of the group comes right after it.
    pub goes_on: bool,
}

impl Node {
    /// The group that it is, or is a section of. A task that others start is one.
    #[must_use]
    pub fn group(&self) -> Option<&Arc<str>> {
        let section = self.section.follows || self.section.goes_on;
        match self.kind {
            Kind::Task(_) if !section => None,
            Kind::Task(_) | Kind::Started(_) | Kind::Group(_) | Kind::Best(_) => Some(&self.name),
        }
    }

    /// Whether its branches are those of a group in the file, for which others wait together.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        match self.kind {
            Kind::Started(_) => false,
            Kind::Task(_) | Kind::Group(_) | Kind::Best(_) => self.group().is_some(),
        }
    }

    /// The name that the journal has for it. No name that a file gives holds a `/`.
    #[must_use]
    pub fn recorded_as(&self) -> Arc<str> {
        let part = match self.kind {
            Kind::Group(_) | Kind::Started(_) => return Arc::clone(&self.name),
            Kind::Task(_) if self.section.follows => "merge",
            Kind::Task(_) if self.section.goes_on => "split",
            Kind::Task(_) => return Arc::clone(&self.name),
            Kind::Best(_) => "best",
        };
        format!("{}/{part}", self.name).into()
    }

    /// Its tasks: one, or those among its members.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.branch_tasks().flatten()
    }

    /// What its branches run: one task for all, or one a member, where that is a task.
    pub fn branch_tasks(&self) -> impl Iterator<Item = Option<&Task>> {
        let (one, members): (Option<&Task>, &[Member]) = match &self.kind {
            Kind::Task(task) | Kind::Started(task) => (Some(task), &[]),
            Kind::Group(Group { form: Form::ForEach { task, .. }, .. }) => (Some(&**task), &[]),
            Kind::Group(Group { form: Form::Tasks(members), .. }) => (None, members),
            Kind::Best(_) => (None, &[]),
        };
        one.into_iter().map(Some).chain(members.iter().map(Member::task))
    }

    /// The types of what [`Node::branch_tasks`] yield.
    pub fn branch_types(&self) -> impl Iterator<Item = Option<Type>> {
        self.branch_tasks().map(|task| task.map(|task| task.signature.result.task_value()))
    }

    /// The first and the last node of each member that is a group.
    pub fn member_groups(&self) -> impl Iterator<Item = (NodeId, NodeId)> {
        let members: &[Member] = match &self.kind {
            Kind::Group(Group { form: Form::Tasks(members), .. }) => members,
            Kind::Task(_)
            | Kind::Started(_)
            | Kind::Best(_)
            | Kind::Group(Group { form: Form::ForEach { .. }, .. }) => &[],
        };
        members.iter().filter_map(|member| match member.runs {
            Runs::Task(_) => None,
            Runs::Group { first, last } => Some((first, last)),
        })
    }

    /// The task that the branch `index` calls.
    #[must_use]
    pub fn task(&self, index: u32) -> Option<&Task> {
        match &self.kind {
            Kind::Task(task) | Kind::Started(task) => Some(task),
            Kind::Group(Group { form: Form::ForEach { task, .. }, .. }) => Some(task),
            Kind::Group(Group { form: Form::Tasks(members), .. }) => {
                members.get(index as usize).and_then(Member::task)
            }
            Kind::Best(_) => None,
        }
    }

    /// Every expression in it, without those inside them.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let (members, items, from): (&[Member], Option<&Items>, Option<&Expr>) = match &self.kind {
            Kind::Task(_) | Kind::Started(_) => (&[], None, None),
            Kind::Group(Group { form: Form::ForEach { items, .. }, .. }) => (&[], Some(items), None),
            Kind::Group(Group { form: Form::Tasks(members), .. }) => (members, None, None),
            Kind::Best(best) => (&[], None, Some(&best.from)),
        };
        let list = items.and_then(|items| match items {
            Items::List(expr) => Some(expr),
            Items::Files { .. }
            | Items::Lines { .. }
            | Items::Jsonl { .. }
            | Items::Range { .. }
            | Items::Literal(_)
            | Items::Matrix(_) => None,
        });
        let whens = self.when.iter().chain(members.iter().filter_map(|member| member.when.as_ref()));
        self.tasks().flat_map(|task| &task.arguments).chain(list).chain(from).chain(whens)
    }
}

/// What a node runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// One task.
    Task(Box<Task>),
    /// A task that runs once each time that another starts it. Its value is the list of its values, in
    /// the order started.
    Started(Box<Task>),
    /// A fan-out.
    Group(Group),
    /// The choice of one value, which runs nothing. It fails where there is none to choose.
    Best(Best),
}

/// What the run yields under one name.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// Its name.
    pub name: Arc<str>,
    /// The value.
    pub value: Expr,
    /// The value's type.
    pub ty: Type,
    /// What the value needs. It is left out when one of these has no value.
    pub needs: BTreeSet<NodeId>,
    /// The file that takes it, absolute and below the root: bytes and strings as they are, all else
    /// as JSON. None is standard output.
    pub file: Option<PathBuf>,
}
