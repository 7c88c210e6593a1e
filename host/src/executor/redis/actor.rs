//! The executor's thread: keeps what Redis has of a run in step with what the run wants. What is to be done
//! stays noted until it is done, so that a server may be away for as long as it likes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::streams::StreamId;
use redis::{AsyncCommands, RedisError, RedisResult};
use tokio::sync::{mpsc, oneshot, watch};

use super::attempts::{Attempts, Left};
use super::cancels::GRACE;
use super::reader::{Read, Reader};
use super::{Order, QueueSettings, staff};
use crate::digest::Digest;
use crate::executor::components::component;
use crate::executor::{Port, Report};
use crate::id::{AttemptId, RunId};
use crate::model::{Cause, Outcome, Usage, Warning};
use crate::queue::{Begun, ConnectError, INBOX, KEPT, Keys, Link, RunKeys, Scripts, Seal, Server, advice};
use crate::wire::{PROTOCOL, ToWorker, Wants};

/// Attempts that are queued by one call of a script, and bytes of them.
const TOGETHER: usize = 128;
const BYTES: usize = 4 << 20;

/// How often a run looks after its keys, its attempts and its workers.
const LOOK: Duration = Duration::from_secs(5);

/// Between two tries while Redis does not answer, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Components' keys are renewed so often.
const RENEW: Duration = Duration::from_secs(60);

/// Attempts that are looked for by one call of a script.
pub(super) const SOUGHT: usize = 500;

/// The run, as Redis knows it.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) keys: RunKeys,
    /// None until it is begun.
    epoch: Option<String>,
    reader: Option<Reader>,
}

/// An answer of the run's channel on its way to a worker.
pub(super) struct Answer {
    pub(super) to: String,
    pub(super) message: ToWorker,
}

pub(super) struct Actor {
    settings: Arc<QueueSettings>,
    pub(super) port: Port,
    pub(super) outstanding: Arc<watch::Sender<usize>>,
    pub(super) server: Server,
    pub(super) scripts: Scripts,
    pub(super) seal: Seal,
    pub(super) keys: Keys,
    link: Option<Link>,
    pub(super) run: Option<Run>,
    pub(super) attempts: Attempts,
    /// Results that were read and not taken in yet.
    pub(super) results: VecDeque<StreamId>,
    /// Outcomes of attempts that were not submitted again yet, by their ids.
    pub(super) early: HashMap<String, String>,
    /// Entries of outcomes that are wanted now.
    pub(super) found: Vec<String>,
    pub(super) answers: (mpsc::UnboundedSender<Answer>, mpsc::UnboundedReceiver<Answer>),
    reads: (mpsc::Sender<Read>, mpsc::Receiver<Read>),
    to_answer: VecDeque<Answer>,
    /// To be cancelled; why, or none where only those are taken back that nobody has.
    pub(super) to_cancel: Vec<(AttemptId, String, Option<Cause>)>,
    pub(super) to_withdraw: Vec<(AttemptId, String)>,
    /// Attempts with their entries among the results.
    pub(super) to_forget: Vec<(String, String)>,
    /// Entries that were no outcomes.
    pub(super) read: Vec<String>,
    pub(super) to_unlink: Vec<String>,
    /// Calls that are in the run's record, by digest.
    called: HashSet<String>,
    /// Components that are in Redis.
    shipped: HashSet<Digest>,
    renewed: Instant,
    looked: Instant,
    /// Redis is tried again then.
    again: Option<Instant>,
    pause: Duration,
    /// What was told of Redis, so that it is told once.
    told: Option<String>,
    pub(super) unstaffed: bool,
    /// The queue's group is there, as far as is known.
    grouped: bool,
    /// It was said that somebody forges outcomes.
    pub(super) forged: bool,
}

