//! How a worker is known to others: it announces itself, reads what runs tell it, and leaves nothing behind
//! when it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, RedisError, RedisResult};
use tokio::sync::mpsc;

use super::ConsumeError;
use crate::id::RunId;
use crate::queue::{
    ANNOUNCE, Announcement, BLOCK, GROUP, Held, INBOX, Keys, Link, Scripts, Seal, Server, look,
};
use crate::runtime::ENGINE;
use crate::wire::{Hello, ToWorker};
use crate::worker::{ConsumerSettings, Figures, Level, Log};

/// Between two tries while Redis does not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// How long leaving may take: what is left expires by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What makes a worker known.
#[derive(Clone)]
pub(super) struct Staff {
    server: Server,
    queues: Arc<[Arc<Keys>]>,
    id: Arc<str>,
    lease: u64,
    said: Announcement,
    figures: Arc<Figures>,
    log: Arc<Log>,
    scripts: Arc<Scripts>,
}

impl Staff {
    pub(super) fn new(
        server: Server,
        queues: Arc<[Arc<Keys>]>,
        id: Arc<str>,
        settings: &ConsumerSettings,
    ) -> Self {
        let lease = u64::try_from(settings.lease.as_millis()).unwrap_or(u64::MAX);
        let Hello { protocol, flowhost, engine, target, .. } = Hello::of(ENGINE);
        let said = Announcement {
            id: id.to_string(),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            pid: std::process::id(),
            protocol,
            flowhost,
            engine,
            target,
            concurrency: settings.concurrency as u64,
            running: 0,
            queues: settings.queues.clone(),
            lease_ms: lease,
            draining: false,
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            ceiling: serde_json::to_value(settings.ceiling.said()).unwrap_or_default(),
        };
        let (figures, log) = (Arc::clone(&settings.figures), Arc::clone(&settings.log));
        Self { server, queues, id, lease, said, figures, log, scripts: Arc::default() }
    }

    /// Says for the first time that the worker is there.
    pub(super) async fn announce(&mut self) -> Result<(), ConsumeError> {
        let failed = |source| ConsumeError::Redis { shown: self.server.shown().to_owned(), source };
        let mut link = self.server.link().await.map_err(failed)?;
        for keys in &*self.queues {
            self.scripts.open(&mut link, keys).await.map_err(failed)?;
        }
        match self.tell(&mut link).await.map_err(failed)? {
            None => {
                for keys in &*self.queues {
                    self.scripts.sweep(&mut link, keys).await.map_err(failed)?;
                }
                Ok(())
            }
            Some((queue, theirs)) => Err(ConsumeError::Lease { queue, theirs, ours: self.lease }),
        }
    }

    /// Says that the worker is there. Gives the first queue whose workers hold attempts for another time.
    async fn tell(&self, link: &mut Link) -> RedisResult<Option<(String, u64)>> {
        let (running, _) = self.figures.load();
        let said = Announcement { running, draining: self.figures.draining(), ..self.said.clone() };
        let said = serde_json::to_string(&said).unwrap_or_default();
        for keys in &*self.queues {
            let theirs = self.scripts.announce(link, keys, &self.id, &said, self.lease).await?;
            if theirs != self.lease {
                return Ok(Some((keys.queue().to_owned(), theirs)));
            }
            let _: usize = link.sadd(keys.queues(), keys.served()).await?;
            let depth = look::depth(link, keys).await?;
            self.figures.set_queue(keys.queue(), Some(depth.waiting), depth.length, depth.letters);
        }
        Ok(None)
    }

    /// Says again and again that the worker is there.
    pub(super) async fn run(self) {
        let mut link: Option<Link> = None;
        loop {
            tokio::time::sleep(ANNOUNCE).await;
            let told = async {
                let mut open = match link.take() {
                    Some(open) => open,
                    None => self.server.link().await?,
                };
                let other = self.tell(&mut open).await?;
                link = Some(open);
                Ok::<_, RedisError>(other)
            };
            match told.await {
                Ok(None) => {}
                Ok(Some((queue, theirs))) => {
                    let message = "the queue's workers hold attempts for another time than this one: stop it, and start it with theirs";
                    let fields = [("queue", queue), ("lease_ms", theirs.to_string())];
                    self.log.say(Level::Error, "lease", message, &fields);
                }
                // The keeper says that Redis does not answer.
                Err(_) => {}
            }
        }
    }

