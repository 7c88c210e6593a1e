//! A Redis consumer in front of an in-process executor: takes attempts from queues, has them executed, and hands their
//! outcomes over while it holds them. The rules are those of `queue`.

mod components;
mod desk;
mod hands;
mod intake;
mod keeper;
mod remote;
mod staff;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use redis::RedisError;
use tokio::sync::{mpsc, watch};

use self::components::Components;
use self::desk::{Desk, Ears, Writing};
use self::hands::{Hands, Room};
use self::intake::Intake;
use self::keeper::Keeper;
use self::remote::Remote;
use self::staff::Staff;
use super::kept::Kept;
use super::log::Level;
use super::settings::{ConsumerSettings, Stopping};
use crate::executor::{Executor, InProcess, Port, ServingSettings, Unreachable};
use crate::folder::FolderError;
use crate::queue::{ConnectError, Keys, NameError, Seal, Server};
use crate::report::Interest;
use crate::runtime::RuntimeError;
use crate::wire::PROTOCOL;

/// Why a worker does not work.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// Redis is of no use.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Redis does not do as it is asked.
    #[error("Redis at {shown}: {source}{}", crate::queue::advice(source))]
    Redis {
        /// Where, without the password.
        shown: String,
        /// Why.
        source: RedisError,
    },
    /// The workers of a queue hold attempts for another time than this one would.
    #[error(
        "the workers of queue `{queue}` hold attempts for {theirs} ms, and this one would for {ours} ms: start it with \
         --lease {theirs}ms, or stop them first; one that ended otherwise is forgotten after 15 s"
    )]
    Lease {
        /// The queue.
        queue: String,
        /// What they hold for.
        theirs: u64,
        /// What this one was told.
        ours: u64,
    },
    /// A name cannot be part of a key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no place for components.
    #[error("there is no place for components: {0}")]
    Store(#[from] FolderError),
    /// The system starts no thread.
    #[error("cannot start a thread: {0}")]
    Threads(#[from] std::io::Error),
    /// Guests cannot run here.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The executor does not open.
    #[error(transparent)]
    Executor(#[from] Unreachable),
}

impl ConsumeError {
    /// Whether the worker was told something that cannot be.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Lease { .. } | Self::Name(_) | Self::Connect(ConnectError::Url(_)))
    }

    /// Whether Redis cannot be reached, or not used.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Redis { .. })
    }
}

