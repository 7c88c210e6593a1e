//! Running workflows from Rust: what the command line does, without a command line.

pub(crate) mod recorded;
mod replay;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use recorded::{Listed, RecordedError, find, runs};
pub(crate) use replay::root_of;
pub use replay::{Reach, Replay, ReplayError};

use crate::cache::{Cache, CacheError};
use crate::digest::Digest;
use crate::executor::{
    InProcess, InProcessSettings, Process, Queue, QueueSettings, Ssh, SshExecutorSettings,
};
use crate::folder::FolderError;
use crate::journal::Start;
use crate::manifest::{self, Loaded, Problems, Trust};
use crate::model::{Event, Executor, ExecutorKind, Node, Trace, Workflow};
use crate::report::{Interest, Reporter};
use crate::run::{Caching, Ended, Executors, ResumeOptions, RunError, Settings, Stop, Stopper};
use crate::runtime::{ENGINE, Runtime, RuntimeError};

/// Why a workflow did not run to its end. What becomes of its tasks is no error; see
/// [`Ended::status`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, its components or the inputs are not right.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The current folder is not known.
    #[error("the current folder: {0}")]
    Current(std::io::Error),
    /// What runs guests cannot be set up.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// No recorded run is gone on with.
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    /// The folder where runs are kept cannot be used.
    #[error("{0}; runs are kept there so that they can be resumed")]
    State(#[from] FolderError),
    /// The cache of outcomes cannot be used.
    #[error("{0}; without the cache it is not needed")]
    Cache(#[from] CacheError),
    /// The run did not begin, or an output could not be written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The tokio runtime was shut down, or flowhost itself failed.
    #[error("the run was cut short: {0}")]
    CutShort(#[from] tokio::task::JoinError),
}

/// A run to be: of which file, with which inputs.
///
/// Components are compiled by the `flowhost` program in a process of its own: see [`Run::program`].
///
/// ```no_run
/// # async fn example() -> Result<(), flowhost::embed::Error> {
/// use flowhost::embed::Run;
///
/// let ended = Run::file("workflow.toml").input("book", "books/alice.txt").run().await?;
/// println!("{:?}: {}", ended.status, ended.outputs.values["words"]);
/// # Ok(())
/// # }
/// ```
///
/// With its events as they come:
///
/// ```no_run
/// # async fn example() -> Result<(), flowhost::embed::Error> {
/// use flowhost::embed::Run;
/// use flowhost::model::Fact;
///
/// let mut running = Run::file("workflow.toml").start()?;
/// while let Some(event) = running.event().await {
///     if let Fact::TaskEnded { ending, .. } = event.fact {
///         println!("{:?} {}", event.place, ending.name());
///     }
/// }
/// let list = &running.finish().await?.outputs.values["counts"];
/// # Ok(())
/// # }
/// ```
///
/// With a journal, so that what a crash leaves is gone on with:
///
/// ```no_run
/// # async fn example() -> Result<(), flowhost::embed::Error> {
/// use flowhost::embed::{Error, RecordedError, Resume, Run};
///
/// let file = "workflow.toml";
/// let ended = match Run::file(file).resume(Resume::newest()).run().await {
///     Err(Error::Recorded(RecordedError::NoneUnfinished { .. })) => Run::file(file).journal().run().await,
///     other => other,
/// }?;
/// for run in flowhost::embed::runs(".flowhost".as_ref())? {
///     println!("{}: {} succeeded", run.run, run.counts.succeeded);
/// }
/// # Ok(())
/// # }
/// ```
///
/// A file that is not right is an error that tells all that is wrong with it, each with its place:
///
/// ```
/// use flowhost::embed::{Error, Run};
///
/// let folder = tempfile::tempdir().unwrap();
/// let file = folder.path().join("workflow.toml");
/// std::fs::write(&file, "[tasks.count]\nrun = \"text#count-words\"\n").unwrap();
/// let Err(Error::Problems(problems)) = Run::file(file).check() else { panic!("no such component") };
/// assert!(problems.to_string().contains("workflow.toml:2:7"));
/// ```
pub struct Run {
    file: PathBuf,
    inputs: Vec<(String, String)>,
    root: Option<PathBuf>,
    concurrency: Option<u32>,
    trust: Trust,
    redis: Option<String>,
    plain_secrets: bool,
    cache: Cached,
    cache_remote: bool,
    journal: bool,
    state_dir: Option<PathBuf>,
    resume: Option<Resume>,
    program: Option<PathBuf>,
    trace: Option<Trace>,
    reporters: Vec<Box<dyn Reporter>>,
}

/// Where outcomes of tasks with `cache` are kept.
enum Cached {
    Nowhere,
    /// In the user's cache folder.
    User,
    In(PathBuf),
}

/// Which recorded run to go on with, and what of it runs again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    run: Option<String>,
    retry_failed: bool,
    force_changed: bool,
}

impl Resume {
    /// The newest run of the file that is unfinished.
    #[must_use]
    pub fn newest() -> Self {
        Self { run: None, retry_failed: false, force_changed: false }
    }

    /// The run with this id, or the only one whose id begins so. One that has ended gives its outputs
    /// again.
    #[must_use]
    pub fn run(id: impl Into<String>) -> Self {
        Self { run: Some(id.into()), ..Self::newest() }
    }

    /// Runs again what ended otherwise than succeeded. [`Resume::newest`] then takes a run that failed,
    /// too.
    #[must_use]
    pub fn retry_failed(self) -> Self {
        Self { retry_failed: true, ..self }
    }

    /// Runs anew what is touched by a change in the file, its components, inputs or files, which is an
    /// error otherwise.
    #[must_use]
    pub fn force_changed(self) -> Self {
        Self { force_changed: true, ..self }
    }
}

impl Run {
    /// Of this file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            file: path.into(),
            inputs: Vec::new(),
            root: None,
            concurrency: None,
            trust: Trust::Full,
            redis: None,
            plain_secrets: false,
            cache: Cached::User,
            cache_remote: false,
            journal: false,
            state_dir: None,
            resume: None,
            program: None,
            trace: None,
            reporters: Vec::new(),
        }
    }

    /// Sets an input: a string as it is, all else as the JSON of its type.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        let text = match value.into() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        self.inputs.push((name.into(), text));
        self
    }

    /// The folder that no path of the file leads out of. The file's own, unless this says another.
    #[must_use]
    pub fn root(self, folder: impl Into<PathBuf>) -> Self {
        Self { root: Some(folder.into()), ..self }
    }

    /// At most so many attempts at once in each group. 0 counts as 1.
    #[must_use]
    pub fn concurrency(self, attempts: u32) -> Self {
        Self { concurrency: Some(attempts.max(1)), ..self }
    }

    /// How far the file is trusted. In full, unless this says otherwise.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// Where redis executors are for which the file gives no URL.
    #[must_use]
    pub fn redis(self, url: impl Into<String>) -> Self {
        Self { redis: Some(url.into()), ..self }
    }

    /// Lets secrets go to executors that are reached unencrypted, where anybody on the way can read them.
    #[must_use]
    pub fn allow_plain_secrets(self) -> Self {
        Self { plain_secrets: true, ..self }
    }

    /// Executes tasks with `cache` as well, and keeps nothing.
    #[must_use]
    pub fn without_cache(self) -> Self {
        Self { cache: Cached::Nowhere, ..self }
    }

    /// Keeps also outcomes that executors of the workflow's own answered, such as workers on Redis: whoever
    /// can answer there then has a say in what later runs find.
    #[must_use]
    pub fn cache_remote(self) -> Self {
        Self { cache_remote: true, ..self }
    }

    /// Finds and keeps outcomes of tasks with `cache` in this folder, instead of in the user's. Nobody
    /// else may be able to write to it.
    #[must_use]
    pub fn cache_dir(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Cached::In(folder.into()), ..self }
    }

    /// Keeps a journal, so that the run can be resumed, listed, explained and replayed: in `.flowhost`
    /// beside the file, unless [`Run::state_dir`] says where.
    #[must_use]
    pub fn journal(self) -> Self {
        Self { journal: true, ..self }
    }

    /// Keeps a journal in this folder, which is made if need be.
    #[must_use]
    pub fn state_dir(self, folder: impl Into<PathBuf>) -> Self {
        Self { journal: true, state_dir: Some(folder.into()), ..self }
    }

    /// Goes on with a recorded run instead of beginning one: its outcomes stay, and what is missing
    /// runs. Inputs that are not set again are those of then.
    #[must_use]
    pub fn resume(self, which: Resume) -> Self {
        Self { journal: true, resume: Some(which), ..self }
    }

    /// The `flowhost` program, which compiles components. Unless this says it, it is what the variable
    /// `FLOWHOST_PROGRAM` names, and else `flowhost` on the PATH.
    #[must_use]
    pub fn program(self, path: impl Into<PathBuf>) -> Self {
        Self { program: Some(path.into()), ..self }
    }

    /// Makes the run part of a trace: its attempts are told, wherever they execute, and events carry their ids, from which
    /// [`SpanId::of_attempt`](crate::model::SpanId::of_attempt) makes their spans. A run that goes on stays in the trace
    /// in which it began.
    #[must_use]
    pub fn trace(self, trace: Trace) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// Tells a reporter of the run, such as [`Progress`](crate::report::Progress) or one of your own.
    #[must_use]
    pub fn reporter(mut self, reporter: impl Reporter + 'static) -> Self {
        self.reporters.push(Box::new(reporter));
        self
    }

    /// Checks the file, its components and the inputs, as `flowhost check` does.
    ///
    /// # Errors
    /// Fails with all that is wrong with them.
    pub fn check(&self) -> Result<Loaded, Error> {
        self.check_as(None)
    }

    /// As [`Run::check`], with the inputs and the root of a recorded run where this has none.
    fn check_as(&self, recorded: Option<&Start>) -> Result<Loaded, Error> {
        let here = std::env::current_dir().map_err(Error::Current)?;
        let root = || recorded.and_then(|start| root_of(&self.file, start));
        // Relative paths in recorded inputs start where they did.
        let then = recorded.map(|start| PathBuf::from(&start.current)).filter(|then| then.is_dir());
        let options = manifest::Options {
            root: self.root.clone().or_else(root),
            inputs: recorded::inputs(&self.inputs, recorded),
            executors: Vec::new(),
            concurrency: self.concurrency,
            state_dir: self.state_dir.as_ref().map(|state_dir| here.join(state_dir)),
            current: then.unwrap_or(here),
            environment: &environment,
            trust: self.trust.clone(),
            redis: self.redis.clone(),
            plain_secrets: self.plain_secrets,
            purpose: manifest::Purpose::Run,
            recorded: None,
        };
        Ok(manifest::load(&self.file, &options)?)
    }

    /// Runs it to its end. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when the file is not right, the run cannot begin, or an output cannot be written.
    pub async fn run(self) -> Result<Ended, Error> {
        let (_, stops) = Stopper::new();
        let (workflow, settings) = self.ready(stops)?;
        Ok(crate::run::run(workflow, settings).await?)
    }

    /// Starts it. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when the file is not right or guests cannot run here.
    pub fn start(mut self) -> Result<Running, Error> {
        let (sender, events) = mpsc::unbounded_channel();
        self.reporters.push(Box::new(Sender(sender)));
        let (stopper, stops) = Stopper::new();
        let (workflow, settings) = self.ready(stops)?;
        let task = tokio::spawn(crate::run::run(workflow, settings));
        Ok(Running { events, stopper, task })
    }

    fn ready(self, stops: crate::run::Stops) -> Result<(Arc<Workflow>, Settings), Error> {
        let chosen = match &self.resume {
            None => None,
            Some(Resume { run, retry_failed, force_changed }) => recorded::Choice {
                file: &self.file,
                state_dir: self.state_dir.as_deref(),
                run: run.as_deref(),
                options: ResumeOptions { retry_failed: *retry_failed, force_changed: *force_changed },
            }
            .choose()?,
        };
        let start = chosen.as_ref().map(|chosen| &*chosen.start);
        let loaded = self.check_as(start)?;
        let journal = match self.journal {
            false => None,
            true => {
                let given = recorded::inputs(&self.inputs, start);
                let current = std::env::current_dir().map_err(Error::Current)?;
                let resume = chosen.map(|chosen| chosen.resume);
                let state_dir = self.state_dir.as_deref();
                Some(recorded::journaling(&self.file, state_dir, given, current, &loaded, resume)?)
            }
        };
        let workflow = loaded.workflow;
        let compiling = Compiling { program: self.program, ..Compiling::default() };
        let settings = Settings {
            executors: executors(&workflow, compiling),
            reporters: self.reporters,
            environment: Arc::new(environment),
            caching: match self.cache {
                Cached::Nowhere => None,
                Cached::User => caching(&workflow, None, self.cache_remote)?,
                Cached::In(folder) => caching(&workflow, Some(folder), self.cache_remote)?,
            },
            stops,
            journal,
            trace: self.trace,
        };
        Ok((Arc::new(workflow), settings))
    }
}

