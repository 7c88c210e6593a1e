//! How the values of a group's branches become one: best, concat, results, a task.

use serde_json::{Value, json};

use crate::support::{Ended, Place};

/// A group `all` over echo, whatever it is, with a task `one` where `run` and `argument` say.
fn group(run: &str, argument: &str, keys: &str, rest: &str) -> Place {
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            failing = "failing.wasm"
            [tasks.one]
            run = "{run}"
            with = {argument}
            [groups.all]
            task = "one"
            {keys}
            {rest}
            "#
        ),
    );
    place
}

fn run(place: &Place) -> Ended {
    place.run(["--progress", "none"])
}

/// The events of a run, without those about single branches.
fn group_events(place: &Place, name: &str) -> Vec<Value> {
    let ended = place.run(["--progress", "json"]);
    let events = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap());
    let of_group = |event: &Value| {
        let kind = event["event"].as_str().unwrap();
        kind.starts_with("group-") && (event["group"] == name || event["task"] == name)
    };
    events.filter(of_group).collect()
}

const SAMPLES: &str = r#"
{"name": "none", "score": "nan", "weight": 18446744073709551614, "tags": ["a"]}
{"name": "first", "score": 2.5, "weight": 18446744073709551615, "tags": ["b", "c"]}
{"name": "second", "score": 2.5, "weight": 18446744073709551613, "tags": []}
{"name": "low", "score": -1e300, "weight": 0, "tags": ["d"]}
"#;

/// A group over [`SAMPLES`].
fn samples(merge: &str, rest: &str) -> Place {
    let keys = format!("for-each = {{ jsonl = \"samples.jsonl\" }}\nmerge = {merge}");
    let place = group("echo#echo-sample", r#"{ value = "${item}" }"#, &keys, rest);
    place.file("samples.jsonl", SAMPLES.trim_start());
    place
}

#[test]
fn the_best_has_the_largest_field_and_the_earlier_wins_a_tie() {
    let outputs = "[outputs]\nname = \"${all.name}\"\nscore = \"${all.score}\"";
    let ended = run(&samples("{ best = \"score\" }", outputs));
    assert_eq!(ended.json(), json!({ "name": "first", "score": 2.5 }), "{ended}");
    assert_eq!((ended.code, &*ended.stderr), (0, ""));

    // These differ only beyond what a float holds.
    let ended = run(&samples("{ best = \"weight\" }", outputs));
    assert_eq!(ended.json(), json!({ "name": "first", "score": 2.5 }), "{ended}");
}

#[test]
fn without_anything_to_choose_from_the_group_fails_and_says_why() {
    let after = "[tasks.then]\nrun = \"echo#echo-string\"\nwith = { value = \"${all.name}\" }";
    let place = samples("{ best = \"score\" }", after);
    place.file("samples.jsonl", SAMPLES.lines().nth(1).unwrap());
    let ended = place.run(["--progress", "plain"]);
    assert_eq!((ended.code, &*ended.stdout), (100, ""), "{ended}");
    assert!(ended.stderr.contains("all: failed in "), "{ended}");
    let reason = "1 succeeded: there is no best value: `score` is NaN in every value";
    assert!(ended.stderr.contains(reason), "{ended}");
    assert!(ended.stderr.contains("skipped: then"), "{ended}");

    place.file("samples.jsonl", "");
    let ended = run(&place);
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stderr.contains("all: failed: there is no best value: no branch has a value"), "{ended}");
}

#[test]
fn strings_bytes_and_lists_are_joined_in_input_order() {
    let ended = run(&group(
        "echo#echo-string",
        r#"{ value = "${item}" }"#,
        "for-each = [\"a\", \"\", \"ü\", \"b\"]\nmerge = \"concat\"",
        "[outputs]\nall = \"${all}!\"",
    ));
    assert_eq!(ended.json(), json!({ "all": "aüb!" }), "{ended}");

    let ended = run(&group(
        "echo#echo-bytes",
        r#"{ value = { text = "${item}" } }"#,
        "for-each = [\"a\", \"bc\"]\nmerge = \"concat\"",
        "",
    ));
    assert_eq!(ended.json(), json!({ "all": "YWJj" }), "{ended}");

    let ended = run(&group(
        "echo#count-to",
        r#"{ end = "${item}" }"#,
        "for-each = { range = [0, 4] }\nmerge = \"concat\"",
        "[tasks.total]\nrun = \"echo#sum\"\nwith = { values = \"${all}\" }\n[outputs]\nall = \"${all}\"\ntotal = \"${total}\"",
    ));
    assert_eq!(ended.json(), json!({ "all": [0, 0, 1, 0, 1, 2], "total": 4 }), "{ended}");
}

