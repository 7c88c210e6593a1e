//! What a trace shows of a run: spans as plain data, and the reporter that makes them of events. Knows nothing of how
//! they reach whoever keeps them.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Exporter, Interest, Reporter};
use crate::model::{Ending, Event, Fact, Place, SpanId, Status, Trace, TraceId, TraceParent};

/// Bytes of an error that a span tells at most, about.
const ERROR: usize = 1000;

/// Something that took a while.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// The trace that it is in.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// What it is a part of, and whether that is another process's.
    pub parent: Option<(SpanId, bool)>,
    /// What it is to its parent and children.
    pub kind: SpanKind,
    /// What it is called: one name for all of its sort.
    pub name: String,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is to be known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// A span of another trace that it goes back to.
    pub link: Option<TraceParent>,
}

/// What a span is to its parent and children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanKind {
    /// Work within one process.
    Internal,
    /// Work that others are asked to do.
    Client,
    /// Work done for another process.
    Server,
}

/// What is known of a span under a name.
#[derive(Clone, PartialEq, Debug)]
pub enum Attribute {
    /// Text.
    Text(Arc<str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&Arc<str>> for Attribute {
    fn from(text: &Arc<str>) -> Self {
        Self::Text(Arc::clone(text))
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Span {
    /// Says how an attempt ended.
    pub(crate) fn ended(&mut self, ending: Ending, error: Option<&str>) {
        self.attributes.push(("flowhost.outcome", ending.name().into()));
        if ending != Ending::Succeeded {
            self.attributes.push(("error.type", ending.name().into()));
            self.error = Some(shortened(error.unwrap_or_else(|| ending.name())));
        }
    }
}

/// As much of a text as a span tells.
fn shortened(text: &str) -> String {
    let end = (0..=ERROR.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let cut = if end < text.len() { "…" } else { "" };
    format!("{}{cut}", text.get(..end).unwrap_or_default())
}

/// Makes spans of a run's events: one of the run, one of each task and group that began, one of each attempt.
pub struct RunSpans {
    exporter: Arc<Exporter>,
    /// The span that the run is a part of.
    within: Option<TraceParent>,
    run: Option<OpenRun>,
}

/// A run that has begun and not ended, in a trace that is recorded.
struct OpenRun {
    trace: TraceId,
    span: SpanId,
    began: SystemTime,
    attributes: Vec<(&'static str, Attribute)>,
    /// When tasks and groups began that have not ended, by their names.
    nodes: HashMap<Arc<str>, SystemTime>,
}

impl RunSpans {
    /// For `exporter`. `within` is what the run is a part of, if anything.
    #[must_use]
    pub fn new(exporter: Arc<Exporter>, within: Option<TraceParent>) -> Self {
        Self { exporter, within, run: None }
    }

    fn one(&mut self, event: &Event) {
        let time = UNIX_EPOCH + Duration::from_micros(event.time);
        if let Fact::RunStarted(started) = &event.fact {
            let attributes = vec![
                ("flowhost.run", Attribute::from(&started.run.0)),
                ("flowhost.workflow", (&started.name).into()),
            ];
            let sampled = started.trace.filter(|trace: &Trace| trace.sampled);
            // Without random bytes there is no run either.
            self.run = sampled.zip(SpanId::random()).map(|(trace, span)| OpenRun {
                trace: trace.id,
                span,
                began: time,
                attributes,
                nodes: HashMap::new(),
            });
        }
        if let Fact::RunEnded { status, .. } = &event.fact {
            self.close(time, *status);
        }
        if let Some(span) = self.run.as_mut().and_then(|run| run.span_of(event, time)) {
            self.exporter.take(span);
        }
    }

    /// The run ended.
    fn close(&mut self, end: SystemTime, status: Status) {
        let Some(OpenRun { trace, span, began, mut attributes, .. }) = self.run.take() else { return };
        attributes.push(("flowhost.status", status.name().into()));
        let same = |within: &TraceParent| within.trace.id == trace;
        self.exporter.take(Span {
            trace,
            id: span,
            parent: self.within.filter(same).map(|within| (within.span, true)),
            kind: SpanKind::Internal,
            name: "run".to_owned(),
            start: began,
            end,
            attributes,
            error: (status != Status::Succeeded).then(|| status.name().to_owned()),
            link: self.within.filter(|within| !same(within)),
        });
    }
}

impl OpenRun {
    /// The span of a task or group of this name.
    fn named(&self, name: &str) -> SpanId {
        SpanId::of_name(self.span, name)
    }

    /// The span that ends with this event.
    fn span_of(&mut self, event: &Event, end: SystemTime) -> Option<Span> {
        let place = event.place.as_ref()?;
        match &event.fact {
            Fact::AttemptEnded { ending, elapsed, cached, error, .. } => {
                let mut span = self.attempt(place, *elapsed, end)?;
                if *cached {
                    span.kind = SpanKind::Internal;
                    span.attributes.push(("flowhost.cached", Attribute::Flag(true)));
                }
                span.ended(*ending, error.as_deref());
                Some(span)
            }
            // It is said again of a group whose branches a task makes.
            Fact::GroupStarted { .. } => {
                let name = place.group.as_ref().or(place.task.as_ref())?;
                self.nodes.entry(Arc::clone(name)).or_insert(end);
                None
            }
            // What was skipped took no time.
            Fact::GroupEnded { status: Status::Skipped, .. } => None,
            Fact::GroupEnded { status, counts, within, elapsed, reason, .. } => {
                let (key, name) = match (&place.group, &place.task) {
                    (Some(group), _) => ("flowhost.group", group),
                    (None, task) => ("flowhost.task", task.as_ref()?),
                };
                let began = self.nodes.remove(name);
                let parent = within.as_ref().map_or(self.span, |outer| self.named(outer));
                let attributes = vec![
                    (key, name.into()),
                    ("flowhost.status", status.name().into()),
                    ("flowhost.branches.succeeded", counts.succeeded.into()),
                    ("flowhost.branches.failed", counts.failed.into()),
                    ("flowhost.branches.cancelled", counts.cancelled.into()),
                ];
                let failed =
                    (*status != Status::Succeeded).then(|| reason.as_deref().unwrap_or(status.name()));
                Some(Span {
                    trace: self.trace,
                    id: self.named(name),
                    parent: Some((parent, false)),
                    kind: SpanKind::Internal,
                    name: name.to_string(),
                    start: began.unwrap_or_else(|| before(end, *elapsed)),
                    end,
                    attributes,
                    error: failed.map(shortened),
                    link: None,
                })
            }
            Fact::RunStarted(_)
            | Fact::Recorded { .. }
            | Fact::AttemptStarted
            | Fact::TaskEnded { .. }
            | Fact::Log { .. }
            | Fact::Progress { .. }
            | Fact::Metric { .. }
            | Fact::Flow { .. }
            | Fact::ChannelWrite(_)
            | Fact::Warning { .. }
            | Fact::RunEnded { .. } => None,
        }
    }

    /// Of an attempt, but for how it ended.
    fn attempt(&self, place: &Place, elapsed: Duration, end: SystemTime) -> Option<Span> {
        let id = place.id?;
        let task = place.task.as_ref()?;
        let mut attributes = vec![("flowhost.task", Attribute::from(task))];
        attributes.extend(place.group.as_ref().map(|group| ("flowhost.group", group.into())));
        attributes.extend(place.index.map(|index| ("flowhost.index", u64::from(index).into())));
        attributes.push(("flowhost.attempt", u64::from(id.number).into()));
        attributes.extend(place.executor.as_ref().map(|on| ("flowhost.executor", on.name().into())));
        attributes.extend(place.worker.as_ref().map(|worker| ("flowhost.worker", worker.into())));
        let node = place.group.as_ref().unwrap_or(task);
        // Events are stamped a little later than what they tell of is timed.
        let start = before(end, elapsed).max(self.nodes.get(node).copied().unwrap_or(UNIX_EPOCH));
        Some(Span {
            trace: self.trace,
            id: SpanId::of_attempt(self.trace, id),
            parent: Some((self.named(node), false)),
            kind: SpanKind::Client,
            name: format!("attempt {task}"),
            start,
            end,
            attributes,
            error: None,
            link: None,
        })
    }
}

fn before(end: SystemTime, elapsed: Duration) -> SystemTime {
    end.checked_sub(elapsed).unwrap_or(UNIX_EPOCH)
}

impl Reporter for RunSpans {
    fn interest(&self) -> Interest {
        Interest { successes: true, ..Interest::default() }
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        events.iter().for_each(|event| self.one(event));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        // A run that could not go on has no last event.
        self.close(SystemTime::now(), Status::Failed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"é".repeat(ERROR));
        assert_eq!(long, format!("{}…", "é".repeat(ERROR / 2)));
    }
}
