//! `flowhost logs`: what the journal has of a branch's attempts.

use std::fmt::Write as _;

use super::exit::Exit;
use super::kept::Kept;
use super::output::{result, say};
use super::recording::failed;
use super::run::stdout_failed;
use crate::journal::{Attempted, Record, Stamped};

#[derive(clap::Args, Debug)]
pub(super) struct Logs {
    /// The run's id, or the beginning of it
    run: String,
    /// A lone task, a group, or one branch of it
    #[arg(value_name = "TASK[i]", value_parser = branch)]
    branch: (String, Option<u32>),
    #[command(flatten)]
    kept: Kept,
}

/// `name`, or `name[index]`.
pub(super) fn branch(text: &str) -> Result<(String, Option<u32>), String> {
    let wrong = || "it is written NAME or NAME[INDEX]".to_owned();
    match text.strip_suffix(']') {
        None => Ok((text.to_owned(), None)),
        Some(rest) => {
            let (name, index) = rest.split_once('[').ok_or_else(wrong)?;
            Ok((name.to_owned(), Some(index.parse().map_err(|_| wrong())?)))
        }
    }
}

impl Logs {
    pub(super) fn execute(self) -> Exit {
        match self.read() {
            Ok(text) if text.is_empty() => {
                let (name, index) = &self.branch;
                let index = index.map_or_else(String::new, |index| format!("[{index}]"));
                say(&format!("error: no attempt of `{name}{index}` is recorded in run {}", self.run));
                Exit::Usage
            }
            Ok(text) => match result(crate::report::harmless(text.trim_end()).as_ref()) {
                Ok(()) => Exit::Succeeded,
                Err(failure) => stdout_failed(&failure),
            },
            Err(exit) => exit,
        }
    }

    fn read(&self) -> Result<String, Exit> {
        let run = self.kept.run(&self.run)?;
        let (name, index) = &self.branch;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_written_as_the_displays_write_them() {
        assert_eq!(branch("all").unwrap(), ("all".to_owned(), None));
        assert_eq!(branch("all[17]").unwrap(), ("all".to_owned(), Some(17)));
        for wrong in ["all]", "all[]", "all[-1]", "all[x]", "all[99999999999]"] {
            branch(wrong).unwrap_err();
        }
    }
}
