//! What differs between workers of one kind and another: how they are started and stopped, and how they
//! come by components.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::digest::Digest;
use crate::executor::BoxFuture;
use crate::model::Directory;

/// Starts workers of one kind.
pub(in crate::executor) trait Launch: Send + Sync + 'static {
    /// The executor's name.
    fn name(&self) -> &'static str;

    /// How many workers there are at most.
    fn most(&self) -> usize;

    /// Starts a worker that reaches these directories.
    fn launch(&self, directories: &[Directory]) -> BoxFuture<'_, Result<Link, LaunchError>>;

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
    /// Hands over code for `settings`, or says why there is none.
    fn code(&self, component: Digest, settings: Arc<str>) -> BoxFuture<'_, Result<(), String>>;

    /// Whether it waits for something other than a processor at this moment. False where that is not
    /// known.
    fn waits(&self) -> bool;
}

/// A worker's process.
pub(in crate::executor) trait Life: Send {
    /// Waits for its end, and says how that was. With `now`, ends it first: asks, then forces it.
    fn end(self: Box<Self>, now: bool) -> BoxFuture<'static, String>;
}
