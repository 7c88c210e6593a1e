//! Bytes by digest, on disk. An entry is there whole or not at all, and what is read was verified.
//! Knows nothing of what the bytes mean.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::folder::{Folder, FolderError, Size};

/// Bytes by digest, in a folder of their own.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    /// Counts this process's drafts, so that each has a name of its own.
    drafts: u64,
}

/// Why bytes could not be kept or had back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder failed.
    #[error("the store: {0}")]
    Folder(#[from] FolderError),
    /// An entry could not be written or read.
    #[error("the store's entry `{digest}`: {source}")]
    Io {
        /// Which.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
}

/// What the store has under a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The bytes, verified.
    Sound(Vec<u8>),
    /// Nothing.
    Missing,
    /// Other bytes, which were set aside under this name.
    Damaged(String),
}

/// What stands before the name of an entry that is still being written.
const DRAFT: &str = ".draft-";
/// What stands behind the name of an entry that was set aside.
const DAMAGED: &str = ".damaged";

impl Store {
    /// A store in `folder`.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self { folder, drafts: 0 }
    }

    /// Keeps bytes, durably, and says their digest. Bytes that are there already are not written
    /// again.
    ///
    /// # Errors
    /// Fails when they cannot be written; then there is no entry.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let name = digest.hex();
        if let Some(file) = self.folder.find_file(&name, false)?
            && file.metadata().is_ok_and(|metadata| metadata.len() == bytes.len() as u64)
            && Digest::of_reader(&file).is_ok_and(|found| found == digest)
        {
            return Ok(digest);
        }
        self.drafts += 1;
        let draft = format!("{DRAFT}{}-{}", std::process::id(), self.drafts);
        // Left behind by a process of the same id that was killed.
        self.folder.unlink(&draft)?;
        let written = self.folder.create(&draft).map_err(StoreError::from).and_then(|file| {
            write_whole(file, bytes).map_err(|source| StoreError::Io { digest, source })?;
            Ok(self.folder.rename(&draft, &name)?)
        });
        if written.is_err() {
            // What was begun is of no use; that it could not be removed adds nothing to the error.
            let _ = self.folder.unlink(&draft);
        }
        written.map(|()| digest)
    }

    /// Keeps a file's bytes under the digest that they had when they were last looked at. An entry of the
    /// file's length is not read again: what it holds is verified by whoever takes it. Says whether
    /// there is an entry now; without, the file is gone or another.
    ///
    /// # Errors
    /// As [`Store::keep`].
    pub fn keep_file(&mut self, path: &Path, digest: &Digest) -> Result<bool, StoreError> {
        let Ok(length) = std::fs::metadata(path).map(|metadata| metadata.len()) else { return Ok(false) };
        if let Some(file) = self.folder.find_file(&digest.hex(), false)?
            && file.metadata().is_ok_and(|metadata| metadata.len() == length)
        {
            return Ok(true);
        }
        match std::fs::read(path) {
            Ok(bytes) if Digest::of(&bytes) == *digest => self.keep(&bytes).map(|_| true),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// The file that holds the bytes of a digest, if there is one and they are sound. What has its name
    /// and is something else is set aside.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn file(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        match self.get(digest)? {
            Entry::Sound(_) => Ok(Some(self.folder.path().join(digest.hex()))),
            Entry::Missing | Entry::Damaged(_) => Ok(None),
        }
    }

    /// The bytes of a digest. What has its name and is something else is set aside, so that it is kept
    /// anew next time.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn get(&self, digest: &Digest) -> Result<Entry, StoreError> {
        let name = digest.hex();
        let Some(mut file) = self.folder.find_file(&name, false)? else { return Ok(Entry::Missing) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| StoreError::Io { digest: *digest, source })?;
        if Digest::of(&bytes) == *digest {
            return Ok(Entry::Sound(bytes));
        }
        let aside = name.clone() + DAMAGED;
        self.folder.rename(&name, &aside)?;
        Ok(Entry::Damaged(aside))
    }

    /// Removes all that `wanted` does not want and that is older than `before`, drafts and what was set
    /// aside included, and says how much that was. Without `remove` it only says.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn prune(
        &self,
        before: SystemTime,
        remove: bool,
        wanted: impl Fn(&Digest) -> bool,
    ) -> Result<Size, StoreError> {
        let wanted = |name: &str| format!("sha256:{name}").parse().is_ok_and(|digest| wanted(&digest));
        Ok(self.folder.prune(before, remove, wanted)?)
    }
}

