//! Hands spans to an OpenTelemetry collector by OTLP, as the standard variables say. A thread of its own does it:
//! nobody waits for a collector, and what it does not take in time is dropped and counted.

mod client;
mod sampling;
mod variables;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::time::Duration;

use opentelemetry::trace::{
    Link, SpanContext, SpanId as OtelSpanId, SpanKind as OtelKind, Status, TraceFlags,
    TraceId as OtelTraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::client::Client;
use self::sampling::Sampling;
use self::variables::{Batches, Variables};
use super::{Attribute, ExportError, Span, SpanKind};
use crate::model::{SpanId, TraceId};

/// Hands spans to a collector.
pub struct Exporter {
    queue: mpsc::Sender<Span>,
    flushes: mpsc::UnboundedSender<std_mpsc::Sender<()>>,
    sampling: Sampling,
    losses: Arc<Losses>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// Spans that no collector took.
#[derive(Default)]
struct Losses {
    /// Because too many waited.
    dropped: AtomicU64,
    /// Because they could not be handed over.
    refused: AtomicU64,
    /// Why the last of those could not.
    reason: Mutex<Option<String>>,
}

impl Exporter {
    /// As the `OTEL_…` variables of the environment say. None where none of them says where spans go, or one says
    /// that they go nowhere.
    ///
    /// # Errors
    /// Fails when a variable makes no sense, or the thread does not start.
    pub fn from_environment() -> Result<Option<Arc<Self>>, ExportError> {
        let Some(variables) = Variables::read(&|name| std::env::var(name).ok())? else { return Ok(None) };
        let Variables { sampling, batches, timeout, certificate } = variables;
        let client = Client::new(certificate.as_deref(), timeout)?;
        let failure = client.failure();
        let exporter = SpanExporter::builder().with_http().with_http_client(client);
        // Whoever waits would be a batch that others wait behind.
        let exporter = exporter.with_retry_policy(RetryPolicy::disabled()).build();
        let mut exporter = exporter.map_err(|error| ExportError::Exporter(error.to_string()))?;
        exporter.set_resource(&resource());
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let threads = threads.map_err(ExportError::Threads)?;
        let (queue, spans) = mpsc::channel(batches.waiting);
        let (flushes, asked) = mpsc::unbounded_channel();
        let losses = Arc::new(Losses::default());
        let work = Work { exporter, batches, spans, asked, losses: Arc::clone(&losses), failure };
        let thread = std::thread::Builder::new().name("flowhost-spans".to_owned());
        thread.spawn(move || threads.block_on(work.run())).map_err(ExportError::Threads)?;
        Ok(Some(Arc::new(Self { queue, flushes, sampling, losses })))
    }

    /// Whether a trace is recorded, where whoever began it says whether it is, if anybody else did.
    #[must_use]
    pub fn samples(&self, trace: TraceId, inherited: Option<bool>) -> bool {
        self.sampling.samples(trace, inherited)
    }

    /// Takes a span, or drops it where too many wait. Never blocks.
    pub fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.losses.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many spans were lost since it was last asked, and why; none where none were.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let dropped = self.losses.dropped.swap(0, Ordering::Relaxed);
        let refused = self.losses.refused.swap(0, Ordering::Relaxed);
        let reason = self.losses.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
        let many = (dropped > 0).then(|| {
            format!("{dropped} were too many at once: OTEL_BSP_MAX_QUEUE_SIZE says how many may wait")
        });
        let all: Vec<String> = reason.into_iter().chain(many).collect();
        let how_many = match dropped + refused {
            0 => "some spans".to_owned(),
            1 => "1 span".to_owned(),
            count => format!("{count} spans"),
        };
        (!all.is_empty()).then(|| format!("{how_many} reached no collector: {}", all.join("; ")))
    }

    /// Waits until all spans are handed over or lost, at most so long. What is left then is lost.
    pub fn flush(&self, within: Duration) {
        let (done, flushed) = std_mpsc::channel();
        if self.flushes.send(done).is_ok()
            && flushed.recv_timeout(within) == Err(std_mpsc::RecvTimeoutError::Timeout)
        {
            let mut reason = self.losses.reason.lock().unwrap_or_else(PoisonError::into_inner);
            reason.get_or_insert_with(|| format!("the collector did not take all of them in {within:?}"));
        }
    }
}

/// Who says what: flowhost, unless the environment says otherwise, with what it says besides.
fn resource() -> Resource {
    let named = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let in_attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES")
        .is_ok_and(|all| all.split(',').any(|one| one.trim_start().starts_with("service.name=")));
    let resource = Resource::builder();
    let resource = match named("OTEL_SERVICE_NAME") || in_attributes {
        true => resource,
        false => resource.with_service_name("flowhost"),
    };
    let about = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    resource.with_attributes(about).build()
}

/// What the thread works with.
struct Work {
    exporter: SpanExporter,
    batches: Batches,
    spans: mpsc::Receiver<Span>,
    asked: mpsc::UnboundedReceiver<std_mpsc::Sender<()>>,
    losses: Arc<Losses>,
    /// Why the last request failed.
    failure: Arc<Mutex<Option<String>>>,
}

impl Work {
    /// Hands spans over until nobody has any more.
    async fn run(mut self) {
        let scope = InstrumentationScope::builder("flowhost").with_version(env!("CARGO_PKG_VERSION")).build();
        let mut batch: Vec<SpanData> = Vec::new();
        let mut due = Instant::now() + self.batches.delay;
        loop {
            let mut some = Vec::new();
            let room = self.batches.together.saturating_sub(batch.len()).max(1);
            let mut done = None;
            tokio::select! {
                count = self.spans.recv_many(&mut some, room) => {
                    if count == 0 {
                        return self.hand_over(&mut batch).await;
                    }
                    if batch.is_empty() {
                        due = Instant::now() + self.batches.delay;
                    }
                }
                () = tokio::time::sleep_until(due), if !batch.is_empty() => {}
                Some(asked) = self.asked.recv() => done = Some(asked),
            }
            batch.extend(some.into_iter().map(|span| data(span, &scope)));
            if let Some(done) = done {
                while let Ok(span) = self.spans.try_recv() {
                    batch.push(data(span, &scope));
                    if batch.len() >= self.batches.together {
                        self.hand_over(&mut batch).await;
                    }
                }
                self.hand_over(&mut batch).await;
                // Who asked may be gone.
                let _ = done.send(());
            } else if batch.len() >= self.batches.together || Instant::now() >= due {
                self.hand_over(&mut batch).await;
            }
        }
    }

    async fn hand_over(&self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let handed = self.exporter.export(std::mem::take(batch));
        let error = match tokio::time::timeout(self.batches.timeout, handed).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the collector did not answer in {:?}", self.batches.timeout),
        };
        // The exporter's own words do not say what is wrong with the connection.
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.losses.refused.fetch_add(count, Ordering::Relaxed);
        let mut reason = self.losses.reason.lock().unwrap_or_else(PoisonError::into_inner);
        *reason = Some(failure.unwrap_or(error));
    }
}

