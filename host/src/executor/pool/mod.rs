//! A pool of workers that speak the wire protocol: started when there is something for them, used again,
//! and replaced when they are lost. Knows nothing of how they are started.

mod calls;
mod growth;
mod hands;
mod idle;
mod launch;
mod nodes;
mod parts;
mod starts;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

pub(super) use launch::{Component, End, Gone, Launch, Life, Link, Place, Reach, Side, Staff, Unmet};

use self::state::State;
use super::{BoxFuture, Capacity, Executor, Port, Unreachable};
use crate::id::AttemptId;
use crate::model::{Attempt, Cause};
use crate::runtime::RuntimeError;

/// How often the pool looks at workers that take long.
const LOOK: Duration = Duration::from_millis(25);

/// How soon it looks again at those that it saw waiting once.
const SECOND_LOOK: Duration = Duration::from_millis(5);

/// Workers that compute at once.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What a pool is asked for.
enum Order {
    Open(Port, oneshot::Sender<Result<Capacity, Unreachable>>),
    Submit(Vec<Attempt>),
    Cancel(Vec<AttemptId>, Cause),
    Stop,
}

/// Attempts that were submitted and have not ended.
#[derive(Default)]
struct Outstanding {
    count: AtomicUsize,
    none: Notify,
}

impl Outstanding {
    fn ended(&self, count: usize) {
        if self.count.fetch_sub(count, Ordering::AcqRel) == count {
            self.none.notify_waiters();
        }
    }
}

/// Executes attempts in workers.
pub(super) struct Pool {
    orders: mpsc::UnboundedSender<Order>,
    outstanding: Arc<Outstanding>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    /// Starts the thread that all workers are started from and that talks to them. It lives as long as
    /// the pool: they end with it.
    pub(super) fn new(launch: impl Launch) -> Result<Self, RuntimeError> {
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut pool, state, orders) = Self::unmanned(launch);
        let work = move || threads.block_on(work(state, orders));
        let thread = std::thread::Builder::new().name("flowhost-pool".to_owned()).spawn(work)?;
        pool.thread = Mutex::new(Some(thread));
        Ok(pool)
    }

    /// A pool, and what its thread is to work on.
    fn unmanned(launch: impl Launch) -> (Self, State, mpsc::UnboundedReceiver<Order>) {
        let (orders, taken) = mpsc::unbounded_channel();
        let outstanding = Arc::new(Outstanding::default());
        let state = State::new(Arc::new(launch), Arc::clone(&outstanding));
        (Self { orders, outstanding, thread: Mutex::default() }, state, taken)
    }

    fn order(&self, order: Order) {
        // The thread lives as long as the pool; should it have panicked, that was said.
        let _ = self.orders.send(order);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The thread ends when nobody orders any more, and its workers with it. It does not wait for them.
        let (orders, _) = mpsc::unbounded_channel();
        self.orders = orders;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of it was said where it happened.
            let _ = thread.join();
        }
    }
}

impl Executor for Pool {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        let (answer, opened) = oneshot::channel();
        self.order(Order::Open(port, answer));
        Box::pin(async move {
            opened.await.unwrap_or_else(|_| {
                Err(Unreachable { executor: "pool".into(), reason: "its thread ended".to_owned() })
            })
        })
    }

    fn submit(&self, batch: Vec<Attempt>) {
        self.outstanding.count.fetch_add(batch.len(), Ordering::AcqRel);
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
            loop {
                let mut none = std::pin::pin!(self.outstanding.none.notified());
                none.as_mut().enable();
                if self.outstanding.count.load(Ordering::Acquire) == 0 {
                    return;
                }
                none.await;
            }
        })
    }
}

/// Does what the pool is asked for until nobody asks any more.
async fn work(mut state: State, mut orders: mpsc::UnboundedReceiver<Order>) {
    let (sender, mut news) = mpsc::unbounded_channel();
    state.news = Some(sender);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => state.order(order),
                None => return,
            },
            Some((id, what)) = news.recv() => state.news(id, what),
            _ = looks.tick(), if state.is_watched() => if state.look() {
                looks.reset_after(SECOND_LOOK);
            },
        }
        // All that is there, before anything is done about it.
        while let Ok((id, what)) = news.try_recv() {
            state.news(id, what);
        }
        while let Ok(order) = orders.try_recv() {
            state.order(order);
        }
        state.settle();
    }
}

/// Workers by number.
type Workers = HashMap<worker::WorkerId, worker::Worker>;
