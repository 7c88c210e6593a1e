//! Groups: their items, joins, failures and retries.

use serde_json::json;

use crate::support::{Place, Server};

/// A workflow of one for-each group over `echo`.
fn echo(for_each: &str, run: &str, argument: &str) -> Place {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            [tasks.one]
            run = "echo#{run}"
            with = {argument}
            [groups.all]
            task = "one"
            for-each = {for_each}
            [outputs]
            all = "${{all}}"
            "#
        ),
    );
    place
}

#[test]
fn every_form_of_for_each_yields_its_items_in_order() {
    let text = r#"{ value = "${item}" }"#;
    let cases = [
        (r#"["b", "a", "c"]"#, "echo-string", text, json!(["b", "a", "c"])),
        ("{ range = [-1, 3] }", "echo-s8", text, json!([-1, 0, 1, 2])),
        (r#"{ lines = "lines.txt" }"#, "echo-string", text, json!(["one", "two", "", " four"])),
        (r#"{ jsonl = "lines.jsonl" }"#, "echo-point", text, json!([{"x": 1, "y": 2}, {"x": 3, "y": -4}])),
        (r#"{ jsonl = "lines.jsonl" }"#, "add", r#"{ a = "${item.x}", b = 10 }"#, json!([11, 13])),
        (
            r#"{ matrix = { size = [1, 2], color = ["r", "g"] } }"#,
            "echo-string",
            r#"{ value = "${item.size}${item.color}${index}" }"#,
            json!(["1r0", "1g1", "2r2", "2g3"]),
        ),
        (
            r#"{ files = "data/**/*.txt" }"#,
            "echo-string",
            r#"{ value = "${item.path}|${item.name}|${item.stem}" }"#,
            json!(["data/a.txt|a.txt|a", "data/deep/b.txt|b.txt|b"]),
        ),
        (
            r#"{ files = "data/**/*.txt" }"#,
            "echo-string",
            r#"{ value = { file = "${item.path}" } }"#,
            json!(["text of a", "text of b"]),
        ),
        (
            r#"[{ x = 1, y = 2 }, { x = 3, y = 4 }]"#,
            "echo-point",
            r#"{ value = "${item}" }"#,
            json!([{"x": 1, "y": 2}, {"x": 3, "y": 4}]),
        ),
    ];
    for (for_each, run, argument, expected) in cases {
        let place = echo(for_each, run, argument);
        place
            .file("lines.txt", "one\ntwo\r\n\n four")
            .file("lines.jsonl", "{\"x\": 1, \"y\": 2}\n{\"x\": 3, \"y\": -4}\n")
            .file("data/a.txt", "text of a")
            .file("data/deep/b.txt", "text of b")
            .file("data/c.md", "not this one");
        let ended = place.run(["--progress", "none"]);
        assert_eq!(ended.code, 0, "{for_each}: {ended}");
        assert_eq!(ended.json(), json!({ "all": expected }), "{for_each}");
        assert_eq!(ended.stderr, "", "{for_each}");
    }
}

#[test]
fn a_list_that_a_task_made_is_fanned_out_and_joined() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.make]
        run = "echo#count-to"
        with = { end = 1000 }
        [tasks.twice]
        run = "echo#add"
        with = { a = "${item}", b = "${item}" }
        [groups.doubled]
        task = "twice"
        for-each = "${make}"
        [tasks.total]
        run = "echo#sum"
        with = { values = "${doubled}" }
        [outputs]
        third = "${doubled.3}"
        total = "${total}"
        text = "the sum is ${total}"
        "#,
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.json(), json!({ "third": 6, "total": 999_000, "text": "the sum is 999000" }), "{ended}");
}

#[test]
fn different_tasks_side_by_side_are_a_record_and_members_may_be_left_out() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [inputs]
        shout = { type = "bool", default = false }
        [components]
        echo = "echo.wasm"
        [tasks.plain]
        run = "echo#echo-string"
        with = { value = "hello" }
        [tasks.loud]
        run = "echo#example:echo/plain.shout"
        with = { text = "hello" }
        when = "${inputs.shout}"
        [groups.both]
        tasks = ["plain", "loud"]
        [outputs]
        both = "${both}"
        plain = "${both.plain}"
        "#,
    );
    let quiet = place.run(["--progress", "none"]);
    assert_eq!(quiet.json(), json!({ "both": { "plain": "hello", "loud": null }, "plain": "hello" }));
    let loud = place.run(["--progress", "none", "--input", "shout=true"]);
    assert_eq!(loud.json()["both"], json!({ "plain": "hello", "loud": "HELLO" }));
}

/// A group over 0..6 in which odd numbers fail, and a task beside it.
fn half_fails(group: &str) -> Place {
    let place = Place::new();
    place.guest("failing").guest("echo").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            failing = "failing.wasm"
            echo = "echo.wasm"
            [tasks.odd]
            run = "failing#fail-odd"
            with = {{ number = "${{item}}" }}
            [groups.numbers]
            task = "odd"
            for-each = {{ range = [0, 6] }}
            {group}
            [tasks.after]
            run = "echo#swallow"
            with = {{ value = "x" }}
            after = ["numbers"]
            [tasks.beside]
            run = "echo#answer"
            [outputs]
            numbers = "${{numbers}}"
            beside = "${{beside}}"
            "#
        ),
    );
    place
}

