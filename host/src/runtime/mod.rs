//! Runs guests: the only floor that knows wasmtime. Compiles components in a child process, keeps
//! their code, and executes each attempt in a sandbox of its own. Knows nothing of executors, runs
//! or retries.

mod code_cache;
mod compile;
mod engine;
mod epoch;
mod host;
mod invoke;
mod limiter;
mod load;
mod prepare;
mod sandbox;
mod space;
mod stdio;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trap;
mod typed;
mod values;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use code_cache::CacheError;
use code_cache::{CodeCache, Place};
pub use compile::{COMPILE_SUBCOMMAND, CompileError, compile_child};
pub(crate) use compile::{named_program, program};
pub use engine::ENGINE;
pub use load::{CodeSource, LoadError, Source};
pub use prepare::{Folders, NamedFolder, PrepareError, Prepared, appetite};

use compile::Compiler;
use engine::{Flavour, Slots};
use epoch::Ticker;
use load::Components;

use crate::channel::Channel;
use crate::digest::Digest;
use crate::folder::Size;
use crate::id::AttemptId;
use crate::model::{Attempt, Call, Level, Outcome, Stream, Usage, Value, Warning};

/// How the runtime is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The flowhost program that is started to compile components. None looks at
    /// `FLOWHOST_PROGRAM`, then for `flowhost` on the PATH.
    pub program: Option<PathBuf>,
    /// Where compiled code is kept. None is `flowhost/code` in the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Folders that others may fill: the workflow's, and those that tasks may write to. Compiled code
    /// at or below one of them is refused.
    pub others: Vec<PathBuf>,
    /// How long one component may take to compile.
    pub compile_timeout: Duration,
    /// Bytes of memory that the compiler may use.
    pub compile_memory: u64,
    /// Attempts that execute at once. None is four for each core, and at least 16.
    pub slots: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            program: None,
            cache_dir: None,
            others: Vec::new(),
            compile_timeout: Duration::from_secs(120),
            compile_memory: 4 << 30,
            slots: None,
        }
    }
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The system starts no thread.
    #[error("cannot start a thread: {0}")]
    Threads(#[from] io::Error),
}

/// What one attempt of a call has to itself.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its id.
    pub id: AttemptId,
    /// Which run of its task the branch is at, from 1.
    pub iteration: u32,
    /// One for each parameter, in order and of the right types.
    pub arguments: &'a [Value],
}

impl<'a> From<&'a Attempt> for Input<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self { id: attempt.id, iteration: attempt.iteration, arguments: &attempt.arguments }
    }
}

/// Who is told what guests say while they run, and answers what they ask of their run. Called on the guest's thread: it must be quick.
pub trait Observer: Send + Sync {
    /// A line, without its end. `cut` marks that lines were cut, after which none follow.
    fn line(&self, id: AttemptId, level: Level, stream: Stream, message: Arc<str>, cut: bool);

    /// How far an attempt has come. At most ten a second for each attempt, and the last one.
    fn progress(&self, id: AttemptId, done: u64, total: Option<u64>, message: Option<Arc<str>>);

    /// Whether anyone wants to know how far attempts have come.
    fn wants_progress(&self) -> bool;

    /// The turn of 10 ms is over of a guest that computes: it goes on after what this gives.
    fn turn(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::task::yield_now())
    }

    /// The channel of the attempts' run.
    fn channel(&self) -> &dyn Channel;

    /// Whether the run was asked to stop.
    fn cancelling(&self) -> bool;
}

/// Runs guests.
pub struct Runtime {
    components: Arc<Components>,
    slots: usize,
    freed: Slots,
}

impl Runtime {
    /// Sets up what is shared. Engines are made when they are first needed.
    ///
    /// # Errors
    /// Fails when the system starts no thread.
    pub fn new(settings: Settings) -> Result<Arc<Self>, RuntimeError> {
        Ok(Arc::new(Self::with(settings, Ticker::start()?)))
    }

    /// A runtime whose engine for ordinary calls is made, without any thread so far: what is taken from
    /// this process now is taken from all that it will do. Nothing may execute before
    /// [`Runtime::start`].
    ///
    /// # Errors
    /// Fails when the engine cannot be made.
    pub fn at_rest(settings: Settings) -> Result<Arc<Self>, LoadError> {
        let runtime = Self::with(settings, Ticker::at_rest());
        runtime.components.make_engine()?;
        Ok(Arc::new(runtime))
    }

