//! The most that a worker's operator lets any task be granted. Calls are narrowed to it where they leave
//! something open, and refused where they ask for more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::manifest::{self, UnitError, duration, size};
use crate::model::{AddressRange, Call, Directory, MIB, Origin};
use crate::runtime::{Folders, NamedFolder};
use crate::wire::CeilingSaid;

/// The most that attempts are granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ceiling {
    /// What may be reached.
    pub allow: Vec<Allow>,
    /// What may be used.
    pub limits: Limits,
}

/// The most that an attempt may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Time. What has no timeout has this one.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1024 * MIB, timeout: Duration::from_secs(24 * 3600) }
    }
}

/// Something that tasks may be granted: `read=NAME=DIR`, `write=NAME=DIR`, `env=NAME`, `net=RANGE` or
/// `http=ORIGIN`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allow {
    /// A directory.
    Directory(Bound),
    /// A variable, addresses or an origin.
    Other(manifest::Allow),
}

/// A directory under the name that grants use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The name: a relative path without `..`.
    pub name: PathBuf,
    /// The folder here.
    pub folder: PathBuf,
    /// Whether it may be granted for writing.
    pub write: bool,
}

/// Why a text is no [`Allow`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AllowError {
    /// A directory is not written as it should be.
    #[error(
        "a directory is written {0}=NAME=DIR, such as {0}=data=/srv/data, its name relative and without `..`"
    )]
    Directory(&'static str),
    /// It is none of the others.
    #[error(
        "it is written read=NAME=DIR, write=NAME=DIR, env=NAME, net=10.0.0.0/8:5432 or http=https://api.example.com"
    )]
    Kind,
    /// One of the others is wrong.
    #[error(transparent)]
    Other(manifest::AllowError),
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let bound = |kind, rest: &str, write| {
            let wrong = || AllowError::Directory(kind);
            let (name, folder) = rest.split_once('=').ok_or_else(wrong)?;
            let plain =
                |name: &Path| name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if name.is_empty() || folder.is_empty() || !plain(Path::new(name)) {
                return Err(wrong());
            }
            Ok(Self::Directory(Bound { name: name.into(), folder: folder.into(), write }))
        };
        match text.split_once('=') {
            Some(("read", rest)) => bound("read", rest, false),
            Some(("write", rest)) => bound("write", rest, true),
            Some(_) | None => match text.parse() {
                Ok(other) => Ok(Self::Other(other)),
                Err(manifest::AllowError::Kind) => Err(AllowError::Kind),
                Err(error) => Err(AllowError::Other(error)),
            },
        }
    }
}

/// Bytes of memory without which no guest runs: a page of WebAssembly.
const LEAST_MEMORY: u64 = 64 << 10;

/// Why a ceiling is of no use. The worker does not start then.
#[derive(Debug, thiserror::Error)]
pub enum CeilingError {
    /// It cannot be read.
    #[error("cannot read `{}`, which bounds this worker: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML with the keys of a ceiling.
    #[error("`{}`, which bounds this worker: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something in it is wrong.
    #[error("`{}`, which bounds this worker: `{text}`: {source}", path.display())]
    Allow {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
        /// What is wrong.
        source: AllowError,
    },
    /// A directory is not to be had.
    #[error("the directory `{}` is `{}`, which cannot be opened: {source}", name.display(), folder.display())]
    Folder {
        /// The name that grants use.
        name: PathBuf,
        /// The folder here.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two directories have one name.
    #[error("two directories are called `{}`: give one of them another name", .0.display())]
    Twice(PathBuf),
    /// So little memory that nothing runs in it.
    #[error("{0} bytes of memory are less than the {LEAST_MEMORY} that the smallest guest needs")]
    Memory(u64),
    /// No time at all.
    #[error("an attempt that may take no time cannot run: give it some")]
    Time,
    /// A bound in it is wrong.
    #[error("`{}`, which bounds this worker: {source}", path.display())]
    Unit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: UnitError,
    },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    allow: Vec<String>,
    max_memory: Option<String>,
    max_timeout: Option<String>,
}

