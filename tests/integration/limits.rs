//! Limits and grants: each breach is an outcome of its own, and what runs beside it goes on.

use serde_json::json;

use crate::groups::events;
use crate::support::{Ended, Place};

/// Runs one function of `failing` beside a well-behaved task.
fn breach(run: &str, with: &str, task: &str) -> Ended {
    let place = Place::new();
    place.guest("failing").guest("echo").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            failing = "failing.wasm"
            echo = "echo.wasm"
            [tasks.bad]
            run = "failing#{run}"
            with = {with}
            {task}
            [tasks.good]
            run = "echo#answer"
            [outputs]
            good = "${{good}}"
            "#
        ),
    );
    let ended = place.run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(ended.json(), json!({ "good": 42 }), "{ended}");
    ended
}

#[test]
fn each_breach_is_its_own_outcome_and_says_which_limit() {
    let cases = [
        ("fail", r#"{ message = "no" }"#, "", "failed", "no"),
        ("fail-record", r#"{ code = 7, message = "no" }"#, "", "failed", r#""code":7"#),
        ("fail-enum", "{}", "", "failed", "too-"),
        ("fail-permanent", r#"{ message = "never" }"#, "", "failed", "never"),
        ("trap", "{}", "", "trapped", "unreachable"),
        ("panic", r#"{ message = "oh" }"#, "", "trapped", "unreachable"),
        ("divide-by-zero", "{ number = 1 }", "", "trapped", ""),
        ("overflow-stack", "{}", "", "trapped", "stack"),
        ("out-of-memory", "{}", r#"limits = { memory = "16MiB" }"#, "trapped", "memory limit of 16 MiB"),
        (
            "big-output",
            "{ bytes = 2000000 }",
            r#"limits = { output = "1MiB" }"#,
            "trapped",
            "output limit of 1 MiB",
        ),
        (
            "big-string",
            "{ bytes = 2000000 }",
            r#"limits = { output = "1MiB" }"#,
            "trapped",
            "output limit of 1 MiB",
        ),
        (
            "big-list",
            "{ length = 400000 }",
            r#"limits = { output = "1MiB" }"#,
            "trapped",
            "output limit of 1 MiB",
        ),
        ("spin", "{}", "limits = { fuel = 1000000 }", "trapped", "fuel limit of 1000000"),
        ("spin", "{}", r#"limits = { timeout = "200ms" }"#, "timed-out", "200ms"),
        ("sleep", "{ ms = 3600000 }", r#"limits = { timeout = "200ms" }"#, "timed-out", "200ms"),
        ("exit", "{ code = 1 }", "", "failed", "exit"),
    ];
    for (run, with, task, outcome, says) in cases {
        let ended = breach(run, with, task);
        let events = events(&ended.stderr);
        let bad = events.iter().find(|event| event["event"] == "task-ended" && event["task"] == "bad");
        let bad = bad.unwrap_or_else(|| panic!("{run}: {ended}"));
        assert_eq!(bad["outcome"], outcome, "{run}: {bad}");
        assert!(bad["error"].as_str().unwrap().contains(says), "{run}: {bad}");
    }
}

#[test]
fn refused_memory_is_the_guests_to_handle() {
    let place = Place::new();
    place.guest("failing");
    let ended = place.flowhost(["call", "failing.wasm#refused-memory", "--memory", "16MiB"]);
    assert_eq!(ended.code, 0, "{ended}");
    let got: u64 = ended.stdout.trim().parse().unwrap();
    assert!((8 << 20..16 << 20).contains(&got), "{got}");
}

#[test]
fn every_attempt_has_an_instance_of_its_own() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.count]
        run = "failing#calls-before"
        [groups.many]
        task = "count"
        for-each = { range = [0, 200] }
        [outputs]
        many = "${many}"
        "#,
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.json()["many"], json!(vec![0; 200]), "{ended}");
}

/// One call of `reach`, with grants.
fn reach(place: &Place, run: &str, with: &str, grants: &str) -> Ended {
    place.guest("reach").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            [tasks.reach]
            run = "reach#{run}"
            with = {with}
            grants = {grants}
            [outputs]
            value = "${{reach}}"
            "#
        ),
    );
    place.run(["--progress", "plain"])
}

#[test]
fn nothing_is_granted_by_default() {
    let place = Place::new();
    place.file("data/a.txt", "a");
    for (run, with) in [
        ("read", r#"{ path = "data/a.txt" }"#),
        ("read", r#"{ path = "/etc/passwd" }"#),
        ("connect", r#"{ address = "127.0.0.1:1" }"#),
        ("resolve", r#"{ name = "localhost" }"#),
        ("send", r#"{ address = "127.0.0.1:9" }"#),
    ] {
        let ended = reach(&place, run, with, "{}");
        assert_eq!(ended.code, 100, "{run} {with}: {ended}");
    }
    let ended = reach(&place, "variables", "{}", "{}");
    assert_eq!(ended.json(), json!({ "value": [] }), "{ended}");
}

#[test]
fn a_granted_directory_is_all_that_a_task_reaches() {
    let place = Place::new();
    place.file("data/a.txt", "inside").file("canary.txt", "untouched").file("flow/data/keep", "");
    std::os::unix::fs::symlink("../canary.txt", place.path().join("data/out")).unwrap();
    std::os::unix::fs::symlink("a.txt", place.path().join("data/link")).unwrap();
    let read = r#"{ read = ["data"] }"#;
    let granted = |with: &str| reach(&place, "read", with, read);
    assert_eq!(granted(r#"{ path = "data/a.txt" }"#).json(), json!({ "value": "inside" }));
    assert_eq!(granted(r#"{ path = "data/link" }"#).json(), json!({ "value": "inside" }));
    for path in ["data/../canary.txt", "data/out", "canary.txt", "/canary.txt", "data/../../etc/passwd"] {
        let ended = granted(&format!(r#"{{ path = "{path}" }}"#));
        assert_eq!(ended.code, 100, "{path}: {ended}");
        assert!(!ended.stdout.contains("untouched"), "{path}: {ended}");
    }
    let write = r#"{ path = "data/new.txt", text = "new" }"#;
    assert_eq!(reach(&place, "write", write, read).code, 100, "reading does not include writing");
    assert!(!place.path().join("data/new.txt").exists());
    let ended = reach(&place, "write", write, r#"{ write = ["data"] }"#);
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(place.read("data/new.txt"), "new");
    let renamed = r#"{ read = [{ path = "data", as = "elsewhere" }] }"#;
    let ended = reach(&place, "read", r#"{ path = "elsewhere/a.txt" }"#, renamed);
    assert_eq!(ended.json(), json!({ "value": "inside" }), "{ended}");
    assert_eq!(place.read("canary.txt"), "untouched");
}

#[test]
fn variables_are_granted_by_name() {
    let place = Place::new();
    let ended = reach(&place, "variables", "{}", r#"{ env = { LANG = "C", MODE = "fast" } }"#);
    assert_eq!(ended.json(), json!({ "value": [["LANG", "C"], ["MODE", "fast"]] }), "{ended}");
}

#[test]
fn deterministic_tasks_give_equal_bytes() {
    let place = Place::new();
    place.guest("reach").file(
        "workflow.toml",
        r#"
        [components]
        reach = "reach.wasm"
        [defaults]
        deterministic = true
        [tasks.clocks]
        run = "reach#clocks"
        [tasks.slept]
        run = "reach#sleep"
        with = { ms = 3600000 }
        [tasks.random]
        run = "reach#random"
        with = { n = 32 }
        [tasks.insecure]
        run = "reach#insecure-random"
        with = { n = 32 }
        [tasks.seed]
        run = "reach#seed"
        [tasks.order]
        run = "reach#map-order"
        [tasks.nan]
        run = "reach#nan-bits"
        [outputs]
        clocks = "${clocks}"
        slept = "${slept}"
        random = "${random}"
        insecure = "${insecure}"
        seed = "${seed}"
        order = "${order}"
        nan = "${nan}"
        "#,
    );
    let first = place.run(["--progress", "none"]);
    assert_eq!(first.code, 0, "{first}");
    assert_eq!(first, place.run(["--progress", "none"]));
    assert_ne!(first.json()["random"], first.json()["insecure"]);
    let slept = first.json()["slept"].as_u64().unwrap();
    assert!(slept >= 3_600_000_000_000, "an hour passed by its own clock: {slept}");
    place.file("workflow.toml", format!("seed = 1\n{}", place.read("workflow.toml")));
    let reseeded = place.run(["--progress", "none"]);
    assert_ne!(first.json()["random"], reseeded.json()["random"]);
}
