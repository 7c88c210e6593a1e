//! One fact about a run. The progress display, the JSON lines and the summary are all made from
//! events; the dispatcher alone orders and stamps them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChannelWrite, Ending, Executor, Totals, Trace, Usage};
use crate::digest::Digest;
use crate::id::{AttemptId, RunId};

/// One fact about a run, with its place in the order of all facts.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Counts from 0 within a run, without gaps.
    pub sequence: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub time: u64,
    /// What it is about; none for facts about the run as a whole.
    pub place: Option<Place>,
    /// The fact.
    pub fact: Fact,
}

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The group.
    pub group: Option<Arc<str>>,
    /// The task; none for facts about a group as a whole.
    pub task: Option<Arc<str>>,
    /// The branch's position in the group.
    pub index: Option<u32>,
    /// Which attempt of the branch, from 1.
    pub attempt: Option<u32>,
    /// The executor.
    pub executor: Option<Executor>,
    /// Of an attempt that ended: which of the executor's workers had it, where it has any.
    pub worker: Option<Arc<str>>,
    /// The attempt as executors know it, for facts about one. None where its branch ended without any.
    pub id: Option<AttemptId>,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// The run began.
    RunStarted(Box<RunStarted>),
    /// A group, or a lone task as a group of one, began. Said again of a group whose branches a task
    /// makes, once they are known.
    GroupStarted {
        /// How many branches it has, if known. 1 for a lone task.
        branches: Option<u64>,
        /// Its bound on attempts handed over at once, if any.
        concurrency: Option<u32>,
    },
    /// Of a group in a resumed run: so many of its branches had succeeded before, and do not run
    /// again. Comes right after its start. Those that had ended otherwise are told as they end now.
    Recorded {
        /// How many.
        succeeded: u64,
    },
    /// An attempt began to execute.
    AttemptStarted,
    /// An attempt ended.
    AttemptEnded {
        /// How.
        ending: Ending,
        /// From hand-over to report.
        elapsed: Duration,
        /// What it used.
        usage: Usage,
        /// Whether the cache answered, and nothing executed.
        cached: bool,
        /// What is to be said of an ending other than succeeded.
        error: Option<Arc<str>>,
        /// When it will be attempted again, if it will.
        retry_in: Option<Duration>,
    },
    /// A branch, a lone task, or a task that splits or merges, which has no index, ended for good.
    TaskEnded {
        /// How.
        ending: Ending,
        /// How many attempts it took.
        attempts: u32,
        /// What is to be said of an ending other than succeeded.
        error: Option<Arc<str>>,
    },
    /// A group, or a lone task as a group of one, ended.
    GroupEnded {
        /// How.
        status: Status,
        /// Its branches by their ending.
        counts: Counts,
        /// The group that it is in, if any: the counts of that one have it as one branch.
        within: Option<Arc<str>>,
        /// From its start.
        elapsed: Duration,
        /// The sums over its attempts.
        totals: Box<Totals>,
        /// Why it was skipped, or failed other than by a branch of its own.
        reason: Option<Arc<str>>,
    },
    /// A line from a guest.
    Log {
        /// How much it matters.
        level: Level,
        /// Where the guest wrote it.
        stream: Stream,
        /// The line, without its end. May hold anything, escape sequences included.
        message: Arc<str>,
        /// Whether this is the mark of lines that were cut, after which none follow.
        cut: bool,
    },
    /// How far an attempt has come.
    Progress {
        /// Units done.
        done: u64,
        /// Of so many, where that is known.
        total: Option<u64>,
        /// What is being done.
        message: Option<Arc<str>>,
    },
    /// A figure of an attempt that succeeded. Told before the attempt's end, where successes are.
    Metric {
        /// The figure's name.
        name: Arc<str>,
        /// The attempt's sum.
        amount: f64,
    },
    /// What an attempt asked for takes effect.
    Flow {
        /// `next`, `iterate`, `goto`, `finish` or `abort`.
        request: &'static str,
        /// The task that starts, if one does.
        target: Option<Arc<str>>,
    },
    /// An attempt changed the run's channel. Nothing in it is redacted, since the channel is made anew
    /// of it.
    ChannelWrite(Box<ChannelWrite>),
    /// Something that people should know of and that stops nothing.
    Warning {
        /// What kind, for programs.
        kind: Warning,
        /// In words.
        message: Arc<str>,
    },
    /// The run ended. The last event.
    RunEnded {
        /// How.
        status: Status,
        /// All branches and lone tasks by their ending.
        counts: Counts,
        /// From its start.
        elapsed: Duration,
        /// The sums over all attempts.
        totals: Box<Totals>,
    },
}

/// What is known when a run begins.
#[derive(Clone, PartialEq, Debug)]
pub struct RunStarted {
    /// The run's id.
    pub run: RunId,
    /// The workflow's name.
    pub name: Arc<str>,
    /// Of the workflow file.
    pub workflow: Digest,
    /// Aliases and digests.
    pub components: Vec<(Arc<str>, Digest)>,
    /// Names and values, as JSON; secrets are redacted.
    pub inputs: Vec<(Arc<str>, serde_json::Value)>,
    /// Names of the tasks and groups that will run, in the file's order.
    pub nodes: Vec<Arc<str>>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
}

