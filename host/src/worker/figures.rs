//! What a worker counts of itself while it works, for those who watch many of them. Knows nothing of who
//! reads it, and holds no one up who counts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::model::Ending;

/// The upper bounds of the histogram's buckets, in seconds, as they are written. What takes longer than the
/// last is counted in a bucket without bound.
const BUCKETS: [(&str, f64); 17] = [
    ("0.001", 0.001),
    ("0.005", 0.005),
    ("0.01", 0.01),
    ("0.025", 0.025),
    ("0.05", 0.05),
    ("0.1", 0.1),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("1", 1.0),
    ("2.5", 2.5),
    ("5", 5.0),
    ("10", 10.0),
    ("30", 30.0),
    ("60", 60.0),
    ("300", 300.0),
    ("1800", 1800.0),
    ("3600", 3600.0),
];

const ENDINGS: [Ending; 7] = [
    Ending::Succeeded,
    Ending::Failed,
    Ending::Trapped,
    Ending::TimedOut,
    Ending::Cancelled,
    Ending::Rejected,
    Ending::Lost,
];

/// A worker's counters and gauges, shared by all that works in it. Counting takes no lock.
#[derive(Debug)]
pub struct Figures {
    since: Instant,
    lease: Duration,
    started: AtomicU64,
    ended: [AtomicU64; ENDINGS.len()],
    fenced: AtomicU64,
    running: AtomicU64,
    capacity: AtomicU64,
    /// One for each of [`BUCKETS`], and the one without bound.
    seconds: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
    connected: watch::Sender<bool>,
    /// When the connection went, in milliseconds after `since`; 0 where there was none yet.
    gone: AtomicU64,
    draining: AtomicBool,
    /// Rarely written, and by one.
    queues: Mutex<BTreeMap<String, Queue>>,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    waiting: Option<u64>,
    length: u64,
    letters: u64,
}

fn place(ending: Ending) -> usize {
    match ending {
        Ending::Succeeded => 0,
        Ending::Failed => 1,
        Ending::Trapped => 2,
        Ending::TimedOut => 3,
        Ending::Cancelled => 4,
        Ending::Rejected => 5,
        Ending::Lost => 6,
    }
}

