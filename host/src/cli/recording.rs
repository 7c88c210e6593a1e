//! Where `run` records, and which recorded run it goes on with.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::output::{error, say};
use crate::folder::FolderError;
use crate::id::RunId;
use crate::journal::{JournalError, Run, Standing, Start, State, StateError};
use crate::manifest::Loaded;
use crate::model::Status;
use crate::run::{Journaling, Resume, ResumeOptions};

#[derive(clap::Args, Debug)]
pub(super) struct Recording {
    /// Go on with a run instead of beginning one: the newest of this file that is unfinished, or RUN
    #[arg(long, value_name = "RUN", env = "FLOWHOST_RESUME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    resume: Option<String>,
    /// With --resume, run again what ended otherwise than succeeded
    #[arg(long, env = "FLOWHOST_RETRY_FAILED", value_parser = clap::builder::FalseyValueParser::new())]
    retry_failed: bool,
    /// With --resume, run anew what is touched by a change in the workflow, its components, inputs or files
    #[arg(long, env = "FLOWHOST_FORCE_CHANGED", value_parser = clap::builder::FalseyValueParser::new())]
    force_changed: bool,
    /// Keep no journal. The run cannot be resumed
    #[arg(long, env = "FLOWHOST_NO_JOURNAL", value_parser = clap::builder::FalseyValueParser::new())]
    no_journal: bool,
}

/// Why a run is not gone on with.
#[derive(Debug, thiserror::Error)]
enum ResumeProblem {
    #[error("--resume goes on with what the journal has: leave --no-journal out")]
    NoJournal,
    #[error("--retry-failed and --force-changed say how to go on with a run: add --resume, or --resume=RUN")]
    NoResume,
    #[error("--dry-run runs nothing, and --resume goes on with a run: leave one of them out")]
    Dry,
    #[error("there is no unfinished run of `{}` in `{}`: `flowhost run` without --resume begins one", file.display(), state.display())]
    NoneUnfinished { file: PathBuf, state: PathBuf },
    #[error("there is no run `{run}` in `{}`: `flowhost runs` lists those that are there", state.display())]
    NoSuchRun { run: String, state: PathBuf },
    #[error("`{run}` begins the ids of several runs: give more of it")]
    Ambiguous { run: String },
    #[error("run {run} is of `{file}`, another workflow file")]
    OtherFile { run: RunId, file: String },
}

/// A run to go on with, and under what it ran.
pub(super) struct Found {
    pub(super) start: Box<Start>,
    resume: Resume,
}

/// The folder of the state: as given, or `.flowhost` in `folder`.
pub(super) fn place(state_dir: Option<&Path>, folder: &Path) -> PathBuf {
    state_dir.map_or_else(|| folder.join(".flowhost"), Path::to_owned)
}

/// A run by its id, or the beginning of one.
pub(super) fn find(state: Option<&State>, at: &Path, run: &str) -> Result<Run, Exit> {
    let usage = |problem| {
        error(&problem);
        Exit::Usage
    };
    let none = || ResumeProblem::NoSuchRun { run: run.to_owned(), state: at.to_owned() };
    let Some(state) = state else { return Err(usage(none())) };
    let ids = state.runs().map_err(|failure| failed(&failure))?;
    let exact = ids.iter().find(|id| *id.0 == *run);
    let mut begun = ids.iter().filter(|id| !run.is_empty() && id.0.starts_with(run));
    let id = match (exact, begun.next(), begun.next()) {
        (Some(id), _, _) | (None, Some(id), None) => id,
        (None, None, _) => return Err(usage(none())),
        (None, Some(_), Some(_)) => return Err(usage(ResumeProblem::Ambiguous { run: run.to_owned() })),
    };
    state.run(id).map_err(|failure| failed(&failure))?.ok_or_else(|| usage(none()))
}

/// Says why what is kept cannot be used.
pub(super) fn failed(failure: &dyn std::error::Error) -> Exit {
    error(failure);
    Exit::Internal
}

/// Says why a run cannot be worked on.
pub(super) fn refused(failure: &StateError) -> Exit {
    error(failure);
    match failure {
        StateError::Busy { .. } | StateError::Idle { .. } => Exit::Usage,
        StateError::Journal(_) | StateError::Signal { .. } => Exit::Internal,
    }
}

