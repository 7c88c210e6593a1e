//! When there are more workers. As many as there are cores do all the work while attempts compute; beside
//! those that wait for something, and for calls that others keep waiting, more are started.

use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::State;
use super::worker::{Worker, attend};
use crate::model::Call;

impl State {
    /// Starts workers for what waits, as many as there are cores, and one for each profile that has none.
    pub(super) fn grow(&mut self) {
        for profile in 0..self.ready.len() {
            let waiting = self.ready.get(profile).map_or(0, |ready| ready.len());
            if waiting == 0 {
                continue;
            }
            let of = |worker: &&Worker| worker.profile == profile && !worker.retires;
            let mine = self.workers.values().filter(of).count();
            let starting = self.workers.values().filter(of).filter(|worker| worker.up.is_none()).count();
            let busy = self.workers.values().filter(|worker| worker.profile == profile || worker.is_busy());
            let busy = busy.filter(|worker| !worker.retires).count();
            let wanted = self.cores.saturating_sub(busy).max(usize::from(mine == 0));
            for _ in 0..wanted.min(waiting.saturating_sub(starting)) {
                self.start_beside(profile);
            }
        }
    }

    /// Starts workers beside those whose attempts take long: as many as these wait for something, and one for
    /// each call that has none.
    pub(super) fn grow_beside(&mut self, now: Instant) {
        let (mut sleeping, mut busy) = (0, 0);
        for worker in self.workers.values_mut().filter(|worker| worker.is_busy()) {
            let waits = worker.is_long(now) && worker.up.as_ref().is_some_and(|(_, side)| side.waits());
            // At two looks: the first may have come at a moment's pause.
            worker.sleeps = std::mem::replace(&mut worker.waited, waits) && waits;
            if worker.sleeps {
                sleeping += 1;
            } else {
                busy += 1;
            }
        }
        for profile in 0..self.ready.len() {
            let waiting = self.ready.get(profile).map_or(0, |ready| ready.len());
            let more = match sleeping > 0 && busy < self.cores {
                true => waiting.min(sleeping.max(self.cores.saturating_sub(busy))),
                // Whoever computes has the cores. What sleeps takes none of them.
                false => self.left_out(profile, now),
            };
            (0..more).for_each(|_| self.start_beside(profile));
        }
    }

    /// How many workers are to be started for calls that wait while attempts of others compute: those of
    /// which no attempt computes.
    fn left_out(&self, profile: usize, now: Instant) -> usize {
        let mut mine = self.workers.values().filter(|worker| worker.profile == profile && !worker.retires);
        // One that is free soon, or is being started, has room for them.
        if !mine.all(|worker| worker.is_long(now)) {
            return 0;
        }
        let mut calls: Vec<(&Arc<Call>, usize)> = Vec::new();
        for attempt in self.ready.get(profile).into_iter().flatten() {
            let known = calls.len();
            match calls.iter_mut().find(|(call, _)| Arc::ptr_eq(call, &attempt.call)) {
                Some((_, waiting)) => *waiting += 1,
                None if known < self.launch.most() => calls.push((&attempt.call, 1)),
                None => {}
            }
        }
        let more = |(call, waiting): (&Arc<Call>, usize)| {
            let mut sleeping = 0;
            for worker in self.workers.values().filter(|worker| worker.executes(call)) {
                if !worker.sleeps {
                    return 0;
                }
                sleeping += 1;
            }
            waiting.min(sleeping.max(1))
        };
        calls.into_iter().map(more).sum()
    }

    /// Starts a worker, unless there are as many as may be. One of another profile that has nothing to do
    /// makes way.
    pub(super) fn start_beside(&mut self, profile: usize) {
        if self.hopeless.is_some() || self.starts.rest(Instant::now()) {
            return;
        }
        if self.workers.len() >= self.launch.most() {
            let idle =
                |worker: &&mut Worker| worker.profile != profile && !worker.retires && !worker.is_busy();
            if let Some(worker) = self.workers.values_mut().find(idle) {
                worker.retire();
            }
            return;
        }
        self.start_worker(profile);
    }

    pub(super) fn start_worker(&mut self, profile: usize) {
        let Some(news) = self.news.clone() else { return };
        let id = self.next;
        self.next += 1;
        let stop = Arc::new(Notify::new());
        self.workers.insert(id, Worker::new(profile, Arc::clone(&stop)));
        let reach = self.calls.reach(profile);
        let (launch, ours) = (Arc::clone(&self.launch), Arc::clone(&self.ours));
        drop(tokio::spawn(attend(id, launch, reach, ours, stop, news)));
    }
}
