//! Runs that go on: what stays, what runs again, and what is refused.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::recorded::{ends, history, runs};
use crate::support::{Ended, Place, ended};

/// One task of which some branches fail, a task that reads files, and one that waits for both.
const WORKFLOW: &str = r#"
    [inputs]
    factor = { type = "u32", default = 1 }
    [components]
    echo = "echo.wasm"
    failing = "failing.wasm"
    [tasks.number]
    run = "echo#add"
    with = { a = "${item}", b = "${inputs.factor}" }
    [groups.numbers]
    task = "number"
    for-each = { jsonl = "numbers.jsonl" }
    [tasks.text]
    run = "echo#echo-string"
    with = { value = { file = "${item.path}" } }
    [groups.texts]
    task = "text"
    for-each = { files = "texts/*.txt" }
    [tasks.sum]
    run = "echo#sum"
    with = { values = "${numbers}" }
    [tasks.flag]
    run = "failing#fail-odd"
    with = { number = 1 }
    [outputs]
    sum = "${sum}"
    texts = "${texts}"
"#;

/// A run that ended, all of it but one failed.
fn ran() -> Place {
    let place = Place::new();
    place.guest("echo").guest("failing").file("workflow.toml", WORKFLOW);
    place.file("numbers.jsonl", "1\n2\n3\n").file("texts/a.txt", "A").file("texts/b.txt", "B");
    let ended = place.run(["--progress", "none", "--input", "factor=10"]);
    assert_eq!((ended.code, ended.json()), (100, json!({ "sum": 36, "texts": ["A", "B"] })), "{ended}");
    place
}

pub(crate) fn resumed(place: &Place, flags: &[&str]) -> Ended {
    place.run(["--progress", "none", "--resume"].iter().chain(flags))
}

/// How many attempts each branch of a node took.
pub(crate) fn attempts(place: &Place, node: &str) -> Vec<u32> {
    let history = history(place);
    let mut branches: Vec<_> = history.nodes.get(node).unwrap().branches.iter().collect();
    branches.sort_by_key(|(index, _)| **index);
    branches.into_iter().map(|(_, branch)| branch.attempts).collect()
}

#[test]
fn there_must_be_something_to_go_on_with() {
    let place = Place::new();
    place.guest("echo").guest("failing").file("workflow.toml", WORKFLOW);
    let ended = resumed(&place, &[]);
    assert!(
        ended.code == 2 && ended.stderr.contains("there is no unfinished run of `workflow.toml`"),
        "{ended}"
    );
    let place = ran();
    let ended = resumed(&place, &[]);
    assert!(ended.code == 2 && ended.stderr.contains("there is no unfinished run"), "{ended}");
    let by_id = format!("--resume={}", runs(&place)[0]);
    // Named, a run that has ended gives its outputs again, which may have been lost.
    let ended = place.run([&by_id]);
    assert_eq!((ended.code, ended.json()), (100, json!({ "sum": 36, "texts": ["A", "B"] })), "{ended}");
    assert!(ended.stderr.contains("--retry-failed runs again"), "{ended}");
    assert_eq!(attempts(&place, "flag"), [1]);
    place.file("other.toml", WORKFLOW);
    let ended = place.flowhost(["run", "other.toml", &by_id, "--retry-failed"]);
    assert!(ended.code == 2 && ended.stderr.contains("another workflow file"), "{ended}");
    let ended = place.run(["--resume=2001"]);
    assert!(ended.code == 2 && ended.stderr.contains("there is no run `2001`"), "{ended}");
    let ended = place.run(["--retry-failed"]);
    assert!(ended.code == 2 && ended.stderr.contains("add --resume"), "{ended}");
    let ended = place.run(["--resume", "--dry-run"]);
    assert!(ended.code == 2 && ended.stderr.contains("--dry-run runs nothing"), "{ended}");
}

