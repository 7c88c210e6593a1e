//! Every way to end, and results that are too large or too deep.

use serde_json::json;

use super::beside::{attack, punctual, run_one, written};
use crate::support::Place;

on_every_executor! {
    g15_every_way_to_fail_is_its_own_outcome
    g16_a_result_above_the_output_limit_names_it
    g16_a_deeply_nested_value_is_taken_or_refused_but_never_fatal
}

fn g15_every_way_to_fail_is_its_own_outcome(executor: &str) {
    let place = Place::on(executor);
    place.guest("failing").guest("command");
    let cases = [
        ("err", "failing#fail", r#"{ message = "no" }"#, "failed", "no"),
        ("permanent", "failing#fail-permanent", r#"{ message = "never" }"#, "failed", "never"),
        ("bare", "failing#fail-bare", "{}", "failed", "`err`"),
        ("trap", "failing#trap", "{}", "trapped", "wasm `unreachable` instruction executed"),
        (
            "panic",
            "failing#panic",
            r#"{ message = "oh" }"#,
            "trapped",
            "wasm `unreachable` instruction executed",
        ),
        ("divide", "failing#divide-by-zero", "{ number = 1 }", "trapped", ""),
        (
            "exits",
            "failing#exit",
            "{ code = 1 }",
            "failed",
            "exited with code 1 before the function returned",
        ),
        (
            "leaves",
            "failing#exit",
            "{ code = 0 }",
            "failed",
            "exited with code 0 before the function returned",
        ),
        ("command-exits", "command#run", r#"{ args = ["exit", "3"] }"#, "failed", "exited with code"),
        ("command-panics", "command#run", r#"{ args = ["panic"] }"#, "trapped", "unreachable"),
        ("command-fails", "command#run", r#"{ args = ["fail"] }"#, "failed", "exited with code 1"),
    ];
    let mut tasks = "[defaults]\nretry = { max-attempts = 2, delay = \"1ms\" }\n".to_owned();
    for (name, run, with, ..) in &cases {
        tasks.push_str(&format!("[tasks.{name}]\nrun = \"{run}\"\nwith = {with}\n"));
    }
    punctual(|| {
        let attack = attack(&place, "failing = \"failing.wasm\"\ncommand = \"command.wasm\"", &tasks);
        for (name, _, _, outcome, says) in &cases {
            attack.ended_so(name, outcome, says);
        }
        let attempts = |name: &str| attack.ends(name)[0]["attempts"].clone();
        assert_eq!(
            (attempts("err"), attempts("permanent"), attempts("trap")),
            (json!(2), json!(1), json!(1))
        );
        let said: Vec<_> = attack
            .events
            .iter()
            .filter(|event| event["event"] == "log" && event["task"] == "panic")
            .map(|event| event["message"].as_str().unwrap())
            .collect();
        assert!(said.iter().any(|line| line.contains("oh")), "{attack}");
        attack.naps_on_time()
    });
}

fn g16_a_result_above_the_output_limit_names_it(executor: &str) {
    let place = Place::on(executor);
    place.guest("failing").guest("command");
    punctual(|| {
        let attack = attack(
            &place,
            "failing = \"failing.wasm\"\ncommand = \"command.wasm\"",
            r#"
            [defaults]
            limits = { output = "1MiB" }
            [tasks.bytes]
            run = "failing#big-output"
            with = { bytes = 1048577 }
            [tasks.text]
            run = "failing#big-string"
            with = { bytes = 100000000 }
            [tasks.list]
            run = "failing#big-list"
            with = { length = 4000000 }
            [tasks.error]
            run = "failing#fail-long"
            with = { bytes = 2000000 }
            [tasks.stdout]
            run = "command#run"
            with = { args = ["write", "1048577"] }
            [tasks.fits]
            run = "failing#big-output"
            with = { bytes = 1000000 }
            "#,
        );
        for task in ["bytes", "text", "list", "error", "stdout"] {
            attack.ended_so(task, "trapped", "output limit of 1 MiB reached");
        }
        assert_eq!(attack.outcome("fits").0, "succeeded");
        // The guests' own memory, and what a dynamic value may take.
        attack.stays_within((96 + 64 + 40) << 20);
        attack.naps_on_time()
    });
}

/// A component that returns a value of lists in lists, `depth` deep, each of one element.
fn nested(depth: usize) -> String {
    let mut ty = "u8".to_owned();
    for _ in 0..depth {
        ty = format!("(list {ty})");
    }
    // The pair at 16 points at itself: one element, which is the same pair.
    format!(
        r#"(component
            (core module $M (memory (export "memory") 1)
                (data (i32.const 16) "\10\00\00\00\01\00\00\00")
                (func (export "run") (result i32) (i32.const 16)))
            (core instance $m (instantiate $M))
            (func (export "run") (result {ty}) (canon lift (core func $m "run") (memory (core memory $m "memory")))))"#
    )
}

fn g16_a_deeply_nested_value_is_taken_or_refused_but_never_fatal(executor: &str) {
    let place = Place::on(executor);
    for depth in [1, 20, 60, 90, 99] {
        let component = nested(depth);
        let Ok(bytes) = wat::parse_str(&component) else { continue };
        place.file("nested.wasm", bytes);
        let ended = run_one(&place, "nested", "run", "");
        assert!([0, 2, 100].contains(&ended.code), "{depth}: {ended}");
        if ended.code == 0 {
            assert!(ended.stdout.contains(&"[".repeat(depth - 1)), "{depth}: {ended}");
        }
    }
    // 2^n leaves from n lists of two: few bytes in the guest, and too many for anyone else.
    let twice = nested(40).replace(
        r#"(data (i32.const 16) "\10\00\00\00\01\00\00\00")"#,
        r#"(data (i32.const 16) "\10\00\00\00\02\00\00\00\10\00\00\00\02\00\00\00")"#,
    );
    written(&place, "twice", &twice);
    punctual(|| {
        let attack = attack(
            &place,
            "twice = \"twice.wasm\"",
            "[tasks.bad]\nrun = \"twice#run\"\nlimits = { output = \"1MiB\" }",
        );
        attack.ended_so("bad", "trapped", "output limit of 1 MiB reached");
        // Lists of two take twice what their elements do.
        attack.stays_within(96 << 20);
        attack.naps_on_time()
    });
}
