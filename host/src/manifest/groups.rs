//! Lone tasks and groups, read: their conditions, branches and sections. Names and types are told by the
//! plan of `resolve`.

use std::collections::HashSet;
use std::sync::Arc;

use super::calls::{self, Called};
use super::handed::{Handed, Named};
use super::merge::{self, Merge, Unfit};
use super::raw::{self, Form};
use super::resolve::{Needs, Overrides, Place, Plan, Sections};
use super::scope::{Item, Scope};
use super::span::At;
use super::suggest::brief;
use super::tree::Tree;
use crate::id::NodeId;
use crate::model::{
    self, Best, Expr, Group, GroupPolicy, Items, Kind, Member, Node, Runs, Section, Source, Task, Type,
};

/// Reads lone tasks and groups.
pub(super) struct Reader<'r, 'f, 't> {
    pub(super) plan: &'r Plan<'f, 't>,
    pub(super) calls: calls::Reader<'r, 't>,
    pub(super) overrides: &'r Overrides,
}

impl<'t> Reader<'_, '_, 't> {
    fn ty(&self, id: NodeId) -> Option<&Type> {
        self.plan.types.get(id.index())?.as_ref()
    }

    fn called(&self, name: &str) -> Option<&Called> {
        self.plan.calls.get(name).and_then(Option::as_ref)
    }

    /// A task that runs by itself, once or each time that another starts it.
    pub(super) fn lone(&self, task: &raw::Task<'t>, scope: &Scope<'_>, needs: &mut Needs) -> Option<Node> {
        let started = scope.names.started.contains_key(task.name.value);
        let often =
            if started { "this task runs once each time that it is started" } else { "this task runs once" };
        let scope = scope.with_item(Item::None(often));
        after(&task.after, &scope);
        let when = self.when(task.when, &scope);
        let called = self.called(task.name.value);
        let read = self.read(task, called, None, None, &scope);
        gather(needs, &scope);
        Some(Node {
            name: Arc::from(task.name.value),
            section: Section::default(),
            inside: None,
            after: needs.keys().copied().collect(),
            when: when?,
            value: self.ty(*scope.names.nodes.get(task.name.value)?)?.clone(),
            kind: if started { Kind::Started(Box::new(read?)) } else { Kind::Task(Box::new(read?)) },
        })
    }

    /// A group's nodes. The first waits for all that any of them needs, so that nothing is done for a group
    /// that cannot be completed.
    pub(super) fn group(
        &self,
        group: &raw::Group<'t>,
        scope: &Scope<'_>,
        needs: &mut Needs,
    ) -> Option<Vec<Node>> {
        let outside = scope.with_item(Item::None("this is the group itself"));
        after(&group.after, &outside);
        let Place { sections, inside, .. } = *self.plan.groups.get(group.name.value)?;
        let when = match inside {
            None => self.when(group.when, &outside),
            // The group around it reads and minds it.
            Some(_) => Some(None),
        };
        let split = match sections.split {
            None => Some(None),
            Some(_) => self.split(group, &outside, needs).map(Some),
        };
        let mut items = None;
        let form = self.form(group, &sections, &outside, needs, &mut items);
        let merge = match sections.merge {
            None => Some(None),
            Some(_) => self.merge(group, &sections, &outside, needs).map(Some),
        };
        gather(needs, &outside);
        let policy = self.policy(group, items.as_ref(), &outside);
        self.check_types(group, &sections, &outside)?;
        let branches = Kind::Group(Group {
            form: form?,
            concurrency: self.overrides.concurrency.or(group.concurrency),
            on_failure: group.on_failure,
            policy: policy?,
            merge: group.merge?.value.joined(),
            max_branches: group.max_branches,
        });
        let (split, merge) = (split?.map(|task| Kind::Task(Box::new(task))), merge?);
        let kinds: Vec<Kind> = split.into_iter().chain([branches]).chain(merge).collect();
        let last = kinds.len() - 1;
        let mut when = Some(when?);
        (0_u32..)
            .zip(kinds)
            .map(|(at, kind)| {
                let id = NodeId(sections.first().0 + at);
                Some(Node {
                    name: Arc::from(group.name.value),
                    section: Section { follows: at > 0, goes_on: (at as usize) < last },
                    inside,
                    after: match at {
                        0 => needs.keys().copied().collect(),
                        _ => [NodeId(id.0 - 1)].into(),
                    },
                    when: when.take().flatten(),
                    kind,
                    value: self.ty(id)?.clone(),
                })
            })
            .collect()
    }

