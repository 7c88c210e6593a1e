//! Where all that a worker hears of meets: entries that came, what guests report, what the keeper and runs
//! have to say, and when to stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use redis::RedisError;
use tokio::sync::{mpsc, oneshot, watch};

use super::hands::{Customer, Hands, Hold, Room, local, number};
use super::intake::{Arrival, What};
use super::keeper::{Ending, Keep, Kept};
use super::remote::Remote;
use crate::digest::Digest;
use crate::executor::{Executor, InProcess, Report, Reports};
use crate::id::{AttemptId, RunId};
use crate::model::{Cause, Outcome, Stream, Type, Usage};
use crate::queue::leases::HoldId;
use crate::queue::{Held, INLINE, OUTCOME, SAID, Seal, Slip};
use crate::wire::{Ended, FromWorker, Payload, Said, ToWorker, WireError};
use crate::worker::spans::Spans;
use crate::worker::{ConsumerSettings, Figures, Level, Log, Stopping};

/// Lines of an attempt that are kept in case it does not succeed.
const LINES: usize = 20;

/// Entries that are remembered as lost before they arrived: more than a worker takes at once.
const ABANDONED: usize = 10_000;

/// Bytes of one value in Redis at most (proto-max-bulk-len).
const LONGEST: usize = 512 << 20;

/// Makes of messages what lies in Redis.
#[derive(Clone)]
pub(super) struct Writing {
    pub(super) seal: Seal,
    pub(super) id: Arc<str>,
}

impl Writing {
    /// Something that is no outcome.
    pub(super) fn said(&self, customer: &Customer, message: FromWorker) -> Result<Vec<u8>, WireError> {
        let message = message.pack()?;
        Ok(Slip::Here(message.into()).write(&self.seal, &[&customer.run.0, SAID, &self.id]))
    }

    /// How an attempt ended.
    fn ending(&self, customer: &Customer, held: &Held, id: AttemptId, ended: Ended, usage: Usage) -> Ending {
        let said = Said::Finished { id, ended, usage };
        let message = match FromWorker::Said(vec![said]).pack() {
            Ok(message) if message.len() <= LONGEST => message,
            Ok(message) => {
                let reason = format!(
                    "its result is {} bytes, and Redis holds at most {LONGEST} in one value",
                    message.len()
                );
                return self.ending(customer, held, id, Ended::Rejected { reason }, Usage::default());
            }
            Err(error) => {
                let reason = format!("its result does not travel: {error}");
                return self.ending(customer, held, id, Ended::Rejected { reason }, Usage::default());
            }
        };
        self.of(customer, held, message)
    }

    /// It was taken back before it began.
    fn returned(&self, customer: &Customer, held: &Held, id: AttemptId) -> Ending {
        // Nothing in it is too large.
        let message = FromWorker::Said(vec![Said::Returned { id }]).pack().unwrap_or_default();
        self.of(customer, held, message)
    }

    fn of(&self, customer: &Customer, held: &Held, message: Vec<u8>) -> Ending {
        let place = [&*customer.run.0, &held.attempt, OUTCOME];
        if message.len() <= INLINE {
            let outcome = Slip::Here(message.into()).write(&self.seal, &place);
            return Ending { outcome, long: None, buried: None };
        }
        // Nobody else's, even if its bytes are the same: its run removes it.
        let name = format!("{}:{}:{}", held.attempt, held.entry, held.delivery);
        let key = customer.queue.blob(&customer.run, &name);
        let outcome = Slip::Elsewhere { name, digest: Digest::of(&message) }.write(&self.seal, &place);
        Ending { outcome, long: Some((key, message)), buried: None }
    }
}

/// What a worker hears.
pub(super) struct Ears {
    pub(super) arrivals: mpsc::Receiver<Vec<Arrival>>,
    pub(super) reports: Reports,
    pub(super) kept: mpsc::UnboundedReceiver<Kept>,
    pub(super) inbox: mpsc::UnboundedReceiver<(RunId, ToWorker)>,
    pub(super) troubles: mpsc::UnboundedReceiver<RedisError>,
    pub(super) stops: watch::Receiver<Stopping>,
}

