//! `cache = true`: outcomes of deterministic tasks that the next run need not make again.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::faults::beside::written;
use crate::groups::events;
use crate::support::{Ended, Place, ended};

/// Doubles its argument, and traps at 13.
const DOUBLE: &str = r#"(component
    (core module $M (func (export "run") (param $n i32) (result i32)
        (if (i32.eq (local.get $n) (i32.const 13)) (then unreachable))
        (i32.mul (local.get $n) (i32.const FACTOR))))
    (core instance $m (instantiate $M))
    (func (export "run") (param "n" u32) (result u32) (canon lift (core func $m "run"))))"#;

const WORKFLOW: &str = r#"
    [components]
    double = "double.wasm"
    [tasks.twice]
    run = "double#run"
    with = { n = "${item}" }
    deterministic = true
    cache = true
    [groups.all]
    task = "twice"
    for-each = { range = [0, 10] }
    [outputs]
    all = "${all}"
"#;

/// A workflow with a cache of its own.
struct Kept {
    place: Place,
    cache: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        let kept = Self { place: Place::new(), cache: tempfile::tempdir().unwrap() };
        kept.times(2);
        kept.place.file("workflow.toml", WORKFLOW);
        kept
    }

    fn times(&self, factor: u32) {
        written(&self.place, "double", &DOUBLE.replace("FACTOR", &factor.to_string()));
    }

    fn edit(&self, from: &str, to: &str) {
        assert!(WORKFLOW.contains(from));
        self.place.file("workflow.toml", WORKFLOW.replace(from, to));
    }

    fn command(&self, words: &[&str]) -> Ended {
        ended(self.place.command(words).env("XDG_CACHE_HOME", self.cache.path()))
    }

    fn run(&self, flags: &[&str]) -> Ended {
        self.command(&[&["run", "workflow.toml", "--progress", "json"], flags].concat())
    }

    /// How many branches the cache answered in a run that succeeds, by all that says so.
    fn cached(&self, flags: &[&str]) -> u64 {
        let ended = self.run(flags);
        assert_eq!(ended.code, 0, "{ended}");
        let events = events(&ended.stderr);
        let last = events.last().unwrap();
        let attempts = events.iter().filter(|event| event["event"] == "attempt-ended");
        let (cached, executed): (Vec<&Value>, Vec<_>) = attempts.partition(|event| event["cached"] == true);
        assert_eq!(last["succeeded"], cached.len() + executed.len());
        assert_eq!(last["cached"], cached.len(), "{ended}");
        cached.len() as u64
    }

    /// Files of outcomes.
    fn entries(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.folder()).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    fn folder(&self) -> PathBuf {
        self.cache.path().join("flowhost/cache")
    }
}

#[test]
fn a_second_run_executes_nothing() {
    let kept = Kept::new();
    assert_eq!(kept.cached(&[]), 0);
    let first = kept.run(&["--no-cache"]).json();
    assert_eq!(kept.cached(&[]), 10);
    assert_eq!(kept.run(&[]).json(), first);
    let told = kept.command(&["run", "workflow.toml"]);
    assert!(told.stderr.contains("10 succeeded (10 from the cache)"), "{told}");
    assert_eq!(kept.cached(&["--no-cache"]), 0);
    assert_eq!(kept.entries().len(), 10, "without the cache, nothing is kept");
}

#[test]
fn what_changed_is_executed() {
    let kept = Kept::new();
    kept.cached(&[]);
    kept.edit("{ range = [0, 10] }", "[8, 9, 10, 11, 12]");
    assert_eq!(kept.cached(&[]), 2, "arguments");
    kept.edit("[components]", "seed = 1\n[components]");
    assert_eq!(kept.cached(&[]), 0, "the seed");
    kept.edit("cache = true", "cache = true\nlimits = { memory = \"1MiB\" }");
    assert_eq!(kept.cached(&[]), 0, "a limit that the guest may notice");
    kept.edit("cache = true", "cache = true\nlimits = { timeout = \"1m\", log = \"1KiB\" }");
    assert_eq!(kept.cached(&[]), 10, "limits that it may not");
    kept.edit("cache = true", "cache = true\ngrants = { env = { A = \"1\" } }");
    assert_eq!(kept.cached(&[]), 0, "the environment");
    kept.place.file("workflow.toml", WORKFLOW);
    kept.times(3);
    assert_eq!(kept.cached(&[]), 0, "the component");
    assert_eq!(kept.run(&[]).json()["all"][3], 9);
}

#[test]
fn only_successes_are_kept() {
    let kept = Kept::new();
    kept.edit("[0, 10]", "[10, 15]");
    for cached in [0, 4] {
        let ended = kept.run(&[]);
        let events = events(&ended.stderr);
        assert_eq!(ended.code, 100, "{ended}");
        let last = events.last().unwrap();
        assert_eq!((&last["failed"], &last["cached"]), (&json!(1), &json!(cached)), "{ended}");
    }
}

#[test]
fn h6_a_poisoned_entry_is_made_again() {
    let kept = Kept::new();
    kept.cached(&[]);
    for poison in [
        (|path: &PathBuf| {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.windows(8).position(|window| window == b"\"value\":").unwrap();
            bytes[at + 8] ^= 1;
            fs::write(path, bytes).unwrap();
        }) as fn(&PathBuf),
        |path| chown(path, Some(65_534), None).unwrap(),
        |path| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap(),
        |path| fs::write(path, "").unwrap(),
    ] {
        let entries = kept.entries();
        entries[..4].iter().for_each(poison);
        // One under another's name.
        fs::rename(&entries[4], &entries[5]).unwrap();
        let ended = kept.run(&[]);
        assert_eq!(ended.json()["all"], json!([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]), "{ended}");
        assert_eq!(events(&ended.stderr).last().unwrap()["cached"], 4, "{ended}");
        assert_eq!(kept.cached(&[]), 10, "mended");
    }
}

#[test]
fn h6_a_cache_that_others_can_write_to_is_refused() {
    let kept = Kept::new();
    kept.cached(&[]);
    fs::set_permissions(kept.folder(), Permissions::from_mode(0o777)).unwrap();
    let ended = kept.run(&[]);
    assert_eq!(ended.code, 1, "{ended}");
    for says in ["others can write to it", "chmod 700", "--no-cache", "flowhost/cache"] {
        assert!(ended.stderr.contains(says), "`{says}` is not in: {ended}");
    }
    assert_eq!(kept.cached(&["--no-cache"]), 0);
}

#[test]
fn the_cache_says_what_it_holds() {
    let kept = Kept::new();
    kept.cached(&[]);
    let told = kept.command(&["cache", "--json"]).json();
    assert_eq!((&told["outcomes"]["entries"], &told["code"]["entries"]), (&json!(10), &json!(1)));
    let bytes: u64 = kept.entries().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(told["outcomes"]["bytes"], bytes);
    let lines = kept.command(&["cache"]).stdout;
    assert!(lines.starts_with("outcomes  10 files, "), "{lines}");
}