/// A run that goes on. Dropped, it goes on unseen.
#[derive(Debug)]
pub struct Running {
    events: mpsc::UnboundedReceiver<Event>,
    stopper: Stopper,
    task: JoinHandle<Result<Ended, RunError>>,
}

impl Running {
    /// The next event, in order; none after the last. Events that are not taken stay in memory.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Asks the run to stop. It ends like any other, and says what became of its tasks.
    pub fn stop(&self, how: Stop) {
        self.stopper.stop(how);
    }

    /// Waits for its end, and drops what events are left.
    ///
    /// # Errors
    /// Fails when the run cannot begin, or an output cannot be written.
    pub async fn finish(mut self) -> Result<Ended, Error> {
        self.events.close();
        Ok(self.task.await??)
    }
}

/// Sends events to whoever takes them.
struct Sender(mpsc::UnboundedSender<Event>);

impl Reporter for Sender {
    fn interest(&self) -> Interest {
        Interest { starts: true, successes: true, logs: true, progress: true, writes: false }
    }

    fn report(&mut self, events: &[Event]) -> std::io::Result<()> {
        for event in events {
            // Nobody takes them any more: nothing is lost by that.
            let _ = self.0.send(event.clone());
        }
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What components are compiled with.
#[derive(Clone, Default)]
pub(crate) struct Compiling {
    pub(crate) program: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
}

/// Where the workflow's attempts run. What an executor needs is set up when a task first needs it.
pub(crate) fn executors(workflow: &Workflow, compiling: Compiling) -> Executors {
    let program = compiling.program.clone();
    let (here, children) = (needs(workflow, compiling.clone()), needs(workflow, compiling));
    let on_this_machine = Executors::default()
        .with(Executor::InProcess, move || {
            let executor = here().and_then(InProcess::new).map_err(|error| error.to_string())?;
            Ok(Arc::new(executor))
        })
        .with(Executor::Process, move || {
            let executor = children().and_then(Process::new).map_err(|error| error.to_string())?;
            Ok(Arc::new(executor))
        });
    workflow.executors.iter().fold(on_this_machine, |executors, named| match &named.kind {
        ExecutorKind::Redis(redis) => {
            let (name, redis) = (Arc::clone(&named.name), redis.clone());
            let components = components(workflow).collect();
            let settings = QueueSettings { name: Arc::clone(&name), redis, components };
            executors.with(Executor::Named(name), move || Ok(Arc::new(Queue::new(settings))))
        }
        ExecutorKind::Ssh(ssh) => {
            let name = Arc::clone(&named.name);
            let settings = SshExecutorSettings {
                name: Arc::clone(&name),
                ssh: ssh.clone(),
                components: components(workflow).collect(),
                breakers: workflow.node_breakers(&name),
                program: program.clone(),
            };
            executors.with(Executor::Named(name), move || {
                let executor = Ssh::new(settings).map_err(|error| error.to_string())?;
                Ok(Arc::new(executor))
            })
        }
    })
}

/// Where single attempts of the workflow run in this process, wherever they ran before.
fn at_home(workflow: &Workflow, compiling: Compiling) -> Result<InProcess, RuntimeError> {
    needs(workflow, compiling)().and_then(InProcess::new)
}

/// The components' digests, and where their files are.
fn components(workflow: &Workflow) -> impl Iterator<Item = (Digest, PathBuf)> {
    workflow.components.iter().map(|component| (component.digest, component.path.clone()))
}

/// Makes what an executor needs that runs the workflow's attempts on this machine.
fn needs(
    workflow: &Workflow,
    compiling: Compiling,
) -> impl FnOnce() -> Result<InProcessSettings, RuntimeError> + Send + Sync + 'static {
    let defaults = crate::runtime::Settings::default();
    let settings = crate::runtime::Settings {
        program: compiling.program,
        others: others(workflow),
        compile_timeout: compiling.timeout.unwrap_or(defaults.compile_timeout),
        ..defaults
    };
    let components = components(workflow).collect();
    let root = workflow.root.clone();
    move || Ok(InProcessSettings { runtime: Runtime::new(settings)?, root, components })
}

/// The cache, for a workflow with tasks that use it: in `folder`, or else in the user's cache folder. With
/// `remote` it takes also what named executors answer.
pub(crate) fn caching(
    workflow: &Workflow,
    folder: Option<PathBuf>,
    remote: bool,
) -> Result<Option<Caching>, CacheError> {
    if !workflow.nodes.iter().flat_map(Node::tasks).any(|task| task.policy.cache) {
        return Ok(None);
    }
    let cache = Cache::open(folder, &others(workflow))?;
    let caching = Caching::new(cache, &format!("flowhost {} {ENGINE}", env!("CARGO_PKG_VERSION")));
    Ok(Some(caching.keeping_remote(remote)))
}

/// Folders in which nothing may lie that we trust: the workflow file's own, and those that tasks write
/// to.
fn others(workflow: &Workflow) -> Vec<PathBuf> {
    let tasks = workflow.nodes.iter().flat_map(Node::tasks);
    let granted = tasks.flat_map(|task| &task.policy.grants.directories);
    let written =
        granted.filter(|directory| directory.write).map(|directory| workflow.root.join(&directory.path));
    // A call from the command line has the current folder and no file that came from others.
    let own = (workflow.root != Path::new("/")).then(|| workflow.folder.clone());
    own.into_iter().chain(written).collect()
}

/// The process's own environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
