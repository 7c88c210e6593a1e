//! How a group's items become those of its branches: lists of them, or what a task makes.

use serde_json::{Value, json};

use crate::support::{Ended, Place};

fn workflow(run: &str, argument: &str, keys: &str, rest: &str) -> Place {
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            failing = "failing.wasm"
            [tasks.make]
            run = "echo#count-to"
            with = {{ end = 5 }}
            [tasks.empty]
            run = "echo#count-to"
            with = {{ end = 0 }}
            [tasks.bytes]
            run = "echo#echo-bytes"
            with = {{ value = {{ text = "abcde" }} }}
            [tasks.one]
            run = "{run}"
            with = {argument}
            [groups.all]
            task = "one"
            {keys}
            {rest}
            [outputs]
            all = "${{all}}"
            "#
        ),
    );
    place.file("lines.txt", "a\nb\nc\n").file("data/x.txt", "").file("data/y.txt", "");
    place.file("small.jsonl", "1\n2\n0\n4\n").file("longs.jsonl", "1\n2\n18446744073709551615\n");
    place
}

#[expect(clippy::indexing_slicing, reason = "JSON has null where there is nothing")]
fn all(keys: &str, run_: &str, argument: &str) -> Value {
    let ended = run(&workflow(run_, argument, keys, ""));
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{keys}: {ended}");
    ended.json()["all"].clone()
}

fn run(place: &Place) -> Ended {
    place.run(["--progress", "none"])
}

