//! Makes one recorded call again, from what a run's journal and store have, and compares. Writes
//! nothing down, and knows nothing of schedules: only what the call refers to is rebuilt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::branches::{Branches, Making, Opening};
use super::dispatcher::flow::{aborted, arguments_of};
use super::evaluate::{EvaluateError, Scope};
use super::items::ItemsError;
use super::resume::kept_value;
use super::root::Root;
use super::secrets::Secrets;
use super::split::BranchItems;
use super::{Environment, RunError, join};
use crate::channel::{Memory, RestoreError};
use crate::digest::Digest;
use crate::executor::{Executor, Port, Report, Unreachable};
use crate::id::{AttemptId, BranchId, NodeId, RunId};
use crate::interface::write_json;
use crate::journal::{Attempted, Chapter, FileRead, History, Kept, LogLine, NodeHistory, Story};
use crate::model::{
    Attempt, Call, Ending, Expr, Form, Group, Kind, Merge, Node, Outcome, Runs, Source, Status, Then, Type,
    Usage, Value, Workflow,
};
use crate::report::Interest;
use crate::store::{Store, StoreError};

/// What a replay is made from.
pub struct Replaying<'r> {
    /// The run's workflow, as it was.
    pub workflow: &'r Workflow,
    /// The run.
    pub run: RunId,
    /// What its journal comes to.
    pub history: History,
    /// What its journal tells of the branch.
    pub story: &'r Story,
    /// The task or group, as the journal has it.
    pub node: &'r str,
    /// Where large values are.
    pub store: &'r Store,
    /// Where the call runs.
    pub executor: Arc<dyn Executor>,
    /// flowhost's environment, from which secrets are read.
    pub environment: &'r Environment,
}

/// A call that was made again.
#[derive(Clone, PartialEq, Debug)]
pub struct Replayed {
    /// The recorded attempt that it is compared with.
    pub recorded: Box<Attempted>,
    /// How it ended here.
    pub ending: Ending,
    /// What is to be said of an ending other than succeeded, secrets redacted.
    pub error: Option<Arc<str>>,
    /// The value's JSON, where it succeeded.
    pub value: Option<serde_json::Value>,
    /// Of the value's JSON.
    pub digest: Option<Digest>,
    /// From hand-over to report.
    pub elapsed: Duration,
    /// What it used.
    pub usage: Usage,
    /// The guest's last lines, secrets redacted.
    pub log: Vec<LogLine>,
    /// Whether the task is deterministic.
    pub deterministic: bool,
    /// What the comparison says.
    pub verdict: Verdict,
}

