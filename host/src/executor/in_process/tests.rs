//! The executor as the dispatcher sees it: attempts in, exactly one end for each out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::model::{Outcome, Type, Value};
use crate::report::Interest;
use crate::runtime::Input;
use crate::runtime::testing::{Bench, Heard, attempt_id, call, component, echo, function, run_export, spin};

const ALL: Interest = Interest { starts: true, successes: true, logs: true, progress: true, writes: false };

/// An executor that is open, with the components that it was given.
struct Running {
    executor: InProcess,
    reports: super::super::Reports,
    _bench: Bench,
}

impl Running {
    async fn new(slots: usize, interest: Interest, calls: &[(&[u8], &Arc<Call>)]) -> Self {
        let bench = Bench::new(slots);
        let mut components = Vec::new();
        for (at, (wasm, call)) in calls.iter().enumerate() {
            let path = bench.root.path().join(format!("{at}.wasm"));
            std::fs::write(&path, wasm).unwrap();
            bench.compile(wasm, call);
            components.push((call.component, path));
        }
        let root = bench.root.path().to_owned();
        let runtime = Arc::clone(&bench.runtime);
        let executor = InProcess::new(InProcessSettings { runtime, root, components }).unwrap();
        let (port, reports) = Port::new(interest, crate::channel::Memory::shared);
        let capacity = executor.open(port).await.unwrap();
        assert_eq!(capacity, Capacity { slots, ahead: AHEAD });
        Self { executor, reports, _bench: bench }
    }

    fn submit(&self, call: &Arc<Call>, indices: std::ops::Range<u32>, arguments: &[Value]) {
        let attempt = |index| Attempt {
            id: attempt_id(index),
            iteration: 1,
            call: Arc::clone(call),
            arguments: arguments.to_vec(),
        };
        self.executor.submit(indices.map(attempt).collect());
    }

