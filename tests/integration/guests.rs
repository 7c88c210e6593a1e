//! Guests in other languages and by other ways.

use serde_json::json;

use crate::support::{Place, javascript_guest, python_guest};

#[test]
fn a_python_guest_runs_as_tasks() {
    let place = Place::new();
    place.component(&python_guest()).file(
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

#[test]
fn a_javascript_guest_runs_as_tasks() {
    let place = Place::new();
    place.component(&javascript_guest(false)).file(
        "workflow.toml",
        r#"
        [components]
        javascript = "javascript-offline.wasm"
        [tasks.count]
        run = "javascript#count"
        with = { text = "to be or not to be" }
        [tasks.nobody]
        run = "javascript#greet"
        with = { name = "" }
        [outputs]
        count = "${count}"
        nobody = "${nobody}"
        "#,
    );
    let ended = place.run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "the empty name fails: {ended}");
    assert_eq!(ended.json(), json!({ "count": [["be", 2], ["to", 2], ["not", 1], ["or", 1]] }), "{ended}");
    let events = crate::groups::events(&ended.stderr);
    let nobody = events.iter().find(|event| event["event"] == "task-ended" && event["task"] == "nobody");
    let nobody = nobody.unwrap_or_else(|| panic!("{ended}"));
    assert_eq!((&nobody["outcome"], &nobody["error"]), (&json!("failed"), &json!("a greeting needs a name")));
}

/// What a step of the large guest makes of `x`, as `tests/guests/large/build.rs` writes it.
fn step(number: u32, x: u64) -> u64 {
    let odd = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (x ^ odd).rotate_left(number % 63 + 1).wrapping_mul(odd) ^ (x >> (number % 31 + 1))
}

#[test]
fn large_guests_of_three_languages_run_beside_small_ones() {
    let place = Place::new();
    place.component(&python_guest()).component(&javascript_guest(false)).guest("large").guest("echo").file(
        "workflow.toml",
        r#"
        [components]
        python = "python.wasm"
        javascript = "javascript-offline.wasm"
        large = "large.wasm"
        echo = "echo.wasm"
        [tasks.py]
        run = "python#greet"
        with = { name = "${item}" }
        [tasks.js]
        run = "javascript#greet"
        with = { name = "${item}" }
        [groups.pythons]
        task = "py"
        for-each = ["a", "b", "c", "d", "e", "f", "g", "h"]
        [groups.scripts]
        task = "js"
        for-each = ["a", "b", "c", "d", "e", "f", "g", "h"]
        [tasks.walk]
        run = "large#walk"
        with = { start = "${item}", steps = [0, 1, 1500, 2999] }
        [groups.walks]
        task = "walk"
        for-each = { range = [0, 200] }
        [tasks.size]
        run = "large#size"
        [tasks.nowhere]
        run = "large#walk"
        with = { start = 1, steps = [3000] }
        [tasks.answer]
        run = "echo#answer"
        [groups.answers]
        task = "answer"
        for-each = { range = [0, 2000] }
        [outputs]
        pythons = "${pythons}"
        scripts = "${scripts}"
        walks = "${walks}"
        size = "${size}"
        answers = "${answers}"
        "#,
    );
    let ended = place.run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "there is no step 3000: {ended}");
    let value = ended.json();
    let greetings: Vec<_> = "abcdefgh".chars().map(|name| json!(format!("Hello, {name}!"))).collect();
    assert_eq!(value["pythons"], json!(greetings), "{ended}");
    assert_eq!(value["scripts"], json!(greetings), "{ended}");
    let walk = |start: u64| [0, 1, 1500, 2999].into_iter().fold(start, |x, number| step(number, x));
    let walks: Vec<_> = (0..200).map(walk).collect();
    assert_eq!(value["walks"], json!(walks));
    assert_eq!(value["size"], json!([3000, 12 << 20]));
    assert_eq!(value["answers"], json!(vec![42; 2000]));
    let events = crate::groups::events(&ended.stderr);
    let pool: Vec<_> = events.iter().filter(|event| event["kind"] == "pool-too-small").collect();
    assert!(pool.is_empty(), "the pool holds them all: {pool:?}");
}
