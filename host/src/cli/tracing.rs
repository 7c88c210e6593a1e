//! Which trace a command's work belongs to, and who is told of it, as the environment says.

use std::sync::Arc;
use std::time::Duration;

use super::output::say;
use super::progress::Style;
use crate::model::{Trace, TraceId, TraceParent};
use crate::report::{Exporter, RunSpans};

/// How long the end of a command waits for a collector.
const PATIENCE: Duration = Duration::from_secs(5);

/// A run's trace.
pub(super) struct Tracing {
    /// What the run's attempts are told.
    pub(super) trace: Option<Trace>,
    inherited: Option<TraceParent>,
    exporter: Option<Arc<Exporter>>,
    /// Whether somebody reads plain lines on standard error.
    told: bool,
}

impl Tracing {
    /// The trace that `TRACEPARENT` names, or else a new one.
    pub(super) fn begin(style: Style) -> Self {
        let told = style != Style::Json;
        let inherited = inherited(told);
        let exporter = exporter(told);
        let said = inherited.map(|inherited| inherited.trace.sampled);
        let id = inherited.map(|inherited| inherited.trace.id).or_else(TraceId::random);
        let trace = id.map(|id| Trace {
            id,
            sampled: match &exporter {
                Some(exporter) => exporter.samples(id, said),
                None => said.unwrap_or(false),
            },
        });
        Self { trace, inherited, exporter, told }
    }

    /// Who makes spans of the run's events.
    pub(super) fn reporter(&self) -> Option<RunSpans> {
        self.exporter.as_ref().map(|exporter| RunSpans::new(Arc::clone(exporter), self.inherited))
    }

    /// Hands over what is left, and says what was lost.
    pub(super) fn end(self) {
        let Some(trouble) = self.exporter.as_deref().and_then(finish).filter(|_| self.told) else { return };
        say(&format!("warning: {trouble}"));
    }
}

fn inherited(told: bool) -> Option<TraceParent> {
    let text = std::env::var("TRACEPARENT").ok().filter(|text| !text.is_empty())?;
    match text.parse() {
        Ok(parent) => Some(parent),
        Err(failure) => {
            if told {
                say(&format!("warning: TRACEPARENT counts for nothing, and a new trace begins: {failure}"));
            }
            None
        }
    }
}

/// Who takes spans, if the environment wants any to go anywhere.
pub(super) fn exporter(told: bool) -> Option<Arc<Exporter>> {
    match Exporter::from_environment() {
        Ok(exporter) => exporter,
        Err(failure) => {
            if told {
                say(&format!("warning: no spans are exported: {failure}"));
            }
            None
        }
    }
}

/// Hands over what is left. Gives what was lost, in words.
pub(super) fn finish(exporter: &Exporter) -> Option<String> {
    exporter.flush(PATIENCE);
    exporter.trouble()
}
