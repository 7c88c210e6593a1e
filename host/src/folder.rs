//! A folder of our own: nobody else owns it, can write to it, or decides what lies in it. What was
//! checked is what is used, because all goes through one descriptor.

mod inside;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::digest::Digest;

/// Bytes of the seal at the end of a file.
const SEAL: u64 = 32;

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made, opened or written.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put things there that we would trust.
    #[error("`{}` is not safe: {reason}; {fix}", path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// Who else has a say.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
}

/// How much a folder holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Size {
    /// Files.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A folder of our own.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    file: File,
}

/// What tells a file from every other one: its device and its number there.
pub(crate) type Identity = (u64, u64);

/// What tells the file at `path` from every other one, if there is one.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A file that is still being written. Dropped before it is kept, it leaves nothing behind.
pub(crate) struct Draft(NamedTempFile);

impl Draft {
    /// A descriptor to read from what was written, whatever becomes of its name.
    pub(crate) fn reader(&self) -> io::Result<File> {
        File::open(self.0.path())
    }

    /// A descriptor to write to.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.0.as_file().try_clone()
    }
}

impl Folder {
    /// Opens the folder, and makes it if need be.
    ///
    /// # Errors
    /// Fails when it cannot be made or opened, when it is a link, when another user owns it or can
    /// write to it, and when it lies inside one of `others`.
    pub(crate) fn open(path: PathBuf, others: &[PathBuf]) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::DIRECTORY | OFlags::NOFOLLOW))
            .open(&path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us {
            return Err(FolderError::Unsafe {
                reason: format!("it belongs to user {} and we are user {us}", metadata.uid()),
                fix: "name a folder of your own",
                path,
            });
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(FolderError::Unsafe {
                reason: format!("others can write to it (mode {:o})", metadata.mode() & 0o7777),
                fix: "remove it, or take that right away with `chmod 700`",
                path,
            });
        }
        // Links are resolved on both sides: the descriptor knows where it really is.
        let real = fs::read_link(by_descriptor(&file)).map_err(failed)?;
        let inside = |other: &&PathBuf| other.canonicalize().is_ok_and(|other| real.starts_with(other));
        if let Some(other) = others.iter().find(inside) {
            return Err(FolderError::Unsafe {
                reason: format!("it lies in `{}`, which holds what others wrote", other.display()),
                fix: "name a folder elsewhere, or give the workflow a folder of its own",
                path,
            });
        }
        Ok(Self { path, file })
    }

    /// Opens `name`, if it is a regular file that is ours alone to write.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(self.entry(name))?;
        let metadata = file.metadata()?;
        let ours = metadata.is_file()
            && metadata.uid() == rustix::process::geteuid().as_raw()
            && metadata.mode() & 0o022 == 0;
        if ours { Ok(file) } else { Err(io::Error::other("others can write to it")) }
    }

    /// A file that gets its name when it is whole.
    pub(crate) fn draft(&self) -> Result<Draft, FolderError> {
        let draft = tempfile::Builder::new().prefix(".draft-").tempfile_in(by_descriptor(&self.file));
        draft.map(Draft).map_err(|source| self.failed(source))
    }

    /// Seals `draft` and gives it its name. With `durable`, it outlives a loss of power.
    pub(crate) fn keep(&self, draft: Draft, name: &str, durable: bool) -> Result<(), FolderError> {
        let keep = || {
            let mut file = draft.0.as_file();
            file.seek(SeekFrom::Start(0))?;
            let seal = seal(name, file)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(seal.as_bytes())?;
            if durable {
                file.sync_all()?;
            }
            draft.0.persist(self.entry(name)).map_err(|error| error.error)
        };
        keep().map(drop).map_err(|source| self.failed(source))
    }

    /// Opens `name` at its start and says how many bytes it holds, if it is ours and whole: its seal is
    /// that of its name and bytes.
    pub(crate) fn sealed(&self, name: &str) -> io::Result<(File, u64)> {
        let mut file = self.file(name)?;
        let length = file.metadata()?.len().checked_sub(SEAL).ok_or(io::ErrorKind::UnexpectedEof)?;
        let computed = seal(name, Read::by_ref(&mut file).take(length))?;
        let mut kept = Vec::new();
        Read::by_ref(&mut file).take(SEAL + 1).read_to_end(&mut kept)?;
        if kept != computed.as_bytes() {
            return Err(io::Error::other("damaged"));
        }
        file.seek(SeekFrom::Start(0))?;
        Ok((file, length))
    }

    /// Removes `name`. That another process was faster is fine as well.
    pub(crate) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.entry(name));
    }

    /// What tells the file of this name from every other one, if there is one.
    pub(crate) fn identity(&self, name: &str) -> Option<Identity> {
        identity(&self.entry(name))
    }

    /// How much it holds.
    pub(crate) fn size(&self) -> io::Result<Size> {
        let mut size = Size::default();
        for entry in fs::read_dir(by_descriptor(&self.file))? {
            // One that is gone meanwhile counts for nothing.
            let Ok(metadata) = entry?.metadata() else { continue };
            size.entries += 1;
            size.bytes += metadata.len();
        }
        Ok(size)
    }

    /// Where `name` is, whatever happens to the folder's own name.
    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        by_descriptor(&self.file).join(name)
    }

    /// The name that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, source: io::Error) -> FolderError {
        FolderError::Io { path: self.path.clone(), source }
    }
}

