//! Takes entries from queues, the first queue first: new ones as they come, and those whose holders are gone. Makes attempts
//! of them, or says why that cannot be.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::streams::{StreamId, StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, RedisError, RedisResult, Value};
use tokio::sync::mpsc;

use super::components::{Components, FetchError};
use super::hands::{Customer, Room, local};
use super::keeper::Keep;
use crate::digest::Digest;
use crate::id::{AttemptId, RunId};
use crate::model::{Attempt, Call, Type};
use crate::queue::leases::HoldId;
use crate::queue::{
    BLOCK, CALL, DELIVERIES, GROUP, Held, Keys, Link, Scripts, Seal, Server, Slip, SlipError,
};
use crate::wire::{ToWorker, Wants, decode};
use crate::worker::Ceiling;

/// Calls that are kept for attempts to come.
const CALLS: usize = 1024;

/// An entry that was delivered so often and never ended may have killed those who had it: it is executed
/// alone.
const SUSPECT: u64 = 2;

/// How long a suspect waits at most until nothing else is in hand.
const PATIENCE: Duration = Duration::from_secs(60);

/// So long a worker takes nothing that found an attempt signed with another key than its own.
const FOREIGN: Duration = Duration::from_secs(5);

/// What runs want to be told is looked up again after so long.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Between two tries while Redis does not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// How often those are looked for whose holders are gone, at least.
const LOOK: Duration = Duration::from_secs(2);

/// What an entry turned out to be.
pub(super) struct Arrival {
    pub(super) hold: HoldId,
    pub(super) customer: Arc<Customer>,
    pub(super) held: Arc<Held>,
    pub(super) what: What,
}

pub(super) enum What {
    /// It is to be executed.
    Attempt { attempt: Attempt, id: AttemptId, value: Arc<Type> },
    /// Its run wants no more of it.
    Cancelled { id: AttemptId },
    /// This worker may not.
    Rejected { id: AttemptId, reason: String },
    /// Something that it needs is gone.
    Lost { id: AttemptId, reason: String },
    /// Nothing is known of it any more.
    Stale,
    /// Nobody can make anything of it. Where it is signed with another key, others may.
    Dead { id: Option<AttemptId>, reason: String, foreign: bool },
}

/// A call as it is made here, or why it is not.
struct Known {
    call: Result<Arc<Call>, String>,
    value: Arc<Type>,
}

pub(super) struct Intake {
    pub(super) server: Server,
    /// Of a cluster one, since two may be on two servers.
    pub(super) queues: Vec<Arc<Keys>>,
    /// For each queue of the worker whether its last look found more than there was room for.
    pub(super) full: Arc<[AtomicBool]>,
    /// Of the first of its queues among all of the worker.
    pub(super) rank: usize,
    pub(super) id: Arc<str>,
    pub(super) lease: Duration,
    pub(super) seal: Seal,
    pub(super) ceiling: Arc<Ceiling>,
    pub(super) components: Arc<Components>,
    pub(super) room: Arc<Room>,
    pub(super) keeper: mpsc::UnboundedSender<Keep>,
    pub(super) to: mpsc::Sender<Vec<Arrival>>,
    /// Of the connection that waits, so that it can be told to stop.
    pub(super) waits: Arc<AtomicU64>,
    /// The last entry's number.
    pub(super) last: Arc<AtomicU64>,
    pub(super) looked: Instant,
    /// Since when a suspect waits until nothing else is in hand.
    pub(super) suspicious: Option<Instant>,
}

/// An entry that was delivered.
struct Delivered {
    queue: Arc<Keys>,
    entry: StreamId,
    delivery: u64,
    asked: Instant,
    /// It was added while it was waited for: nobody can have cancelled it before.
    fresh: bool,
}

/// An entry in hand.
struct InHand {
    hold: HoldId,
    queue: Arc<Keys>,
    run: RunId,
    held: Arc<Held>,
    entry: StreamId,
    fresh: bool,
}

/// What is kept of runs and their calls for attempts to come.
#[derive(Default)]
struct Memory {
    /// By digest.
    calls: HashMap<String, Known>,
    /// By the keys of their records, with when that was read.
    wants: HashMap<String, (Wants, Instant)>,
}

/// Where Redis is asked.
struct Links {
    /// For what is answered at once.
    quick: Link,
    /// For what waits.
    waiting: Link,
}