impl Recording {
    /// The run to go on with, if the command line asks for it.
    pub(super) fn found(
        &self,
        file: &Path,
        state_dir: Option<&Path>,
        dry: bool,
    ) -> Result<Option<Found>, Exit> {
        let usage = |problem| {
            error(&problem);
            Err(Exit::Usage)
        };
        let Some(wanted) = &self.resume else {
            let lone = self.retry_failed || self.force_changed;
            return if lone { usage(ResumeProblem::NoResume) } else { Ok(None) };
        };
        if self.no_journal {
            return usage(ResumeProblem::NoJournal);
        }
        if dry {
            return usage(ResumeProblem::Dry);
        }
        // A file that is not there is reported by those who read it.
        let Ok(real) = file.canonicalize() else { return Ok(None) };
        let at = place(state_dir, real.parent().unwrap_or(&real));
        let state = State::find(&at).map_err(|failure| failed(&failure))?;
        let of_file = |start: &Start| {
            let known = Path::new(&start.file);
            known == real || state_dir.is_none() && known.file_name() == real.file_name()
        };
        let options = ResumeOptions { retry_failed: self.retry_failed, force_changed: self.force_changed };
        if !wanted.is_empty() {
            let run = find(state.as_ref(), &at, wanted)?;
            return self.take(run, of_file, options).map(Some);
        }
        let none = || ResumeProblem::NoneUnfinished { file: file.to_owned(), state: at.clone() };
        let Some(state) = state else { return usage(none()) };
        for id in state.runs().map_err(|failure| failed(&failure))? {
            let Some(run) = state.run(&id).map_err(|failure| failed(&failure))? else { continue };
            match run.start() {
                Ok(start) if of_file(&start) => {}
                Ok(_) => continue,
                Err(failure) => {
                    say(&format!("warning: run {id} is passed by: {failure}"));
                    continue;
                }
            }
            // One that is at work is unfinished, and `take` says so.
            let standing = match run.process() {
                Ok(Some(_)) => Standing::Unfinished,
                Ok(None) => run.history().map_err(|failure| damaged(&id, &failure))?.0.standing(),
                Err(failure) => return Err(refused(&failure)),
            };
            if self.goes_on(standing) {
                return self.take(run, of_file, options).map(Some);
            }
        }
        usage(none())
    }

    fn goes_on(&self, standing: Standing) -> bool {
        match standing {
            Standing::Unfinished => true,
            Standing::Ended(end) => end.status != Status::Succeeded && self.retry_failed,
        }
    }

    fn take(
        &self,
        run: Run,
        of_file: impl Fn(&Start) -> bool,
        options: ResumeOptions,
    ) -> Result<Found, Exit> {
        let usage = |problem| {
            error(&problem);
            Err(Exit::Usage)
        };
        let lock = run.lock().map_err(|failure| refused(&failure))?;
        let (history, tail) = run.history().map_err(|failure| damaged(run.id(), &failure))?;
        let Some(start) = history.start.clone() else {
            return Err(damaged(run.id(), &JournalError::Read(std::io::ErrorKind::UnexpectedEof.into())));
        };
        if !of_file(&start) {
            return usage(ResumeProblem::OtherFile { run: run.id().clone(), file: start.file });
        }
        match history.standing() {
            // The process may have been killed before its results had reached anybody.
            Standing::Ended(end) if !self.retry_failed && !self.force_changed => {
                let short = end.status != Status::Succeeded;
                let retry = if short { "; --retry-failed runs again what did not succeed" } else { "" };
                say(&format!("run {} has ended, and its outputs are made again{retry}", run.id()));
            }
            Standing::Ended(_) | Standing::Unfinished => {}
        }
        Ok(Found { start, resume: Resume { run, lock, history, tail, options } })
    }

    /// Where the run is recorded; none where it is not.
    pub(super) fn journaling(
        &self,
        file: &Path,
        state_dir: Option<&Path>,
        given: Vec<(String, String)>,
        loaded: &Loaded,
        found: Option<Found>,
    ) -> Result<Option<Journaling>, Exit> {
        if self.no_journal {
            return Ok(None);
        }
        let at = place(state_dir, &loaded.workflow.folder);
        let state = State::make(&at).map_err(|failure| no_place(&failure))?;
        let name = file.file_name().map_or_else(|| file.to_owned(), PathBuf::from);
        Ok(Some(Journaling {
            state,
            file: loaded.workflow.folder.join(name),
            text: loaded.source.clone(),
            given,
            current: std::env::current_dir().map_err(|failure| failed(&failure))?,
            resume: found.map(|found| found.resume),
        }))
    }
}

fn damaged(run: &RunId, failure: &JournalError) -> Exit {
    error(failure);
    say(&format!("run {run} cannot be resumed; `flowhost run` without --resume begins anew"));
    Exit::Internal
}

fn no_place(failure: &FolderError) -> Exit {
    error(failure);
    say(
        "runs are kept there so that they can be resumed: name another folder with --state-dir, or keep nothing with --no-journal",
    );
    Exit::Internal
}
