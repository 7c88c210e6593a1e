//! The display for programs: one JSON object a line, as the documentation of events has it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::text::is_harmless;
use super::{Interest, Reporter};
use crate::id::RunId;
use crate::model::{ChannelChange, Counts, Event, Executor, Fact, Metrics, RunStarted, Totals, TraceId};

/// Of the lines' form. It changes when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// Times with microseconds, always, so that they sort as text.
static TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Prints every event as one JSON object a line. Fields that do not apply are left out; durations are
/// in seconds. Characters that a terminal would obey are escaped, which JSON readers undo.
pub struct JsonLines {
    out: Box<dyn Write + Send>,
    run: Option<RunId>,
    buffer: Vec<u8>,
}

impl JsonLines {
    /// Prints to `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, run: None, buffer: Vec::new() }
    }
}

impl Reporter for JsonLines {
    fn interest(&self) -> Interest {
        Interest { starts: true, successes: true, logs: true, progress: true, writes: false }
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        self.buffer.clear();
        for event in events {
            if let Fact::RunStarted(started) = &event.fact {
                self.run = Some(started.run.clone());
            }
            let line = Line::new(event, self.run.as_ref())?;
            line.serialize(&mut serde_json::Serializer::with_formatter(&mut self.buffer, Harmless))?;
            self.buffer.push(b'\n');
        }
        self.out.write_all(&self.buffer)?;
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    seq: u64,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(flatten)]
    further: Further<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum Further<'a> {
    RunStarted {
        flowhost_version: &'static str,
        name: &'a str,
        workflow: String,
        #[serde(serialize_with = "write_components")]
        components: &'a RunStarted,
        #[serde(serialize_with = "write_inputs")]
        inputs: &'a RunStarted,
        #[serde(serialize_with = "write_nodes")]
        nodes: &'a RunStarted,
        #[serde(skip_serializing_if = "Option::is_none")]
        trace: Option<TraceId>,
    },
    GroupStarted {
        #[serde(skip_serializing_if = "Option::is_none")]
        branches: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        concurrency: Option<u32>,
    },
    Recorded {
        succeeded: u64,
    },
    Flow {
        request: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<&'a str>,
    },
    AttemptStarted {},
    AttemptEnded {
        outcome: &'static str,
        seconds: f64,
        guest_seconds: f64,
        peak_memory: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        fuel: Option<u64>,
        cached: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_in: Option<f64>,
    },
    TaskEnded {
        outcome: &'static str,
        attempts: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
    GroupEnded {
        status: &'static str,
        #[serde(flatten)]
        counts: Counts,
        #[serde(skip_serializing_if = "Option::is_none")]
        within: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        success_rate: Option<f64>,
        seconds: f64,
        #[serde(flatten)]
        totals: Sums<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Log {
        level: &'static str,
        stream: &'static str,
        message: &'a str,
        cut: bool,
    },
    Progress {
        done: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a str>,
    },
    Metric {
        name: &'a str,
        value: f64,
    },
    ChannelWrite {
        write: u64,
        operation: &'static str,
        bytes: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<u64>,
    },
    Warning {
        kind: &'static str,
        message: &'a str,
    },
    RunEnded {
        status: &'static str,
        #[serde(flatten)]
        counts: Counts,
        #[serde(skip_serializing_if = "Option::is_none")]
        success_rate: Option<f64>,
        seconds: f64,
        #[serde(flatten)]
        totals: Sums<'a>,
    },
}

/// Sums over attempts.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Sums<'a> {
    guest_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(skip_serializing_if = "Metrics::is_empty", serialize_with = "write_metrics")]
    metrics: &'a Metrics,
}

impl<'a> From<&'a Totals> for Sums<'a> {
    fn from(totals: &'a Totals) -> Self {
        let Totals { guest, fuel, metrics } = totals;
        Self { guest_seconds: guest.as_secs_f64(), fuel: *fuel, metrics }
    }
}

impl<'a> Line<'a> {
    fn new(event: &'a Event, run: Option<&'a RunId>) -> io::Result<Self> {
        let place = event.place.as_ref();
        Ok(Self {
            version: VERSION,
            seq: event.sequence,
            time: time(event.time)?,
            run: run.map(|run| &*run.0),
            group: place.and_then(|place| place.group.as_deref()),
            task: place.and_then(|place| place.task.as_deref()),
            index: place.and_then(|place| place.index),
            attempt: place.and_then(|place| place.attempt),
            executor: place.and_then(|place| place.executor.as_ref()).map(Executor::name),
            worker: place.and_then(|place| place.worker.as_deref()),
            further: Further::new(&event.fact),
        })
    }
}

