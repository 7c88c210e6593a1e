//! R7: the server is killed, with each way to keep what it has.

use super::{Run, Scene};
use crate::support::{Redis, Worker};

const BRANCHES: u32 = 120;

/// Kills a server in the middle of a run and starts it again.
fn killed(redis: &mut Redis) -> (Scene, Run, Worker) {
    let scene = Scene::marking(BRANCHES, 40);
    let worker = scene.worker(redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(redis);
    run.until_count("\"task-ended\"", 40);
    redis.kill();
    // It is told at once.
    run.until("\"redis-unavailable\"");
    redis.restart();
    (scene, run, worker)
}

#[test]
fn r7_without_persistence_the_loss_is_told_and_the_run_completes() {
    let mut redis = Redis::start(&[]);
    let (scene, run, mut worker) = killed(&mut redis);
    let ran = run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
    let said = ran.warnings("queue-state-lost");
    assert!(said.len() == 1 && said[0].contains("queue state lost"), "{said:?}: {ran}");
    // It was warned of beforehand.
    assert!(ran.warnings("redis-settings").iter().any(|said| said.contains("appendonly is off")), "{ran}");
    assert!(worker.lives(), "{}", worker.said());
}

#[test]
fn r7_with_every_write_on_disk_nothing_is_executed_again() {
    let mut redis = Redis::appending("always");
    let (scene, run, mut worker) = killed(&mut redis);
    let ran = run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
    assert_eq!(ran.warnings("queue-state-lost"), [""; 0], "{ran}");
    assert_eq!(ran.warnings("redis-settings"), [""; 0], "{ran}");
    let again: Vec<_> = scene.executions().into_iter().filter(|(_, times)| *times != (1, 1)).collect();
    assert_eq!(again, [], "executed again");
    assert_eq!(scene.lost(), 0);
    assert!(worker.lives(), "{}", worker.said());
}

#[test]
fn r7_with_a_second_between_writes_to_disk_the_run_completes() {
    let mut redis = Redis::appending("everysec");
    let (scene, run, _worker) = killed(&mut redis);
    run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
}

#[test]
fn r7_with_a_snapshot_of_some_time_ago_the_run_completes() {
    let mut redis = Redis::start(&[]);
    let scene = Scene::marking(BRANCHES, 40);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2", "--lease", "2s"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 20);
    redis.command::<()>(&["SAVE"]);
    run.until_count("\"task-ended\"", 60);
    redis.kill();
    run.until("\"redis-unavailable\"");
    redis.restart();
    // What ended in between is there again as if it waited; its outcomes are not taken a second time.
    run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
}

#[test]
fn r7_a_server_that_is_stopped_for_a_while_loses_nothing() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(BRANCHES, 40);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 40);
    redis.stop();
    run.until("\"redis-unavailable\"");
    redis.cont();
    run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}
