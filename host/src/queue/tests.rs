//! The rules of leases under random schedules: a model of the stream, workers that stop for a while or end,
//! and answers that are lost.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::leases::{Action, HoldId, Input, Leases};
use super::{DELIVERIES, Finish, Renewal};

const LEASE: Duration = Duration::from_secs(30);
const WORKERS: usize = 3;
const ATTEMPTS: usize = 6;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The stream and the run's record, as the scripts change them.
#[derive(Default, Debug)]
struct Server {
    entries: Vec<Entry>,
    fenced: usize,
}

#[derive(Clone, Default, Debug)]
struct Entry {
    owner: Option<usize>,
    delivery: u64,
    /// When it was delivered or renewed.
    since: Duration,
    /// Who ended it in which delivery; nobody where it was given up.
    ended: Vec<Option<(usize, u64)>>,
}

impl Server {
    /// What `worker` is given, with the count of the delivery.
    fn take(&mut self, worker: usize, now: Duration) -> Option<(usize, u64)> {
        loop {
            let free = |entry: &Entry| {
                entry.ended.is_empty() && (entry.owner.is_none() || now - entry.since >= LEASE)
            };
            let at = self.entries.iter().position(free)?;
            let entry = &mut self.entries[at];
            entry.owner = Some(worker);
            entry.delivery += 1;
            entry.since = now;
            if entry.delivery <= DELIVERIES {
                return Some((at, entry.delivery));
            }
            entry.ended.push(None);
        }
    }

    fn renew(&mut self, worker: usize, at: usize, delivery: u64, now: Duration) -> Renewal {
        let entry = &mut self.entries[at];
        if !entry.ended.is_empty() || entry.owner != Some(worker) || entry.delivery != delivery {
            return Renewal::Lost;
        }
        entry.since = now;
        Renewal::Held
    }

    fn finish(&mut self, worker: usize, at: usize, delivery: u64) -> Finish {
        let entry = &mut self.entries[at];
        if entry.ended.contains(&Some((worker, delivery))) {
            return Finish::Recorded;
        }
        if !entry.ended.is_empty() || entry.owner != Some(worker) || entry.delivery != delivery {
            self.fenced += 1;
            return Finish::Fenced;
        }
        entry.ended.push(Some((worker, delivery)));
        Finish::Recorded
    }
}

struct Worker {
    leases: Leases,
    held: BTreeMap<HoldId, (usize, u64)>,
    next: HoldId,
    /// It does nothing until then.
    stopped: Duration,
    gone: bool,
}

/// What becomes of a question.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Answered,
    /// It never reaches the server.
    Lost,
    /// The server's answer does not reach the worker.
    Unheard,
}

#[derive(Clone, Debug)]
enum Move {
    Pass(u64),
    Take(usize, Fate),
    End(usize, Fate),
    /// The worker does nothing for so many seconds, as if it were stopped.
    Stop(usize, u64),
    Kill(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let fate = || prop_oneof![4 => Just(Fate::Answered), 1 => Just(Fate::Lost), 1 => Just(Fate::Unheard)];
    let one = prop_oneof![
        4 => (1_u64..15).prop_map(Move::Pass),
        4 => (0..WORKERS, fate()).prop_map(|(worker, fate)| Move::Take(worker, fate)),
        3 => (0..WORKERS, fate()).prop_map(|(worker, fate)| Move::End(worker, fate)),
        1 => (0..WORKERS, 1_u64..90).prop_map(|(worker, seconds)| Move::Stop(worker, seconds)),
        // The last one lives.
        1 => (0..WORKERS - 1).prop_map(Move::Kill),
    ];
    prop::collection::vec(one, 1..120)
}

struct World {
    server: Server,
    workers: Vec<Worker>,
    now: Duration,
    fate: Fate,
}

impl World {
    fn new() -> Self {
        let worker = || Worker {
            leases: Leases::new(LEASE),
            held: BTreeMap::new(),
            next: 0,
            stopped: Duration::ZERO,
            gone: false,
        };
        let workers = std::iter::repeat_with(worker).take(WORKERS).collect();
        let server = Server { entries: vec![Entry::default(); ATTEMPTS], fenced: 0 };
        Self { server, workers, now: Duration::ZERO, fate: Fate::Answered }
    }

