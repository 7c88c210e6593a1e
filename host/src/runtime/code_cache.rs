//! Compiled code on disk, by the component's digest and the engine's settings. Holds only what our
//! own compiler wrote, in a folder that nobody else can write to. Knows nothing of how code is made.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::lock;
use crate::digest::Digest;
use crate::folder::{Draft, Folder, FolderError, Identity, Size, by_descriptor, user_cache};

/// Why there is no code cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither the setting nor the environment says where it is.
    #[error("no folder for compiled code: set `cache_dir` in the runtime's settings, XDG_CACHE_HOME or HOME")]
    Nowhere,
    /// It cannot be used.
    #[error("compiled code: {0} (`cache_dir` or XDG_CACHE_HOME names another)")]
    Folder(#[from] FolderError),
    /// It cannot be read.
    #[error("compiled code: {0}")]
    Read(#[from] io::Error),
}

/// Where compiled code is kept, and where it must not be.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The folder. None is `flowhost/code` in the user's cache folder.
    pub(super) cache_dir: Option<PathBuf>,
    /// Folders that others may fill.
    pub(super) others: Vec<PathBuf>,
}

/// The folder.
pub(super) struct CodeCache {
    folder: Folder,
    /// Names of the entries that were made here and were not there before, each with what tells its file from
    /// that of another process.
    made: Mutex<Vec<(String, Option<Identity>)>>,
}

impl CodeCache {
    /// Opens the folder of `place`, and makes it if need be.
    ///
    /// # Errors
    /// Fails when it cannot be made or opened, when another user owns it or can write to it, and when
    /// it lies where others may write.
    pub(super) fn open(place: &Place) -> Result<Self, CacheError> {
        let path = match &place.cache_dir {
            Some(folder) => folder.clone(),
            None => user_cache().ok_or(CacheError::Nowhere)?.join("code"),
        };
        Ok(Self { folder: Folder::open(path, &place.others)?, made: Mutex::default() })
    }

    /// The entry for `digest` under `engine`'s settings, if there is a sound one. One that is damaged
    /// or not ours is removed.
    pub(super) fn find(&self, digest: &Digest, engine: &Engine) -> Option<Entry> {
        match self.folder.sealed(&name(digest, engine)) {
            Ok((file, _)) => Some(Entry(file)),
            Err(_) => {
                self.remove(digest, engine);
                None
            }
        }
    }

    /// Where it is, and how much it holds.
    pub(super) fn size(&self) -> io::Result<(PathBuf, Size)> {
        Ok((self.folder.path().to_owned(), self.folder.size()?))
    }

    /// Removes what was compiled before `before`, and says how much that was. Without `remove` it only says.
    pub(super) fn prune(&self, before: SystemTime, remove: bool) -> Result<Size, CacheError> {
        Ok(self.folder.prune(before, remove, |_| false)?)
    }

    /// Removes the entry for `digest`, which does not load.
    pub(super) fn remove(&self, digest: &Digest, engine: &Engine) {
        self.folder.remove(&name(digest, engine));
    }

    /// A file for new code.
    pub(super) fn draft(&self) -> Result<Draft, CacheError> {
        Ok(self.folder.draft()?)
    }

    /// Keeps `draft`, seals it and makes it durable first. Compiled code carries no checksum of its own,
    /// and a flipped bit in it is a program that nobody wrote. What is answered is good even if another process
    /// removes the entry at once.
    pub(super) fn keep(&self, draft: Draft, digest: &Digest, engine: &Engine) -> Result<Entry, CacheError> {
        let name = name(digest, engine);
        // Another process may have made the same meanwhile: that one is its own.
        if let Ok((theirs, _)) = self.folder.sealed(&name) {
            return Ok(Entry(theirs));
        }
        let failed = |source| FolderError::Io { path: self.folder.path().to_owned(), source };
        let entry = Entry(draft.reader().map_err(failed)?);
        self.folder.keep(draft, &name, true)?;
        let made = self.folder.identity(&name);
        lock(&self.made).push((name, made));
        Ok(entry)
    }

    /// Removes what was made here and was not there before.
    pub(super) fn remove_made(&self) {
        for (name, made) in std::mem::take(&mut *lock(&self.made)) {
            // Another process may have made it anew.
            if self.folder.identity(&name) == made {
                self.folder.remove(&name);
            }
        }
    }
}

/// Code whose origin and bytes were checked, here or by whoever handed it over.
pub(super) struct Entry(File);

impl Entry {
    /// Code that the process which started this one took from its own cache.
    pub(super) fn handed(file: File) -> Self {
        Self(file)
    }

    /// The open file, which is read-only.
    pub(super) fn into_file(self) -> File {
        self.0
    }

    /// Loads it for `engine`, which is the one that it was found for or its twin.
    #[expect(unsafe_code, reason = "wasmtime loads compiled code only so")]
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what our own compiler wrote: the folder and the file belong to this
        // user, nobody else can write to them, and the digest at their end is that of the code. Handed
        // over, the process that started this one has seen to that, which could as well run anything.
        unsafe { Component::deserialize_file(engine, by_descriptor(&self.0)) }
    }
}

/// The name of the entry for `digest` under `engine`'s settings.
fn name(digest: &Digest, engine: &Engine) -> String {
    format!("{}-{}", digest.hex(), settings(engine))
}

/// What `engine` compiles differently from others, as a word. Stable from run to run: the hasher
/// has no random key.
fn settings(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn cached(folder: &std::path::Path) -> (CodeCache, Engine, Digest) {
        let place = Place { cache_dir: Some(folder.to_owned()), others: Vec::new() };
        let cache = CodeCache::open(&place).unwrap();
        let engine = Engine::default();
        let wasm = wat::parse_str("(component)").unwrap();
        let draft = cache.draft().unwrap();
        draft.writer().unwrap().write_all(&engine.precompile_component(&wasm).unwrap()).unwrap();
        let digest = Digest::of(&wasm);
        cache.keep(draft, &digest, &engine).unwrap();
        (cache, engine, digest)
    }

    #[test]
    fn keeps_and_loads() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, digest) = cached(folder.path());
        cache.find(&digest, &engine).unwrap().load(&engine).unwrap();
        assert!(cache.find(&Digest::of(b"another"), &engine).is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn h6_refuses_a_flipped_byte() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, digest) = cached(folder.path());
        let path = cache.folder.entry(&name(&digest, &engine));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(cache.find(&digest, &engine).is_none());
        assert!(!path.exists(), "the damaged entry stays");
    }

    #[test]
    fn p3_refuses_code_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, digest) = cached(folder.path());
        let other = Digest::of(b"another");
        let at = |digest| cache.folder.entry(&name(digest, &engine));
        fs::rename(at(&digest), at(&other)).unwrap();
        assert!(cache.find(&other, &engine).is_none());
    }
}
