//! From the file as typed to the workflow: every name followed, every value read by its type. One
//! task's part is in `calls`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::asks::Ask;
use super::calls::{self, Called};
use super::components::Components;
use super::expr::described;
use super::flow::{self, Started, Starters};
use super::grants::Protected;
use super::graph;
use super::groups::Reader;
use super::merge::{self, Merge, Unfit};
use super::raw::{self, Form};
use super::scope::{Names, Scope};
use super::span::{At, Span};
use super::suggest::{self, brief};
use crate::id::NodeId;
use crate::model::{Node, Output, Type};

/// A lone task or a group, before it is read.
#[derive(Clone, Copy)]
enum Planned<'f, 't> {
    Task(&'f raw::Task<'t>),
    Group(&'f raw::Group<'t>),
}

impl<'t> Planned<'_, 't> {
    fn name(&self) -> At<&'t str> {
        match self {
            Self::Task(task) => task.name,
            Self::Group(group) => group.name,
        }
    }
}

/// All nodes by name, before any is read.
pub(super) struct Plan<'f, 't> {
    file: &'f raw::File<'t>,
    /// Each with its first node.
    nodes: Vec<(Planned<'f, 't>, NodeId)>,
    /// The type of each node's value.
    pub(super) types: Vec<Option<Type>>,
    pub(super) tasks: HashMap<&'t str, &'f raw::Task<'t>>,
    pub(super) calls: HashMap<&'t str, Option<Called>>,
}

/// What comes of it.
pub(super) struct Resolved {
    pub(super) nodes: Vec<Node>,
    pub(super) outputs: Vec<Output>,
    pub(super) asks: Vec<Ask>,
}

/// Bounds that the command line sets.
pub(super) struct Overrides {
    pub(super) concurrency: Option<u32>,
}

/// Gives every task and group its place and its type, which needs no argument to be read.
pub(super) fn plan<'f, 't>(
    file: &'f raw::File<'t>,
    components: &Components<'t>,
    findings: &super::diagnostics::Findings,
) -> (Plan<'f, 't>, Names<'t>) {
    let mut names = Names::default();
    let tasks: HashMap<&str, &raw::Task<'_>> =
        file.tasks.iter().map(|task| (task.name.value, task)).collect();
    for group in &file.groups {
        let members = match &group.form {
            None => &[][..],
            Some(Form::ForEach { task, .. }) => task.as_slice(),
            Some(Form::Tasks(members)) => members,
        };
        let sections = [group.split.task(), group.merge.and_then(|merge| merge.value.task())];
        let sections = sections.into_iter().flatten();
        for (member, section) in
            members.iter().map(|member| (*member, false)).chain(sections.map(|name| (name, true)))
        {
            if tasks.contains_key(member.value) {
                let groups = names.grouped.entry(member.value).or_default();
                // Groups come one after the other, so one that is there already is the last.
                if groups.last() != Some(&group.name.value) {
                    groups.push(group.name.value);
                }
            } else {
                unknown_member(member, section, file, findings);
            }
        }
    }
    let grouped = |name: &str| names.grouped.get(name).and_then(|groups| groups.first().copied());
    names.started = flow::started(file, grouped, findings);
    let lone =
        file.tasks.iter().filter(|task| !names.grouped.contains_key(task.name.value)).map(Planned::Task);
    let mut nodes: Vec<_> = lone.chain(file.groups.iter().map(Planned::Group)).collect();
    nodes.sort_by_key(|node| node.name().span);
    for group in &file.groups {
        if let Some(task) = tasks.get(group.name.value) {
            let second = task.name.span.max(group.name.span);
            let message = format!("a task and a group are both called `{}`", group.name.value);
            findings.at_with_help(second, message, "tasks and groups share their names: rename one");
        }
    }
    let reserved = ["inputs", "item", "index"];
    for name in file.tasks.iter().map(|task| task.name).chain(file.groups.iter().map(|group| group.name)) {
        if reserved.contains(&name.value) {
            let message = format!("`{}` cannot be the name of a task or group", name.value);
            findings.at_with_help(name.span, message, format!("`${{{}}}` means something else", name.value));
        }
    }
    let calls =
        file.tasks.iter().map(|task| (task.name.value, calls::find(task, components, findings))).collect();
    let mut plan = Plan { file, nodes: Vec::new(), types: Vec::new(), tasks, calls };
    let mut next = NodeId(0);
    for node in nodes {
        let types = plan.values(node, &names.started);
        plan.nodes.push((node, next));
        next.0 += types.len() as u32;
        // What refers to a group means its last section.
        names.nodes.insert(node.name().value, NodeId(next.0.saturating_sub(1)));
        plan.types.extend(types);
    }
    names.types.clone_from(&plan.types);
    (plan, names)
}