pub(super) struct Desk {
    pub(super) executor: InProcess,
    pub(super) hands: Arc<Hands>,
    pub(super) room: Arc<Room>,
    pub(super) keeper: mpsc::UnboundedSender<Keep>,
    pub(super) remote: Arc<Remote>,
    pub(super) writing: Writing,
    pub(super) figures: Arc<Figures>,
    pub(super) log: Arc<Log>,
    pub(super) spans: Spans,
    pub(super) shown: String,
    pub(super) drain: Duration,
    /// Lost before they arrived here.
    pub(super) abandoned: BTreeSet<HoldId>,
    pub(super) stopping: Stopping,
    /// What was said of Redis last.
    pub(super) trouble: Option<String>,
}

impl Desk {
    pub(super) fn new(
        executor: InProcess,
        shared: (Arc<Hands>, Arc<Room>, Arc<Remote>, Writing),
        keeper: mpsc::UnboundedSender<Keep>,
        shown: &str,
        settings: &ConsumerSettings,
    ) -> Self {
        let (hands, room, remote, writing) = shared;
        let spans = Spans::new(settings.exporter.clone(), Some(format!("worker {}", writing.id).into()));
        Self {
            executor,
            hands,
            room,
            keeper,
            remote,
            writing,
            figures: Arc::clone(&settings.figures),
            log: Arc::clone(&settings.log),
            spans,
            shown: shown.to_owned(),
            drain: settings.drain,
            abandoned: BTreeSet::new(),
            stopping: Stopping::No,
            trouble: None,
        }
    }

    /// Works until it is asked to stop. Takes nothing more then.
    pub(super) async fn work(&mut self, ears: &mut Ears) {
        let mut some = Vec::new();
        loop {
            tokio::select! {
                arrivals = ears.arrivals.recv() => match arrivals {
                    Some(arrivals) => self.arrived(arrivals),
                    None => return,
                },
                () = ears.reports.ready() => self.tell(&ears.reports, &mut some),
                Some(kept) = ears.kept.recv() => self.kept(kept),
                Some((run, message)) = ears.inbox.recv() => self.hear(&run, message),
                Some(error) = ears.troubles.recv() => self.troubled(Some(&error.to_string())),
                // Whoever could ask is gone: that is being asked, too.
                _ = ears.stops.wait_for(|stopping| *stopping != Stopping::No) => return,
            }
        }
    }

    /// Waits for what executes, as long as the worker may, and gives everything else back.
    pub(super) async fn finish(&mut self, ears: &mut Ears) {
        self.stopping = Stopping::Drain;
        ears.arrivals.close();
        while let Ok(arrivals) = ears.arrivals.try_recv() {
            self.arrived(arrivals);
        }
        self.executor.announce_cancel();
        let until = Instant::now() + self.drain;
        let (done, mut idle) = oneshot::channel();
        let mut done = Some(done);
        let mut some = Vec::new();
        loop {
            if self.hands.holds().is_empty()
                && let Some(done) = done.take()
            {
                // The keeper outlives this.
                let _ = self.keeper.send(Keep::Idle(done));
            }
            tokio::select! {
                _ = &mut idle => return,
                Some(arrivals) = ears.arrivals.recv() => self.arrived(arrivals),
                () = ears.reports.ready() => self.tell(&ears.reports, &mut some),
                Some(kept) = ears.kept.recv() => self.kept(kept),
                Some((run, message)) = ears.inbox.recv() => self.hear(&run, message),
                _ = ears.stops.wait_for(|stopping| *stopping == Stopping::Now), if self.stopping == Stopping::Drain => {
                    self.stop_now();
                }
                () = tokio::time::sleep_until(until.into()), if self.stopping == Stopping::Drain => self.stop_now(),
                // Redis is away, and with it whoever could take what is held.
                () = tokio::time::sleep_until((until + self.drain.max(Duration::from_secs(5))).into()) => return,
            }
        }
    }

