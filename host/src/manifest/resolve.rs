//! From the file as typed to the workflow: every name followed, every value read by its type. One
//! task's part is in `calls`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::asks::Ask;
use super::calls::{self, Called};
use super::components::Components;
use super::executors::Executors;
use super::expr::described;
use super::flow::{self, Started, Starters};
use super::grants::Protected;
use super::graph;
use super::groups::Reader;
use super::merge::{self, Merge, Unfit};
use super::nesting::Nesting;
use super::raw::{self, Form};
use super::scope::{Names, Scope};
use super::span::{At, Span};
use super::suggest::{self, brief};
use crate::id::{BranchId, NodeId};
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
    pub(super) groups: HashMap<&'t str, Place<'f, 't>>,
    pub(super) calls: HashMap<&'t str, Option<Called>>,
    nesting: Nesting,
}

/// Where a group is among the nodes.
#[derive(Clone, Copy)]
pub(super) struct Place<'f, 't> {
    pub(super) group: &'f raw::Group<'t>,
    pub(super) sections: Sections,
    /// The branch of another group that it is.
    pub(super) inside: Option<BranchId>,
}

/// The nodes of a group, as far as it has them.
#[derive(Clone, Copy)]
pub(super) struct Sections {
    pub(super) split: Option<NodeId>,
    pub(super) branches: NodeId,
    pub(super) merge: Option<NodeId>,
}

impl Sections {
    fn of(group: &raw::Group<'_>, first: NodeId) -> Self {
        let split = group.split.task().map(|_| first);
        let branches = NodeId(first.0 + u32::from(split.is_some()));
        let merge = match group.merge.map(|merge| merge.value) {
            Some(Merge::Best(_) | Merge::Task(_)) => Some(NodeId(branches.0 + 1)),
            Some(Merge::Collect | Merge::FirstSuccess | Merge::Concat | Merge::Results) | None => None,
        };
        Self { split, branches, merge }
    }

    pub(super) fn first(&self) -> NodeId {
        self.split.unwrap_or(self.branches)
    }

    pub(super) fn last(&self) -> NodeId {
        self.merge.unwrap_or(self.branches)
    }
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
    let known: HashSet<&str> = file.groups.iter().map(|group| group.name.value).collect();
    for group in &file.groups {
        let (members, role) = match &group.form {
            None => (&[][..], Role::Member),
            Some(Form::ForEach { task, .. }) => (task.as_slice(), Role::Task),
            Some(Form::Tasks(members)) => (&**members, Role::Member),
        };
        let sections = [group.split.task(), group.merge.and_then(|merge| merge.value.task())];
        let sections = sections.into_iter().flatten();
        for (member, role) in
            members.iter().map(|member| (*member, role)).chain(sections.map(|name| (name, Role::Section)))
        {
            let is_group = !tasks.contains_key(member.value);
            if is_group && !(role == Role::Member && known.contains(member.value)) {
                unknown_member(member, role, file, findings);
                continue;
            }
            let grouped = names.grouped.entry(member.value).or_insert((is_group, Vec::new()));
            // Groups come one after the other, so one that is there already is the last.
            if grouped.1.last() != Some(&group.name.value) {
                grouped.1.push(group.name.value);
            }
        }
    }
    let grouped = |name: &str| names.grouped.get(name).and_then(|(_, groups)| groups.first().copied());
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
    let nesting = Nesting::read(file, findings);
    let mut plan =
        Plan { file, nodes: Vec::new(), types: Vec::new(), tasks, groups: HashMap::new(), calls, nesting };
    let mut next = NodeId(0);
    for node in nodes {
        plan.nodes.push((node, next));
        let last = match node {
            Planned::Task(_) => next,
            Planned::Group(group) => {
                let sections = Sections::of(group, next);
                plan.groups.insert(group.name.value, Place { group, sections, inside: None });
                sections.last()
            }
        };
        next.0 = last.0 + 1;
        // What refers to a group means its last section. To one that is in another nothing refers.
        if names.grouped.get(node.name().value).is_none_or(|(is_group, _)| !is_group) {
            names.nodes.insert(node.name().value, last);
        }
    }
    plan.find_branches();
    plan.find_types(next, &names.started);
    names.types.clone_from(&plan.types);
    (plan, names)
}

/// What a group names something for.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// To run it for each item.
    Task,
    /// To run it beside others.
    Member,
    /// To split or merge.
    Section,
}

