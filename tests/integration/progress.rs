//! What a run shows, on a real terminal and off it.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Place, program};

/// A terminal of its own, from tmux.
pub(crate) struct Terminal(String);

impl Terminal {
    pub(crate) fn start(place: &Place, command: &str) -> Self {
        let name = format!(
            "flowhost-{}",
            place.path().file_name().unwrap().to_string_lossy().trim_start_matches('.')
        );
        let cache = std::env::temp_dir();
        let status = Command::new("tmux")
            .args(["-L", &name, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-s", "run"])
            .arg(format!(
                "XDG_CACHE_HOME={} {command}; echo exit code $?; exec cat",
                cache.join("flowhost-terminal").display()
            ))
            .current_dir(place.path())
            .status()
            .unwrap();
        assert!(status.success());
        Self(name)
    }

    fn screen(&self) -> String {
        let output =
            Command::new("tmux").args(["-L", &self.0, "capture-pane", "-p", "-t", "run"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Looks at the screen until it shows what is wanted.
    pub(crate) fn until(&self, what: &str, shows: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if shows(&screen) {
                return screen;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{what} never came:\n{screen}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The test is over either way.
        let _ = Command::new("tmux").args(["-L", &self.0, "kill-server"]).status();
    }
}

#[test]
fn a_terminal_shows_a_bar_for_each_group() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.wait]
        run = "failing#sleep"
        with = { ms = 200 }
        [groups.waiting]
        task = "wait"
        for-each = { range = [0, 100] }
        concurrency = 4
        [groups.others]
        task = "wait"
        for-each = { range = [0, 3] }
        [outputs]
        others = "${others}"
        "#,
    );
    let command = format!("{} run workflow.toml", program().display());
    let terminal = Terminal::start(&place, &command);
    let moving = terminal.until("a bar", |screen| {
        screen
            .lines()
            .any(|line| line.contains("waiting") && line.contains("/100") && !line.contains("0/100"))
    });
    assert!(moving.contains("others"), "{moving}");
    let ended = terminal.until("the end", |screen| screen.contains("exit code 0"));
    assert!(ended.contains("100/100") || ended.contains("succeeded"), "{ended}");
    assert!(ended.contains(r#"{"others":[[],[],[]]}"#) || ended.contains("others"), "{ended}");
}

#[test]
fn off_a_terminal_there_are_plain_lines_without_escape_sequences() {
    let place = Place::new();
    place.guest("talkative").file(
        "workflow.toml",
        r#"
        [components]
        talkative = "talkative.wasm"
        [tasks.say]
        run = "talkative#log"
        with = { message = "this is ${index}" }
        [groups.sayers]
        task = "say"
        for-each = { range = [0, 2] }
        "#,
    );
    let ended = place.run(Vec::<&str>::new());
    assert_eq!(ended.code, 0, "{ended}");
    for line in ["sayers[0]", "this is 0", "sayers[1]", "this is 1"] {
        assert!(ended.stderr.contains(line), "`{line}` is not in: {ended}");
    }
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stderr.contains('\r'), "{ended}");
}

#[test]
fn what_people_wait_for_and_what_they_may_not_expect_is_told() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.text]
        run = "echo#echo-string"
        with = { value = "${item.path}" }
        [groups.texts]
        task = "text"
        for-each = { files = "texts/*.nothing" }
        [tasks.answer]
        run = "echo#answer"
        "#,
    );
    let run = |style: &str, cache: &str| {
        let mut command = place.command(["run", "workflow.toml", "--progress", style]);
        crate::support::ended(command.env("XDG_CACHE_HOME", std::env::temp_dir().join(cache)))
    };
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().to_str().unwrap();
    let ended = run("plain", cache);
    assert_eq!((ended.code, ended.json()), (0, serde_json::json!({ "texts": [], "answer": 42 })), "{ended}");
    let compiling = "run: component `echo.wasm` is being compiled; the code is kept for later runs\n";
    assert!(ended.stderr.contains(compiling), "{ended}");
    assert!(
        ended.stderr.contains("texts: warning: no file matches `texts/*.nothing`, so nothing runs"),
        "{ended}"
    );
    let ended = run("json", cache);
    let warnings: Vec<_> = crate::groups::events(&ended.stderr)
        .into_iter()
        .filter(|event| event["event"] == "warning")
        .map(|event| (event["kind"].clone(), event["group"].clone()))
        .collect();
    assert_eq!(warnings, [("no-files".into(), "texts".into())], "compiled once: {ended}");
}

#[test]
fn who_closes_a_list_early_has_seen_enough() {
    let place = Place::new();
    // Nobody reads: the other end is closed before anything is written.
    let command = format!("{} schema | true; exit ${{PIPESTATUS[0]}}", program().display());
    let output = Command::new("bash").args(["-c", &command]).current_dir(place.path()).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}
