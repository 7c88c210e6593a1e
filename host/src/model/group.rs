//! A fan-out: how many branches, and how they join.

use std::sync::Arc;

use super::{Expr, GroupPolicy, Items, Task};

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
        /// The items.
        items: Items,
    },
    /// Different tasks side by side.
    Tasks(Vec<Member>),
}

/// One of several tasks side by side.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// The task.
    pub task: Task,
    /// The member is left out unless this `bool` is true.
    pub when: Option<Expr>,
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

/// How the branches' values become the group's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Merge {
    /// A list in input order; for different tasks a record by name.
    #[default]
    Collect,
    /// The value of the first branch to succeed; the rest are cancelled.
    FirstSuccess,
}

impl Merge {
    /// Whether the first success decides, so that one is enough and the other branches are cancelled.
    #[must_use]
    pub fn takes_first(self) -> bool {
        match self {
            Self::FirstSuccess => true,
            Self::Collect => false,
        }
    }
}

/// The type of an item of [`Items::Files`].
#[must_use]
pub fn file_item_type() -> super::Type {
    let field = |name: &str| (Arc::from(name), super::Type::String);
    super::Type::record([field("path"), field("name"), field("stem")])
}
