//! Runs that are stopped, and what becomes of what they had queued.

use std::time::Instant;

use rustix::process::Signal;

use super::{HANGS, Scene};
use crate::recorded::ends;
use crate::support::{Redis, until};

#[test]
fn h3_the_first_interrupt_lets_workers_finish_what_they_execute() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(20, 2_000);
    let mut worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let run = scene.run(&redis);
    until(HANGS, "the executions", || scene.begun() == 2);
    run.send(Signal::INT);
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert_eq!((scene.begun(), scene.ended()), (2, 2), "{ran}");
    assert_eq!(ends(&scene.place).len(), 2, "only what ended is recorded as ended: {ran}");
    // What the worker had taken beforehand it lets go itself, a moment after the run was told of the rest.
    until(HANGS, "the rest is taken back", || scene.queued(&redis) == 0);
    assert!(worker.lives());
    // And goes on later.
    let ran = scene.run_at(&redis.url(), &["--resume"]).succeeds(20);
    scene.has_one_outcome_each(20);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{ran}");
}

/// Where no worker ever was, nobody made the queue's group either.
#[test]
fn h3_the_first_interrupt_ends_a_run_that_nobody_serves() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(20, 1);
    let mut run = scene.run(&redis);
    run.until("\"no-workers\"");
    until(HANGS, "the queue", || scene.queued(&redis) == 20);
    run.send(Signal::INT);
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert_eq!(ran.warnings("redis-unavailable").len(), 0, "{ran}");
    assert_eq!(scene.begun(), 0);
    // A worker that comes later finds nothing to do, and the run goes on.
    let _worker = scene.worker(&redis, "one", &[]);
    scene.run_at(&redis.url(), &["--resume"]).succeeds(20);
    assert!(scene.executions().values().all(|times| *times == (1, 1)));
}

#[test]
fn h3_the_second_interrupt_stops_what_workers_execute() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(20, 600_000);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    until(HANGS, "the executions", || scene.begun() == 2);
    run.send(Signal::INT);
    run.until("interrupted");
    let began = Instant::now();
    run.send(Signal::INT);
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(began.elapsed().as_secs() < 60, "it took {:?}", began.elapsed());
    until(HANGS, "the end of what was executed", || scene.queued(&redis) == 0);
    assert_eq!((scene.begun(), scene.ended()), (2, 0), "{ran}");
    // The worker is free for others at once.
    let other = Scene::marking(1, 1);
    std::fs::remove_dir_all(other.place.path().join("marks")).unwrap();
    let ran = Scene::of("[tasks.answer]\nrun = \"echo#answer\"\n[outputs]\nanswer = \"${answer}\"")
        .run(&redis)
        .end();
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "{\"answer\":42}"), "{ran}");
}

#[test]
fn a_sibling_s_failure_stops_what_other_workers_execute() {
    let redis = Redis::start(&[]);
    let scene = Scene::of(
        r#"
        [tasks.odd]
        run = "failing#fail-odd"
        with = { number = 1 }
        [tasks.wait]
        run = "failing#sleep"
        with = { ms = 600_000 }
        [groups.both]
        tasks = ["wait", "odd"]
        on-failure = "cancel"
        "#,
    );
    let _workers = ["one", "two"].map(|id| scene.worker(&redis, id, &["--concurrency", "2"]));
    let began = Instant::now();
    let ran = scene.run(&redis).end();
    assert_eq!(ran.code, Some(100), "{ran}");
    assert!(began.elapsed().as_secs() < 60, "it took {:?}", began.elapsed());
    let cancelled = |line: &String| line.contains("\"task-ended\"") && line.contains("\"cancelled\"");
    assert!(ran.lines.iter().any(cancelled), "{ran}");
    until(HANGS, "the end of what was executed", || scene.queued(&redis) == 0);
}