/// What a replay says of the recorded outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The outcome is the same.
    Same,
    /// It is another; in words, what differs.
    Differs(&'static str),
    /// Nothing can be said, for this reason.
    NotComparable(&'static str),
}

/// Why a call is not made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The branch never ran.
    #[error("`{0}` was never attempted in this run, so there is no call to repeat")]
    NeverRan(String),
    /// What it refers to has no recorded value.
    #[error("`{0}`, which the call refers to, has no recorded value: {1}")]
    NoValue(Arc<str>, &'static str),
    /// Files or items are not what they were.
    #[error("the call cannot be repeated: {0} is not what it was in the run")]
    Changed(String),
    /// An argument cannot be made.
    #[error("the arguments of the call: {0}")]
    Arguments(String),
    /// The executor cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The changes of the channel are not all there.
    #[error("the run's channel: {0}")]
    Channel(#[from] RestoreError),
    /// The root or a secret is not there.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<EvaluateError> for ReplayError {
    fn from(error: EvaluateError) -> Self {
        Self::Arguments(error.to_string())
    }
}

impl From<ItemsError> for ReplayError {
    fn from(error: ItemsError) -> Self {
        Self::Arguments(error.to_string())
    }
}

/// So many of the guest's last lines are kept.
const LINES: usize = 100;

/// Makes the call of the branch again.
///
/// # Errors
/// Fails when not all that the call needs is there and as it was, and when the executor cannot be
/// reached.
pub async fn replay(mut replaying: Replaying<'_>) -> Result<Replayed, ReplayError> {
    let index = replaying.story.index;
    let missing = || ReplayError::NeverRan(format!("{}[{index}]", replaying.node));
    let recorded = replaying.story.chapters.iter().rev().find_map(|chapter| match chapter {
        Chapter::Attempt { attempted, .. } if attempted.number > 0 => Some(&**attempted),
        Chapter::Attempt { .. } | Chapter::Unstarted | Chapter::Again(_) => None,
    });
    let recorded = recorded.ok_or_else(missing)?;
    let nodes = &replaying.workflow.nodes;
    let at = nodes.iter().position(|node| *node.recorded_as() == *replaying.node).ok_or_else(missing)?;
    let id = NodeId(u32::try_from(at).unwrap_or(u32::MAX));
    let node = nodes.get(at).ok_or_else(missing)?;
    // A channel that held a secret was not written down as a whole: then it begins empty.
    let changes = std::mem::take(&mut replaying.history.channel);
    let changes = if replaying.history.channel_withheld { Vec::new() } else { changes };
    let mut rebuilding = Rebuilding::new(&replaying)?;
    let Made { call, iteration, arguments, files } = rebuilding.call(node, index)?;
    let changed = files.iter().find(|file| !recorded.files.contains(file));
    if let Some(FileRead { path, .. }) = changed.filter(|_| !recorded.files.is_empty()) {
        return Err(ReplayError::Changed(format!("the file `{path}`")));
    }
    let number = recorded.number;
    let attempt_id = AttemptId { branch: BranchId { node: id, index }, number };
    let attempt = Attempt { id: attempt_id, call, iteration, arguments };
    let ty = node.task(index).map(|task| task.signature.result.task_value());
    let executed = execute(&replaying.executor, attempt, Memory::restore(changes)?).await?;
    let secrets = &rebuilding.scope.secrets;
    let deterministic = node.task(index).is_some_and(|task| task.policy.deterministic);
    Ok(Replayed::new(executed, recorded, ty.as_ref(), deterministic, secrets))
}

/// A call as it was.
struct Made {
    call: Arc<Call>,
    /// Which run of its task it was.
    iteration: u32,
    arguments: Vec<Value>,
    /// What arguments were read from, as it is now.
    files: Vec<FileRead>,
}

/// An attempt that was made.
struct Executed {
    outcome: Outcome,
    usage: Usage,
    elapsed: Duration,
    log: Vec<LogLine>,
}

async fn execute(
    executor: &Arc<dyn Executor>,
    attempt: Attempt,
    channel: Memory,
) -> Result<Executed, ReplayError> {
    let id = attempt.id;
    let interest = Interest { logs: true, ..Interest::default() };
    let (port, reports) = Port::new(interest, |sink| channel.telling(sink));
    executor.open(port).await?;
    let since = Instant::now();
    executor.submit(vec![attempt]);
    let (mut batch, mut log) = (Vec::new(), std::collections::VecDeque::new());
    loop {
        reports.ready().await;
        reports.take(&mut batch);
        for report in batch.drain(..) {
            match report {
                Report::Log { level, stream, message, cut, .. } => {
                    if log.len() == LINES {
                        log.pop_front();
                    }
                    log.push_back(LogLine { level, stream, message, cut });
                }
                Report::Finished { id: ended, outcome, usage, worker: _ } if ended == id => {
                    executor.drain().await;
                    let elapsed = since.elapsed();
                    return Ok(Executed { outcome, usage, elapsed, log: log.into() });
                }
                // Nobody cancels, and the only attempt is ours.
                Report::Finished { .. }
                | Report::Returned { .. }
                | Report::Started { .. }
                | Report::Progress { .. }
                | Report::Channel { .. }
                | Report::Warning { .. }
                | Report::GroupWarning { .. }
                | Report::KeptOut { .. } => {}
            }
        }
    }
}

impl Replayed {
    fn new(
        executed: Executed,
        recorded: &Attempted,
        ty: Option<&Type>,
        deterministic: bool,
        secrets: &Secrets,
    ) -> Self {
        let Executed { outcome, usage, elapsed, mut log } = executed;
        for line in &mut log {
            line.message = secrets.redact(Arc::clone(&line.message));
        }
        let reason = match usage.requests.as_deref().map(|requests| &requests.then) {
            Some(Then::Aborts(reason)) => Some(&**reason),
            Some(Then::Ends | Then::Iterates(_) | Then::GoesTo(_) | Then::Finishes) | None => None,
        };
        let outcome = aborted(outcome, reason);
        let ending = outcome.ending();
        let error = outcome.message().map(|message| secrets.redact(message.into()));
        let mut json = Vec::new();
        if let (Outcome::Succeeded(value), Some(ty)) = (&outcome, ty) {
            write_json(value, ty, &mut json);
        }
        let value: Option<serde_json::Value> = serde_json::from_slice(&json).ok();
        let digest = value.is_some().then(|| Digest::of(&json));
        let mut replayed = Self {
            recorded: Box::new(recorded.clone()),
            ending,
            error,
            value,
            digest,
            elapsed,
            usage,
            log,
            deterministic,
            verdict: Verdict::Same,
        };
        replayed.verdict = replayed.compare(recorded);
        replayed
    }

    fn compare(&self, recorded: &Attempted) -> Verdict {
        match recorded.ending {
            Ending::Cancelled => return Verdict::NotComparable("the recorded attempt was cancelled"),
            Ending::Lost => return Verdict::NotComparable("the recorded attempt was lost"),
            Ending::TimedOut => {
                return Verdict::NotComparable("when a timeout passes depends on the machine");
            }
            Ending::Succeeded | Ending::Failed | Ending::Trapped | Ending::Rejected => {}
        }
        if self.ending != recorded.ending {
            return Verdict::Differs("it ended otherwise");
        }
        let same = match (&recorded.value, self.ending) {
            (_, Ending::Failed | Ending::Trapped | Ending::Rejected) => Some(self.error == recorded.error),
            (Kept::Inline(value), _) => Some(self.value.as_ref() == Some(value)),
            (Kept::Stored(digest) | Kept::Digested(digest), _) => Some(self.digest == Some(*digest)),
            (Kept::None | Kept::Withheld, _) => None,
        };
        match (same, &recorded.value, self.deterministic) {
            (Some(true), ..) => Verdict::Same,
            (Some(false), _, true) if self.ending == Ending::Succeeded => {
                Verdict::Differs("the value has other bytes")
            }
            (Some(false), _, true) => Verdict::Differs("it says something else"),
            (Some(false), _, false) => Verdict::NotComparable(
                "it ended alike with something else, which a task that is not deterministic may do",
            ),
            (None, Kept::Withheld, _) => {
                Verdict::NotComparable("the recorded value holds a secret, and was not written down")
            }
            (None, ..) => Verdict::NotComparable(
                "it ended alike, and the recorded value was not kept, because nothing in the workflow uses it",
            ),
        }
    }
}

/// Makes values of nodes from what is recorded of their branches.
struct Rebuilding<'r> {
    workflow: &'r Workflow,
    run: &'r RunId,
    history: &'r History,
    store: &'r Store,
    scope: Scope,
}

impl<'r> Rebuilding<'r> {
    fn new(replaying: &'r Replaying<'_>) -> Result<Self, RunError> {
        let Replaying { workflow, run, history, store, environment, .. } = replaying;
        let root = Root::open(&workflow.root, &workflow.folder)
            .map_err(|source| RunError::Root { path: workflow.root.clone(), source })?;
        let scope = Scope {
            values: Arc::new(vec![None; workflow.nodes.len()]),
            item: None,
            index: 0,
            root: Arc::new(root),
            secrets: Secrets::read(workflow, *environment)?,
            read: None,
        };
        Ok(Self { workflow, run, history, store, scope })
    }

    /// The call of a branch.
    fn call(&mut self, node: &Node, index: u32) -> Result<Made, ReplayError> {
        let name = || format!("{}[{index}]", node.recorded_as());
        let history = self.history.nodes.get(&node.recorded_as());
        let opened = history.and_then(|history| history.opened);
        let (count, items_then) = opened.ok_or_else(|| ReplayError::NeverRan(name()))?;
        let task = node.task(index).ok_or_else(|| ReplayError::NeverRan(name()))?;
        let mut branches = Branches::default();
        for expr in &task.arguments {
            self.need(expr)?;
        }
        if let Kind::Group(Group { form: Form::ForEach { items, split, .. }, max_branches, .. }) = &node.kind
        {
            if let crate::model::Items::List(expr) = items {
                self.need(expr)?;
            }
            let (items, now) = BranchItems::open(items, *split, &self.scope, *max_branches)?;
            if now != count || items.digest() != items_then {
                return Err(ReplayError::Changed(format!("the list of items of `{}`", node.name)));
            }
            self.scope.item = Some(items.item(index).map_err(ReplayError::Arguments)?);
            branches.items = Some(items);
        }
        branches.open(node, Opening { count, left_out: &[], keep: false }, &self.making());
        let (call, _) = branches.call(index).ok_or_else(|| ReplayError::NeverRan(name()))?;
        self.scope.index = index;
        self.scope.read = Some(Arc::default());
        let again = history.and_then(|history| history.branches.get(&index)?.more.as_ref()?.again.as_ref());
        let started = history.and_then(|history| history.starts.get(index as usize));
        let given = again.map(|(_, arguments)| arguments).or(started);
        let given = given.map(|json| arguments_of(task, json)).transpose().map_err(ReplayError::Arguments)?;
        let iteration = again.map_or(1, |(times, _)| times.saturating_add(1));
        let arguments = self.scope.arguments(&task.arguments, given.as_deref())?;
        let read = self.scope.read.take().unwrap_or_default();
        let files = read.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Ok(Made { call: Arc::clone(call), iteration, arguments, files })
    }

    fn making(&self) -> Making<'_> {
        Making { run: self.run, trace: None, workflow: self.workflow, secrets: &self.scope.secrets }
    }

    /// Makes the values of all nodes that `expr` refers to.
    fn need(&mut self, expr: &Expr) -> Result<(), ReplayError> {
        let mut needed = Vec::new();
        expr.walk(&mut |expr| {
            if let Expr::Reference { source: Source::Node(node), .. } = expr {
                needed.push(*node);
            }
        });
        needed.into_iter().try_for_each(|node| self.rebuild(node))
    }

    /// Makes a node's value. No node refers to itself, however long the way, so this ends.
    fn rebuild(&mut self, id: NodeId) -> Result<(), ReplayError> {
        let workflow = self.workflow;
        let Some(node) = workflow.nodes.get(id.index()) else { return Ok(()) };
        if self.scope.values.get(id.index()).is_some_and(Option::is_some) {
            return Ok(());
        }
        let value = match &node.kind {
            Kind::Best(best) => {
                self.need(&best.from)?;
                match self.scope.evaluate(&best.from)? {
                    Value::List(values) => join::best(&values, best.field, &best.name)
                        .map_err(|error| ReplayError::Arguments(error.to_string()))?,
                    _ => return Err(EvaluateError::Shape.into()),
                }
            }
            Kind::Task(_) | Kind::Started(_) | Kind::Group(_) => self.joined(node)?,
        };
        if let Some(slot) = Arc::make_mut(&mut self.scope.values).get_mut(id.index()) {
            *slot = Some(value);
        }
        Ok(())
    }

    /// The value of a node that succeeded, of its branches' values.
    fn joined(&mut self, node: &Node) -> Result<Value, ReplayError> {
        let none = |reason| ReplayError::NoValue(Arc::clone(&node.name), reason);
        let history = self.history.nodes.get(&node.recorded_as());
        let history = history.filter(|history| history.ended == Some(Status::Succeeded));
        let history = history.ok_or_else(|| none("it did not succeed"))?;
        let (opened, _) = history.opened.ok_or_else(|| none("it never opened"))?;
        let count = match node.kind {
            Kind::Started(_) => u32::try_from(history.starts.len()).unwrap_or(u32::MAX),
            Kind::Task(_) | Kind::Group(_) | Kind::Best(_) => opened,
        };
        let left_out = self.left_out(node)?;
        let mut branches = Branches::default();
        branches.open(node, Opening { count, left_out: &left_out, keep: true }, &self.making());
        self.fill(node, history, &mut branches)?;
        self.fill_groups(node, &left_out, &mut branches)?;
        branches.join(node).ok_or_else(|| none("not all of its branches have one"))
    }

    fn fill(&self, node: &Node, history: &NodeHistory, branches: &mut Branches) -> Result<(), ReplayError> {
        let none = |reason| ReplayError::NoValue(Arc::clone(&node.name), reason);
        let results = matches!(&node.kind, Kind::Group(Group { merge: Merge::Results, .. }));
        let mut known: Vec<_> = history.branches.iter().collect();
        known.sort_unstable_by_key(|(index, _)| **index);
        for (index, branch) in known {
            match branch.ended {
                Some(Ending::Succeeded) => {
                    let ty = node.task(*index).map(|task| task.signature.result.task_value());
                    let value = kept_value(self.store, branch.value.clone(), ty.as_ref())?;
                    branches.keep(*index, value.map_err(none)?);
                }
                // The words for these come from why the group ended, which no journal has.
                Some(Ending::Cancelled) if results => {
                    return Err(none("branches of it were cancelled, and its `results` tell why"));
                }
                Some(ending) => {
                    let error = branch.more.as_ref().and_then(|more| more.error.as_deref());
                    branches.fail(node, *index, ending, error);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The values of members that are groups.
    fn fill_groups(
        &mut self,
        node: &Node,
        left_out: &[u32],
        branches: &mut Branches,
    ) -> Result<(), ReplayError> {
        let Kind::Group(Group { form: Form::Tasks(members), .. }) = &node.kind else { return Ok(()) };
        for (index, member) in (0..).zip(members).filter(|(index, _)| !left_out.contains(index)) {
            let Runs::Group { last, .. } = member.runs else { continue };
            let inner = self.workflow.nodes.get(last.index()).map(Node::recorded_as);
            let history = inner.and_then(|name| self.history.nodes.get(&name));
            if history.is_some_and(|history| history.ended == Some(Status::Succeeded)) {
                self.rebuild(last)?;
                if let Some(Some(value)) = self.scope.values.get(last.index()) {
                    branches.keep(index, value.clone());
                }
            }
        }
        Ok(())
    }

    /// The members that their `when` left out.
    fn left_out(&mut self, node: &Node) -> Result<Vec<u32>, ReplayError> {
        let Kind::Group(Group { form: Form::Tasks(members), .. }) = &node.kind else { return Ok(Vec::new()) };
        let mut left_out = Vec::new();
        for (index, member) in (0..).zip(members) {
            let Some(when) = &member.when else { continue };
            self.need(when)?;
            match self.scope.evaluate(when)? {
                Value::Bool(true) => {}
                Value::Bool(false) => left_out.push(index),
                _ => return Err(EvaluateError::Shape.into()),
            }
        }
        Ok(left_out)
    }
}