    /// Stops what executes: somebody else may have it.
    fn stop_now(&mut self) {
        self.stopping = Stopping::Now;
        let all: Vec<AttemptId> =
            self.hands.holds().iter().map(|(hold, known)| local(*hold, known.id)).collect();
        if !all.is_empty() {
            let message = "stopping what still executes; other workers begin it anew";
            self.log.say(Level::Warning, "stopped", message, &[("attempts", all.len().to_string())]);
        }
        self.executor.cancel(&all, Cause::Interrupted);
    }

    fn keep(&self, keep: Keep) {
        // The keeper outlives this.
        let _ = self.keeper.send(keep);
    }

    fn end(&self, hold: HoldId, ending: Ending) {
        self.room.owes(ending.size());
        self.keep(Keep::Ended(hold, ending));
    }

    fn arrived(&mut self, arrivals: Vec<Arrival>) {
        let mut batch = Vec::with_capacity(arrivals.len());
        let mut without = 0;
        for Arrival { hold, customer, held, what } in arrivals {
            let gone = self.abandoned.remove(&hold);
            let ending = match what {
                _ if gone => None,
                What::Attempt { attempt, id, value } => {
                    if self.stopping != Stopping::No {
                        self.keep(Keep::Back(hold));
                        without += 1;
                        continue;
                    }
                    let lines = Vec::new();
                    let traced = self.spans.traced(&attempt.call);
                    let known =
                        Hold { customer, held, id, value, began: None, cancelled: false, lines, traced };
                    self.hands.holds().insert(hold, known);
                    batch.push(attempt);
                    continue;
                }
                What::Cancelled { id } => Some(self.writing.returned(&customer, &held, id)),
                What::Rejected { id, reason } => {
                    let ended = Ended::Rejected { reason };
                    self.figures.unstarted(crate::model::Ending::Rejected);
                    Some(self.writing.ending(&customer, &held, id, ended, Usage::default()))
                }
                What::Lost { id, reason } => {
                    let ended = Ended::Lost { reason };
                    self.figures.unstarted(crate::model::Ending::Lost);
                    Some(self.writing.ending(&customer, &held, id, ended, Usage::default()))
                }
                What::Stale => Some(Ending { outcome: Vec::new(), long: None, buried: None }),
                What::Dead { id, reason, foreign } => {
                    let fields = [("entry", held.entry.clone()), ("attempt", held.attempt.clone())];
                    self.log.say(Level::Warning, "dead-letter", &reason, &fields);
                    if foreign {
                        let message = "this worker's key is not that of the run: start it with the run's, in FLOWHOST_KEY; it takes nothing for 5 s";
                        self.log.say(Level::Error, "key", message, &[]);
                    }
                    let mut ending = match id {
                        Some(id) => {
                            let ended = Ended::Lost { reason: reason.clone() };
                            self.writing.ending(&customer, &held, id, ended, Usage::default())
                        }
                        None => Ending { outcome: Vec::new(), long: None, buried: None },
                    };
                    ending.buried = Some(reason);
                    Some(ending)
                }
            };
            without += 1;
            if let Some(ending) = ending {
                self.end(hold, ending);
            }
        }
        self.room.gave(without);
        if !batch.is_empty() {
            self.executor.submit(batch);
        }
    }