impl Intake {
    /// Takes until nobody wants any more.
    pub(super) async fn run(mut self, told: mpsc::UnboundedSender<RedisError>) {
        let mut known = Memory::default();
        loop {
            let worked = async {
                let mut links = self.connect().await?;
                while self.take(&mut links, &mut known).await? {}
                Ok::<_, RedisError>(())
            };
            match worked.await {
                Ok(()) => return,
                Err(error) => {
                    // Who listens may have ended.
                    let _ = told.send(error);
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = self.to.closed() => return,
                    }
                }
            }
        }
    }

    async fn connect(&self) -> RedisResult<Links> {
        let mut quick = self.server.link().await?;
        for keys in &self.queues {
            Scripts::default().open(&mut quick, keys).await?;
        }
        let mut waiting = self.server.waiting_link().await?;
        if !self.server.is_cluster() {
            let number: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut waiting).await?;
            self.waits.store(number, Ordering::Release);
        }
        Ok(Links { quick, waiting })
    }

    /// How many entries may be taken now.
    fn free(&self) -> usize {
        let before = self.full.get(..self.rank).unwrap_or_default();
        if self.suspicious.is_some() || before.iter().any(|full| full.load(Ordering::Acquire)) {
            return 0;
        }
        self.room.free()
    }

    /// Takes once. False where nobody wants any more.
    async fn take(&mut self, links: &mut Links, known: &mut Memory) -> RedisResult<bool> {
        let room = Arc::clone(&self.room);
        let mut changed = std::pin::pin!(room.changed.notified());
        changed.as_mut().enable();
        let mut delivered = self.recover(&mut links.quick).await?;
        if delivered.is_empty() {
            let free = self.free();
            if free == 0 {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.to.closed() => return Ok(false),
                }
                return Ok(true);
            }
            delivered = self.read(links, free).await?;
        }
        let mut in_hand = Vec::with_capacity(delivered.len());
        for Delivered { queue, entry, delivery, asked, fresh } in delivered {
            let attempt = entry.get::<String>("attempt").unwrap_or_default();
            let run = RunId(run_of(&entry).into());
            let held = Held { entry: entry.id.clone(), delivery, attempt, run: queue.run(&run) };
            let held = Arc::new(held);
            let hold = (self.last.fetch_add(1, Ordering::Relaxed) + 1) & HoldId::from(u32::MAX);
            // The keeper lives as long as the worker.
            let _ = self.keeper.send(Keep::Taken(hold, Arc::clone(&queue), Arc::clone(&held), asked));
            in_hand.push(InHand { hold, queue, run, held, entry, fresh });
        }
        if in_hand.is_empty() {
            return Ok(!self.to.is_closed());
        }
        let holds: Vec<HoldId> = in_hand.iter().map(|one| one.hold).collect();
        self.room.took(holds.len());
        match self.understand(&mut links.quick, known, in_hand).await {
            Ok(arrivals) => {
                let foreign = |arrival: &Arrival| matches!(arrival.what, What::Dead { foreign: true, .. });
                let foreign = arrivals.iter().any(foreign);
                let wanted = self.to.send(arrivals).await.is_ok();
                if foreign {
                    // A worker that was started without its fleet's key leaves the next attempts to others.
                    tokio::select! {
                        () = tokio::time::sleep(FOREIGN) => {}
                        () = self.to.closed() => {}
                    }
                }
                Ok(wanted)
            }
            Err(error) => {
                // They would be held for ever, and nobody would execute them. Whoever looks next finds out
                // what they are.
                for hold in &holds {
                    // As above.
                    let _ = self.keeper.send(Keep::Back(*hold));
                }
                self.room.gave(holds.len());
                Err(error)
            }
        }
    }

    /// New entries, waited for where there are none.
    async fn read(&mut self, links: &mut Links, free: usize) -> RedisResult<Vec<Delivered>> {
        let options = || StreamReadOptions::default().group(GROUP, &*self.id);
        if self.queues.len() > 1 {
            for keys in &self.queues {
                let asked = Instant::now();
                let options = options().count(free);
                let read = links.quick.xread_options(&[keys.tasks()], &[">"], &options).await?;
                let taken = delivered(read, &self.queues, asked, None);
                if !taken.is_empty() {
                    return Ok(taken);
                }
            }
        }
        // A lease counts from when its entry was asked for.
        let block =
            usize::try_from((self.lease.as_millis() / 4).min(u128::from(BLOCK))).unwrap_or(usize::MAX);
        let count = (free / self.queues.len().max(1)).max(1);
        let options = options().block(block).count(count);
        let streams: Vec<String> = self.queues.iter().map(|keys| keys.tasks()).collect();
        let asked = Instant::now();
        let from = vec![">"; streams.len()];
        let (time, read) = match self.server.is_cluster() {
            true => (None, links.waiting.xread_options(&streams, &from, &options).await?),
            // What was added later than this was waited for. Both at once: nothing stands between.
            false => {
                let mut both = redis::pipe();
                both.cmd("TIME").xread_options(&streams, &from, &options);
                let ((seconds, micros), read): ((u64, u64), Option<StreamReadReply>) =
                    both.query_async(&mut links.waiting).await?;
                (Some(seconds * 1000 + micros / 1000), read)
            }
        };
        let taken = delivered(read, &self.queues, asked, time);
        if let Some(full) = self.full.get(self.rank) {
            full.store(taken.len() >= count, Ordering::Release);
            self.room.changed.notify_waiters();
        }
        Ok(taken)
    }

    /// Entries whose holders are gone: looked for now and then, and one at a time where they may be why.
    async fn recover(&mut self, link: &mut Link) -> RedisResult<Vec<Delivered>> {
        if self.looked.elapsed() < LOOK.min(self.lease / 3) {
            return Ok(Vec::new());
        }
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let mut free = self.room.free();
        let alone = self.room.in_hand() == 0;
        let patient = self.suspicious.is_some_and(|since| since.elapsed() < PATIENCE);
        let mut suspicious = false;
        let mut taken = Vec::new();
        for keys in &self.queues {
            let mut pending = redis::cmd("XPENDING");
            pending.arg(keys.tasks()).arg(GROUP).arg("IDLE").arg(lease).arg("-").arg("+").arg(100);
            let idle: Vec<(String, String, u64, u64)> = match pending.query_async(link).await {
                Ok(idle) => idle,
                Err(_) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            };
            let suspect = |delivery: u64| delivery >= SUSPECT;
            let (suspects, others): (Vec<_>, Vec<_>) =
                idle.into_iter().partition(|(.., delivery)| suspect(*delivery));
            suspicious |= !suspects.is_empty();
            let mut wanted: Vec<(String, u64)> =
                others.into_iter().map(|(id, .., delivery)| (id, delivery)).take(free).collect();
            if wanted.is_empty() && taken.is_empty() && (alone || !patient) {
                wanted.extend(suspects.into_iter().map(|(id, .., delivery)| (id, delivery)).take(1));
            }
            if wanted.is_empty() {
                continue;
            }
            let asked = Instant::now();
            let mut claim = redis::cmd("XCLAIM");
            claim.arg(keys.tasks()).arg(GROUP).arg(&*self.id).arg(lease);
            for (id, _) in &wanted {
                claim.arg(id);
            }
            let claimed: Vec<Value> = match claim.query_async(link).await {
                Ok(claimed) => claimed,
                // What was claimed so far is this worker's already.
                Err(_) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            };
            for entry in claimed {
                let entry: StreamRangeReply = redis::from_redis_value(Value::Array(vec![entry]))?;
                for entry in entry.ids {
                    let Some((_, before)) = wanted.iter().find(|(id, _)| *id == entry.id) else { continue };
                    let queue = Arc::clone(keys);
                    let delivery = before + 1;
                    taken.push(Delivered { queue, delivery, entry, asked, fresh: false });
                }
            }
            free = free.saturating_sub(wanted.len());
        }
        // While there are more than one look yields, it is looked again at once.
        if taken.is_empty() || !alone {
            self.looked = Instant::now();
        }
        self.suspicious = suspicious.then(|| self.suspicious.unwrap_or_else(Instant::now));
        Ok(taken)
    }

    /// Finds out what entries are.
    async fn understand(
        &self,
        link: &mut Link,
        known: &mut Memory,
        entries: Vec<InHand>,
    ) -> RedisResult<Vec<Arrival>> {
        let mut records: HashMap<String, Option<HashMap<String, String>>> = HashMap::new();
        let mut calls: HashMap<String, Vec<u8>> = HashMap::new();
        for InHand { held, .. } in &entries {
            records.entry(held.run.record.clone()).or_default();
        }
        known.wants.retain(|_, (_, read)| read.elapsed() < REMEMBERED);
        for (record, fields) in &mut records {
            let of_run = || entries.iter().filter(|entry| entry.held.run.record == *record);
            let call = |entry: &StreamId| entry.get::<String>("call").unwrap_or_default();
            let is_known = |entry: &InHand| entry.fresh && known.calls.contains_key(&call(&entry.entry));
            if known.wants.contains_key(record) && of_run().all(is_known) {
                continue;
            }
            let mut wanted: Vec<String> = vec!["wants".to_owned()];
            for InHand { held, .. } in of_run() {
                wanted.push(format!("attempt {}", held.attempt));
                wanted.push(format!("cancel {}", held.attempt));
            }
            let found: Vec<Option<String>> =
                redis::cmd("HMGET").arg(record).arg(&wanted).query_async(link).await?;
            let found = wanted.into_iter().zip(found).filter_map(|(name, found)| Some((name, found?)));
            let fields = fields.insert(found.collect());
            let wants = fields.get("wants").and_then(|wants| serde_json::from_str(wants).ok());
            known.wants.insert(record.clone(), (wants.unwrap_or_default(), Instant::now()));
            for InHand { entry, .. } in of_run() {
                let digest = call(entry);
                if !known.calls.contains_key(&digest) && !calls.contains_key(&digest) {
                    let bytes: Option<Vec<u8>> = link.hget(record, format!("call {digest}")).await?;
                    calls.insert(digest, bytes.unwrap_or_default());
                }
            }
        }
        let mut arrivals = Vec::with_capacity(entries.len());
        for InHand { hold, queue, run, held, entry, fresh: _ } in entries {
            let record = records.get(&held.run.record).and_then(Option::as_ref);
            let wants = known.wants.get(&held.run.record).map(|(wants, _)| *wants);
            let Wants { starts, logs, progress, .. } = wants.unwrap_or_default();
            let customer = Arc::new(Customer { run, queue, starts, logs, progress });
            let what = self.one(link, known, &calls, record, &customer, hold, &held, &entry).await?;
            arrivals.push(Arrival { hold, customer, held, what });
        }
        Ok(arrivals)
    }

    #[expect(clippy::too_many_arguments, reason = "what one batch of entries shares, and one of them")]
    async fn one(
        &self,
        link: &mut Link,
        known: &mut Memory,
        calls: &HashMap<String, Vec<u8>>,
        record: Option<&HashMap<String, String>>,
        customer: &Customer,
        hold: HoldId,
        held: &Held,
        entry: &StreamId,
    ) -> RedisResult<What> {
        let dead = |id, reason: String| Ok(What::Dead { id, reason, foreign: false });
        let part = |name: &str| entry.get::<Vec<u8>>(name);
        let (Some(body), Some(call), false) =
            (part("body"), entry.get::<String>("call"), held.attempt.is_empty() || &*customer.run.0 == "?")
        else {
            return dead(None, "it is no attempt: it lacks what one has".to_owned());
        };
        let id = id_of(&held.attempt);
        if let Some(record) = record {
            if record.get(&format!("attempt {}", held.attempt)) != Some(&format!("queued {}", held.entry)) {
                return Ok(What::Stale);
            }
            if record.contains_key(&format!("cancel {}", held.attempt)) {
                return Ok(match id {
                    Some(id) => What::Cancelled { id },
                    None => What::Stale,
                });
            }
        }
        if held.delivery > DELIVERIES {
            let reason = format!(
                "it was delivered {} times and never ended: each time its worker was lost",
                held.delivery - 1
            );
            return dead(id, reason);
        }
        let run = &*customer.run.0;
        let slip = match Slip::read(&self.seal, &[run, &held.attempt, &call], &body) {
            Ok(slip) => slip,
            Err(error) => {
                let foreign = matches!(error, SlipError::Seal(_));
                return Ok(What::Dead { id, reason: error.to_string(), foreign });
            }
        };
        if !known.calls.contains_key(&call) {
            let bytes = calls.get(&call).map(Vec::as_slice).unwrap_or_default();
            match self.call(run, &call, bytes) {
                Ok(new) => {
                    if known.calls.len() >= CALLS {
                        known.calls.retain(|_, known| {
                            known.call.as_ref().is_ok_and(|call| Arc::strong_count(call) > 1)
                        });
                    }
                    known.calls.insert(call.clone(), new);
                }
                Err(reason) => return dead(id, reason),
            }
        }
        let Some(found) = known.calls.get(&call) else { return Ok(What::Stale) };
        let bytes = match slip {
            Slip::Here(bytes) => bytes,
            Slip::Elsewhere { name, digest } => {
                let bytes: Option<Vec<u8>> = link.get(customer.queue.blob(&customer.run, &name)).await?;
                match (bytes, id) {
                    (Some(bytes), _) if Digest::of(&bytes) == digest => Bytes::from(bytes),
                    (Some(_), _) => {
                        return dead(id, "its arguments are not those that were queued".to_owned());
                    }
                    (None, Some(id)) => {
                        let reason = "its arguments are not in Redis any more".to_owned();
                        return Ok(What::Lost { id, reason });
                    }
                    (None, None) => return Ok(What::Stale),
                }
            }
        };
        let start = match ToWorker::unpack(bytes) {
            Ok(ToWorker::Start { mut attempts }) => attempts.pop(),
            Ok(_) => None,
            Err(error) => return dead(id, format!("it cannot be read: {error}")),
        };
        let Some(start) = start.filter(|start| Some(start.id) == id) else {
            return dead(id, "it is not the attempt that it is called".to_owned());
        };
        let id = start.id;
        let call = match &found.call {
            Ok(call) => Arc::clone(call),
            Err(reason) => return Ok(What::Rejected { id, reason: reason.clone() }),
        };
        let types = call.signature.parameters.iter().map(|(_, ty)| ty);
        let arguments = match decode(&start.arguments.into_bytes(), types) {
            Ok(arguments) => arguments,
            Err(error) => return dead(Some(id), format!("its arguments make no sense: {error}")),
        };
        match self.components.get(call.component).await {
            Ok(_) => {}
            Err(FetchError::Redis(error)) => return Err(error),
            Err(error) => return Ok(What::Lost { id, reason: error.to_string() }),
        }
        let attempt = Attempt { id: local(hold, id), call, iteration: start.iteration, arguments };
        Ok(What::Attempt { attempt, id, value: Arc::clone(&found.value) })
    }

    /// A call as it lies in a run's record.
    fn call(&self, run: &str, digest: &str, sealed: &[u8]) -> Result<Known, String> {
        let bytes =
            self.seal.open(&[run, CALL, digest], sealed).map_err(|error| format!("its call: {error}"))?;
        if Digest::of(bytes).hex() != digest {
            return Err("its call is not the one that was queued".to_owned());
        }
        let call = match ToWorker::unpack(Bytes::copy_from_slice(bytes)) {
            Ok(ToWorker::Call { call, .. }) => call,
            Ok(_) => return Err("its call cannot be read".to_owned()),
            Err(error) => return Err(format!("its call cannot be read: {error}")),
        };
        let value = Arc::new(call.signature.result.task_value());
        let call = self.ceiling.narrow(Arc::unwrap_or_clone(call)).map(Arc::new);
        Ok(Known { call, value })
    }
}

