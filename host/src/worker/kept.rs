//! Components that a worker keeps on its machine's disk under their digests, where the oldest give way.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use crate::digest::Digest;
use crate::folder::{Folder, FolderError, Identity, identity, user_cache};
use crate::store::{Entry, Store, StoreError};

/// Why a component cannot be kept or had back.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process ends.
    #[error("flowhost is shutting down")]
    Shutdown,
}

/// Components on disk.
#[derive(Debug)]
pub struct Kept {
    store: Arc<Mutex<Store>>,
    folder: PathBuf,
    /// Bytes that are kept at most.
    most: u64,
    /// Those that were not there before, each with what tells its file from that of another process.
    made: Mutex<Vec<(Digest, Option<Identity>)>>,
    /// The folder, held as long as it is used. None where folders cannot be held.
    held: Option<File>,
}

impl Kept {
    /// Opens the folder `components` in `workdir`, or else in the user's cache folder, and makes it if need be. It
    /// keeps no more than `most` bytes.
    ///
    /// # Errors
    /// Fails when it cannot be made or opened, and when it is not this user's alone to write.
    pub fn open(workdir: Option<&Path>, most: u64) -> Result<Self, FolderError> {
        let folder = match workdir {
            Some(workdir) => workdir.to_owned(),
            None => user_cache().unwrap_or_else(|| PathBuf::from("/var/cache/flowhost")),
        };
        let (folder, held) = hold(&folder.join("components"))?;
        let path = folder.path().to_owned();
        Ok(Self {
            store: Arc::new(Mutex::new(Store::new(folder))),
            folder: path,
            most,
            made: Mutex::default(),
            held,
        })
    }

    /// The bytes of a digest, if they are here and sound.
    pub(super) async fn get(&self, digest: Digest) -> Result<Option<Bytes>, KeptError> {
        let store = Arc::clone(&self.store);
        // Nothing in there panics halfway.
        let get = move || store.lock().unwrap_or_else(PoisonError::into_inner).get(&digest);
        let kept = tokio::task::spawn_blocking(get).await.map_err(|_| KeptError::Shutdown)??;
        Ok(match kept {
            Entry::Sound(bytes) => Some(bytes.into()),
            Entry::Missing | Entry::Damaged(_) => None,
        })
    }

    /// Keeps bytes that were not here.
    pub(super) async fn keep(&self, bytes: Bytes) -> Result<(), KeptError> {
        let (store, folder, most) = (Arc::clone(&self.store), self.folder.clone(), self.most);
        let keep = move || {
            let path = folder.join(Digest::of(&bytes).hex());
            let theirs = identity(&path);
            let digest = store.lock().unwrap_or_else(PoisonError::into_inner).keep(&bytes)?;
            make_room(&folder, &digest.hex(), most);
            Ok::<_, StoreError>(theirs.is_none().then(|| (digest, identity(&path))))
        };
        let made = tokio::task::spawn_blocking(keep).await.map_err(|_| KeptError::Shutdown)??;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
        Ok(())
    }

    /// Removes what was kept here and was not there before. Who else wants it asks for it anew.
    pub(super) fn remove_made(&self) {
        for (digest, made) in std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner)) {
            let path = self.folder.join(digest.hex());
            // It may have given way already, and another process may have kept it anew.
            if identity(&path) == made {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Removes what is left of the folder that this one is in, where nothing is and nobody else works there: this
    /// folder, those of these names beside it, and that folder itself.
    pub(super) fn remove_empty_folders(&self, beside: &[&str]) {
        let Some(held) = &self.held else { return };
        // Everybody who leaves lets go first, so that the last one finds nobody.
        let alone = flock(held, FlockOperation::Unlock)
            .and_then(|()| flock(held, FlockOperation::NonBlockingLockExclusive));
        if alone.is_err() {
            return;
        }
        let Some(workdir) = self.folder.parent() else { return };
        let beside = beside.iter().map(|name| workdir.join(name));
        for folder in beside.chain([self.folder.clone(), workdir.to_owned()]) {
            // Those that hold something stay.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Opens a folder, makes it if need be, and keeps others from removing it. Waits for one who does so just now.
fn hold(path: &Path) -> Result<(Folder, Option<File>), FolderError> {
    loop {
        let folder = Folder::open(path.to_owned(), &[])?;
        // Where folders cannot be held, nobody removes any.
        let Ok(held) = File::open(folder.path()) else { return Ok((folder, None)) };
        if flock(&held, FlockOperation::LockShared).is_err() {
            return Ok((folder, None));
        }
        let opened = held.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        // It may have been removed before it was held.
        if opened == identity(folder.path()) && opened == folder.identity(".") {
            return Ok((folder, Some(held)));
        }
    }
}

/// Removes the oldest files until the rest is no more than `most` bytes. `last` stays. What cannot be
/// removed is left: it is only a cache, and others may be at work in it.
fn make_room(folder: &Path, last: &str, most: u64) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_who_leaves_removes_the_folders_though_the_others_are_not_gone_yet() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = folder.path().join("workdir");
        let all = [(); 3].map(|()| Kept::open(Some(&workdir), 0).unwrap());
        for kept in &all {
            assert!(workdir.exists());
            kept.remove_empty_folders(&[]);
        }
        assert!(!workdir.exists());
        drop(all);
    }

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
