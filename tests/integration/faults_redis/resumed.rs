//! R15: the coordinator dies while workers go on.

use super::{HANGS, Scene};
use crate::support::{Redis, until};

#[test]
fn r15_what_workers_finished_meanwhile_is_collected_and_not_executed_again() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(60, 50);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 10);
    until(HANGS, "the queue", || scene.queued(&redis) > 0);
    run.kill();
    // All of them had been queued, and nobody reads what becomes of them.
    until(HANGS, "all executions", || scene.ended() == 60 && scene.queued(&redis) == 0);
    let ran = scene.run_at(&redis.url(), &["--resume"]).succeeds(60);
    scene.has_one_outcome_each(60);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
    assert_eq!(scene.lost(), 0, "{ran}");
    // Of a run that is over nothing stays.
    let left: Vec<String> = redis.command(&["KEYS", &format!("{}*", scene.run_keys().record)]);
    assert_eq!(left, [""; 0]);
}

#[test]
fn r15_a_run_is_killed_again_and_again_and_executes_every_branch_once() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(400, 50);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    for _ in 0..5 {
        run.until_count("\"task-ended\"", 8);
        run.kill();
        run = scene.run_at(&redis.url(), &["--resume"]);
    }
    run.succeeds(400);
    scene.has_one_outcome_each(400);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}

#[test]
fn r15_a_run_goes_on_after_its_queue_was_lost_with_nobody_there_to_see_it() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(150, 50);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2", "--lease", "2s"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 10);
    run.kill();
    redis.command::<()>(&["FLUSHALL"]);
    scene.run_at(&redis.url(), &["--resume"]).succeeds(150);
    scene.has_one_outcome_each(150);
}

#[test]
fn r15_a_run_goes_on_with_another_executor() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(150, 50);
    let worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 10);
    run.kill();
    drop(worker);
    let mut command = scene.place.command(["run", "workflow.toml", "--progress", "json", "--resume"]);
    super::Run::start(&mut command).succeeds(150);
    scene.has_one_outcome_each(150);
}