    /// Waits until `enough` of the reports so far are there. Fails after half a minute.
    async fn until(&self, mut enough: impl FnMut(&[Report]) -> bool) -> Vec<Report> {
        let mut all = Vec::new();
        let mut some = Vec::new();
        let wait = async {
            while !enough(&all) {
                self.reports.ready().await;
                self.reports.take(&mut some);
                all.append(&mut some);
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(waited.is_ok(), "waited in vain; so far: {all:?}");
        all
    }

    async fn ends(&self, count: usize) -> Vec<Report> {
        let is_end = |it: &&Report| matches!(it, Report::Finished { .. } | Report::Returned { .. });
        self.until(|reports| reports.len() >= count && reports.iter().filter(is_end).count() >= count).await
    }
}

/// The outcomes by position, or none for what was returned. Fails on a second end.
fn outcomes(reports: &[Report]) -> HashMap<u32, Option<Outcome>> {
    let mut ends = HashMap::new();
    for report in reports {
        let (id, outcome) = match report {
            Report::Finished { id, outcome, .. } => (id, Some(outcome.clone())),
            Report::Returned { id } => (id, None),
            _ => continue,
        };
        assert!(ends.insert(id.branch.index, outcome).is_none(), "{id:?} ended twice");
    }
    ends
}

fn payload() -> Value {
    Value::Bytes(Bytes::from_static(&[1; 64]))
}

#[tokio::test]
async fn every_attempt_ends_once() {
    let wasm = echo();
    let call = Arc::new(call(&wasm, &[Type::bytes()], Type::bytes()));
    let running = Running::new(16, Interest::default(), &[(&wasm, &call)]).await;
    for batch in 0..20 {
        running.submit(&call, batch * 100..(batch + 1) * 100, &[payload()]);
    }
    let reports = running.ends(2000).await;
    assert_eq!(reports.len(), 2000, "other reports than ends were made");
    assert!(outcomes(&reports).values().all(|end| *end == Some(Outcome::Succeeded(payload()))));
    running.executor.drain().await;
}

#[tokio::test]
async fn one_attempt_is_told_at_once() {
    let wasm = echo();
    let call = Arc::new(call(&wasm, &[Type::bytes()], Type::bytes()));
    let running = Running::new(16, ALL, &[(&wasm, &call)]).await;
    for index in 0..50 {
        running.submit(&call, index..index + 1, &[payload()]);
        let reports = running.ends(1).await;
        assert!(matches!(reports[0], Report::Started { .. }), "{reports:?}");
    }
}

#[tokio::test]
async fn ends_do_not_wait_behind_a_slow_attempt() {
    let (fast, slow) = (echo(), spin());
    let fast_call = Arc::new(call(&fast, &[Type::bytes()], Type::bytes()));
    let slow_call = Arc::new(call(&slow, &[], Type::unit()));
    let running = Running::new(3, Interest::default(), &[(&fast, &fast_call), (&slow, &slow_call)]).await;
    running.submit(&slow_call, 0..1, &[]);
    running.submit(&fast_call, 1..40, &[payload()]);
    running.submit(&slow_call, 40..41, &[]);
    let reports = running.ends(39).await;
    assert!(outcomes(&reports).values().all(|end| *end == Some(Outcome::Succeeded(payload()))));
    running.executor.cancel(&[attempt_id(0), attempt_id(40)], Cause::Interrupted);
    running.ends(2).await;
}

#[tokio::test]
async fn cancel_returns_what_waits_and_stops_what_runs() {
    let wasm = spin();
    let call = Arc::new(call(&wasm, &[], Type::unit()));
    let running = Running::new(2, ALL, &[(&wasm, &call)]).await;
    running.submit(&call, 0..5, &[]);
    let starts =
        |reports: &[Report]| reports.iter().filter(|it| matches!(it, Report::Started { .. })).count();
    running.until(|reports| starts(reports) == 2).await;
    let ids: Vec<AttemptId> = (0..6).map(attempt_id).collect();
    running.executor.cancel(&ids, Cause::Sibling);
    let ends = outcomes(&running.ends(5).await);
    let stopped = Some(Outcome::Cancelled { cause: Cause::Sibling });
    assert_eq!(ends.values().filter(|end| **end == stopped).count(), 2, "{ends:?}");
    assert_eq!(ends.values().filter(|end| end.is_none()).count(), 3, "{ends:?}");
    running.executor.drain().await;
    // The lanes are free again.
    running.submit(&call, 10..12, &[]);
    running.until(|reports| starts(reports) == 2).await;
    running.executor.cancel(&[attempt_id(10), attempt_id(11)], Cause::Interrupted);
    running.ends(2).await;
}

#[tokio::test]
async fn asked_to_stop_it_hands_back_what_waits_and_lets_run_what_runs() {
    let wasm = sleeper(300);
    let call = Arc::new(call(&wasm, &[], Type::unit()));
    let running = Running::new(2, ALL, &[(&wasm, &call)]).await;
    running.submit(&call, 0..100, &[]);
    let started =
        |reports: &[Report]| reports.iter().filter(|it| matches!(it, Report::Started { .. })).count();
    let before = running.until(|reports| started(reports) == 2).await;
    running.executor.announce_cancel();
    let after = running.ends(100).await;
    assert_eq!(started(&after), 0, "some began after that");
    let ends = outcomes(&[before, after].concat());
    let (finished, returned): (Vec<_>, Vec<_>) = ends.values().partition(|end| end.is_some());
    assert_eq!((finished.len(), returned.len()), (2, 98));
    assert!(finished.iter().all(|end| **end == Some(Outcome::Succeeded(Value::unit()))));
    running.executor.drain().await;
}

#[tokio::test]
async fn a_component_that_does_not_load_rejects_its_attempts_alone() {
    let (good, bad) = (echo(), wat::parse_str("(module)").unwrap());
    let good_call = Arc::new(call(&good, &[Type::bytes()], Type::bytes()));
    let bad_call = Arc::new(call(&bad, &[], Type::unit()));
    let unknown_call = Arc::new(call(b"unknown", &[], Type::unit()));
    let running = Running::new(4, Interest::default(), &[(&good, &good_call)]).await;
    running.submit(&unknown_call, 0..10, &[]);
    running.submit(&good_call, 10..20, &[payload()]);
    running.submit(&bad_call, 20..30, &[]);
    let ends = outcomes(&running.ends(30).await);
    for (index, end) in ends {
        match (index, end) {
            (10..20, Some(Outcome::Succeeded(_))) => {}
            (_, Some(Outcome::Rejected { reason })) if reason.contains("was not given") => {}
            (index, end) => panic!("{index}: {end:?}"),
        }
    }
    // And once more, when it is known.
    running.submit(&unknown_call, 30..31, &[]);
    running.ends(1).await;
    running.executor.drain().await;
}

/// Sleeps in the host.
fn sleeper(milliseconds: u64) -> Vec<u8> {
    let imports = r#"
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow 0))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $p'))
            (export "pollable" (type $p (eq $p')))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))"#;
    let core = format!(
        r#"(import "host" "block" (func $block (param i32)))
           (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
           (func (export "run") (call $block (call $subscribe (i64.const {}))))"#,
        milliseconds * 1_000_000
    );
    let host = r#"(export "block" (func $block)) (export "subscribe" (func $subscribe))"#;
    component(imports, host, &core, &run_export(""))
}

#[tokio::test]
async fn attempts_that_wait_overlap() {
    let wasm = sleeper(200);
    let call = Arc::new(call(&wasm, &[], Type::unit()));
    let running = Running::new(16, Interest::default(), &[(&wasm, &call)]).await;
    // The first loads the component.
    running.submit(&call, 0..1, &[]);
    running.ends(1).await;
    let began = Instant::now();
    running.submit(&call, 1..17, &[]);
    let ends = outcomes(&running.ends(16).await);
    assert!(ends.values().all(|end| *end == Some(Outcome::Succeeded(Value::unit()))));
    assert!(began.elapsed() < Duration::from_millis(16 * 200 / 4), "took {:?}", began.elapsed());
}

#[tokio::test]
async fn sleepers_wake_while_others_keep_every_lane_busy() {
    let (fast, slow) = (echo(), sleeper(1));
    let fast_call = Arc::new(call(&fast, &[Type::bytes()], Type::bytes()));
    let slow_call = Arc::new(call(&slow, &[], Type::unit()));
    let running = Running::new(4, Interest::default(), &[(&fast, &fast_call), (&slow, &slow_call)]).await;
    // Loads the components.
    running.submit(&slow_call, 0..1, &[]);
    running.submit(&fast_call, 1..2, &[payload()]);
    running.ends(2).await;
    running.submit(&slow_call, 0..1, &[]);
    running.submit(&fast_call, 1..20_000, &[payload()]);
    let reports = running.ends(20_000).await;
    let at = reports.iter().position(|it| matches!(it, Report::Finished { id, .. } if id.branch.index == 0));
    assert!(at.unwrap() < 19_000, "the sleeper waited for all others: {at:?}");
}

/// Logs `line` and then does `core`.
fn saying(core: &str) -> Vec<u8> {
    let imports = r#"(import "flowhost:task/log@0.1.0" (instance $log-host
            (type $level' (enum "trace" "debug" "info" "warn" "error")) (export "level" (type $level (eq $level')))
            (export "log" (func (param "level" $level) (param "message" string)))))
        (core func $log (canon lower (func $log-host "log") (memory $memory)))"#;
    let core = format!(
        r#"(import "host" "log" (func $log (param i32 i32 i32)))
           (data (i32.const 100) "line")
           (func (export "run") (call $log (i32.const 3) (i32.const 100) (i32.const 4)) {core})"#
    );
    component(imports, r#"(export "log" (func $log))"#, &core, &run_export(""))
}

#[tokio::test]
async fn lines_that_nobody_wants_are_told_of_failures_alone() {
    let (fails, succeeds) = (saying("unreachable"), saying(""));
    let fails_call = Arc::new(call(&fails, &[], Type::unit()));
    let succeeds_call = Arc::new(call(&succeeds, &[], Type::unit()));
    for (interest, lines) in [(Interest::default(), 1), (ALL, 2)] {
        let calls: [(&[u8], _); 2] = [(&fails, &fails_call), (&succeeds, &succeeds_call)];
        let running = Running::new(1, interest, &calls).await;
        running.submit(&fails_call, 0..1, &[]);
        running.submit(&succeeds_call, 1..2, &[]);
        let reports = running.ends(2).await;
        let logs = reports.iter().filter(|report| matches!(report, Report::Log { .. })).count();
        assert_eq!(logs, lines, "{reports:?}");
        let log = reports.iter().position(|it| matches!(it, Report::Log { id, .. } if id.branch.index == 0));
        let end =
            reports.iter().position(|it| matches!(it, Report::Finished { id, .. } if id.branch.index == 0));
        assert!(log < end, "{reports:?}");
    }
}

#[tokio::test]
async fn it_opens_once_and_drains_when_empty() {
    let wasm = function("", r#"(func (export "run"))"#);
    let call = Arc::new(call(&wasm, &[], Type::unit()));
    let running = Running::new(1, Interest::default(), &[(&wasm, &call)]).await;
    running.executor.drain().await;
    let error = running.executor.open(Port::new(ALL, crate::channel::Memory::shared).0).await.unwrap_err();
    assert!(error.to_string().contains("in use by another run"), "{error}");
}

#[tokio::test]
async fn attempts_that_are_submitted_before_it_opens_are_executed() {
    let bench = Bench::new(2);
    let wasm = function("", r#"(func (export "run"))"#);
    let call = Arc::new(call(&wasm, &[], Type::unit()));
    bench.compile(&wasm, &call);
    let path = bench.root.path().join("a.wasm");
    std::fs::write(&path, &wasm).unwrap();
    let settings = InProcessSettings {
        runtime: Arc::clone(&bench.runtime),
        root: bench.root.path().to_owned(),
        components: vec![(call.component, path)],
    };
    let executor = InProcess::new(settings).unwrap();
    let attempt = |index| Attempt {
        id: attempt_id(index),
        iteration: 1,
        call: Arc::clone(&call),
        arguments: Vec::new(),
    };
    executor.submit((0..5).map(attempt).collect());
    let (port, reports) = Port::new(Interest::default(), crate::channel::Memory::shared);
    executor.open(port).await.unwrap();
    executor.drain().await;
    let mut all = Vec::new();
    reports.take(&mut all);
    assert_eq!(outcomes(&all).len(), 5);
}

/// A guard against lanes that cost more than the attempts: the same attempts without lanes, in the
/// same build, by turns. The ratio to a bare engine loop is `cargo bench`'s to measure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_cost_less_than_the_attempts() {
    const COUNT: u32 = 2_000;
    let wasm = echo();
    let call = Arc::new(call(&wasm, &[Type::bytes()], Type::bytes()));
    let running = Running::new(16, Interest::default(), &[(&wasm, &call)]).await;
    let runtime = Arc::clone(&running.executor.shared.runtime);
    let source = Source::Bytes(wasm.clone().into());
    let prepared =
        runtime.prepare(Arc::clone(&call), &source, running.executor.shared.folders.clone()).await.unwrap();
    running.submit(&call, 0..1, &[payload()]);
    running.ends(1).await;

    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let began = Instant::now();
        let halves: Vec<_> = (0..2)
            .map(|_| {
                let (runtime, prepared) = (Arc::clone(&runtime), Arc::new(prepared.clone()));
                tokio::spawn(async move {
                    let observer: Arc<dyn crate::runtime::Observer> = Arc::new(Heard::default());
                    for index in 0..COUNT / 2 {
                        let input = Input { id: attempt_id(index), iteration: 1, arguments: &[payload()] };
                        runtime.attempt(&prepared, input, &observer).await;
                    }
                })
            })
            .collect();
        for half in halves {
            half.await.unwrap();
        }
        let alone = began.elapsed();
        let began = Instant::now();
        running.submit(&call, 0..COUNT, &[payload()]);
        running.ends(COUNT as usize).await;
        best = best.min(began.elapsed().as_secs_f64() / alone.as_secs_f64());
    }
    assert!(best < 2.0, "through lanes it takes {best:.2} times as long");
}
