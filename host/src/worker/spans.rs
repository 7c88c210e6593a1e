//! What a worker tells of the attempts that it executes: a span of each, within the attempt's own, which follows from
//! the trace that came with its call.

use std::sync::Arc;
use std::time::SystemTime;

use crate::id::AttemptId;
use crate::model::{Call, Outcome, SpanId, Trace};
use crate::report::{Exporter, Span, SpanKind};

/// Makes spans of what a worker executes. Does nothing where nobody takes them.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    exporter: Option<Arc<Exporter>>,
    /// The worker's name as its runs tell it, where it has one.
    worker: Option<Arc<str>>,
}

/// An attempt that is recorded.
#[derive(Debug)]
pub(super) struct Traced {
    call: Arc<Call>,
    /// When it began to execute.
    pub(super) began: Option<SystemTime>,
}

impl Spans {
    pub(super) fn new(exporter: Option<Arc<Exporter>>, worker: Option<Arc<str>>) -> Self {
        Self { exporter, worker }
    }

    /// Whether anybody takes them.
    pub(super) fn wanted(&self) -> bool {
        self.exporter.is_some()
    }

    /// What has to be remembered of an attempt of this call: nothing where its trace is not recorded here.
    pub(super) fn traced(&self, call: &Arc<Call>) -> Option<Box<Traced>> {
        let exporter = self.exporter.as_ref()?;
        let Trace { id, sampled } = call.trace?;
        exporter.samples(id, Some(sampled)).then(|| Box::new(Traced { call: Arc::clone(call), began: None }))
    }

    /// An attempt ended, which its run knows by `id`. One that never began is no work of this worker's.
    pub(super) fn ended(&self, traced: Option<Box<Traced>>, id: AttemptId, outcome: &Outcome) {
        let (Some(exporter), Some(traced)) = (&self.exporter, traced) else { return };
        let Traced { call, began } = *traced;
        let (Some(trace), Some(start), Some(span)) = (call.trace, began, SpanId::random()) else { return };
        let mut attributes =
            vec![("flowhost.run", (&call.run.0).into()), ("flowhost.task", (&call.task).into())];
        attributes.extend(call.group.as_ref().map(|group| ("flowhost.group", group.into())));
        if call.group.is_some() {
            attributes.push(("flowhost.index", u64::from(id.branch.index).into()));
        }
        attributes.push(("flowhost.attempt", u64::from(id.number).into()));
        attributes.extend(self.worker.as_ref().map(|worker| ("flowhost.worker", worker.into())));
        let mut span = Span {
            trace: trace.id,
            id: span,
            parent: Some((SpanId::of_attempt(trace.id, id), true)),
            kind: SpanKind::Server,
            name: format!("execute {}", call.task),
            start,
            end: SystemTime::now(),
            attributes,
            error: None,
            link: None,
        };
        // In plain words, and without values: those may be secret, and this worker does not know which are.
        span.ended(outcome.ending(), None);
        exporter.take(span);
    }
}