#[test]
fn results_are_values_of_their_type_and_no_failure_of_the_group() {
    let place = group(
        "echo#echo-result",
        r#"{ value = "${item}" }"#,
        "for-each = [{ ok = 1 }, { err = \"no\" }, { ok = 3 }]\nmerge = \"results\"",
        "[tasks.then]\nrun = \"echo#echo-results\"\nwith = { value = \"${all}\" }",
    );
    let ended = run(&place);
    let expected = json!([{ "ok": 1 }, { "err": "failed: no" }, { "ok": 3 }]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "then": expected })), "{ended}");
    // What failed is told to those who look on.
    let ended = place.run(["--progress", "plain"]);
    assert!(ended.stderr.contains("all[1] (task one): failed in attempt 1: no"), "{ended}");
}

#[test]
fn results_say_each_outcome_in_its_words() {
    let ended = run(&group(
        "failing#sleep",
        r#"{ ms = "${item}" }"#,
        "for-each = [0, 60000]\nmerge = \"results\"\nlimits = { timeout = \"3s\" }",
        "",
    ));
    let expected = json!([{ "ok": null }, { "err": "timed-out: the timeout of 3s passed" }]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "all": expected })), "{ended}");

    let place = group(
        "failing#trap-after",
        r#"{ ms = "${item}" }"#,
        "for-each = [0, 1, 2]\nmerge = \"results\"\non-failure = \"cancel\"\nconcurrency = 1",
        "",
    );
    let ended = run(&place);
    let all = &ended.json()["all"];
    assert!(all[0]["err"].as_str().unwrap().starts_with("trapped: "), "{ended}");
    let rest = json!({ "err": "cancelled: another branch of its group did not succeed" });
    assert_eq!((&all[1], &all[2], ended.code), (&rest, &rest, 0), "{ended}");
    // Who looks on makes no difference.
    let watched = place.run(["--progress", "json"]);
    assert_eq!((watched.json()["all"][1].clone(), watched.json()["all"][2].clone()), (rest.clone(), rest));
}

/// A group of two samples and one that is left out.
fn side_by_side(merge: &str, rest: &str) -> Place {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        format!(
            r#"
            [inputs]
            third = {{ type = "bool", default = false }}
            [components]
            echo = "echo.wasm"
            [tasks.left]
            run = "echo#echo-sample"
            with = {{ value = {{ name = "left", score = 1.0, weight = 5, tags = [] }} }}
            [tasks.right]
            run = "echo#echo-sample"
            with = {{ value = {{ name = "right", score = 3.0, weight = 4, tags = [] }} }}
            [tasks.third]
            run = "echo#echo-sample"
            with = {{ value = {{ name = "third", score = 9.0, weight = 1, tags = [] }} }}
            when = "${{inputs.third}}"
            [groups.all]
            tasks = ["left", "third", "right"]
            merge = {merge}
            {rest}
            "#
        ),
    );
    place
}

#[test]
fn different_tasks_of_one_type_are_merged_without_those_left_out() {
    let name = "[outputs]\nname = \"${all.name}\"";
    let ended = run(&side_by_side("{ best = \"score\" }", name));
    assert_eq!(ended.json(), json!({ "name": "right" }), "{ended}");
    let ended =
        side_by_side("{ best = \"score\" }", name).run(["--progress", "none", "--input", "third=true"]);
    assert_eq!(ended.json(), json!({ "name": "third" }), "{ended}");

    let ended = run(&side_by_side("\"results\"", ""));
    let all = ended.json()["all"].clone();
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| one["ok"]["name"].clone()).collect();
    assert_eq!(names, ["left", "right"], "{ended}");

    let fold = "[tasks.fold]\nrun = \"echo#weigh\"\nwith = { unit = \"kg\" }";
    let ended = run(&side_by_side("{ task = \"fold\" }", fold));
    assert_eq!(ended.json(), json!({ "all": ["left, right in kg", 9] }), "{ended}");
}

