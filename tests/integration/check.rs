//! `flowhost check` on a sound file, and what it does not do.

use crate::support::Place;

#[test]
fn a_sound_file_is_summed_up_with_what_it_asks_for() {
    let place = Place::new();
    place.guest("echo").file("data/x", "").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.one]
        run = "echo#answer"
        grants = { read = ["data"], env = { LANG = "C", KEY = { env = "KEY_OF_MINE" } } }
        [groups.many]
        tasks = ["one"]
        [outputs]
        many = "${many}"
        "#,
    );
    let ended = place.flowhost(["check", "workflow.toml"]);
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{ended}");
    for part in ["sound", "1 component", "1 group", "data", "LANG", "KEY_OF_MINE"] {
        assert!(ended.stdout.contains(part), "`{part}` is not in: {ended}");
    }
}

#[test]
fn a_secret_is_needed_to_run_and_not_to_check() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.one]
        run = "echo#swallow"
        with = { value = { env = "KEY_OF_MINE" } }
        "#,
    );
    assert_eq!(place.flowhost(["check", "workflow.toml"]).code, 0);
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.contains("workflow.toml:6:") && ended.stderr.contains("KEY_OF_MINE"), "{ended}");
}

#[test]
fn neither_check_nor_a_dry_run_compiles_or_runs_anything() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        "[components]\necho = \"echo.wasm\"\n[tasks.one]\nrun = \"echo#answer\"\n[outputs]\none = \"${one}\"\n",
    );
    for arguments in [&["check", "workflow.toml"][..], &["run", "workflow.toml", "--dry-run"]] {
        let mut command = place.command(arguments);
        let ended = crate::support::ended(command.env("XDG_CACHE_HOME", place.path().join("cache")));
        assert_eq!(ended.code, 0, "{ended}");
        assert!(!place.path().join("cache").exists(), "{ended}");
    }
    let planned = place.flowhost(["run", "workflow.toml", "--dry-run"]);
    assert!(planned.stdout.contains("task one: echo#answer -> u32"), "{planned}");
}

#[test]
fn executors_that_are_not_there_or_not_allowed_are_errors() {
    let place = Place::new();
    let workflow = |executor: &str| {
        format!(
            "[components]\necho = \"echo.wasm\"\n[tasks.one]\nrun = \"echo#answer\"\nexecutor = \"{executor}\"\n"
        )
    };
    for (executor, says) in [("ssh", "ssh"), ("in-proces", "`in-process`"), ("kubernetes", "kubernetes")] {
        place.guest("echo").file("workflow.toml", workflow(executor));
        let ended = place.flowhost(["check", "workflow.toml"]);
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.stderr.contains(says) && ended.stderr.contains("workflow.toml:5:"), "{ended}");
    }
    place.file("workflow.toml", workflow("auto"));
    let mut command = place.command(["check", "workflow.toml"]);
    let ended = crate::support::ended(command.env("FLOWHOST_ALLOW_EXECUTORS", "process"));
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.contains("FLOWHOST_ALLOW_EXECUTORS does not name: it is `process`"), "{ended}");
    let mut command = place.command(["call", "echo.wasm#answer"]);
    let ended = crate::support::ended(command.env("FLOWHOST_ALLOW_EXECUTORS", "process"));
    assert!(ended.code == 2 && ended.stderr.contains("`in-process`, which"), "{ended}");
    let mut command = place.command(["check", "workflow.toml"]);
    let ended = crate::support::ended(command.env("FLOWHOST_EXECUTOR", "one=process,in-process"));
    assert_eq!(ended.code, 0, "{ended}");
}

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

#[test]
fn named_executors_are_checked_and_shown_by_name() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", FLEET);
    let with = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = place.command(words);
        crate::support::ended(command.envs(variables.iter().copied()))
    };
    let checked = with(&["check", "workflow.toml"], &[]);
    assert!(
        checked.code == 0
            && checked.stdout.contains("runs on executor fleet: redis at redis://127.0.0.1:1/0"),
        "{checked}"
    );
    let planned = with(&["run", "workflow.toml", "--dry-run"], &[]);
    assert!(planned.stdout.contains("task one: echo#answer -> u32, on fleet"), "{planned}");
    assert!(
        planned.stdout.contains("executor fleet: redis at redis://127.0.0.1:1/0, queue default"),
        "{planned}"
    );
    assert!(!checked.to_string().contains("hush") && !planned.to_string().contains("hush"), "{planned}");

    // By its name or by its kind's, and by none else.
    let all = ["in-process,fleet", "in-process,redis"];
    for allowed in all {
        let ended = with(&["check", "workflow.toml"], &[("FLOWHOST_ALLOW_EXECUTORS", allowed)]);
        assert_eq!(ended.code, 0, "{ended}");
    }
    let ended = with(&["check", "workflow.toml"], &[("FLOWHOST_ALLOW_EXECUTORS", "in-process,flee")]);
    assert!(ended.code == 2 && ended.stderr.contains("may run on executor `fleet`"), "{ended}");

    let ended = with(&["check", "workflow.toml", "--executor", "one=flet"], &[]);
    assert!(ended.code == 2 && ended.stderr.contains("did you mean `fleet`?"), "{ended}");
    let ended = with(&["check", "workflow.toml", "--executor", "redis"], &[]);
    assert!(ended.code == 2 && ended.stderr.contains("executor `redis` has no URL"), "{ended}");
    let ended =
        with(&["check", "workflow.toml", "--executor", "one=redis"], &[("FLOWHOST_REDIS", "rediss://host")]);
    assert_eq!(ended.code, 0, "{ended}");
    let ended =
        with(&["check", "workflow.toml", "--executor", "one=redis", "--redis", "http://me:hush@host"], &[]);
    assert!(ended.code == 2 && ended.stderr.contains("--redis: a URL with `http://`"), "{ended}");
    assert!(!ended.stderr.contains("hush"), "{ended}");
    let help = with(&["run", "--help"], &[("FLOWHOST_REDIS", "redis://:hush@host")]);
    assert!(help.stdout.contains("FLOWHOST_REDIS") && !help.stdout.contains("hush"), "{help}");
}

#[test]
fn secrets_go_unencrypted_only_where_that_is_allowed() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", FLEET);
    let ended = place.flowhost(["check", "workflow.toml", "--executor", "two=fleet"]);
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.starts_with("workflow.toml:11:12: task `two` is given a secret"), "{ended}");
    assert!(ended.stderr.contains("--allow-plain-secrets") && !ended.stderr.contains("hush"), "{ended}");
    let allowed = ["check", "workflow.toml", "--executor", "two=fleet", "--allow-plain-secrets"];
    assert_eq!(place.flowhost(allowed).code, 0);
    let mut command = place.command(["check", "workflow.toml", "--executor", "two=fleet"]);
    assert_eq!(crate::support::ended(command.env("FLOWHOST_ALLOW_PLAIN_SECRETS", "1")).code, 0);
}
