//! A lane: a task on the guests' threads that executes one attempt after the other, for as long as
//! the executor lives. Nothing that a guest does, nor a panic of the host, ends it.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::Shared;
use super::queue::{Gave, Next};
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
        let teller = Arc::new(Teller::new(port.clone(), Arc::clone(&shared.cancelling)));
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
                (Next::Refuse(attempt, reason), before) => {
                    last = before;
                    let outcome = Outcome::Rejected { reason: reason.to_string() };
                    port.report([Report::Finished { id: attempt.id, outcome, usage: Usage::default() }]);
                    continue;
                }
                (Next::Rest | Next::Again(_), before) => {
                    last = before;
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
            let (end, gave) = self.execute(&prepared, &attempt, &teller, &observer).await;
            last = Some(prepared);
            let (outcome, usage) = match end {
                End::Ended(outcome, usage) => (outcome, usage),
                End::Cancelled(cause) => (Outcome::Cancelled { cause }, Usage::default()),
                End::Panicked(reason) => (Outcome::Lost { reason }, Usage::default()),
            };
            teller.end(matches!(outcome, Outcome::Succeeded(_)));
            turn = if gave { Duration::ZERO } else { turn.saturating_add(usage.wall) };
            port.report([Report::Finished { id, outcome, usage }]);
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
        let attempted = shared.runtime.attempt(prepared, attempt.id, &attempt.arguments, observer);
        let mut attempted = pin!(Some(attempted));
        let mut woken = pin!(self.wake.notified());
        teller.turned.store(false, Ordering::Relaxed);
        let mut gave = None;
        let mut turns = 0;
        let end = poll_fn(|context| {
            let poll = || attempted.as_mut().as_pin_mut().map(|attempted| attempted.poll(context));
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Some(Poll::Ready((outcome, usage)))) => return Poll::Ready(End::Ended(outcome, usage)),
                Ok(Some(Poll::Pending)) => {}
                Ok(None) => return Poll::Ready(End::Panicked(broken("the attempt was gone"))),
                Err(panic) => return Poll::Ready(End::Panicked(panicked(&*panic))),
            }
            if gave.is_none() {
                gave = if teller.turned.swap(false, Ordering::Relaxed) {
                    turns += 1;
                    shared.queue().is_long(turns).then_some(Gave::Computing)
                } else {
                    Some(Gave::Waiting)
                };
                if let Some(gave) = gave {
                    shared.give(gave);
                }
                self.port.flush();
            }
            while woken.as_mut().poll(context).is_ready() {
                if let Some(cause) = shared.queue().cancelled(self.me) {
                    return Poll::Ready(End::Cancelled(cause));
                }
                // Meant for an attempt that ended first.
                woken.set(self.wake.notified());
            }
            Poll::Pending
        })
        .await;
        // The guest is gone before its end is told, with all that it held.
        let dropped = catch_unwind(AssertUnwindSafe(|| attempted.set(None)));
        if let Some(gave) = gave {
            shared.queue().resume(gave);
        }
        match dropped {
            Ok(()) => (end, gave.is_some()),
            Err(panic) => (End::Panicked(panicked(&*panic)), gave.is_some()),
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
    port: Port,
    cancelling: Arc<AtomicBool>,
    logs: bool,
    progress: bool,
    /// Whether the guest gave way only because its turn was over.
    turned: AtomicBool,
    /// The last lines, while nobody wants them.
    held: Mutex<VecDeque<Report>>,
}

impl Teller {
    fn new(port: Port, cancelling: Arc<AtomicBool>) -> Self {
        let interest = port.interest();
        let (logs, progress) = (interest.logs, interest.progress);
        Self { port, cancelling, logs, progress, turned: AtomicBool::default(), held: Mutex::default() }
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

    fn turn(&self) {
        self.turned.store(true, Ordering::Relaxed);
    }

    fn cancelling(&self) -> bool {
        self.cancelling.load(Ordering::Relaxed)
    }
}
