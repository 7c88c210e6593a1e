//! The way of reports from an executor to the dispatcher. A report is visible at once; the
//! dispatcher is woken for batches, because a wake-up costs more than most attempts.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Report;
use crate::report::Interest;

/// So many reports wake the dispatcher. On a machine whose cores the guests keep busy, a wake-up takes
/// one of them away for several microseconds: with 16 that was a tenth of a short branch's cost.
const BATCH: usize = 64;

/// So much time since it was last woken makes any report wake it: what takes longer than this is not
/// worth a batch.
const PAUSE: Duration = Duration::from_micros(200);

/// The executor's end. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Port(Arc<Shared>);

/// The dispatcher's end.
#[derive(Debug)]
pub struct Reports(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    interest: Interest,
}

#[derive(Debug)]
struct Queue {
    reports: Vec<Report>,
    /// Whether the dispatcher was woken and did not come yet.
    woken: bool,
    last_woken: Instant,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A poisoned queue is still a queue: reports are pushed and taken whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    /// Two ends of one queue. `interest` is what the dispatcher wants to be told besides how
    /// attempts ended.
    #[must_use]
    pub fn new(interest: Interest) -> (Self, Reports) {
        let queue = Queue { reports: Vec::new(), woken: false, last_woken: Instant::now() };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake: Notify::new(), interest });
        (Self(Arc::clone(&shared)), Reports(shared))
    }

    /// What the dispatcher wants to be told. Executors need not make other reports of starts and
    /// progress, and of the lines of attempts that succeeded.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.0.interest
    }

    /// Makes reports visible. Wakes the dispatcher when enough wait or enough time passed;
    /// [`Port::flush`] wakes it in any case.
    pub fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let now = Instant::now();
        let mut queue = self.0.queue();
        queue.reports.extend(reports);
        let due = queue.reports.len() >= BATCH || now.duration_since(queue.last_woken) >= PAUSE;
        if due {
            self.wake(queue, now);
        }
    }

    /// Wakes the dispatcher if anything waits for it. An executor calls this before it rests.
    pub fn flush(&self) {
        self.wake(self.0.queue(), Instant::now());
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue>, now: Instant) {
        if queue.woken || queue.reports.is_empty() {
            return;
        }
        queue.woken = true;
        queue.last_woken = now;
        drop(queue);
        self.0.wake.notify_one();
    }
}

impl Reports {
    /// Waits until woken. Cancel-safe.
    pub async fn ready(&self) {
        self.0.wake.notified().await;
    }

    /// Takes all reports so far into `into`, which is cleared.
    pub fn take(&self, into: &mut Vec<Report>) {
        into.clear();
        let mut queue = self.0.queue();
        queue.woken = false;
        std::mem::swap(into, &mut queue.reports);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::id::{AttemptId, BranchId, NodeId};

    fn returned(index: u32) -> Report {
        Report::Returned { id: AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 } }
    }

    fn is_woken(reports: &Reports) -> bool {
        let ready = pin!(reports.ready());
        ready.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    /// A port whose pause begins anew.
    fn fresh() -> (Port, Reports) {
        let (port, reports) = Port::new(Interest::default());
        port.0.queue().last_woken = Instant::now() + Duration::from_secs(3600);
        (port, reports)
    }

    #[test]
    fn a_full_batch_wakes_once() {
        let (port, reports) = fresh();
        for index in 0..63 {
            port.report([returned(index)]);
            assert!(!is_woken(&reports));
        }
        port.report((63..200).map(returned));
        assert!(is_woken(&reports));
        port.report([returned(200)]);
        assert!(!is_woken(&reports), "woken twice for one look");
        let mut taken = Vec::new();
        reports.take(&mut taken);
        assert_eq!(taken, (0..=200).map(returned).collect::<Vec<_>>());
    }

    #[test]
    fn a_flush_wakes_when_there_is_something() {
        let (port, reports) = fresh();
        port.flush();
        assert!(!is_woken(&reports));
        port.report([returned(0)]);
        port.flush();
        assert!(is_woken(&reports));
    }

    #[test]
    fn a_report_after_a_pause_wakes_at_once() {
        let (port, reports) = fresh();
        port.0.queue().last_woken = Instant::now().checked_sub(PAUSE).unwrap();
        port.report([returned(0)]);
        assert!(is_woken(&reports));
    }
}
