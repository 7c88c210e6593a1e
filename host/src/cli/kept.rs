//! What the commands about past and present runs share: where runs are kept, and how one is named.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::recording::{failed, find};
use crate::embed::recorded::place;
use crate::journal::{Run, State};

/// Where runs are kept.
#[derive(clap::Args, Debug)]
pub(super) struct Kept {
    /// Where runs are kept [default: .flowhost beside the file, or in the current folder]
    #[arg(long, value_name = "DIR", env = "FLOWHOST_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// The workflow file beside which runs are kept
    #[arg(long, value_name = "FILE", env = "FLOWHOST_FILE")]
    file: Option<PathBuf>,
}

impl Kept {
    /// The folder.
    pub(super) fn place(&self) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        place(self.state_dir.as_deref(), folder.unwrap_or(Path::new(".")))
    }

    /// The folder, opened; none where there is none.
    pub(super) fn state(&self) -> Result<Option<State>, Exit> {
        State::find(&self.place()).map_err(|failure| failed(&failure))
    }

    /// A run by its id, or the beginning of one.
    pub(super) fn run(&self, run: &str) -> Result<Run, Exit> {
        find(self.state()?.as_ref(), &self.place(), run)
    }
}
