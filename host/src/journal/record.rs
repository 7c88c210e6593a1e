//! What a journal's lines say, and their form: one JSON object each.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key_print::KeyPrint;
use super::written::Written;
use crate::digest::Digest;
use crate::id::RunId;
use crate::model::{
    ChannelWrite, Counts, Ending, Executor, Level, Metrics, Requests, Status, Stream, Then, Trace,
};

/// One fact, with its time.
#[derive(Clone, PartialEq, Debug)]
pub struct Stamped {
    /// Microseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The fact.
    pub record: Record,
}

/// One fact that a run can be resumed from.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// The run began. The first line, and no other.
    RunStarted(Box<Start>),
    /// Another process goes on with the run, under what is as stated here.
    RunResumed(Box<Start>),
    /// What was recorded of these branches counts no longer: they run again.
    Discarded(Again),
    /// A task changed the run's channel.
    ChannelWritten {
        /// Counts from 0 within a run, without gaps.
        sequence: u64,
        /// The change; none where it holds a secret, which is not written down.
        write: Option<Box<ChannelWrite>>,
    },
    /// A task or group has so many branches.
    GroupStarted {
        /// The task or group.
        node: Arc<str>,
        /// How many branches it has, those left out included.
        branches: u32,
        /// Of its items, where it has any.
        items: Option<Digest>,
    },
    /// An attempt ended, and its branch did not.
    AttemptEnded(Box<Attempted>),
    /// A branch ended with this attempt.
    TaskEnded(Box<Attempted>),
    /// Branches ended cancelled that were never attempted.
    Unstarted {
        /// The task or group.
        node: Arc<str>,
        /// The first of them.
        from: u32,
        /// One past the last.
        to: u32,
    },
    /// A task or group ended.
    GroupEnded {
        /// The task or group.
        node: Arc<str>,
        /// How.
        status: Status,
        /// Its branches by their ending.
        counts: Counts,
    },
    /// The run ended, or the process stopped it.
    RunEnded(RunEnd),
}

/// Under what a run runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// The flowhost that runs it.
    pub flowhost_version: String,
    /// The workflow's name.
    pub name: Arc<str>,
    /// The workflow file, absolute.
    pub file: String,
    /// Of the workflow file.
    pub workflow: Digest,
    /// The folder of the workflow file, below the root.
    pub inside: String,
    /// The folder that the command ran in: relative paths that inputs give start there.
    pub current: String,
    /// Aliases and digests of components.
    pub components: Vec<(Arc<str>, Digest)>,
    /// Inputs as the command line gave them.
    pub given: Vec<(String, String)>,
    /// All inputs with their values.
    pub inputs: Vec<Given>,
    /// Names of variables of the environment that the workflow reads. Their values are never kept.
    pub environment: Vec<Arc<str>>,
    /// Tasks and groups, in the file's order.
    pub nodes: Vec<NodePrint>,
    /// The trace that it belongs to, so that it stays in it when it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

/// An input's value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Given {
    /// The input's name.
    pub name: Arc<str>,
    /// Its value, as JSON.
    pub value: serde_json::Value,
}

/// A task or group, and a digest over all that decides what it does with its inputs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodePrint {
    /// Its name.
    pub name: Arc<str>,
    /// Of its definition and its components.
    pub print: Digest,
}

/// Branches that run again although something was recorded of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Again {
    /// The task or group.
    pub node: Arc<str>,
    /// First and last of each stretch of positions, ascending. Empty for all, even how many there are.
    pub branches: Vec<(u32, u32)>,
    /// Why.
    pub reason: String,
}

/// An attempt that ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempted {
    /// The task or group.
    pub node: Arc<str>,
    /// The branch's position.
    pub index: u32,
    /// Which attempt of the branch, from 1; 0 where a branch ended without any.
    pub number: u32,
    /// How it ended, or the branch where that differs.
    pub ending: Ending,
    /// From hand-over to report.
    pub elapsed: Duration,
    /// From the guest's start to its end.
    pub guest: Duration,
    /// The most memory that the guest had, in bytes.
    pub peak_memory: u64,
    /// Fuel, where it was counted.
    pub fuel: Option<u64>,
    /// Figures that the guest reported.
    pub metrics: Metrics,
    /// Where it ran.
    pub executor: Executor,
    /// In which of the executor's workers, where it has any.
    pub worker: Option<Arc<str>>,
    /// Whether the cache knew the outcome, and nothing executed.
    pub cached: bool,
    /// What the outcome depended on, where the cache was asked for it.
    pub key: Option<Box<KeyPrint>>,
    /// What is to be said of an ending other than succeeded.
    pub error: Option<Arc<str>>,
    /// What became of the value.
    pub value: Kept,
    /// What it asked for, and so takes effect.
    pub asked: Asked,
    /// Files that arguments were read from.
    pub files: Vec<FileRead>,
    /// The guest's last lines, where the attempt did not succeed.
    pub log: Vec<LogLine>,
}

