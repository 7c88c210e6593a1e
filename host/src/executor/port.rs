//! The way of reports from an executor to the dispatcher. A report is visible at once; the
//! dispatcher is woken for batches, because a wake-up costs more than most attempts.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Report;
use super::writes::Writes;
use crate::channel::{Channel, Sink};
use crate::report::Interest;

/// For how many reports, and how soon, whoever takes them is woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// It is in this process. On a machine whose cores the guests keep busy, a wake-up takes one of them away for
    /// several microseconds: with batches of 16 that was a tenth of a short branch's cost.
    Near,
    /// It sends them on through ssh, where each message wakes four processes.
    Far,
}

impl Pace {
    /// So many reports wake it.
    const fn batch(self) -> usize {
        match self {
            Self::Near => 64,
            Self::Far => 256,
        }
    }

    /// So much time since it was last woken makes any report wake it: what takes longer than this is not worth a batch.
    const fn pause(self) -> Duration {
        match self {
            Self::Near => Duration::from_micros(200),
            Self::Far => Duration::from_millis(1),
        }
    }
}

/// The executor's end: where its reports go, and the run's channel, which its attempts reach. Clones
/// share one queue.
#[derive(Clone)]
pub struct Port {
    shared: Arc<Shared>,
    channel: Arc<dyn Channel>,
}

/// The dispatcher's end.
#[derive(Debug)]
pub struct Reports(Arc<Shared>);

/// What both ends share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    pace: Pace,
    interest: Interest,
    /// Reports were taken, or nobody takes any more.
    pub(super) taken: Notify,
}

#[derive(Debug)]
struct Queue {
    reports: Vec<Report>,
    /// Bytes of changes of the channel among them.
    changed: usize,
    /// Whether the dispatcher was woken and did not come yet.
    woken: bool,
    last_woken: Instant,
    /// Nobody takes reports any more.
    closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A poisoned queue is still a queue: reports are pushed and taken whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    /// Two ends of one queue. `interest` is what the dispatcher wants to be told besides how
    /// attempts ended. `channel` makes the run's channel, which tells its changes to the sink that it is
    /// given, if any.
    pub fn new<C>(interest: Interest, channel: C) -> (Self, Reports)
    where
        C: FnOnce(Option<Box<dyn Sink>>) -> Arc<dyn Channel>,
    {
        Self::paced(Pace::Near, interest, channel)
    }

    /// The same, for whoever is woken at another pace.
    pub fn paced<C>(pace: Pace, interest: Interest, channel: C) -> (Self, Reports)
    where
        C: FnOnce(Option<Box<dyn Sink>>) -> Arc<dyn Channel>,
    {
        let queue = Queue {
            reports: Vec::new(),
            changed: 0,
            woken: false,
            last_woken: Instant::now(),
            closed: false,
        };
        let (wake, taken) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake, pace, interest, taken });
        let sink = interest.writes.then(|| -> Box<dyn Sink> { Box::new(Writes(Arc::clone(&shared))) });
        (Self { shared: Arc::clone(&shared), channel: channel(sink) }, Reports(shared))
    }

    /// The run's channel. An executor asks it for its attempts: directly in this process, or when a
    /// worker hands a question over.
    #[must_use]
    pub fn channel(&self) -> &dyn Channel {
        &*self.channel
    }

    /// What the dispatcher wants to be told. Executors need not make other reports of starts and
    /// progress, and of the lines of attempts that succeeded.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.shared.interest
    }

    /// Makes reports visible. Wakes the dispatcher when enough wait or enough time passed;
    /// [`Port::flush`] wakes it in any case.
    pub fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let now = Instant::now();
        let mut queue = self.shared.queue();
        queue.reports.extend(reports);
        self.shared.wake_if_due(queue, now);
    }

    /// Wakes the dispatcher if anything waits for it. An executor calls this before it rests.
    pub fn flush(&self) {
        self.shared.flush();
    }
}

impl Shared {
    /// A change of the channel.
    pub(super) fn change(&self, report: Report, size: usize) {
        let now = Instant::now();
        let mut queue = self.queue();
        queue.changed = queue.changed.saturating_add(size);
        queue.reports.push(report);
        self.wake_if_due(queue, now);
    }

    /// Bytes of changes that wait; none where nobody waits for them.
    pub(super) fn changed(&self) -> usize {
        let queue = self.queue();
        if queue.closed { 0 } else { queue.changed }
    }

    pub(super) fn flush(&self) {
        self.wake(self.queue(), Instant::now());
    }

    fn wake_if_due(&self, queue: MutexGuard<'_, Queue>, now: Instant) {
        if queue.reports.len() >= self.pace.batch()
            || now.duration_since(queue.last_woken) >= self.pace.pause()
        {
            self.wake(queue, now);
        }
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue>, now: Instant) {
        if queue.woken || queue.reports.is_empty() {
            return;
        }
        queue.woken = true;
        queue.last_woken = now;
        drop(queue);
        self.wake.notify_one();
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
        queue.changed = 0;
        std::mem::swap(into, &mut queue.reports);
        drop(queue);
        self.0.taken.notify_waiters();
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        // Who waits for room would wait for ever.
        self.0.queue().closed = true;
        self.0.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::channel::Memory;
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
        let (port, reports) = Port::new(Interest::default(), Memory::shared);
        port.shared.queue().last_woken = Instant::now() + Duration::from_secs(3600);
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
        port.shared.queue().last_woken = Instant::now().checked_sub(Pace::Near.pause()).unwrap();
        port.report([returned(0)]);
        assert!(is_woken(&reports));
    }
}
