//! flowhost as a library: the example program, built with the tests.

use std::process::Command;

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
    let mut told: Vec<&str> = ended.stderr.lines().collect();
    told.sort_unstable();
    assert_eq!(
        told,
        ["add[0] succeeded", "add[1] succeeded", "add[2] succeeded", "answer succeeded"],
        "{ended}"
    );
    let refused = embed(&place, &["workflow.toml", "last=-7"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("last"), "{refused}");
}
