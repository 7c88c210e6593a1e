//! Where runs are kept: `.flowhost` beside the workflow file, a folder for each run, and the lock by
//! which only one process at a time works on a run.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::record::{Record, Stamped, Start};
use super::{History, JournalError, Tail, Writer};
use crate::folder::{Folder, FolderError};
use crate::id::RunId;

/// The folder of everything that flowhost keeps beside a workflow file.
#[derive(Debug)]
pub struct State {
    folder: Folder,
}

/// A run's folder.
#[derive(Debug)]
pub struct Run {
    folder: Folder,
    id: RunId,
}

/// Held while this process works on a run.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a run cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Its folder or journal fails.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another process works on it.
    #[error(
        "run {run} is at work in process {process}: wait for it, or stop it with `flowhost cancel {run}`"
    )]
    Busy {
        /// Which.
        run: RunId,
        /// The process.
        process: String,
    },
    /// No process works on it.
    #[error("run {run} is not at work: there is nothing to stop")]
    Idle {
        /// Which.
        run: RunId,
    },
    /// The process that works on it cannot be told.
    #[error("process {process} of run {run} cannot be signalled: {source}")]
    Signal {
        /// Which.
        run: RunId,
        /// The process.
        process: String,
        /// Why.
        source: std::io::Error,
    },
}

impl From<FolderError> for StateError {
    fn from(error: FolderError) -> Self {
        Self::Journal(error.into())
    }
}

const RUNS: &str = "runs";
const STORE: &str = "store";
const JOURNAL: &str = "journal.jsonl";
const WORKFLOW: &str = "workflow.toml";
const LOCK: &str = "lock";
/// Before the name of a run's folder that is not whole yet.
const NEW: &str = ".new-";
/// Nothing in here is for version control.
const IGNORE: (&str, &[u8]) = (".gitignore", b"*\n");

