//! Components that a worker fetched: in Redis under their digests, and kept on this machine's disk, where the
//! oldest give way.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use redis::{AsyncCommands, RedisError};

use crate::digest::Digest;
use crate::executor::{BoxFuture, Supply};
use crate::folder::{Folder, FolderError, user_cache};
use crate::queue::{Keys, Server};
use crate::runtime::Source;
use crate::store::{Entry, Store, StoreError};

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
    Store(#[from] StoreError),
    #[error("flowhost is shutting down")]
    Shutdown,
}

pub(super) struct Components {
    server: Server,
    keys: Arc<Keys>,
    store: Arc<Mutex<Store>>,
    folder: PathBuf,
    /// Bytes that are kept at most.
    most: u64,
    /// The last that was asked for: many attempts are of one component.
    last: Mutex<Option<(Digest, Bytes)>>,
}

impl Components {
    /// Kept in the user's cache folder.
    pub(super) fn open(server: Server, keys: Arc<Keys>, most: u64) -> Result<Self, FolderError> {
        let folder = user_cache().unwrap_or_else(|| PathBuf::from("/var/cache/flowhost")).join("components");
        let folder = Folder::open(folder, &[])?;
        let path = folder.path().to_owned();
        let store = Arc::new(Mutex::new(Store::new(folder)));
        Ok(Self { server, keys, store, folder: path, most, last: Mutex::default() })
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
        let store = Arc::clone(&self.store);
        let kept = move || store.lock().unwrap_or_else(PoisonError::into_inner).get(&digest);
        let kept = tokio::task::spawn_blocking(kept).await.map_err(|_| FetchError::Shutdown)??;
        let bytes = match kept {
            Entry::Sound(bytes) => Bytes::from(bytes),
            Entry::Missing | Entry::Damaged(_) => self.fetch(digest).await?,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((digest, bytes.clone()));
        Ok(bytes)
    }

    async fn fetch(&self, digest: Digest) -> Result<Bytes, FetchError> {
        let mut link = self.server.link().await?;
        let bytes: Option<Vec<u8>> = link.get(self.keys.component(&digest)).await?;
        let bytes = bytes.ok_or(FetchError::Missing(digest))?;
        let (store, folder, most) = (Arc::clone(&self.store), self.folder.clone(), self.most);
        let keep = move || {
            let found = Digest::of(&bytes);
            if found != digest {
                return Err(FetchError::Other { wanted: digest, found });
            }
            store.lock().unwrap_or_else(PoisonError::into_inner).keep(&bytes)?;
            make_room(&folder, &digest.hex(), most);
            Ok(Bytes::from(bytes))
        };
        tokio::task::spawn_blocking(keep).await.map_err(|_| FetchError::Shutdown)?
    }
}

/// Removes the oldest files until the rest is no more than `most` bytes. `last` stays. What cannot be
/// removed is left: it is only a cache, and others may be at work in it.
fn make_room(folder: &std::path::Path, last: &str, most: u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let known = entries.flatten().filter_map(|entry| {
        let about = entry.metadata().ok()?;
        Some((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()))
    });
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    let mut whole: u64 = known.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in known {
        if whole <= most {
            return;
        }
        if path.file_name().is_none_or(|name| name != last) && std::fs::remove_file(path).is_ok() {
            whole -= length;
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_give_way_and_the_last_stays() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, age) in [("old", 30), ("older", 60), ("last", 90), ("new", 1)] {
            let path = folder.path().join(name);
            std::fs::write(&path, [0; 100]).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        make_room(folder.path(), "last", 400);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
        make_room(folder.path(), "last", 200);
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["last", "new"]);
        make_room(folder.path(), "last", 0);
        assert!(folder.path().join("last").exists());
    }
}
