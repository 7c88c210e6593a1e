//! What a journal means for a run that goes on: which outcomes stay, which branches run again, and
//! whether the run is still the one that was recorded.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::branches::Asked;
use super::dispatcher::flow::arguments_of;
use super::evaluate::Scope;
use super::items::OpenItems;
use crate::channel::{Memory, RestoreError};
use crate::digest::Digest;
use crate::id::NodeId;
use crate::interface::from_json;
use crate::journal::{Again, BranchHistory, FileRead, History, Kept, NodeHistory, Start};
use crate::model::{Base, Ending, Form, Group, Items, Kind, Node, Status, Totals, Type, Value, Workflow};
use crate::schedule::Recorded;
use crate::store::{Entry, Store, StoreError};

/// What is known of each node's branches when a run goes on. Empty in a new run.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    nodes: Vec<Option<ResumedNode>>,
    /// With what branches of tasks were started, in their order.
    pub(crate) starts: Vec<(NodeId, Arc<[Option<Value>]>)>,
}

/// What is known of one node's branches.
#[derive(Debug, Default)]
pub(crate) struct ResumedNode {
    /// How many branches it had, and of which items, if it had opened.
    pub(crate) opened: Option<(u32, Option<Digest>)>,
    /// For the scheduler, in the order of positions.
    pub(crate) branches: Vec<Recorded>,
    /// Values of those that succeeded, where anybody needs them.
    pub(crate) values: Vec<(u32, Value)>,
    /// What was said of those that did not.
    pub(crate) errors: HashMap<u32, Arc<str>>,
    /// What branches ran again with, that did.
    pub(crate) asked: Vec<(u32, Asked)>,
    /// Whether what waits for it is not to run.
    pub(crate) left: bool,
    /// Whether a branch ended the run, and whether as succeeded.
    pub(crate) decided: Option<bool>,
    /// What all of its attempts used.
    pub(crate) totals: Totals,
}

impl Resumed {
    /// What is known of a node. Gives it once.
    pub(crate) fn take(&mut self, node: NodeId) -> Option<ResumedNode> {
        self.nodes.get_mut(node.index()).and_then(Option::take)
    }
}

/// What may differ from the recorded run, and what runs again.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResumeOptions {
    /// Runs again what ended otherwise than succeeded.
    pub retry_failed: bool,
    /// Runs anew what a change touches, instead of refusing.
    pub force_changed: bool,
}

/// Why a run does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It would be another run.
    #[error("{}; --force-changed runs again what that touches, and `flowhost run` without --resume begins anew", .0.join("; "))]
    Changed(Vec<String>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change of the channel holds a secret.
    #[error(
        "a task wrote a secret to the run's channel, which no journal keeps, so the run cannot go on: begin anew with `flowhost run` without --resume"
    )]
    Secret,
    /// A task started another, or ran again, with a secret.
    #[error(
        "a task handed a secret on to a task that it started, which no journal keeps, so the run cannot go on: begin anew with `flowhost run` without --resume"
    )]
    Handed,
    /// What a task asked for does not fit the workflow.
    #[error(
        "`{node}`: what was recorded of a task that was started does not fit: {reason}; begin anew with `flowhost run` without --resume"
    )]
    Started {
        /// The task.
        node: Arc<str>,
        /// Why.
        reason: String,
    },
    /// The changes of the channel are not all there.
    #[error("the run's channel: {0}")]
    Channel(#[from] RestoreError),
}

/// All that a resumption is made from.
pub(super) struct Resumption<'a> {
    pub(super) workflow: &'a Workflow,
    pub(super) history: History,
    /// The workflow and its surroundings as they are now.
    pub(super) now: &'a Start,
    pub(super) scope: &'a Scope,
    pub(super) store: &'a Store,
    /// Whether anything refers to a node's value.
    pub(super) wanted: &'a [bool],
    pub(super) options: ResumeOptions,
}