    fn kept(&mut self, kept: Kept) {
        match kept {
            Kept::Cancel(hold) => self.cancel(hold, Cause::Interrupted),
            Kept::Abandon(hold) => {
                let known = self.hands.holds().remove(&hold);
                match known {
                    Some(known) => {
                        let fields = [("attempt", known.held.attempt.to_string())];
                        let message = "the lease was lost: another worker may have it by now; stopping it";
                        self.log.say(Level::Warning, "lease-lost", message, &fields);
                        self.figures.fenced();
                        if known.began.is_some() {
                            self.figures.ended(crate::model::Ending::Lost, Duration::ZERO);
                        }
                        let reason = "the lease was lost".to_owned();
                        self.spans.ended(known.traced, known.id, &Outcome::Lost { reason, exhausted: false });
                        self.executor.cancel(&[local(hold, known.id)], Cause::Interrupted);
                        self.room.gave(1);
                    }
                    None => {
                        self.abandoned.insert(hold);
                        // Those that were given back never arrive.
                        if self.abandoned.len() > ABANDONED {
                            self.abandoned.pop_first();
                        }
                    }
                }
            }
            Kept::Fenced(hold) => {
                let fields = [("entry", hold.to_string())];
                let message =
                    "an outcome came too late: another worker has the attempt; it counts for nothing";
                self.log.say(Level::Warning, "fenced", message, &fields);
            }
            Kept::Connected(None) => self.troubled(None),
            Kept::Connected(Some(error)) => self.troubled(Some(&error)),
        }
    }

    /// Redis does not answer, or answers again.
    fn troubled(&mut self, error: Option<&str>) {
        match error {
            Some(error) => {
                self.figures.set_connected(false);
                if self.trouble.as_deref() != Some(error) {
                    let fields = [("redis", self.shown.clone())];
                    self.log.say(
                        Level::Error,
                        "redis",
                        &format!("Redis does not do as it is asked: {error}"),
                        &fields,
                    );
                    self.trouble = Some(error.to_owned());
                }
            }
            None => {
                self.figures.set_connected(true);
                if self.trouble.take().is_some() {
                    let fields = [("redis", self.shown.clone())];
                    self.log.say(Level::Info, "redis", "Redis answers again", &fields);
                }
            }
        }
    }

    fn cancel(&self, hold: HoldId, cause: Cause) {
        let id = self.hands.holds().get_mut(&hold).map(|known| {
            known.cancelled = true;
            local(hold, known.id)
        });
        if let Some(id) = id {
            self.executor.cancel(&[id], cause);
        }
    }

    fn hear(&self, run: &RunId, message: ToWorker) {
        match message {
            ToWorker::Cancel { ids, cause } => {
                let holds: Vec<HoldId> = {
                    let holds = self.hands.holds();
                    let meant = |known: &Hold| known.customer.run == *run && ids.contains(&known.id);
                    holds.iter().filter(|(_, known)| meant(known)).map(|(hold, _)| *hold).collect()
                };
                for hold in holds {
                    self.cancel(hold, cause);
                }
            }
            ToWorker::Answer { number, answer } => self.remote.answered(number, answer),
            ToWorker::Call { .. }
            | ToWorker::Forget { .. }
            | ToWorker::Start { .. }
            | ToWorker::Drain
            | ToWorker::GiveBack { .. }
            | ToWorker::ForgetShared { .. }
            | ToWorker::Component { .. }
            | ToWorker::Refused { .. } => {}
        }
    }

    /// Passes on what guests report.
    fn tell(&mut self, reports: &Reports, some: &mut Vec<Report>) {
        reports.take(some);
        let mut said: Vec<(Arc<Customer>, Vec<Said>)> = Vec::new();
        let mut ended = 0;
        for report in some.drain(..) {
            match report {
                Report::Started { id } => self.started(id, &mut said),
                Report::Log { id, level, stream, message, cut } => {
                    let message = Payload::text(message.to_string());
                    let line = |id| Said::Log { id, level, stream, message, cut };
                    self.line(id, stream, line, &mut said);
                }
                Report::Progress { id, done, total, message } => {
                    let message = message.map(|message| Payload::text(message.to_string()));
                    let holds = self.hands.holds();
                    if let Some(known) = holds.get(&number(id)).filter(|known| known.customer.progress) {
                        push(
                            &mut said,
                            &known.customer,
                            Said::Progress { id: known.id, done, total, message },
                        );
                    }
                }
                Report::Returned { id } => {
                    let Some(known) = self.hands.holds().remove(&number(id)) else { continue };
                    ended += 1;
                    match known.cancelled {
                        true => {
                            let ending = self.writing.returned(&known.customer, &known.held, known.id);
                            self.end(number(id), ending);
                        }
                        // Only this worker stops.
                        false => self.keep(Keep::Back(number(id))),
                    }
                }
                Report::Finished { id, outcome, usage, worker: _ } => {
                    let Some(known) = self.hands.holds().remove(&number(id)) else { continue };
                    ended += 1;
                    self.finished(number(id), known, outcome, usage, &mut said);
                }
                Report::Warning { kind, message } => {
                    self.log.say(Level::Info, kind.name(), &message, &[]);
                }
                // The channel is the run's: it knows of its changes.
                Report::Channel { .. } | Report::GroupWarning { .. } | Report::KeptOut { .. } => {}
            }
        }
        self.say(said);
        self.room.gave(ended);
    }

