//! A run told by hand, and a writer whose text can be read back.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::digest::Digest;
use crate::id::RunId;
use crate::model::{
    Counts, Ending, Event, Fact, Level, Metrics, Place, RunStarted, Status, Stream, Totals, Trace, TraceId,
    Usage, Warning,
};
use crate::report::Reporter;

/// What was written, for the test that gave the writer away.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub(super) fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that nobody reads.
pub(super) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells events, ten milliseconds apart.
#[derive(Default)]
pub(super) struct Teller {
    pub(super) events: Vec<Event>,
    /// Milliseconds since the run's start.
    pub(super) now: u64,
}

/// 2026-01-02T03:04:05Z
const START: u64 = 1_767_323_045_000_000;

impl Teller {
    pub(super) fn tell(&mut self, place: Option<Place>, fact: Fact) -> &mut Self {
        let sequence = self.events.len() as u64;
        self.events.push(Event { sequence, time: START + self.now * 1_000, place, fact });
        self.now += 10;
        self
    }

    pub(super) fn to(&self, reporter: &mut dyn Reporter) {
        reporter.report(&self.events).unwrap();
    }

    pub(super) fn run_started(&mut self) -> &mut Self {
        let run = RunStarted {
            run: RunId(Arc::from("20260102-030405-abc123")),
            name: Arc::from("wordcount"),
            workflow: Digest::of(b"workflow"),
            components: vec![(Arc::from("text"), Digest::of(b"text"))],
            inputs: vec![(Arc::from("book"), serde_json::json!({"path": "a.txt"}))],
            nodes: vec![Arc::from("split"), Arc::from("counts")],
            trace: TraceId::from_bytes([7; 16]).map(|id| Trace { id, sampled: true }),
        };
        self.tell(None, Fact::RunStarted(Box::new(run)))
    }

    pub(super) fn run_ended(&mut self, status: Status, counts: Counts) -> &mut Self {
        self.tell(
            None,
            Fact::RunEnded { status, counts, elapsed: Duration::from_millis(1_230), totals: totals(1_100) },
        )
    }

    pub(super) fn group_started(&mut self, place: Place, branches: u64) -> &mut Self {
        self.tell(Some(place), Fact::GroupStarted { branches: Some(branches), concurrency: None })
    }

    pub(super) fn group_ended(&mut self, place: Place, status: Status, counts: Counts) -> &mut Self {
        let elapsed = Duration::from_millis(1_200);
        self.tell(
            Some(place),
            Fact::GroupEnded { status, counts, within: None, elapsed, totals: totals(1_200), reason: None },
        )
    }

    /// A group in another.
    pub(super) fn member_ended(
        &mut self,
        place: Place,
        within: &str,
        status: Status,
        counts: Counts,
    ) -> &mut Self {
        let (within, elapsed) = (Some(Arc::from(within)), Duration::from_millis(1_200));
        self.tell(
            Some(place),
            Fact::GroupEnded { status, counts, within, elapsed, totals: totals(1_200), reason: None },
        )
    }

    pub(super) fn group_ended_because(&mut self, place: Place, status: Status, reason: &str) -> &mut Self {
        let elapsed = Duration::ZERO;
        let (counts, reason) = (Counts::default(), Some(Arc::from(reason)));
        let totals = totals(0);
        self.tell(Some(place), Fact::GroupEnded { status, counts, within: None, elapsed, totals, reason })
    }

    /// A group or lone task that went well, with its figures.
    pub(super) fn group_ended_with(&mut self, place: Place, figures: &[(&str, f64)]) -> &mut Self {
        let totals = Box::new(Totals { metrics: metrics(figures), ..*totals(1_200) });
        let (status, counts, elapsed) = (Status::Succeeded, counts(3, 0, 0), Duration::from_millis(1_200));
        self.tell(
            Some(place),
            Fact::GroupEnded { status, counts, within: None, elapsed, totals, reason: None },
        )
    }

    /// A run that went well, with its figures.
    pub(super) fn run_ended_with(&mut self, figures: &[(&str, f64)]) -> &mut Self {
        let totals = Box::new(Totals { metrics: metrics(figures), fuel: Some(5_000), ..*totals(1_100) });
        let (status, counts, elapsed) = (Status::Succeeded, counts(3, 0, 0), Duration::from_millis(1_230));
        self.tell(None, Fact::RunEnded { status, counts, elapsed, totals })
    }

    pub(super) fn started(&mut self, place: Place) -> &mut Self {
        self.tell(Some(place), Fact::AttemptStarted)
    }

    pub(super) fn attempt_ended(
        &mut self,
        place: Place,
        ending: Ending,
        error: Option<&str>,
        retry_in: Option<u64>,
    ) -> &mut Self {
        let usage = Usage { wall: Duration::from_micros(11_500), peak_memory: 65_536, ..Usage::default() };
        let retry_in = retry_in.map(Duration::from_millis);
        // It waited before its guest ran.
        let elapsed = Duration::from_millis(40);
        let error = error.map(Arc::from);
        self.tell(Some(place), Fact::AttemptEnded { ending, elapsed, usage, cached: false, error, retry_in })
    }

    pub(super) fn task_ended(&mut self, place: Place, ending: Ending, error: Option<&str>) -> &mut Self {
        let attempts = place.attempt.unwrap_or(0);
        self.tell(Some(place), Fact::TaskEnded { ending, attempts, error: error.map(Arc::from) })
    }

    /// The end of an attempt, and of its branch with it.
    pub(super) fn ended(&mut self, place: Place, ending: Ending, error: Option<&str>) -> &mut Self {
        self.attempt_ended(place.clone(), ending, error, None).task_ended(place, ending, error)
    }

    pub(super) fn log(&mut self, place: Place, level: Level, stream: Stream, message: &str) -> &mut Self {
        self.tell(Some(place), Fact::Log { level, stream, message: Arc::from(message), cut: false })
    }

    pub(super) fn prints(&mut self, place: Place, message: &str) -> &mut Self {
        self.log(place, Level::Info, Stream::Stdout, message)
    }

    pub(super) fn warning(&mut self, message: &str) -> &mut Self {
        self.tell(None, Fact::Warning { kind: Warning::Interrupted, message: Arc::from(message) })
    }
}

/// So many milliseconds in guests.
fn totals(guest: u64) -> Box<Totals> {
    Box::new(Totals { guest: Duration::from_millis(guest), ..Totals::default() })
}

fn metrics(figures: &[(&str, f64)]) -> Metrics {
    let mut metrics = Metrics::default();
    for (name, amount) in figures {
        metrics.add(name, *amount).unwrap();
    }
    metrics
}

/// A lone task.
pub(super) fn task(name: &str) -> Place {
    Place { task: Some(Arc::from(name)), ..Place::default() }
}

/// An attempt of a lone task.
pub(super) fn task_attempt(name: &str, number: u32) -> Place {
    Place { attempt: Some(number), executor: Some("in-process".into()), ..task(name) }
}

/// The group `counts`.
pub(super) fn group() -> Place {
    Place { group: Some(Arc::from("counts")), ..Place::default() }
}

/// An attempt in the group `counts`, of the task `count`.
pub(super) fn branch(index: u32, number: u32) -> Place {
    Place { index: Some(index), ..Place { group: group().group, ..task_attempt("count", number) } }
}

pub(super) fn counts(succeeded: u64, failed: u64, cancelled: u64) -> Counts {
    Counts { succeeded, failed, cancelled, cached: 0 }
}