fn add(counter: Option<&AtomicU64>, amount: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Figures {
    /// Of a worker that holds attempts for `lease` at a time.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self {
            since: Instant::now(),
            lease,
            started: AtomicU64::default(),
            ended: Default::default(),
            fenced: AtomicU64::default(),
            running: AtomicU64::default(),
            capacity: AtomicU64::default(),
            seconds: Default::default(),
            microseconds: AtomicU64::default(),
            connected: watch::Sender::new(false),
            gone: AtomicU64::default(),
            draining: AtomicBool::default(),
            queues: Mutex::default(),
        }
    }

    /// An attempt began to execute.
    pub fn started(&self) {
        add(Some(&self.started), 1);
        add(Some(&self.running), 1);
    }

    /// An attempt that [`Self::started`] ended so, after it had executed for `took`.
    pub fn ended(&self, ending: Ending, took: Duration) {
        self.unstarted(ending);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|(_, bound)| seconds <= *bound).unwrap_or(BUCKETS.len());
        add(self.seconds.get(bucket), 1);
        add(Some(&self.microseconds), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let one_less = |running: u64| Some(running.saturating_sub(1));
        // It always has a value to put there.
        let _ = self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// An attempt ended so before it began: it was refused, or cancelled while it waited here.
    pub fn unstarted(&self, ending: Ending) {
        add(self.ended.get(place(ending)), 1);
    }

    /// An outcome came too late: the lease was lost, and somebody else's counts. Besides [`Self::ended`].
    pub fn fenced(&self) {
        add(Some(&self.fenced), 1);
    }

    /// So many attempts can execute at once.
    pub fn set_capacity(&self, slots: usize) {
        self.capacity.store(u64::try_from(slots).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What stands in a queue: `length` waits or is held by a worker, of which `waiting` were taken by nobody
    /// yet, where Redis knows.
    pub fn set_queue(&self, queue: &str, waiting: Option<u64>, length: u64, letters: u64) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.insert(queue.to_owned(), Queue { waiting, length, letters });
    }

    /// The queue can be reached, or cannot any more.
    pub fn set_connected(&self, connected: bool) {
        let was = self.connected.send_replace(connected);
        if was && !connected {
            self.gone.store(self.now().max(1), Ordering::Relaxed);
        }
    }

    /// The worker takes nothing more, and ends when what it has is done.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Returns once the queue is reached for the first time.
    pub async fn connected(&self) {
        // The sender lives as long as this does.
        let _ = self.connected.subscribe().wait_for(|connected| *connected).await;
    }

    /// Attempts that execute now, and how many can at once.
    #[must_use]
    pub fn load(&self) -> (u64, u64) {
        (self.running.load(Ordering::Relaxed), self.capacity.load(Ordering::Relaxed))
    }

    /// Whether the worker can do its work: it reaches the queue, or did so within its lease. One that drains
    /// is healthy.
    ///
    /// # Errors
    /// Fails with what is wrong, in words.
    pub fn healthy(&self) -> Result<(), String> {
        if *self.connected.borrow() {
            return Ok(());
        }
        let gone = Duration::from_millis(self.gone.load(Ordering::Relaxed));
        if gone.is_zero() {
            return Err("Redis has not been reached yet".to_owned());
        }
        let without = Duration::from_millis(self.now()).saturating_sub(gone);
        if without <= self.lease {
            return Ok(());
        }
        let (without, lease) = (without.as_secs_f64(), self.lease.as_secs_f64());
        Err(format!("Redis cannot be reached for {without:.1} s, and leases are {lease:.1} s"))
    }

    /// Whether the worker takes nothing more.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// All of it in version 0.0.4 of the [text format] that Prometheus reads.
    ///
    /// [text format]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = Page(String::with_capacity(4096));
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ended: Vec<(Ending, u64)> =
            ENDINGS.iter().zip(&self.ended).map(|(ending, count)| (*ending, read(count))).collect();
        page.family("flowhost_attempts_total", "counter", "Attempts that ended, by their outcome.");
        for (ending, count) in &ended {
            page.sample("flowhost_attempts_total", &[("outcome", ending.name())], count);
        }
        let (running, capacity) = self.load();
        let (started, fenced) = (read(&self.started), read(&self.fenced));
        page.one("flowhost_attempts_started_total", "counter", "Attempts that began to execute.", started);
        page.one(
            "flowhost_fenced_total",
            "counter",
            "Outcomes that came after their lease was lost.",
            fenced,
        );
        page.one("flowhost_running", "gauge", "Attempts that execute now.", running);
        page.one("flowhost_capacity", "gauge", "Attempts that can execute at once.", capacity);
        let free = if self.draining() { 0 } else { capacity.saturating_sub(running) };
        page.one("flowhost_free_capacity", "gauge", "Attempts that could begin now.", free);
        // Nobody's fault is no failure.
        let counted = ended.iter().filter(|(ending, _)| *ending != Ending::Cancelled);
        let all: u64 = counted.map(|(_, count)| count).sum();
        let succeeded = ended.first().map_or(0, |(_, count)| *count);
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits than a float has")]
        let ratio = if all == 0 { f64::NAN } else { succeeded as f64 / all as f64 };
        let help = "Of the attempts that ended and were not cancelled, the part that succeeded.";
        page.one("flowhost_success_ratio", "gauge", help, Float(ratio));
        self.render_seconds(&mut page);
        let connected = u8::from(*self.connected.borrow());
        page.one("flowhost_connected", "gauge", "1 while Redis can be reached.", connected);
        let draining = u8::from(self.draining());
        page.one("flowhost_draining", "gauge", "1 once the worker takes nothing more.", draining);
        self.render_queues(&mut page);
        page.0
    }

    fn render_seconds(&self, page: &mut Page) {
        let name = "flowhost_attempt_seconds";
        page.family(name, "histogram", "How long attempts executed.");
        let bounds = BUCKETS.iter().map(|(text, _)| *text).chain(["+Inf"]);
        let mut below = 0;
        for (bound, count) in bounds.zip(&self.seconds) {
            below += count.load(Ordering::Relaxed);
            page.sample("flowhost_attempt_seconds_bucket", &[("le", bound)], below);
        }
        let sum = Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64();
        page.sample("flowhost_attempt_seconds_sum", &[], Float(sum));
        page.sample("flowhost_attempt_seconds_count", &[], below);
    }

    fn render_queues(&self, page: &mut Page) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        page.family(
            "flowhost_queue_length",
            "gauge",
            "Attempts that wait in a queue or are held by a worker.",
        );
        for (queue, Queue { length, .. }) in &queues {
            page.sample("flowhost_queue_length", &[("queue", queue)], length);
        }
        page.family(
            "flowhost_queue_dead_letters",
            "gauge",
            "What nobody could finish, and is kept to be looked at.",
        );
        for (queue, Queue { letters, .. }) in &queues {
            page.sample("flowhost_queue_dead_letters", &[("queue", queue)], letters);
        }
        page.family("flowhost_queue_lag", "gauge", "Attempts in a queue that no worker has taken yet.");
        for (queue, Queue { waiting, .. }) in &queues {
            if let Some(waiting) = waiting {
                page.sample("flowhost_queue_lag", &[("queue", queue)], waiting);
            }
        }
    }

    /// Milliseconds since this began.
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A number as the format has it: Rust writes `NaN` the same way.
struct Float(f64);

