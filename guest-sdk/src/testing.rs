//! A double of the host, for tests of a guest's logic in native code. Not there in a component.
//!
//! ```
//! use flowhost_guest::testing::Host;
//! use flowhost_guest::{context, info};
//!
//! fn greet() {
//!     info!("attempt {}", context::current().attempt);
//! }
//!
//! let host = Host::start();
//! host.set_place(context::Place { attempt: 2, ..host.place() });
//! greet();
//! assert_eq!(host.lines(), ["attempt 2"]);
//! ```

mod store;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use self::store::Store;
use crate::channel;
use crate::context::Place;
use crate::flow;
use crate::log::Level;
use crate::metrics;

thread_local! {
    static HOSTS: RefCell<Vec<Rc<State>>> = const { RefCell::new(Vec::new()) };
}

/// Answers the calls that this thread's code makes to the host, and records them, until it is
/// dropped. Where several live at once on a thread, the last to start answers.
///
/// Without one, native calls see the constants of a deterministic task, and what they log and
/// report goes nowhere; there is no channel. Threads that a test starts have no host until they start their own.
#[derive(Debug)]
#[must_use = "a host answers only while it lives"]
pub struct Host(Rc<State>);

/// A line that was logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The line.
    pub message: String,
}

/// A report of progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Of so many, where that is known.
    pub total: Option<u64>,
    /// What is being done.
    pub message: Option<String>,
}

/// What was asked of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// [`flow::next`].
    Next {
        /// The task.
        task: String,
        /// Its arguments.
        arguments: String,
    },
    /// [`flow::iterate`].
    Iterate {
        /// The arguments.
        arguments: String,
    },
    /// [`flow::goto`].
    Goto {
        /// The task.
        task: String,
    },
    /// [`flow::finish`].
    Finish,
    /// [`flow::abort`].
    Abort {
        /// Why.
        reason: String,
    },
}

#[derive(Debug)]
struct State {
    place: RefCell<Place>,
    time_left: Cell<Option<Duration>>,
    cancelled: Cell<bool>,
    log: RefCell<Vec<Line>>,
    progress: RefCell<Vec<Progress>>,
    metrics: RefCell<BTreeMap<String, f64>>,
    requests: RefCell<Vec<Request>>,
    flow_error: RefCell<Option<flow::Error>>,
    channel: RefCell<Store>,
    channel_error: RefCell<Option<channel::Error>>,
}

impl Host {
    /// A host that sees this thread's calls from here on. Its place is that of a lone first attempt
    /// of a task `"test"` in a run `"test"`; it has no timeout and is not cancelled.
    pub fn start() -> Self {
        let place = Place { run: "test".to_owned(), task: "test".to_owned(), ..constants() };
        let state = Rc::new(State {
            place: RefCell::new(place),
            time_left: Cell::new(None),
            cancelled: Cell::new(false),
            log: RefCell::default(),
            progress: RefCell::default(),
            metrics: RefCell::default(),
            requests: RefCell::default(),
            flow_error: RefCell::default(),
            channel: RefCell::default(),
            channel_error: RefCell::default(),
        });
        HOSTS.with_borrow_mut(|hosts| hosts.push(Rc::clone(&state)));
        Self(state)
    }

    /// What [`context::current`](crate::context::current) answers.
    #[must_use]
    pub fn place(&self) -> Place {
        self.0.place.borrow().clone()
    }

    /// Sets what [`context::current`](crate::context::current) answers.
    pub fn set_place(&self, place: Place) {
        self.0.place.replace(place);
    }

    /// Sets what [`context::time_left`](crate::context::time_left) answers, until it is set again:
    /// it does not run down by itself. More than 2^64-1 nanoseconds count as that many.
    pub fn set_time_left(&self, time: impl Into<Option<Duration>>) {
        self.0.time_left.set(time.into());
    }

    /// Makes [`context::cancelled`](crate::context::cancelled) answer `true`.
    pub fn cancel(&self) {
        self.0.cancelled.set(true);
    }

