//! Guests in other languages and by other ways.

use serde_json::json;

use crate::support::{Place, python_guest};

#[test]
fn a_python_guest_runs_as_tasks() {
    let place = Place::new();
    std::fs::copy(python_guest(), place.path().join("python.wasm")).unwrap();
    place.file(
        "workflow.toml",
        r#"
        [components]
        python = "python.wasm"
        [tasks.count]
        run = "python#count"
        with = { text = "to be or not to be" }
        [tasks.greet]
        run = "python#greet"
        with = { name = "${item}" }
        [groups.greetings]
        task = "greet"
        for-each = ["Ada", "Grace", "Barbara"]
        [tasks.nobody]
        run = "python#greet"
        with = { name = "" }
        [outputs]
        count = "${count}"
        greetings = "${greetings}"
        nobody = "${nobody}"
        "#,
    );
    let ended = place.run(["--progress", "plain"]);
    assert_eq!(ended.code, 100, "the empty name fails: {ended}");
    let value = ended.json();
    assert_eq!(value["count"][0][1], 2, "{value}");
    let greetings = value["greetings"].as_array().unwrap();
    assert_eq!(greetings.len(), 3);
    assert!(greetings[1].as_str().unwrap().contains("Grace"), "{value}");
    assert_eq!(value.get("nobody"), None);
    let inspected = place.flowhost(["inspect", "python.wasm", "--json"]).json();
    let tasks: Vec<_> =
        inspected["tasks"].as_array().unwrap().iter().map(|task| task["name"].clone()).collect();
    assert_eq!(tasks, [json!("count"), json!("greet")], "the runtime's own exports are no tasks");
}

#[test]
fn guests_speak_by_every_way_and_their_lines_are_shown_harmlessly() {
    let place = Place::new();
    place.guest("talkative").file(
        "workflow.toml",
        r#"
        [components]
        talkative = "talkative.wasm"
        [tasks.both]
        run = "talkative#both"
        with = { n = 2 }
        [tasks.levels]
        run = "talkative#levels"
        [tasks.wasi]
        run = "talkative#wasi-levels"
        [tasks.escapes]
        run = "talkative#escapes"
        [tasks.bytes]
        run = "talkative#stdout-bytes"
        with = { bytes = [104, 105, 255, 10, 120] }
        [groups.many]
        tasks = ["both", "levels"]
        "#,
    );
    let ended = place.run(["--progress", "plain"]);
    assert_eq!(ended.code, 0, "{ended}");
    for line in ["many[0]", "out 0", "err 1", "many[1]", "trace", "error", "wasi"] {
        assert!(ended.stderr.contains(line), "`{line}` is not in: {ended}");
    }
    assert!(!ended.stderr.contains('\u{1b}'), "escape sequences are shown, not sent: {ended}");
    let json = place.run(["--progress", "json"]);
    for event in crate::groups::events(&json.stderr) {
        assert!(event["version"] == 1 && event["seq"].is_u64() && event["time"].is_string(), "{event}");
    }
}

#[test]
fn floods_of_lines_are_cut_with_a_mark() {
    let place = Place::new();
    place.guest("talkative").file(
        "workflow.toml",
        r#"
        [components]
        talkative = "talkative.wasm"
        [tasks.flood]
        run = "talkative#lines"
        with = { n = 1000000 }
        limits = { log = "4KiB" }
        "#,
    );
    let ended = place.run(["--progress", "json"]);
    assert_eq!(ended.code, 0, "{ended}");
    let logs: Vec<_> =
        crate::groups::events(&ended.stderr).into_iter().filter(|event| event["event"] == "log").collect();
    assert_eq!(logs.iter().filter(|event| event["cut"] == true).count(), 1);
    assert!(logs.last().unwrap()["cut"] == true && logs.len() < 2000, "{} lines", logs.len());
}
