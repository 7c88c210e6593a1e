//! Compiled code on disk, by the component's digest and the engine's settings. Holds only what our
//! own compiler wrote, in a folder that nobody else can write to. Knows nothing of how code is made.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::OFlags;
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;

/// Bytes of the seal at the end of each entry: a digest over the entry's name and its code. Compiled
/// code carries no checksum of its own, and a flipped bit in it is a program that nobody wrote. Under
/// another name it is the code of another component.
const TRAILER: u64 = 32;

/// Why there is no code cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither the setting nor the environment says where it is.
    #[error("no folder for compiled code: set `cache_dir` in the runtime's settings, XDG_CACHE_HOME or HOME")]
    Nowhere,
    /// It cannot be made, opened or written.
    #[error("cannot use `{}` for compiled code: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put code there that we would run.
    #[error("`{}` is not safe for compiled code: {reason}; {fix}", path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// Who else has a say.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
}

/// Where compiled code is kept, and where it must not be.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The folder. None is `flowhost/code` in the user's cache folder.
    pub(super) cache_dir: Option<PathBuf>,
    /// Folders that others may fill.
    pub(super) others: Vec<PathBuf>,
}

/// An entry that is still being written. Dropped before it is kept, it leaves nothing behind.
pub(super) struct Draft(NamedTempFile);

impl Draft {
    /// A descriptor to write the code to.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.0.as_file().try_clone()
    }
}

/// The folder.
pub(super) struct CodeCache {
    path: PathBuf,
    /// Everything goes through this descriptor, so that what was checked is what is used.
    folder: File,
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
            None => user_cache().ok_or(CacheError::Nowhere)?.join("flowhost").join("code"),
        };
        let failed = |source| CacheError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::DIRECTORY | OFlags::NOFOLLOW))
            .open(&path)
            .map_err(failed)?;
        let metadata = folder.metadata().map_err(failed)?;
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us {
            return Err(CacheError::Unsafe {
                reason: format!("it belongs to user {} and we are user {us}", metadata.uid()),
                fix: "name a folder of your own with `cache_dir` or XDG_CACHE_HOME",
                path,
            });
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(CacheError::Unsafe {
                reason: format!("others can write to it (mode {:o})", metadata.mode() & 0o7777),
                fix: "remove it, or take that right away with `chmod 700`",
                path,
            });
        }
        // Links are resolved on both sides: the descriptor knows where it really is.
        let real = fs::read_link(by_descriptor(&folder)).map_err(failed)?;
        let inside = |other: &&PathBuf| other.canonicalize().is_ok_and(|other| real.starts_with(other));
        if let Some(other) = place.others.iter().find(inside) {
            return Err(CacheError::Unsafe {
                reason: format!("it lies in `{}`, which holds what others wrote", other.display()),
                fix: "name a folder elsewhere with XDG_CACHE_HOME or `cache_dir`, or give the workflow a folder of its own",
                path,
            });
        }
        Ok(Self { path, folder })
    }

    /// The entry for `digest` under `engine`'s settings, if there is a sound one. One that is damaged
    /// or not ours is removed.
    pub(super) fn find(&self, digest: &Digest, engine: &Engine) -> Option<Entry> {
        let name = name(digest, engine);
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(self.descriptor().join(&name))
            .ok()?;
        if check(&mut file, &name).is_err() {
            self.remove(digest, engine);
            return None;
        }
        Some(Entry(file))
    }

    /// Removes the entry for `digest`, which does not load.
    pub(super) fn remove(&self, digest: &Digest, engine: &Engine) {
        // Another process may have removed or replaced it: then that is fine as well.
        let _ = fs::remove_file(self.entry(digest, engine));
    }

    /// A file for new code.
    pub(super) fn draft(&self) -> Result<Draft, CacheError> {
        let draft = tempfile::Builder::new().prefix(".draft-").tempfile_in(self.descriptor());
        draft.map(Draft).map_err(|source| CacheError::Io { path: self.path.clone(), source })
    }

    /// Keeps `draft`, seals it and makes it durable first.
    pub(super) fn keep(&self, draft: Draft, digest: &Digest, engine: &Engine) -> Result<(), CacheError> {
        let keep = || {
            let mut file = draft.0.as_file();
            file.seek(SeekFrom::Start(0))?;
            let seal = seal(&name(digest, engine), file)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(seal.as_bytes())?;
            file.sync_all()?;
            draft.0.persist(self.entry(digest, engine)).map_err(|error| error.error)
        };
        keep().map(drop).map_err(|source| CacheError::Io { path: self.path.clone(), source })
    }

    fn entry(&self, digest: &Digest, engine: &Engine) -> PathBuf {
        self.descriptor().join(name(digest, engine))
    }

    fn descriptor(&self) -> PathBuf {
        by_descriptor(&self.folder)
    }
}

