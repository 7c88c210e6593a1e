//! A lane: a task on the guests' threads that executes one attempt after the other, for as long as
//! the executor lives. Nothing that a guest does, nor a panic of the host, ends it.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::Shared;
use super::queue::Next;
use crate::channel::Channel;
use crate::executor::{Port, Report};
use crate::id::AttemptId;
use crate::model::{Attempt, Cause, Level, Outcome, Stream, Usage};
use crate::runtime::{Observer, Prepared};

/// After so much work without a wait, a lane gives way: the same thread serves timers and the lanes
/// that wait for it.
const TURN: Duration = Duration::from_millis(1);

/// Lines that are kept of an attempt whose lines nobody wants, in case it does not succeed.
const LAST_LINES: usize = 20;

/// How an attempt ended, seen from its lane.
enum End {
    Ended(Outcome, Usage),
    Cancelled(Cause),
    Panicked(String),
}

/// One lane.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) port: Port,
    /// Its position.
    pub(super) me: usize,
    /// Wakes it when it rests, or when its attempt is cancelled.
    pub(super) wake: Arc<Notify>,
}

impl Lane {
    /// Executes attempts until the executor is gone.
    pub(super) async fn run(self) {
        let Self { shared, port, me, wake } = &self;
        let teller = Arc::new(Teller::new(Arc::clone(shared), port.clone(), *me));
        let observer: Arc<dyn Observer> = teller.clone();
        let starts = port.interest().starts;
        let mut last: Option<Arc<Prepared>> = None;
        let mut turn = Duration::ZERO;
        shared.rest(*me, wake).await;
        loop {
            let next = shared.queue().next(*me, last.as_ref().map(|last| last.call()));
            let (attempt, prepared) = match (next, last.take()) {
                (Next::Again(attempt), Some(last)) => (attempt, last),
                // A copy of its own: counters that two threads share cost more than the rest of a call.
                (Next::Run(attempt, prepared), _) => (attempt, Arc::new(Prepared::clone(&prepared))),
                (Next::Prepare(call), before) => {
                    last = before;
                    shared.prepare(call, port);
                    continue;
                }
                (Next::Again(attempt), None) => {
                    let outcome = Outcome::Lost { reason: broken("the call was gone"), exhausted: false };
                    port.report([Report::Finished {
                        id: attempt.id,
                        outcome,
                        usage: Usage::default(),
                        worker: None,
                    }]);
                    continue;
                }
                (Next::Refuse(attempt, reason), before) => {
                    last = before;
                    let outcome = Outcome::Rejected { reason: reason.to_string() };
                    port.report([Report::Finished {
                        id: attempt.id,
                        outcome,
                        usage: Usage::default(),
                        worker: None,
                    }]);
                    continue;
                }
                (Next::Rest(others), before) => {
                    last = before;
                    shared.wake(&others);
                    port.flush();
                    shared.rest(*me, wake).await;
                    turn = Duration::ZERO;
                    continue;
                }
            };
            let id = attempt.id;
            if starts {
                port.report([Report::Started { id }]);
            }
            let (end, paused) = self.execute(&prepared, &attempt, &teller, &observer).await;
            last = Some(prepared);
            let (outcome, usage) = match end {
                End::Ended(outcome, usage) => (outcome, usage),
                End::Cancelled(cause) => (Outcome::Cancelled { cause }, Usage::default()),
                End::Panicked(reason) => (Outcome::Lost { reason, exhausted: false }, Usage::default()),
            };
            teller.end(matches!(outcome, Outcome::Succeeded(_)));
            turn = if paused { Duration::ZERO } else { turn.saturating_add(usage.wall) };
            port.report([Report::Finished { id, outcome, usage, worker: None }]);
            if turn >= TURN {
                turn = Duration::ZERO;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Executes one attempt until it ends or is cancelled. Says whether it gave its thread away
    /// meanwhile.
    async fn execute(
        &self,
        prepared: &Arc<Prepared>,
        attempt: &Attempt,
        teller: &Teller,
        observer: &Arc<dyn Observer>,
    ) -> (End, bool) {
        let shared = &self.shared;
        let attempted = shared.runtime.attempt(prepared, attempt.into(), observer);
        let mut attempted = pin!(Some(attempted));
        let mut woken = pin!(self.wake.notified());
        teller.turned.store(false, Ordering::Relaxed);
        let mut paused = false;
        let end = poll_fn(|context| {
            if paused {
                shared.queue().back(self.me);
            }
            let poll = || attempted.as_mut().as_pin_mut().map(|attempted| attempted.poll(context));
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Some(Poll::Ready((outcome, usage)))) => return Poll::Ready(End::Ended(outcome, usage)),
                Ok(Some(Poll::Pending)) => {}
                Ok(None) => return Poll::Ready(End::Panicked(broken("the attempt was gone"))),
                Err(panic) => return Poll::Ready(End::Panicked(panicked(&*panic))),
            }
            paused = true;
            if !teller.turned.load(Ordering::Relaxed) {
                let wake = shared.queue().wait(self.me);
                shared.wake(&wake);
            }
            self.port.flush();
            while woken.as_mut().poll(context).is_ready() {
                if let Some(cause) = shared.queue().cancelled(self.me) {
                    return Poll::Ready(End::Cancelled(cause));
                }
                // It is the guest's turn, or this was meant for an attempt that ended first.
                woken.set(self.wake.notified());
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        // The guest is gone before its end is told, with all that it held.
        let dropped = catch_unwind(AssertUnwindSafe(|| attempted.set(None)));
        if paused {
            shared.queue().over(self.me);
        }
        match dropped {
            Ok(()) => (end, paused),
            Err(panic) => (End::Panicked(panicked(&*panic)), paused),
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    broken(said)
}

fn broken(what: &str) -> String {
    format!("flowhost itself failed while it executed the attempt, please report it: {what}")
}

/// Passes on what the lane's guest says.
struct Teller {
    shared: Arc<Shared>,
    port: Port,
    /// The lane's position.
    me: usize,
    logs: bool,
    progress: bool,
    /// Whether the guest waits for nothing but its next turn.
    turned: Arc<AtomicBool>,
    /// The last lines, while nobody wants them.
    held: Mutex<VecDeque<Report>>,
}

impl Teller {
    fn new(shared: Arc<Shared>, port: Port, me: usize) -> Self {
        let interest = port.interest();
        let (logs, progress) = (interest.logs, interest.progress);
        Self { shared, port, me, logs, progress, turned: Arc::default(), held: Mutex::default() }
    }

    /// The attempt ended: its last lines say why, where it did not succeed.
    fn end(&self, succeeded: bool) {
        if self.logs {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if succeeded {
            held.clear();
        } else if !held.is_empty() {
            self.port.report(held.drain(..));
        }
    }
}

impl Observer for Teller {
    fn line(&self, id: AttemptId, level: Level, stream: Stream, message: Arc<str>, cut: bool) {
        let report = Report::Log { id, level, stream, message, cut };
        if self.logs {
            return self.port.report([report]);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == LAST_LINES {
            held.pop_front();
        }
        held.push_back(report);
    }

    fn progress(&self, id: AttemptId, done: u64, total: Option<u64>, message: Option<Arc<str>>) {
        self.port.report([Report::Progress { id, done, total, message }]);
    }

    fn wants_progress(&self) -> bool {
        self.progress
    }

    fn turn(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.turned.store(true, Ordering::Relaxed);
        let wake = self.shared.queue().turn(self.me);
        self.shared.wake(&wake);
        let (shared, turned, me) = (Arc::clone(&self.shared), Arc::clone(&self.turned), self.me);
        Box::pin(async move {
            // Timers, and what else waits for a thread, come first even where no other guest computes.
            tokio::task::yield_now().await;
            // The lane is woken when its turn comes.
            poll_fn(|_| if shared.queue().has_turn(me) { Poll::Ready(()) } else { Poll::Pending }).await;
            turned.store(false, Ordering::Relaxed);
        })
    }

    fn channel(&self) -> &dyn Channel {
        self.port.channel()
    }

    fn cancelling(&self) -> bool {
        self.shared.cancelling.load(Ordering::Relaxed)
    }
}
