//! What is kept of runs: where, which of them to go on with, and how each stands. The command line
//! asks here too.

use std::path::{Path, PathBuf};

use crate::folder::FolderError;
use crate::id::RunId;
use crate::journal::{JournalError, Run, RunEnd, Standing, Start, State, StateError};
use crate::manifest::Loaded;
use crate::model::{Counts, Status};
use crate::run::{Journaling, Resume, ResumeOptions};

/// Why no recorded run is gone on with, or found.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The folder where runs are kept cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run cannot be worked on.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its journal cannot be read.
    #[error("run {run}: {source}")]
    Damaged {
        /// Which.
        run: RunId,
        /// Why.
        source: JournalError,
    },
    /// None of the file's runs is unfinished.
    #[error("there is no unfinished run of `{}` in `{}`: `flowhost run` without --resume begins one", file.display(), state.display())]
    NoneUnfinished {
        /// The workflow file.
        file: PathBuf,
        /// Where runs are kept.
        state: PathBuf,
    },
    /// There is no such run.
    #[error("there is no run `{run}` in `{}`: `flowhost runs` lists those that are there", state.display())]
    NoSuchRun {
        /// As it was named.
        run: String,
        /// Where runs are kept.
        state: PathBuf,
    },
    /// Several are named so.
    #[error("`{run}` begins the ids of several runs: give more of it")]
    Ambiguous {
        /// As it was named.
        run: String,
    },
    /// It is a run of something else.
    #[error("run {run} is of `{file}`, another workflow file")]
    OtherFile {
        /// Which.
        run: RunId,
        /// Of which file it is.
        file: String,
    },
}

/// The folder of the state: as given, or `.flowhost` in `folder`.
pub(crate) fn place(state_dir: Option<&Path>, folder: &Path) -> PathBuf {
    state_dir.map_or_else(|| folder.join(".flowhost"), Path::to_owned)
}

/// A run by its id, or the beginning of one. `at` is where runs are kept, for messages.
///
/// # Errors
/// Fails when there is none, or several begin so.
pub fn find(state: Option<&State>, at: &Path, run: &str) -> Result<Run, RecordedError> {
    let none = || RecordedError::NoSuchRun { run: run.to_owned(), state: at.to_owned() };
    let state = state.ok_or_else(none)?;
    let ids = state.runs()?;
    let exact = ids.iter().find(|id| *id.0 == *run);
    let mut begun = ids.iter().filter(|id| !run.is_empty() && id.0.starts_with(run));
    let id = match (exact, begun.next(), begun.next()) {
        (Some(id), _, _) | (None, Some(id), None) => id,
        (None, None, _) => return Err(none()),
        (None, Some(_), Some(_)) => return Err(RecordedError::Ambiguous { run: run.to_owned() }),
    };
    state.run(id)?.ok_or_else(none)
}

/// Which run to go on with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'c> {
    pub(crate) file: &'c Path,
    pub(crate) state_dir: Option<&'c Path>,
    /// Its id or the beginning of it; none is the newest of the file that is unfinished.
    pub(crate) run: Option<&'c str>,
    pub(crate) options: ResumeOptions,
}

/// A run to go on with.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Under what it ran.
    pub(crate) start: Box<Start>,
    /// How it ended, if it did.
    pub(crate) ended: Option<RunEnd>,
    /// Newer runs that were passed by, because they cannot be read.
    pub(crate) passed: Vec<(RunId, JournalError)>,
    pub(crate) resume: Resume,
}

