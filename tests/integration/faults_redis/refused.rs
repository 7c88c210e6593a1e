//! R10: a server that takes no writes: out of memory, its disk full, a replica.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::Scene;
use crate::support::{Proxy, Redis, until};

#[test]
fn r10_out_of_memory_is_told_with_the_fix_and_the_run_goes_on_after_it() {
    let redis = Redis::start(&[]);
    // Each argument is large enough that ten of them do not fit.
    let scene = Scene::of(
        r#"
        [tasks.large]
        run = "echo#echo-string"
        with = { value = "${item}" }
        [groups.all]
        task = "large"
        for-each = { jsonl = "items.jsonl" }
        executor = "redis"
        [tasks.count]
        run = "echo#join"
        with = { parts = "${all}", separator = "" }
        limits = { output = "64MiB" }
        [outputs]
        text = { value = "${count}", file = "out.txt" }
        "#,
    );
    let items: String = (0..40).map(|at| format!("\"{}\"\n", at.to_string().repeat(30_000))).collect();
    scene.place.file("items.jsonl", items);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", &(redis.memory() + 600_000).to_string()]);
    let url = redis.url();
    let mut command = scene.place.command(["run", "workflow.toml", "--redis", &url, "--progress", "json"]);
    let mut run = super::Run::start(&mut command);
    let said = run.until("\"redis-unavailable\"");
    assert!(said.contains("raise `maxmemory`"), "{said}");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    let _worker = scene.worker(&redis, "one", &[]);
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    let expected: String = (0..40).map(|at: u32| at.to_string().repeat(30_000)).collect();
    assert!(scene.place.read("out.txt") == expected, "other values");
    scene.has_one_outcome_each(40);
}

/// To record an outcome makes room, so it is never refused for want of it.
#[test]
fn r10_outcomes_are_recorded_though_there_is_no_memory() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(4, 1_500);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "4"]);
    let run = scene.run(&redis);
    until(super::HANGS, "the executions", || scene.begun() == 4);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = redis.ask::<()>(&["SET", "key", "value"]).unwrap_err().to_string();
    assert!(refused.contains("OOM"), "{refused}");
    run.succeeds(4);
    scene.has_one_outcome_each(4);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}

/// What workers say besides outcomes takes room. Where there is none, outcomes do not wait for it: they are what
/// makes room.
#[test]
fn r10_a_queue_that_fills_the_server_drains_by_itself() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(12, 300);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "1"]);
    let run = scene.run(&redis);
    until(super::HANGS, "the first execution", || scene.begun() == 1);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    // The run wants to be told of every start.
    let ran = run.succeeds(12);
    scene.has_one_outcome_each(12);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{ran}");
}

#[test]
fn r10_a_full_disk_is_told_with_the_fix_and_the_run_goes_on_after_it() {
    let redis = Redis::start(&["--save", "3600 1000000"]);
    let scene = Scene::marking(30, 500);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 5);
    // No file of it may have any bytes, as when there is no room.
    let server = Pid::from_raw(i32::try_from(redis.process()).unwrap());
    let unlimited = Rlimit { current: None, maximum: None };
    prlimit(server, Resource::Fsize, Rlimit { current: Some(0), maximum: None }).unwrap();
    redis.command::<String>(&["BGSAVE"]);
    let said = run.until("\"redis-unavailable\"");
    assert!(said.contains("cannot write to its disk: make room"), "{said}");
    prlimit(server, Resource::Fsize, unlimited).unwrap();
    redis.command::<String>(&["BGSAVE"]);
    run.succeeds(30);
    scene.has_one_outcome_each(30);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}

#[test]
fn r10_a_master_that_becomes_a_replica_is_told_and_a_promoted_one_goes_on() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(30, 500);
    let _worker = scene.worker(&redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run(&redis);
    run.until_count("\"task-ended\"", 5);
    redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let said = run.until("it is a replica");
    assert!(said.contains("redis-unavailable") && said.contains("promote it"), "{said}");
    redis.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    run.succeeds(30);
    scene.has_one_outcome_each(30);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}

#[test]
fn r10_a_promoted_replica_behind_the_same_address_goes_on() {
    let mut main = Redis::appending("always");
    let replica = Redis::replica_of(&main);
    let address = Proxy::to(main.port());
    let scene = Scene::marking(60, 50);
    let _worker = scene.worker_at(&address.url(), &main, "one", &["--concurrency", "2", "--lease", "5s"]);
    let mut run = scene.run_at(&address.url(), &[]);
    run.until_count("\"task-ended\"", 15);
    main.kill();
    replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    address.lead_to(replica.port());
    run.succeeds(60);
    scene.has_one_outcome_each(60);
}

#[test]
fn r10_a_replica_that_is_named_is_refused() {
    let main = Redis::start(&[]);
    let replica = Redis::replica_of(&main);
    let scene = Scene::marking(1, 1);
    let ran = scene.run(&replica).end();
    assert_eq!(ran.code, Some(102), "{ran}");
    let said = ran.lines.join("\n");
    assert!(said.contains(&format!("replica of 127.0.0.1:{}", main.port())), "{said}");
    let refused = scene.place.flowhost(["worker", "--redis", &replica.url()]);
    assert!(refused.code == 102 && refused.stderr.contains("replica of"), "{refused}");
}

#[test]
fn r10_a_server_that_may_drop_any_key_is_refused() {
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-lru"]);
    let scene = Scene::marking(1, 1);
    let ran = scene.run(&redis).end();
    assert_eq!(ran.code, Some(102), "{ran}");
    assert!(ran.lines.join("\n").contains("set it to noeviction"), "{ran}");
    let refused = scene.place.flowhost(["worker", "--redis", &redis.url()]);
    assert!(refused.code == 102 && refused.stderr.contains("set it to noeviction"), "{refused}");
}