    /// What governs a group as a whole; none where there was a problem. `items` are those of a for-each
    /// group, where they are known.
    fn policy(
        &self,
        group: &raw::Group<'t>,
        items: Option<&Items>,
        outside: &Scope<'_>,
    ) -> Option<GroupPolicy> {
        if !group.policies.check(group, items, outside.findings) {
            return None;
        }
        group.policies.resolved(group.form.as_ref()?, group.merge?.value)
    }

    /// Whether the types of the branches' values are such as `merge` wants; problems are reported.
    fn check_types(&self, group: &raw::Group<'_>, sections: &Sections, scope: &Scope<'_>) -> Option<()> {
        let merge = group.merge?;
        if let (Some(Form::Tasks(_)), Merge::Collect) = (&group.form, merge.value) {
            return self.ty(sections.branches).map(drop);
        }
        let checked = self.plan.element(group).and_then(|element| match element {
            None => Ok(None),
            Some(element) => merge::joined(merge, &element).map(Some),
        });
        report(checked, scope).flatten().map(drop)
    }

    /// The condition, if there is one; none where there was a problem.
    fn when(&self, tree: Option<&Tree>, scope: &Scope<'_>) -> Option<Option<Expr>> {
        match tree {
            None => Some(None),
            Some(tree) => scope.typed(tree, &Type::Bool).map(Some),
        }
    }

    fn form(
        &self,
        group: &raw::Group<'t>,
        sections: &Sections,
        outside: &Scope<'_>,
        needs: &mut Needs,
        known: &mut Option<Items>,
    ) -> Option<model::Form> {
        match group.form.as_ref()? {
            Form::ForEach { task, items } => {
                let made = sections.split.map(|split| self.made(group, split, outside));
                let read = match made {
                    None => items.and_then(|items| outside.items(items, group)),
                    Some(_) => None,
                };
                // Known whatever becomes of the task.
                *known = read.as_ref().map(|read| read.items.clone());
                let name = task.as_ref()?.value;
                let task = self.plan.tasks.get(name)?;
                refuse_when(task, &format!("is run for each item by group `{}`", group.name.value), outside);
                let (item, items) = match (&made, &read) {
                    (Some(Some((items, ty))), _) => {
                        (Item::Typed { ty: ty.clone(), given: false }, Some(items.clone()))
                    }
                    (_, Some(read)) => (read.kind.item(), Some(read.items.clone())),
                    (Some(None) | None, None) => (Item::Unknown, None),
                };
                let inside = outside.with_item(item);
                let task = self.branch(task, Some(group), None, &inside, needs);
                let split = group.split.of_items();
                Some(model::Form::ForEach { task: Box::new(task?), items: items?, split })
            }
            Form::Tasks(members) => {
                let mut all = Vec::with_capacity(members.len());
                let mut whole = true;
                let mut seen = HashSet::new();
                for member in members {
                    if !seen.insert(member.value) {
                        let message = format!("group `{}` names `{}` twice", group.name.value, member.value);
                        let help = "name each member once: the group's value has one field for each";
                        outside.findings.at_with_help(member.span, message, help);
                        whole = false;
                        continue;
                    }
                    let inside = outside.with_item(Item::None("this task runs once in its group"));
                    let read = self.member(member.value, group, &inside, needs);
                    whole &= read.is_some();
                    all.extend(read);
                }
                whole.then_some(model::Form::Tasks(all))
            }
        }
    }

    /// What a group runs beside others.
    fn member(
        &self,
        name: &'t str,
        group: &raw::Group<'t>,
        inside: &Scope<'_>,
        needs: &mut Needs,
    ) -> Option<Member> {
        let (runs, when) = match (self.plan.tasks.get(name), self.plan.groups.get(name)) {
            (Some(task), _) => {
                let when = self.when(task.when, inside);
                let task = self.branch(task, Some(group), None, inside, needs);
                (Runs::Task(Box::new(task?)), when?)
            }
            (None, Some(Place { group, sections, .. })) => {
                let when = self.when(group.when, inside);
                gather(needs, inside);
                (Runs::Group { first: sections.first(), last: sections.last() }, when?)
            }
            (None, None) => return None,
        };
        Some(Member { name: Arc::from(name), runs, when })
    }

