//! A fan-out: how many branches, and how they join.

use std::sync::Arc;

use super::{Expr, GroupPolicy, Items, Task};
use crate::id::NodeId;

/// One task over many items, or several tasks side by side.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// What the branches are.
    pub form: Form,
    /// How many attempts may be handed over at once; none is what the executor takes.
    pub concurrency: Option<u32>,
    /// What becomes of the others when a branch does not succeed.
    pub on_failure: OnFailure,
    /// What has to succeed, and how long and how fast.
    pub policy: GroupPolicy,
    /// How the branches' values become the group's.
    pub merge: Merge,
    /// More branches than this are refused.
    pub max_branches: u32,
}

/// [`Group::max_branches`] where the file says nothing, and the most that it may say.
pub const MAX_BRANCHES: u32 = 10_000_000;

/// What the branches are.
#[derive(Clone, PartialEq, Debug)]
pub enum Form {
    /// One task, once for each item.
    ForEach {
        /// The task.
        task: Box<Task>,
        /// What the items are made of.
        items: Items,
        /// How items become those of the branches.
        split: Split,
    },
    /// Different tasks and groups side by side.
    Tasks(Vec<Member>),
}

/// One of several tasks or groups side by side.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Its name.
    pub name: Arc<str>,
    /// What it runs.
    pub runs: Runs,
    /// The member is left out unless this `bool` is true.
    pub when: Option<Expr>,
}

/// What a member runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Runs {
    /// A task.
    Task(Box<Task>),
    /// A group, which is nodes of its own: from the first to the last [`Section`](super::Section).
    Group {
        /// The first section.
        first: NodeId,
        /// The last, whose value is the group's.
        last: NodeId,
    },
}

impl Member {
    /// The task, where it is one.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        match &self.runs {
            Runs::Task(task) => Some(task),
            Runs::Group { .. } => None,
        }
    }
}

/// What becomes of the other branches when one does not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    /// They finish.
    #[default]
    Continue,
    /// They are cancelled at once when the group can no longer have what it requires.
    Cancel,
}

/// How the branches' values become the group's, or what the group's next [`Section`](super::Section) takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Merge {
    /// A list in input order; for different tasks a record by name.
    #[default]
    Collect,
    /// The value of the first branch to succeed; the rest are cancelled.
    FirstSuccess,
    /// A list in input order, for different tasks too.
    List,
    /// Lists, strings or bytes, joined in input order.
    Concat,
    /// A list of `result<T, string>` in input order. What did not succeed is a value, and no failure
    /// of the group.
    Results,
}

impl Merge {
    /// Whether the first success decides, so that one is enough and the other branches are cancelled.
    #[must_use]
    pub fn takes_first(self) -> bool {
        match self {
            Self::FirstSuccess => true,
            Self::Collect | Self::List | Self::Concat | Self::Results => false,
        }
    }
}

/// How items become those of the branches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Split {
    /// Each is a branch's.
    #[default]
    Item,
    /// So many that follow each other are a branch's list; the last may have fewer. Not 0.
    Chunk(u32),
    /// Dealt out in turn to so many branches, each of which has a list. Fewer items make fewer
    /// branches, so that no list is empty. Not 0.
    RoundRobin(u32),
}

/// So many items are in one branch's list at most.
pub const LONGEST_LIST: u64 = 10_000_000;

impl Split {
    /// How many branches so many items make, and how many items are in the longest of their lists.
    #[must_use]
    pub fn counts(self, items: u64) -> (u64, u64) {
        match self {
            Self::Item => (items, 1),
            Self::Chunk(length) => {
                let length = u64::from(length.max(1));
                (items.div_ceil(length), length.min(items))
            }
            Self::RoundRobin(parts) => {
                let parts = u64::from(parts.max(1));
                (parts.min(items), items.div_ceil(parts))
            }
        }
    }
}

/// The choice of one of the values that a group's branches have.
#[derive(Clone, PartialEq, Debug)]
pub struct Best {
    /// The list to choose from, of records.
    pub from: Expr,
    /// The position of the field, which is a number, whose largest value decides. The earlier wins a
    /// tie; what is not a number never wins.
    pub field: u32,
    /// The field's name.
    pub name: Arc<str>,
}

/// The type of an item of [`Items::Files`].
#[must_use]
pub fn file_item_type() -> super::Type {
    let field = |name: &str| (Arc::from(name), super::Type::String);
    super::Type::record([field("path"), field("name"), field("stem")])
}
