//! What `run` and `call` share: an in-process executor, a run with signals, and its exit code.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::exit::Exit;
use super::output::{error, say};
use super::progress::Style;
use super::signals::Signals;
use super::tracing::Tracing;
use crate::cache::CacheError;
use crate::embed::{self, environment};
use crate::manifest::duration;
use crate::model::{Executor, Kind, NamedExecutor, Status, Workflow};
use crate::report::Reporter;
use crate::run::{Caching, Ended, Journaling, JournalingError, ResumeError, RunError, Settings, Stopper};
use crate::runtime::{RuntimeError, named_program};

/// Why nothing ran.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{0}; --no-cache does without it")]
    Cache(#[from] CacheError),
    #[error("flowhost cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("flowhost cannot start its threads: {0}")]
    Threads(std::io::Error),
}

/// What components are compiled with, for `run` and `call` alike.
#[derive(clap::Args, Debug)]
pub(super) struct Compiling {
    /// The most time that one component may take to compile
    #[arg(long, value_name = "DURATION", default_value = "2m", env = "FLOWHOST_COMPILE_TIMEOUT", value_parser = duration)]
    pub(super) compile_timeout: Duration,
}

/// Runs a workflow in this process to its end.
pub(super) fn run(
    workflow: Workflow,
    style: Style,
    compiling: &Compiling,
    caching: Option<Caching>,
    journal: Option<Journaling>,
) -> Result<(Ended, Exit), HostError> {
    let compiling = embed::Compiling { program: program(), timeout: Some(compiling.compile_timeout) };
    let executors = embed::executors(&workflow, compiling);
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tracing = Tracing::begin(style);
    let mut reporters = style.reporters();
    reporters.extend(tracing.reporter().map(|spans| -> Box<dyn Reporter> { Box::new(spans) }));
    let trace = tracing.trace;
    let ended = threads.map_err(HostError::Threads)?.block_on(async {
        let (stopper, stops) = Stopper::new();
        let signals = Signals::listen(stopper).map_err(HostError::Signals)?;
        let settings = Settings {
            executors,
            reporters,
            environment: Arc::new(environment),
            caching,
            stops,
            journal,
            trace,
        };
        let ended = crate::run::run(Arc::new(workflow), settings).await?;
        let exit = match ended.status {
            Status::Succeeded => Exit::Succeeded,
            Status::Cancelled => signals.exit().unwrap_or(Exit::RunFailed),
            Status::Failed | Status::Skipped | Status::Pending | Status::Running => {
                signals.exit().unwrap_or(Exit::RunFailed)
            }
        };
        Ok((ended, exit))
    });
    tracing.end();
    ended
}

/// Says why nothing ran, and with which exit code that ends.
pub(super) fn failed(failure: &HostError) -> Exit {
    error(failure);
    if let HostError::Run(RunError::Output { .. } | RunError::Journal(_)) = failure {
        say("what was recorded stays: `flowhost run FILE --resume` goes on, and makes the outputs anew");
    }
    match failure {
        HostError::Run(RunError::Unreachable(_)) => Exit::Unreachable,
        HostError::Run(
            RunError::Secret(_)
            | RunError::Journaling(JournalingError::Resume(
                ResumeError::Changed(_)
                | ResumeError::Secret
                | ResumeError::Handed
                | ResumeError::Started { .. },
            )),
        ) => Exit::Usage,
        HostError::Run(
            RunError::Output { .. }
            | RunError::Root { .. }
            | RunError::Random(_)
            | RunError::Threads(_)
            | RunError::Journal(_)
            | RunError::Journaling(
                JournalingError::Record(_)
                | JournalingError::Resume(ResumeError::Store(_) | ResumeError::Channel(_)),
            ),
        )
        | HostError::Cache(_)
        | HostError::Runtime(_)
        | HostError::Signals(_)
        | HostError::Threads(_) => Exit::Internal,
    }
}

/// What children and the compiler are started from: what `FLOWHOST_PROGRAM` names, else this very program,
/// also where its file was replaced or removed since it began.
pub(super) fn program() -> Option<PathBuf> {
    let running = Path::new("/proc/self/exe");
    let this = || if running.exists() { Some(running.to_owned()) } else { std::env::current_exe().ok() };
    named_program().or_else(this)
}

/// The executors that `FLOWHOST_ALLOW_EXECUTORS` leaves, or an error that names the first that it
/// forbids.
pub(super) fn allowed(workflow: &Workflow) -> Result<(), Exit> {
    let asked = workflow.nodes.iter().flat_map(|node| {
        let fallback = match &node.kind {
            Kind::Group(group) => group.policy.fallback.as_ref().map(|fallback| (&node.name, fallback)),
            Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => None,
        };
        node.tasks().map(|task| (&task.name, &task.policy.executor)).chain(fallback)
    });
    permit(asked.map(|(name, executor)| (&**name, executor)), &workflow.executors)
}

/// As [`allowed`], of what runs in this process whatever the workflow says.
pub(super) fn allowed_here(name: &str) -> Result<(), Exit> {
    permit(std::iter::once((name, &Executor::InProcess)), &[])
}

fn permit<'n>(
    asked: impl Iterator<Item = (&'n str, &'n Executor)>,
    kinds: &[NamedExecutor],
) -> Result<(), Exit> {
    let Ok(named) = std::env::var("FLOWHOST_ALLOW_EXECUTORS") else { return Ok(()) };
    let allowed: Vec<&str> = named.split(',').map(str::trim).collect();
    for (name, executor) in asked {
        let executor = executor.name();
        let kind = kinds.iter().find(|one| *one.name == *executor).map(|one| one.kind.name());
        if !allowed.contains(&executor) && kind.is_none_or(|kind| !allowed.contains(&kind)) {
            say(&format!(
                "error: `{name}` may run on executor `{executor}`, which FLOWHOST_ALLOW_EXECUTORS does not name: it is `{named}`"
            ));
            return Err(Exit::Usage);
        }
    }
    Ok(())
}
