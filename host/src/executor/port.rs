//! The way of reports from an executor to the dispatcher. A report is visible at once; the
//! dispatcher is woken for batches, because a wake-up costs more than most attempts.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Report;

/// So many reports wake the dispatcher.
const BATCH: usize = 16;

/// The executor's end. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Port(Arc<Shared>);

/// The dispatcher's end.
#[derive(Debug)]
pub struct Reports(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Vec<Report>>,
    wake: Notify,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Vec<Report>> {
        // A poisoned queue is still a queue: reports are pushed and taken whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port {
    /// Two ends of one queue.
    #[must_use]
    pub fn new() -> (Self, Reports) {
        let shared = Arc::new(Shared::default());
        (Self(Arc::clone(&shared)), Reports(shared))
    }

    /// Makes reports visible. Wakes the dispatcher when enough wait; `flush` wakes it in any case.
    pub fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let waiting = {
            let mut queue = self.0.queue();
            queue.extend(reports);
            queue.len()
        };
        if waiting >= BATCH {
            self.flush();
        }
    }

    /// Wakes the dispatcher.
    pub fn flush(&self) {
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
        std::mem::swap(into, &mut self.0.queue());
    }
}
