//! flowhost as a library: the example program, built with the tests.

use std::process::Command;

use crate::recorded::{ends, runs};
use crate::support::{Ended, Place, ended, program};

fn embed(place: &Place, words: &[&str]) -> Ended {
    let example = program().parent().unwrap().join("examples/embed");
    let mut command = Command::new(example);
    let environment = place.command([] as [&str; 0]);
    let variables = environment.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(variables).env("FLOWHOST_PROGRAM", program());
    ended(command.args(words).current_dir(place.path()))
}

#[test]
fn a_program_runs_a_workflow_and_sees_its_events() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [inputs]
        last = { type = "u32", default = 1 }
        [components]
        echo = "echo.wasm"
        [tasks.add]
        run = "echo#add"
        with = { a = "${item}", b = "${inputs.last}" }
        [groups.sums]
        task = "add"
        for-each = { range = [0, 3] }
        [tasks.answer]
        run = "echo#answer"
        [outputs]
        sums = "${sums}"
        answer = "${answer}"
        "#,
    );
    let ended = embed(&place, &["workflow.toml", "last=7"]);
    assert_eq!((ended.code, &*ended.stdout), (0, "sums = [7,8,9]\nanswer = 42\n"), "{ended}");
    let run = runs(&place)[0].clone();
    let mut told: Vec<&str> = ended.stderr.lines().collect();
    told.sort_unstable();
    let listed = format!("{run}: 4 succeeded, 0 failed");
    assert_eq!(
        told,
        [&listed, "add[0] succeeded", "add[1] succeeded", "add[2] succeeded", "answer succeeded"],
        "{ended}"
    );
    let refused = embed(&place, &["workflow.toml", "last=-7"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("last"), "{refused}");
}

#[test]
fn a_program_goes_on_with_a_run_of_its_own_or_of_the_command() {
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        r#"
        [inputs]
        last = { type = "u32", default = 1 }
        [components]
        echo = "echo.wasm"
        failing = "failing.wasm"
        [tasks.add]
        run = "echo#add"
        with = { a = "${item}", b = "${inputs.last}" }
        [groups.sums]
        task = "add"
        for-each = { range = [0, 3] }
        [tasks.flaky]
        run = "failing#flaky"
        with = { until-attempt = 3 }
        [outputs]
        sums = "${sums}"
        "#,
    );
    let none = embed(&place, &["workflow.toml", "resume"]);
    assert!(none.code == 1 && none.stderr.contains("there is no unfinished run"), "{none}");
    assert_eq!(embed(&place, &["workflow.toml", "last=7"]).code, 1);
    // The command goes on with what the program recorded, and the program with what the command did.
    let command = place.run(["--progress", "none", "--resume", "--retry-failed"]);
    assert_eq!((command.code, &command.json()["sums"]), (100, &serde_json::json!([7, 8, 9])), "{command}");
    let ended = embed(&place, &["workflow.toml", "resume"]);
    assert_eq!((ended.code, &*ended.stdout), (0, "sums = [7,8,9]\n"), "{ended}");
    let run = runs(&place)[0].clone();
    assert_eq!(ended.stderr, format!("flaky succeeded\n{run}: 4 succeeded, 0 failed\n"), "{ended}");
    assert_eq!(runs(&place).len(), 1);
    assert!(ends(&place).values().all(|ends| *ends == 1));
}