    /// Starts the clock of a runtime that was [`Runtime::at_rest`].
    ///
    /// # Errors
    /// Fails when the system starts no thread.
    pub fn start(&self) -> Result<(), RuntimeError> {
        Ok(self.components.start_ticker()?)
    }

    fn with(settings: Settings, ticker: Ticker) -> Self {
        let Settings { program, cache_dir, others, compile_timeout, compile_memory, slots } = settings;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = slots.unwrap_or(cores.saturating_mul(4).max(16)).max(1);
        let compiler = Compiler { program, timeout: compile_timeout, memory: compile_memory };
        let components = Components::new(compiler, Place { cache_dir, others }, slots, ticker);
        Self { components: Arc::new(components), slots, freed: Slots::default() }
    }

    /// Attempts that may execute at once without waiting for each other.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The flowhost program that children are.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn program(&self) -> Result<PathBuf, CompileError> {
        self.components.program()
    }

    /// What people should know of, since the last time this was asked.
    pub fn take_warnings(&self) -> Vec<(Warning, Arc<str>)> {
        self.components.take_warnings()
    }

    /// Waits until [`Runtime::take_warnings`] may have something.
    pub async fn warned(&self) {
        self.components.warned().await;
    }

    /// Opens the folder for compiled code, without which nothing runs.
    ///
    /// # Errors
    /// Fails when there is no such folder, or not one that is safe.
    pub async fn open_cache(&self) -> Result<(), CacheError> {
        self.components.open_cache().await.map(drop)
    }

    /// Removes the compiled code that was not there before this process compiled it. Who has it open goes on with
    /// it.
    pub fn remove_compiled(&self) {
        self.components.remove_compiled();
    }

    /// The code of `component` for another process of ours, compiled if need be, as a read-only file.
    /// `settings` is what that process asked its [`CodeSource`] for. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when the component cannot be read or compiled.
    pub async fn code(&self, component: Digest, settings: &str, source: &Source) -> Result<File, LoadError> {
        self.components.code(component, settings, source).await
    }

    /// Gets ready what all attempts of `call` share: loads the component, compiled if need be, and
    /// opens the granted directories in `folders`. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when the component does not load, does not export what is called, or when a directory
    /// does not open.
    pub async fn prepare(
        &self,
        call: Arc<Call>,
        source: &Source,
        folders: impl Into<Folders>,
    ) -> Result<Prepared, PrepareError> {
        let component = self.components.get(call.component, Flavour::of(&call), source).await?;
        let folders = folders.into();
        match tokio::task::spawn_blocking(move || Prepared::new(call, component, &folders)).await {
            Ok(prepared) => prepared,
            Err(_) => Err(LoadError::Shutdown.into()),
        }
    }

    /// Executes one attempt of `prepared`. Waits for a slot while the pool is full. Dropping the
    /// future stops the guest.
    pub async fn attempt(
        &self,
        prepared: &Arc<Prepared>,
        input: Input<'_>,
        observer: &Arc<dyn Observer>,
    ) -> (Outcome, Usage) {
        loop {
            match invoke::attempt(prepared, input, Arc::clone(observer)).await {
                Ok(ended) => {
                    self.freed.free();
                    return ended;
                }
                Err(invoke::Full) => self.freed.wait().await,
            }
        }
    }
}

/// Where compiled code is kept for this user, and how much of it there is.
///
/// # Errors
/// Fails when there is no such folder, or not one that is safe.
pub fn compiled() -> Result<(PathBuf, Size), CacheError> {
    Ok(CodeCache::open(&Place::default())?.size()?)
}

/// Removes code that was compiled before `before`, and says how much that was. Without `remove` it only
/// says.
///
/// # Errors
/// As [`compiled`], and when the disk fails.
pub fn prune_compiled(before: std::time::SystemTime, remove: bool) -> Result<Size, CacheError> {
    CodeCache::open(&Place::default())?.prune(before, remove)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Everything behind these locks is whole between two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
