//! Executors with names of the file's own, as far as they are seen without a Redis.

use serde_json::json;

use crate::support::{Ended, Place, ended};

/// A workflow with a task on an executor of its own, and one that is given a secret and is not.
const FLEET: &str = r#"
    [components]
    echo = "echo.wasm"
    [executors.fleet]
    kind = "redis"
    url = "redis://me:hush@127.0.0.1:1/0"
    [tasks.one]
    run = "echo#answer"
    executor = "fleet"
    [tasks.two]
    run = "echo#answer"
    grants = { env = { HOME = { env = "HOME" } } }
"#;

fn with(place: &Place, words: &[&str], variables: &[(&str, &str)]) -> Ended {
    ended(place.command(words).envs(variables.iter().copied()))
}

#[test]
fn named_executors_are_checked_and_shown_by_name() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", FLEET);
    let checked = with(&place, &["check", "workflow.toml"], &[]);
    let shown = "executor fleet: redis at redis://127.0.0.1:1/0, queue default";
    assert!(checked.code == 0 && checked.stdout.contains(&format!("runs on {shown}")), "{checked}");
    let planned = with(&place, &["run", "workflow.toml", "--dry-run"], &[]);
    assert!(planned.stdout.contains("task one: echo#answer -> u32, on fleet"), "{planned}");
    assert!(planned.stdout.contains(shown), "{planned}");
    assert!(!checked.to_string().contains("hush") && !planned.to_string().contains("hush"), "{planned}");

    // By its name or by its kind's, and by none else.
    for (allowed, code) in [("in-process,fleet", 0), ("in-process,redis", 0), ("in-process,flee", 2)] {
        let got = with(&place, &["check", "workflow.toml"], &[("FLOWHOST_ALLOW_EXECUTORS", allowed)]);
        assert_eq!(
            (got.code, got.stderr.contains("may run on executor `fleet`")),
            (code, code == 2),
            "{got}"
        );
    }
}

#[test]
fn executors_of_nodes_are_shown_with_their_nodes_and_allowed_by_name_or_kind() {
    let place = Place::new();
    let nodes = r#"nodes = ["user@a", { address = "user@b", port = 2222 }]"#;
    let lab = FLEET.replace("kind = \"redis\"", "kind = \"ssh\"");
    let lab = lab.replace("url = \"redis://me:hush@127.0.0.1:1/0\"", nodes).replace("fleet", "lab");
    place.guest("echo").file("workflow.toml", &lab);
    let shown = "executor lab: ssh on 2 nodes: user@a, user@b:2222";
    let checked = with(&place, &["check", "workflow.toml"], &[]);
    assert!(checked.code == 0 && checked.stdout.contains(&format!("runs on {shown}\n")), "{checked}");
    let planned = with(&place, &["run", "workflow.toml", "--dry-run"], &[]);
    assert!(planned.stdout.contains("task one: echo#answer -> u32, on lab"), "{planned}");
    assert!(planned.code == 0 && planned.stdout.contains(&format!("{shown}\n")), "{planned}");
    // The way to a node is encrypted, so a task with a secret may run there.
    let moved = with(&place, &["check", "workflow.toml", "--executor", "two=lab"], &[]);
    assert_eq!(moved.code, 0, "{moved}");

    for (allowed, code) in [("in-process,lab", 0), ("in-process,ssh", 0), ("in-process,redis", 2)] {
        let got = with(&place, &["check", "workflow.toml"], &[("FLOWHOST_ALLOW_EXECUTORS", allowed)]);
        let named = got.stderr.contains("may run on executor `lab`");
        assert_eq!((got.code, named), (code, code == 2), "{got}");
    }
    let others = with(&place, &["check", "workflow.toml", "--untrusted"], &[]);
    assert!(
        others.code == 2 && others.stderr.starts_with("workflow.toml:4:16: an untrusted file"),
        "{others}"
    );
}

