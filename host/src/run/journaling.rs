//! A run's journal from its first line to its last: begins or resumes it, and says what of a run goes
//! into it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::evaluate::Scope;
use super::recorder::{RecordError, Recorder, now};
use super::resume::{ResumeError, ResumeOptions, Resumed, Resumption};
use crate::channel::Memory;
use crate::digest::Digest;
use crate::id::RunId;
use crate::interface::to_json;
use crate::journal::{
    Given, History, JournalError, Lock, NodePrint, Record, Run, Stamped, Start, State, Tail,
};
use crate::model::{Kind, Node, Trace, Workflow};
use crate::store::Store;

/// Where and how a run is recorded.
#[derive(Debug)]
pub struct Journaling {
    /// Where runs are kept.
    pub state: State,
    /// The workflow file, absolute.
    pub file: PathBuf,
    /// Its bytes, as they were checked.
    pub text: Arc<str>,
    /// Inputs as the command line gave them.
    pub given: Vec<(String, String)>,
    /// The folder in which relative paths of the command line start, absolute.
    pub current: PathBuf,
    /// The run to go on with; none begins a new one.
    pub resume: Option<Resume>,
}

/// A run to go on with.
#[derive(Debug)]
pub struct Resume {
    /// Its folder.
    pub run: Run,
    /// Held until the run ends.
    pub lock: Lock,
    /// What is recorded of it.
    pub history: History,
    /// Where its journal ends.
    pub tail: Tail,
    /// What runs again.
    pub options: ResumeOptions,
}

/// Why a run is not recorded, and so does not begin.
#[derive(Debug, thiserror::Error)]
pub enum JournalingError {
    /// The journal or the store fails.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// The recorded run does not go on.
    #[error(transparent)]
    Resume(#[from] ResumeError),
}

impl From<JournalError> for JournalingError {
    fn from(error: JournalError) -> Self {
        Self::Record(error.into())
    }
}

/// The id that a run goes by: that of the run which is resumed, or a new one.
pub(super) fn id_of(journaling: Option<&Journaling>) -> Option<RunId> {
    Some(journaling?.resume.as_ref()?.run.id().clone())
}

/// The trace that the run which is resumed belongs to.
pub(super) fn trace_of(journaling: Option<&Journaling>) -> Option<Trace> {
    journaling?.resume.as_ref()?.history.start.as_ref()?.trace
}

/// What is recorded.
pub(super) struct Of<'a> {
    pub(super) run: &'a RunId,
    pub(super) trace: Option<Trace>,
    pub(super) workflow: &'a Arc<Workflow>,
}

/// Begins to record, and says what is known from before.
pub(super) fn open(
    journaling: Option<Journaling>,
    of: &Of<'_>,
    scope: &Scope,
    wanted: &[bool],
) -> Result<(Recorder, Resumed, Option<Memory>), JournalingError> {
    let Some(journaling) = journaling else { return Ok((Recorder::off(), Resumed::default(), None)) };
    let workflow = of.workflow;
    let start = start(&journaling, of, scope);
    let folder = journaling.state.store().map_err(JournalError::from)?;
    let mut store = Store::new(folder);
    let (lock, writer, resumed, channel) = match journaling.resume {
        None => {
            let (lock, writer) = journaling.state.create(&start, now(), journaling.text.as_bytes())?;
            (lock, writer, Resumed::default(), None)
        }
        Some(Resume { run, lock, history, tail, options }) => {
            let same_file = history.start.as_ref().is_some_and(|then| then.workflow == start.workflow);
            let (now_is, store) = (&start, &store);
            let mut resumption = Resumption { workflow, history, now: now_is, scope, store, wanted, options };
            let channel = resumption.channel()?;
            let (resumed, again) = resumption.prepare()?;
            let mut writer = run.append(&tail)?;
            if !same_file {
                run.keep_workflow(journaling.text.as_bytes())?;
            }
            let records = std::iter::once(Record::RunResumed(Box::new(start.clone())));
            for record in records.chain(again.into_iter().map(Record::Discarded)) {
                writer.add(Stamped { time: now(), record }, None)?;
            }
            writer.write()?;
            writer.sink().sync_all().map_err(JournalError::Write)?;
            (lock, writer, resumed, Some(channel))
        }
    };
    // So that calls can be replayed when the files have changed. Once for each digest.
    for component in &workflow.components {
        store.keep_file(&component.path, &component.digest).map_err(RecordError::from)?;
    }
    let recorder = Recorder::start(writer, lock, store, Arc::clone(workflow), scope.secrets.clone())?;
    Ok((recorder, resumed, channel))
}

fn start(journaling: &Journaling, of: &Of<'_>, scope: &Scope) -> Start {
    let Of { run, trace, workflow } = *of;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let inside = workflow.folder.strip_prefix(&workflow.root).unwrap_or(&workflow.folder);
    Start {
        run: run.clone(),
        flowhost_version: env!("CARGO_PKG_VERSION").to_owned(),
        name: Arc::clone(&workflow.name),
        file: text(&journaling.file),
        workflow: workflow.digest,
        inside: text(inside),
        current: text(&journaling.current),
        components: workflow.components.iter().map(|c| (Arc::clone(&c.alias), c.digest)).collect(),
        given: journaling.given.clone(),
        inputs: workflow
            .inputs
            .iter()
            .map(|input| Given { name: Arc::clone(&input.name), value: to_json(&input.value, &input.ty) })
            .collect(),
        environment: scope.secrets.names().cloned().collect(),
        nodes: workflow.nodes.iter().map(|node| print(workflow, node)).collect(),
        trace,
    }
}

/// What decides what a node does with what it gets: not how often it is tried, where, or how many at
/// once, since that changes no value.
fn print(workflow: &Workflow, node: &Node) -> NodePrint {
    let mut text = format!("{:?}|{:?}|", node.when, workflow.seed);
    for task in node.tasks() {
        let component = workflow.components.get(task.component).map(|component| component.digest);
        // A string takes all that is written to it.
        let _ = write!(
            text,
            "{component:?}|{:?}|{:?}|{:?}|{:?}|{:?}|",
            task.entry, task.signature, task.arguments, task.policy.grants, task.policy.deterministic
        );
        if !task.flow.is_empty() {
            let targets = task.flow.may_start.iter().filter_map(|id| workflow.nodes.get(id.index()));
            let names: Vec<_> = targets.map(|node| &node.name).collect();
            let _ = write!(text, "{names:?}|{}|{}|", task.flow.max_iterations, task.flow.may_end);
        }
    }
    match &node.kind {
        Kind::Task(_) => {}
        Kind::Started(_) => text.push_str("started"),
        Kind::Best(best) => drop(write!(text, "{best:?}")),
        Kind::Group(group) => match &group.form {
            crate::model::Form::ForEach { items, split, .. } => drop(write!(text, "{items:?}|{split:?}")),
            crate::model::Form::Tasks(members) => {
                let whens: Vec<_> = members.iter().map(|member| (&member.name, &member.when)).collect();
                let _ = write!(text, "{whens:?}");
            }
        },
    }
    NodePrint { name: node.recorded_as(), print: Digest::of(text.as_bytes()) }
}
