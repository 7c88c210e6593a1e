//! When there are more workers. As many as there are cores do all the work while attempts compute; beside
//! those that wait for something, and for calls that others keep waiting, more are started.

use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::State;
use super::worker::{Worker, attend};
use crate::model::Call;

/// Workers for each one whose attempt was seen to wait. More of them at once would all compute where
/// attempts wait first and compute then.
const BESIDE_EACH: usize = 4;

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

    /// Starts workers beside those whose attempts take long: four for each that waits for something, and one for
    /// each call that has none. Says whether more is known of some of them at a second look soon.
    pub(super) fn grow_beside(&mut self, now: Instant) -> bool {
        if self.ready.iter().all(VecDeque::is_empty) {
            return false;
        }
        let (mut sleeping, mut computing, mut seen_once) = (0_usize, 0_usize, false);
        for worker in self.workers.values_mut().filter(|worker| worker.is_busy()) {
            worker.sleeps = false;
            if worker.up.is_none() || !worker.is_long(now) {
                continue;
            }
            let waits = worker.up.as_ref().is_some_and(|(_, side)| side.waits());
            // At two looks: the first may have come at a moment's pause.
            match (std::mem::replace(&mut worker.waited, waits), waits) {
                (true, true) => {
                    worker.sleeps = true;
                    sleeping += 1;
                }
                (false, true) => seen_once = true,
                (_, false) => computing += 1,
            }
        }
        let room = self.workers.len() < self.most;
        let beside = sleeping > 0 && computing < self.cores;
        // Those of which nothing is known yet, or that have yet to start, may turn out to compute.
        let wanted = self.cores.saturating_add(sleeping.saturating_mul(BESIDE_EACH));
        let busy = self.workers.values().filter(|worker| worker.is_busy()).count();
        let mut more = wanted.saturating_sub(busy);
        for profile in 0..self.ready.len() {
            let some = if beside {
                let waiting = self.ready.get(profile).map_or(0, VecDeque::len);
                let starting = |worker: &&Worker| worker.profile == profile && worker.up.is_none();
                let starting = self.workers.values().filter(starting).count();
                let some = more.min(waiting.saturating_sub(starting));
                more -= some;
                some
            } else {
                // Whoever computes has the cores. What sleeps takes none of them.
                self.left_out(profile, now)
            };
            (0..some).for_each(|_| self.start_beside(profile));
        }
        seen_once && room && computing < self.cores
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
                None if known < self.most => calls.push((&attempt.call, 1)),
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
        if self.workers.len() >= self.most {
            let idle =
                |worker: &&mut Worker| worker.profile != profile && !worker.retires && !worker.is_busy();
            if let Some(worker) = self.workers.values_mut().find(idle) {
                worker.retire();
            }
            return;
        }
        self.start_worker(profile, 0);
    }

    /// Starts a worker: a child, or that of a node.
    pub(super) fn start_worker(&mut self, profile: usize, node: usize) {
        let Some(news) = self.news.clone() else { return };
        let id = self.next;
        self.next += 1;
        let stop = Arc::new(Notify::new());
        self.workers.insert(id, Worker::new(profile, node, Arc::clone(&stop)));
        let reach = self.calls.reach(profile);
        let (launch, ours) = (Arc::clone(&self.launch), Arc::clone(&self.ours));
        drop(tokio::spawn(attend(id, launch, reach, node, ours, stop, news)));
    }
}
