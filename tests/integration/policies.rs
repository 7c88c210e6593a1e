//! What governs a group as a whole: what it requires, how soon it is decided, how long it may take, and
//! how fast its attempts follow one another.

use serde_json::{Value, json};

use crate::groups::events;
use crate::support::{Ended, Place};

/// A workflow of the tasks and groups of `rest`, with two components.
pub(crate) fn place(rest: &str) -> Place {
    let place = Place::new();
    place.guest("failing").guest("echo").file(
        "workflow.toml",
        format!("[components]\nfailing = \"failing.wasm\"\necho = \"echo.wasm\"\n{rest}"),
    );
    place
}

pub(crate) fn run(rest: &str) -> Ended {
    place(rest).run(["--progress", "json"])
}

/// A group over 0..6 in which odd numbers fail, and a task that takes its list.
fn half_fails(group: &str) -> Ended {
    run(&format!(
        r#"
        [tasks.odd]
        run = "failing#fail-odd"
        with = {{ number = "${{item}}" }}
        [groups.numbers]
        task = "odd"
        for-each = {{ range = [0, 6] }}
        {group}
        [tasks.after]
        run = "echo#echo-longs"
        with = {{ value = "${{numbers}}" }}
        "#
    ))
}

/// The ends of branches, with their errors.
pub(crate) fn ends(ended: &Ended, group: &str) -> Vec<(String, String)> {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let of_group = |event: &&Value| event["event"] == "task-ended" && event["group"] == group;
    let events = events(&ended.stderr);
    events.iter().filter(of_group).map(|event| (text(event, "outcome"), text(event, "error"))).collect()
}

pub(crate) fn count(ended: &Ended, event: &str, group: &str) -> usize {
    events(&ended.stderr).iter().filter(|one| one["event"] == event && one["group"] == group).count()
}

pub(crate) fn group_ended(ended: &Ended, group: &str) -> Value {
    let events = events(&ended.stderr);
    let found = events.iter().find(|event| event["event"] == "group-ended" && event["group"] == group);
    found.unwrap_or_else(|| panic!("{group} never ended: {ended}")).clone()
}

fn warnings(ended: &Ended) -> Vec<Value> {
    let events = events(&ended.stderr);
    let warnings =
        events.iter().filter(|event| event["event"] == "warning").map(|event| event["kind"].clone());
    // Whoever comes first has its component compiled.
    warnings.filter(|kind| kind != "compiling").collect()
}

#[test]
fn a_group_with_enough_succeeds_and_what_needs_it_gets_what_there_is() {
    for group in ["require = \"any\"", "require = { at-least = 3 }"] {
        let ended = half_fails(group);
        assert_eq!(ended.code, 0, "{group}: {ended}");
        assert_eq!(ended.json(), json!({ "after": [0, 2, 4] }), "{group}");
        let numbers = group_ended(&ended, "numbers");
        assert_eq!((&numbers["status"], &numbers["failed"]), (&json!("succeeded"), &json!(3)), "{numbers}");
        assert_eq!(ends(&ended, "numbers").iter().filter(|(outcome, _)| outcome == "failed").count(), 3);
    }
}

#[test]
fn failures_are_told_although_the_group_succeeded() {
    let toml = r#"
        [tasks.odd]
        run = "failing#fail-odd"
        with = { number = "${item}" }
        [groups.numbers]
        task = "odd"
        for-each = { range = [0, 4] }
        require = "any"
        "#;
    let ended = place(toml).run(["--progress", "none"]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "numbers": [0, 2] })), "{ended}");
    for part in ["numbers[1]", "numbers[3]", "2 failed"] {
        assert!(ended.stderr.contains(part), "`{part}` is not in: {ended}");
    }
}

#[test]
fn a_group_that_falls_short_fails_and_says_by_how_much() {
    let ended = half_fails("require = { at-least = 4 }");
    assert_eq!(ended.code, 100, "{ended}");
    let numbers = group_ended(&ended, "numbers");
    assert_eq!(numbers["status"], "failed");
    assert_eq!(numbers["reason"], "3 branches succeeded and 4 are required");
    assert_eq!((&numbers["succeeded"], &numbers["failed"]), (&json!(3), &json!(3)));
}