    /// A task as a group runs it. What it waits for, the group waits for.
    fn branch(
        &self,
        task: &raw::Task<'t>,
        group: Option<&raw::Group<'t>>,
        handed: Option<Handed>,
        inside: &Scope<'_>,
        needs: &mut Needs,
    ) -> Option<Task> {
        after(&task.after, inside);
        let called = self.called(task.name.value);
        let read = self.read(task, called, group, handed, inside);
        gather(needs, inside);
        read
    }

    /// A task, if it is known what it calls; what can be said without is said.
    fn read(
        &self,
        task: &raw::Task<'t>,
        called: Option<&Called>,
        group: Option<&raw::Group<'t>>,
        handed: Option<Handed>,
        scope: &Scope<'_>,
    ) -> Option<Task> {
        match called {
            Some(called) => self.calls.task(task, called, group, handed, scope),
            None => {
                self.calls.settings(task, group, scope);
                None
            }
        }
    }

    /// The items that a task makes, and their type.
    fn made(&self, group: &raw::Group<'_>, split: NodeId, scope: &Scope<'_>) -> Option<(Items, Type)> {
        let (ty, task) = (self.ty(split)?, group.split.task()?);
        match ty {
            Type::List(element) if !ty.is_bytes() => {
                let expr = Expr::Reference { source: Source::Node(split), path: Vec::new() };
                Some((Items::List(expr), (**element).clone()))
            }
            _ => {
                scope.findings.at_with_help(
                    task.span,
                    format!(
                        "task `{}` splits group `{}`, but its value is `{}` and no list of items",
                        task.value,
                        group.name.value,
                        brief(ty)
                    ),
                    "name a task that returns a list with an item for each branch",
                );
                None
            }
        }
    }

    /// The task that makes the items.
    fn split(&self, group: &raw::Group<'t>, outside: &Scope<'_>, needs: &mut Needs) -> Option<Task> {
        let Some(Form::ForEach { items, .. }) = &group.form else { return None };
        let scope = outside.with_item(Item::None("this task runs once, before the branches of its group"));
        let handed = |named: &Named<'_, 't>| named.items((*items)?, group, outside, &scope);
        self.section(group, group.split.task()?, "splits", handed, &scope, needs)
    }

    /// What makes one value of the branches' values.
    fn merge(
        &self,
        group: &raw::Group<'t>,
        sections: &Sections,
        outside: &Scope<'_>,
        needs: &mut Needs,
    ) -> Option<Kind> {
        let branches = sections.branches;
        match group.merge?.value {
            Merge::Best(field) => {
                let element = self.plan.element(group).ok()??;
                let position = report(merge::best(field, &element), outside)?;
                let from = Expr::Reference { source: Source::Node(branches), path: Vec::new() };
                Some(Kind::Best(Best { from, field: position, name: Arc::from(field.value) }))
            }
            Merge::Task(name) => {
                let scope =
                    outside.with_item(Item::None("this task runs once, after the branches of its group"));
                let handed = |named: &Named<'_, 't>| named.value_of(branches, self.ty(branches), &scope);
                let task = self.section(group, name, "merges", handed, &scope, needs);
                task.map(|task| Kind::Task(Box::new(task)))
            }
            Merge::Collect | Merge::FirstSuccess | Merge::Concat | Merge::Results => None,
        }
    }

    /// A task that splits or merges. Its policy is its own and none of the branches'.
    fn section(
        &self,
        group: &raw::Group<'t>,
        name: At<&'t str>,
        does: &'static str,
        handed: impl FnOnce(&Named<'_, 't>) -> Option<Handed>,
        scope: &Scope<'_>,
        needs: &mut Needs,
    ) -> Option<Task> {
        let task = *self.plan.tasks.get(name.value)?;
        refuse_when(task, &format!("{does} group `{}`", group.name.value), scope);
        let called = self.called(name.value)?;
        let handed = handed(&Named { span: name.span, does, group: group.name, task, called })?;
        self.branch(task, None, Some(handed), scope, needs)
    }
}

fn report<T>(result: Result<T, Unfit>, scope: &Scope<'_>) -> Option<T> {
    result.map_err(|unfit| unfit.report(scope.findings)).ok()
}

fn refuse_when(task: &raw::Task<'_>, does: &str, scope: &Scope<'_>) {
    if let Some(when) = task.when {
        scope.findings.at_with_help(
            when.span,
            format!("task `{}` {does}, so it cannot have `when`", task.name.value),
            "put `when` on the group",
        );
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
