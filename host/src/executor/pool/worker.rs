//! One worker of a pool: what it has in hand, and the task that attends it from its start to its end.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::launch::{End, Gone, Launch, Link, Reach, Side};
use crate::model::{Attempt, Cause};
use crate::wire::{FromWorker, Hello, Outbox, Receiver, WireError, pump};

/// How long a worker may take to end once it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Workers by their number.
pub(super) type WorkerId = u64;

/// What becomes of a worker.
pub(super) enum News {
    /// It is ready.
    Up(Arc<Outbox>, Arc<dyn Side>, Box<Hello>),
    /// It said something.
    Said(FromWorker),
    /// Code was handed to it, or refused.
    Supplied,
    /// It ended.
    Ended(Gone),
}

/// An attempt that a worker has.
pub(super) struct Pending {
    pub(super) attempt: Attempt,
    /// How long it is expected to take.
    pub(super) expected: Duration,
    /// Nothing is handed over behind it.
    pub(super) alone: bool,
    /// Whether it is to end, why, and since when.
    pub(super) cancelled: Option<(Cause, Instant)>,
    /// It was taken back before it began, as far as is known here: another is to execute it.
    pub(super) taken_back: bool,
}

/// A worker as the pool sees it.
pub(super) struct Worker {
    pub(super) profile: usize,
    /// The position of its node; 0 for a child.
    pub(super) node: usize,
    /// Attempts that it executes at once.
    pub(super) slots: usize,
    /// None until it is ready.
    pub(super) up: Option<(Arc<Outbox>, Arc<dyn Side>)>,
    /// What it has, in the order in which it executes them.
    pub(super) pending: VecDeque<Pending>,
    /// The sum of what these are expected to take.
    pub(super) load: Duration,
    /// Numbers of the calls that it knows.
    pub(super) calls: HashSet<u32>,
    /// Numbers of the parts of arguments that it has.
    pub(super) parts: BTreeSet<u32>,
    /// Since when it executes the first of them, at most; without any, since when it has nothing to do.
    pub(super) since: Instant,
    /// What it executes is the first since code was handed to it, which it loads before.
    pub(super) loads: bool,
    /// Components that it waits for: no attempt executes meanwhile.
    pub(super) awaits: usize,
    /// It is given nothing more, and ends when it has nothing left.
    pub(super) retires: bool,
    /// The first of its attempts should have ended at the last look, as far as is known here.
    pub(super) late: bool,
    /// The first of its attempts took longer than its timeout, and it did not say so.
    pub(super) overdue: bool,
    /// Ends it.
    pub(super) stop: Arc<Notify>,
    /// Whether it waited for something at the last look.
    pub(super) waited: bool,
    /// Whether it did so at the one before as well.
    pub(super) sleeps: bool,
    /// Answers that are on their way to it. Dropped with it.
    pub(super) answering: JoinSet<()>,
}

impl Worker {
    pub(super) fn new(profile: usize, node: usize, stop: Arc<Notify>) -> Self {
        Self {
            profile,
            node,
            slots: 1,
            up: None,
            pending: VecDeque::new(),
            load: Duration::ZERO,
            calls: HashSet::new(),
            parts: BTreeSet::new(),
            since: Instant::now(),
            loads: false,
            awaits: 0,
            retires: false,
            late: false,
            overdue: false,
            stop,
            waited: false,
            sleeps: false,
            answering: JoinSet::new(),
        }
    }

    /// Its name, once it is ready.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.up.as_ref().map(|(_, side)| side.name())
    }

    /// It is given nothing more. Without anything left it ends.
    pub(super) fn retire(&mut self) {
        self.retires = true;
        if let (Some((outbox, _)), true) = (&self.up, self.pending.is_empty()) {
            outbox.finish();
        }
    }
}

/// Starts a worker and passes on what it says until it ends.
pub(super) async fn attend(
    id: WorkerId,
    launch: Arc<dyn Launch>,
    reach: Reach,
    node: usize,
    ours: Arc<Hello>,
    stop: Arc<Notify>,
    news: mpsc::UnboundedSender<(WorkerId, News)>,
) {
    // Nobody hears it any more: the pool is gone.
    let tell = |what| drop(news.send((id, what)));
    let Link { mut receiver, hello, to, side, life } = match launch.launch(&reach, node, &ours).await {
        Ok(link) => link,
        Err(gone) => return tell(News::Ended(gone)),
    };
    let outbox = Arc::new(Outbox::default());
    tell(News::Up(Arc::clone(&outbox), side, Box::new(hello)));
    let failure = tokio::select! {
        failure = hear(&mut receiver, |message| tell(News::Said(message))) => failure,
        failure = send(to, &outbox) => failure,
        () = stop.notified() => None,
    };
    drop(receiver);
    let end = life.end(true).await;
    let how = match failure {
        // What the system says of its end says more than that the connection ended with it.
        None | Some(WireError::Cut | WireError::Io(_)) => end.how,
        Some(failure @ WireError::Silent) => format!("{failure}, so it was ended"),
        Some(failure) => format!("{failure}; {}", end.how),
    };
    tell(News::Ended(Gone::Lost(End { how, ..end })));
}

async fn hear<R: tokio::io::AsyncRead + Unpin>(
    receiver: &mut Receiver<R>,
    tell: impl Fn(FromWorker),
) -> Option<WireError> {
    loop {
        match receiver.of_worker().await {
            Ok(Some(message)) => tell(message),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Sends until the worker is to end, and waits a while for that.
async fn send(to: impl tokio::io::AsyncWrite + Unpin, outbox: &Outbox) -> Option<WireError> {
    match pump(to, outbox).await {
        Ok(()) => {
            tokio::time::sleep(PATIENCE).await;
            None
        }
        // It may have ended: what it said last is still to be read, and says more.
        Err(error) => {
            tokio::time::sleep(PATIENCE).await;
            Some(error)
        }
    }
}