fn write_whole(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temporary = tempfile::tempdir().unwrap();
        let store = Store::new(Folder::make(&temporary.path().join("store")).unwrap());
        (temporary, store)
    }

    #[test]
    fn what_is_kept_is_had_back() {
        let (_temporary, mut store) = store();
        for bytes in [&b""[..], b"one", &[7; 100_000]] {
            let digest = store.keep(bytes).unwrap();
            assert_eq!(store.keep(bytes).unwrap(), digest);
            assert_eq!(store.get(&digest).unwrap(), Entry::Sound(bytes.to_owned()));
        }
        assert_eq!(store.get(&Digest::of(b"other")).unwrap(), Entry::Missing);
        assert_eq!(store.folder.names().unwrap().len(), 3, "drafts are left behind");
    }

    #[test]
    fn files_are_kept_under_the_digest_that_they_had() {
        let (temporary, mut store) = store();
        let path = temporary.path().join("file");
        let digest = Digest::of(b"bytes");
        assert!(!store.keep_file(&path, &digest).unwrap(), "there is no file");
        std::fs::write(&path, b"other").unwrap();
        assert!(!store.keep_file(&path, &digest).unwrap(), "the file is another");
        assert_eq!(store.file(&digest).unwrap(), None);
        std::fs::write(&path, b"bytes").unwrap();
        assert!(store.keep_file(&path, &digest).unwrap());
        let kept = store.file(&digest).unwrap().unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), b"bytes");
        // What was damaged is not given out, and kept anew.
        std::fs::write(&kept, b"bytez").unwrap();
        assert_eq!(store.file(&digest).unwrap(), None);
        assert!(store.keep_file(&path, &digest).unwrap());
        assert_eq!(store.file(&digest).unwrap(), Some(kept));
    }

    #[test]
    fn h2_a_damaged_entry_is_set_aside_and_kept_anew() {
        let (temporary, mut store) = store();
        let digest = store.keep(b"some bytes").unwrap();
        let path = temporary.path().join("store").join(digest.hex());
        for damage in [&b"some bytez"[..], b"some", b""] {
            std::fs::write(&path, damage).unwrap();
            let aside = store.get(&digest).unwrap();
            assert_eq!(aside, Entry::Damaged(digest.hex() + ".damaged"));
            assert_eq!(
                std::fs::read(temporary.path().join("store").join(digest.hex() + ".damaged")).unwrap(),
                damage
            );
            assert_eq!(store.get(&digest).unwrap(), Entry::Missing);
            store.keep(b"some bytes").unwrap();
            std::fs::write(&path, damage).unwrap();
            assert_eq!(store.keep(b"some bytes").unwrap(), digest);
            assert_eq!(store.get(&digest).unwrap(), Entry::Sound(b"some bytes".to_vec()));
        }
    }

    #[test]
    fn pruning_takes_what_is_old_and_unwanted() {
        let (temporary, mut store) = store();
        let (one, two) = (store.keep(b"one").unwrap(), store.keep(b"two").unwrap());
        std::fs::write(temporary.path().join("store/.draft-1-1"), "half").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let earlier = SystemTime::now() - Duration::from_secs(60);
        assert_eq!(store.prune(earlier, true, |_| false).unwrap(), Size::default());
        assert_eq!(
            store.prune(later, false, |digest| *digest == one).unwrap(),
            Size { entries: 2, bytes: 7 }
        );
        assert_eq!(store.prune(later, true, |digest| *digest == one).unwrap(), Size { entries: 2, bytes: 7 });
        assert_eq!(store.get(&one).unwrap(), Entry::Sound(b"one".to_vec()));
        assert_eq!(store.get(&two).unwrap(), Entry::Missing);
    }
}
