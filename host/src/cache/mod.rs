//! Outcomes of deterministic calls, by all that they depend on. Values are JSON here, made by type by
//! who keeps and finds them. Knows nothing of runs, and nothing of executors but their names.

mod key;

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use key::{Key, Part};

use crate::folder::{Folder, FolderError, Size, user_cache};
use crate::model::Usage;

/// Of the files' form. A file of another form is no entry.
const VERSION: u32 = 2;

/// Why there is no cache, or an outcome cannot be kept in it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither the setting nor the environment says where it is.
    #[error("no folder for cached outcomes: set XDG_CACHE_HOME or HOME")]
    Nowhere,
    /// It cannot be used.
    #[error("cached outcomes: {0} (XDG_CACHE_HOME names another)")]
    Folder(#[from] FolderError),
    /// The outcome cannot be written.
    #[error("cannot keep an outcome in the cache: {0}")]
    Write(#[from] io::Error),
}

/// A succeeded outcome.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Of this form.
    version: u32,
    /// All that it depends on.
    key: Key,
    /// The task's value, by its type.
    pub value: serde_json::Value,
    /// What the attempt used.
    pub usage: Usage,
    /// Where it ran.
    pub executor: String,
}

impl Entry {
    /// The outcome of the call that `key` names.
    #[must_use]
    pub fn new(key: Key, value: serde_json::Value, usage: Usage, executor: &str) -> Self {
        Self { version: VERSION, key, value, usage, executor: executor.to_owned() }
    }
}

/// The folder: a file for each outcome, named by its key and sealed.
#[derive(Debug)]
pub struct Cache(Folder);

impl Cache {
    /// Opens `folder`, or `flowhost/cache` in the user's cache folder, and makes it if need be.
    /// `others` are folders that others may fill.
    ///
    /// # Errors
    /// Fails when it cannot be made or opened, when another user owns it or can write to it, and when
    /// it lies where others may write.
    pub fn open(folder: Option<PathBuf>, others: &[PathBuf]) -> Result<Self, CacheError> {
        let path = match folder {
            Some(folder) => folder,
            None => user_cache().ok_or(CacheError::Nowhere)?.join("cache"),
        };
        Ok(Self(Folder::open(path, others)?))
    }

    /// The outcome of the call that `key` names, if it is there, whole and ours. One that is not is
    /// removed.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<Entry> {
        let name = key.name();
        let found = self.read(&name);
        match found {
            Ok(entry) if entry.version == VERSION && entry.key == *key => Some(entry),
            Ok(_) => {
                self.0.remove(&name);
                None
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.0.remove(&name);
                }
                None
            }
        }
    }

    fn read(&self, name: &str) -> io::Result<Entry> {
        let (file, length) = self.0.sealed(name)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Keeps an outcome. One that is lost with the power is made again.
    ///
    /// # Errors
    /// Fails when it cannot be written. Then there is no half file.
    pub fn keep(&self, entry: &Entry) -> Result<(), CacheError> {
        let draft = self.0.draft()?;
        draft.writer()?.write_all(&serde_json::to_vec(entry).map_err(io::Error::from)?)?;
        Ok(self.0.keep(draft, &entry.key.name(), false)?)
    }

    /// How much it holds.
    ///
    /// # Errors
    /// Fails when the folder cannot be read.
    pub fn size(&self) -> io::Result<Size> {
        self.0.size()
    }

    /// Removes outcomes that were kept before `before`, and says how much that was. Without `remove` it
    /// only says.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn prune(&self, before: std::time::SystemTime, remove: bool) -> Result<Size, CacheError> {
        Ok(self.0.prune(before, remove, |_| false)?)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::cache::key::tests::call;

    fn entry(n: u64) -> Entry {
        let key = Key::of(&call(n), &[], "engine");
        let usage =
            Usage { wall: Duration::from_millis(n), peak_memory: 1, fuel: Some(n), ..Usage::default() };
        Entry::new(key, serde_json::json!({ "n": n }), usage, "in-process")
    }

    #[test]
    fn finds_what_it_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path().join("cache")), &[]).unwrap();
        let (one, two) = (entry(1), entry(2));
        assert_eq!(cache.find(&one.key), None);
        cache.keep(&one).unwrap();
        assert_eq!((cache.find(&one.key), cache.find(&two.key)), (Some(one), None));
        assert_eq!(cache.size().unwrap().entries, 1);
    }

    #[test]
    fn h6_what_was_changed_is_no_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path().to_owned()), &[]).unwrap();
        let (one, two) = (entry(1), entry(2));
        cache.keep(&one).unwrap();
        let path = folder.path().join(one.key.name());
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(cache.find(&one.key), None);
        assert!(!path.exists(), "it is removed");
        cache.keep(&one).unwrap();
        fs::rename(&path, folder.path().join(two.key.name())).unwrap();
        assert_eq!(cache.find(&two.key), None, "another call's outcome");
        // Sealed as it should be, and still another call's.
        let mut forged = entry(1);
        forged.key = two.key.clone();
        let draft = cache.0.draft().unwrap();
        draft.writer().unwrap().write_all(&serde_json::to_vec(&forged).unwrap()).unwrap();
        cache.0.keep(draft, &one.key.name(), false).unwrap();
        assert_eq!(cache.find(&one.key), None);
    }
}