#[test]
fn a_task_merges_the_list_with_what_its_with_gives_besides() {
    let rest = r#"
        [tasks.unit]
        run = "echo#echo-string"
        with = { value = "grams" }
        [tasks.fold]
        run = "echo#weigh"
        with = { unit = "${unit}" }
        [tasks.then]
        run = "echo#echo-u64"
        with = { value = "${all.1}" }
        [outputs]
        all = "${all}"
        then = "${then}"
    "#;
    let place = samples("{ task = \"fold\" }", rest);
    let ended = run(&place);
    let weight = 18_446_744_073_709_551_610_u64;
    let all = json!(["none, first, second, low in grams", weight]);
    assert_eq!(ended.json(), json!({ "all": all, "then": weight }), "{ended}");

    let events = group_events(&place, "all");
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["group-started", "group-ended"], "{events:?}");
    let told = &events[1];
    assert_eq!((&told["status"], &told["succeeded"]), (&json!("succeeded"), &json!(4)), "{told}");
}

#[test]
fn a_group_whose_fold_fails_fails_with_its_message() {
    let rest = r#"
        [tasks.fold]
        run = "echo#weigh"
        with = { unit = "g" }
        retry = { max-attempts = 2, delay = "1ms" }
        [tasks.then]
        run = "echo#echo-u64"
        with = { value = "${all.1}" }
    "#;
    let place = samples("{ task = \"fold\" }", rest);
    place.file("samples.jsonl", SAMPLES.trim_start().replace("low", "bad"));
    let ended = run(&place);
    assert_eq!((ended.code, &*ended.stdout), (100, ""), "{ended}");
    for said in [
        "all (fold): failed in attempt 2: a sample is bad",
        "all: failed: task `fold`, which merges it, did not succeed",
        "skipped: then",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {ended}");
    }
    let told = group_events(&place, "all").pop().unwrap();
    assert_eq!((&told["status"], &told["succeeded"]), (&json!("failed"), &json!(4)), "{told}");
}

