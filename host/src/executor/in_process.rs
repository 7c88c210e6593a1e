//! Executes attempts in this process, on threads that are the guests' own, so that no guest can
//! keep the dispatcher from its work. Knows nothing of workflows: attempts come in, reports go out.

mod lane;
mod queue;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use self::lane::Lane;
use self::queue::{Queue, Wake};
use super::{BoxFuture, Capacity, Executor, Port, Report, Unreachable};
use crate::digest::Digest;
use crate::id::AttemptId;
use crate::model::{Attempt, Call, Cause};
use crate::runtime::{Folders, Prepared, Runtime, RuntimeError, Source};

/// Attempts handed over beforehand: enough to bridge the time until the dispatcher brings more, with
/// several of the port's batches in hand.
const AHEAD: usize = 256;

/// For so many slots there is one lane more, kept for calls that hold few: without them one group whose
/// attempts never end would hold every lane, and its neighbours would wait for its timeouts.
const KEPT: usize = 4;

/// Turns of a guests' thread between two looks at timers and sockets, and at what other threads hand
/// it. A turn takes up to a tick while guests compute, and tokio's own 61 turns would be most of a
/// second.
const INTERVAL: u32 = 1;

/// How often the guests' threads are nudged.
const NUDGE: Duration = Duration::from_millis(10);

/// What an in-process executor needs.
#[derive(Clone)]
pub struct InProcessSettings {
    /// What runs the guests.
    pub runtime: Arc<Runtime>,
    /// The folder that granted directories lie in and never lead out of.
    pub root: PathBuf,
    /// Where the components' files are.
    pub components: Vec<(Digest, PathBuf)>,
}

/// What an in-process executor needs that works for another process.
pub struct ServingSettings {
    /// What runs the guests.
    pub runtime: Arc<Runtime>,
    /// Where granted directories are.
    pub folders: Folders,
    /// Who hands components over.
    pub supply: Arc<dyn Supply>,
    /// Whether components come as bytes, and are compiled here.
    pub compiles: bool,
    /// Attempts that execute at once at most; none leaves it to the runtime.
    pub slots: Option<usize>,
    /// Whether attempts execute one at a time, in the order in which they were submitted.
    pub in_order: bool,
    /// Whether some lanes beside the slots are kept for calls that hold few, so that more than there are slots
    /// may execute at once.
    pub kept: bool,
}

/// Hands components over.
pub trait Supply: Send + Sync {
    /// A component, or why it is not to be had.
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Source, Arc<str>>>;
}

/// Components that are known from the start.
struct Listed(HashMap<Digest, Source>);

impl Supply for Listed {
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Source, Arc<str>>> {
        let unknown = || Arc::from(format!("the executor was not given the component {digest}"));
        Box::pin(std::future::ready(self.0.get(&digest).cloned().ok_or_else(unknown)))
    }
}

/// Executes attempts in this process.
pub struct InProcess {
    shared: Arc<Shared>,
    /// The guests' threads. Always there until the executor is dropped.
    threads: Option<tokio::runtime::Runtime>,
}

/// What the executor and its lanes share.
struct Shared {
    runtime: Arc<Runtime>,
    folders: Folders,
    supply: Arc<dyn Supply>,
    compiles: bool,
    handle: Handle,
    queue: Mutex<Queue>,
    /// One for each lane: something was put in the queue for it, or its attempt is cancelled.
    lanes: Vec<Arc<Notify>>,
    /// Attempts that execute at once, but for those in the lanes that are kept.
    slots: usize,
    /// Nothing executes and nothing waits.
    drained: Notify,
    cancelling: Arc<AtomicBool>,
    port: OnceLock<Port>,
}

impl InProcess {
    /// Starts the guests' threads, as many as the machine has cores.
    ///
    /// # Errors
    /// Fails when the system starts no threads.
    pub fn new(settings: InProcessSettings) -> Result<Self, RuntimeError> {
        let InProcessSettings { runtime, root, components } = settings;
        let components = components.into_iter().map(|(digest, path)| (digest, Source::File(path)));
        let supply = Arc::new(Listed(components.collect()));
        let folders = Folders::Below(root);
        Self::serving(ServingSettings {
            runtime,
            folders,
            supply,
            compiles: true,
            slots: None,
            in_order: false,
            kept: true,
        })
    }

