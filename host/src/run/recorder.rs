//! Writes the journal while the run goes on, on a thread of its own: the dispatcher hands facts over and
//! goes on scheduling, and learns how far the journal has come. Values become JSON here, large ones go to
//! the store.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::secrets::Secrets;
use crate::cache::Key;
use crate::digest::Digest;
use crate::id::AttemptId;
use crate::interface::write_json;
use crate::journal::{
    Asked, Attempted, FileRead, JournalError, Kept, KeyPrint, Lock, LogLine, Record, Stamped, Writer,
};
use crate::model::{Ending, Executor, Task, Type, Usage, Value, Workflow};
use crate::store::{Store, StoreError};

/// Facts wait at most about so long for others to share a write with them.
const BATCH: Duration = Duration::from_millis(10);
/// What was written is made durable at least so often.
const SYNC: Duration = Duration::from_secs(1);
/// More facts than these do not wait: the dispatcher waits for the disk instead.
const MOST: u64 = 1 << 16;
/// A value whose JSON is longer goes to the store, in bytes.
const INLINE: usize = 64 << 10;
/// A batch is written when it has so many bytes, however many facts still wait.
const PIECE: usize = 1 << 20;

/// Why a run is not recorded further.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that writes could not be started.
    #[error("the journal's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// What is to be written of an attempt that ended.
pub(crate) struct AttemptNote {
    pub(crate) id: AttemptId,
    pub(crate) ending: Ending,
    /// Whether its branch ended with it.
    pub(crate) last: bool,
    pub(crate) elapsed: Duration,
    pub(crate) usage: Usage,
    /// Where it executed, or would have.
    pub(crate) executor: Executor,
    /// In which of its workers, where it has any.
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) cached: bool,
    /// What its outcome depends on, where the cache was asked.
    pub(crate) key: Option<Box<Key>>,
    pub(crate) error: Option<Arc<str>>,
    /// The value, where anybody needs it or it can be compared with that of a replay.
    pub(crate) value: Option<Value>,
    /// What it asked for, and so takes effect.
    pub(crate) asked: Asked,
    /// Whether anybody needs it.
    pub(crate) wanted: bool,
    pub(crate) files: Vec<FileRead>,
    pub(crate) log: Vec<LogLine>,
}

/// A fact on its way to the journal.
enum Note {
    Attempt(Box<AttemptNote>),
    Record(Box<Record>),
}

/// The dispatcher's end. Without a journal everything counts as written.
pub(crate) struct Recorder(Option<Recording>);

struct Recording {
    shared: Arc<Shared>,
    notes: Vec<(u64, Note)>,
    pushed: u64,
    thread: Option<std::thread::JoinHandle<()>>,
    /// When the run began, by both clocks.
    epoch: (Instant, u64),
    _lock: Lock,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes who waits for all to be written.
    done: Condvar,
    written: AtomicU64,
    /// Wakes the dispatcher.
    progress: Notify,
}

#[derive(Default)]
struct Queue {
    notes: Vec<(u64, Note)>,
    /// Whether the thread waits for notes.
    idle: bool,
    /// Whether somebody waits for all to be written.
    urgent: bool,
    closed: bool,
    failure: Option<RecordError>,
    failed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A poisoned queue is still a queue: notes are pushed and taken whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: RecordError) {
        let mut queue = self.queue();
        queue.failed = true;
        queue.failure.get_or_insert(error);
        drop(queue);
        self.done.notify_all();
        self.progress.notify_one();
    }
}

