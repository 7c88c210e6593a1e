//! `may-start`, `max-iterations`, `may-end`: what tasks may ask for while they run, and which tasks run only
//! when they are started. Knows names and who may start whom, and nothing of what is asked.

use std::collections::{BTreeSet, HashMap};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use super::diagnostics::Findings;
use super::fields::Fields;
use super::raw::{self, File};
use super::scope::Scope;
use super::span::{At, Span};
use super::suggest;
use crate::id::NodeId;
use crate::model::Flow;

/// A branch runs so often at most.
const MOST_ITERATIONS: u32 = 1_000_000;

/// What a task's keys say of flow.
pub(super) struct Keys<'t> {
    may_start: Vec<At<&'t str>>,
    max_iterations: u32,
    may_end: bool,
    /// Where the first of them is, if any is there.
    at: Option<Span>,
}

impl<'t> Keys<'t> {
    pub(super) fn read(fields: &Fields<'t>) -> Self {
        let keys = ["may-start", "max-iterations", "may-end"];
        Self {
            may_start: fields.strings("may-start"),
            max_iterations: fields.integer("max-iterations", 1, MOST_ITERATIONS).unwrap_or(1),
            may_end: fields.boolean("may-end").unwrap_or(false),
            at: keys.iter().find_map(|key| fields.tree(key)).map(|tree| tree.span),
        }
    }
}

/// Tasks that some `may-start` names, each with the tasks that may start it, in the file's order.
pub(super) type Started<'t> = HashMap<&'t str, Vec<&'t str>>;

/// Finds out which tasks run only when they are started. `grouped` has those that groups run.
pub(super) fn started<'t>(
    file: &File<'t>,
    grouped: impl Fn(&str) -> Option<&'t str>,
    findings: &Findings,
) -> Started<'t> {
    let tasks: HashMap<&str, &raw::Task<'t>> =
        file.tasks.iter().map(|task| (task.name.value, task)).collect();
    let mut started = Started::default();
    for task in &file.tasks {
        let mut seen = BTreeSet::new();
        for name in &task.flow.may_start {
            if !seen.insert(name.value) {
                let message =
                    format!("`may-start` of task `{}` lists `{}` twice", task.name.value, name.value);
                findings.at_with_help(
                    name.span,
                    message,
                    "list it once: it may be started any number of times",
                );
            } else if tasks.contains_key(name.value) {
                started.entry(name.value).or_default().push(task.name.value);
            } else {
                unknown(*name, file, findings);
            }
        }
    }
    for (name, starters) in &started {
        let Some(task) = tasks.get(name) else { continue };
        let starters = suggest::list(starters.iter().copied()).unwrap_or_default();
        if let Some(group) = grouped(name) {
            findings.at_with_help(
                task.name.span,
                format!("task `{name}` is run by group `{group}`, and started by {starters}"),
                "declare it a second time under another name, and start that one",
            );
        }
        if let Some(when) = task.when {
            findings.at_with_help(
                when.span,
                format!("task `{name}` runs when {starters} starts it, so it cannot have `when`"),
                "take `when` away: whoever starts it decides",
            );
        }
    }
    started
}

fn unknown(name: At<&str>, file: &File<'_>, findings: &Findings) {
    if findings.full() {
        return;
    }
    if file.groups.iter().any(|group| group.name.value == name.value) {
        let message = format!("`{}` is a group, and only tasks can be started", name.value);
        findings.at_with_help(name.span, message, "start a task, and let the group run over its values");
        return;
    }
    let names = file.tasks.iter().map(|task| task.name.value);
    let help = suggest::or_list(name.value, names, &format!("declare it: [tasks.{}]", name.value));
    findings.at_with_help(name.span, format!("there is no task `{}`", name.value), help);
}

/// What a task may ask for.
pub(super) fn allowed(task: &raw::Task<'_>, deterministic: bool, scope: &Scope<'_>) -> Flow {
    let Keys { may_start, max_iterations, may_end, at } = &task.flow;
    if let (true, Some(span)) = (deterministic, at) {
        scope.findings.at_with_help(
            *span,
            format!(
                "task `{}` is deterministic, so it cannot ask for anything while it runs",
                task.name.value
            ),
            "take `deterministic` away, or this",
        );
    }
    let nodes = may_start.iter().filter_map(|name| scope.names.nodes.get(name.value));
    Flow { may_start: nodes.copied().collect(), max_iterations: *max_iterations, may_end: *may_end }
}

/// Which nodes may start which: each that is started with its starters. Nodes and starters by position.
pub(super) struct Starters(HashMap<NodeId, BTreeSet<NodeId>>);

impl Starters {
    /// `position` tells where a task runs, which a task in a group does with that.
    pub(super) fn new(started: &Started<'_>, position: impl Fn(&str) -> Vec<NodeId>) -> Self {
        let mut all = HashMap::<NodeId, BTreeSet<NodeId>>::new();
        for (name, starters) in started {
            for node in position(name) {
                all.entry(node).or_default().extend(starters.iter().flat_map(|starter| position(starter)));
            }
        }
        Self(all)
    }

    /// Those that may start `node`.
    pub(super) fn of(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.0.get(&node).into_iter().flatten().copied()
    }

    /// For each that is started the first of those that it may start and that may start it, directly or
    /// through others: they end together. Itself where there is no other.
    pub(super) fn together(&self) -> HashMap<NodeId, NodeId> {
        let started = |id: &NodeId| self.0.contains_key(id);
        let starts = self.0.iter().flat_map(|(target, starters)| {
            starters.iter().filter(|starter| started(starter)).map(|starter| (starter.0, target.0))
        });
        let circles = kosaraju_scc(&DiGraph::<(), ()>::from_edges(starts));
        let mut together: HashMap<NodeId, NodeId> = self.0.keys().map(|id| (*id, *id)).collect();
        for circle in circles {
            let ids = circle.iter().filter_map(|node| u32::try_from(node.index()).ok()).map(NodeId);
            let Some(first) = ids.clone().min() else { continue };
            for id in ids {
                if let Some(with) = together.get_mut(&id) {
                    *with = first;
                }
            }
        }
        together
    }
}