    /// Says that the worker takes nothing more, and sees to it that it does not.
    pub(super) async fn drains(&self, waits: &AtomicU64) {
        let drains = async {
            let mut link = self.server.link().await?;
            self.tell(&mut link).await?;
            let waits = waits.load(Ordering::Acquire);
            if waits > 0 {
                // Else an entry might still be delivered to it.
                let _: i64 = redis::cmd("CLIENT").arg("UNBLOCK").arg(waits).query_async(&mut link).await?;
            }
            Ok::<_, RedisError>(())
        };
        // Who cannot say so holds nothing for longer than its lease.
        let _ = tokio::time::timeout(PATIENCE, drains).await;
    }

    /// Gives back what was delivered and never arrived, and removes what is known of the worker.
    pub(super) async fn leave(&self) {
        let leaves = async {
            let mut link = self.server.link().await?;
            for keys in &*self.queues {
                let mut pending = redis::cmd("XPENDING");
                pending.arg(keys.tasks()).arg(GROUP).arg("-").arg("+").arg(1000).arg(&*self.id);
                let left: Vec<(String, String, u64, u64)> = pending.query_async(&mut link).await?;
                let held = |(entry, _, _, delivery)| Held {
                    entry,
                    delivery,
                    attempt: String::new(),
                    run: keys.run(&RunId("?".into())),
                };
                let left: Vec<Held> = left.into_iter().map(held).collect();
                self.scripts.hand_back(&mut link, keys, &self.id, self.lease, &left).await?;
                // A consumer with entries stays until somebody else has them, and then until the next one sweeps.
                self.scripts.leave(&mut link, keys, &self.id).await?;
                self.scripts.sweep(&mut link, keys).await?;
            }
            Ok::<_, RedisError>(())
        };
        // As above; and what is known of it expires.
        let _ = tokio::time::timeout(PATIENCE, leaves).await;
    }
}

/// What runs tell a worker.
pub(super) struct Inbox {
    server: Server,
    queues: Vec<Arc<Keys>>,
    id: Arc<str>,
    seal: Seal,
}

impl Inbox {
    pub(super) fn new(server: Server, queues: Vec<Arc<Keys>>, id: Arc<str>, seal: Seal) -> Self {
        Self { server, queues, id, seal }
    }

    pub(super) async fn run(self, to: mpsc::UnboundedSender<(RunId, ToWorker)>) {
        let streams: Vec<String> = self.queues.iter().map(|keys| keys.inbox(&self.id)).collect();
        let mut last = vec!["0".to_owned(); streams.len()];
        let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default().block(block).count(1000);
        let mut link: Option<(Link, Link)> = None;
        loop {
            let read = async {
                let (mut waiting, mut quick) = match link.take() {
                    Some(open) => open,
                    None => (self.server.waiting_link().await?, self.server.link().await?),
                };
                let read: Option<StreamReadReply> = waiting.xread_options(&streams, &last, &options).await?;
                for stream in read.into_iter().flat_map(|read| read.keys) {
                    let entries: Vec<&str> = stream.ids.iter().map(|entry| &*entry.id).collect();
                    let _: usize = quick.xdel(&stream.key, &entries).await?;
                    if let (Some(at), Some(entry)) =
                        (streams.iter().position(|name| *name == stream.key), stream.ids.last())
                        && let Some(last) = last.get_mut(at)
                    {
                        last.clone_from(&entry.id);
                    }
                    for entry in stream.ids {
                        let run: String = entry.get("run").unwrap_or_default();
                        let message: Vec<u8> = entry.get("message").unwrap_or_default();
                        let Ok(bytes) = self.seal.open(&[&run, INBOX, &self.id], &message) else { continue };
                        let bytes = bytes::Bytes::copy_from_slice(bytes);
                        if let Ok(message) = ToWorker::unpack(bytes)
                            && to.send((RunId(run.into()), message)).is_err()
                        {
                            return Ok(false);
                        }
                    }
                }
                link = Some((waiting, quick));
                Ok::<_, RedisError>(true)
            };
            match read.await {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