impl State {
    /// Opens the folder, and makes it if need be.
    ///
    /// # Errors
    /// Fails when it cannot be made or opened, or is not this user's alone.
    pub fn make(path: &Path) -> Result<Self, FolderError> {
        let folder = Folder::make(path)?;
        let (name, content) = IGNORE;
        if folder.find_file(name, false)?.is_none() {
            match folder.create(name) {
                Ok(mut file) => {
                    if let Err(source) = file.write_all(content) {
                        // Half a file is none; that it could not be removed adds nothing to the error.
                        let _ = folder.unlink(name);
                        return Err(FolderError::Io { path: path.join(name), source });
                    }
                }
                // Another process was faster.
                Err(_) if folder.find_file(name, false)?.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { folder })
    }

    /// Opens the folder, none where there is none.
    ///
    /// # Errors
    /// Fails when it cannot be opened, or is not this user's alone.
    pub fn find(path: &Path) -> Result<Option<Self>, FolderError> {
        Ok(Folder::find(path)?.map(|folder| Self { folder }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of large values.
    ///
    /// # Errors
    /// Fails when it cannot be made or opened, or is not this user's alone.
    pub fn store(&self) -> Result<Folder, FolderError> {
        self.folder.make_folder(STORE)
    }

    /// Begins a run: its folder appears whole, with the workflow file and the first line of the
    /// journal, durably.
    ///
    /// # Errors
    /// Fails when something cannot be written; then there is no run.
    pub fn create(
        &self,
        start: &Start,
        time: u64,
        workflow: &[u8],
    ) -> Result<(Lock, Writer<File>), JournalError> {
        let runs = self.folder.make_folder(RUNS)?;
        let (name, new) = (start.run.to_string(), format!("{NEW}{}", start.run));
        let made = runs.make_folder(&new).map_err(JournalError::from).and_then(|folder| {
            let lock = folder.create(LOCK)?;
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
                .map_err(|error| JournalError::Write(error.into()))?;
            let lock = Lock::mark(lock).map_err(JournalError::Write)?;
            let mut file = folder.create(WORKFLOW)?;
            file.write_all(workflow).and_then(|()| file.sync_all()).map_err(JournalError::Write)?;
            let mut writer = Writer::new(folder.create(JOURNAL)?);
            let record = Record::RunStarted(Box::new(start.clone()));
            writer.add(Stamped { time, record }, None)?;
            writer.write()?;
            writer.sink().sync_all().map_err(JournalError::Write)?;
            folder.sync()?;
            runs.rename(&new, &name)?;
            runs.sync()?;
            Ok((lock, writer))
        });
        if made.is_err() {
            // Half a run is none; that it could not be removed adds nothing to the error.
            let _ = runs.remove_folder(&new);
        }
        made
    }

    /// The ids of all runs, the newest first.
    ///
    /// # Errors
    /// Fails when the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<RunId>, FolderError> {
        let Some(runs) = self.folder.find_folder(RUNS)? else { return Ok(Vec::new()) };
        let names = runs.names()?.into_iter().rev();
        Ok(names.filter(|name| !name.starts_with('.')).map(|name| RunId(name.into())).collect())
    }

    /// A run, none where there is none of that id.
    ///
    /// # Errors
    /// Fails when its folder cannot be opened, or is not this user's alone.
    pub fn run(&self, id: &RunId) -> Result<Option<Run>, FolderError> {
        // An id is a name in the folder and leads nowhere else.
        if id.0.is_empty() || id.0.starts_with('.') || id.0.contains(['/', '\0']) {
            return Ok(None);
        }
        let Some(runs) = self.folder.find_folder(RUNS)? else { return Ok(None) };
        Ok(runs.find_folder(&id.0)?.map(|folder| Run { folder, id: id.clone() }))
    }

    /// Removes a run that no process works on.
    ///
    /// # Errors
    /// Fails when one does, and when the disk fails.
    pub fn remove(&self, run: &Run) -> Result<(), StateError> {
        let _lock = run.lock()?;
        let Some(runs) = self.folder.find_folder(RUNS)? else { return Ok(()) };
        Ok(runs.remove_folder(&run.id.0)?)
    }

    /// Removes the remains of runs that never began because their process was killed.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn remove_remains(&self) -> Result<(), StateError> {
        let Some(runs) = self.folder.find_folder(RUNS)? else { return Ok(()) };
        for name in runs.names()?.into_iter().filter(|name| name.starts_with(NEW)) {
            let Some(folder) = runs.find_folder(&name)? else { continue };
            let remains = Run { folder, id: RunId(name.as_str().into()) };
            if remains.process()?.is_none() {
                runs.remove_folder(&name)?;
            }
        }
        Ok(())
    }
}

impl Run {
    /// The run.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Takes the lock, so that no other process works on the run.
    ///
    /// # Errors
    /// Fails when another process has it.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let file = self.lock_file()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Lock::mark(file).map_err(|error| JournalError::Write(error).into()),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(StateError::Busy { run: self.id.clone(), process: read_process(&file) })
            }
            Err(error) => Err(JournalError::Write(error.into()).into()),
        }
    }

    /// The process that works on the run, if one does.
    ///
    /// # Errors
    /// Fails when the disk does.
    pub fn process(&self) -> Result<Option<String>, StateError> {
        let Some(file) = self.folder.find_file(LOCK, false)? else { return Ok(None) };
        Ok(is_held(&file)?.then(|| read_process(&file)))
    }

    /// Sends SIGINT, or SIGTERM where it is to stop `now`, to the process that works on the run.
    ///
    /// # Errors
    /// Fails when none does, and when the system refuses.
    pub fn stop(&self, now: bool) -> Result<String, StateError> {
        let idle = || StateError::Idle { run: self.id.clone() };
        let file = self.folder.find_file(LOCK, false)?.ok_or_else(idle)?;
        if !is_held(&file)? {
            return Err(idle());
        }
        let process = read_process(&file);
        let failed = |error: rustix::io::Errno| StateError::Signal {
            run: self.id.clone(),
            process: process.clone(),
            source: error.into(),
        };
        let id = process.parse().ok().and_then(Pid::from_raw).ok_or_else(idle)?;
        let handle = rustix::process::pidfd_open(id, PidfdFlags::empty()).map_err(failed)?;
        // The handle is of the process that has the number now. If the lock is still held, and by that
        // number, it is the right one: a number is not given anew while its process lives.
        if !is_held(&file)? || read_process(&file) != process {
            return Err(idle());
        }
        let signal = if now { Signal::TERM } else { Signal::INT };
        rustix::process::pidfd_send_signal(&handle, signal).map_err(failed)?;
        Ok(process)
    }

    /// Reads the journal.
    ///
    /// # Errors
    /// Fails when there is none, and as [`super::read`].
    pub fn read(&self, take: impl FnMut(Stamped) -> Result<(), String>) -> Result<Tail, JournalError> {
        let file = self.journal(false)?;
        super::read(BufReader::with_capacity(1 << 16, file), take)
    }

    /// Under what the run began.
    ///
    /// # Errors
    /// As [`Run::read`], for the first line.
    pub fn start(&self) -> Result<Box<Start>, JournalError> {
        let mut first = None;
        let read = self.read(|stamped| match stamped.record {
            Record::RunStarted(start) => {
                first = Some(start);
                // Nothing more is wanted.
                Err(String::new())
            }
            _ => Err("comes before the run began".to_owned()),
        });
        match (first, read) {
            (Some(start), _) => Ok(start),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(JournalError::Read(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// What the journal comes to.
    ///
    /// # Errors
    /// As [`Run::read`].
    pub fn history(&self) -> Result<(History, Tail), JournalError> {
        let mut history = History::default();
        let tail = self.read(|stamped| history.take(stamped))?;
        Ok((history, tail))
    }

    /// When the journal was last written to, and how many bytes it has.
    ///
    /// # Errors
    /// Fails when there is none, or the disk does.
    pub fn written(&self) -> Result<(SystemTime, u64), JournalError> {
        let metadata = self.journal(false)?.metadata().map_err(JournalError::Read)?;
        Ok((metadata.modified().map_err(JournalError::Read)?, metadata.len()))
    }

    /// Goes on with the journal behind `tail`.
    ///
    /// # Errors
    /// Fails when it cannot be opened, or what is torn cannot be cut off.
    pub fn append(&self, tail: &Tail) -> Result<Writer<File>, JournalError> {
        Writer::resume(self.journal(true)?, tail)
    }

    /// The workflow file as it was run.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn workflow(&self) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::new();
        if let Some(mut file) = self.folder.find_file(WORKFLOW, false)? {
            file.read_to_end(&mut bytes).map_err(JournalError::Read)?;
        }
        Ok(bytes)
    }

    /// Keeps the workflow file as it is run from here on.
    ///
    /// # Errors
    /// Fails when it cannot be written; then the one before stays.
    pub fn keep_workflow(&self, bytes: &[u8]) -> Result<(), JournalError> {
        let draft = ".workflow";
        self.folder.unlink(draft)?;
        let mut file = self.folder.create(draft)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(JournalError::Write)?;
        Ok(self.folder.rename(draft, WORKFLOW)?)
    }

    fn journal(&self, write: bool) -> Result<File, JournalError> {
        let file = self.folder.find_file(JOURNAL, write)?;
        file.ok_or_else(|| JournalError::Read(std::io::ErrorKind::NotFound.into()))
    }

    fn lock_file(&self) -> Result<File, FolderError> {
        match self.folder.find_file(LOCK, true)? {
            Some(file) => Ok(file),
            None => self.folder.create(LOCK),
        }
    }
}

impl Lock {
    /// Writes this process's number into the file, for who wants to know.
    fn mark(mut file: File) -> std::io::Result<Self> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Self { _file: file })
    }
}

/// Whether a process holds the lock.
fn is_held(file: &File) -> Result<bool, StateError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let freed = rustix::fs::flock(file, FlockOperation::Unlock);
            freed.map_err(|error| JournalError::Read(error.into()))?;
            Ok(false)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(JournalError::Read(error.into()).into()),
    }
}

fn read_process(mut file: &File) -> String {
    let mut text = String::new();
    // What cannot be read is unknown, and said to be.
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(20).read_to_string(&mut text));
    match read {
        Ok(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}
