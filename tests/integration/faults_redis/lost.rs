//! R8, R9: a server that lost what was queued, as a whole or in part.

use std::thread;
use std::time::Duration;

use super::{HANGS, Run, Scene};
use crate::support::{Redis, Worker, until};

const BRANCHES: u32 = 60;

/// A run in the middle of its branches, and its worker.
fn halfway(redis: &Redis) -> (Scene, Worker, Run) {
    let scene = Scene::marking(BRANCHES, 50);
    let worker = scene.worker(redis, "one", &["--lease", "2s", "--concurrency", "2"]);
    let mut run = scene.run(redis);
    run.until_count("\"task-ended\"", 10);
    (scene, worker, run)
}

/// The run ends well, and it was said what happened.
fn recovers(scene: &Scene, redis: &Redis, run: Run, says: Option<&str>) {
    let ran = run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
    if let Some(says) = says {
        let said = ran.warnings("queue-state-lost");
        assert!(said.len() == 1 && said[0].contains(says), "{said:?}: {ran}");
    }
    // Nobody asks on and on for what is not there.
    let before = redis.commands();
    thread::sleep(Duration::from_secs(3));
    let commands = redis.commands() - before;
    assert!(commands < 150, "an idle worker sent {commands} commands in 3 s");
}

#[test]
fn r8_a_flushed_server_is_told_as_queue_state_lost_and_the_run_goes_on() {
    let redis = Redis::start(&[]);
    let (scene, mut worker, run) = halfway(&redis);
    redis.command::<()>(&["FLUSHALL"]);
    recovers(&scene, &redis, run, Some("queue state lost"));
    assert!(worker.lives(), "{}", worker.said());
}

#[test]
fn r8_a_record_that_was_evicted_is_told_as_queue_state_lost() {
    let redis = Redis::start(&[]);
    let (scene, mut worker, run) = halfway(&redis);
    assert_eq!(redis.command::<u32>(&["DEL", &scene.run_keys().record]), 1);
    recovers(&scene, &redis, run, Some("queue state lost"));
    assert!(worker.lives(), "{}", worker.said());
}

#[test]
fn r8_a_missing_group_is_made_anew_and_nothing_is_executed_on_and_on() {
    let redis = Redis::start(&[]);
    let (scene, mut worker, run) = halfway(&redis);
    assert_eq!(redis.command::<u32>(&["XGROUP", "DESTROY", &scene.keys.tasks(), "workers"]), 1);
    recovers(&scene, &redis, run, None);
    assert!(worker.lives(), "{}", worker.said());
    let twice = scene.executions().values().filter(|(begun, _)| *begun > 1).count();
    assert!(twice <= 8, "{twice} branches were executed again, and only what was held may be");
}

#[test]
fn r8_streams_that_are_gone_are_missed() {
    let redis = Redis::start(&[]);
    for results in [false, true] {
        let (scene, mut worker, run) = halfway(&redis);
        let key = if results { scene.run_keys().results } else { scene.keys.tasks() };
        assert_eq!(redis.command::<u32>(&["DEL", &key]), 1);
        recovers(&scene, &redis, run, None);
        assert!(worker.lives(), "{}", worker.said());
    }
}

#[test]
fn r9_a_waiting_entry_that_is_deleted_is_lost_and_made_again() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(6, 1);
    let run = scene.run(&redis);
    until(HANGS, "the queue", || scene.queued(&redis) == 6);
    for (entry, _) in scene.entries(&redis).into_iter().take(2) {
        assert_eq!(redis.command::<u32>(&["XDEL", &scene.keys.tasks(), &entry]), 1);
    }
    let _worker = scene.worker(&redis, "one", &[]);
    let ran = run.succeeds(6);
    scene.has_one_outcome_each(6);
    assert_eq!(scene.lost(), 2, "{ran}");
    assert!(ran.lines.iter().any(|line| line.contains("somebody removed it from the queue")), "{ran}");
}

#[test]
fn r9_a_pending_entry_that_is_trimmed_is_lost_and_made_again() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(1, 20_000);
    let mut held = scene.worker(&redis, "held", &["--lease", "2s"]);
    let run = scene.run(&redis);
    until(HANGS, "the execution", || scene.begun() == 1);
    held.stop();
    redis.command::<u32>(&["XTRIM", &scene.keys.tasks(), "MAXLEN", "0"]);
    held.kill();
    let toml = scene.place.read("workflow.toml");
    assert!(toml.contains("20000"));
    let _other = scene.worker(&redis, "other", &["--lease", "2s"]);
    until(HANGS, "the second execution", || scene.begun() == 2);
    let ran = run.succeeds(1);
    assert_eq!(scene.lost(), 1, "{ran}");
    assert_eq!(scene.held(&redis), []);
}
