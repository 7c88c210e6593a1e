//! `flowhost explain`: what became of a branch, and why the cache had its outcome or had it not.

use std::path::Path;

use serde_json::{Value, json};

use crate::recorded::runs;
use crate::support::{Ended, Place, ended};

const WORKFLOW: &str = r#"
    seed = 1
    [inputs]
    more = { type = "u32", default = 1 }
    [components]
    echo = "echo.wasm"
    failing = "failing.wasm"
    [tasks.add]
    run = "echo#add"
    with = { a = "${item}", b = "${inputs.more}" }
    deterministic = true
    cache = true
    [groups.sums]
    task = "add"
    for-each = { range = [0, 3] }
    [tasks.flaky]
    run = "failing#flaky"
    with = { until-attempt = 3 }
    limits = { fuel = 1_000_000_000 }
    retry = { max-attempts = 3, delay = "1ms" }
    [tasks.odd]
    run = "failing#fail-odd"
    with = { number = 1 }
    [tasks.after-odd]
    run = "echo#echo-longs"
    with = { value = [] }
    after = ["odd"]
"#;

struct Here {
    place: Place,
    cache: tempfile::TempDir,
}

impl Here {
    fn new() -> Self {
        let here = Self { place: Place::new(), cache: tempfile::tempdir().unwrap() };
        here.place.guest("echo").guest("failing").file("workflow.toml", WORKFLOW);
        here
    }

    fn command(&self, words: &[&str]) -> Ended {
        ended(self.place.command(words).env("XDG_CACHE_HOME", self.cache.path()))
    }

    /// Runs, and gives the run's id.
    fn run(&self, flags: &[&str]) -> String {
        let ended = self.command(&[&["run", "workflow.toml", "--progress", "none"], flags].concat());
        assert_eq!(ended.code, 100, "{ended}");
        runs(&self.place).first().unwrap().clone()
    }

    fn explained(&self, run: &str, branch: &str) -> String {
        let ended = self.command(&["explain", run, branch]);
        assert_eq!((ended.code, &*ended.stderr), (0, ""), "{ended}");
        ended.stdout
    }

    fn object(&self, run: &str, branch: &str) -> Value {
        self.command(&["explain", run, branch, "--json"]).json()
    }
}

fn touched(wasm: &Path) {
    let mut bytes = std::fs::read(wasm).unwrap();
    // A custom section of one byte that says nothing.
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    std::fs::write(wasm, bytes).unwrap();
}

#[test]
fn attempts_are_told_with_what_they_used() {
    let here = Here::new();
    let run = here.run(&[]);
    let told = here.explained(&run, "flaky");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("flaky[0] of run {run} (workflow): succeeded"));
    let attempts: Vec<&&str> = lines.iter().filter(|line| line.starts_with("  attempt ")).collect();
    assert_eq!(attempts.len(), 3, "{told}");
    assert!(
        attempts[0].contains("in-process: failed after") && attempts[2].contains("succeeded after"),
        "{told}"
    );
    assert!(attempts.iter().all(|line| line.ends_with(" fuel") && line.contains("MiB of memory")), "{told}");
    assert!(told.contains("cache: not asked"), "{told}");

    let object = here.object(&run, "flaky[0]");
    assert_eq!((&object["run"], &object["outcome"]), (&json!(run), &json!("succeeded")));
    let attempts = object["attempts"].as_array().unwrap();
    let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "failed", "succeeded"]);
    assert!(attempts[0]["error"].is_string() && attempts[2]["error"].is_null(), "{object}");
    assert!(attempts.iter().all(|attempt| attempt["fuel"].as_u64() > Some(0)), "{object}");

    let told = here.explained(&run, "odd");
    assert!(told.contains(": failed after") && told.contains("1 is odd"), "{told}");
    assert!(here.explained(&run, "after-odd").contains("skipped"));
}

#[test]
fn the_parts_of_the_key_that_changed_are_named() {
    let here = Here::new();
    let why = |run: &str| here.object(run, "sums[2]")["cache"].clone();
    let first = here.run(&[]);
    assert_eq!(why(&first)["compared-with"], json!(null));
    assert!(here.explained(&first, "sums[2]").contains("no earlier run of this file here asked the cache"));

    let second = here.run(&[]);
    assert_eq!((&why(&second)["cached"], &why(&second)["changed"]), (&json!(true), &json!([])));
    let told = here.explained(&second, "sums[2]");
    assert!(told.contains("succeeded, from the cache\n"), "{told}");
    assert!(told.contains(&format!("nothing executed: the call is the same as in run {first}")), "{told}");

    touched(&here.place.path().join("echo.wasm"));
    let third = here.run(&["--input", "more=5"]);
    let told = here.explained(&third, "sums[2]");
    assert!(
        told.contains(&format!(
            "it executed because the component and the argument `b` differ from run {second}"
        )),
        "{told}"
    );
    // A run that does not ask the cache is passed by.
    let fourth = here.run(&["--no-cache"]);
    assert!(here.explained(&fourth, "sums[2]").contains("cache: not asked"));
    here.place.file(
        "workflow.toml",
        WORKFLOW
            .replace("seed = 1", "seed = 2")
            .replace("cache = true", "cache = true\n    limits = { memory = \"64MiB\" }"),
    );
    let fifth = here.run(&["--input", "more=5"]);
    assert_eq!(why(&fifth)["changed"], json!(["limits", "seed"]));
    assert_eq!(why(&fifth)["compared-with"], json!(third));
    // An older call, made again.
    here.place.file("workflow.toml", WORKFLOW);
    let sixth = here.run(&["--input", "more=5"]);
    let told = here.explained(&sixth, "sums[2]");
    assert!(told.contains("nothing executed: the limits and the seed differ from run"), "{told}");
    std::fs::remove_dir_all(here.cache.path().join("flowhost/cache")).unwrap();
    let seventh = here.run(&["--input", "more=5"]);
    let told = here.explained(&seventh, "sums[2]");
    assert!(told.contains("what that run kept was not in the cache any more"), "{told}");
}

#[test]
fn what_the_run_does_not_have_is_named() {
    let here = Here::new();
    let run = here.run(&[]);
    let refused = |branch: &str, says: &str| {
        for command in ["explain", "logs"] {
            let ended = here.command(&[command, &run, branch]);
            assert!(ended.code == 2 && ended.stderr.contains(says), "{says}: {ended}");
        }
    };
    refused("sum", "has no task or group `sum`; did you mean `sums`?");
    refused("elsewhere", "has no task or group `elsewhere`; it has `sums`, `flaky`, `odd`, `after-odd`");
    refused("sums[3]", "`sums` has no branch 3: it has 3, sums[0] to sums[2]");
    refused("odd[1]", "`odd` has no branch 1: it has one, odd[0]");
    let ended = here.command(&["explain", &run, "sums"]);
    assert!(ended.code == 2 && ended.stderr.contains("has 3 branches: name one of them"), "{ended}");
    let ended = here.command(&["explain", "2001", "sums"]);
    assert!(ended.code == 2 && ended.stderr.contains("there is no run `2001`"), "{ended}");
    let ended = here.command(&["logs", &run, "after-odd"]);
    assert!(ended.code == 0 && ended.stderr.contains("after-odd: no attempt has ended, skipped"), "{ended}");
}