#[test]
fn what_failed_runs_again_and_inputs_are_remembered() {
    let place = ran();
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!((ended.code, ended.json()), (100, json!({ "sum": 36, "texts": ["A", "B"] })), "{ended}");
    assert_eq!(attempts(&place, "flag"), [2]);
    assert_eq!(attempts(&place, "numbers"), [1, 1, 1]);
    assert_eq!(runs(&place).len(), 1);
    // A failure that stays is told again.
    assert!(ended.stderr.contains("1 is odd"), "{ended}");
    assert!(ends(&place).values().all(|ends| *ends == 1));
}

#[test]
fn a_change_is_refused_and_named_and_forced_runs_what_it_touches() {
    type Change = fn(&Place) -> &Place;
    // What changes, what is said, and how many attempts numbers, texts, sum have when it was forced.
    let cases: [(Change, &str, [&[u32]; 3]); 6] = [
        (
            |place| place.file("workflow.toml", WORKFLOW.replace("number = 1", "number = 3")),
            "the workflow file changed",
            [&[1, 1, 1], &[1, 1], &[1]],
        ),
        (
            |place| place.file("workflow.toml", WORKFLOW.replace("${item}\", b", "${item}\", b  ")),
            "the workflow file changed",
            [&[1, 1, 1], &[1, 1], &[1]],
        ),
        (
            |place| place.file("numbers.jsonl", "1\n2\n4\n"),
            "the items of `numbers` changed",
            [&[2, 2, 2], &[1, 1], &[2]],
        ),
        (
            |place| place.file("texts/b.txt", "C"),
            "the file `texts/b.txt` changed",
            [&[1, 1, 1], &[1, 2], &[1]],
        ),
        (
            |place| {
                std::fs::remove_file(place.path().join("texts/b.txt")).unwrap();
                place
            },
            "the items of `texts` changed; the file `texts/b.txt` cannot be read again",
            [&[1, 1, 1], &[2, 1], &[1]],
        ),
        (
            |place| {
                let mut wasm = std::fs::read(place.path().join("failing.wasm")).unwrap();
                // A custom section of one byte that says nothing.
                wasm.extend_from_slice(&[0, 2, 1, b'x']);
                place.file("failing.wasm", wasm)
            },
            "component `failing` changed: it was sha256:",
            [&[1, 1, 1], &[1, 1], &[1]],
        ),
    ];
    for (change, says, [numbers, texts, sum]) in cases {
        let place = ran();
        change(&place);
        let ended = resumed(&place, &["--retry-failed"]);
        assert!(ended.code == 2 && ended.stderr.contains(says), "{says}: {ended}");
        assert!(ended.stderr.contains("--force-changed"), "{ended}");
        let ended = resumed(&place, &["--retry-failed", "--force-changed"]);
        assert_eq!(ended.code, 100, "{says}: {ended}");
        assert_eq!(attempts(&place, "numbers"), numbers, "{says}");
        assert_eq!(attempts(&place, "texts"), texts, "{says}");
        assert_eq!(attempts(&place, "sum"), sum, "{says}");
        assert_eq!(attempts(&place, "flag"), [2], "{says}");
        // What was forced is what is recorded from here on.
        assert_eq!(resumed(&place, &["--retry-failed"]).code, 100, "{says}");
    }
}

#[test]
fn an_input_that_changes_is_refused_and_named() {
    let place = ran();
    let ended = resumed(&place, &["--retry-failed", "--input", "factor=11"]);
    assert!(ended.code == 2 && ended.stderr.contains("input `factor` has another value"), "{ended}");
    let ended = resumed(&place, &["--retry-failed", "--force-changed", "--input", "factor=11"]);
    assert_eq!(ended.json(), json!({ "sum": 39, "texts": ["A", "B"] }), "{ended}");
    assert_eq!(attempts(&place, "texts"), [1, 1]);
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!(ended.json()["sum"], 39, "{ended}");
}