#[test]
fn names_and_urls_that_are_missing_or_wrong_are_errors_with_the_next_step() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", FLEET);
    let on = |more: &[&str], variables: &[(&str, &str)]| {
        with(&place, &[&["check", "workflow.toml"], more].concat(), variables)
    };
    let wrong: [(&[&str], &str); 4] = [
        (&["--executor", "one=flet"], "did you mean `fleet`?"),
        (&["--executor", "one=ssh"], "executor `ssh` has no nodes"),
        (&["--executor", "redis"], "executor `redis` has no URL"),
        (&["--executor", "one=redis", "--redis", "http://me:hush@host"], "--redis: a URL with `http://`"),
    ];
    for (words, says) in wrong {
        let got = on(words, &[]);
        assert!(got.code == 2 && got.stderr.contains(says) && !got.stderr.contains("hush"), "{got}");
    }
    let got = on(&["--executor", "one=redis"], &[("FLOWHOST_REDIS", "rediss://host")]);
    assert_eq!(got.code, 0, "{got}");
    // The variable's value may hold a password.
    let help = with(&place, &["run", "--help"], &[("FLOWHOST_REDIS", "redis://:hush@host")]);
    assert!(help.stdout.contains("FLOWHOST_REDIS") && !help.stdout.contains("hush"), "{help}");
}

#[test]
fn secrets_go_unencrypted_only_where_that_is_allowed() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", FLEET);
    let check = ["check", "workflow.toml", "--executor", "two=fleet"];
    let got = place.flowhost(check);
    assert_eq!(got.code, 2, "{got}");
    assert!(got.stderr.starts_with("workflow.toml:10:12: task `two` is given a secret"), "{got}");
    assert!(got.stderr.contains("--allow-plain-secrets") && !got.stderr.contains("hush"), "{got}");
    let allowed = place.flowhost(check.into_iter().chain(["--allow-plain-secrets"]));
    assert_eq!(allowed.code, 0, "{allowed}");
    let allowed = with(&place, &check, &[("FLOWHOST_ALLOW_PLAIN_SECRETS", "1")]);
    assert_eq!(allowed.code, 0, "{allowed}");
}

#[test]
fn where_nobody_listens_the_run_ends_or_the_group_runs_elsewhere() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", FLEET);
    let got = place.run(["--progress", "plain"]);
    assert_eq!(got.code, 102, "{got}");
    assert!(
        got.stderr.contains("executor `fleet` cannot be reached") && !got.stderr.contains("hush"),
        "{got}"
    );

    let group = r#"
    [groups.all]
    task = "three"
    for-each = { range = [0, 3] }
    executor = "fleet"
    fallback = "in-process"
    [tasks.three]
    run = "echo#answer"
    [outputs]
    all = "${all}"
    "#;
    place.file("workflow.toml", format!("{FLEET}{group}"));
    let got = place.run(["--progress", "plain", "--executor", "one=in-process"]);
    assert_eq!((got.code, got.json()), (0, json!({ "all": [42, 42, 42] })), "{got}");
    assert!(got.stderr.contains("the group runs in-process instead"), "{got}");
}

#[test]
fn what_ran_on_a_named_executor_is_replayed_here_without_it() {
    let place = Place::new();
    let url = "url = { env = \"FLEET_URL\" }";
    place.guest("echo").file("workflow.toml", FLEET.replace("url = \"redis://me:hush@127.0.0.1:1/0\"", url));
    let words = ["run", "workflow.toml", "--progress", "none", "--executor", "one=in-process"];
    let got = with(&place, &words, &[]);
    assert_eq!(got.code, 0, "{got}");
    let runs = place.flowhost(["runs", "--json"]);
    let run = runs.json()[0]["run"].as_str().unwrap().to_owned();
    let replayed = place.flowhost(["replay", &run, "one"]);
    assert!(replayed.code == 0 && replayed.stdout.contains("the same"), "{replayed}");
}