    fn works(&self, worker: usize) -> bool {
        !self.workers[worker].gone && self.workers[worker].stopped <= self.now
    }

    fn make(&mut self, step: &Move) {
        match *step {
            Move::Pass(seconds_passed) => {
                for _ in 0..seconds_passed {
                    self.now += seconds(1);
                    (0..WORKERS).for_each(|worker| self.hear(worker, Input::Tick));
                }
            }
            Move::Take(worker, fate) if self.works(worker) => {
                self.fate = fate;
                self.take(worker);
            }
            Move::End(worker, fate) if self.works(worker) => {
                self.fate = fate;
                if let Some(id) = self.workers[worker].held.keys().next().copied() {
                    self.hear(worker, Input::Ended(id));
                }
            }
            Move::Take(..) | Move::End(..) => {}
            Move::Stop(worker, long) => {
                self.workers[worker].stopped = self.workers[worker].stopped.max(self.now + seconds(long));
            }
            Move::Kill(worker) => self.workers[worker].gone = true,
        }
        self.fate = Fate::Answered;
        self.check();
    }

    fn take(&mut self, worker: usize) {
        if self.fate == Fate::Lost {
            return;
        }
        // With an answer that is lost, the entry is in nobody's hands until its lease ends.
        if let Some((at, delivery)) = self.server.take(worker, self.now)
            && self.fate == Fate::Answered
        {
            let of = &mut self.workers[worker];
            of.next += 1;
            let id = of.next;
            of.held.insert(id, (at, delivery));
            self.hear(worker, Input::Taken(id));
        }
    }

    /// Tells a worker, and asks the server what it wants to know.
    fn hear(&mut self, worker: usize, input: Input) {
        if !self.works(worker) {
            return;
        }
        let now = self.now;
        let mut open = self.workers[worker].leases.handle(input, now);
        while let Some(action) = open.pop() {
            let known = |id| self.workers[worker].held.get(&id).copied();
            let answer = match action {
                Action::Renew(id) => known(id).map(|(at, delivery)| {
                    if self.fate == Fate::Lost {
                        return Input::Unanswered(vec![id]);
                    }
                    let answer = self.server.renew(worker, at, delivery, now);
                    match self.fate {
                        Fate::Unheard => Input::Unanswered(vec![id]),
                        Fate::Answered | Fate::Lost => Input::Renewed { id, asked: now, answer },
                    }
                }),
                Action::Finish(id) => known(id).map(|(at, delivery)| {
                    if self.fate == Fate::Lost {
                        return Input::Unanswered(vec![id]);
                    }
                    let answer = self.server.finish(worker, at, delivery);
                    match self.fate {
                        Fate::Unheard => Input::Unanswered(vec![id]),
                        Fate::Answered | Fate::Lost => Input::Finished { id, answer },
                    }
                }),
                Action::Cancel(_) => None,
                Action::Abandon(id) | Action::Release { id, .. } => {
                    self.workers[worker].held.remove(&id);
                    None
                }
            };
            if let Some(answer) = answer {
                open.extend(self.workers[worker].leases.handle(answer, now));
            }
        }
    }

    fn check(&self) {
        for (at, entry) in self.server.entries.iter().enumerate() {
            assert!(entry.ended.len() <= 1, "attempt {at} ended {:?}", entry.ended);
            assert!(entry.delivery <= DELIVERIES + 1);
        }
        for (number, worker) in self.workers.iter().enumerate() {
            assert_eq!(worker.leases.len(), worker.held.len());
            if !self.works(number) {
                continue;
            }
            // Who works and believes to hold an entry that has not ended holds it.
            for (at, delivery) in worker.held.values() {
                let entry = &self.server.entries[*at];
                if entry.ended.is_empty() {
                    assert_eq!((entry.owner, entry.delivery), (Some(number), *delivery), "{at}");
                }
            }
        }
    }

