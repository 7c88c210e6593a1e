//! One execution of one branch, as it is handed to an executor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AddressRange, Allowed, Directory, Entry, Limits, Origin, Signature, Trace, Value};
use crate::digest::Digest;
use crate::id::{AttemptId, RunId};

/// One execution of one branch on one executor.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id, unique within the run.
    pub id: AttemptId,
    /// What all attempts of the branch's task share.
    pub call: Arc<Call>,
    /// Which run of its task this branch is at, from 1: more than 1 where it asked to run again.
    pub iteration: u32,
    /// One for each parameter of the entry, in order and of the right types.
    pub arguments: Vec<Value>,
}

/// What all attempts of one task in one node share. Executors prepare it once and know it again by
/// its address.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The component.
    pub component: Digest,
    /// What is called.
    pub entry: Entry,
    /// Its parameters and result.
    pub signature: Arc<Signature>,
    /// What an attempt may use.
    pub limits: Limits,
    /// Directories that an attempt may reach, below the executor's root.
    pub directories: Vec<Directory>,
    /// Environment variables that an attempt sees, secrets resolved.
    pub environment: Vec<(Arc<str>, Arc<str>)>,
    /// Addresses that an attempt may connect to by TCP and send to by UDP.
    pub net: Arc<[AddressRange]>,
    /// Origins that an attempt may send requests to.
    pub http: Arc<[Origin]>,
    /// The seed of a deterministic task; none for an ordinary one.
    pub deterministic: Option<u64>,
    /// The run.
    pub run: RunId,
    /// The task's name.
    pub task: Arc<str>,
    /// The group's name, in a group.
    pub group: Option<Arc<str>>,
    /// How many branches the group has; 1 outside a group.
    pub count: u64,
    /// What an attempt may ask of the run; none where that is nothing.
    pub allowed: Option<Arc<Allowed>>,
    /// The trace that its run belongs to. Each attempt has a span of its own in it, which follows from its id. No guest
    /// sees it, and no key of the cache has it.
    pub trace: Option<Trace>,
}
