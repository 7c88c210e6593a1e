//! Hands attempts to workers through a queue in Redis. What is queued outlives this process: whoever goes on
//! with the run takes up what workers finished meanwhile. The rules are those of `queue`.

mod actor;
mod attempts;
mod cancels;
mod reader;
mod results;
mod staff;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use self::actor::Actor;
use super::{BoxFuture, Capacity, Executor, Port, Unreachable};
use crate::digest::Digest;
use crate::id::AttemptId;
use crate::model::{Attempt, Cause, RedisSettings};

/// Attempts of a run that are queued or execute at most: workers come and go, and whoever scales them wants
/// to see what waits.
const QUEUED: usize = 4096;

/// So many of them are made of files however large these are.
const AT_ONCE: usize = 256;

/// What an executor on Redis needs.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// The executor's name in the workflow.
    pub name: Arc<str>,
    /// The queue.
    pub redis: RedisSettings,
    /// Where the components' files are.
    pub components: Vec<(Digest, PathBuf)>,
}

/// What the executor's thread is asked for.
enum Order {
    Submit(Vec<Attempt>),
    Cancel(Vec<AttemptId>, Cause),
    /// Take back what no worker has.
    Stop,
    Recorded(Vec<AttemptId>),
    Staffed(oneshot::Sender<Result<(), String>>),
    Close(oneshot::Sender<()>),
}

/// Executes attempts in workers that take them from Redis.
pub struct Queue {
    settings: Arc<QueueSettings>,
    orders: mpsc::UnboundedSender<Order>,
    begin: Mutex<Option<mpsc::UnboundedReceiver<Order>>>,
    /// Attempts that were submitted and have not ended.
    outstanding: Arc<watch::Sender<usize>>,
}

impl Queue {
    /// Nothing is reached before it is opened.
    #[must_use]
    pub fn new(settings: QueueSettings) -> Self {
        let (orders, begin) = mpsc::unbounded_channel();
        let outstanding = Arc::new(watch::Sender::new(0));
        Self { settings: Arc::new(settings), orders, begin: Mutex::new(Some(begin)), outstanding }
    }

    fn order(&self, order: Order) {
        // Without its thread nothing was ever submitted, or this process ends.
        let _ = self.orders.send(order);
    }
}

impl Executor for Queue {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        Box::pin(async move {
            let unreachable =
                |reason: String| Unreachable { executor: Arc::clone(&self.settings.name), reason };
            // Nothing in there panics halfway.
            let begin = self.begin.lock().unwrap_or_else(PoisonError::into_inner).take();
            let orders = begin.ok_or_else(|| unreachable("it was opened before".to_owned()))?;
            let (sender, opened) = oneshot::channel();
            let (settings, outstanding) = (Arc::clone(&self.settings), Arc::clone(&self.outstanding));
            let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let threads = threads.map_err(|error| unreachable(error.to_string()))?;
            let work = move || {
                threads.block_on(async move {
                    match Actor::open(settings, port, outstanding).await {
                        Ok(actor) => {
                            // Who asked may be gone, and then there are no orders.
                            let _ = sender.send(Ok(()));
                            actor.run(orders).await;
                        }
                        Err(error) => drop(sender.send(Err(error.to_string()))),
                    }
                });
            };
            let thread = std::thread::Builder::new().name("flowhost-redis".to_owned()).spawn(work);
            thread.map_err(|error| unreachable(error.to_string()))?;
            let opened =
                opened.await.unwrap_or_else(|_| Err("flowhost itself failed, please report it".into()));
            opened.map_err(unreachable)?;
            Ok(Capacity { slots: AT_ONCE, ahead: QUEUED - AT_ONCE })
        })
    }

    fn submit(&self, batch: Vec<Attempt>) {
        self.outstanding.send_modify(|count| *count += batch.len());
        self.order(Order::Submit(batch));
    }

    fn cancel(&self, ids: &[AttemptId], cause: Cause) {
        self.order(Order::Cancel(ids.to_vec(), cause));
    }

    fn announce_cancel(&self) {
        self.order(Order::Stop);
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The sender lives as long as this.
            let _ = self.outstanding.subscribe().wait_for(|count| *count == 0).await;
        })
    }

    fn staffed(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
        Box::pin(async move {
            let (sender, answer) = oneshot::channel();
            self.order(Order::Staffed(sender));
            let answer = answer.await.unwrap_or(Ok(()));
            answer.map_err(|reason| Unreachable { executor: Arc::clone(&self.settings.name), reason })
        })
    }

    fn recorded(&self, ids: &[AttemptId]) {
        self.order(Order::Recorded(ids.to_vec()));
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (sender, done) = oneshot::channel();
            self.order(Order::Close(sender));
            // Without its thread nothing was left anywhere.
            let _ = done.await;
        })
    }
}
