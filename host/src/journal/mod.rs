//! The journal: a run's event log on disk, from which the run resumes. Appends records, reads them
//! back, and survives a torn tail. Sees values as JSON and digests; their types, and the bytes behind
//! digests, are none of its business.

mod history;
mod key_print;
mod line;
mod reader;
mod record;
mod runs;
mod story;
#[cfg(test)]
mod tests;
mod writer;
mod written;

use std::io;

pub use history::{BranchHistory, History, More, NodeHistory, Standing};
pub use key_print::{KeyChange, KeyPrint};
pub use reader::{Tail, read};
pub use record::{
    Again, Asked, Attempted, FileRead, Given, Kept, LogLine, NodePrint, Record, RunEnd, Stamped, Start,
};
pub use runs::{Lock, Run, State, StateError};
pub use story::{Chapter, Compared, Story};
pub use writer::{Sink, Writer};

use crate::folder::FolderError;

/// Of the journal's lines. It changes when a line changes its meaning or a kind of line is added.
pub const VERSION: u32 = 1;

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its folder failed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Writing failed. What was written before stays.
    #[error("the journal cannot be written: {0}")]
    Write(#[source] io::Error),
    /// Reading failed.
    #[error("the journal cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A line is not what was written.
    #[error("the journal is damaged: line {line}, which begins at byte {offset}, {problem}")]
    Damaged {
        /// Counted from 1.
        line: u64,
        /// Where the line begins, counted from 0.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer flowhost wrote it.
    #[error(
        "line {line} of the journal has version {version}, and this flowhost reads version {VERSION}: resume the run with the flowhost that wrote it, or a newer one"
    )]
    Version {
        /// Counted from 1.
        line: u64,
        /// The line's.
        version: u64,
    },
}
