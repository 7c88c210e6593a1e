//! From the file as typed to the workflow: every name followed, every value read by its type. One
//! task's part is in `calls`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::asks::Ask;
use super::calls::{self, Called};
use super::components::Components;
use super::grants::Protected;
use super::graph;
use super::policies;
use super::raw::{self, Form};
use super::scope::{Item, Names, Scope};
use super::span::{At, Span};
use super::suggest;
use super::tree::Tree;
use crate::id::NodeId;
use crate::model::{self, Expr, Group, GroupPolicy, Kind, Member, Merge, Node, Output, Type};

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
    nodes: Vec<Planned<'f, 't>>,
    tasks: HashMap<&'t str, &'f raw::Task<'t>>,
    calls: HashMap<&'t str, Option<Called>>,
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
        for member in members {
            if tasks.contains_key(member.value) {
                let groups = names.grouped.entry(member.value).or_default();
                // Groups come one after the other, so one that is there already is the last.
                if groups.last() != Some(&group.name.value) {
                    groups.push(group.name.value);
                }
            } else {
                unknown_member(*member, file, findings);
            }
        }
    }
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
    let mut plan = Plan { file, nodes: Vec::new(), tasks, calls };
    for (at, node) in nodes.iter().enumerate() {
        if let Ok(id) = u32::try_from(at) {
            names.nodes.insert(node.name().value, NodeId(id));
        }
    }
    names.types = nodes.iter().map(|node| plan.value(*node)).collect();
    plan.nodes = nodes;
    (plan, names)
}

fn unknown_member(member: At<&str>, file: &raw::File<'_>, findings: &super::diagnostics::Findings) {
    let name = member.value;
    if findings.full() {
        return;
    }
    if file.groups.iter().any(|group| group.name.value == name) {
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
        self.nodes.len()
    }

    /// The type of a task's value.
    fn task_value(&self, name: &str) -> Option<Type> {
        let called = self.calls.get(name)?.as_ref()?;
        Some(called.signature.result.task_value())
    }

    /// The type of a node's value; none where a problem keeps it unknown.
    fn value(&self, node: Planned<'_, '_>) -> Option<Type> {
        match node {
            Planned::Task(task) => self.task_value(task.name.value),
            Planned::Group(group) => {
                let form = group.form.as_ref()?;
                let require = group.policies.resolved(form, group.merge?)?.require;
                match (form, group.merge?) {
                    (Form::ForEach { task, .. }, Merge::Collect) => {
                        self.task_value(task.as_ref()?.value).map(Type::list)
                    }
                    (Form::ForEach { task, .. }, Merge::FirstSuccess) => {
                        self.task_value(task.as_ref()?.value)
                    }
                    (Form::Tasks(members), Merge::Collect) => {
                        let mut fields = Vec::with_capacity(members.len());
                        for (index, member) in (0..).zip(members) {
                            let value = self.task_value(member.value)?;
                            let left_out = self.tasks.get(member.value)?.when.is_some();
                            let certain = !left_out && require.needs(index, members.len());
                            let value = if certain { value } else { Type::option(value) };
                            fields.push((Arc::from(member.value), value));
                        }
                        Some(Type::record(fields))
                    }
                    (Form::Tasks(members), Merge::FirstSuccess) => {
                        let (first, rest) = members.split_first()?;
                        let value = self.task_value(first.value)?;
                        let alike =
                            |member: &At<&str>| self.task_value(member.value).as_ref() == Some(&value);
                        rest.iter().all(alike).then_some(value)
                    }
                }
            }
        }
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
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut needs = Vec::with_capacity(self.nodes.len());
        for planned in &self.nodes {
            let mut node_needs = BTreeMap::new();
            nodes.extend(reader.node(*planned, scope, &mut node_needs));
            needs.push(node_needs);
        }
        let names: Vec<At<&str>> = self.nodes.iter().map(Planned::name).collect();
        graph::check(&names, &needs, scope.findings);
        let outputs = match &self.file.outputs {
            Some(outputs) => super::outputs::read(outputs, scope, protected),
            None => super::outputs::unused(&nodes),
        };
        Resolved { nodes, outputs, asks: reader.calls.asks.into_inner().list }
    }
}

type Needs = BTreeMap<NodeId, Span>;

struct Reader<'r, 'f, 't> {
    plan: &'r Plan<'f, 't>,
    calls: calls::Reader<'r, 't>,
    overrides: &'r Overrides,
}