    /// All lines so far, with their levels.
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        self.0.log.borrow().clone()
    }

    /// All lines so far, without their levels.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.log.borrow().iter().map(|line| line.message.clone()).collect()
    }

    /// All reports of progress so far. The real host may drop all but the last.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.0.progress.borrow().clone()
    }

    /// All figures so far, summed by name.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        self.0.metrics.borrow().clone()
    }

    /// All that was asked of the run so far. What the workflow file allows is not known here: every task
    /// may be started, with any arguments, and the run ended.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests.borrow().clone()
    }

    /// Makes every call of [`flow`] fail with this, or no longer.
    pub fn fail_flow(&self, error: impl Into<Option<flow::Error>>) {
        self.0.flow_error.replace(error.into());
    }

    /// Lets so much time pass for the keys of the [`channel`] that expire, to the
    /// millisecond. No other time passes there.
    pub fn pass(&self, time: Duration) {
        self.0.channel.borrow_mut().pass(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// Makes every call of the [`channel`] fail with this, or no longer.
    pub fn fail_channel(&self, error: impl Into<Option<channel::Error>>) {
        self.0.channel_error.replace(error.into());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A thread that ends may have dropped its list of hosts before a host that it kept.
        let _ = HOSTS.try_with(|hosts| hosts.borrow_mut().retain(|state| !Rc::ptr_eq(state, &self.0)));
    }
}

/// What a deterministic task sees.
fn constants() -> Place {
    Place { run: String::new(), task: String::new(), group: None, index: 0, count: 1, attempt: 1 }
}

fn host() -> Option<Rc<State>> {
    HOSTS.with_borrow(|hosts| hosts.last().cloned())
}

pub(crate) fn current() -> Place {
    host().map_or_else(constants, |host| host.place.borrow().clone())
}

pub(crate) fn time_left() -> Option<u64> {
    let left = host()?.time_left.get()?;
    Some(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn cancelled() -> bool {
    host().is_some_and(|host| host.cancelled.get())
}

pub(crate) fn log(level: Level, message: &str) {
    if let Some(host) = host() {
        host.log.borrow_mut().push(Line { level, message: message.to_owned() });
    }
}

pub(crate) fn report(done: u64, total: Option<u64>, message: Option<&str>) {
    if let Some(host) = host() {
        host.progress.borrow_mut().push(Progress { done, total, message: message.map(str::to_owned) });
    }
}

pub(crate) fn add(name: &str, amount: f64) -> Result<(), metrics::Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(metrics::Error::InvalidName);
    }
    let Some(host) = host() else { return Ok(()) };
    let mut metrics = host.metrics.borrow_mut();
    let sum = metrics.get(name).copied().unwrap_or_default() + amount;
    if !sum.is_finite() {
        return Err(metrics::Error::NotFinite);
    }
    if !metrics.contains_key(name) && metrics.len() >= 32 {
        return Err(metrics::Error::TooManyNames);
    }
    metrics.insert(name.to_owned(), sum);
    Ok(())
}

/// Takes a request, or says why not. One that decides how the attempt goes on is taken once.
fn request(request: Request, text: usize) -> Result<(), flow::Error> {
    let Some(host) = host() else {
        return Err(flow::Error::NotAllowed("there is no host: start a `testing::Host` first".to_owned()));
    };
    if let Some(error) = &*host.flow_error.borrow() {
        return Err(error.clone());
    }
    let mut requests = host.requests.borrow_mut();
    let decides = |request: &Request| !matches!(request, Request::Next { .. });
    if decides(&request) && requests.iter().any(decides) {
        return Err(flow::Error::AlreadyDecided);
    }
    let held = requests.iter().map(Request::text).sum::<usize>();
    if requests.len() >= 10_000 || held + text > 1 << 20 {
        return Err(flow::Error::TooManyRequests);
    }
    requests.push(request);
    Ok(())
}

impl Request {
    /// How much text it holds.
    fn text(&self) -> usize {
        match self {
            Self::Next { task, arguments } => task.len() + arguments.len(),
            Self::Iterate { arguments: text } | Self::Goto { task: text } | Self::Abort { reason: text } => {
                text.len()
            }
            Self::Finish => 0,
        }
    }
}

pub(crate) fn next(task: &str, arguments: &str) -> Result<(), flow::Error> {
    let next = Request::Next { task: task.to_owned(), arguments: arguments.to_owned() };
    request(next, task.len() + arguments.len())
}

pub(crate) fn iterate(arguments: &str) -> Result<(), flow::Error> {
    request(Request::Iterate { arguments: arguments.to_owned() }, arguments.len())
}

pub(crate) fn goto(task: &str) -> Result<(), flow::Error> {
    request(Request::Goto { task: task.to_owned() }, task.len())
}

pub(crate) fn finish() -> Result<(), flow::Error> {
    request(Request::Finish, 0)
}

pub(crate) fn abort(reason: &str) -> Result<(), flow::Error> {
    request(Request::Abort { reason: reason.to_owned() }, reason.len())
}

/// What the channel of the host of this thread says.
fn ask<T>(question: impl FnOnce(&mut Store) -> Result<T, channel::Error>) -> Result<T, channel::Error> {
    let Some(host) = host() else {
        let reason = "there is no host: start a `testing::Host` first".to_owned();
        return Err(channel::Error::Unavailable(reason));
    };
    match &*host.channel_error.borrow() {
        Some(error) => Err(error.clone()),
        None => question(&mut host.channel.borrow_mut()),
    }
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, channel::Error> {
    ask(|store| store.get(key))
}

pub(crate) fn set(key: &str, value: &[u8], time_to_live: Option<u64>) -> Result<(), channel::Error> {
    ask(|store| store.set(key, value, time_to_live))
}

pub(crate) fn delete(key: &str) -> Result<bool, channel::Error> {
    ask(|store| store.delete(key))
}

pub(crate) fn keys(prefix: &str, after: Option<&str>) -> Result<Vec<String>, channel::Error> {
    ask(|store| store.keys(prefix, after))
}

pub(crate) fn append(key: &str, value: &[u8]) -> Result<u64, channel::Error> {
    ask(|store| store.append(key, value))
}

pub(crate) fn increment(key: &str, by: i64) -> Result<i64, channel::Error> {
    ask(|store| store.increment(key, by))
}

pub(crate) fn compare_and_swap(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    time_to_live: Option<u64>,
) -> Result<bool, channel::Error> {
    ask(|store| store.compare_and_swap(key, expected, value, time_to_live))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{context, debug, error, info, progress, trace, warn};

    #[test]
    fn without_a_host_calls_see_constants() {
        info!("unheard");
        progress::report(1, None, None);
        assert_eq!(context::current(), constants());
        assert_eq!(context::time_left(), None);
        assert!(!context::cancelled());
    }

    #[test]
    fn a_host_answers_what_it_was_told() {
        let host = Host::start();
        let place = Place {
            run: "r".to_owned(),
            task: "t".to_owned(),
            group: Some("g".to_owned()),
            index: 7,
            count: 9,
            attempt: 3,
        };
        host.set_place(place.clone());
        assert_eq!(context::current(), place);
        host.set_time_left(Duration::from_millis(1500));
        assert_eq!(context::time_left(), Some(Duration::from_millis(1500)));
        host.set_time_left(None);
        assert_eq!(context::time_left(), None);
        assert!(!context::cancelled());
        host.cancel();
        assert!(context::cancelled());
    }

    #[test]
    fn a_host_records_in_order() {
        let host = Host::start();
        let name = "x";
        trace!("one");
        debug!("two {name}");
        info!("{} {}", "three", 3);
        warn!("four");
        error!("five",);
        progress::report(1, 2, "rows");
        progress::report(2, None, None);
        let levels: Vec<_> = host.log().into_iter().map(|line| line.level).collect();
        assert_eq!(levels, [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error]);
        assert_eq!(host.lines(), ["one", "two x", "three 3", "four", "five"]);
        assert_eq!(
            host.progress(),
            [
                Progress { done: 1, total: Some(2), message: Some("rows".to_owned()) },
                Progress { done: 2, total: None, message: None },
            ]
        );
    }

    #[test]
    fn figures_are_summed_and_bounded() {
        assert_eq!(metrics::add("tokens", 1.0), Ok(()));
        let host = Host::start();
        for amount in [1.5, 2.0, -0.5] {
            metrics::add("tokens", amount).unwrap();
        }
        assert_eq!(metrics::add("a b", 1.0), Err(metrics::Error::InvalidName));
        assert_eq!(metrics::add("tokens", f64::NAN), Err(metrics::Error::NotFinite));
        assert_eq!(host.metrics(), BTreeMap::from([("tokens".to_owned(), 3.0)]));
        for number in 1..32 {
            metrics::add(&number.to_string(), 1.0).unwrap();
        }
        assert_eq!(metrics::add("more", 1.0), Err(metrics::Error::TooManyNames));
    }

    #[test]
    fn what_was_asked_of_the_run_is_recorded_and_decided_once() {
        assert!(matches!(flow::finish(), Err(flow::Error::NotAllowed(_))));
        let host = Host::start();
        flow::next("refine", "{}").unwrap();
        flow::iterate(r#"{"round": 2}"#).unwrap();
        for again in [flow::iterate("{}"), flow::goto("t"), flow::finish(), flow::abort("no")] {
            assert_eq!(again, Err(flow::Error::AlreadyDecided));
        }
        flow::next("refine", "{}").unwrap();
        let next = Request::Next { task: "refine".to_owned(), arguments: "{}".to_owned() };
        let iterate = Request::Iterate { arguments: r#"{"round": 2}"#.to_owned() };
        assert_eq!(host.requests(), [next.clone(), iterate, next]);
        assert_eq!(flow::next("t", "x".repeat(1 << 20)), Err(flow::Error::TooManyRequests));
        host.fail_flow(flow::Error::TooManyIterations);
        assert_eq!(flow::iterate("{}"), Err(flow::Error::TooManyIterations));
        let failure = crate::Failure::from(flow::Error::AlreadyDecided);
        assert!(failure.is_permanent());
    }

    #[test]
    fn the_channel_keeps_the_rules_of_the_real_one() {
        use crate::channel::Error;
        let host = Host::start();
        let second = Duration::from_secs(1);
        channel::set_for("k", "1", second).unwrap();
        assert_eq!(channel::increment("k", 2), Ok(3));
        assert_eq!(channel::append("k", "0"), Ok(2));
        host.pass(second - Duration::from_millis(1));
        assert_eq!(channel::number("k"), Ok(Some(30)));
        host.pass(Duration::from_millis(1));
        assert_eq!(channel::get("k"), Ok(None));
        assert_eq!(channel::compare_and_swap("k", Some(b""), None), Ok(false));
        assert_eq!(channel::add("k", "x"), Ok(true));
        assert_eq!(channel::add("k", "y"), Ok(false));
        assert_eq!(channel::increment("k", 1), Err(Error::NotANumber));
        assert_eq!(channel::delete("k"), Ok(true));
        assert_eq!(channel::increment("k", i64::MAX), Ok(i64::MAX));
        assert_eq!(channel::increment("k", 1), Err(Error::Overflow));
        assert_eq!(channel::set("", ""), Err(Error::EmptyKey));
        assert_eq!(channel::set(&"k".repeat(513), ""), Err(Error::KeyTooLong));
        assert_eq!(channel::set("v", vec![0; (1 << 20) + 1]), Err(Error::ValueTooLarge));
        assert_eq!(channel::set_for("v", "", Duration::ZERO), Err(Error::InvalidTimeToLive));
        host.fail_channel(Error::Unavailable("gone".to_owned()));
        assert_eq!(channel::get("k"), Err(Error::Unavailable("gone".to_owned())));
        host.fail_channel(None);
        assert!(channel::get("k").is_ok());
        drop(host);
        assert!(matches!(channel::get("k"), Err(Error::Unavailable(_))));
    }

    #[test]
    fn the_last_to_start_answers_until_it_is_dropped() {
        let outer = Host::start();
        let inner = Host::start();
        info!("to the inner");
        drop(inner);
        info!("to the outer");
        assert_eq!(outer.lines(), ["to the outer"]);
        drop(outer);
        info!("to nobody");
        assert_eq!(context::current(), constants());
    }

    #[test]
    fn threads_do_not_share_a_host() {
        let host = Host::start();
        std::thread::spawn(|| info!("elsewhere")).join().unwrap();
        assert!(host.lines().is_empty());
    }
}
