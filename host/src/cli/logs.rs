//! `flowhost logs`: what the journal has of a branch's attempts.

use std::fmt::Write as _;

use super::branch::{Branch, branch, standing};
use super::exit::Exit;
use super::kept::Kept;
use super::output::{say, told};
use super::recording::failed;
use crate::journal::{Attempted, Record, Stamped};

#[derive(clap::Args, Debug)]
pub(super) struct Logs {
    /// The run's id, or the beginning of it
    run: String,
    /// A lone task, a group, or one branch of it
    #[arg(value_name = "TASK[i]", value_parser = branch)]
    branch: Branch,
    #[command(flatten)]
    kept: Kept,
}

impl Logs {
    pub(super) fn execute(self) -> Exit {
        match self.read() {
            Ok(text) if text.is_empty() => Exit::Succeeded,
            Ok(text) => told(crate::report::harmless(text.trim_end()).as_ref()),
            Err(exit) => exit,
        }
    }

    fn read(&self) -> Result<String, Exit> {
        let run = self.kept.run(&self.run)?;
        let Branch { name, index } = &self.branch;
        let mut text = String::new();
        let read = run.read(|Stamped { record, .. }| {
            if let Record::AttemptEnded(attempted) | Record::TaskEnded(attempted) = record
                && *attempted.node == **name
                && index.is_none_or(|index| index == attempted.index)
            {
                tell(&attempted, &mut text);
            }
            Ok(())
        });
        read.map_err(|failure| failed(&failure))?;
        if text.is_empty() {
            // A name that the run does not have is an error; a branch that has yet to run is not.
            let story = self.branch.read(&run)?;
            say(&format!("{}: no attempt has ended, {}", self.branch, standing(&story)));
        }
        Ok(text)
    }
}

fn tell(attempted: &Attempted, text: &mut String) {
    let Attempted { node, index, number, ending, elapsed, .. } = attempted;
    let cached = if attempted.cached { ", from the cache" } else { "" };
    // A string takes all that is written to it.
    let _ = write!(text, "{node}[{index}], attempt {number}: {} after {elapsed:?}{cached}", ending.name());
    match &attempted.error {
        Some(error) => drop(writeln!(text, ": {error}")),
        None => text.push('\n'),
    }
    for line in &attempted.log {
        let _ = writeln!(text, "    {} {}: {}", line.stream.name(), line.level.name(), line.message);
    }
}
