//! R14: what nobody of ours wrote: garbage in the queue, and attempts and outcomes that are forged.

use super::{HANGS, Run, Scene};
use crate::support::{Place, Redis, Worker, until};

#[test]
fn r14_garbage_in_the_stream_becomes_dead_letters_and_the_worker_lives() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(20, 1);
    let mut worker = scene.worker(&redis, "one", &["--lease", "1s"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 20);
    run.succeeds(20);
    let tasks = scene.keys.tasks();
    let run = "20260101-000000-aaaaaa";
    let call = "0".repeat(64);
    let long = "x".repeat(100_000);
    // What is no attempt is kept for people to look at; an attempt of a run that nobody knows is not.
    let garbage: [(&[&str], bool); 8] = [
        (&["nothing", "at all"], true),
        (&["run", run], true),
        (&["run", run, "attempt", "0.0.1.abc"], true),
        (&["run", run, "attempt", "0.0.1.abc", "call", &call, "body", ""], false),
        (&["run", run, "attempt", "0.0.1.abc", "call", &call, "body", "\u{1}\u{2}\u{3}"], false),
        (&["run", "../..", "attempt", "}{", "call", "no digest", "body", &long], true),
        (&["run", "", "attempt", "", "call", "", "body", ""], true),
        (&["body", &long], true),
    ];
    for (fields, _) in garbage {
        let command: Vec<&str> = ["XADD", &tasks, "*"].into_iter().chain(fields.iter().copied()).collect();
        redis.command::<String>(&command);
    }
    until(HANGS, "the worker's way with the garbage", || scene.queued(&redis) == 0);
    let dead = garbage.iter().filter(|(_, dead)| *dead).count();
    assert_eq!(redis.command::<usize>(&["XLEN", &scene.keys.letters()]), dead, "{}", worker.said());
    assert_eq!(scene.held(&redis), []);
    let shown = scene.place.flowhost(["queue", "--redis", &redis.url(), "--json"]);
    assert_eq!(shown.code, 0, "{shown}");
    // It goes on working.
    assert!(worker.lives(), "{}", worker.said());
    let again = scene.place.read("workflow.toml");
    scene.place.file("workflow.toml", again.replace("[0, 20]", "[100, 103]"));
    let ran = scene.run(&redis).end();
    assert_eq!(ran.code, Some(0), "{ran}");
}

/// An attempt that a run has queued, and whose entry somebody put another in the place of.
#[test]
fn r14_an_attempt_that_makes_no_sense_is_a_dead_letter_and_its_branch_is_lost() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking_with(2, 1, "on-failure = \"continue\"");
    let run = scene.run(&redis);
    until(HANGS, "the queue", || scene.queued(&redis) == 2);
    let (tasks, record) = (scene.keys.tasks(), scene.run_keys().record);
    let (entry, fields) = scene.entries(&redis).swap_remove(0);
    let attempt = &fields["attempt"];
    let parts = ["run", &fields["run"], "attempt", attempt, "call", &fields["call"], "body", "\u{1}garbage"];
    let command: Vec<&str> = ["XADD", &tasks, "*"].into_iter().chain(parts).collect();
    let other: String = redis.command(&command);
    redis.command::<u32>(&["HSET", &record, &format!("attempt {attempt}"), &format!("queued {other}")]);
    redis.command::<u32>(&["XDEL", &tasks, &entry]);
    let mut worker = scene.worker(&redis, "one", &[]);
    let ran = run.end();
    assert_eq!(ran.code, Some(100), "{ran}: {}", worker.said());
    assert_eq!(redis.command::<usize>(&["XLEN", &scene.keys.letters()]), 1, "{}", worker.said());
    scene.has_one_outcome_each(2);
    assert_eq!(scene.begun(), 1);
    assert!(worker.lives(), "{}", worker.said());
}