#[test]
fn a_group_that_can_never_have_enough_does_not_begin() {
    let ended = run(r#"
        [tasks.make]
        run = "echo#count-to"
        with = { end = 2 }
        [tasks.one]
        run = "echo#add"
        with = { a = "${item}", b = 0 }
        [groups.few]
        task = "one"
        for-each = "${make}"
        require = { at-least = 3 }
        "#);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(group_ended(&ended, "few")["reason"], "it has 2 branches, and 3 are required to succeed");
    assert_eq!(count(&ended, "attempt-started", "few"), 0);
}

#[test]
fn members_that_are_not_critical_may_fail_and_are_options() {
    let toml = |critical: &str| {
        format!(
            r#"
            [tasks.good]
            run = "echo#answer"
            [tasks.bad]
            run = "failing#fail"
            with = {{ message = "no" }}
            [groups.both]
            tasks = ["good", "bad"]
            require = {{ critical = ["{critical}"] }}
            [tasks.use]
            run = "echo#echo-string"
            with = {{ value = "the answer is ${{both.good}}" }}
            [outputs]
            both = "${{both}}"
            use = "${{use}}"
            "#
        )
    };
    let ended = run(&toml("good"));
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(ended.json(), json!({ "both": { "good": 42, "bad": null }, "use": "the answer is 42" }));
    let toml = toml("bad").replace("${both.good}", "known");
    let ended = run(&toml);
    assert_eq!((ended.code, ended.json()), (100, json!({ "use": "the answer is known" })), "{ended}");
    assert_eq!(group_ended(&ended, "both")["reason"], "`bad` had to succeed");
}

#[test]
fn on_failure_cancel_stops_endless_loops_and_naps_at_once() {
    // A loop that is not stopped would be timed-out, not cancelled.
    let ended = run(r#"
        [tasks.bad]
        run = "failing#trap-after"
        with = { ms = 3000 }
        [tasks.loop]
        run = "failing#spin"
        limits = { timeout = "100s" }
        [tasks.another]
        run = "failing#spin"
        limits = { timeout = "100s" }
        [tasks.nap]
        run = "failing#sleep"
        with = { ms = 3600000 }
        [tasks.again]
        run = "failing#fail"
        with = { message = "once more" }
        retry = { max-attempts = 2, delay = "1h", max-delay = "1h" }
        [groups.all]
        tasks = ["bad", "loop", "another", "nap", "again"]
        on-failure = "cancel"
        "#);
    assert_eq!(ended.code, 100, "{ended}");
    let mut ends = ends(&ended, "all");
    ends.sort();
    let outcomes: Vec<&str> = ends.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["cancelled", "cancelled", "cancelled", "cancelled", "trapped"], "{ended}");
    let sibling = "another branch of its group did not succeed";
    let said = ends.iter().filter(|(_, error)| error == sibling).count();
    assert_eq!(said, 3, "{ends:?}");
    assert!(
        ends.contains(&("cancelled".to_owned(), format!("{sibling}; before that: once more"))),
        "{ends:?}"
    );
    let elapsed = group_ended(&ended, "all")["seconds"].as_f64().unwrap();
    assert!(elapsed < 30.0, "{elapsed} s");
}

#[test]
fn on_failure_cancel_ends_what_waits_for_the_rate() {
    let ended = run(r#"
        [tasks.bad]
        run = "failing#fail"
        with = { message = "no" }
        [groups.all]
        task = "bad"
        for-each = { range = [0, 6] }
        on-failure = "cancel"
        rate-limit = "1/h"
        "#);
    assert_eq!(ended.code, 100, "{ended}");
    let all = group_ended(&ended, "all");
    assert_eq!((&all["failed"], &all["cancelled"]), (&json!(1), &json!(5)), "{all}");
    assert!(all["seconds"].as_f64().unwrap() < 30.0, "{all}");
}

#[test]
fn the_first_success_is_the_value_and_the_rest_are_cancelled() {
    let ended = run(r#"
        [tasks.bad]
        run = "failing#exit"
        with = { code = 1 }
        [tasks.quick]
        run = "failing#sleep"
        with = { ms = 3000 }
        [tasks.loop]
        run = "failing#spin"
        limits = { timeout = "100s" }
        [tasks.nap]
        run = "failing#sleep"
        with = { ms = 3600000 }
        [groups.race]
        tasks = ["bad", "loop", "nap", "quick"]
        merge = "first-success"
        [tasks.each]
        run = "failing#flaky"
        with = { until-attempt = "${item}" }
        [groups.items]
        task = "each"
        for-each = [9, 8, 1, 7]
        merge = "first-success"
        [tasks.after]
        run = "echo#add"
        with = { a = "${items}", b = 41 }
        [outputs]
        after = "${after}"
        race = "${race}"
        "#);
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(ended.json(), json!({ "after": 42, "race": null }));
    let mut ends = ends(&ended, "race");
    ends.sort();
    let winner = "another branch of its group succeeded first";
    assert_eq!(ends[..2].iter().filter(|(_, error)| error == winner).count(), 2, "{ends:?}");
    let outcomes: Vec<&str> = ends.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["cancelled", "cancelled", "failed", "succeeded"], "{ended}");
}

#[test]
fn without_a_success_every_failure_is_told() {
    let toml = r#"
        [tasks.say]
        run = "failing#fail"
        with = { message = "${item} is wrong" }
        [groups.race]
        task = "say"
        for-each = ["one", "two", "three"]
        merge = "first-success"
        "#;
    let ended = place(toml).run(["--progress", "none"]);
    assert_eq!(ended.code, 100, "{ended}");
    for part in ["one is wrong", "two is wrong", "three is wrong", "race: failed: no successful results"] {
        assert!(ended.stderr.contains(part), "`{part}` is not in: {ended}");
    }
}

/// Two short branches and two that nap for an hour, in a group with a timeout.
fn timed(group: &str) -> Ended {
    run(&format!(
        r#"
        [tasks.nap]
        run = "failing#wait-for-cancel"
        with = {{ ms = "${{item}}" }}
        [groups.naps]
        task = "nap"
        for-each = [3600000, 0, 1, 3600000]
        timeout = "4s"
        {group}
        "#
    ))
}

#[test]
fn a_group_timeout_ends_what_runs_and_fails_the_group() {
    let ended = timed("");
    assert_eq!(ended.code, 100, "{ended}");
    let naps = group_ended(&ended, "naps");
    assert_eq!((&naps["status"], &naps["reason"]), (&json!("failed"), &json!("its timeout of 4s passed")));
    assert_eq!((&naps["succeeded"], &naps["cancelled"]), (&json!(2), &json!(2)), "{naps}");
    let ends = ends(&ended, "naps");
    let said = ends.iter().filter(|(_, error)| error == "the timeout of its group passed").count();
    assert_eq!(said, 2, "{ends:?}");
    let elapsed = naps["seconds"].as_f64().unwrap();
    assert!((4.0..30.0).contains(&elapsed), "{elapsed} s");
}

#[test]
fn a_group_timeout_stops_endless_loops_and_what_waits_behind_them() {
    let ended = run(r#"
        [tasks.loop]
        run = "failing#spin"
        limits = { timeout = "100s" }
        [groups.loops]
        task = "loop"
        for-each = { range = [0, 300] }
        timeout = "500ms"
        "#);
    assert_eq!(ended.code, 100, "{ended}");
    let loops = group_ended(&ended, "loops");
    assert_eq!((&loops["failed"], &loops["cancelled"]), (&json!(0), &json!(300)), "{loops}");
    let elapsed = loops["seconds"].as_f64().unwrap();
    assert!((0.5..30.0).contains(&elapsed), "{elapsed} s");
}

#[test]
fn a_group_timeout_leaves_a_group_that_has_enough() {
    let ended = timed("require = { at-least = 2 }");
    assert_eq!((ended.code, ended.json()), (0, json!({ "naps": [false, false] })), "{ended}");
    assert_eq!(group_ended(&ended, "naps")["reason"], "its timeout of 4s passed");
    let ended = timed("require = { at-least = 3 }");
    let reason = "its timeout of 4s passed; 2 branches succeeded and 3 are required";
    assert_eq!(group_ended(&ended, "naps")["reason"], reason, "{ended}");
}

#[test]
fn a_breaker_opens_probes_and_gives_up() {
    let ended = run(r#"
        [tasks.down]
        run = "failing#fail"
        with = { message = "connection refused" }
        [groups.calls]
        task = "down"
        for-each = { range = [0, 20] }
        concurrency = 1
        breaker = { failures = 2, cooldown = "100ms" }
        "#);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(warnings(&ended), ["breaker-opened"], "{ended}");
    // Two that opened it, and three probes.
    assert_eq!(count(&ended, "attempt-started", "calls"), 5);
    let ends = ends(&ended, "calls");
    let open = ("cancelled".to_owned(), "breaker open".to_owned());
    assert_eq!(ends.iter().filter(|end| **end == open).count(), 15, "{ends:?}");
    let calls = group_ended(&ended, "calls");
    assert!(calls["reason"].as_str().unwrap().starts_with("breaker open: 3 probes failed"), "{calls}");
    assert!(calls["seconds"].as_f64().unwrap() >= 0.3, "three cooldowns: {calls}");
}

#[test]
fn a_breaker_closes_when_a_probe_succeeds() {
    let ended = run(r#"
        [tasks.flaky]
        run = "failing#flaky"
        with = { until-attempt = 4 }
        retry = { max-attempts = 9, delay = "1ms" }
        [groups.calls]
        task = "flaky"
        for-each = { range = [0, 3] }
        concurrency = 1
        breaker = { failures = 2, cooldown = "50ms" }
        require = "any"
        "#);
    assert_eq!(ended.code, 0, "{ended}");
    let warnings = warnings(&ended);
    assert_eq!(warnings[..2], [json!("breaker-opened"), json!("breaker-closed")], "{ended}");
    assert!(ended.stderr.contains("breaker opened after 2 failures in a row"), "{ended}");
}

#[test]
fn attempts_of_a_group_with_a_rate_follow_each_other_at_that_rate() {
    let ended = run(r#"
        [tasks.flaky]
        run = "failing#flaky"
        with = { until-attempt = 2 }
        retry = { max-attempts = 2, delay = "0s" }
        [groups.calls]
        task = "flaky"
        for-each = { range = [0, 10] }
        rate-limit = "20/s"
        [tasks.beside]
        run = "echo#answer"
        "#);
    assert_eq!(ended.code, 0, "{ended}");
    // Twenty attempts, retries included, 50.5 ms apart but for 10 ms.
    assert_eq!(count(&ended, "attempt-ended", "calls"), 20);
    let elapsed = group_ended(&ended, "calls")["seconds"].as_f64().unwrap();
    assert!(elapsed > 19.0 * 0.0505 - 0.011, "{elapsed} s");
}