impl Choice<'_> {
    /// The run, locked. None where the file is not there, which is reported by those who read it.
    pub(crate) fn choose(&self) -> Result<Option<Chosen>, RecordedError> {
        let Ok(real) = self.file.canonicalize() else { return Ok(None) };
        let at = place(self.state_dir, real.parent().unwrap_or(&real));
        let state = State::find(&at)?;
        let of_file = |start: &Start| {
            let known = Path::new(&start.file);
            known == real || self.state_dir.is_none() && known.file_name() == real.file_name()
        };
        if let Some(wanted) = self.run {
            let run = find(state.as_ref(), &at, wanted)?;
            return self.take(run, of_file, Vec::new()).map(Some);
        }
        let none = || RecordedError::NoneUnfinished { file: self.file.to_owned(), state: at.clone() };
        let state = state.ok_or_else(none)?;
        let mut passed = Vec::new();
        for id in state.runs()? {
            let Some(run) = state.run(&id)? else { continue };
            match run.start() {
                Ok(start) if of_file(&start) => {}
                Ok(_) => continue,
                Err(failure) => {
                    passed.push((id, failure));
                    continue;
                }
            }
            // One that is at work is unfinished, and `take` says so.
            let standing = match run.process()? {
                Some(_) => Standing::Unfinished,
                None => {
                    run.history().map_err(|source| RecordedError::Damaged { run: id, source })?.0.standing()
                }
            };
            if self.goes_on(standing) {
                return self.take(run, of_file, passed).map(Some);
            }
        }
        Err(none())
    }

    fn goes_on(&self, standing: Standing) -> bool {
        match standing {
            Standing::Unfinished => true,
            Standing::Ended(end) => end.status != Status::Succeeded && self.options.retry_failed,
        }
    }

    fn take(
        &self,
        run: Run,
        of_file: impl Fn(&Start) -> bool,
        passed: Vec<(RunId, JournalError)>,
    ) -> Result<Chosen, RecordedError> {
        let lock = run.lock()?;
        let damaged = |source| RecordedError::Damaged { run: run.id().clone(), source };
        let (history, tail) = run.history().map_err(damaged)?;
        let Some(start) = history.start.clone() else {
            return Err(damaged(JournalError::Read(std::io::ErrorKind::UnexpectedEof.into())));
        };
        if !of_file(&start) {
            return Err(RecordedError::OtherFile { run: run.id().clone(), file: start.file });
        }
        let ended = match history.standing() {
            Standing::Ended(end) => Some(end),
            Standing::Unfinished => None,
        };
        let options = self.options;
        Ok(Chosen { start, ended, passed, resume: Resume { run, lock, history, tail, options } })
    }
}

/// Inputs that are given, and those of a recorded run that are not given anew.
pub(crate) fn inputs(given: &[(String, String)], recorded: Option<&Start>) -> Vec<(String, String)> {
    let known = recorded.map_or(&[][..], |start| &start.given);
    let anew = |name: &String| given.iter().any(|(other, _)| other == name);
    known.iter().filter(|(name, _)| !anew(name)).chain(given).cloned().collect()
}

/// Where a run is recorded. `given` are its inputs, `current` is where their relative paths start.
pub(crate) fn journaling(
    file: &Path,
    state_dir: Option<&Path>,
    given: Vec<(String, String)>,
    current: PathBuf,
    loaded: &Loaded,
    resume: Option<Resume>,
) -> Result<Journaling, FolderError> {
    let at = place(state_dir, &loaded.workflow.folder);
    let name = file.file_name().map_or_else(|| file.to_owned(), PathBuf::from);
    Ok(Journaling {
        state: State::make(&at)?,
        file: loaded.workflow.folder.join(name),
        text: loaded.source.clone(),
        given,
        current,
        resume,
    })
}

/// A run that is kept, and how it stands.
#[derive(Debug)]
pub struct Listed {
    /// The run.
    pub run: RunId,
    /// Under what it began or was last resumed; none where the journal does not say.
    pub start: Option<Box<Start>>,
    /// When it began, in microseconds since 1970.
    pub began: u64,
    /// How it stands; why that is not known where its journal cannot be read.
    pub standing: Result<Standing, JournalError>,
    /// Branches by their ending.
    pub counts: Counts,
    /// The process that works on it, if one does.
    pub process: Option<String>,
}

impl Listed {
    fn of(run: &Run) -> Self {
        let process = run.process().ok().flatten();
        match run.history() {
            Ok((history, _)) => Self {
                run: run.id().clone(),
                began: history.began,
                standing: Ok(history.standing()),
                // The end counts branches too that were stopped, and run when the run goes on.
                counts: history.end.map_or_else(|| history.counts(), |end| end.counts),
                start: history.start,
                process,
            },
            Err(damage) => Self { process, ..Self::damaged(run.id().clone(), damage) },
        }
    }

    fn damaged(run: RunId, damage: JournalError) -> Self {
        Self { run, start: None, began: 0, standing: Err(damage), counts: Counts::default(), process: None }
    }
}

/// The runs that are kept in `state_dir`, the newest first.
///
/// ```
/// let kept = tempfile::tempdir().unwrap();
/// assert!(flowhost::embed::runs(&kept.path().join(".flowhost")).unwrap().is_empty());
/// ```
///
/// # Errors
/// Fails when the folder cannot be read, or is not this user's alone.
pub fn runs(state_dir: &Path) -> Result<Vec<Listed>, FolderError> {
    let Some(state) = State::find(state_dir)? else { return Ok(Vec::new()) };
    let listed = |id| match state.run(&id) {
        Ok(Some(run)) => Some(Listed::of(&run)),
        // Removed meanwhile.
        Ok(None) => None,
        Err(failure) => Some(Listed::damaged(id, failure.into())),
    };
    Ok(state.runs()?.into_iter().filter_map(listed).collect())
}
