//! R1, R5: workers that are killed, two hundred times in one run, or by what they execute.

use std::collections::BTreeMap;

use super::{HANGS, Run, Scene, next};
use crate::recorded::history;
use crate::support::{Redis, Worker, until};

const BRANCHES: u32 = 10_000;
const KILLS: usize = 200;
const WORKERS: usize = 4;

#[test]
fn r1_ten_thousand_branches_have_one_outcome_each_while_workers_are_killed() {
    let redis = Redis::start(&[]);
    let scene = Scene::of(&format!(
        r#"
        [tasks.nap]
        run = "marking#echo-after"
        with = {{ ms = 20, number = "${{item}}" }}
        [groups.all]
        task = "nap"
        for-each = {{ range = [0, {BRANCHES}] }}
        [outputs]
        all = "${{all}}"
        "#
    ));
    let start = |number: usize| {
        let id = format!("w{number}");
        let flags = ["--lease", "2s", "--concurrency", "4"];
        Worker::spawn(&mut Worker::command(&scene.place, &redis.url(), &id, &flags), &id)
    };
    let mut workers: Vec<Worker> = (0..WORKERS).map(start).collect();
    let mut run = scene.run(&redis);
    let ended = |run: &Run| run.count("\"task-ended\"");
    let (mut seed, mut started) = (1, WORKERS);
    // After every so many outcomes one of them is killed, whatever it does, and another takes its place.
    let every = BRANCHES as usize / (KILLS + 10);
    for kill in 1..=KILLS {
        run.until_so("more outcomes", |run| ended(run) >= kill * every);
        let chosen = next(&mut seed) % WORKERS;
        assert!(workers[chosen].lives(), "a worker ended by itself: {}", workers[chosen].said());
        workers[chosen].kill();
        workers[chosen] = start(started);
        started += 1;
    }
    let before = ended(&run);
    assert!(before < BRANCHES as usize, "it ended before the last was killed");
    run.succeeds(BRANCHES);
    scene.has_one_outcome_each(BRANCHES);
    let lost = scene.lost();
    println!("{KILLS} workers were killed; {lost} attempts were given up");
    assert_eq!(scene.queued(&redis), 0);
}

/// What it executes ends its worker each time: the test sees to that.
#[test]
fn r5_a_task_that_kills_its_worker_each_time_is_a_dead_letter_with_a_reason() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking_with(2, 600_000, "on-failure = \"continue\"");
    let toml = scene.place.read("workflow.toml");
    // The other branch ends as soon as it begins.
    scene.place.file("items.jsonl", "{\"name\":0,\"ms\":600000}\n{\"name\":1,\"ms\":0}\n").file(
        "workflow.toml",
        toml.replace("{ range = [0, 2] }", "{ jsonl = \"items.jsonl\" }")
            .replace("${item}", "${item.name}")
            .replace("ms = 600000", "ms = \"${item.ms}\""),
    );
    let mut run = scene.run(&redis);
    let mut deliveries = 0;
    let mut worker = scene.worker(&redis, "w0", &["--lease", "5s"]);
    while run.count("\"group-ended\"") == 0 {
        let kills = || scene.executions().get(&0).map_or(0, |(begun, _)| *begun);
        let before = deliveries;
        until(HANGS, "the next delivery, or the end", || {
            deliveries = kills();
            deliveries > before || run.count("\"group-ended\"") > 0
        });
        if deliveries > before {
            assert!(deliveries < 20, "it is delivered again and again");
            worker.kill();
            worker = scene.worker(&redis, &format!("w{deliveries}"), &["--lease", "5s"]);
        }
    }
    let ended = run.until("\"group-ended\"");
    assert!(ended.contains("\"succeeded\":1") && ended.contains("\"failed\":1"), "{ended}");
    let ran = run.end();
    assert_eq!(ran.code, Some(100), "{ran}");
    assert_eq!(deliveries, 4, "once, and as often again as a branch may be lost: {ran}");
    // The other one may have been in hand at the first two deliveries. From the third on each is executed alone.
    let (begun, _) = scene.executions()[&1];
    assert!(begun <= 3, "the other one was executed {begun} times");
    let branch = history(&scene.place).nodes["all"].branches[&0].clone();
    let error = branch.more.as_ref().and_then(|more| more.error.clone()).unwrap();
    assert!(error.contains("4 times"), "{error}");
    // People see it, with the reason.
    let shown = scene.place.flowhost(["queue", "--redis", &redis.url(), "--json"]);
    assert_eq!(shown.code, 0, "{shown}");
    let letters: BTreeMap<String, String> = shown.json()[0]["letters"]
        .as_array()
        .unwrap_or_else(|| panic!("{shown}"))
        .iter()
        .map(|letter| (letter["id"].to_string(), letter["reason"].to_string()))
        .collect();
    assert_eq!(letters.len(), 1, "{shown}");
    assert!(letters.values().all(|reason| reason.contains("4 times")), "{shown}");
    assert_eq!(scene.queued(&redis), 0);
}
