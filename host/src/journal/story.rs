//! What a journal tells of one branch, in order. Unlike a history it keeps every attempt, and nothing
//! of any other branch.

use super::JournalError;
use super::key_print::{KeyChange, KeyPrint};
use super::record::{Attempted, Record, Stamped, Start};
use super::runs::{Run, State, StateError};
use crate::id::RunId;
use crate::model::{Ending, Status};

/// A branch as a run's journal has it.
#[derive(Clone, PartialEq, Debug)]
pub struct Story {
    /// Under what the run began or was last resumed.
    pub start: Box<Start>,
    /// The branch's position in its task or group.
    pub index: u32,
    /// How many branches the task or group has, once it opened.
    pub branches: Option<u32>,
    /// How the task or group ended, if it did.
    pub status: Option<Status>,
    /// What became of the branch.
    pub chapters: Vec<Chapter>,
}

/// A thing that happened to a branch.
#[derive(Clone, PartialEq, Debug)]
pub enum Chapter {
    /// An attempt ended, and the branch with it if that is so.
    Attempt {
        /// When, in microseconds since 1970.
        time: u64,
        /// How.
        attempted: Box<Attempted>,
        /// Whether the branch ended with it.
        last: bool,
    },
    /// It ended cancelled without an attempt.
    Unstarted,
    /// What came before counts no longer, for this reason.
    Again(String),
}

/// What a key has in common with that of the run before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compared {
    /// The run before.
    pub run: RunId,
    /// How the attempt ended that had the key there.
    pub ending: Ending,
    /// What differs.
    pub changes: Vec<KeyChange>,
}

impl Story {
    /// The last attempt for which the cache was asked, and under which key.
    #[must_use]
    pub fn keyed(&self) -> Option<(&Attempted, &KeyPrint)> {
        self.chapters.iter().rev().find_map(|chapter| match chapter {
            Chapter::Attempt { attempted, .. } => attempted.key.as_ref().map(|key| (&**attempted, &**key)),
            Chapter::Unstarted | Chapter::Again(_) => None,
        })
    }

    fn take(&mut self, node: &str, stamped: Stamped) {
        let time = stamped.time;
        let index = self.index;
        if let Record::AttemptEnded(attempted) | Record::TaskEnded(attempted) = &stamped.record {
            let started = attempted.asked.starts().filter(|task| ***task == *node).count();
            if started > 0 {
                let started = u32::try_from(started).unwrap_or(u32::MAX);
                self.branches = Some(self.branches.unwrap_or_default().saturating_add(started));
            }
        }
        let of = |attempted: &Attempted| *attempted.node == *node && attempted.index == index;
        match stamped.record {
            Record::RunStarted(start) | Record::RunResumed(start) => self.start = start,
            Record::GroupStarted { node: name, branches, .. } if *name == *node => {
                self.branches = Some(self.branches.unwrap_or_default().max(branches));
            }
            Record::GroupEnded { node: name, status, .. } if *name == *node => self.status = Some(status),
            Record::AttemptEnded(attempted) if of(&attempted) => {
                self.chapters.push(Chapter::Attempt { time, attempted, last: false });
            }
            Record::TaskEnded(attempted) if of(&attempted) => {
                self.chapters.push(Chapter::Attempt { time, attempted, last: true });
            }
            Record::Unstarted { node: name, from, to } if *name == *node && (from..to).contains(&index) => {
                self.chapters.push(Chapter::Unstarted);
            }
            Record::Discarded(again) if *again.node == *node => {
                self.status = None;
                let all = again.branches.is_empty();
                if all {
                    self.branches = None;
                }
                if all || again.branches.iter().any(|(first, last)| (*first..=*last).contains(&index)) {
                    self.chapters.push(Chapter::Again(again.reason));
                }
            }
            Record::GroupStarted { .. }
            | Record::GroupEnded { .. }
            | Record::AttemptEnded(_)
            | Record::TaskEnded(_)
            | Record::Unstarted { .. }
            | Record::Discarded(_)
            | Record::ChannelWritten { .. }
            | Record::RunEnded(_) => {}
        }
    }
}

impl Run {
    /// What the journal tells of the branch `index` of the task or group that it has as `node`.
    ///
    /// # Errors
    /// As [`Run::read`].
    pub fn story(&self, node: &str, index: u32) -> Result<Story, JournalError> {
        let start = self.start()?;
        let mut story = Story { start, index, branches: None, status: None, chapters: Vec::new() };
        self.read(|stamped| {
            story.take(node, stamped);
            Ok(())
        })?;
        Ok(story)
    }
}

impl State {
    /// Compares the key of a branch's last attempt in `run` with that in the last run before it, of the
    /// same workflow file, that asked the cache for the branch. None where there is none, or no key.
    /// Runs whose journals cannot be read are passed by.
    ///
    /// # Errors
    /// Fails when the folder cannot be read.
    pub fn compare(&self, run: &RunId, node: &str, story: &Story) -> Result<Option<Compared>, StateError> {
        let Some((_, key)) = story.keyed() else { return Ok(None) };
        for id in self.runs()?.into_iter().filter(|id| id.0 < run.0) {
            let Some(before) = self.run(&id)? else { continue };
            if before.start().is_ok_and(|start| start.file == story.start.file)
                && let Ok(then) = before.story(node, story.index)
                && let Some((attempted, known)) = then.keyed()
            {
                let (ending, changes) = (attempted.ending, key.changes(known));
                return Ok(Some(Compared { run: id, ending, changes }));
            }
        }
        Ok(None)
    }
}