fn unknown_member(
    member: At<&str>,
    role: Role,
    file: &raw::File<'_>,
    findings: &super::diagnostics::Findings,
) {
    let name = member.value;
    if findings.full() {
        return;
    }
    let tasks = file.tasks.iter().map(|task| task.name.value);
    let groups = file.groups.iter().map(|group| group.name.value);
    let (takes, help) = match role {
        Role::Task => ("`task` takes", "`tasks` takes groups too, which run side by side"),
        Role::Section => ("`merge` and `split` take", "name a task whose function takes the whole list"),
        Role::Member => {
            let help = suggest::or_list(name, tasks.chain(groups), &format!("declare it: [tasks.{name}]"));
            findings.at_with_help(member.span, format!("there is no task or group `{name}`"), help);
            return;
        }
    };
    if file.groups.iter().any(|group| group.name.value == name) {
        findings.at_with_help(member.span, format!("`{name}` is a group, and {takes} a task"), help);
        return;
    }
    let help = suggest::or_list(name, tasks, &format!("declare it: [tasks.{name}]"));
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

    /// The type of the value of what a group names as its member.
    fn member_value(&self, name: &str) -> Option<Type> {
        if self.tasks.contains_key(name) {
            return self.task_value(name);
        }
        self.types.get(self.groups.get(name)?.sections.last().index())?.clone()
    }

    /// Whether a member may be left out.
    fn has_when(&self, name: &str) -> bool {
        let task = self.tasks.get(name).map(|task| task.when);
        task.or_else(|| Some(self.groups.get(name)?.group.when)).flatten().is_some()
    }

    /// Says of each group that is in another which branch of it that is.
    fn find_branches(&mut self) {
        for outer in &self.file.groups {
            let Some(Form::Tasks(members)) = &outer.form else { continue };
            let Some(node) = self.groups.get(outer.name.value).map(|place| place.sections.branches) else {
                continue;
            };
            for (index, member) in (0..).zip(members) {
                if let Some(place) = self.groups.get_mut(member.value) {
                    place.inside.get_or_insert(BranchId { node, index });
                }
            }
        }
    }

    /// Finds the types of all values; none where a problem keeps one unknown. `nodes` is how many there
    /// are.
    fn find_types(&mut self, nodes: NodeId, started: &Started<'_>) {
        self.types = vec![None; nodes.index()];
        for (node, id) in &self.nodes {
            if let Planned::Task(task) = node
                && let Some(slot) = self.types.get_mut(id.index())
            {
                *slot = self
                    .calls
                    .get(task.name.value)
                    .and_then(|called| Some(called.as_ref()?.signature.result.task_value()))
                    .map(|ty| if started.contains_key(task.name.value) { Type::list(ty) } else { ty });
            }
        }
        // A group's value is made of those in it.
        for at in self.nesting.order.clone() {
            if self.nesting.too_deep && self.nesting.outer(at).is_some() {
                continue;
            }
            let Some(place) = self.file.groups.get(at).and_then(|group| self.groups.get(group.name.value))
            else {
                continue;
            };
            let Place { group, sections, .. } = *place;
            let split = group.split.task().and_then(|task| self.task_value(task.value));
            let merge = group.merge.and_then(|merge| match merge.value {
                Merge::Task(task) => self.task_value(task.value),
                Merge::Best(_) => self.element(group).ok().flatten(),
                Merge::Collect | Merge::FirstSuccess | Merge::Concat | Merge::Results => None,
            });
            let branches = (Some(sections.branches), self.branches(group));
            for (id, ty) in [(sections.split, split), branches, (sections.merge, merge)] {
                if let Some(slot) = id.and_then(|id| self.types.get_mut(id.index())) {
                    *slot = ty;
                }
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
                let value = self.member_value(member.value)?;
                let certain = !self.has_when(member.value) && require.needs(index, members.len());
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
        let known = members.iter().filter_map(|member| Some((member, self.member_value(member.value)?)));
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
        executors: &Executors<'_, 't>,
        overrides: &Overrides,
    ) -> Resolved {
        let reader = Reader {
            plan: self,
            calls: calls::Reader {
                defaults: &self.file.defaults,
                components,
                protected,
                executors,
                asks: RefCell::default(),
                grants: RefCell::default(),
            },
            overrides,
        };
        reader.calls.check_grants(self.file, scope);
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut needs = Vec::with_capacity(self.nodes.len());
        for (planned, _) in &self.nodes {
            let mut node_needs = BTreeMap::new();
            nodes.push(match planned {
                Planned::Task(task) => reader.lone(task, scope, &mut node_needs).into_iter().collect(),
                Planned::Group(group) => reader.group(group, scope, &mut node_needs).unwrap_or_default(),
            });
            needs.push(node_needs);
        }
        self.hand_out(&mut nodes, &mut needs);
        self.check_cycles(&needs, scope);
        let nodes: Vec<Node> = nodes.into_iter().flatten().collect();
        let outputs = match &self.file.outputs {
            Some(outputs) => super::outputs::read(outputs, scope, protected),
            None => super::outputs::unused(&nodes),
        };
        Resolved { nodes, outputs, asks: reader.calls.asks.into_inner().list }
    }

    /// What a group inside another waits for, that one waits for: it begins whatever is in it at once.
    fn hand_out(&self, nodes: &mut [Vec<Node>], needs: &mut [Needs]) {
        let position = |at: usize| {
            let place = self.groups.get(self.file.groups.get(at)?.name.value)?;
            self.nodes.binary_search_by_key(&place.sections.first(), |(_, first)| *first).ok()
        };
        for at in &self.nesting.order {
            let outer = self.nesting.outer(*at).and_then(|(outer, _)| position(outer));
            let Some((inner, outer)) = position(*at).zip(outer) else { continue };
            let handed = needs.get_mut(inner).map(std::mem::take).unwrap_or_default();
            if let Some(node) = nodes.get_mut(inner).and_then(|nodes| nodes.first_mut()) {
                node.after.clear();
            }
            if let Some(node) = nodes.get_mut(outer).and_then(|nodes| nodes.first_mut()) {
                node.after.extend(handed.keys());
            }
            if let Some(needs) = needs.get_mut(outer) {
                for (id, span) in handed {
                    needs.entry(id).or_insert(span);
                }
            }
        }
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
        let ids = (0_u32..).map(NodeId);
        let places: HashMap<&str, NodeId> =
            self.nodes.iter().map(|(node, _)| node.name().value).zip(ids).collect();
        let groups: HashMap<&str, usize> =
            self.file.groups.iter().map(|group| group.name.value).zip(0..).collect();
        let outermost = self.nesting.outermost();
        let around = |group: &&str| {
            let outer = outermost.get(*groups.get(group)?)?;
            places.get(self.file.groups.get(*outer)?.name.value).copied()
        };
        let starters = Starters::new(&scope.names.started, |task| match scope.names.grouped.get(task) {
            None => places.get(task).copied().into_iter().collect(),
            Some((_, groups)) => groups.iter().filter_map(around).collect(),
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