impl Actor {
    pub(super) async fn open(
        settings: Arc<QueueSettings>,
        port: Port,
        outstanding: Arc<watch::Sender<usize>>,
    ) -> Result<Self, ConnectError> {
        let redis = &settings.redis;
        let (server, warnings) = Server::open(&redis.url, redis.ca.as_deref()).await?;
        let unfit = |reason: String| ConnectError::Unfit { shown: server.shown().to_owned(), reason };
        let keys =
            Keys::new(&redis.prefix, PROTOCOL, &redis.queue).map_err(|error| unfit(error.to_string()))?;
        let link = server.link().await;
        let link =
            link.map_err(|source| ConnectError::Unreachable { shown: server.shown().to_owned(), source })?;
        let now = Instant::now();
        let mut actor = Self {
            seal: Seal::new(redis.key.as_deref()),
            port,
            outstanding,
            server,
            scripts: Scripts::default(),
            keys,
            link: Some(link),
            run: None,
            attempts: Attempts::default(),
            results: VecDeque::new(),
            early: HashMap::new(),
            found: Vec::new(),
            answers: mpsc::unbounded_channel(),
            reads: mpsc::channel(4),
            to_answer: VecDeque::new(),
            to_cancel: Vec::new(),
            to_withdraw: Vec::new(),
            to_forget: Vec::new(),
            read: Vec::new(),
            to_unlink: Vec::new(),
            called: HashSet::new(),
            shipped: HashSet::new(),
            renewed: now,
            looked: now,
            again: None,
            pause: PAUSE,
            told: None,
            unstaffed: false,
            grouped: false,
            forged: false,
            settings,
        };
        for warning in warnings {
            actor.warn(Warning::RedisSettings, format!("{warning} ({})", actor.server.shown()));
        }
        if let Some(mut link) = actor.link.clone()
            && let Err(error) = actor.look_for_workers(&mut link).await
        {
            actor.failed(&error);
        }
        Ok(actor)
    }

    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            if let Err(error) = self.round().await {
                self.failed(&error);
            }
            self.give_up_on_holders();
            let wake = self.wake_at();
            let order = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => Some(order),
                    // The executor is gone: what is queued stays for whoever goes on with the run.
                    None => return,
                },
                Some(read) = self.reads.1.recv() => {
                    self.heard(read);
                    None
                }
                Some(answer) = self.answers.1.recv() => {
                    self.to_answer.push_back(answer);
                    None
                }
                () = tokio::time::sleep_until(wake.into()) => None,
            };
            let mut next = order;
            while let Some(order) = next {
                if let Order::Close(done) = order {
                    if let Err(error) = self.close().await {
                        self.failed(&error);
                    }
                    // Who asked may be gone.
                    let _ = done.send(());
                    return;
                }
                self.obey(order);
                next = orders.try_recv().ok();
            }
            while let Ok(read) = self.reads.1.try_recv() {
                self.heard(read);
            }
        }
    }

    pub(super) fn warn(&self, kind: Warning, message: String) {
        self.port.report([Report::Warning { kind, message: message.into() }]);
        self.port.flush();
    }

    fn heard(&mut self, read: Read) {
        match read {
            Read::Entries(entries) => self.results.extend(entries),
            Read::Failed(error) => self.failed(&error),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Submit(batch) => {
                for attempt in batch {
                    let run = match &self.run {
                        Some(run) => run.id.clone(),
                        None => self.begin_with(attempt.call.run.clone()),
                    };
                    let id = attempt.id;
                    match self.attempts.submit(&run.0, attempt, &self.seal) {
                        Ok(()) => self.find_early(id),
                        Err(reason) => {
                            self.report(id, Outcome::Rejected { reason }, Usage::default(), None);
                            self.port.flush();
                        }
                    }
                }
            }
            Order::Cancel(ids, cause) => {
                for id in ids {
                    self.cancel(id, Some(cause));
                }
            }
            Order::Stop => {
                let flying: Vec<AttemptId> = self.attempts.flying.keys().copied().collect();
                for id in flying {
                    self.cancel(id, None);
                }
            }
            Order::Recorded(ids) => {
                for id in ids {
                    if let Some(Left { text, result, blobs }) = self.attempts.left.remove(&id) {
                        self.to_forget.push((text.to_string(), result));
                        self.to_unlink.extend(blobs);
                    }
                }
            }
            Order::Staffed(answer) => self.tell_when_staffed(answer),
            // Obeyed where it is taken.
            Order::Close(done) => drop(done),
        }
    }

    fn begin_with(&mut self, id: RunId) -> RunId {
        let keys = self.keys.run(&id);
        self.run = Some(Run { id: id.clone(), keys, epoch: None, reader: None });
        id
    }

    fn tell_when_staffed(&self, answer: oneshot::Sender<Result<(), String>>) {
        let (server, keys) = (self.server.clone(), self.keys.clone());
        drop(tokio::spawn(async move {
            // Who asked may be gone.
            let _ = answer.send(staff::wait(server, keys).await);
        }));
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wake = self.looked + LOOK;
        if let Some(again) = self.again {
            wake = wake.min(again);
        }
        if self.attempts.flying.values().any(|flying| flying.cancelled.is_some()) {
            wake = wake.min(now + GRACE / 8);
        }
        wake.max(now)
    }

    /// Does what there is to do in Redis, as far as it answers.
    async fn round(&mut self) -> RedisResult<()> {
        let now = Instant::now();
        if self.again.is_some_and(|again| now < again) {
            return Ok(());
        }
        let mut link = match self.link.clone() {
            Some(link) => link,
            None => {
                let mut link = self.server.link().await?;
                self.link = Some(link.clone());
                // It may be another server by now, or the same without what it knew.
                self.look(&mut link).await?;
                self.answers_again();
                link
            }
        };
        let link = &mut link;
        if !self.grouped {
            // Before any worker: attempts may be cancelled that none ever took.
            self.scripts.open(link, &self.keys).await?;
            self.grouped = true;
        }
        self.take_in(link).await?;
        self.queue(link).await?;
        self.stop(link).await?;
        while let Some(answer) = self.to_answer.pop_front() {
            if let Err(error) = self.tell(link, &answer.to, answer.message.clone()).await {
                self.to_answer.push_front(answer);
                return Err(error);
            }
        }
        self.tidy(link).await?;
        if self.looked.elapsed() >= LOOK {
            self.look(link).await?;
        }
        if self.again.take().is_some() {
            self.answers_again();
        }
        Ok(())
    }

    fn answers_again(&mut self) {
        self.again = None;
        self.pause = PAUSE;
        if self.told.take().is_some() {
            let shown = self.server.shown();
            self.warn(Warning::RedisUnavailable, format!("Redis at {shown} answers again"));
        }
    }

    /// Redis did not do as it was asked. It is asked again.
    fn failed(&mut self, error: &RedisError) {
        let message = format!("Redis at {}: {error}{}", self.server.shown(), advice(error));
        self.grouped &= error.code() != Some("NOGROUP");
        // One that answers at all is not left for another connection.
        if error.is_io_error() || error.is_unrecoverable_error() {
            self.link = None;
        }
        if self.told.as_ref() != Some(&message) {
            self.warn(
                Warning::RedisUnavailable,
                format!("{message}; the run goes on once Redis does as it is asked"),
            );
            self.told = Some(message);
        }
        self.again = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// What the run wants to be told besides outcomes, for its workers.
    fn wants(&self) -> String {
        let interest = self.port.interest();
        let wants = Wants {
            starts: interest.starts,
            logs: interest.logs,
            progress: interest.progress,
            ..Wants::default()
        };
        // A few truths are always written.
        serde_json::to_string(&wants).unwrap_or_default()
    }

    /// The run's epoch: begun now if need be. None where Redis does not know the run any more.
    async fn begin(&mut self, link: &mut Link) -> RedisResult<Option<String>> {
        if let Some(epoch) = self.run.as_ref().and_then(|run| run.epoch.clone()) {
            return Ok(Some(epoch));
        }
        let wants = self.wants();
        let Some(run) = &mut self.run else { return Ok(None) };
        let begun = self.scripts.begin(link, &run.keys, &fresh(), None, &wants).await?;
        let Begun::Known(epoch) = begun else { return Ok(None) };
        run.epoch = Some(epoch.clone());
        run.reader = Some(Reader::start(self.server.clone(), run.keys.results.clone(), self.reads.0.clone()));
        Ok(Some(epoch))
    }

    /// Redis does not know the run any more: all that was queued is lost.
    pub(super) fn lose(&mut self) {
        let Some(run) = &mut self.run else { return };
        run.epoch = None;
        run.reader = None;
        self.results.clear();
        self.early.clear();
        self.found.clear();
        self.read.clear();
        self.to_forget.clear();
        self.to_cancel.clear();
        self.to_withdraw.clear();
        self.attempts.left.clear();
        self.grouped = false;
        self.shipped.clear();
        self.called.clear();
        let reason = format!(
            "queue state lost: Redis at {} does not know run {} any more; it was restarted without its data, \
             emptied, or removed keys when it was full",
            self.server.shown(),
            run.id
        );
        let lost = self.attempts.queued_before(Instant::now());
        self.warn(Warning::QueueStateLost, format!("{reason}; {} queued attempts are lost", lost.len()));
        for (id, _) in lost {
            self.report(
                id,
                Outcome::Lost { reason: reason.clone(), exhausted: false },
                Usage::default(),
                None,
            );
        }
        self.port.flush();
    }

    /// Queues what is not queued yet.
    async fn queue(&mut self, link: &mut Link) -> RedisResult<()> {
        loop {
            let ids = self.attempts.next_unsent(TOGETHER, BYTES);
            if ids.is_empty() {
                return Ok(());
            }
            let Some(epoch) = self.begin(link).await? else { return Ok(()) };
            let Some(run) = self.run.as_ref().map(|run| run.id.clone()) else { return Ok(()) };
            let mut calls: Vec<(String, Vec<u8>)> = Vec::new();
            let mut uploads = redis::pipe();
            for id in &ids {
                let Some(flying) = self.attempts.flying.get(id) else { continue };
                let shared = Arc::clone(&flying.shared);
                if let (Some(long), Some(name)) =
                    (flying.unsent.as_ref().and_then(|unsent| unsent.long.as_ref()), &flying.blob)
                {
                    uploads.set_ex(self.keys.blob(&run, name), long, KEPT).ignore();
                }
                if !self.called.contains(&shared.digest)
                    && !calls.iter().any(|(digest, _)| *digest == shared.digest)
                {
                    calls.push((shared.digest.clone(), shared.bytes.clone()));
                }
                if !self.shipped.contains(&shared.component) {
                    match self.ship(link, shared.component).await? {
                        Ok(()) => {}
                        Err(reason) => {
                            self.report(*id, Outcome::Rejected { reason }, Usage::default(), None);
                            self.port.flush();
                        }
                    }
                }
            }
            // Of a cluster they are on several servers.
            for upload in uploads.cmd_iter() {
                let _: redis::Value = upload.query_async(link).await?;
            }
            let ids: Vec<AttemptId> =
                ids.into_iter().filter(|id| self.attempts.flying.contains_key(id)).collect();
            let entries: Vec<_> = ids.iter().filter_map(|id| self.attempts.entry(*id)).collect();
            let queued = self.scripts.enqueue(link, &self.keys, &run, &epoch, &calls, &entries).await?;
            if queued.is_none() {
                self.lose();
                continue;
            }
            self.called.extend(calls.into_iter().map(|(digest, _)| digest));
            self.attempts.sent(&ids);
        }
    }

    /// Puts a component where workers find it. Fails with the reason where its file is not to be had.
    async fn ship(&mut self, link: &mut Link, digest: Digest) -> RedisResult<Result<(), String>> {
        let key = self.keys.component(&digest);
        let seconds = i64::try_from(KEPT).unwrap_or(i64::MAX);
        if link.expire::<_, bool>(&key, seconds).await? {
            self.shipped.insert(digest);
            return Ok(Ok(()));
        }
        let bytes = match component(&self.settings.components, digest) {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Err(reason)),
        };
        let _: () = link.set_ex(&key, &*bytes, KEPT).await?;
        self.shipped.insert(digest);
        Ok(Ok(()))
    }

    /// Says something to a worker.
    pub(super) async fn tell(&mut self, link: &mut Link, worker: &str, message: ToWorker) -> RedisResult<()> {
        let Some(run) = &self.run else { return Ok(()) };
        let Ok(message) = message.pack() else { return Ok(()) };
        let message = self.seal.put(&[&run.id.0, INBOX, worker], &message);
        let mut add = redis::cmd("XADD");
        // Who is gone has no inbox any more.
        add.arg(self.keys.inbox(worker)).arg("NOMKSTREAM").arg("*");
        add.arg("run").arg(&*run.id.0).arg("message").arg(message);
        let _: Option<String> = add.query_async(link).await?;
        Ok(())
    }

    /// Removes what nobody needs any more.
    async fn tidy(&mut self, link: &mut Link) -> RedisResult<()> {
        let Some(run) = self.run.as_ref().map(|run| (run.id.clone(), run.keys.clone())) else {
            return Ok(());
        };
        let (id, keys) = run;
        while !self.to_forget.is_empty() {
            let some = self.to_forget.len().min(SOUGHT);
            let now = self.to_forget.get(..some).unwrap_or_default();
            self.scripts.forget(link, &keys, now).await?;
            self.to_forget.drain(..some);
        }
        if !self.read.is_empty() {
            let _: usize = link.xdel(&keys.results, &self.read).await?;
            self.read.clear();
        }
        while let Some(name) = self.to_unlink.last() {
            let _: usize = link.unlink(self.keys.blob(&id, name)).await?;
            self.to_unlink.pop();
        }
        Ok(())
    }

    /// Looks after the run's keys, whether all that it queued is still there, and who is there to take it.
    async fn look(&mut self, link: &mut Link) -> RedisResult<()> {
        self.looked = Instant::now();
        let renew = self.renewed.elapsed() >= RENEW;
        if let Some((keys, epoch)) =
            self.run.as_ref().and_then(|run| Some((run.keys.clone(), run.epoch.clone()?)))
        {
            let wants = self.wants();
            if self.scripts.begin(link, &keys, &epoch, Some(&epoch), &wants).await? == Begun::Lost {
                self.lose();
                return Ok(());
            }
            let queued = self.attempts.queued_before(self.looked.checked_sub(LOOK).unwrap_or(self.looked));
            for some in queued.chunks(SOUGHT) {
                let texts: Vec<String> = some.iter().map(|(_, text)| text.clone()).collect();
                let Some(missing) = self.scripts.seek(link, &self.keys, &keys, &epoch, &texts).await? else {
                    self.lose();
                    return Ok(());
                };
                for text in missing {
                    if let Some(id) = self.attempts.id(&text) {
                        let reason = "somebody removed it from the queue".to_owned();
                        let outcome = Outcome::Lost { reason, exhausted: false };
                        self.report(id, outcome, Usage::default(), None);
                    }
                }
            }
            self.port.flush();
        }
        if renew {
            self.renewed = self.looked;
            // Those that are gone are put there again.
            for digest in self.shipped.drain().collect::<Vec<_>>() {
                if let Err(reason) = self.ship(link, digest).await? {
                    self.warn(Warning::RedisUnavailable, reason);
                }
            }
        }
        self.look_for_workers(link).await
    }

    /// The run is over: nothing of it stays.
    async fn close(&mut self) -> RedisResult<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let mut link = match self.link.clone() {
            Some(link) => link,
            None => self.server.link().await?,
        };
        let left: Vec<Left> = self.attempts.left.drain().map(|(_, left)| left).collect();
        self.to_unlink.extend(left.into_iter().flat_map(|left| left.blobs));
        for name in self.to_unlink.drain(..) {
            let _: usize = link.unlink(self.keys.blob(&run.id, &name)).await?;
        }
        let _: usize = link.unlink(&[&run.keys.record, &run.keys.results]).await?;
        Ok(())
    }
}

/// An epoch that no other run has.
fn fresh() -> String {
    let mut random = [0; 8];
    // Without randomness the time tells epochs apart.
    if getrandom::fill(&mut random).is_err() {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        random = since.as_nanos().to_le_bytes().first_chunk::<8>().copied().unwrap_or_default();
    }
    format!("{:016x}", u64::from_le_bytes(random))
}