fn unknown_member(
    member: At<&str>,
    section: bool,
    file: &raw::File<'_>,
    findings: &super::diagnostics::Findings,
) {
    let name = member.value;
    if findings.full() {
        return;
    }
    let is_group = file.groups.iter().any(|group| group.name.value == name);
    if is_group && section {
        findings.at_with_help(
            member.span,
            format!("`{name}` is a group, and `merge` and `split` take a task"),
            "name a task whose function takes the whole list",
        );
        return;
    }
    if is_group {
        findings.at_with_help(
            member.span,
            format!(
                "`{name}` is a group, and groups inside groups are not supported by this version of flowhost"
            ),
            "name tasks here, and let a later task take both values",
        );
        return;
    }
    let names = file.tasks.iter().map(|task| task.name.value);
    let help = suggest::or_list(name, names, &format!("declare it: [tasks.{name}]"));
    findings.at_with_help(member.span, format!("there is no task `{name}`"), help);
}

impl<'f, 't> Plan<'f, 't> {
    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.types.len()
    }

    /// The type of a task's value.
    fn task_value(&self, name: &str) -> Option<Type> {
        let called = self.calls.get(name)?.as_ref()?;
        Some(called.signature.result.task_value())
    }

    /// The type of the value of a task that no group runs: where others start it, a list.
    pub(super) fn lone_value(&self, name: &str, started: &Started<'_>) -> Option<Type> {
        let value = self.task_value(name)?;
        Some(if started.contains_key(name) { Type::list(value) } else { value })
    }

    /// The types of the values of a task's node, or of those of a group's sections; none where a
    /// problem keeps one unknown.
    fn values(&self, node: Planned<'_, '_>, started: &Started<'_>) -> Vec<Option<Type>> {
        match node {
            Planned::Task(task) => vec![self.lone_value(task.name.value, started)],
            Planned::Group(group) => {
                let split = group.split.task().map(|task| self.task_value(task.value));
                let merge = group.merge.and_then(|merge| match merge.value {
                    Merge::Task(task) => Some(self.task_value(task.value)),
                    Merge::Best(_) => Some(self.element(group).ok().flatten()),
                    Merge::Collect | Merge::FirstSuccess | Merge::Concat | Merge::Results => None,
                });
                split.into_iter().chain([self.branches(group)]).chain(merge).collect()
            }
        }
    }

    /// The type of what a group's branches are joined to.
    fn branches(&self, group: &raw::Group<'_>) -> Option<Type> {
        let (form, merge) = (group.form.as_ref()?, group.merge?);
        if let (Form::Tasks(members), Merge::Collect) = (form, merge.value) {
            let require = group.policies.resolved(form, merge.value)?.require;
            let mut fields = Vec::with_capacity(members.len());
            for (index, member) in (0..).zip(members) {
                let value = self.task_value(member.value)?;
                let left_out = self.tasks.get(member.value)?.when.is_some();
                let certain = !left_out && require.needs(index, members.len());
                fields.push((Arc::from(member.value), if certain { value } else { Type::option(value) }));
            }
            return Some(Type::record(fields));
        }
        merge::joined(merge, &self.element(group).ok()??).ok()
    }

    /// The type that the value of each branch has; none where a problem keeps it unknown.
    pub(super) fn element(&self, group: &raw::Group<'_>) -> Result<Option<Type>, Unfit> {
        let members = match &group.form {
            None => return Ok(None),
            Some(Form::ForEach { task, .. }) => {
                return Ok(task.as_ref().and_then(|task| self.task_value(task.value)));
            }
            Some(Form::Tasks(members)) => members,
        };
        let known = members.iter().filter_map(|member| Some((member, self.task_value(member.value)?)));
        let mut first: Option<(&str, Type)> = None;
        for (member, ty) in known {
            match &first {
                None => first = Some((member.value, ty)),
                Some((_, one)) if *one == ty => {}
                Some((name, one)) => {
                    let merge = group.merge.map_or("", |merge| merge.value.name());
                    return Err(Unfit {
                        span: member.span,
                        message: format!(
                            "`merge` by `{merge}` wants values of one type: `{name}` has `{}`, and `{}` has `{}`",
                            brief(one),
                            member.value,
                            described(&ty, one)
                        ),
                        help: "`merge = \"collect\"` keeps each as it is, in a record".to_owned(),
                    });
                }
            }
        }
        Ok(first.map(|(_, ty)| ty))
    }

    /// Reads every node and output.
    pub(super) fn resolve(
        &self,
        scope: &Scope<'_>,
        components: &Components<'t>,
        protected: &Protected,
        overrides: &Overrides,
    ) -> Resolved {
        let reader = Reader {
            plan: self,
            calls: calls::Reader {
                defaults: &self.file.defaults,
                components,
                protected,
                asks: RefCell::default(),
                grants: RefCell::default(),
            },
            overrides,
        };
        reader.calls.check_grants(self.file, scope);
        let mut nodes = Vec::with_capacity(self.types.len());
        let mut needs = Vec::with_capacity(self.nodes.len());
        for (planned, first) in &self.nodes {
            let mut node_needs = BTreeMap::new();
            nodes.extend(match planned {
                Planned::Task(task) => reader.lone(task, scope, &mut node_needs).into_iter().collect(),
                Planned::Group(group) => {
                    reader.group(group, *first, scope, &mut node_needs).unwrap_or_default()
                }
            });
            needs.push(node_needs);
        }
        self.check_cycles(&needs, scope);
        let outputs = match &self.file.outputs {
            Some(outputs) => super::outputs::read(outputs, scope, protected),
            None => super::outputs::unused(&nodes),
        };
        Resolved { nodes, outputs, asks: reader.calls.asks.into_inner().list }
    }

    /// Reports cycles among tasks and groups, whose sections count as one.
    fn check_cycles(&self, needs: &[Needs], scope: &Scope<'_>) {
        let names: Vec<At<&str>> = self.nodes.iter().map(|(node, _)| node.name()).collect();
        let position = |id: NodeId| {
            let after = self.nodes.partition_point(|(_, first)| *first <= id);
            NodeId(u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX))
        };
        let mut whole: Vec<Needs> = needs
            .iter()
            .map(|needs| needs.iter().map(|(id, span)| (position(*id), *span)).collect())
            .collect();
        if !scope.names.started.is_empty() {
            self.add_starters(&mut whole, scope);
        }
        graph::check(&names, &whole, scope.findings);
    }

    /// What others start ends only after them, so it waits for them too. Those that start each other end
    /// together, and count as the first of them.
    fn add_starters(&self, needs: &mut [Needs], scope: &Scope<'_>) {
        let at = |found: &dyn Fn(&Planned<'_, '_>) -> bool| {
            let all = (0_u32..).map(NodeId).zip(&self.nodes);
            all.filter(|(_, (node, _))| found(node)).map(|(id, _)| id).collect()
        };
        let starters = Starters::new(&scope.names.started, |task| match scope.names.grouped.get(task) {
            None => at(&|node| node.name().value == task),
            Some(groups) => at(&|node| groups.contains(&node.name().value)),
        });
        let together = starters.together();
        let whole = |id: NodeId| together.get(&id).copied().unwrap_or(id);
        for (id, old) in (0_u32..).map(NodeId).zip(&mut *needs) {
            for (on, span) in std::mem::take(old) {
                if on != id && whole(on) == whole(id) {
                    let name =
                        |id: NodeId| self.nodes.get(id.index()).map_or("", |(node, _)| node.name().value);
                    scope.findings.at_with_help(
                        span,
                        format!(
                            "`{}` waits for `{}`, which it may start: neither would end",
                            name(id),
                            name(on)
                        ),
                        "hand it on as an argument of `next` instead",
                    );
                } else {
                    old.insert(if on == id { on } else { whole(on) }, span);
                }
            }
            let name = self.nodes.get(id.index()).map(|(node, _)| node.name().span).unwrap_or_default();
            for starter in starters.of(id).filter(|starter| whole(*starter) != whole(id)) {
                old.entry(whole(starter)).or_insert(name);
            }
        }
        // What is said of one of those that end together is said of the first.
        for at in (0_u32..).map(NodeId).take(needs.len()) {
            if whole(at) != at {
                let moved = needs.get_mut(at.index()).map(std::mem::take).unwrap_or_default();
                if let Some(first) = needs.get_mut(whole(at).index()) {
                    for (on, span) in moved {
                        first.entry(on).or_insert(span);
                    }
                }
            }
        }
    }
}

/// What waits for which nodes, and where the file says so.
pub(super) type Needs = BTreeMap<NodeId, Span>;