impl<'t> Reader<'_, '_, 't> {
    fn node(&self, planned: Planned<'_, 't>, scope: &Scope<'_>, needs: &mut Needs) -> Option<Node> {
        let name = planned.name();
        let outside = scope.with_item(Item::None(match planned {
            Planned::Task(_) => "this task runs once",
            Planned::Group(_) => "this is the group itself",
        }));
        let (when, kind) = match planned {
            Planned::Task(task) => {
                after(&task.after, &outside);
                let when = self.when(task.when, &outside);
                let called = self.plan.calls.get(task.name.value).and_then(Option::as_ref);
                let kind = called
                    .and_then(|called| self.calls.task(task, called, None, &outside))
                    .map(|task| Kind::Task(Box::new(task)));
                (when, kind)
            }
            Planned::Group(group) => {
                after(&group.after, &outside);
                let when = self.when(group.when, &outside);
                let form = self.form(group, &outside, needs);
                let policy = self.policy(group, form.as_ref(), &outside);
                let kind = form.zip(policy).zip(group.merge).map(|((form, policy), merge)| {
                    Kind::Group(Group {
                        form,
                        concurrency: self.overrides.concurrency.or(group.concurrency),
                        on_failure: group.on_failure,
                        policy,
                        merge,
                        max_branches: group.max_branches,
                    })
                });
                (when, kind)
            }
        };
        gather(needs, &outside);
        let value = self.plan.value(planned)?;
        Some(Node {
            name: Arc::from(name.value),
            after: needs.keys().copied().collect(),
            when: when?,
            kind: kind?,
            value,
        })
    }

    /// What governs a group as a whole; none where there was a problem. `form` is what it runs, where
    /// that is known.
    fn policy(
        &self,
        group: &raw::Group<'t>,
        form: Option<&model::Form>,
        outside: &Scope<'_>,
    ) -> Option<GroupPolicy> {
        let items = form.and_then(|form| match form {
            model::Form::ForEach { items, .. } => Some(items),
            model::Form::Tasks(_) => None,
        });
        let sensible = group.policies.check(group, items, outside.findings);
        let alike = match (group.form.as_ref()?, group.merge?) {
            (Form::Tasks(members), Merge::FirstSuccess) => {
                let value = |member: &At<&'t str>| Some((*member, self.plan.task_value(member.value)?));
                let values: Vec<_> = members.iter().filter_map(value).collect();
                policies::check_alike(&values, group.name.value, outside.findings)
            }
            (Form::Tasks(_) | Form::ForEach { .. }, Merge::Collect | Merge::FirstSuccess) => true,
        };
        if sensible && alike { group.policies.resolved(group.form.as_ref()?, group.merge?) } else { None }
    }

    /// The condition, if there is one; none where there was a problem.
    fn when(&self, tree: Option<&Tree>, scope: &Scope<'_>) -> Option<Option<Expr>> {
        match tree {
            None => Some(None),
            Some(tree) => scope.typed(tree, &Type::Bool).map(Some),
        }
    }

    fn form(&self, group: &raw::Group<'t>, outside: &Scope<'_>, needs: &mut Needs) -> Option<model::Form> {
        match group.form.as_ref()? {
            Form::ForEach { task, items } => {
                let read = items.and_then(|items| outside.items(items, group));
                let name = task.as_ref()?.value;
                let task = self.plan.tasks.get(name)?;
                if let Some(when) = task.when {
                    outside.findings.at_with_help(
                        when.span,
                        format!(
                            "task `{name}` is run for each item by group `{}`, so it cannot have `when`",
                            group.name.value
                        ),
                        "put `when` on the group",
                    );
                }
                let item = read.as_ref().map_or(Item::Unknown, |read| read.kind.item());
                let inside = outside.with_item(item);
                let task = self.branch(task, group, &inside, needs);
                let items = read.as_ref().map(|read| read.items.clone())?;
                Some(model::Form::ForEach { task: Box::new(task?), items })
            }
            Form::Tasks(members) => {
                let mut all = Vec::with_capacity(members.len());
                let mut whole = true;
                let mut seen = HashSet::new();
                for member in members {
                    if !seen.insert(member.value) {
                        let message =
                            format!("group `{}` names task `{}` twice", group.name.value, member.value);
                        let help = "name each task once: the group's value has one field for each";
                        outside.findings.at_with_help(member.span, message, help);
                        whole = false;
                        continue;
                    }
                    let inside = outside.with_item(Item::None("this task runs once in its group"));
                    let read = self.plan.tasks.get(member.value).and_then(|task| {
                        let when = self.when(task.when, &inside);
                        let task = self.branch(task, group, &inside, needs);
                        Some(Member { task: task?, when: when? })
                    });
                    whole &= read.is_some();
                    all.extend(read);
                }
                whole.then_some(model::Form::Tasks(all))
            }
        }
    }

    /// A task as a group runs it. What it waits for, the group waits for.
    fn branch(
        &self,
        task: &raw::Task<'t>,
        group: &raw::Group<'t>,
        inside: &Scope<'_>,
        needs: &mut Needs,
    ) -> Option<model::Task> {
        after(&task.after, inside);
        let called = self.plan.calls.get(task.name.value).and_then(Option::as_ref);
        let read = called.and_then(|called| self.calls.task(task, called, Some(group), inside));
        gather(needs, inside);
        read
    }
}

fn after(names: &[At<&str>], scope: &Scope<'_>) {
    for name in names {
        if let Some(id) = scope.find_node(name.value, name.span) {
            scope.needs.borrow_mut().entry(id).or_insert(name.span);
        }
    }
}

fn gather(needs: &mut Needs, scope: &Scope<'_>) {
    for (id, span) in scope.needs.borrow().iter() {
        needs.entry(*id).or_insert(*span);
    }
}
