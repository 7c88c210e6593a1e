//! The folder that bounds a run's files. Every path of a workflow is opened through it, so that
//! neither `..` nor a link leads out, whatever happens to the tree while the run goes on.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use crate::buffer::Buffer;
use crate::model::Base;

/// The root, and where in it the workflow file's folder is.
#[derive(Debug)]
pub(crate) struct Root {
    directory: Dir,
    path: PathBuf,
    folder: PathBuf,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The path leads out of the root.
    #[error("leads out of the root `{}`; `--root` moves it", .0.display())]
    Outside(PathBuf),
    /// Not a file: a directory, FIFO, socket or device.
    #[error("is not a regular file")]
    NotAFile,
    /// More than fits into a component's memory.
    #[error("is larger than {} bytes, the most that one value may hold", MAX_FILE)]
    TooLarge,
}

/// The most bytes that a file may have to become a value: what a component's 32-bit memory holds.
const MAX_FILE: u64 = 1 << 32;

impl Root {
    /// Opens the root. `folder` is the workflow file's folder, at or below `path`; both absolute.
    pub(crate) fn open(path: &Path, folder: &Path) -> Result<Self, RootError> {
        let inside = folder.strip_prefix(path).map_err(|_| RootError::Outside(path.to_owned()))?;
        Ok(Self {
            directory: Dir::open_ambient_dir(path, ambient_authority())?,
            path: path.to_owned(),
            folder: inside.to_owned(),
        })
    }

    /// A file's bytes.
    pub(crate) fn read(&self, path: &Path, base: Base) -> Result<Bytes, RootError> {
        // Opening a FIFO would wait for its other end, so look before.
        let (file, length) = match base {
            Base::CommandLine => {
                let metadata = std::fs::metadata(path)?;
                if !metadata.is_file() {
                    return Err(RootError::NotAFile);
                }
                (std::fs::File::open(path)?, metadata.len())
            }
            Base::Workflow => {
                let inside = self.inside(path)?;
                let metadata = self.directory.metadata(&inside).map_err(|error| self.explain(error))?;
                if !metadata.is_file() {
                    return Err(RootError::NotAFile);
                }
                let file = self.directory.open(&inside).map_err(|error| self.explain(error))?;
                (file.into_std(), metadata.len())
            }
        };
        if length > MAX_FILE {
            return Err(RootError::TooLarge);
        }
        // It may grow meanwhile.
        let bytes = Buffer::read(file.take(MAX_FILE + 1), usize::try_from(length).unwrap_or(0))?;
        if bytes.len() as u64 > MAX_FILE { Err(RootError::TooLarge) } else { Ok(bytes) }
    }

    /// Writes a file below the root whole or not at all, with the folders that it needs.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), RootError> {
        let inside = self.inside(path)?;
        if let Some(parent) = inside.parent()
            && !parent.as_os_str().is_empty()
        {
            // Of a link that leads out this says only that it exists; opening it says the rest.
            if let Err(error) = self.directory.create_dir_all(parent) {
                self.open_folder(parent)?;
                if error.kind() != io::ErrorKind::AlreadyExists {
                    return Err(self.explain(error));
                }
            }
        }
        let mut temporary = inside.clone().into_os_string();
        temporary.push(format!(".{}.partial", std::process::id()));
        let written = self.write_new(Path::new(&temporary), bytes).and_then(|()| {
            self.directory.rename(&temporary, &self.directory, &inside).map_err(|error| self.explain(error))
        });
        if written.is_err() {
            // What was begun is of no use; that it could not be removed adds nothing to the error.
            let _ = self.directory.remove_file(&temporary);
        }
        written
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), RootError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // Left behind by a process of the same id that was killed; mostly there is none.
        let _ = self.directory.remove_file(path);
        let mut file = self.directory.open_with(path, &options).map_err(|error| self.explain(error))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(())
    }

    /// The path below the root of a path as a workflow file has it, without `.` and `..`.
    pub(crate) fn inside(&self, path: &Path) -> Result<PathBuf, RootError> {
        let outside = || RootError::Outside(self.path.clone());
        let relative = if path.is_absolute() {
            path.strip_prefix(&self.path).map_err(|_| outside())?.to_owned()
        } else {
            self.folder.join(path)
        };
        let mut inside = PathBuf::new();
        for component in relative.components() {
            match component {
                Component::Normal(name) => inside.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    if !inside.pop() {
                        return Err(outside());
                    }
                }
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        Ok(inside)
    }

    /// Opens a folder below the root.
    pub(crate) fn open_folder(&self, inside: &Path) -> Result<Dir, RootError> {
        self.directory.open_dir(here(inside)).map_err(|error| self.explain(error))
    }

    /// cap-std reports an escape as a permission error of its own; say what it means.
    fn explain(&self, error: io::Error) -> RootError {
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            RootError::Outside(self.path.clone())
        } else {
            RootError::Io(error)
        }
    }
}

/// The path, or `.` for the empty one, which means the same and cannot be opened.
pub(crate) fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("flows/data")).unwrap();
        std::fs::write(folder.path().join("top.txt"), "top").unwrap();
        std::fs::write(folder.path().join("flows/data/a.txt"), "a").unwrap();
        let path = folder.path().canonicalize().unwrap();
        let root = Root::open(&path, &path.join("flows")).unwrap();
        (folder, root)
    }

    #[test]
    fn paths_start_at_the_folder_and_stay_below_the_root() {
        let (folder, root) = root();
        assert_eq!(root.read(Path::new("data/a.txt"), Base::Workflow).unwrap(), b"a"[..]);
        assert_eq!(root.read(Path::new("./data/../../top.txt"), Base::Workflow).unwrap(), b"top"[..]);
        let absolute = folder.path().canonicalize().unwrap().join("top.txt");
        assert_eq!(root.read(&absolute, Base::Workflow).unwrap(), b"top"[..]);
        for path in ["../../etc/passwd", "/etc/passwd"] {
            let error = root.read(Path::new(path), Base::Workflow).unwrap_err();
            assert!(matches!(error, RootError::Outside(_)), "{error}");
        }
    }

    #[test]
    fn a_link_that_leads_out_is_refused() {
        let (folder, root) = root();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("flows/out")).unwrap();
        let error = root.read(Path::new("out"), Base::Workflow).unwrap_err();
        assert!(matches!(error, RootError::Outside(_)), "{error}");
        std::os::unix::fs::symlink("/tmp", folder.path().join("flows/far")).unwrap();
        let error = root.write(Path::new("far/file"), b"x").unwrap_err();
        assert!(matches!(error, RootError::Outside(_)), "{error}");
    }

    #[test]
    fn only_regular_files_are_read() {
        let (folder, root) = root();
        let fifo = folder.path().join("flows/fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(matches!(root.read(Path::new("fifo"), Base::Workflow), Err(RootError::NotAFile)));
        assert!(matches!(root.read(&fifo, Base::CommandLine), Err(RootError::NotAFile)));
        assert!(matches!(root.read(Path::new("data"), Base::Workflow), Err(RootError::NotAFile)));
    }

    #[test]
    fn writing_makes_folders_and_leaves_nothing_behind() {
        let (folder, root) = root();
        root.write(Path::new("out/deep/file"), b"one").unwrap();
        root.write(Path::new("out/deep/file"), b"two").unwrap();
        assert_eq!(std::fs::read(folder.path().join("flows/out/deep/file")).unwrap(), b"two");
        root.write(Path::new("out/deep"), b"x").unwrap_err();
        let names: Vec<_> = std::fs::read_dir(folder.path().join("flows/out")).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}