impl Resumption<'_> {
    /// The channel as it was.
    pub(super) fn channel(&mut self) -> Result<Memory, ResumeError> {
        if self.history.channel_withheld {
            return Err(ResumeError::Secret);
        }
        if self.history.asked_withheld {
            return Err(ResumeError::Handed);
        }
        Ok(Memory::restore(std::mem::take(&mut self.history.channel))?)
    }

    /// What is known, and what counts no longer.
    pub(super) fn prepare(mut self) -> Result<(Resumed, Vec<Again>), ResumeError> {
        let mut changes = self.changed_start();
        let mut redo =
            if changes.is_empty() { vec![false; self.nodes().len()] } else { self.changed_nodes() };
        self.changed_items(&mut changes, &mut redo);
        let files = self.changed_files(&mut changes);
        if !changes.is_empty() && !self.options.force_changed {
            return Err(ResumeError::Changed(changes));
        }
        self.spread(&mut redo, &files)?;

        let kept = self.in_what_succeeded();
        let (mut nodes, mut again, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for (((id, node), redo), kept) in (0..).map(NodeId).zip(&self.workflow.nodes).zip(redo).zip(kept) {
            let mut history = self.history.nodes.remove(&node.recorded_as()).unwrap_or_default();
            let mut discarded = Vec::new();
            if redo && !history.is_empty() {
                let reason = "what they depend on changed".to_owned();
                again.push(Again { node: node.recorded_as(), branches: Vec::new(), reason });
                history.forget();
            }
            for arguments in &history.starts {
                starts.push((id, asked(node, 0, arguments)?));
            }
            let retry = self.options.retry_failed && !kept;
            nodes.push(Some(self.known((id, node), history, &files, retry, &mut discarded)?));
            again.extend(stretches(&node.recorded_as(), discarded));
        }
        Ok((Resumed { nodes, starts }, again))
    }

    fn nodes(&self) -> &[Node] {
        &self.workflow.nodes
    }

    /// What is not as it was when the run was last worked on, in words.
    fn changed_start(&self) -> Vec<String> {
        let (Some(then), now) = (&self.history.start, self.now) else { return Vec::new() };
        let mut changes = Vec::new();
        if then.workflow != now.workflow {
            changes.push("the workflow file changed".to_owned());
        }
        if then.inside != now.inside {
            changes.push(format!("the root changed: the workflow file was in `{}` below it", then.inside));
        }
        for (alias, digest) in &now.components {
            match then.components.iter().find(|(known, _)| known == alias) {
                Some((_, known)) if known == digest => {}
                Some((_, known)) => {
                    changes.push(format!("component `{alias}` changed: it was {known} and is {digest}"));
                }
                // The workflow file changed, then.
                None => {}
            }
        }
        for input in &now.inputs {
            if then.inputs.iter().any(|known| known.name == input.name && known.value != input.value) {
                changes.push(format!("input `{}` has another value", input.name));
            }
        }
        changes
    }

    /// Nodes that are not what they were.
    fn changed_nodes(&self) -> Vec<bool> {
        let then = self.history.start.as_ref();
        let same = |print| then.is_some_and(|then| then.nodes.contains(print));
        self.now.nodes.iter().map(|print| !same(print)).collect()
    }

    /// Looks whether files that items come from still have the same. Lists of other nodes are looked at
    /// when they are there.
    fn changed_items(&self, changes: &mut Vec<String>, redo: &mut [bool]) {
        for (node, redo) in self.nodes().iter().zip(redo) {
            let Kind::Group(Group { form: Form::ForEach { items, .. }, .. }) = &node.kind else {
                continue;
            };
            match items {
                Items::Files { .. } | Items::Lines { .. } | Items::Jsonl { .. } => {}
                Items::List(_) | Items::Range { .. } | Items::Literal(_) | Items::Matrix(_) => continue,
            }
            let Some((_, then)) =
                self.history.nodes.get(&node.recorded_as()).and_then(|history| history.opened)
            else {
                continue;
            };
            match OpenItems::open(items, self.scope) {
                Ok(items) if items.digest() == then => continue,
                Ok(_) => changes.push(format!("the items of `{}` changed", node.name)),
                Err(error) => changes.push(format!("the items of `{}` are gone: {error}", node.name)),
            }
            *redo = true;
        }
    }

    /// Files that arguments were read from and that are not what they were.
    fn changed_files(&self, changes: &mut Vec<String>) -> BTreeSet<FileRead> {
        let branches = self.history.nodes.values().flat_map(|node| node.branches.values());
        let files = branches.filter_map(|branch| branch.more.as_ref()).flat_map(|more| &more.files);
        let known: BTreeSet<&FileRead> = files.collect();
        let mut now = HashMap::new();
        let mut changed = BTreeSet::new();
        for file in known {
            let digest = now.entry((&file.path, file.given)).or_insert_with(|| {
                let base = if file.given { Base::CommandLine } else { Base::Workflow };
                self.scope.root.read(Path::new(&file.path), base).map(|bytes| Digest::of(&bytes))
            });
            match digest {
                Ok(digest) if *digest == file.digest => continue,
                Ok(_) => changes.push(format!("the file `{}` changed", file.path)),
                Err(error) => changes.push(format!("the file `{}` cannot be read again: {error}", file.path)),
            }
            changed.insert(file.clone());
        }
        changed
    }

    /// What waits for a node of which something runs again because of a change runs again as a whole, and
    /// so do groups in one that does.
    fn spread(&self, redo: &mut Vec<bool>, files: &BTreeSet<FileRead>) -> Result<(), ResumeError> {
        let partly = self.nodes().iter().map(|node| {
            let history = self.history.nodes.get(&node.recorded_as());
            !files.is_empty()
                && history.is_some_and(|history| history.branches.values().any(|b| reads(b, files)))
        });
        let mut touched: Vec<bool> = partly.collect();
        self.spread_by_flow(redo, &touched)?;
        loop {
            let is = |of: &[bool], node: NodeId| of.get(node.index()).copied().unwrap_or(false);
            let follows = |node: &Node| {
                node.after.iter().any(|needed| is(&touched, *needed))
                    || node.inside.is_some_and(|branch| is(redo, branch.node))
            };
            let next: Vec<bool> =
                self.nodes().iter().zip(&*redo).map(|(node, redo)| *redo || follows(node)).collect();
            let mut now: Vec<bool> = touched.iter().zip(&next).map(|(one, other)| *one || *other).collect();
            for (at, node) in self.nodes().iter().enumerate() {
                // A group's value is made of those in it.
                if now.get(at) == Some(&true)
                    && let Some(slot) = node.inside.and_then(|branch| now.get_mut(branch.node.index()))
                {
                    *slot = true;
                }
            }
            if next == *redo && now == touched {
                return Ok(());
            }
            (*redo, touched) = (next, now);
            self.spread_by_flow(redo, &touched)?;
        }
    }

    /// Tasks that start others, what they start, and those that run again, run again as a whole if anything
    /// of them does: they would ask for things a second time.
    fn spread_by_flow(&self, redo: &mut [bool], partly: &[bool]) -> Result<(), ResumeError> {
        let flows = |node: &Node| node.tasks().any(|task| !task.flow.is_empty());
        if !self.nodes().iter().any(flows) {
            return Ok(());
        }
        let each = || (0_u32..).map(NodeId).zip(self.nodes());
        for (id, node) in each().filter(|(_, node)| flows(node) || matches!(node.kind, Kind::Started(_))) {
            let lacks = partly.get(id.index()) == Some(&true) || self.lacks(id, node)?;
            if let Some(redo) = redo.get_mut(id.index()) {
                *redo |= lacks;
            }
        }
        loop {
            let before = redo.to_vec();
            for (id, node) in each() {
                for target in node.tasks().flat_map(|task| &task.flow.may_start) {
                    let again = [id, *target].iter().any(|id| before.get(id.index()) == Some(&true));
                    for id in [id, *target] {
                        if let Some(redo) = redo.get_mut(id.index()) {
                            *redo |= again;
                        }
                    }
                }
            }
            if before == *redo {
                return Ok(());
            }
        }
    }

    /// Whether a value is not to be had that a branch of this node returned.
    fn lacks(&self, id: NodeId, node: &Node) -> Result<bool, ResumeError> {
        let Some(history) = self.history.nodes.get(&node.recorded_as()) else { return Ok(false) };
        if !self.wanted.get(id.index()).copied().unwrap_or(true) {
            return Ok(false);
        }
        for (index, branch) in &history.branches {
            if branch.ended == Some(Ending::Succeeded) {
                let ty = node.task(*index).map(|task| task.signature.result.task_value());
                if kept_value(self.store, branch.value.clone(), ty.as_ref())?.is_err() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Of each node, whether it succeeded, or a group that it is in: then all stays as it is there.
    fn in_what_succeeded(&self) -> Vec<bool> {
        let succeeded = |node: &Node| {
            let history = self.history.nodes.get(&node.recorded_as());
            history.is_some_and(|history| history.ended == Some(Status::Succeeded))
        };
        let kept = |node: &Node| succeeded(node) || self.workflow.around(node).any(succeeded);
        self.nodes().iter().map(kept).collect()
    }

    /// What is known of a node. Branches whose outcome counts no longer go to `discarded`.
    fn known(
        &self,
        (id, node): (NodeId, &Node),
        history: NodeHistory,
        files: &BTreeSet<FileRead>,
        retry: bool,
        discarded: &mut Vec<(u32, &'static str)>,
    ) -> Result<ResumedNode, ResumeError> {
        let NodeHistory { left, decided, .. } = history;
        let types: Vec<Option<Type>> = node.branch_types().collect();
        let wanted = self.wanted.get(id.index()).copied().unwrap_or(true);
        let mut known =
            ResumedNode { opened: history.opened, left, totals: history.totals, ..ResumedNode::default() };
        let mut branches: Vec<(u32, BranchHistory)> = history.branches.into_iter().collect();
        branches.sort_unstable_by_key(|(index, _)| *index);
        for (index, mut branch) in branches {
            if let Some(ending) = branch.ended {
                let ty = types.get(index as usize).or_else(|| types.first()).and_then(Option::as_ref);
                let outdated = reads(&branch, files);
                let value = std::mem::take(&mut branch.value);
                let reason = if outdated {
                    Err("a file that they read changed")
                } else if ending != Ending::Succeeded {
                    if retry { Err("they did not succeed") } else { Ok(None) }
                } else if wanted {
                    kept_value(self.store, value, ty)?.map(Some)
                } else {
                    Ok(None)
                };
                match reason {
                    Ok(value) => {
                        known.values.extend(value.map(|value| (index, value)));
                        let error = branch.more.take().and_then(|more| more.error);
                        known.errors.extend(error.map(|error| (index, error)));
                    }
                    Err(reason) => {
                        discarded.push((index, reason));
                        branch.forget();
                    }
                }
            }
            if let Some((times, arguments)) = branch.more.take().and_then(|more| more.again)
                && branch.ended.is_none()
            {
                let asked = Asked { iteration: times + 1, given: asked(node, index, &arguments)? };
                known.asked.push((index, asked));
            }
            if let Some((by, succeeded)) = decided
                && by == index
                && branch.ended.is_some()
            {
                known.decided = Some(succeeded);
            }
            let BranchHistory { attempts, lost, before, ended, .. } = branch;
            known.branches.push(Recorded { index, attempts, lost, before, ended });
        }
        Ok(known)
    }
}

/// A value as it was kept, or why it is not to be had.
pub(super) fn kept_value(
    store: &Store,
    kept: Kept,
    ty: Option<&Type>,
) -> Result<Result<Value, &'static str>, StoreError> {
    const MISFIT: &str = "their values do not have the type that they must";
    let json = match kept {
        Kept::Inline(json) => json,
        Kept::Stored(digest) => match store.get(&digest)? {
            Entry::Sound(bytes) => match serde_json::from_slice(&bytes) {
                Ok(json) => json,
                Err(_) => return Ok(Err(MISFIT)),
            },
            Entry::Missing => return Ok(Err("their values are not in the store")),
            Entry::Damaged(_) => {
                return Ok(Err("their values in the store were damaged and are set aside"));
            }
        },
        Kept::Withheld => return Ok(Err("their values hold a secret and were not written down")),
        Kept::None | Kept::Digested(_) => return Ok(Err("their values were not kept")),
    };
    Ok(ty.and_then(|ty| from_json(&json, ty).ok()).ok_or(MISFIT))
}

fn reads(branch: &BranchHistory, files: &BTreeSet<FileRead>) -> bool {
    let read = branch.more.as_ref().map_or(&[][..], |more| &more.files);
    read.iter().any(|file| files.contains(file))
}

/// What a branch was started or run again with.
fn asked(node: &Node, index: u32, arguments: &str) -> Result<Arc<[Option<Value>]>, ResumeError> {
    let task = node.task(index).ok_or_else(|| "it is no task".to_owned());
    task.and_then(|task| arguments_of(task, arguments))
        .map_err(|reason| ResumeError::Started { node: Arc::clone(&node.name), reason })
}

/// Branches that run again, by reason and in stretches.
fn stretches(node: &Arc<str>, mut discarded: Vec<(u32, &'static str)>) -> Vec<Again> {
    discarded.sort_unstable_by_key(|(index, reason)| (*reason, *index));
    let mut all: Vec<Again> = Vec::new();
    for (index, reason) in discarded {
        match all.last_mut() {
            Some(again) if again.reason == reason => match again.branches.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
                Some(_) | None => again.branches.push((index, index)),
            },
            Some(_) | None => {
                let (node, reason) = (Arc::clone(node), reason.to_owned());
                all.push(Again { node, branches: vec![(index, index)], reason });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_that_run_again_are_told_in_stretches() {
        let discarded = vec![(5, "b"), (1, "a"), (2, "a"), (4, "a"), (6, "b"), (u32::MAX, "b")];
        let told = stretches(&"n".into(), discarded);
        let told: Vec<_> = told.into_iter().map(|again| (again.reason, again.branches)).collect();
        assert_eq!(
            told,
            [("a".to_owned(), vec![(1, 2), (4, 4)]), ("b".to_owned(), vec![(5, 6), (u32::MAX, u32::MAX)])]
        );
    }
}
