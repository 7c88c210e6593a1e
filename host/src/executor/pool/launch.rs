//! What differs between workers of one kind and another: how they are started and stopped, and how they
//! come by components.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::digest::Digest;
use crate::executor::BoxFuture;
use crate::model::Call;
use crate::runtime::appetite;

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
    fn name(&self) -> &'static str;

    /// How many workers there are at most.
    fn most(&self) -> usize;

    /// Starts a worker that reaches so much.
    fn launch(&self, reach: &Reach) -> BoxFuture<'_, Result<Link, LaunchError>>;

    /// The bytes of a component, or why they are not to be had.
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Bytes, String>>;
}

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub(in crate::executor) enum LaunchError {
    /// There is nothing to start.
    #[error(transparent)]
    Program(#[from] crate::runtime::CompileError),
    /// The system does not start it.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// What.
        program: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A worker that was started.
pub(in crate::executor) struct Link {
    /// What it says.
    pub(in crate::executor) from: Box<dyn AsyncRead + Send + Unpin>,
    /// What it hears.
    pub(in crate::executor) to: Box<dyn AsyncWrite + Send + Unpin>,
    /// How else it is reached. Shared with those that hand code over.
    pub(in crate::executor) side: Arc<dyn Side>,
    /// Its end.
    pub(in crate::executor) life: Box<dyn Life>,
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
pub(in crate::executor) struct End {
    /// In words.
    pub(in crate::executor) how: String,
    /// Somebody else ended it: neither did it end by itself, nor was it asked to.
    pub(in crate::executor) killed: bool,
}
