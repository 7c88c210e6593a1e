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