impl Recorder {
    /// Keeps no journal.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Writes to `writer` and `store` from here on.
    pub(crate) fn start(
        writer: Writer<File>,
        lock: Lock,
        store: Store,
        workflow: Arc<Workflow>,
        secrets: Secrets,
    ) -> Result<Self, RecordError> {
        let shared = Arc::new(Shared::default());
        let scribe = Scribe {
            shared: Arc::clone(&shared),
            types: types(&workflow),
            workflow,
            writer,
            store,
            secrets,
            json: Vec::new(),
            synced: Instant::now(),
            dirty: false,
            syncing: Arc::new(AtomicBool::new(false)),
        };
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || scribe.run()).map_err(RecordError::Thread)?;
        let epoch = (Instant::now(), now());
        Ok(Self(Some(Recording {
            shared,
            notes: Vec::new(),
            pushed: 0,
            thread: Some(thread),
            epoch,
            _lock: lock,
        })))
    }

    /// Whether there is a journal.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Adds the end of an attempt, at `at`.
    pub(crate) fn attempt(&mut self, at: Instant, note: AttemptNote) {
        if let Some(recording) = &mut self.0 {
            recording.push(at, Note::Attempt(Box::new(note)));
        }
    }

    /// Adds any other fact.
    pub(crate) fn record(&mut self, at: Instant, record: Record) {
        if let Some(recording) = &mut self.0 {
            recording.push(at, Note::Record(Box::new(record)));
        }
    }

    /// Hands over what was added.
    pub(crate) fn hand_over(&mut self) {
        let Some(recording) = &mut self.0 else { return };
        if recording.notes.is_empty() {
            return;
        }
        let mut queue = recording.shared.queue();
        queue.notes.append(&mut recording.notes);
        if queue.idle {
            queue.idle = false;
            drop(queue);
            recording.shared.wake.notify_one();
        }
    }

    /// How many facts were added.
    pub(crate) fn pushed(&self) -> u64 {
        self.0.as_ref().map_or(0, |recording| recording.pushed)
    }

    /// How many of them are written.
    pub(crate) fn written(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, |recording| recording.shared.written.load(Ordering::Acquire))
    }

    /// Whether the disk keeps up.
    pub(crate) fn has_room(&self) -> bool {
        self.pushed().saturating_sub(self.written()) < MOST
    }

    /// Waits for a batch to be written, or for a failure. Cancel-safe; forever without a journal.
    pub(crate) async fn progress(&self) {
        match &self.0 {
            Some(recording) => recording.shared.progress.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the journal failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.as_ref().is_some_and(|recording| recording.shared.queue().failed)
    }

    /// Why the journal failed, if it did. Said once.
    pub(crate) fn failure(&self) -> Option<RecordError> {
        self.0.as_ref()?.shared.queue().failure.take()
    }

    /// Waits until all is written, and durable.
    pub(crate) fn finish(&mut self) -> Result<(), RecordError> {
        self.hand_over();
        let Some(recording) = &mut self.0 else { return Ok(()) };
        let shared = &recording.shared;
        let mut queue = shared.queue();
        queue.urgent = true;
        shared.wake.notify_one();
        while queue.urgent && !queue.failed {
            queue = shared.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        match queue.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl Recording {
    fn push(&mut self, at: Instant, note: Note) {
        let (instant, time) = self.epoch;
        let since = at.saturating_duration_since(instant).as_micros();
        self.pushed += 1;
        self.notes.push((time.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)), note));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

/// Microseconds since 1970.
pub(super) fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The type of what the task of each branch of each node returns, once where one is for all.
fn types(workflow: &Workflow) -> Vec<Vec<Option<Type>>> {
    workflow.nodes.iter().map(|node| node.branch_types().collect()).collect()
}

/// What a key says of a call of `task`.
fn print(key: &Key, task: &Task) -> KeyPrint {
    let names = task.signature.parameters.iter().map(|(name, _)| &**name);
    KeyPrint::new(key.parts().map(|(part, digest)| (part.name(), digest)), names.zip(key.arguments()))
}

/// The thread.
struct Scribe {
    shared: Arc<Shared>,
    workflow: Arc<Workflow>,
    types: Vec<Vec<Option<Type>>>,
    writer: Writer<File>,
    store: Store,
    secrets: Secrets,
    json: Vec<u8>,
    /// When what was written was last made durable, and whether more was written since.
    synced: Instant,
    dirty: bool,
    syncing: Arc<AtomicBool>,
}

impl Scribe {
    fn run(mut self) {
        loop {
            let (notes, urgent, closed) = self.take();
            let count = notes.len() as u64;
            if let Err(error) = self.write(notes, urgent || closed) {
                // What waits is not written, and nothing that follows is.
                return self.shared.fail(error);
            }
            self.shared.written.fetch_add(count, Ordering::Release);
            if urgent {
                self.shared.queue().urgent = false;
                self.shared.done.notify_all();
            }
            if closed {
                return;
            }
            if count > 0 {
                self.shared.progress.notify_one();
            }
        }
    }

    /// Waits for notes, and a little for more of them.
    fn take(&self) -> (Vec<(u64, Note)>, bool, bool) {
        let mut queue = self.shared.queue();
        while queue.notes.is_empty() && !queue.urgent && !queue.closed {
            queue.idle = true;
            let due = self.dirty.then(|| SYNC.saturating_sub(self.synced.elapsed()));
            queue = match due {
                None => self.shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                // What was written last is due on the disk, also when nothing follows.
                Some(Duration::ZERO) if !self.syncing.load(Ordering::Acquire) => break,
                Some(due) => {
                    let waited = self.shared.wake.wait_timeout(queue, due.max(BATCH));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        queue.idle = false;
        let began = Instant::now();
        while !queue.notes.is_empty() && !queue.urgent && !queue.closed {
            let Some(left) = BATCH.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) else { break };
            let waited = self.shared.wake.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (std::mem::take(&mut queue.notes), queue.urgent, queue.closed)
    }

    fn write(&mut self, notes: Vec<(u64, Note)>, durable: bool) -> Result<(), RecordError> {
        self.dirty |= !notes.is_empty();
        for (time, note) in notes {
            match note {
                Note::Record(record) => self.writer.add(Stamped { time, record: *record }, None)?,
                Note::Attempt(note) => self.attempt(time, *note)?,
            }
            if self.writer.waiting() >= PIECE {
                self.writer.write()?;
            }
        }
        self.writer.write()?;
        if durable {
            self.writer.sink().sync_all().map_err(JournalError::Write)?;
        } else if self.dirty && self.synced.elapsed() >= SYNC && !self.syncing.swap(true, Ordering::AcqRel) {
            (self.synced, self.dirty) = (Instant::now(), false);
            self.sync_aside()?;
        }
        Ok(())
    }

    /// Makes what was written durable, while writing goes on: a disk may take long.
    fn sync_aside(&self) -> Result<(), RecordError> {
        let file = self.writer.sink().try_clone().map_err(JournalError::Write)?;
        let (shared, syncing) = (Arc::clone(&self.shared), Arc::clone(&self.syncing));
        let thread = std::thread::Builder::new().name("journal-sync".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(error) = file.sync_data() {
                shared.fail(JournalError::Write(error).into());
            }
            syncing.store(false, Ordering::Release);
        });
        spawned.map(drop).map_err(RecordError::Thread)
    }

    fn attempt(&mut self, time: u64, note: AttemptNote) -> Result<(), RecordError> {
        let branch = note.id.branch;
        let Some(node) = self.workflow.nodes.get(branch.node.index()) else { return Ok(()) };
        let value = match &note.value {
            None => Kept::None,
            Some(value) if self.secrets.are_in(value) => Kept::Withheld,
            Some(value) => {
                let types = self.types.get(branch.node.index());
                let ty = types
                    .and_then(|types| types.get(branch.index as usize).or_else(|| types.first())?.as_ref());
                self.json.clear();
                if let Some(ty) = ty {
                    write_json(value, ty, &mut self.json);
                }
                if !note.wanted {
                    Kept::Digested(Digest::of(&self.json))
                } else if self.json.len() > INLINE {
                    Kept::Stored(self.store.keep(&self.json)?)
                } else {
                    // The writer takes what is small from here.
                    Kept::None
                }
            }
        };
        let small = note.value.is_some() && matches!(value, Kept::None);
        let task = node.task(branch.index);
        let attempted = Attempted {
            node: node.recorded_as(),
            index: branch.index,
            number: note.id.number,
            ending: note.ending,
            elapsed: note.elapsed,
            guest: note.usage.wall,
            peak_memory: note.usage.peak_memory,
            fuel: note.usage.fuel,
            metrics: note.usage.metrics,
            executor: note.executor,
            worker: note.worker,
            cached: note.cached,
            key: note.key.zip(task).map(|(key, task)| Box::new(print(&key, task))),
            error: note.error,
            value,
            asked: note.asked,
            files: note.files,
            log: note.log,
        };
        let attempted = Box::new(attempted);
        let record = if note.last { Record::TaskEnded(attempted) } else { Record::AttemptEnded(attempted) };
        let value = small.then_some(&*self.json);
        Ok(self.writer.add(Stamped { time, record }, value)?)
    }
}
