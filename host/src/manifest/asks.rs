//! What a file asks to reach, for people to look at before they run it. Knows grants, not why they
//! are there.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{AddressRange, EnvironmentValue, Grants, Origin};

/// Something that the file asks for, and the tasks that ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// What.
    pub what: Access,
    /// The names of the tasks, each once.
    pub tasks: Vec<Arc<str>>,
}

/// What a task can be given.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// A directory to read; the path is relative to the root.
    Read(PathBuf),
    /// A directory to read and write; the path is relative to the root.
    Write(PathBuf),
    /// An environment variable with a value that the file gives.
    Variable(Arc<str>),
    /// A variable of flowhost's own environment.
    Secret(Arc<str>),
    /// Addresses to connect to and send to.
    Net(AddressRange),
    /// An origin to send requests to.
    Http(Origin),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path) => write!(f, "read {}", path.display()),
            Self::Write(path) => write!(f, "write {}", path.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Secret(name) => write!(f, "secret {name}"),
            Self::Net(range) => write!(f, "net {range}"),
            Self::Http(origin) => write!(f, "http {origin}"),
        }
    }
}

/// As in "read data: tasks a, b".
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = if self.tasks.len() == 1 { "task" } else { "tasks" };
        write!(f, "{}: {tasks} {}", self.what, self.tasks.join(", "))
    }
}

/// Collects what tasks ask for.
#[derive(Default)]
pub(super) struct Asks {
    pub(super) list: Vec<Ask>,
    positions: HashMap<Access, usize>,
    asked: HashSet<(usize, Arc<str>)>,
}

impl Asks {
    /// Adds what one task asks for.
    pub(super) fn add<'s>(
        &mut self,
        task: &Arc<str>,
        grants: &Grants,
        secrets: impl IntoIterator<Item = &'s Arc<str>>,
    ) {
        let directories = grants.directories.iter().map(|directory| match directory.write {
            true => Access::Write(directory.path.clone()),
            false => Access::Read(directory.path.clone()),
        });
        let environment = grants.environment.iter().map(|(name, value)| match value {
            EnvironmentValue::Literal(_) => Access::Variable(Arc::clone(name)),
            EnvironmentValue::Secret { name } => Access::Secret(Arc::clone(name)),
        });
        let secrets = secrets.into_iter().map(|name| Access::Secret(Arc::clone(name)));
        let net = grants.net.iter().map(|range| Access::Net(*range));
        let http = grants.http.iter().map(|origin| Access::Http(origin.clone()));
        for what in directories.chain(environment).chain(secrets).chain(net).chain(http) {
            let position = *self.positions.entry(what.clone()).or_insert(self.list.len());
            if position == self.list.len() {
                self.list.push(Ask { what, tasks: Vec::new() });
            }
            if self.asked.insert((position, Arc::clone(task)))
                && let Some(ask) = self.list.get_mut(position)
            {
                ask.tasks.push(Arc::clone(task));
            }
        }
    }
}