/// Garbage among what a run reads.
#[test]
fn r14_garbage_among_the_results_counts_for_nothing() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(3, 1);
    let mut run = scene.run(&redis);
    until(HANGS, "the queue", || scene.queued(&redis) == 3);
    let results = scene.run_keys().results;
    for fields in [
        ["attempt", "0.0.1", "outcome", "x"],
        ["attempt", "", "outcome", ""],
        ["a", "b", "c", "d"],
        ["from", "me", "said", "\u{1}garbage"],
    ] {
        let command: Vec<&str> = ["XADD", &results, "*"].into_iter().chain(fields).collect();
        redis.command::<String>(&command);
    }
    run.until("\"no-workers\"");
    let _worker = scene.worker(&redis, "one", &[]);
    run.succeeds(3);
    scene.has_one_outcome_each(3);
}

/// A workflow on an executor with a key.
fn signed(redis: &Redis, branches: u32) -> Scene {
    let scene = Scene::marking_with(branches, 1, "executor = \"fleet\"\non-failure = \"continue\"");
    let workflow = scene.place.read("workflow.toml");
    let executor = format!(
        "[executors.fleet]\nkind = \"redis\"\nurl = \"{}\"\nkey = {{ env = \"FLEET_KEY\" }}\n",
        redis.url()
    );
    scene.place.file("workflow.toml", format!("{executor}{workflow}"));
    scene
}

fn run_signed(place: &Place, key: &str) -> Run {
    Run::start(place.command(["run", "workflow.toml", "--progress", "json"]).env("FLEET_KEY", key))
}

fn worker_signed(scene: &Scene, redis: &Redis, id: &str, key: Option<&str>) -> Worker {
    let flags = scene.worker_flags(&["--lease", "1s"]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut command = Worker::command(&scene.place, &redis.url(), id, &flags);
    if let Some(key) = key {
        command.env("FLOWHOST_KEY", key);
    }
    let worker = Worker::spawn(&mut command, id);
    until(HANGS, "the worker", || crate::support::announced(redis, id));
    worker
}

#[test]
fn what_is_signed_with_the_run_s_key_is_executed_and_nothing_else_is() {
    let redis = Redis::start(&[]);
    let scene = signed(&redis, 3);
    let right = worker_signed(&scene, &redis, "right", Some("open sesame"));
    let run = run_signed(&scene.place, "open sesame");
    run.succeeds(3);
    drop(right);
    // Neither another key nor none executes anything of the run.
    for (id, key) in [("wrong", Some("swordfish")), ("keyless", None)] {
        let scene = signed(&redis, 2);
        let worker = worker_signed(&scene, &redis, id, key);
        let ran = run_signed(&scene.place, "open sesame").end();
        assert_eq!(ran.code, Some(100), "{id}: {ran}");
        assert_eq!(scene.begun(), 0, "{id}");
        let all = ran.lines.join("\n");
        assert!(!all.contains("open sesame") && !worker.said().contains("swordfish"), "{id}: {all}");
    }
    // A worker with a key executes nothing that is not signed.
    let plain = Scene::marking_with(2, 1, "on-failure = \"continue\"");
    let worker = worker_signed(&plain, &redis, "strict", Some("open sesame"));
    let ran = plain.run(&redis).end();
    assert_eq!((ran.code, plain.begun()), (Some(100), 0), "{ran}: {}", worker.said());
}

#[test]
fn an_outcome_that_is_forged_changes_nothing() {
    let redis = Redis::start(&[]);
    let scene = signed(&redis, 2);
    let mut run = run_signed(&scene.place, "open sesame");
    until(HANGS, "the queue", || scene.queued(&redis) == 2);
    // Outcomes as somebody without the key would write them.
    let results = scene.run_keys().results;
    for (_, fields) in scene.entries(&redis) {
        let forged = ["attempt", &fields["attempt"], "outcome", "\u{0}forged"];
        let command: Vec<&str> = ["XADD", &results, "*"].into_iter().chain(forged).collect();
        redis.command::<String>(&command);
    }
    let said = run.until("\"forged\"");
    assert!(said.contains("counts for nothing"), "{said}");
    let _worker = worker_signed(&scene, &redis, "right", Some("open sesame"));
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(scene.executions().len() == 2, "{ran}");
    scene.has_one_outcome_each(2);
}