impl Ceiling {
    /// The ceiling of the first of `files` that exists, and which that is; none where there is none of them.
    ///
    /// # Errors
    /// Fails when that file is wrong in any way.
    pub fn read(files: impl IntoIterator<Item = PathBuf>) -> Result<Option<(Self, PathBuf)>, CeilingError> {
        for path in files {
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(CeilingError::Read { path, source }),
            };
            return Ok(Some((Self::parse(&text, &path)?, path)));
        }
        Ok(None)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, CeilingError> {
        let path = || path.to_owned();
        let file: File = toml::from_str(text)
            .map_err(|error| CeilingError::Form { path: path(), reason: error.to_string() })?;
        let allow = file
            .allow
            .into_iter()
            .map(|text| text.parse().map_err(|source| CeilingError::Allow { path: path(), text, source }));
        let allow = allow.collect::<Result<_, _>>()?;
        let unit = |source| CeilingError::Unit { path: path(), source };
        let default = Limits::default();
        let memory = file.max_memory.as_deref().map_or(Ok(default.memory), size).map_err(unit)?;
        let timeout = file.max_timeout.as_deref().map_or(Ok(default.timeout), duration).map_err(unit)?;
        Ok(Self { allow, limits: Limits { memory, timeout } })
    }

    /// Whether anything can run below it.
    ///
    /// # Errors
    /// Fails when a directory cannot be opened, two have one name, or an attempt would have no memory or time.
    pub fn check(&self) -> Result<(), CeilingError> {
        let mut names = BTreeSet::new();
        for Bound { name, folder, .. } in self.bounds() {
            if !names.insert(name) {
                return Err(CeilingError::Twice(name.clone()));
            }
            std::fs::read_dir(folder).map_err(|source| CeilingError::Folder {
                name: name.clone(),
                folder: folder.clone(),
                source,
            })?;
        }
        match self.limits {
            Limits { memory, .. } if memory < LEAST_MEMORY => Err(CeilingError::Memory(memory)),
            Limits { timeout: Duration::ZERO, .. } => Err(CeilingError::Time),
            Limits { .. } => Ok(()),
        }
    }

    /// The call as this worker makes it, or why it does not.
    pub(super) fn narrow(&self, mut call: Call) -> Result<Call, String> {
        if let Some(what) = self.exceeded(&call) {
            return Err(format!(
                "above this worker's ceiling, which its worker.toml or its flags say: {what}"
            ));
        }
        call.limits.timeout.get_or_insert(self.limits.timeout);
        Ok(call)
    }

    /// What a call asks for that is above it, if anything.
    fn exceeded(&self, call: &Call) -> Option<String> {
        let covered = |directory: &&Directory| {
            let inside = self.bounds().filter(|bound| directory.path.starts_with(&bound.name));
            // The nearest name is the folder that would be opened.
            let nearest = inside.max_by_key(|bound| bound.name.components().count());
            nearest.is_some_and(|bound| bound.write || !directory.write)
        };
        if let Some(directory) = call.directories.iter().find(|directory| !covered(directory)) {
            let how = if directory.write { "write to" } else { "read" };
            return Some(format!("it may not {how} the directory `{}`", directory.path.display()));
        }
        if let Some(range) = call.net.iter().find(|range| !self.net().any(|allowed| allowed.covers(range))) {
            return Some(format!("it may not connect to `{range}`"));
        }
        if let Some(origin) = call.http.iter().find(|origin| !self.http().any(|allowed| allowed == *origin)) {
            return Some(format!("it may not send requests to `{origin}`"));
        }
        let given = |(name, _): &&(Arc<str>, Arc<str>)| self.env().any(|allowed| *allowed == **name);
        if let Some((name, _)) = call.environment.iter().find(|variable| !given(variable)) {
            return Some(format!("it may not be given the environment variable `{name}`"));
        }
        let Limits { memory, timeout } = self.limits;
        let wanted = call.limits.memory;
        if wanted > memory {
            // So that they differ.
            let (wanted, memory) = (wanted.div_ceil(1 << 20), memory >> 20);
            return Some(format!("it may use {wanted} MiB of memory and at most {memory} are allowed"));
        }
        let wanted = call.limits.timeout.filter(|wanted| *wanted > timeout)?;
        Some(format!("its timeout is {wanted:?} and at most {timeout:?} is allowed"))
    }

    /// Where the directories are.
    pub(super) fn folders(&self) -> Folders {
        let named = |bound: &Bound| NamedFolder { name: bound.name.clone(), folder: bound.folder.clone() };
        Folders::Named(self.bounds().map(named).collect())
    }

