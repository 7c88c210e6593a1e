//! The run's channel: what the tasks of a run share.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Ended, Place};

/// A place with the guest, and a workflow of `tasks` and the rest.
fn sharing(workflow: &str) -> Place {
    let place = Place::new();
    let text = format!("[components]\nsharing = \"sharing.wasm\"\n{workflow}");
    place.guest("sharing").file("workflow.toml", text);
    place
}

fn values(workflow: &str) -> Value {
    let ended = sharing(workflow).run(["--progress", "plain"]);
    assert_eq!(ended.code, 0, "{ended}");
    ended.json()
}

#[test]
fn what_a_thousand_branches_count_adds_up() {
    let values = values(
        r#"
        [tasks.add]
        run = "sharing#add"
        with = { key = "n", by = "${item}" }
        [groups.all]
        task = "add"
        for-each = { range = [0, 1000] }
        [tasks.sum]
        run = "sharing#read"
        with = { key = "n" }
        after = ["all"]
        [outputs]
        sum = "${sum}"
        "#,
    );
    assert_eq!(values, json!({ "sum": "499500" }));
}

#[test]
fn compare_and_swap_makes_a_lock() {
    let values = values(
        r#"
        [tasks.add]
        run = "sharing#add-locked"
        with = { key = "n" }
        limits = { timeout = "20s" }
        [groups.all]
        task = "add"
        for-each = { range = [0, 60] }
        [tasks.sum]
        run = "sharing#read"
        with = { key = "n" }
        after = ["all"]
        [tasks.left]
        run = "sharing#keys"
        with = { prefix = "" }
        after = ["all"]
        [outputs]
        sum = "${sum}"
        left = "${left}"
        each = "${all}"
        "#,
    );
    assert_eq!((&values["sum"], &values["left"]), (&json!("60"), &json!(["n"])));
    let mut each: Vec<i64> = serde_json::from_value(values["each"].clone()).unwrap();
    each.sort_unstable();
    assert_eq!(each, (1..=60).collect::<Vec<_>>());
}

#[test]
fn tasks_that_run_at_once_see_what_others_write() {
    let values = values(
        r#"
        [tasks.wait]
        run = "sharing#wait-for"
        with = { key = "greeting" }
        limits = { timeout = "1m" }
        [tasks.say]
        run = "sharing#write"
        with = { key = "greeting", text = "hello" }
        [groups.both]
        tasks = ["wait", "say"]
        "#,
    );
    assert_eq!(values["both"]["wait"], "hello");
}

#[test]
fn what_expires_goes_and_the_rest_stays_for_the_run_alone() {
    let place = sharing(
        r#"
        [tasks.before]
        run = "sharing#keys"
        with = { prefix = "" }
        [tasks.gone]
        run = "sharing#wait-until-gone"
        with = { key = "short", time-to-live = 1500 }
        limits = { timeout = "1m" }
        after = ["before"]
        [tasks.long]
        run = "sharing#write"
        with = { key = "long", text = "x", time-to-live = 3600000 }
        after = ["before"]
        [tasks.more]
        run = "sharing#append"
        with = { key = "long", text = "yz" }
        after = ["gone", "long"]
        [tasks.left]
        run = "sharing#keys"
        with = { prefix = "" }
        after = ["more"]
        [outputs]
        before = "${before}"
        gone = "${gone}"
        more = "${more}"
        left = "${left}"
        "#,
    );
    // The second run begins with nothing of the first.
    for _ in 0..2 {
        let ended = place.run(["--progress", "none"]);
        assert_eq!(ended.code, 0, "{ended}");
        assert_eq!(ended.json(), json!({ "before": [], "gone": true, "more": 3, "left": ["long"] }));
    }
}

#[test]
fn each_bound_has_an_error_of_its_own_however_little_a_task_may_return() {
    let values = values(
        r#"
        [tasks.broken]
        run = "sharing#break-bounds"
        limits = { output = "1KiB" }
        [tasks.full]
        run = "sharing#fill"
        limits = { output = "1KiB" }
        after = ["broken"]
        "#,
    );
    let expected = [
        "Error::EmptyKey",
        "Error::KeyTooLong",
        "Error::KeyTooLong",
        "Error::ValueTooLarge",
        "ok: ()",
        "Error::ValueTooLarge",
        "ok: true",
        "Error::InvalidTimeToLive",
        "Error::InvalidTimeToLive",
        "Error::NotANumber",
        "Error::Overflow",
    ];
    assert_eq!(values["broken"], json!(expected));
    // One value of 1 MiB was there already.
    assert_eq!(values["full"], "Error::OutOfSpace after 62");
}

#[test]
fn a_retried_attempt_repeats_what_it_wrote() {
    let values = values(
        r#"
        [tasks.add]
        run = "sharing#add-twice"
        with = { key = "n" }
        retry = { max-attempts = 2, delay = "1ms" }
        "#,
    );
    assert_eq!(values, json!({ "add": 2 }));
}

#[test]
fn a_guest_that_never_ceases_to_write_meets_its_timeout() {
    let place = sharing("[tasks.flood]\nrun = \"sharing#flood\"\nlimits = { timeout = \"300ms\" }\n");
    let began = Instant::now();
    let ended = place.run(["--progress", "plain"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stderr.contains("timed-out"), "{ended}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_deterministic_task_may_not_import_it() {
    let place =
        sharing("[tasks.add]\nrun = \"sharing#add\"\nwith = { key = \"n\", by = 1 }\ndeterministic = true\n");
    let refused = |ended: Ended| {
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.stderr.contains("flowhost:task/channel@0.1.0"), "{ended}");
        ended.stderr
    };
    let told = refused(place.flowhost(["check", "workflow.toml"]));
    assert!(told.contains("workflow.toml:3:") && told.contains("`add` is deterministic"), "{told}");
    refused(place.run(["--progress", "none"]));
    refused(place.flowhost([
        "call",
        "sharing.wasm#add",
        "--with",
        "key=n",
        "--with",
        "by=1",
        "--deterministic",
    ]));
}

#[test]
fn a_call_has_a_channel_of_its_own() {
    let place = sharing("");
    let ended = place.flowhost(["call", "sharing.wasm#add", "--with", "key=n", "--with", "by=-7"]);
    assert_eq!((ended.code, ended.stdout.trim()), (0, "-7"), "{ended}");
}

#[test]
fn inspect_says_what_the_imports_are_for() {
    let place = sharing("");
    let ended = place.flowhost(["inspect", "sharing.wasm"]);
    let line =
        |name: &str| ended.stdout.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("flowhost:task/channel").contains("every task of the run can read and change"), "{ended}");
    assert!(line("flowhost:task/metrics").contains("the run's totals"), "{ended}");
    let json = place.flowhost(["inspect", "sharing.wasm", "--json"]).json();
    let imports = json["imports"].as_array().unwrap();
    let channel = imports.iter().find(|import| import["name"] == "flowhost:task/channel@0.1.0").unwrap();
    assert_eq!((&channel["provided"], &channel["deterministic"]), (&json!(true), &json!(false)));
}
