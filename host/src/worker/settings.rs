//! What a worker that takes attempts from Redis is told when it starts. All of it was looked at before.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ceiling::Ceiling;
use super::figures::Figures;
use super::log::Log;
use crate::report::Exporter;
use crate::runtime::Runtime;

/// A worker's settings.
pub struct ConsumerSettings {
    /// The server, with who logs in. Never to be shown.
    pub url: Arc<str>,
    /// The certificates to trust, in a PEM file, in place of those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The secret that attempts and outcomes are signed with.
    pub key: Option<Arc<str>>,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// Names of queues, each once; the first that has something is served first.
    pub queues: Vec<String>,
    /// Attempts that execute at once, at least 1.
    pub concurrency: usize,
    /// The worker's name, to which it adds what tells it from others of that name.
    pub id: String,
    /// How long an attempt is held before it must be renewed: from 1 s to 1 h.
    pub lease: Duration,
    /// How long a worker that is asked to stop waits for what executes.
    pub drain: Duration,
    /// Where components are kept; none is in the user's cache folder.
    pub workdir: Option<PathBuf>,
    /// Bytes of components and values that are kept here at most.
    pub store_max: u64,
    /// The most that attempts are granted.
    pub ceiling: Ceiling,
    /// Where guests execute, with as many slots as `concurrency`.
    pub runtime: Arc<Runtime>,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// Where it says what happens.
    pub log: Arc<Log>,
    /// Who takes spans of what it executes, if anybody does.
    pub exporter: Option<Arc<Exporter>>,
}

/// Whether a worker is asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stopping {
    /// It is not.
    No,
    /// It takes nothing more, waits for what executes, and hands the rest back.
    Drain,
    /// It stops what executes.
    Now,
}
