//! Workers that have had nothing to do for a while: those beyond as many as there are cores end, whatever
//! they reach.

use std::time::Duration;

use tokio::time::Instant;

use super::state::State;
use super::worker::Worker;

/// How long a worker may have nothing to do where there are more than cores: long enough that those of one
/// group are still there for the next.
const IDLE: Duration = Duration::from_secs(5);

impl State {
    /// Whether there are workers that will end if nothing comes for them.
    pub(super) fn has_spare(&self) -> bool {
        self.stay().count() > self.cores && self.stay().any(Worker::rests)
    }

    /// Ends those that have been idle for long, longest first, down to as many workers as there are cores.
    pub(super) fn end_idle(&mut self, now: Instant) {
        let spare = self.stay().count().saturating_sub(self.cores);
        if spare == 0 {
            return;
        }
        let long = |worker: &Worker| now.saturating_duration_since(worker.since) >= IDLE;
        let idle = self.workers.iter_mut().filter(|(_, worker)| worker.rests() && long(worker));
        let mut idle: Vec<_> = idle.map(|(id, worker)| ((worker.since, *id), worker)).collect();
        idle.sort_by_key(|(order, _)| *order);
        idle.into_iter().take(spare).for_each(|(_, worker)| worker.retire());
    }

    /// Workers that are to go on.
    fn stay(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(|worker| !worker.retires)
    }
}

impl Worker {
    /// Whether it has nothing to do, and is ready for something.
    fn rests(&self) -> bool {
        self.up.is_some() && !self.retires && self.pending.is_empty() && self.awaits == 0
    }
}