#[test]
fn a_fold_runs_under_its_own_policy_and_not_its_groups() {
    // The group's limit would stop the fold, whose result is larger.
    let rest = "[tasks.fold]\nrun = \"echo#join\"\nwith = { separator = \"----------\" }";
    let keys = "for-each = [\"a\", \"b\", \"c\"]\nmerge = { task = \"fold\" }\nlimits = { output = \"12B\" }";
    let place = group("echo#echo-string", r#"{ value = "${item}" }"#, keys, rest);
    let ended = run(&place);
    assert_eq!(ended.json(), json!({ "all": "a----------b----------c" }), "{ended}");
    let rest = format!("{rest}\nlimits = {{ output = \"12B\" }}");
    let ended = run(&group("echo#echo-string", r#"{ value = "${item}" }"#, keys, &rest));
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stderr.contains("all (fold): trapped in attempt 1: "), "{ended}");
}

#[test]
fn a_group_that_is_not_reached_is_skipped_once() {
    let rest = "[tasks.fold]\nrun = \"echo#weigh\"\nwith = { unit = \"g\" }";
    let place = samples("{ task = \"fold\" }\nwhen = false", rest);
    let events = group_events(&place, "all");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["status"], "skipped");
    assert_eq!(events[0]["reason"], "its `when` is false");
    let ended = place.flowhost(["check", "workflow.toml"]);
    assert!(ended.stdout.contains("0 lone tasks, 1 group, 1 output"), "{ended}");
}

#[test]
fn a_fold_does_not_run_when_a_branch_failed() {
    let rest = "[tasks.fold]\nrun = \"echo#echo-longs\"";
    let keys = "for-each = { range = [0, 4] }\nmerge = { task = \"fold\" }";
    let ended = run(&group("failing#fail-odd", r#"{ number = "${item}" }"#, keys, rest));
    assert_eq!((ended.code, &*ended.stdout), (100, ""), "{ended}");
    assert!(ended.stderr.contains("all[1] (task one): failed in attempt 1: 1 is odd"), "{ended}");
    assert!(!ended.stderr.contains("fold"), "{ended}");
}

#[test]
fn with_less_than_all_required_a_merge_takes_what_there_is() {
    let any = |merge: &str, items: &str| format!("for-each = {items}\nrequire = \"any\"\nmerge = {merge}");
    let fold = "[tasks.fold]\nrun = \"echo#echo-longs\"";
    let keys = any("{ task = \"fold\" }", "{ range = [0, 5] }");
    let ended = run(&group("failing#fail-odd", r#"{ number = "${item}" }"#, &keys, fold));
    assert_eq!((ended.code, ended.json()), (0, json!({ "all": [0, 2, 4] })), "{ended}");
    assert!(ended.stderr.contains("all[1] (task one): failed in attempt 1: 1 is odd"), "{ended}");

    let keys = any("\"concat\"", "[\"a\", \"more than a few bytes\", \"b\"]\nlimits = { output = \"12B\" }");
    let ended = run(&group("echo#echo-string", r#"{ value = "${item}" }"#, &keys, ""));
    assert_eq!((ended.code, ended.json()), (0, json!({ "all": "ab" })), "{ended}");

    let name = "[outputs]\nname = \"${all.name}\"";
    let place =
        samples("{ best = \"score\" }\nrequire = { at-least = 3 }\nlimits = { output = \"1KiB\" }", name);
    let best = json!({ "name": "x".repeat(4_096), "score": 9.0, "weight": 1, "tags": [] });
    place.file("samples.jsonl", format!("{best}{SAMPLES}"));
    let ended = run(&place);
    assert_eq!((ended.code, ended.json()), (0, json!({ "name": "first" })), "{ended}");
}

#[test]
fn results_fail_where_they_fall_short_of_what_is_required() {
    let results = |least: u32| {
        let keys = format!(
            "for-each = {{ range = [0, 5] }}\nrequire = {{ at-least = {least} }}\nmerge = \"results\""
        );
        run(&group("failing#fail-odd", r#"{ number = "${item}" }"#, &keys, ""))
    };
    let ended = results(3);
    let odd = |number: u64| json!({ "err": format!("failed: {number} is odd") });
    let expected = json!([{ "ok": 0 }, odd(1), { "ok": 2 }, odd(3), { "ok": 4 }]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "all": expected })), "{ended}");
    let ended = results(4);
    assert_eq!((ended.code, &*ended.stdout), (100, ""), "{ended}");
    assert!(ended.stderr.contains("3 branches succeeded and 4 are required"), "{ended}");
}

#[test]
fn results_of_a_group_whose_timeout_passes_say_so() {
    let keys = "for-each = [0, 3600000, 1]\nconcurrency = 1\ntimeout = \"8s\"\nmerge = \"results\"";
    let place = group("failing#sleep", r#"{ ms = "${item}" }"#, keys, "");
    let ended = run(&place);
    let late = json!({ "err": "cancelled: the timeout of its group passed" });
    assert_eq!((ended.code, ended.json()), (0, json!({ "all": [{ "ok": null }, late, late] })), "{ended}");
    let told = group_events(&place, "all").pop().unwrap();
    assert_eq!(
        (&told["status"], &told["reason"]),
        (&json!("succeeded"), &json!("its timeout of 8s passed")),
        "{told}"
    );
}

#[test]
fn what_ended_branches_early_is_told_of_a_group_that_a_task_merges() {
    let rest = "[tasks.fold]\nrun = \"echo#sum\"\n[tasks.then]\nrun = \"echo#add\"\nwith = { a = \"${all}\", b = 40 }";
    let keys =
        "tasks = [\"quick\", \"slow\"]\nrequire = \"any\"\ntimeout = \"8s\"\nmerge = { task = \"fold\" }";
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            failing = "failing.wasm"
            [tasks.quick]
            run = "echo#add"
            with = {{ a = 1, b = 1 }}
            [tasks.slow]
            run = "failing#flaky"
            with = {{ until-attempt = 9 }}
            retry = {{ max-attempts = 9, delay = "1h", max-delay = "1h" }}
            [groups.all]
            {keys}
            {rest}
            "#
        ),
    );
    let events = group_events(&place, "all");
    let told = events.last().unwrap();
    let expected = (json!("succeeded"), json!(1), json!("its timeout of 8s passed"));
    assert_eq!(
        (&told["status"], &told["succeeded"], &told["reason"]),
        (&expected.0, &expected.1, &expected.2)
    );
    assert_eq!(run(&place).json(), json!({ "then": 42 }));
}