    /// In words, for the client.
    pub(super) fn said(&self) -> CeilingSaid {
        let directory = |bound: &Bound| {
            let mark = if bound.write { "rw " } else { "" };
            format!("{mark}{}", bound.name.display())
        };
        CeilingSaid {
            directories: self.bounds().map(directory).collect(),
            net: self.net().map(ToString::to_string).collect(),
            http: self.http().map(ToString::to_string).collect(),
            env: self.env().cloned().collect(),
            memory: self.limits.memory,
            timeout: u64::try_from(self.limits.timeout.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn bounds(&self) -> impl Iterator<Item = &Bound> {
        self.allow.iter().filter_map(|allow| match allow {
            Allow::Directory(bound) => Some(bound),
            Allow::Other(_) => None,
        })
    }

    fn others(&self) -> impl Iterator<Item = &manifest::Allow> {
        self.allow.iter().filter_map(|allow| match allow {
            Allow::Directory(_) => None,
            Allow::Other(other) => Some(other),
        })
    }

    fn net(&self) -> impl Iterator<Item = &AddressRange> {
        self.others().filter_map(|allow| match allow {
            manifest::Allow::Net(range) => Some(range),
            manifest::Allow::Http(_) | manifest::Allow::Variable(_) => None,
        })
    }

    fn http(&self) -> impl Iterator<Item = &Origin> {
        self.others().filter_map(|allow| match allow {
            manifest::Allow::Http(origin) => Some(origin),
            manifest::Allow::Net(_) | manifest::Allow::Variable(_) => None,
        })
    }

    fn env(&self) -> impl Iterator<Item = &String> {
        self.others().filter_map(|allow| match allow {
            manifest::Allow::Variable(name) => Some(name),
            manifest::Allow::Net(_) | manifest::Allow::Http(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tasks_may_be_granted_is_read() {
        let read = |text: &str| text.parse::<Allow>();
        let bound = |write| Allow::Directory(Bound { name: "a/b".into(), folder: "/srv/a=b".into(), write });
        assert_eq!(read("read=a/b=/srv/a=b"), Ok(bound(false)));
        assert_eq!(read("write=a/b=/srv/a=b"), Ok(bound(true)));
        assert!(matches!(read("net=10.0.0.0/8:80"), Ok(Allow::Other(manifest::Allow::Net(_)))));
        for text in ["read=", "read=data", "read==/srv", "read=../up=/srv", "read=/abs=/srv", "write=data="] {
            assert!(matches!(read(text), Err(AllowError::Directory(_))), "{text}");
        }
        assert_eq!(read("disk=a=/b"), Err(AllowError::Kind));
        assert!(matches!(read("env="), Err(AllowError::Other(_))));
    }

    #[test]
    fn the_first_file_that_exists_counts_and_a_wrong_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first.toml"), folder.path().join("second.toml"));
        let files = || [first.clone(), second.clone()];
        assert_eq!(Ceiling::read(files()).unwrap(), None);
        std::fs::write(&second, "allow = [\"read=data=/srv/data\"]\nmax-memory = \"2GiB\"").unwrap();
        let (ceiling, path) = Ceiling::read(files()).unwrap().unwrap();
        assert_eq!(path, second);
        assert_eq!(ceiling.limits, Limits { memory: 2048 * MIB, ..Limits::default() });
        assert_eq!(ceiling.said().directories, ["data"]);
        std::fs::write(&first, "").unwrap();
        let nothing = Ceiling { allow: Vec::new(), limits: Limits::default() };
        assert_eq!(Ceiling::read(files()).unwrap(), Some((nothing, first.clone())));
        for wrong in ["allow = 1", "max-cores = 2", "allow = [\"read=x\"]", "max-timeout = \"soon\""] {
            std::fs::write(&first, wrong).unwrap();
            let error = Ceiling::read(files()).unwrap_err().to_string();
            assert!(error.contains("first.toml"), "{error}");
        }
    }

    #[test]
    fn a_ceiling_below_which_nothing_runs_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let check = |allow: &[String], limits| {
            let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
            Ceiling { allow, limits }.check().map_err(|error| error.to_string())
        };
        let at = |path: &Path| format!("read=data={}", path.display());
        let limits = Limits::default();
        assert_eq!(check(&[at(folder.path())], limits), Ok(()));
        for path in [file, folder.path().join("missing")] {
            let error = check(&[at(&path)], limits).unwrap_err();
            assert!(error.contains("`data`") && error.contains(&path.display().to_string()), "{error}");
        }
        let twice = check(&[at(folder.path()), "write=data=/tmp".to_owned()], limits).unwrap_err();
        assert!(twice.contains("two directories are called `data`"), "{twice}");
        let memory = check(&[], Limits { memory: 1, ..limits }).unwrap_err();
        assert!(memory.starts_with("1 bytes of memory"), "{memory}");
        assert!(check(&[], Limits { timeout: Duration::ZERO, ..limits }).is_err());
    }
}