impl<'a> Further<'a> {
    fn new(fact: &'a Fact) -> Self {
        match fact {
            Fact::RunStarted(run) => Self::RunStarted {
                flowhost_version: env!("CARGO_PKG_VERSION"),
                name: &run.name,
                workflow: run.workflow.to_string(),
                components: run,
                inputs: run,
                nodes: run,
                trace: run.trace.map(|trace| trace.id),
            },
            Fact::GroupStarted { branches, concurrency } => {
                Self::GroupStarted { branches: *branches, concurrency: *concurrency }
            }
            Fact::Recorded { succeeded } => Self::Recorded { succeeded: *succeeded },
            Fact::AttemptStarted => Self::AttemptStarted {},
            Fact::AttemptEnded { ending, elapsed, usage, cached, error, retry_in } => Self::AttemptEnded {
                outcome: ending.name(),
                seconds: elapsed.as_secs_f64(),
                guest_seconds: usage.wall.as_secs_f64(),
                peak_memory: usage.peak_memory,
                fuel: usage.fuel,
                cached: *cached,
                error: error.as_deref(),
                retry_in: retry_in.as_ref().map(Duration::as_secs_f64),
            },
            Fact::TaskEnded { ending, attempts, error } => {
                Self::TaskEnded { outcome: ending.name(), attempts: *attempts, error: error.as_deref() }
            }
            Fact::GroupEnded { status, counts, within, elapsed, totals, reason } => Self::GroupEnded {
                status: status.name(),
                counts: *counts,
                within: within.as_deref(),
                success_rate: counts.success_rate(),
                seconds: elapsed.as_secs_f64(),
                totals: Sums::from(&**totals),
                reason: reason.as_deref(),
            },
            Fact::Log { level, stream, message, cut } => {
                Self::Log { level: level.name(), stream: stream.name(), message, cut: *cut }
            }
            Fact::Progress { done, total, message } => {
                Self::Progress { done: *done, total: *total, message: message.as_deref() }
            }
            Fact::Metric { name, amount } => Self::Metric { name, value: *amount },
            // Without key and value: the channel may hold secrets, and they are not redacted here.
            Fact::Flow { request, target } => Self::Flow { request, target: target.as_deref() },
            Fact::ChannelWrite(write) => Self::ChannelWrite {
                write: write.sequence,
                operation: write.change.name(),
                bytes: write.change.size(),
                expires: match &write.change {
                    ChannelChange::Set { expires, .. } => *expires,
                    ChannelChange::Append { .. } | ChannelChange::Delete => None,
                },
            },
            Fact::Warning { kind, message } => Self::Warning { kind: kind.name(), message },
            Fact::RunEnded { status, counts, elapsed, totals } => Self::RunEnded {
                status: status.name(),
                counts: *counts,
                success_rate: counts.success_rate(),
                seconds: elapsed.as_secs_f64(),
                totals: Sums::from(&**totals),
            },
        }
    }
}

/// RFC 3339, in UTC, of microseconds since 1970. Fails with a time beyond the year 9999.
fn time(microseconds: u64) -> io::Result<String> {
    let since = i64::try_from(microseconds).map_err(io::Error::other)?;
    let timestamp = Timestamp::from_microsecond(since).map_err(io::Error::other)?;
    Ok(TIME.timestamp_to_string(&timestamp))
}

fn write_components<S: Serializer>(run: &&RunStarted, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(run.components.len()))?;
    for (alias, digest) in &run.components {
        map.serialize_entry(&**alias, &digest.to_string())?;
    }
    map.end()
}

fn write_metrics<S: Serializer>(metrics: &&Metrics, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(metrics.iter().map(|(name, amount)| (&**name, amount)))
}

fn write_inputs<S: Serializer>(run: &&RunStarted, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(run.inputs.iter().map(|(name, value)| (&**name, value)))
}

fn write_nodes<S: Serializer>(run: &&RunStarted, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(run.nodes.iter().map(|name| &**name))
}

/// `value` as JSON on one line, in which no terminal takes anything for more than text.
pub(crate) fn harmless_json(value: &serde_json::Value) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Harmless);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        // A value in memory always serialises.
        Err(_) => String::new(),
    }
}

/// Writes JSON whose strings no terminal takes for anything but text.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|char| !is_harmless(char)) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut chars = after.chars();
            if let Some(char) = chars.next() {
                let mut escaped = String::new();
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").map_err(io::Error::other)?;
                }
                out.write_all(escaped.as_bytes())?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(out, escape)
    }
}