fn context(trace: TraceId, span: SpanId, remote: bool) -> SpanContext {
    SpanContext::new(
        OtelTraceId::from_bytes(*trace.as_bytes()),
        OtelSpanId::from_bytes(*span.as_bytes()),
        TraceFlags::SAMPLED,
        remote,
        TraceState::NONE,
    )
}

fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let Span { trace, id, parent, kind, name, start, end, attributes, error, link } = span;
    let attributes = attributes.into_iter().map(|(name, attribute)| {
        let value = match attribute {
            Attribute::Text(text) => Value::from(text.to_string()),
            Attribute::Number(number) => Value::from(number),
            Attribute::Flag(flag) => Value::from(flag),
        };
        KeyValue::new(name, value)
    });
    let mut links = SpanLinks::default();
    let link = link.map(|link| Link::new(context(link.trace.id, link.span, true), Vec::new(), 0));
    links.links.extend(link);
    SpanData {
        span_context: context(trace, id, false),
        parent_span_id: parent.map_or(OtelSpanId::INVALID, |(id, _)| OtelSpanId::from_bytes(*id.as_bytes())),
        parent_span_is_remote: parent.is_some_and(|(_, remote)| remote),
        span_kind: match kind {
            SpanKind::Internal => OtelKind::Internal,
            SpanKind::Client => OtelKind::Client,
            SpanKind::Server => OtelKind::Server,
        },
        name: name.into(),
        start_time: start,
        end_time: end,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}
