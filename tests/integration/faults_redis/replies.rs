//! R6, R13: answers that are lost on their way, and scripts that the server forgets.

use super::{HANGS, Scene};
use crate::support::{Proxy, Redis, repository, until};

/// The name by which a server knows a script of the queue.
fn script(redis: &Redis, name: &str) -> String {
    let text = repository().join(format!("host/src/queue/scripts/{name}.lua"));
    redis.command(&["SCRIPT", "LOAD", &std::fs::read_to_string(text).unwrap()])
}

#[test]
fn r6_a_lost_answer_to_enqueue_makes_no_second_task() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::to(redis.port());
    proxy.swallow(&script(&redis, "enqueue"), 2);
    let scene = Scene::marking(500, 1);
    let run = scene.run_at(&proxy.url(), &[]);
    until(HANGS, "the lost answers", || proxy.swallowed() == 2);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "8"]);
    run.succeeds(500);
    scene.has_one_outcome_each(500);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}

#[test]
fn r6_a_lost_answer_to_finish_makes_no_second_outcome() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::to(redis.port());
    let scene = Scene::marking(300, 5);
    let worker =
        scene.worker_at(&proxy.url(), &redis, "one", &["--concurrency", "4", "--metrics", "127.0.0.1:0"]);
    let finish = script(&redis, "finish");
    proxy.swallow(&finish, 3);
    let run = scene.run(&redis);
    run.succeeds(300);
    assert_eq!(proxy.swallowed(), 3, "{}", worker.said());
    scene.has_one_outcome_each(300);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
    assert_eq!(scene.lost(), 0);
}

#[test]
fn r6_a_lost_answer_to_any_script_is_asked_for_again() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::to(redis.port());
    for name in ["begin", "forget", "seek"] {
        let scene = Scene::marking(40, 200);
        let _worker = scene.worker(&redis, name, &["--concurrency", "4"]);
        proxy.swallow(&script(&redis, name), 1);
        let run = scene.run_at(&proxy.url(), &[]);
        run.succeeds(40);
        scene.has_one_outcome_each(40);
        assert!(scene.executions().values().all(|times| *times == (1, 1)), "{name}");
    }
}

#[test]
fn r13_scripts_that_are_flushed_all_the_time_are_loaded_again() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(200, 20);
    let _worker = scene.worker(&redis, "one", &["--lease", "1s", "--concurrency", "4"]);
    let mut run = scene.run(&redis);
    for round in 1..20 {
        run.until_count("\"task-ended\"", round * 10);
        redis.command::<()>(&["SCRIPT", "FLUSH"]);
    }
    run.succeeds(200);
    scene.has_one_outcome_each(200);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}