    /// As [`InProcess::new`], for a worker. One that executes in order has a single thread.
    ///
    /// # Errors
    /// As [`InProcess::new`].
    pub fn serving(settings: ServingSettings) -> Result<Self, RuntimeError> {
        let ServingSettings { runtime, folders, supply, compiles, slots, in_order, kept } = settings;
        let cores = if in_order { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
        let threads = Builder::new_multi_thread()
            .worker_threads(cores)
            .thread_name("flowhost-guest")
            .event_interval(INTERVAL)
            .global_queue_interval(INTERVAL)
            .enable_all()
            .build()?;
        let most = slots.unwrap_or(usize::MAX).max(1);
        let slots = if in_order { 1 } else { runtime.slots().min(most) };
        let kept = if in_order || !kept { 0 } else { slots.div_ceil(KEPT) };
        let shared = Shared {
            runtime,
            folders,
            supply,
            compiles,
            handle: threads.handle().clone(),
            queue: Mutex::new(Queue::new(slots.saturating_add(kept), cores, kept)),
            lanes: std::iter::repeat_with(Arc::default).take(slots.saturating_add(kept)).collect(),
            slots,
            drained: Notify::new(),
            cancelling: Arc::default(),
            port: OnceLock::new(),
        };
        let shared = Arc::new(shared);
        nudge(&shared)?;
        Ok(Self { shared, threads: Some(threads) })
    }
}

/// Wakes an idle thread of the guests now and then while attempts execute, for as long as the
/// executor lives. A thread that leaves the timers for a long piece of work, such as a large value's
/// conversion, does not hand them over: the timers would stand still while other threads rest.
fn nudge(shared: &Arc<Shared>) -> std::io::Result<()> {
    let shared = Arc::downgrade(shared);
    let work = move || {
        while let Some(shared) = shared.upgrade() {
            let (busy, wake) = {
                let mut queue = shared.queue();
                (!queue.is_empty(), queue.nudge())
            };
            if busy {
                shared.wake(&wake);
                drop(shared.handle.spawn(std::future::ready(())));
            }
            drop(shared);
            std::thread::sleep(NUDGE);
        }
    };
    std::thread::Builder::new().name("flowhost-nudge".to_owned()).spawn(work).map(drop)
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // Guests stop at the next tick. Waiting for them is what `drain` is for, and not possible
            // within another tokio runtime.
            threads.shutdown_background();
        }
    }
}

impl Executor for InProcess {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        Box::pin(async move {
            let shared = &self.shared;
            if shared.port.set(port.clone()).is_err() {
                let reason = "it is in use by another run; make an executor for each run".to_owned();
                return Err(Unreachable { executor: "in-process".into(), reason });
            }
            // Who is handed code compiles none.
            if shared.compiles
                && let Err(error) = shared.runtime.open_cache().await
            {
                return Err(Unreachable { executor: "in-process".into(), reason: error.to_string() });
            }
            for (me, wake) in shared.lanes.iter().enumerate() {
                let (shared, wake) = (Arc::clone(shared), Arc::clone(wake));
                let lane = Lane { shared, port: port.clone(), me, wake };
                drop(self.shared.handle.spawn(lane.run()));
            }
            Ok(Capacity { slots: shared.slots, ahead: AHEAD })
        })
    }

    fn submit(&self, batch: Vec<Attempt>) {
        let wake = self.shared.queue().submit(batch);
        self.shared.wake(&wake);
    }

    fn cancel(&self, ids: &[AttemptId], cause: Cause) {
        let (returned, lanes) = self.shared.queue().cancel(ids, cause);
        self.shared.hand_back(returned);
        self.shared.wake(&lanes);
    }

    fn announce_cancel(&self) {
        self.shared.cancelling.store(true, Ordering::Relaxed);
        let returned = self.shared.queue().take_waiting();
        self.shared.hand_back(returned);
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let mut drained = std::pin::pin!(self.shared.drained.notified());
                drained.as_mut().enable();
                if self.shared.queue().is_empty() {
                    return;
                }
                drained.await;
            }
        })
    }
}

impl InProcess {
    /// Hands those of these attempts back that have not begun.
    pub fn give_back(&self, ids: &[AttemptId]) {
        let returned = self.shared.queue().give_back(ids);
        self.shared.hand_back(returned);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in there panics halfway.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, lanes: &Wake) {
        for lane in lanes.iter().filter_map(|at| self.lanes.get(*at)) {
            lane.notify_one();
        }
    }

    /// Lane `me` rests until there is work for it.
    async fn rest(&self, me: usize, wake: &Notify) {
        self.check_drained();
        loop {
            wake.notified().await;
            if !self.queue().rests(me) {
                return;
            }
        }
    }

    /// Reports attempts that left the queue without having begun.
    fn hand_back(&self, returned: Vec<AttemptId>) {
        if let Some(port) = self.port.get() {
            port.report(returned.into_iter().map(|id| Report::Returned { id }));
            port.flush();
        }
        self.check_drained();
    }

    fn check_drained(&self) {
        if self.queue().is_empty() {
            self.drained.notify_waiters();
        }
    }

    /// Prepares `call` aside, so that attempts of other calls need not wait for it.
    fn prepare(self: &Arc<Self>, call: Arc<Call>, port: &Port) {
        let (shared, port) = (Arc::clone(self), port.clone());
        drop(self.handle.spawn(async move {
            let mut work = shared.handle.spawn(Arc::clone(&shared).prepare_now(Arc::clone(&call)));
            let result = loop {
                tokio::select! {
                    result = &mut work => break result,
                    // While it is being compiled, people want to know what they wait for.
                    () = shared.runtime.warned() => shared.tell_warnings(&port),
                }
            };
            let result = result.unwrap_or_else(|failure| {
                Err(format!("flowhost itself failed while it prepared the call, please report it: {failure}")
                    .into())
            });
            shared.tell_warnings(&port);
            let wake = shared.queue().prepared(&call, result);
            shared.wake(&wake);
            // Cancelled meanwhile, there may be nothing left to do.
            shared.check_drained();
        }));
    }

    fn tell_warnings(&self, port: &Port) {
        let warnings = self.runtime.take_warnings().into_iter();
        port.report(warnings.map(|(kind, message)| Report::Warning { kind, message }));
        port.flush();
    }

    async fn prepare_now(self: Arc<Self>, call: Arc<Call>) -> Result<Arc<Prepared>, Arc<str>> {
        let source = self.supply.component(call.component).await?;
        let prepared = self.runtime.prepare(call, &source, self.folders.clone()).await;
        prepared.map(Arc::new).map_err(|error| error.to_string().into())
    }
}
