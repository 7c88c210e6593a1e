//! Calls that need not execute, because the cache knows their outcomes. Values become JSON and come
//! back here, by their types.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::cache::{Cache, CacheError, Entry, Key};
use crate::interface::{from_json, to_json};
use crate::model::{Call, Executor, Metrics, Usage, Value};

/// Outcomes that wait to be written. Beyond it the run waits for the disk.
const WAITING: usize = 256;

/// Where outcomes are found and kept.
#[derive(Clone, Debug)]
pub struct Caching {
    cache: Arc<Cache>,
    engine: Arc<str>,
    remote: bool,
}

/// What the cache knows of a call.
pub(crate) enum Looked {
    /// Its value, and the figures that came with it.
    Found(Key, Value, Metrics),
    /// Nothing. Its outcome is to be kept under this.
    Missing(Key),
}

impl Caching {
    /// `engine` names what executes guests: outcomes of other versions are not found.
    #[must_use]
    pub fn new(cache: Cache, engine: &str) -> Self {
        Self { cache: Arc::new(cache), engine: engine.into(), remote: false }
    }

    /// Keeps also what the workflow's named executors answer, if `remote`. Whoever can answer there then has
    /// a say in what later runs find.
    #[must_use]
    pub fn keeping_remote(self, remote: bool) -> Self {
        Self { remote, ..self }
    }

    /// Whether what `executor` answers is kept.
    pub(crate) fn keeps(&self, executor: &Executor) -> bool {
        self.remote || !matches!(executor, Executor::Named(_))
    }

    /// What is known of a call. Reads a file.
    pub(crate) fn look(&self, call: &Call, arguments: &[Value]) -> Looked {
        let key = Key::of(call, arguments, &self.engine);
        let entry = self.cache.find(&key);
        let ty = call.signature.result.task_value();
        let found = |entry: Entry| Some((from_json(&entry.value, &ty).ok()?, entry.usage.metrics));
        match entry.and_then(found) {
            Some((value, metrics)) => Looked::Found(key, value, metrics),
            None => Looked::Missing(key),
        }
    }

    /// Starts to keep outcomes, on a thread of its own.
    pub(crate) fn keeper(&self) -> std::io::Result<Keeper> {
        let cache = Arc::clone(&self.cache);
        let (sender, receiver) = sync_channel::<Outcome>(WAITING);
        let work = move || {
            let mut failure = None;
            for Outcome { key, call, value, usage, executor } in receiver {
                let json = to_json(&value, &call.signature.result.task_value());
                let kept = cache.keep(&Entry::new(key, json, usage, executor.name()));
                failure = failure.or(kept.err());
            }
            failure
        };
        let thread = std::thread::Builder::new().name("flowhost-cache".to_owned()).spawn(work)?;
        Ok(Keeper { sender, thread })
    }
}

/// A succeeded outcome that is to be kept.
pub(crate) struct Outcome {
    pub(crate) key: Key,
    pub(crate) call: Arc<Call>,
    pub(crate) value: Value,
    pub(crate) usage: Usage,
    pub(crate) executor: Executor,
}

/// Writes outcomes.
pub(crate) struct Keeper {
    sender: SyncSender<Outcome>,
    thread: JoinHandle<Option<CacheError>>,
}

impl Keeper {
    pub(crate) fn keep(&self, outcome: Outcome) {
        // The thread takes all that comes for as long as this lives.
        let _ = self.sender.send(outcome);
    }

    /// Waits until all is written. Gives the first failure; what it was about is made again next time.
    pub(crate) fn finish(self) -> Option<CacheError> {
        drop(self.sender);
        self.thread.join().ok().flatten()
    }
}