/// A digest over a file's name and bytes: under another name it is another file.
fn seal(name: &str, bytes: impl Read) -> io::Result<Digest> {
    Digest::of_reader(name.as_bytes().chain(bytes))
}

/// A path to what `file` has open, whatever happens to its name.
pub(crate) fn by_descriptor(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// `flowhost` in the user's cache folder (XDG Base Directory Specification: relative paths are
/// ignored). None where neither XDG_CACHE_HOME nor HOME says where that is.
pub(crate) fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Some(folder?.join("flowhost"))
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn keep(folder: &Folder, name: &str, bytes: &[u8]) {
        let draft = folder.draft().unwrap();
        draft.writer().unwrap().write_all(bytes).unwrap();
        folder.keep(draft, name, true).unwrap();
    }

    fn read(folder: &Folder, name: &str) -> io::Result<Vec<u8>> {
        let (file, length) = folder.sealed(name)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(path: &Path) -> Result<Folder, FolderError> {
        Folder::open(path.to_owned(), &[])
    }

    #[test]
    fn keeps_and_reads() {
        let place = tempfile::tempdir().unwrap();
        let folder = open(&place.path().join("a/b")).unwrap();
        keep(&folder, "one", b"bytes");
        assert_eq!(read(&folder, "one").unwrap(), b"bytes");
        assert_eq!(read(&folder, "two").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.entry("one"))), (0o700, 0o600));
    }

    #[test]
    fn h6_refuses_damage_and_another_name() {
        let place = tempfile::tempdir().unwrap();
        let folder = open(place.path()).unwrap();
        for damage in [
            (|bytes: &mut Vec<u8>| bytes[1] ^= 1) as fn(&mut Vec<u8>),
            |bytes| bytes.truncate(bytes.len() - 1),
            |bytes| bytes.push(0),
            Vec::clear,
        ] {
            keep(&folder, "one", b"bytes");
            let mut bytes = fs::read(folder.entry("one")).unwrap();
            damage(&mut bytes);
            fs::write(folder.entry("one"), bytes).unwrap();
            assert!(read(&folder, "one").is_err());
        }
        keep(&folder, "one", b"bytes");
        fs::rename(folder.entry("one"), folder.entry("two")).unwrap();
        assert!(read(&folder, "two").is_err());
    }

    #[test]
    fn h6_refuses_what_others_can_write_to() {
        let place = tempfile::tempdir().unwrap();
        let loose = place.path().join("loose");
        fs::create_dir(&loose).unwrap();
        fs::set_permissions(&loose, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(open(&loose), Err(FolderError::Unsafe { .. })));

        let planted = place.path().join("planted");
        symlink(&loose, &planted).unwrap();
        assert!(matches!(open(&planted), Err(FolderError::Io { .. })));

        let folder = open(&place.path().join("folder")).unwrap();
        keep(&folder, "one", b"bytes");
        fs::set_permissions(folder.entry("one"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&folder, "one").is_err());
        keep(&folder, "two", b"bytes");
        symlink(folder.path().join("two"), folder.entry("link")).unwrap();
        assert!(folder.file("link").is_err());
    }

    #[test]
    fn h6_refuses_a_folder_that_others_fill() {
        let place = tempfile::tempdir().unwrap();
        let workflow = place.path().join("workflow");
        fs::create_dir(&workflow).unwrap();
        symlink(&workflow, place.path().join("link")).unwrap();
        for below in [workflow.clone(), workflow.join("code"), place.path().join("link/code")] {
            let Err(error) = Folder::open(below, std::slice::from_ref(&workflow)) else { panic!("accepted") };
            assert!(error.to_string().contains("what others wrote"), "{error}");
        }
        Folder::open(place.path().join("workflow-code"), &[workflow]).unwrap();
    }

    #[test]
    fn a_draft_that_is_not_kept_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = open(place.path()).unwrap();
        folder.draft().unwrap().writer().unwrap().write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
