//! What differs between workers of one kind and another: how they are started and stopped, and how they
//! come by components.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::digest::Digest;
use crate::executor::BoxFuture;
use crate::id::NodeId;
use crate::model::{Breaker, Call};
use crate::runtime::appetite;
use crate::wire::{Hello, Receiver, Refusal, WireError, answer};

/// Bytes that a worker may use at least: those of a call with the limits that there are where none are set,
/// so that most runs need one kind of worker.
const LEAST: u64 = 1 << 30;

/// What a worker is started for and confined to. It executes calls of one reach alone, since what is taken
/// from a process cannot be given back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::executor) struct Reach {
    /// Directories relative to the root, in order, and whether they may be written to.
    pub(in crate::executor) directories: Vec<(PathBuf, bool)>,
    /// Whether its guests may use the network.
    pub(in crate::executor) network: bool,
    /// Bytes that an attempt may make its process allocate: a power of two, so that there are few kinds.
    pub(in crate::executor) memory: u64,
}

impl Default for Reach {
    fn default() -> Self {
        Self { directories: Vec::new(), network: false, memory: LEAST }
    }
}

impl Reach {
    /// What `call` needs.
    pub(super) fn of(call: &Call) -> Self {
        let directories = call.directories.iter();
        let mut directories: Vec<_> =
            directories.map(|granted| (granted.path.clone(), granted.write)).collect();
        directories.sort();
        directories.dedup();
        let memory = appetite(call).checked_next_power_of_two().unwrap_or(u64::MAX).max(LEAST);
        Self { directories, network: !call.net.is_empty() || !call.http.is_empty(), memory }
    }
}

/// Starts workers of one kind.
pub(in crate::executor) trait Launch: Send + Sync + 'static {
    /// The executor's name.
    fn name(&self) -> Arc<str>;

    /// Which workers there may be.
    fn staff(&self) -> Staff;

    /// Starts a worker, and tells it who we are. A child is to reach so much; a node's is that of the node at
    /// this position.
    fn launch(&self, reach: &Reach, node: usize, ours: &Hello) -> BoxFuture<'_, Result<Link, Gone>>;

    /// The bytes of a component, or why they are not to be had.
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Component, String>>;
}

/// A component as it travels.
#[derive(Clone)]
pub(in crate::executor) struct Component {
    /// Its bytes, or what zstd makes of them.
    pub(in crate::executor) wasm: Bytes,
    /// How many bytes they are, where zstd made something else of them.
    pub(in crate::executor) packed: Option<u64>,
}

/// Which workers there may be.
pub(in crate::executor) enum Staff {
    /// Children of this process, each for one attempt at a time: as many as help, and no more than so many.
    Children(usize),
    /// One on each node, for as many attempts at once as it says. Of groups with a breaker, each node's own holds
    /// attempts back.
    Nodes(Vec<Place>, HashMap<NodeId, Breaker>),
}

/// A node as the pool sees it.
pub(in crate::executor) struct Place {
    /// What it is called in reports.
    pub(in crate::executor) name: Arc<str>,
    /// Attempts that it may execute at once, where that was said.
    pub(in crate::executor) concurrency: Option<usize>,
}

/// How a worker ended, or why there is none.
#[derive(Debug, thiserror::Error)]
pub(in crate::executor) enum Gone {
    /// It speaks another protocol. No other will do better.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// It was not even started. Another will not be either.
    #[error("{0}")]
    Unstarted(String),
    /// Otherwise.
    #[error("{}", .0.how)]
    Lost(End),
}

/// A worker that was started and said who it is.
pub(in crate::executor) struct Link {
    /// What it says.
    pub(in crate::executor) receiver: Receiver<Box<dyn AsyncRead + Send + Unpin>>,
    /// Who it is.
    pub(in crate::executor) hello: Hello,
    /// What it hears.
    pub(in crate::executor) to: Box<dyn AsyncWrite + Send + Unpin>,
    /// How else it is reached. Shared with those that hand code over.
    pub(in crate::executor) side: Arc<dyn Side>,
    /// Its end.
    pub(in crate::executor) life: Box<dyn Life>,
}

impl Link {
    /// Waits for what a worker that was started says of itself, and tells it who we are. One that does not fit is
    /// ended.
    ///
    /// # Errors
    /// Fails when it does not answer, or does not fit.
    pub(in crate::executor) async fn meet(
        from: impl AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
        side: impl Side + 'static,
        life: Box<dyn Life>,
        ours: &Hello,
    ) -> Result<Self, Unmet> {
        let from: Box<dyn AsyncRead + Send + Unpin> = Box::new(from);
        let mut to: Box<dyn AsyncWrite + Send + Unpin> = Box::new(to);
        match answer(from, &mut to, ours).await {
            Ok((receiver, hello)) => Ok(Self { receiver, hello, to, side: Arc::new(side), life }),
            Err(error) => Err(Unmet { error, end: life.end(true).await }),
        }
    }
}

/// A worker that did not answer, or does not fit, and how it ended.
pub(in crate::executor) struct Unmet {
    pub(in crate::executor) error: WireError,
    pub(in crate::executor) end: End,
}

impl From<Unmet> for Gone {
    fn from(Unmet { error, end }: Unmet) -> Self {
        match error {
            WireError::Refused(refusal) => Self::Refused(refusal),
            error => Self::Lost(End { how: format!("{error}; {}", end.how), ..end }),
        }
    }
}

/// What there is of a worker beside its connection.
pub(in crate::executor) trait Side: Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> Arc<str>;

    /// Hands over code for `settings`, or says why there is none.
    fn code(&self, component: Digest, settings: Arc<str>) -> BoxFuture<'_, Result<(), String>>;

    /// Whether it waits for something other than a processor at this moment. False where that is not
    /// known.
    fn waits(&self) -> bool;
}

/// A worker's process.
pub(in crate::executor) trait Life: Send {
    /// Waits for its end, and says how that was. With `now`, ends it first: asks, then forces it.
    fn end(self: Box<Self>, now: bool) -> BoxFuture<'static, End>;
}

/// How a worker's process ended.
#[derive(Debug)]
pub(in crate::executor) struct End {
    /// In words.
    pub(in crate::executor) how: String,
    /// Somebody else ended it: neither did it end by itself, nor was it asked to.
    pub(in crate::executor) killed: bool,
    /// Its exit code, where it ended by itself.
    pub(in crate::executor) code: Option<i32>,
    /// What it said last.
    pub(in crate::executor) said: String,
}
