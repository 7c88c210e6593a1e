//! What lies in a folder of our own, by name: more folders, and files that grow. All is opened through
//! the descriptor that was checked, and nothing through a link.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use super::{Folder, FolderError, Size};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// Opening a FIFO would wait for its other end; it is refused once it is seen to be none of ours.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder, none where there is none. The folders above it may be anybody's, and links.
    ///
    /// # Errors
    /// Fails when it cannot be opened, is a link, or is not this user's alone.
    pub fn find(path: &Path) -> Result<Option<Self>, FolderError> {
        open_at(CWD, path.as_os_str().as_bytes(), path.to_owned())
    }

    /// Opens a folder, and makes it with mode 0700 if need be, with the folders above it.
    ///
    /// # Errors
    /// As [`Folder::find`], and when it cannot be made.
    pub fn make(path: &Path) -> Result<Self, FolderError> {
        if let Some(parent) = path.parent()
            && !parent.as_os_str().is_empty()
        {
            std::fs::create_dir_all(parent)
                .map_err(|source| FolderError::Io { path: parent.to_owned(), source })?;
        }
        make_at(CWD, path.as_os_str().as_bytes(), path.to_owned())
    }

    /// A folder inside, none where there is none.
    ///
    /// # Errors
    /// As [`Folder::find`].
    pub fn find_folder(&self, name: &str) -> Result<Option<Self>, FolderError> {
        open_at(&self.file, name.as_bytes(), self.path.join(name))
    }

    /// A folder inside, made if need be.
    ///
    /// # Errors
    /// As [`Folder::make`].
    pub fn make_folder(&self, name: &str) -> Result<Self, FolderError> {
        make_at(&self.file, name.as_bytes(), self.path.join(name))
    }

    /// A new file with mode 0600, for writing.
    ///
    /// # Errors
    /// Fails when there is something of that name, or it cannot be made.
    pub fn create(&self, name: &str) -> Result<File, FolderError> {
        let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = rustix::fs::openat(&self.file, name, flags, Mode::from_raw_mode(0o600));
        file.map(File::from).map_err(|error| self.failed_at(name, error))
    }

    /// A regular file for reading, and for writing too where `write` says so; none where there is none.
    ///
    /// # Errors
    /// Fails when it cannot be opened, is no regular file, or is not this user's alone.
    pub fn find_file(&self, name: &str, write: bool) -> Result<Option<File>, FolderError> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        match rustix::fs::openat(&self.file, name, FILE | access, Mode::empty()) {
            Ok(file) => {
                let stat = rustix::fs::fstat(&file).map_err(|error| self.failed_at(name, error))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    let (reason, fix) = ("it is no regular file".to_owned(), "remove it");
                    return Err(FolderError::Unsafe { path: self.path.join(name), reason, fix });
                }
                ours(&stat, &self.path.join(name))?;
                Ok(Some(File::from(file)))
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed_at(name, error)),
        }
    }

    /// Gives something inside another name, in place of what has that name.
    ///
    /// # Errors
    /// Fails when the system refuses.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        rustix::fs::renameat(&self.file, from, &self.file, to).map_err(|error| self.failed_at(from, error))
    }

    /// Removes a file inside. One that is not there is removed already.
    ///
    /// # Errors
    /// Fails when the system refuses.
    pub fn unlink(&self, name: &str) -> Result<(), FolderError> {
        self.unlink_at(name, AtFlags::empty())
    }

    /// Removes a folder inside that holds only files, with them.
    ///
    /// # Errors
    /// Fails when the system refuses, or it holds a folder.
    pub fn remove_folder(&self, name: &str) -> Result<(), FolderError> {
        let Some(inner) = self.find_folder(name)? else { return Ok(()) };
        for file in inner.names()? {
            inner.unlink(&file)?;
        }
        self.unlink_at(name, AtFlags::REMOVEDIR)
    }

    /// The names of all that is inside, in the order of their bytes. Names that are not UTF-8 are none
    /// of ours and left out.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn names(&self) -> Result<Vec<String>, FolderError> {
        let failed = |error: rustix::io::Errno| self.failed_at("", error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.file).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes regular files of our own that were last written before `before` and whose name `wanted`
    /// does not want, and says how much that was. Without `remove` it only says.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn prune(
        &self,
        before: SystemTime,
        remove: bool,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Size, FolderError> {
        let mut size = Size::default();
        for name in self.names()?.into_iter().filter(|name| !wanted(name)) {
            // What is not ours to open is not ours to remove, and may be gone meanwhile.
            let Ok(Some(file)) = self.find_file(&name, false) else { continue };
            let Ok(metadata) = file.metadata() else { continue };
            if metadata.modified().is_ok_and(|modified| modified < before) {
                if remove {
                    self.unlink(&name)?;
                }
                size.entries += 1;
                size.bytes += metadata.len();
            }
        }
        Ok(size)
    }

    /// Makes names that were given, changed or taken away durable.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn sync(&self) -> Result<(), FolderError> {
        rustix::fs::fsync(&self.file).map_err(|error| self.failed_at("", error))
    }

    fn unlink_at(&self, name: &str, flags: AtFlags) -> Result<(), FolderError> {
        match rustix::fs::unlinkat(&self.file, name, flags) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed_at(name, error)),
        }
    }

    fn failed_at(&self, name: &str, error: rustix::io::Errno) -> FolderError {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        FolderError::Io { path, source: error.into() }
    }
}