/// What was read, of these queues. `time` is when it was asked for, in milliseconds by the server's clock.
fn delivered(
    read: Option<StreamReadReply>,
    queues: &[Arc<Keys>],
    asked: Instant,
    time: Option<u64>,
) -> Vec<Delivered> {
    let mut taken = Vec::new();
    for stream in read.into_iter().flat_map(|read| read.keys) {
        let Some(queue) = queues.iter().find(|keys| keys.tasks() == stream.key) else { continue };
        let queue = Arc::clone(queue);
        taken.extend(stream.ids.into_iter().map(|entry| {
            let added = entry.id.split('-').next().and_then(|time| time.parse::<u64>().ok());
            let fresh = time.zip(added).is_some_and(|(asked, added)| added > asked);
            Delivered { queue: Arc::clone(&queue), entry, delivery: 1, asked, fresh }
        }));
    }
    taken
}

/// The run's id, as far as it can be one.
fn run_of(entry: &StreamId) -> String {
    let run: String = entry.get("run").unwrap_or_default();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let fits = !run.is_empty() && run.len() <= 64 && run.bytes().all(known);
    if fits { run } else { "?".to_owned() }
}

/// The attempt that is called so in the queue.
fn id_of(text: &str) -> Option<AttemptId> {
    let mut parts = text.split('.');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (node, index, number) = (number()?, number()?, number()?);
    let branch = crate::id::BranchId { node: crate::id::NodeId(node), index };
    parts.next().filter(|about| !about.is_empty())?;
    parts.next().is_none().then_some(AttemptId { branch, number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BranchId, NodeId};

    #[test]
    fn r14_only_what_is_written_as_an_attempt_is_one() {
        let id = AttemptId { branch: BranchId { node: NodeId(3), index: 120 }, number: 2 };
        assert_eq!(id_of("3.120.2.a1b2c3d4e5f6"), Some(id));
        for text in ["", "3.120.2", "3.120.2.", "3.120.x.a", "3.120.2.a.b", "-3.1.2.a", "99999999999.1.1.a"] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }
}
