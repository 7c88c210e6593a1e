//! H1: flowhost itself is killed, anywhere. What was recorded stays, and the rest is made.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::recorded::{ends, history};
use crate::support::{Place, files_below};

const BRANCHES: u32 = 300;

fn place() -> Place {
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            failing = "failing.wasm"
            [tasks.number]
            run = "echo#echo-u32"
            with = {{ value = "${{item}}" }}
            [groups.numbers]
            task = "number"
            for-each = {{ range = [0, {BRANCHES}] }}
            [tasks.flaky]
            run = "failing#flaky"
            with = {{ until-attempt = 3 }}
            retry = {{ max-attempts = 4, delay = "1ms" }}
            [groups.flakies]
            task = "flaky"
            for-each = {{ range = [0, 20] }}
            [tasks.large]
            run = "failing#big-string"
            with = {{ bytes = "${{item}}" }}
            [groups.larges]
            task = "large"
            for-each = [70_000, 70_001, 70_002]
            [tasks.total]
            run = "echo#sum"
            with = {{ values = "${{numbers}}" }}
            [tasks.again]
            run = "echo#echo-u32"
            with = {{ value = "${{item}}" }}
            [groups.twice]
            task = "again"
            for-each = "${{numbers}}"
            [outputs]
            total = "${{total}}"
            flakies = "${{flakies}}"
            twice = "${{twice}}"
            larges = {{ value = "${{larges}}", file = "out/larges.json" }}
            "#
        ),
    );
    place
}

/// Numbers that look random, the same each time.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn h1_a_run_that_is_killed_anywhere_completes_with_one_outcome_each() {
    let whole = place();
    let expected = whole.run(["--progress", "none"]);
    assert_eq!(expected.code, 0, "{}", expected.stderr);
    let larges = whole.read("out/larges.json");
    let mut seed = 4;
    for round in 0..4 {
        let place = place();
        let (mut kills, mut recorded) = (0, 0);
        loop {
            // By its id, since the run may have ended before it could hand over its results.
            let run = crate::recorded::runs(&place).first().map(|run| format!("--resume={run}"));
            let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
            command.args(run);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            // Some way into what is left to do, and then a little longer.
            let events = next(&mut seed) % 250;
            let mut said = Vec::new();
            for _ in 0..events {
                match lines.next() {
                    Some(line) => said.push(line.unwrap()),
                    None => break,
                }
            }
            for _ in 0..next(&mut seed) % 200_000 {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            drop(lines);
            let output = child.wait_with_output().unwrap();
            if output.status.success() {
                assert_eq!(String::from_utf8_lossy(&output.stdout), expected.stdout, "round {round}");
                break;
            }
            assert_eq!(output.status.code(), None, "round {round}: {said:#?}");
            kills += 1;
            assert!(kills < 100, "it never ends");
            if crate::recorded::runs(&place).is_empty() {
                // Killed before the run began.
                continue;
            }
            let ends = ends(&place);
            assert!(ends.values().all(|ends| *ends == 1), "round {round}: {ends:?}");
            assert!(ends.len() >= recorded, "round {round}: an outcome is gone");
            recorded = ends.len();
            // An output is there whole or not at all.
            let files = files_below(place.path());
            let written = files.iter().find(|file| file.ends_with("out/larges.json"));
            assert!(written.is_none_or(|file| std::fs::read_to_string(file).unwrap() == larges));
            // Whatever an event told is in the journal.
            let told = said.iter().filter(|line| line.contains("\"event\":\"task-ended\"")).count();
            assert!(told <= recorded, "round {round}: {told} were told, {recorded} are recorded");
        }
        assert!(kills > 0, "round {round}: it was never killed");
        assert_eq!(place.read("out/larges.json"), larges);
        let ends = ends(&place);
        assert_eq!(ends.len(), 2 * BRANCHES as usize + 20 + 3 + 1);
        assert!(ends.values().all(|ends| *ends == 1));
        let history = history(&place);
        assert!(history.nodes["flakies"].branches.values().all(|branch| branch.attempts == 3));
        for name in ["numbers", "twice", "larges", "total"] {
            let once = history.nodes[name].branches.values().all(|branch| branch.attempts == 1);
            assert!(once, "round {round}: an outcome of `{name}` was made twice");
        }
    }
}