#[test]
fn one_failure_fails_the_group_and_what_needs_it_but_not_the_rest() {
    let ended = half_fails("").run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(ended.json(), json!({ "beside": 42 }), "{ended}");
    let events = events(&ended.stderr);
    let ended_as = |outcome: &str| {
        let is = |event: &&serde_json::Value| {
            event["event"] == "task-ended" && event["group"] == "numbers" && event["outcome"] == outcome
        };
        events.iter().filter(is).count()
    };
    assert_eq!((ended_as("succeeded"), ended_as("failed"), ended_as("cancelled")), (3, 3, 0));
    let of_group = |name: &str, key: &str| {
        events.iter().find(|event| event["event"] == "group-ended" && event[key] == name).unwrap()
    };
    assert_eq!(of_group("numbers", "group")["status"], "failed");
    assert_eq!(of_group("after", "task")["status"], "skipped");
    assert_eq!(of_group("beside", "task")["status"], "succeeded");
}

#[test]
fn on_failure_cancel_stops_the_siblings() {
    let ended = half_fails("on-failure = \"cancel\"\nconcurrency = 1").run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "{ended}");
    let events = events(&ended.stderr);
    let group = events.iter().find(|event| event["event"] == "group-ended" && event["group"] == "numbers");
    let group = group.unwrap();
    assert_eq!(
        (&group["succeeded"], &group["failed"], &group["cancelled"]),
        (&json!(1), &json!(1), &json!(4)),
        "{group}"
    );
}

#[test]
fn failures_are_shown_with_branch_attempt_cause_and_the_guests_last_lines() {
    let place = Place::new();
    place.guest("talkative").file(
        "workflow.toml",
        r#"
        [components]
        talkative = "talkative.wasm"
        [tasks.speak]
        run = "talkative#last-words"
        retry = { max-attempts = 2, delay = "1ms", on = ["trapped"] }
        [groups.speakers]
        task = "speak"
        for-each = [1]
        "#,
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 100, "{ended}");
    for part in ["speakers[0]", "speak", "attempt 2", "unreachable"] {
        assert!(ended.stderr.contains(part), "`{part}` is not in: {ended}");
    }
    let guest =
        std::fs::read_to_string(crate::support::repository().join("tests/guests/talkative/src/lib.rs"));
    assert!(guest.unwrap().contains("last_words"), "the guest speaks before it ends");
    assert!(ended.stderr.contains("panicked"), "the guest's own words are shown: {ended}");
}

#[test]
fn retries_go_on_until_success_and_permanent_failures_end_at_once() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [defaults]
        retry = { max-attempts = 5, delay = "1ms" }
        [tasks.flaky]
        run = "failing#flaky"
        with = { until-attempt = 3 }
        [tasks.permanent]
        run = "failing#fail-permanent"
        with = { message = "never again" }
        [tasks.always]
        run = "failing#fail"
        with = { message = "once more" }
        [tasks.trap]
        run = "failing#trap"
        [outputs]
        flaky = "${flaky}"
        "#,
    );
    let ended = place.run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(ended.json(), json!({ "flaky": 3 }));
    let events = events(&ended.stderr);
    let attempts = |task: &str| {
        events.iter().filter(|event| event["event"] == "attempt-ended" && event["task"] == task).count()
    };
    assert_eq!(
        (attempts("flaky"), attempts("permanent"), attempts("always"), attempts("trap")),
        (3, 1, 5, 1)
    );
    let retried = events.iter().filter(|event| event["retry-in"].is_number()).count();
    assert_eq!(retried, 2 + 4);
}

#[test]
fn concurrency_bounds_what_is_handed_over_and_one_keeps_the_order() {
    let place = Place::new();
    // Nobody is answered unless three are there at once.
    let server = Server::together("127.0.0.1", 3);
    place.guest("reach").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            failing = "failing.wasm"
            [tasks.meet]
            run = "reach#exchange"
            with = {{ address = "{0}", text = "here" }}
            grants = {{ net = ["{0}"] }}
            [tasks.wait]
            run = "failing#sleep"
            with = {{ ms = 10 }}
            [groups.three]
            task = "meet"
            for-each = {{ range = [0, 12] }}
            concurrency = 3
            [groups.one]
            task = "wait"
            for-each = {{ range = [0, 6] }}
            concurrency = 1
            "#,
            server.address()
        ),
    );
    let ended = place.run(["--progress", "json"]);
    assert_eq!(ended.code, 0, "{ended}");
    let mut order = Vec::new();
    for (group, bound) in [("three", 3), ("one", 1)] {
        let mut running = 0;
        for event in events(&ended.stderr).iter().filter(|event| event["group"] == group) {
            match event["event"].as_str().unwrap() {
                "attempt-started" => {
                    running += 1;
                    if group == "one" {
                        order.push(event["index"].as_u64().unwrap());
                    }
                }
                "attempt-ended" => running -= 1,
                _ => {}
            }
            assert!(running <= bound, "{group}: {ended}");
        }
    }
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    assert_eq!(server.came(), 12);
}

/// The events of `--progress json`.
pub(crate) fn events(stderr: &str) -> Vec<serde_json::Value> {
    stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn more_waiting_branches_than_run_at_once_all_end() {
    let place = Place::new();
    place.guest("reach").file(
        "workflow.toml",
        r#"
        [components]
        reach = "reach.wasm"
        [tasks.nap]
        run = "reach#sleep"
        with = { ms = 20 }
        limits = { timeout = "1m" }
        [groups.naps]
        task = "nap"
        for-each = { range = [0, 200] }
        "#,
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 0, "{ended}");
}