#[test]
fn h3_an_interrupted_run_goes_on() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.wait]
        run = "failing#wait-for-cancel"
        with = { ms = 600_000 }
        [groups.waiting]
        task = "wait"
        for-each = { range = [0, 3] }
        concurrency = 1
        [outputs]
        waiting = "${waiting}"
        "#,
    );
    for branch in 0..3 {
        let resume = if branch == 0 { None } else { Some("--resume") };
        let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
        let command = command.args(resume).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut sent = false;
        for line in lines {
            if line.unwrap().contains("\"attempt-started\"") && !sent {
                let id = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
                kill_process(id, Signal::INT).unwrap();
                sent = true;
            }
        }
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(if branch == 2 { 0 } else { 130 }), "branch {branch}");
        assert_eq!(ends(&place).len(), branch + 1, "only what ended is recorded as ended");
    }
    assert_eq!(attempts(&place, "waiting"), [1, 1, 1]);
    let ended = resumed(&place, &[]);
    assert!(ended.code == 2 && ended.stderr.contains("no unfinished run"), "{ended}");
}

#[test]
fn values_that_the_store_lost_are_made_anew() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.large]
        run = "failing#big-string"
        with = { bytes = "${item}" }
        [groups.larges]
        task = "large"
        for-each = [100_000, 10, 100_001]
        [tasks.flag]
        run = "failing#fail-odd"
        with = { number = 1 }
        [outputs]
        larges = "${larges}"
        "#,
    );
    let first = place.run(["--progress", "none"]);
    assert_eq!(first.code, 100, "{}", first.stderr);
    let store = place.path().join(".flowhost/store");
    let mut entries = crate::support::files_below(&store);
    let component = std::fs::read(place.path().join("failing.wasm")).unwrap();
    entries.retain(|entry| std::fs::read(entry).unwrap() != component);
    assert_eq!(entries.len(), 2, "{entries:?}");
    let mut bytes = std::fs::read(&entries[0]).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&entries[0], bytes).unwrap();
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!((ended.code, &ended.stdout), (100, &first.stdout), "{}", ended.stderr);
    let mut made = attempts(&place, "larges");
    assert_eq!(made[1], 1);
    made.sort_unstable();
    assert_eq!(made, [1, 1, 2], "only the damaged one is made anew");
    let names: Vec<_> = crate::support::files_below(&store);
    assert_eq!(names.iter().filter(|name| name.to_string_lossy().ends_with(".damaged")).count(), 1);
    std::fs::remove_file(&entries[1]).unwrap();
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!((ended.code, &ended.stdout), (100, &first.stdout), "{}", ended.stderr);
}

#[test]
fn a_write_grant_over_what_is_kept_is_refused() {
    let place = Place::new();
    place.guest("echo").file("out/keep", "").file("state/keep", "").file(
        "workflow.toml",
        "[components]\necho = \"echo.wasm\"\n[tasks.t]\nrun = \"echo#answer\"\ngrants = { write = [\"state\"] }\n",
    );
    assert_eq!(place.flowhost(["check", "workflow.toml"]).code, 0);
    for inside in ["state", "state/deeper"] {
        let ended = place.flowhost(["check", "workflow.toml", "--state-dir", inside]);
        assert!(ended.code == 2 && ended.stderr.contains("where runs are kept"), "{ended}");
        assert_eq!(place.run(["--state-dir", inside]).code, 2);
    }
    assert_eq!(place.run(["--state-dir", "out/state", "--progress", "none"]).code, 0);
}

const SHARING: &str = r#"
    [components]
    sharing = "sharing.wasm"
    failing = "failing.wasm"
    [tasks.put]
    run = "sharing#write"
    with = { key = "a", text = "kept" }
    [tasks.gate]
    run = "failing#flaky"
    with = { until-attempt = 2 }
    after = ["put"]
    [tasks.read]
    run = "sharing#read"
    with = { key = "a" }
    after = ["gate"]
    [outputs]
    read = "${read}"
"#;

#[test]
fn the_channel_is_as_it_was() {
    let place = Place::new();
    place.guest("sharing").guest("failing").file("workflow.toml", SHARING);
    assert_eq!(place.run(["--progress", "none"]).code, 100);
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "read": "kept" })), "{ended}");
}