impl std::fmt::Display for Float {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(to)
    }
}

struct Page(String);

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _infallible = write!(self.0, "{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _infallible = writeln!(self.0, "{close} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(page: &str, sample: &str) -> Option<f64> {
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    #[test]
    fn every_ending_has_a_place_of_its_own() {
        for (at, ending) in ENDINGS.into_iter().enumerate() {
            assert_eq!(place(ending), at);
        }
    }

    #[test]
    fn what_was_counted_is_told() {
        let figures = Figures::new(Duration::from_secs(30));
        figures.set_capacity(4);
        assert!(value(&figures.render(), "flowhost_success_ratio").unwrap().is_nan());
        for _ in 0..4 {
            figures.started();
        }
        figures.ended(Ending::Succeeded, Duration::from_millis(3));
        figures.ended(Ending::TimedOut, Duration::from_secs(2));
        figures.ended(Ending::Cancelled, Duration::from_secs(7200));
        figures.unstarted(Ending::Rejected);
        figures.unstarted(Ending::Cancelled);
        figures.fenced();
        figures.set_queue("default", Some(3), 7, 2);
        figures.set_queue("odd\"\\\n", None, 1, 0);
        let page = figures.render();
        for (sample, wanted) in [
            (r#"flowhost_attempts_total{outcome="succeeded"}"#, 1.0),
            (r#"flowhost_attempts_total{outcome="failed"}"#, 0.0),
            (r#"flowhost_attempts_total{outcome="timed-out"}"#, 1.0),
            (r#"flowhost_attempts_total{outcome="cancelled"}"#, 2.0),
            (r#"flowhost_attempts_total{outcome="rejected"}"#, 1.0),
            ("flowhost_attempts_started_total", 4.0),
            ("flowhost_fenced_total", 1.0),
            ("flowhost_running", 1.0),
            ("flowhost_free_capacity", 3.0),
            ("flowhost_success_ratio", 1.0 / 3.0),
            (r#"flowhost_attempt_seconds_bucket{le="0.001"}"#, 0.0),
            (r#"flowhost_attempt_seconds_bucket{le="0.005"}"#, 1.0),
            (r#"flowhost_attempt_seconds_bucket{le="2.5"}"#, 2.0),
            (r#"flowhost_attempt_seconds_bucket{le="3600"}"#, 2.0),
            (r#"flowhost_attempt_seconds_bucket{le="+Inf"}"#, 3.0),
            ("flowhost_attempt_seconds_count", 3.0),
            ("flowhost_attempt_seconds_sum", 7202.003),
            (r#"flowhost_queue_length{queue="default"}"#, 7.0),
            (r#"flowhost_queue_lag{queue="default"}"#, 3.0),
            (r#"flowhost_queue_dead_letters{queue="default"}"#, 2.0),
            (r#"flowhost_queue_length{queue="odd\"\\\n"}"#, 1.0),
        ] {
            assert_eq!(value(&page, sample), Some(wanted), "{sample}\n{page}");
        }
        assert_eq!(value(&page, r#"flowhost_queue_lag{queue="odd\"\\\n"}"#), None);
        figures.set_draining(true);
        assert_eq!(value(&figures.render(), "flowhost_free_capacity"), Some(0.0));
    }

    #[test]
    fn buckets_are_written_as_they_are_and_grow() {
        for (text, bound) in BUCKETS {
            assert_eq!(text.parse(), Ok(bound));
        }
        assert!(BUCKETS.is_sorted_by(|(_, one), (_, next)| one < next));
    }

    #[test]
    fn a_worker_is_healthy_for_a_lease_without_its_queue() {
        let never = Figures::new(Duration::from_secs(3600));
        assert!(never.healthy().unwrap_err().contains("not been reached"));
        never.set_connected(false);
        assert!(never.healthy().is_err());
        never.set_connected(true);
        never.set_draining(true);
        assert_eq!(never.healthy(), Ok(()));
        never.set_connected(false);
        assert_eq!(never.healthy(), Ok(()));
        let brief = Figures { since: Instant::now().checked_sub(Duration::from_secs(60)).unwrap(), ..never };
        brief.gone.store(1_000, Ordering::Relaxed);
        let brief = Figures { lease: Duration::from_secs(58), ..brief };
        assert!(brief.healthy().unwrap_err().contains("58.0 s"), "{:?}", brief.healthy());
    }
}