/// How a group or a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Waits for what it needs.
    Pending,
    /// Has begun.
    Running,
    /// All that it required succeeded.
    Succeeded,
    /// Fell short.
    Failed,
    /// Was cancelled.
    Cancelled,
    /// Never began: its `when` was false, or what it needs has no value.
    Skipped,
}

impl Status {
    /// The word of the vocabulary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// Branches by their ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Ended succeeded.
    pub succeeded: u64,
    /// Ended failed, trapped, timed-out, rejected or lost.
    pub failed: u64,
    /// Ended cancelled.
    pub cancelled: u64,
    /// Of those that succeeded, how many the cache answered.
    pub cached: u64,
}

impl Counts {
    /// Counts one more branch.
    pub fn add(&mut self, ending: Ending) {
        match ending {
            Ending::Succeeded => self.succeeded += 1,
            Ending::Failed | Ending::Trapped | Ending::TimedOut | Ending::Rejected | Ending::Lost => {
                self.failed += 1
            }
            Ending::Cancelled => self.cancelled += 1,
        }
    }

    /// Those of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            cancelled: self.cancelled + other.cancelled,
            cached: self.cached + other.cached,
        }
    }

    /// The share of what ended that succeeded, from 0 to 1; none where nothing ended.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        (self.ended() > 0).then(|| self.succeeded as f64 / self.ended() as f64)
    }

    /// All that ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }
}

/// How much a line matters, least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Of interest to the guest's author.
    Trace,
    /// Of interest when something is wrong.
    Debug,
    /// Of general interest.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

impl Level {
    /// In lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Where a guest wrote a line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output, at level info.
    Stdout,
    /// Standard error, at level info.
    Stderr,
    /// `flowhost:task/log` or `wasi:logging`.
    Log,
}

impl Stream {
    /// In lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
        }
    }
}

/// What kind of warning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The pool of instances cannot hold a component, which therefore runs slower.
    PoolTooSmall,
    /// Outcomes cannot be kept in the cache: the next run executes their calls again.
    CacheFailed,
    /// A reporter failed and is left out from here on.
    ReporterFailed,
    /// The run was asked to stop.
    Interrupted,
    /// A group's attempts failed one after the other and are held back.
    BreakerOpened,
    /// A probe succeeded, and a group's attempts go on.
    BreakerClosed,
    /// Figures of so many names were reported that some are missing in the totals.
    MetricsDropped,
    /// What is recorded of a run counts no longer.
    RunsAgain,
    /// A component is being compiled, which may take a while. Nothing is wrong.
    Compiling,
    /// No file matches the pattern of a group's items, so that it has no branches.
    NoFiles,
    /// A group's executor cannot be reached, and it runs elsewhere.
    Fallback,
    /// The kernel does not confine children to what was granted, or not fully.
    Unconfined,
    /// Nobody is there to execute what is queued. It waits.
    NoWorkers,
    /// Redis does not answer, or not as it should. What is queued waits.
    RedisUnavailable,
    /// Redis may lose what is queued, the way it is set up.
    RedisSettings,
    /// Redis came back without what was queued.
    QueueStateLost,
    /// Somebody without the run's key answered for a worker.
    Forged,
    /// A node cannot be reached at the moment, or its worker was lost. It is tried again.
    NodeUnreachable,
    /// A node cannot be used, and gets nothing more.
    NodeLeftOut,
    /// Values are so large that their way to a node and back shows.
    LargeValues,
    /// flowhost is being put on a node, which may take a while. Nothing is wrong.
    Deploying,
}

impl Warning {
    /// Whether it says only that something takes a while.
    #[must_use]
    pub fn is_a_notice(self) -> bool {
        matches!(self, Self::Compiling | Self::Deploying)
    }

    /// In kebab-case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PoolTooSmall => "pool-too-small",
            Self::CacheFailed => "cache-failed",
            Self::ReporterFailed => "reporter-failed",
            Self::Interrupted => "interrupted",
            Self::BreakerOpened => "breaker-opened",
            Self::BreakerClosed => "breaker-closed",
            Self::MetricsDropped => "metrics-dropped",
            Self::RunsAgain => "runs-again",
            Self::Compiling => "compiling",
            Self::NoFiles => "no-files",
            Self::Fallback => "fallback",
            Self::Unconfined => "unconfined",
            Self::NoWorkers => "no-workers",
            Self::RedisUnavailable => "redis-unavailable",
            Self::RedisSettings => "redis-settings",
            Self::QueueStateLost => "queue-state-lost",
            Self::NodeUnreachable => "node-unreachable",
            Self::NodeLeftOut => "node-left-out",
            Self::LargeValues => "large-values",
            Self::Deploying => "deploying",
            Self::Forged => "forged",
        }
    }
}