    /// From here on nothing fails: whoever lives takes, executes and tells.
    fn come_to_an_end(&mut self) {
        for _ in 0..600 {
            self.make(&Move::Pass(1));
            for worker in 0..WORKERS {
                self.make(&Move::Take(worker, Fate::Answered));
                self.make(&Move::End(worker, Fate::Answered));
            }
        }
        for (at, entry) in self.server.entries.iter().enumerate() {
            assert_eq!(entry.ended.len(), 1, "attempt {at} never ended: {entry:?}");
        }
        for worker in self.workers.iter().filter(|worker| !worker.gone) {
            assert!(worker.leases.is_empty() && worker.leases.wake_at().is_none());
        }
    }
}

proptest! {
    #[test]
    fn every_attempt_ends_once_and_what_is_stale_changes_nothing(moves in moves()) {
        let mut world = World::new();
        moves.iter().for_each(|step| world.make(step));
        world.come_to_an_end();
    }
}

#[test]
fn r3_what_takes_longer_than_its_lease_is_renewed_and_delivered_once() {
    let mut world = World::new();
    world.make(&Move::Take(0, Fate::Answered));
    for _ in 0..300 {
        world.make(&Move::Pass(1));
        for other in 1..WORKERS {
            world.make(&Move::Take(other, Fate::Answered));
        }
    }
    assert_eq!(world.server.entries[0].owner, Some(0));
    assert_eq!(world.server.entries[0].delivery, 1);
    world.make(&Move::End(0, Fate::Answered));
    assert_eq!(world.server.entries[0].ended, [Some((0, 1))]);
}

#[test]
fn r2_a_worker_that_was_stopped_past_its_lease_gives_up_or_is_fenced() {
    let mut world = World::new();
    world.make(&Move::Take(0, Fate::Answered));
    world.make(&Move::Stop(0, 45));
    world.make(&Move::Pass(31));
    world.make(&Move::Take(1, Fate::Answered));
    world.make(&Move::Pass(20));
    // It noticed by its clock. Had its attempt ended within the same moment, the script would have said it.
    assert!(world.workers[0].leases.is_empty());
    assert_eq!(world.server.finish(0, 0, 1), Finish::Fenced);
    world.come_to_an_end();
    assert_eq!(world.server.entries[0].ended, [Some((1, 2))]);
}

#[test]
fn r12_a_worker_without_redis_stops_when_its_lease_ends() {
    let mut leases = Leases::new(LEASE);
    assert_eq!(leases.handle(Input::Taken(7), seconds(100)), []);
    assert_eq!(leases.wake_at(), Some(seconds(110)));
    assert_eq!(leases.handle(Input::Tick, seconds(109)), []);
    let mut now = seconds(110);
    while now < seconds(130) {
        assert_eq!(leases.handle(Input::Tick, now), [Action::Renew(7)]);
        assert_eq!(leases.handle(Input::Unanswered(vec![7]), now), []);
        now = leases.wake_at().unwrap();
    }
    assert_eq!(now, seconds(130));
    assert_eq!(leases.handle(Input::Tick, now), [Action::Abandon(7)]);
    assert_eq!(leases.wake_at(), None);
}

#[test]
fn those_due_soon_are_renewed_together() {
    let mut leases = Leases::new(LEASE);
    for id in 0..3 {
        leases.handle(Input::Taken(id), seconds(id * 2));
    }
    assert_eq!(leases.handle(Input::Tick, seconds(10)), [Action::Renew(0), Action::Renew(1)]);
    assert_eq!(leases.wake_at(), Some(seconds(14)));
}

#[test]
fn a_cancelled_attempt_is_told_once_and_its_end_is_recorded() {
    let mut leases = Leases::new(LEASE);
    leases.handle(Input::Taken(1), Duration::ZERO);
    leases.handle(Input::Tick, seconds(10));
    let cancelled = |asked| Input::Renewed { id: 1, asked: seconds(asked), answer: Renewal::Cancelled };
    assert_eq!(leases.handle(cancelled(10), seconds(10)), [Action::Cancel(1)]);
    leases.handle(Input::Tick, seconds(20));
    assert_eq!(leases.handle(cancelled(20), seconds(20)), []);
    assert_eq!(leases.handle(Input::Ended(1), seconds(21)), [Action::Finish(1)]);
    let recorded = Input::Finished { id: 1, answer: Finish::Recorded };
    let released = Action::Release { id: 1, answer: Some(Finish::Recorded) };
    assert_eq!(leases.handle(recorded, seconds(21)), [released]);
}