fn name(bytes: &[u8], path: &Path) -> Result<CString, FolderError> {
    CString::new(bytes).map_err(|error| FolderError::Io { path: path.to_owned(), source: error.into() })
}

fn open_at(at: impl rustix::fd::AsFd, bytes: &[u8], path: PathBuf) -> Result<Option<Folder>, FolderError> {
    open_named(at, &name(bytes, &path)?, path)
}

fn open_named(at: impl rustix::fd::AsFd, name: &CStr, path: PathBuf) -> Result<Option<Folder>, FolderError> {
    let descriptor = match rustix::fs::openat(at, name, FOLDER, Mode::empty()) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        // With O_DIRECTORY, Linux says ENOTDIR of a link as well.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            let link = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
            let reason = if link { "it is a link" } else { "it is not a folder" }.to_owned();
            return Err(FolderError::Unsafe { path, reason, fix: "remove it, or name another place" });
        }
        Err(error) => return Err(FolderError::Io { path, source: error.into() }),
    };
    let stat = rustix::fs::fstat(&descriptor)
        .map_err(|error| FolderError::Io { path: path.clone(), source: error.into() })?;
    ours(&stat, &path)?;
    Ok(Some(Folder { file: File::from(descriptor), path }))
}

fn make_at(at: impl rustix::fd::AsFd, bytes: &[u8], path: PathBuf) -> Result<Folder, FolderError> {
    let name = name(bytes, &path)?;
    let failed = |error: rustix::io::Errno| FolderError::Io { path: path.clone(), source: error.into() };
    match rustix::fs::mkdirat(&at, &name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(failed(error)),
    }
    let opened = open_named(at, &name, path.clone())?;
    opened.ok_or_else(|| failed(rustix::io::Errno::NOENT))
}

/// Whether nobody else has a say in what has this `stat`.
fn ours(stat: &Stat, path: &Path) -> Result<(), FolderError> {
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid != us {
        return Err(FolderError::Unsafe {
            path: path.to_owned(),
            reason: format!("it belongs to user {} and we are user {us}", stat.st_uid),
            fix: "name a place of your own",
        });
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(FolderError::Unsafe {
            path: path.to_owned(),
            reason: format!("others can write to it (mode {:o})", stat.st_mode & 0o7777),
            fix: "take that right away with `chmod go-w`, if you trust what is in it",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn refused(result: Result<impl std::fmt::Debug, FolderError>, says: &str) {
        let error = result.unwrap_err();
        assert!(matches!(error, FolderError::Unsafe { .. }) && error.to_string().contains(says), "{error}");
    }

    #[test]
    fn h5_only_folders_of_our_own_are_opened() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/own");
        assert!(Folder::find(&path).unwrap().is_none());
        let own = Folder::make(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        own.create("file").unwrap().write_all(b"x").unwrap();
        assert_eq!(mode(&path.join("file")), 0o600);
        assert!(own.create("file").is_err(), "made twice");

        symlink(&path, temporary.path().join("link")).unwrap();
        refused(Folder::make(&temporary.path().join("link")), "it is a link");
        refused(Folder::find(&path.join("file")), "it is not a folder");
        symlink("file", path.join("planted")).unwrap();
        assert!(own.find_file("planted", false).is_err());
        own.make_folder("inner").unwrap();
        assert!(own.find_file("inner", false).is_err());

        for mode in [0o777, 0o770, 0o702] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            refused(Folder::make(&path), "others can write to it");
        }
        std::fs::set_permissions(path.join("file"), std::fs::Permissions::from_mode(0o666)).unwrap();
        refused(own.find_file("file", false), "others can write to it");
    }

    #[test]
    fn names_come_in_order_and_folders_go_with_their_files() {
        let temporary = tempfile::tempdir().unwrap();
        let own = Folder::make(&temporary.path().join("own")).unwrap();
        let inner = own.make_folder("inner").unwrap();
        for name in ["b", "a"] {
            inner.create(name).unwrap();
        }
        assert_eq!(inner.names().unwrap(), ["a", "b"]);
        inner.rename("b", "c").unwrap();
        assert_eq!(inner.names().unwrap(), ["a", "c"]);
        own.remove_folder("inner").unwrap();
        own.remove_folder("inner").unwrap();
        assert_eq!(own.names().unwrap(), Vec::<String>::new());
    }
}
