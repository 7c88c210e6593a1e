//! Several queues: named executors, and workers that serve one queue before another.

use std::time::SystemTime;

use super::{HANGS, Run, Scene};
use crate::support::{Redis, until};

/// Two groups on two executors of the file's own.
fn scene(redis: &Redis) -> Scene {
    let url = redis.url();
    Scene::of(&format!(
        r#"
        [executors.fast]
        kind = "redis"
        url = "{url}"
        queue = "urgent"
        [executors.slow]
        kind = "redis"
        url = "{url}"
        queue = "default"
        [defaults]
        grants = {{ write = ["marks"] }}
        [tasks.slow]
        run = "marking#mark"
        with = {{ folder = "marks", name = "${{item}}", ms = 30 }}
        [groups.slows]
        task = "slow"
        for-each = {{ range = [0, 10] }}
        executor = "slow"
        [tasks.fast]
        run = "marking#mark"
        with = {{ folder = "marks", name = "${{item}}", ms = 30 }}
        [groups.fasts]
        task = "fast"
        for-each = {{ range = [100, 110] }}
        executor = "fast"
        [outputs]
        slows = "${{slows}}"
        fasts = "${{fasts}}"
        "#
    ))
}

#[test]
fn queues_are_served_in_the_order_that_the_worker_names_them() {
    let redis = Redis::start(&[]);
    let scene = scene(&redis);
    let mut command = scene.place.command(["run", "workflow.toml", "--progress", "json"]);
    let run = Run::start(&mut command);
    let urgent = scene.keys.tasks().replace(":default}", ":urgent}");
    until(HANGS, "both queues", || {
        scene.queued(&redis) == 10 && redis.command::<u32>(&["XLEN", &urgent]) == 10
    });
    let _worker =
        scene.worker(&redis, "one", &["--queue", "urgent", "--queue", "default", "--concurrency", "1"]);
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    let mut order: Vec<(SystemTime, u64)> = scene
        .executions()
        .keys()
        .map(|branch| {
            let path = scene.place.path().join(format!("marks/{branch}.0.ended"));
            (std::fs::metadata(path).unwrap().modified().unwrap(), *branch)
        })
        .collect();
    order.sort_unstable();
    let order: Vec<u64> = order.into_iter().map(|(_, branch)| branch).collect();
    let expected: Vec<u64> = (100..110).chain(0..10).collect();
    assert_eq!(order, expected, "the urgent first, and each queue in its own order");
}

#[test]
fn a_worker_takes_from_no_queue_but_its_own() {
    let redis = Redis::start(&[]);
    let scene = scene(&redis);
    let fast = scene.worker(&redis, "fast", &["--queue", "urgent"]);
    let mut command = scene.place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut run = Run::start(&mut command);
    run.until_so("the end of the urgent ones", |run| {
        run.lines().iter().any(|line| line.contains("\"group-ended\"") && line.contains("\"fasts\""))
    });
    assert_eq!(scene.begun(), 10);
    drop(fast);
    let _slow = scene.worker(&redis, "slow", &[]);
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(scene.executions().values().all(|times| *times == (1, 1)));
}