/// What became of a value.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Kept {
    /// There is none, or nobody needs it.
    #[default]
    None,
    /// Here, as JSON.
    Inline(serde_json::Value),
    /// In the store, as JSON.
    Stored(Digest),
    /// Not written down, because it holds a secret.
    Withheld,
    /// Not written down, because nobody needs it: the digest of its JSON, so that a replay can be compared.
    Digested(Digest),
}

/// What an attempt asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Asked {
    /// Nothing.
    #[default]
    Nothing,
    /// This.
    For(Box<Requests>),
    /// Something that is not written down, because it holds a secret.
    Withheld,
}

impl Asked {
    /// The tasks that it starts, in order.
    pub fn starts(&self) -> impl Iterator<Item = &Arc<str>> {
        let requests = match self {
            Self::For(requests) => Some(requests),
            Self::Nothing | Self::Withheld => None,
        };
        requests.into_iter().flat_map(|requests| {
            let elsewhere = match &requests.then {
                Then::GoesTo(task) => Some(task),
                Then::Ends | Then::Iterates(_) | Then::Finishes | Then::Aborts(_) => None,
            };
            requests.next.iter().map(|start| &start.task).chain(elsewhere)
        })
    }
}

/// A file whose content was an argument.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FileRead {
    /// The path as the workflow has it.
    pub path: String,
    /// Whether the command line gave the path.
    pub given: bool,
    /// Of its bytes.
    pub digest: Digest,
}

/// A line that a guest wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// Where the guest wrote it.
    pub stream: Stream,
    /// The line.
    pub message: Arc<str>,
    /// Whether this is a mark of lines that are missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunEnd {
    /// How.
    pub status: Status,
    /// All branches by their ending, those of earlier processes included.
    pub counts: Counts,
    /// Whether it was stopped before all that it would have run had ended.
    pub stopped: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Where most attempts run needs no word.
fn is_default(executor: &Executor) -> bool {
    *executor == Executor::default()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A line's fields but its value and its seal, of which each kind has some. Written and read.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Line<'a> {
    pub(super) version: u64,
    event: &'a str,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Ending>,
    #[serde(skip_serializing_if = "Option::is_none")]
    micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(skip_serializing_if = "Metrics::is_empty")]
    metrics: Metrics,
    #[serde(skip_serializing_if = "is_default")]
    executor: Executor,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<Arc<str>>,
    #[serde(skip_serializing_if = "is_false")]
    cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Box<KeyPrint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileRead>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<LogLine>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Box<Start>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<Again>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<Box<Requests>>,
    #[serde(skip_serializing_if = "is_false")]
    asked_withheld: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing, deserialize_with = "present")]
    value: Option<serde_json::Value>,
}

/// A value that is `null` is a value; only what is not there is none.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(from).map(Some)
}

impl<'a> Line<'a> {
    /// The fields of a fact. Its inline value is left to the caller, who has it as text.
    pub(super) fn of(stamped: Stamped) -> Self {
        let line =
            |event| Self { version: u64::from(super::VERSION), event, time: stamped.time, ..Self::default() };
        match stamped.record {
            Record::RunStarted(start) => Self { start: Some(start), ..line("run-started") },
            Record::RunResumed(start) => Self { start: Some(start), ..line("run-resumed") },
            Record::Discarded(again) => Self { again: Some(again), ..line("discarded") },
            Record::ChannelWritten { sequence, write } => {
                let written = Written::of(sequence, write.map(|write| *write));
                Self { channel: Some(written), ..line("channel-write") }
            }
            Record::GroupStarted { node, branches, items } => {
                Self { node: Some(node), branches: Some(branches), items, ..line("group-started") }
            }
            Record::AttemptEnded(attempted) => Self::attempted(line("attempt-ended"), *attempted),
            Record::TaskEnded(attempted) => Self::attempted(line("task-ended"), *attempted),
            Record::Unstarted { node, from, to } => {
                Self { node: Some(node), from: Some(from), to: Some(to), ..line("unstarted") }
            }
            Record::GroupEnded { node, status, counts } => {
                Self { node: Some(node), status: Some(status), counts: Some(counts), ..line("group-ended") }
            }
            Record::RunEnded(RunEnd { status, counts, stopped }) => Self {
                status: Some(status),
                counts: Some(counts),
                stopped: Some(stopped),
                ..line("run-ended")
            },
        }
    }

