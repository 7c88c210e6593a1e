//! One branch of a run, as people name it: `NAME`, or `NAME[INDEX]`. Says what is wrong with a name
//! that the run does not know.

use std::fmt;

use super::exit::Exit;
use super::output::error;
use super::recording::failed;
use crate::interface::suggest;
use crate::journal::{Chapter, Run, Story};
use crate::model::Status;

/// A task or group, and the position in it where one was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Branch {
    pub(super) name: String,
    pub(super) index: Option<u32>,
}

/// Why a run has no such branch.
#[derive(Debug, thiserror::Error)]
enum BranchError {
    #[error("run {run} has no task or group `{name}`{hint}")]
    Name { run: String, name: String, hint: String },
    #[error("`{name}` has no branch {index}: {there}")]
    Index { name: String, index: u32, there: String },
    #[error("`{name}` has {branches} branches: name one of them, {name}[0] to {name}[{last}]")]
    Several { name: String, branches: u32, last: u32 },
}

/// `name`, or `name[index]`.
pub(super) fn branch(text: &str) -> Result<Branch, String> {
    let wrong = || "it is written NAME or NAME[INDEX]".to_owned();
    match text.strip_suffix(']') {
        None => Ok(Branch { name: text.to_owned(), index: None }),
        Some(rest) => {
            let (name, index) = rest.split_once('[').ok_or_else(wrong)?;
            Ok(Branch { name: name.to_owned(), index: Some(index.parse().map_err(|_| wrong())?) })
        }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Branch {
    /// What the journal tells of it, if there is one such branch, as far as is known.
    pub(super) fn story(&self, run: &Run) -> Result<Story, Exit> {
        let story = self.read(run)?;
        match (self.index, story.branches) {
            (None, Some(branches)) if branches != 1 => refuse(&BranchError::Several {
                name: self.name.clone(),
                branches,
                last: branches.saturating_sub(1),
            }),
            (Some(_) | None, _) => Ok(story),
        }
    }

    /// As [`Branch::story`], where all branches of the task or group may be meant.
    pub(super) fn read(&self, run: &Run) -> Result<Story, Exit> {
        let story = run.story(&self.name, self.index.unwrap_or(0)).map_err(|failure| failed(&failure))?;
        let names = || story.start.nodes.iter().map(|node| &*node.name);
        if !names().any(|name| name == self.name) {
            let hint = match suggest(&self.name, names()) {
                Some(name) => format!("; did you mean `{name}`?"),
                None => format!("; it has {}", listed(names())),
            };
            let (run, name) = (run.id().to_string(), self.name.clone());
            return refuse(&BranchError::Name { run, name, hint });
        }
        match (self.index, story.branches) {
            (Some(index), Some(branches)) if index >= branches => {
                let there = match branches {
                    0 => "it has none".to_owned(),
                    1 => format!("it has one, {}[0]", self.name),
                    _ => format!("it has {branches}, {0}[0] to {0}[{1}]", self.name, branches - 1),
                };
                refuse(&BranchError::Index { name: self.name.clone(), index, there })
            }
            (Some(_) | None, _) => Ok(story),
        }
    }
}

fn refuse<T>(problem: &BranchError) -> Result<T, Exit> {
    error(problem);
    Err(Exit::Usage)
}

/// How a branch stands, in words that go on a sentence.
pub(super) fn standing(story: &Story) -> String {
    match story.chapters.last() {
        Some(Chapter::Attempt { attempted, last: true, .. }) => attempted.ending.name().to_owned(),
        Some(Chapter::Attempt { .. }) => "its next attempt has not ended".to_owned(),
        Some(Chapter::Unstarted) => "cancelled before it was attempted".to_owned(),
        Some(Chapter::Again(_)) => "it is to run again".to_owned(),
        None => match (story.branches, story.status) {
            (_, Some(Status::Skipped)) => "skipped".to_owned(),
            // The journal does not say which branches are groups.
            (Some(2..), Some(Status::Failed)) => {
                "its group failed before it could begin, or it is a group, which goes by its own name"
                    .to_owned()
            }
            (_, Some(Status::Failed)) => "its task or group failed before it could begin".to_owned(),
            (_, Some(Status::Cancelled)) => "cancelled before it was attempted".to_owned(),
            (_, Some(Status::Succeeded)) => {
                "it was not needed, left out by its `when`, or is a group, which goes by its own name"
                    .to_owned()
            }
            (Some(_), Some(Status::Pending | Status::Running) | None) => "it has not ended yet".to_owned(),
            (None, Some(Status::Pending | Status::Running) | None) => {
                "its task or group has not begun".to_owned()
            }
        },
    }
}

/// Names for a message, the first 20 of them.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 20;
    let mut names = names;
    let mut text = names.by_ref().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_written_as_the_displays_write_them() {
        let named = |name: &str, index| Branch { name: name.to_owned(), index };
        assert_eq!(branch("all").unwrap(), named("all", None));
        assert_eq!(branch("all[17]").unwrap(), named("all", Some(17)));
        for wrong in ["all]", "all[]", "all[-1]", "all[x]", "all[99999999999]"] {
            branch(wrong).unwrap_err();
        }
    }
}