/// Works until it is asked to stop. Needs a tokio runtime.
///
/// # Errors
/// Fails when the worker cannot begin: Redis cannot be reached or used, the queue's workers hold attempts for
/// another time, or guests cannot run here. Whatever happens to Redis later is waited for.
pub async fn consume(
    settings: ConsumerSettings,
    stops: watch::Receiver<Stopping>,
) -> Result<(), ConsumeError> {
    let (server, warnings) = Server::open(&settings.url, settings.ca.as_deref()).await?;
    let log = Arc::clone(&settings.log);
    for warning in warnings {
        log.say(Level::Warning, "redis-settings", &warning, &[("redis", server.shown().to_owned())]);
    }
    let queues =
        settings.queues.iter().map(|queue| Keys::new(&settings.prefix, PROTOCOL, queue).map(Arc::new));
    let queues: Arc<[Arc<Keys>]> = queues.collect::<Result<_, _>>()?;
    let Some(first) = queues.first().cloned() else { return Ok(()) };
    let id: Arc<str> = format!("{}-{}-{}", settings.id, std::process::id(), random()).into();
    let components = Arc::new(Components::new(
        server.clone(),
        first,
        Kept::open(settings.workdir.as_deref(), settings.store_max)?,
    ));
    let writing = Writing { seal: Seal::new(settings.key.as_deref()), id: Arc::clone(&id) };
    let (hands, room) = (Arc::new(Hands::default()), Arc::new(Room::new(settings.concurrency)));
    let (keeper, asks) = mpsc::unbounded_channel();
    let remote = Arc::new(Remote::new(Arc::clone(&hands), writing.clone(), keeper.clone()));
    let executor = InProcess::serving(ServingSettings {
        slots: None,
        runtime: Arc::clone(&settings.runtime),
        folders: settings.ceiling.folders(),
        supply: components.clone(),
        compiles: true,
        in_order: false,
        kept: false,
    })?;
    let interest = Interest { starts: true, successes: true, logs: true, progress: true, writes: false };
    let channel = Arc::clone(&remote);
    let (port, reports) = Port::new(interest, move |_| channel);
    let (tell, kept) = mpsc::unbounded_channel();
    let keep = Keeper::new(
        server.clone(),
        Arc::clone(&id),
        settings.lease,
        Arc::clone(&room),
        Arc::clone(&settings.figures),
        tell,
    );
    let keeping = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keeping = std::thread::Builder::new()
        .name("flowhost-leases".to_owned())
        .spawn(move || keeping.block_on(keep.run(asks)))?;
    let mut staff = Staff::new(server.clone(), Arc::clone(&queues), Arc::clone(&id), &settings);
    staff.announce().await?;
    executor.open(port).await?;
    settings.figures.set_capacity(settings.concurrency);
    let (to_inbox, inbox) = mpsc::unbounded_channel();
    let (trouble, troubles) = mpsc::unbounded_channel();
    let (to, arrivals) = mpsc::channel(2);
    let waits: Arc<AtomicU64> = Arc::default();
    let (last, ceiling) = (Arc::<AtomicU64>::default(), Arc::new(settings.ceiling.clone()));
    let full: Arc<[AtomicBool]> = queues.iter().map(|_| AtomicBool::new(false)).collect();
    let together = if server.is_cluster() { 1 } else { queues.len() };
    let mut taking = Vec::new();
    for (at, some) in queues.chunks(together).enumerate() {
        let intake = Intake {
            server: server.clone(),
            queues: some.to_vec(),
            full: Arc::clone(&full),
            rank: at,
            id: Arc::clone(&id),
            lease: settings.lease,
            seal: writing.seal.clone(),
            ceiling: Arc::clone(&ceiling),
            components: Arc::clone(&components),
            room: Arc::clone(&room),
            keeper: keeper.clone(),
            to: to.clone(),
            waits: Arc::clone(&waits),
            last: Arc::clone(&last),
            // Those whose holders are gone are looked for at once.
            looked: Instant::now().checked_sub(settings.lease).unwrap_or_else(Instant::now),
            suspicious: None,
        };
        taking.push(tokio::spawn(intake.run(trouble.clone())));
    }
    drop(to);
    let listening: Vec<_> = queues
        .chunks(together)
        .map(|some| {
            let inbox =
                staff::Inbox::new(server.clone(), some.to_vec(), Arc::clone(&id), writing.seal.clone());
            tokio::spawn(inbox.run(to_inbox.clone()))
        })
        .collect();
    let fields = [
        ("id", id.to_string()),
        ("redis", server.shown().to_owned()),
        ("queues", settings.queues.join(",")),
        ("concurrency", settings.concurrency.to_string()),
    ];
    log.say(Level::Info, "ready", "takes attempts", &fields);
    settings.figures.set_connected(true);
    let announcing = tokio::spawn(staff.clone().run());
    let mut desk =
        Desk::new(executor, (hands, room, remote, writing), keeper.clone(), server.shown(), &settings);
    let mut ears = Ears { arrivals, reports, kept, inbox, troubles, stops };
    desk.work(&mut ears).await;
    settings.figures.set_draining(true);
    announcing.abort();
    staff.drains(&waits).await;
    desk.finish(&mut ears).await;
    listening.into_iter().chain(taking).for_each(|task| task.abort());
    staff.leave().await;
    log.say(Level::Info, "stopped", "takes nothing more, and holds nothing", &[("id", id.to_string())]);
    // The keeper ends with the last who asks it.
    drop((desk, ears, keeper));
    drop(keeping);
    Ok(())
}

fn random() -> String {
    let mut random = [0; 4];
    // Host and process tell most workers apart already.
    let _ = getrandom::fill(&mut random);
    format!("{:08x}", u32::from_le_bytes(random))
}