#[test]
fn a_secret_in_the_channel_is_not_written_down_and_the_run_does_not_go_on() {
    let place = Place::new();
    let secret = SHARING.replace("\"kept\"", "{ env = \"FLOW_TOKEN\" }");
    place.guest("sharing").guest("failing").file("workflow.toml", secret);
    let run = |flags: &[&str]| {
        let mut command = place.command(["run", "workflow.toml", "--progress", "none"]);
        ended(command.args(flags).env("FLOW_TOKEN", "hunter2"))
    };
    assert_eq!(run(&[]).code, 100);
    let journals = format!("grep -r hunter2 {}", place.path().join(".flowhost").display());
    let found = std::process::Command::new("sh").args(["-c", &journals]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the secret is on the disk");
    let refused = run(&["--resume", "--retry-failed"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("wrote a secret to the run's channel"), "{refused}");
}

#[test]
fn a_group_that_tasks_split_and_merge_goes_on() {
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        failing = "failing.wasm"
        [tasks.make]
        run = "echo#echo-longs"
        [tasks.odd]
        run = "failing#fail-odd"
        with = { number = "${item}" }
        [tasks.list]
        run = "echo#echo-longs"
        [groups.all]
        task = "odd"
        for-each = [2, 4, 6]
        split = { task = "make" }
        merge = { task = "list" }
        [tasks.gate]
        run = "failing#flaky"
        with = { until-attempt = 2 }
        after = ["all"]
        [outputs]
        all = "${all}"
        "#,
    );
    let first = place.run(["--progress", "none"]);
    assert_eq!((first.code, first.json()), (100, json!({ "all": [2, 4, 6] })), "{first}");
    let ended = place.run(["--progress", "json", "--resume", "--retry-failed"]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "all": [2, 4, 6] })), "{ended}");
    let attempts = crate::groups::events(&ended.stderr);
    let attempts = attempts.iter().filter(|event| event["event"] == "attempt-ended");
    let tasks: Vec<_> = attempts.map(|event| event["task"].as_str().unwrap().to_owned()).collect();
    assert_eq!(tasks, ["gate"], "all else was recorded");
}

/// Figures, guest time and fuel of what was recorded belong to the run, whichever process ran it.
#[test]
fn h1_totals_of_a_killed_run_hold_what_was_recorded() {
    let place = Place::new();
    place.guest("sharing").guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        sharing = "sharing.wasm"
        failing = "failing.wasm"
        [tasks.figure]
        run = "sharing#figure"
        with = { name = "pages", amount = 1.5, fails-first = true }
        limits = { fuel = 1_000_000_000 }
        [groups.all]
        task = "figure"
        for-each = { range = [0, 20] }
        retry = { max-attempts = 2, delay = "1ms" }
        [tasks.wait]
        run = "failing#wait-for-cancel"
        with = { ms = 600_000 }
        after = ["all"]
        [tasks.last]
        run = "sharing#figure"
        with = { name = "pages", amount = 10.0, fails-first = false }
        after = ["all"]
        "#,
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let group = |events: &[serde_json::Value]| {
        let ended = |event: &&serde_json::Value| event["event"] == "group-ended" && event["group"] == "all";
        events.iter().find(ended).cloned()
    };
    let mut seen = Vec::new();
    for line in lines {
        seen.extend(crate::groups::events(&line.unwrap()));
        if group(&seen).is_some() {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    let first = group(&seen).unwrap();
    assert_eq!(first["metrics"]["pages"], 30.0, "{first}");

    place.file("workflow.toml", place.read("workflow.toml").replace("600_000", "1"));
    let ended = place.run(["--progress", "json", "--resume", "--force-changed"]);
    assert_eq!(ended.code, 0, "{ended}");
    let events = crate::groups::events(&ended.stderr);
    let again = group(&events).unwrap();
    assert_eq!((&again["metrics"], &again["fuel"]), (&first["metrics"], &first["fuel"]), "{ended}");
    let whole = events.last().unwrap();
    assert_eq!(whole["metrics"]["pages"], 40.0, "{whole}");
    assert_eq!(whole["fuel"], first["fuel"], "{whole}");
    let executed = events.iter().filter(|event| event["event"] == "attempt-ended" && event["group"] == "all");
    assert_eq!(executed.count(), 0, "{ended}");
}
