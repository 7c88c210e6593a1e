//! R11: nobody is there to execute, or nobody of the right protocol. Workers that leave.

use flowhost::queue::Keys;
use flowhost::wire::PROTOCOL;

use super::{HANGS, Scene};
use crate::recorded::history;
use crate::support::{Redis, until};

#[test]
fn r11_a_run_without_workers_says_so_at_once_and_waits_for_one() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(3, 1);
    let mut run = scene.run(&redis);
    let said = run.until("\"no-workers\"");
    assert!(said.contains("flowhost worker --redis URL --queue default"), "{said}");
    until(HANGS, "the queue", || scene.queued(&redis) == 3);
    assert_eq!(scene.begun(), 0);
    let _worker = scene.worker(&redis, "one", &[]);
    let ran = run.succeeds(3);
    assert_eq!(ran.warnings("no-workers").len(), 1, "it is said once: {ran}");
}

#[test]
fn r11_a_worker_of_another_protocol_is_seen_and_takes_nothing() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(3, 1);
    // As a worker of an older flowhost says that it is there.
    let older = Keys::new("flowhost", PROTOCOL - 1, "default").unwrap();
    let now: (u64, u64) = redis.command(&["TIME"]);
    let id = "older-1-abcdef";
    redis.command::<u32>(&["ZADD", &older.workers(), &now.0.to_string(), id]);
    redis.command::<u32>(&["SADD", &older.queues(), &older.served()]);
    redis.command::<()>(&["XGROUP", "CREATE", &older.tasks(), "workers", "0", "MKSTREAM"]);
    let mut run = scene.run(&redis);
    let said = run.until("\"no-workers\"");
    let parts = [format!("1 of protocol {}", PROTOCOL - 1), format!("whose protocol is {PROTOCOL}")];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    assert!(said.contains("install the same version on both sides"), "{said}");
    until(HANGS, "the queue", || scene.queued(&redis) == 3);
    assert_eq!(redis.command::<u32>(&["XLEN", &older.tasks()]), 0, "what is queued goes there");
    let _worker = scene.worker(&redis, "one", &[]);
    run.succeeds(3);
}

#[test]
fn a_group_that_may_run_elsewhere_does_so_where_nobody_comes() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking_with(3, 1, "fallback = \"in-process\"");
    let ran = scene.run(&redis).succeeds(3);
    assert!(ran.warnings("fallback").iter().any(|said| said.contains("no worker took")), "{ran}");
}

#[test]
fn a_worker_that_drains_finishes_what_it_executes_and_hands_the_rest_back() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(12, 1_000);
    let mut leaving = scene.worker(&redis, "leaving", &["--concurrency", "2"]);
    let run = scene.run(&redis);
    until(HANGS, "the executions", || scene.begun() == 2);
    let mut staying = scene.worker(&redis, "staying", &["--concurrency", "4"]);
    leaving.term();
    assert_eq!(leaving.end().code(), Some(0), "{}", leaving.said());
    let left = scene.keys.worker("leaving");
    assert_eq!(
        redis.command::<Vec<String>>(&["KEYS", &format!("{left}*")]),
        [""; 0],
        "it is still announced"
    );
    run.succeeds(12);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
    assert_eq!(scene.lost(), 0);
    let history = history(&scene.place);
    assert!(history.nodes["all"].branches.values().all(|branch| branch.attempts == 1));
    // Nothing is left of either once both are gone, whatever was delivered to the first one when it left.
    staying.term();
    assert_eq!(staying.end().code(), Some(0), "{}", staying.said());
    let consumers: Vec<Vec<redis::Value>> =
        redis.command(&["XINFO", "CONSUMERS", &scene.keys.tasks(), "workers"]);
    assert!(consumers.is_empty(), "{consumers:?}");
}

#[test]
fn a_worker_that_is_asked_twice_stops_what_it_executes_and_it_is_done_elsewhere() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(1, 3_000);
    let mut leaving = scene.worker(&redis, "leaving", &["--lease", "30s"]);
    let run = scene.run(&redis);
    until(HANGS, "the execution", || scene.begun() == 1);
    leaving.term();
    until(HANGS, "the first word", || leaving.said().contains("asked to stop"));
    leaving.term();
    leaving.end();
    // It was handed back: nobody has to wait for the lease.
    let began = std::time::Instant::now();
    let _staying = scene.worker(&redis, "staying", &[]);
    until(HANGS, "the second execution", || scene.begun() == 2);
    assert!(began.elapsed().as_secs() < 20, "it took {:?}", began.elapsed());
    run.succeeds(1);
    assert_eq!(scene.executions()[&0], (2, 1));
}
