//! Where `run` records, and which recorded run it goes on with.

use std::path::Path;

use super::exit::Exit;
use super::output::{error, say};
use crate::embed::RecordedError;
use crate::embed::recorded::{self, Choice, Chosen};
use crate::folder::FolderError;
use crate::id::RunId;
use crate::journal::{JournalError, Run, State, StateError};
use crate::manifest::Loaded;
use crate::model::Status;
use crate::run::{Journaling, ResumeOptions};

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

/// Why the flags do not go together.
#[derive(Debug, thiserror::Error)]
enum ResumeProblem {
    #[error("--resume goes on with what the journal has: leave --no-journal out")]
    NoJournal,
    #[error("--retry-failed and --force-changed say how to go on with a run: add --resume, or --resume=RUN")]
    NoResume,
    #[error("--dry-run runs nothing, and --resume goes on with a run: leave one of them out")]
    Dry,
}

/// A run by its id, or the beginning of one.
pub(super) fn find(state: Option<&State>, at: &Path, run: &str) -> Result<Run, Exit> {
    recorded::find(state, at, run).map_err(|failure| unrecorded(&failure))
}

/// Says why no run was found.
fn unrecorded(failure: &RecordedError) -> Exit {
    match failure {
        RecordedError::Folder(folder) => failed(folder),
        RecordedError::State(state) => refused(state),
        RecordedError::Damaged { run, source } => damaged(run, source),
        RecordedError::NoneUnfinished { .. }
        | RecordedError::NoSuchRun { .. }
        | RecordedError::Ambiguous { .. }
        | RecordedError::OtherFile { .. } => {
            error(failure);
            Exit::Usage
        }
    }
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
    ) -> Result<Option<Chosen>, Exit> {
        let usage = |problem: ResumeProblem| {
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
        let options = ResumeOptions { retry_failed: self.retry_failed, force_changed: self.force_changed };
        let run = Some(&**wanted).filter(|wanted| !wanted.is_empty());
        let chosen = Choice { file, state_dir, run, options }.choose();
        let chosen = chosen.map_err(|failure| unrecorded(&failure))?;
        if let Some(chosen) = &chosen {
            self.tell(chosen);
        }
        Ok(chosen)
    }

    /// Says what people would not expect of the run that was chosen.
    fn tell(&self, chosen: &Chosen) {
        for (run, failure) in &chosen.passed {
            say(&format!("warning: run {run} is passed by: {failure}"));
        }
        match chosen.ended {
            // The process may have been killed before its results had reached anybody.
            Some(end) if !self.retry_failed && !self.force_changed => {
                let short = end.status != Status::Succeeded;
                let retry = if short { "; --retry-failed runs again what did not succeed" } else { "" };
                let run = &chosen.start.run;
                say(&format!("run {run} has ended, and its outputs are made again{retry}"));
            }
            Some(_) | None => {}
        }
    }

    /// Where the run is recorded; none where it is not.
    pub(super) fn journaling(
        &self,
        file: &Path,
        state_dir: Option<&Path>,
        given: Vec<(String, String)>,
        loaded: &Loaded,
        found: Option<Chosen>,
    ) -> Result<Option<Journaling>, Exit> {
        if self.no_journal {
            return Ok(None);
        }
        let current = std::env::current_dir().map_err(|failure| failed(&failure))?;
        let resume = found.map(|found| found.resume);
        let journaling = recorded::journaling(file, state_dir, given, current, loaded, resume);
        journaling.map(Some).map_err(|failure| no_place(&failure))
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