/// Code whose origin and bytes were checked.
pub(super) struct Entry(File);

impl Entry {
    /// Loads it for `engine`, which is the one that it was found for or its twin.
    #[expect(unsafe_code, reason = "wasmtime loads compiled code only so")]
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what our own compiler wrote: the folder and the file belong to this
        // user, nobody else can write to them, and the digest at their end is that of the code.
        unsafe { Component::deserialize_file(engine, by_descriptor(&self.0)) }
    }
}

/// The name of the entry for `digest` under `engine`'s settings.
fn name(digest: &Digest, engine: &Engine) -> String {
    format!("{}-{}", digest.hex(), settings(engine))
}

/// What binds `code` to the name that it is kept under.
fn seal(name: &str, code: impl Read) -> io::Result<Digest> {
    Digest::of_reader(name.as_bytes().chain(code))
}

/// Whether `file` is ours, and the bytes are those that were kept under `name`.
fn check(file: &mut File, name: &str) -> wasmtime::Result<()> {
    let metadata = file.metadata()?;
    let ours = metadata.is_file()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o022 == 0;
    wasmtime::ensure!(ours, "others can write to it");
    let code = metadata.len().checked_sub(TRAILER);
    let code = code.ok_or_else(|| wasmtime::Error::msg("too short"))?;
    let computed = seal(name, Read::by_ref(file).take(code))?;
    let mut kept = Vec::new();
    file.take(TRAILER + 1).read_to_end(&mut kept)?;
    wasmtime::ensure!(kept == computed.as_bytes(), "damaged");
    Ok(())
}

/// A path to what `file` has open, whatever happens to its name.
pub(super) fn by_descriptor(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

/// What `engine` compiles differently from others, as a word. Stable from run to run: the hasher
/// has no random key.
fn settings(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The user's cache folder (XDG Base Directory Specification: relative paths are ignored).
fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn at(folder: &Path) -> Place {
        Place { cache_dir: Some(folder.to_owned()), others: Vec::new() }
    }

    fn cached(folder: &Path) -> (CodeCache, Engine, Digest) {
        let cache = CodeCache::open(&at(folder)).unwrap();
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
    fn h6_refuses_a_flipped_byte_and_a_short_file() {
        for damage in [
            (|bytes: &mut Vec<u8>| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }) as fn(&mut Vec<u8>),
            |bytes| bytes.truncate(bytes.len() - 1),
            Vec::clear,
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (cache, engine, digest) = cached(folder.path());
            let path = cache.entry(&digest, &engine);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            assert!(cache.find(&digest, &engine).is_none());
            assert!(!path.exists(), "the damaged entry stays");
        }
    }

    #[test]
    fn h6_refuses_what_others_can_write_to() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let Err(error) = CodeCache::open(&at(&open)) else { panic!("accepted") };
        assert!(matches!(error, CacheError::Unsafe { .. }), "{error}");

        let planted = folder.path().join("planted");
        symlink(&open, &planted).unwrap();
        assert!(matches!(CodeCache::open(&at(&planted)), Err(CacheError::Io { .. })));

        let (cache, engine, digest) = cached(&folder.path().join("code"));
        let path = cache.entry(&digest, &engine);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.find(&digest, &engine).is_none());
    }

    #[test]
    fn h6_refuses_a_folder_that_others_fill() {
        let folder = tempfile::tempdir().unwrap();
        let workflow = folder.path().join("workflow");
        fs::create_dir(&workflow).unwrap();
        symlink(&workflow, folder.path().join("link")).unwrap();
        for below in [workflow.clone(), workflow.join("code"), folder.path().join("link/code")] {
            let place = Place { cache_dir: Some(below), others: vec![workflow.clone()] };
            let Err(error) = CodeCache::open(&place) else { panic!("accepted") };
            assert!(error.to_string().contains("what others wrote"), "{error}");
        }
        let beside = folder.path().join("workflow-code");
        CodeCache::open(&Place { cache_dir: Some(beside), others: vec![workflow] }).unwrap();
    }

    #[test]
    fn p3_refuses_code_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, digest) = cached(folder.path());
        let other = Digest::of(b"another");
        fs::rename(cache.entry(&digest, &engine), cache.entry(&other, &engine)).unwrap();
        assert!(cache.find(&other, &engine).is_none());
    }

    #[test]
    fn a_draft_that_is_not_kept_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&at(folder.path())).unwrap();
        cache.draft().unwrap().writer().unwrap().write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