#[test]
fn every_form_of_for_each_is_split_into_chunks_and_dealt_out() {
    let sum = ("echo#sum", r#"{ values = "${item}" }"#);
    let strings = ("echo#echo-strings", r#"{ value = "${item}" }"#);
    let bytes = ("echo#echo-bytes", r#"{ value = "${item}" }"#);
    let longs = ("echo#echo-longs", r#"{ value = "${item}" }"#);
    let first = ("echo#echo-string", r#"{ value = "${item.0.path} of ${index}" }"#);
    let matrix = "for-each = { matrix = { a = [1, 2], b = [3, 4] } }";
    let cases = [
        ("for-each = { range = [0, 10] }\nsplit = { chunk = 4 }", sum, json!([6, 22, 17])),
        ("for-each = { range = [0, 10] }\nsplit = { round-robin = 3 }", sum, json!([18, 12, 15])),
        ("for-each = { range = [7, 9] }\nsplit = { round-robin = 8 }", sum, json!([7, 8])),
        ("for-each = \"${make}\"\nsplit = { chunk = 2 }", sum, json!([1, 5, 4])),
        (
            "for-each = \"${make}\"\nsplit = \"item\"",
            ("echo#add", r#"{ a = "${item}", b = 1 }"#),
            json!([1, 2, 3, 4, 5]),
        ),
        ("for-each = \"${empty}\"\nsplit = { chunk = 2 }", sum, json!([])),
        ("for-each = \"${empty}\"\nsplit = { round-robin = 2 }", sum, json!([])),
        ("for-each = \"${bytes}\"\nsplit = { chunk = 2 }", bytes, json!(["YWI=", "Y2Q=", "ZQ=="])),
        ("for-each = \"${bytes}\"\nsplit = { round-robin = 2 }", bytes, json!(["YWNl", "YmQ="])),
        ("for-each = [\"x\", \"y\"]\nsplit = { chunk = 1 }", strings, json!([["x"], ["y"]])),
        ("for-each = { lines = \"lines.txt\" }\nsplit = { chunk = 2 }", strings, json!([["a", "b"], ["c"]])),
        (
            "for-each = { jsonl = \"longs.jsonl\" }\nsplit = { round-robin = 2 }",
            longs,
            json!([[1, u64::MAX], [2]]),
        ),
        (
            "for-each = { files = \"data/*.txt\" }\nsplit = { chunk = 1 }",
            first,
            json!(["data/x.txt of 0", "data/y.txt of 1"]),
        ),
        (
            &format!("{matrix}\nsplit = {{ chunk = 3 }}"),
            ("echo#add", r#"{ a = "${item.0.a}", b = "${item.0.b}" }"#),
            json!([4, 6]),
        ),
    ];
    for (keys, (run, argument), expected) in cases {
        assert_eq!(all(keys, run, argument), expected, "{keys}");
    }
}

#[test]
fn long_lists_are_made_beside_the_dispatcher() {
    let keys = "for-each = { range = [0, 20000] }\nsplit = { chunk = 5000 }";
    let sums = (0..4_u32).map(|at| (at * 5000..(at + 1) * 5000).sum::<u32>()).collect::<Vec<_>>();
    assert_eq!(all(keys, "echo#sum", r#"{ values = "${item}" }"#), json!(sums));
}

#[test]
fn branches_are_counted_after_the_split() {
    let sum = r#"{ values = "${item}" }"#;
    let keys = "for-each = { range = [0, 1000] }\nsplit = { chunk = 100 }\nmax-branches = 10";
    assert_eq!(all(keys, "echo#sum", sum).as_array().unwrap().len(), 10);
    let ended = run(&workflow("echo#sum", sum, &keys.replace("branches = 10", "branches = 9"), ""));
    assert_eq!(ended.code, 2, "{ended}");
    assert!(
        ended.stderr.contains("group `all` would have 10 branches, and at most 9 are allowed"),
        "{ended}"
    );

    let keys = "for-each = \"${make}\"\nsplit = { chunk = 2 }\nmax-branches = 2";
    let ended = run(&workflow("echo#sum", sum, keys, ""));
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stderr.contains("3 branches are more than `max-branches = 2`"), "{ended}");
}

#[test]
fn a_task_splits_what_for_each_says() {
    let rest = "[tasks.pieces]\nrun = \"echo#cut\"";
    let split = |for_each: &str| {
        let keys = format!("for-each = {for_each}\nsplit = {{ task = \"pieces\" }}");
        let ended = run(&workflow("echo#sum", r#"{ values = "${item}" }"#, &keys, rest));
        assert_eq!((ended.code, &*ended.stderr), (0, ""), "{for_each}: {ended}");
        ended.json()["all"].clone()
    };
    assert_eq!(split("[1, 2, 0, 3, 0, 4]"), json!([3, 3, 4]));
    assert_eq!(split("\"${make}\""), json!([0, 10]));
    assert_eq!(split("\"${empty}\""), json!([]));
    assert_eq!(split("{ range = [0, 4] }"), json!([0, 6]));
    assert_eq!(split("{ jsonl = \"small.jsonl\" }"), json!([3, 4]));
}

#[test]
fn anything_can_be_split_into_a_list() {
    // Not a list, but the end of one.
    let keys = "for-each = \"${make.4}\"\nsplit = { task = \"numbers\" }\nmerge = { task = \"total\" }";
    let rest = "[tasks.numbers]\nrun = \"echo#count-to\"\n[tasks.total]\nrun = \"echo#sum\"";
    let place = workflow("echo#add", r#"{ a = "${item}", b = 10 }"#, keys, rest);
    let ended = run(&place);
    assert_eq!(ended.json(), json!({ "all": 46 }), "{ended}");

    let ended = place.run(["--dry-run"]);
    for line in [
        "group all: split by numbers: echo#count-to -> list<u32>, after make",
        "group all: echo#add for each element of a list -> list<u32>\n",
        "group all: merged by total: echo#sum -> u32\n",
    ] {
        assert!(format!("{}\n{}\n", ended.stdout, ended.stderr).contains(line), "{line}: {ended}");
    }

    let ended = place.run(["--progress", "json"]);
    let events: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_group = events.iter().filter(|event| event["group"] == "all");
    let told: Vec<_> = of_group
        .map(|event| (event["event"].as_str().unwrap(), event["task"].as_str(), event["branches"].as_u64()))
        .filter(|(kind, task, _)| kind.starts_with("group") || *task != Some("one"))
        .collect();
    let expected = [
        ("group-started", None, None),
        ("attempt-started", Some("numbers"), None),
        ("attempt-ended", Some("numbers"), None),
        ("task-ended", Some("numbers"), None),
        ("group-started", None, Some(4)),
        ("attempt-started", Some("total"), None),
        ("attempt-ended", Some("total"), None),
        ("task-ended", Some("total"), None),
        ("group-ended", None, None),
    ];
    assert_eq!(told, expected, "{ended}");
    let last = events.iter().rfind(|event| event["event"] == "group-ended").unwrap();
    assert_eq!((&last["status"], &last["succeeded"]), (&json!("succeeded"), &json!(4)), "{last}");
}

#[test]
fn a_group_whose_split_fails_fails_with_its_message() {
    let keys = "for-each = \"oops\"\nsplit = { task = \"pieces\" }";
    let rest = "[tasks.pieces]\nrun = \"failing#big-list\"\nwith = { length = \"${make.4}\" }";
    // A parameter that `with` gives is not for the items.
    let ended = run(&workflow("echo#echo-string", r#"{ value = "${item}" }"#, keys, rest));
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.contains("has no parameter left for what the group hands it"), "{ended}");

    let keys = "for-each = \"${make.4}\"\nsplit = { task = \"pieces\" }";
    let rest = "[tasks.pieces]\nrun = \"echo#count-to\"\nlimits = { output = \"1B\" }";
    let ended = run(&workflow("echo#add", r#"{ a = "${item}", b = 0 }"#, keys, rest));
    assert_eq!((ended.code, &*ended.stdout), (100, ""), "{ended}");
    for said in [
        "all (pieces): trapped in attempt 1: ",
        "all: failed: task `pieces`, which splits it, did not succeed",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {ended}");
    }
}

#[test]
fn the_first_list_to_succeed_can_be_the_value() {
    let keys =
        "for-each = { range = [1, 6] }\nsplit = { chunk = 2 }\nmerge = \"first-success\"\nconcurrency = 1";
    assert_eq!(all(keys, "echo#sum", r#"{ values = "${item}" }"#), json!(3));
    let keys = "for-each = { range = [1, 6] }\nsplit = { chunk = 2 }\nrequire = { at-least = 4 }";
    let ended = run(&workflow("echo#sum", r#"{ values = "${item}" }"#, keys, ""));
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.contains("group `all` has 3 branches, so 4 cannot succeed"), "{ended}");
}