    fn attempted(line: Self, attempted: Attempted) -> Self {
        let (mut stored, mut withheld, mut digest) = (None, None, None);
        match attempted.value {
            Kept::None | Kept::Inline(_) => {}
            Kept::Stored(digest) => stored = Some(digest),
            Kept::Withheld => withheld = Some(true),
            Kept::Digested(of) => digest = Some(of),
        }
        Self {
            node: Some(attempted.node),
            index: Some(attempted.index),
            attempt: Some(attempted.number),
            outcome: Some(attempted.ending),
            micros: Some(micros(attempted.elapsed)),
            guest_micros: Some(micros(attempted.guest)),
            peak_memory: Some(attempted.peak_memory),
            fuel: attempted.fuel,
            metrics: attempted.metrics,
            executor: attempted.executor,
            worker: attempted.worker,
            cached: attempted.cached,
            key: attempted.key,
            error: attempted.error,
            files: (!attempted.files.is_empty()).then_some(attempted.files),
            log: (!attempted.log.is_empty()).then_some(attempted.log),
            stored,
            withheld,
            asked_withheld: attempted.asked == Asked::Withheld,
            asked: match attempted.asked {
                Asked::For(requests) => Some(requests),
                Asked::Nothing | Asked::Withheld => None,
            },
            digest,
            ..line
        }
    }

    /// The fact, or what is wrong with the line.
    pub(super) fn fact(self) -> Result<Stamped, String> {
        fn need<T>(field: Option<T>, name: &str) -> Result<T, String> {
            field.ok_or_else(|| format!("has no `{name}`"))
        }
        let time = self.time;
        let record = match self.event {
            "run-started" => Record::RunStarted(need(self.start, "start")?),
            "run-resumed" => Record::RunResumed(need(self.start, "start")?),
            "discarded" => Record::Discarded(need(self.again, "again")?),
            "channel-write" => {
                let (sequence, write) = need(self.channel, "channel")?.change()?;
                Record::ChannelWritten { sequence, write: write.map(Box::new) }
            }
            "group-started" => Record::GroupStarted {
                node: need(self.node, "node")?,
                branches: need(self.branches, "branches")?,
                items: self.items,
            },
            "attempt-ended" => Record::AttemptEnded(Box::new(self.attempt_of()?)),
            "task-ended" => Record::TaskEnded(Box::new(self.attempt_of()?)),
            "unstarted" => {
                let (from, to) = (need(self.from, "from")?, need(self.to, "to")?);
                if from >= to {
                    return Err(format!("says that branches {from} up to and without {to} ended"));
                }
                Record::Unstarted { node: need(self.node, "node")?, from, to }
            }
            "group-ended" => Record::GroupEnded {
                node: need(self.node, "node")?,
                status: need(self.status, "status")?,
                counts: need(self.counts, "counts")?,
            },
            "run-ended" => Record::RunEnded(RunEnd {
                status: need(self.status, "status")?,
                counts: need(self.counts, "counts")?,
                stopped: need(self.stopped, "stopped")?,
            }),
            other => {
                return Err(format!(
                    "tells of `{other}`, which this flowhost (journal version {}) does not know",
                    super::VERSION
                ));
            }
        };
        Ok(Stamped { time, record })
    }

    fn attempt_of(self) -> Result<Attempted, String> {
        let missing = |name: &str| format!("has no `{name}`");
        let inline = self.value.map(Kept::Inline);
        let stored = self.stored.map(Kept::Stored);
        let withheld = self.withheld.filter(|withheld| *withheld).map(|_| Kept::Withheld);
        let mut forms =
            inline.into_iter().chain(stored).chain(withheld).chain(self.digest.map(Kept::Digested));
        let value = forms.next().unwrap_or_default();
        if forms.next().is_some() {
            return Err("has its value twice".to_owned());
        }
        Ok(Attempted {
            node: self.node.ok_or_else(|| missing("node"))?,
            index: self.index.ok_or_else(|| missing("index"))?,
            number: self.attempt.ok_or_else(|| missing("attempt"))?,
            ending: self.outcome.ok_or_else(|| missing("outcome"))?,
            elapsed: Duration::from_micros(self.micros.unwrap_or_default()),
            guest: Duration::from_micros(self.guest_micros.unwrap_or_default()),
            peak_memory: self.peak_memory.unwrap_or_default(),
            fuel: self.fuel,
            metrics: self.metrics,
            executor: self.executor,
            worker: self.worker,
            cached: self.cached,
            key: self.key,
            error: self.error,
            value,
            asked: match (self.asked, self.asked_withheld) {
                (None, false) => Asked::Nothing,
                (Some(requests), false) => Asked::For(requests),
                (_, true) => Asked::Withheld,
            },
            files: self.files.unwrap_or_default(),
            log: self.log.unwrap_or_default(),
        })
    }
}
