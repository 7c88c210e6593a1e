//! Components that a worker fetched: in Redis under their digests, and kept on this machine's disk.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use redis::{AsyncCommands, RedisError};

use crate::digest::Digest;
use crate::executor::{BoxFuture, Supply};
use crate::queue::{Keys, Server};
use crate::runtime::Source;
use crate::worker::kept::{Kept, KeptError};

/// Why a component is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("Redis does not answer: {0}")]
    Redis(#[from] RedisError),
    #[error("the component {0} is not in Redis any more")]
    Missing(Digest),
    #[error("what Redis has for the component {wanted} is {found}")]
    Other { wanted: Digest, found: Digest },
    #[error(transparent)]
    Kept(#[from] KeptError),
}

pub(super) struct Components {
    server: Server,
    keys: Arc<Keys>,
    kept: Kept,
    /// The last that was asked for: many attempts are of one component.
    last: Mutex<Option<(Digest, Bytes)>>,
}

impl Components {
    pub(super) fn new(server: Server, keys: Arc<Keys>, kept: Kept) -> Self {
        Self { server, keys, kept, last: Mutex::default() }
    }

    /// A component's bytes: those of the digest, wherever they came from.
    pub(super) async fn get(&self, digest: Digest) -> Result<Bytes, FetchError> {
        // Nothing in there panics halfway.
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((known, bytes)) = last
            && known == digest
        {
            return Ok(bytes);
        }
        let bytes = match self.kept.get(digest).await? {
            Some(bytes) => bytes,
            None => self.fetch(digest).await?,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((digest, bytes.clone()));
        Ok(bytes)
    }

    async fn fetch(&self, digest: Digest) -> Result<Bytes, FetchError> {
        let mut link = self.server.link().await?;
        let bytes: Option<Vec<u8>> = link.get(self.keys.component(&digest)).await?;
        let bytes = bytes.ok_or(FetchError::Missing(digest))?;
        let bytes = Bytes::from(bytes);
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(FetchError::Other { wanted: digest, found });
        }
        self.kept.keep(bytes.clone()).await?;
        Ok(bytes)
    }
}

impl Supply for Components {
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Source, Arc<str>>> {
        Box::pin(async move {
            match self.get(digest).await {
                Ok(bytes) => Ok(Source::Bytes(bytes)),
                Err(error) => Err(error.to_string().into()),
            }
        })
    }
}