    fn started(&self, id: AttemptId, said: &mut Vec<(Arc<Customer>, Vec<Said>)>) {
        if let Some(known) = self.hands.holds().get_mut(&number(id)) {
            known.began = Some(Instant::now());
            if let Some(traced) = &mut known.traced {
                traced.began = Some(SystemTime::now());
            }
            self.figures.started();
            if known.customer.starts {
                push(said, &known.customer, Said::Started { id: known.id });
            }
        }
    }

    /// A line of a guest: for its run, or kept in case that the attempt does not succeed.
    fn line(
        &self,
        id: AttemptId,
        _: Stream,
        line: impl FnOnce(AttemptId) -> Said,
        said: &mut Vec<(Arc<Customer>, Vec<Said>)>,
    ) {
        if let Some(known) = self.hands.holds().get_mut(&number(id)) {
            let line = line(known.id);
            if known.customer.logs {
                push(said, &known.customer, line);
            } else {
                if known.lines.len() >= LINES {
                    known.lines.remove(0);
                }
                known.lines.push(line);
            }
        }
    }

    fn finished(
        &self,
        hold: HoldId,
        known: Hold,
        outcome: Outcome,
        usage: Usage,
        said: &mut Vec<(Arc<Customer>, Vec<Said>)>,
    ) {
        let Hold { customer, held, id, value, began, cancelled, lines, traced } = known;
        self.spans.ended(traced, id, &outcome);
        let ending = outcome.ending();
        match began {
            Some(_) => self.figures.ended(ending, usage.wall),
            None => self.figures.unstarted(ending),
        }
        if usage.wall > Duration::ZERO {
            self.room.lasted(usage.wall);
        }
        if matches!(outcome, Outcome::Cancelled { .. }) && !cancelled {
            // Only this worker stops.
            return self.keep(Keep::Back(hold));
        }
        if !matches!(outcome, Outcome::Succeeded(_)) {
            for line in lines {
                push(said, &customer, line);
            }
        }
        // Before its end, as it was said.
        self.say(std::mem::take(said));
        let ended = ended(outcome, &value);
        self.end(hold, self.writing.ending(&customer, &held, id, ended, usage));
    }

    fn say(&self, said: Vec<(Arc<Customer>, Vec<Said>)>) {
        for (customer, said) in said {
            match self.writing.said(&customer, FromWorker::Said(said)) {
                Ok(message) => self.keep(Keep::Say(customer, message, true)),
                Err(error) => self.log.say(Level::Warning, "unsaid", &error.to_string(), &[]),
            }
        }
    }
}

fn ended(outcome: Outcome, value: &Type) -> Ended {
    Ended::of(outcome, value).unwrap_or_else(|error| Ended::Lost {
        reason: format!("flowhost itself failed, please report it: the result does not travel: {error}"),
    })
}

fn push(said: &mut Vec<(Arc<Customer>, Vec<Said>)>, customer: &Arc<Customer>, one: Said) {
    match said
        .iter_mut()
        .find(|(known, _)| known.run == customer.run && Arc::ptr_eq(&known.queue, &customer.queue))
    {
        Some((_, list)) => list.push(one),
        None => said.push((Arc::clone(customer), vec![one])),
    }
}
