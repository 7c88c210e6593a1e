//! What is told of the children that a run has, and how many it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::children::{Running, pid, soon, workers};
use crate::support::Place;

const WORKFLOW: &str = r#"
    [components]
    failing = "failing.wasm"
    [tasks.here]
    run = "failing#sleep"
    with = { ms = 1 }
    [tasks.nap]
    run = "failing#sleep"
    with = { ms = 6_000 }
    [groups.naps]
    task = "nap"
    for-each = { range = [0, 3] }
    executor = "process"
"#;

/// The number of the child that an event names, if it names one.
fn child(event: &Value) -> Option<u32> {
    let worker = event.get("worker")?.as_str().unwrap();
    Some(worker.strip_prefix("child ").unwrap_or_else(|| panic!("{event}")).parse().unwrap())
}

#[test]
fn a_report_says_which_child_had_an_attempt() {
    let place = Place::new();
    place.guest("failing").file("workflow.toml", WORKFLOW);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    let run = running.child.id();
    let mut started = 0;
    let mut events = Vec::new();
    let mut seen = BTreeSet::new();
    let mut killed = None;
    while let Some(line) = running.next() {
        let event: Value = serde_json::from_str(&line).unwrap();
        started += usize::from(event["event"] == "attempt-started" && event["group"] == "naps");
        seen.extend(workers(run));
        if started == 3 && killed.is_none() {
            let one = *seen.first().unwrap();
            kill_process(pid(one), Signal::KILL).unwrap();
            killed = Some(one);
        }
        events.push(event);
    }
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "{events:#?}");
    let killed = killed.unwrap();
    let mut by_branch: BTreeMap<u64, Vec<(Value, u32)>> = BTreeMap::new();
    for event in &events {
        match (event["event"] == "attempt-ended", event["executor"].as_str()) {
            (true, Some("process")) => {
                let child = child(event).unwrap();
                assert!(seen.contains(&child), "{event}, of {seen:?}");
                let ends = by_branch.entry(event["index"].as_u64().unwrap()).or_default();
                ends.push((event["outcome"].clone(), child));
            }
            (true, Some("in-process")) | (false, _) => assert_eq!(event.get("worker"), None, "{event}"),
            (true, other) => panic!("{other:?}"),
        }
    }
    let lost: Vec<_> = by_branch.iter().filter(|(_, ends)| ends.len() == 2).collect();
    let [(index, ends)] = &lost[..] else { panic!("{by_branch:?}") };
    assert_eq!(ends[0], (Value::from("lost"), killed));
    assert_ne!(ends[1].1, killed);
    // The journal kept it, and it is told to people and to programs.
    let runs = place.flowhost(["runs", "--json"]).json();
    let run = runs[0]["run"].as_str().unwrap();
    let branch = format!("naps[{index}]");
    let told = place.flowhost(["explain", run, &branch, "--json"]).json();
    let recorded: Vec<_> = told["attempts"].as_array().unwrap().iter().map(|it| child(it).unwrap()).collect();
    assert_eq!(recorded, [killed, ends[1].1], "{told}");
    let text = place.flowhost(["explain", run, &branch]).stdout;
    assert!(text.contains(&format!(", process (child {killed}): lost after ")), "{text}");
    let text = place.flowhost(["explain", run, "here"]).stdout;
    assert!(text.contains(", in-process: succeeded after "), "{text}");
}

#[test]
fn children_beyond_the_cores_end_when_nothing_waits_any_more() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [defaults]
        executor = "process"
        [tasks.nap]
        run = "failing#sleep"
        with = { ms = 4_000 }
        [groups.naps]
        task = "nap"
        for-each = { range = [0, 12] }
        [tasks.long]
        run = "failing#sleep"
        with = { ms = 120_000 }
        after = ["naps"]
        "#,
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    let run = running.child.id();
    running.until("\"task\":\"nap\"");
    let cores = std::thread::available_parallelism().unwrap().get();
    let many = 12.min(cores + 4);
    soon(Duration::from_secs(60), "the start of children beside those that wait", || {
        workers(run).len() >= many
    });
    running.until("\"task\":\"long\"");
    soon(Duration::from_secs(30), "the end of idle children", || workers(run).len() <= cores);
    // The one that works is among those that stay.
    assert!(!workers(run).is_empty());
    assert!(running.child.try_wait().unwrap().is_none());
}
