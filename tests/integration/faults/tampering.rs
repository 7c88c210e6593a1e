//! Bytes that change where they rest: components, and code that was compiled from them.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::beside::{one, written};
use crate::support::{Ended, Place, ended, guest};

on_every_executor! {
    p3_a_component_that_is_swapped_between_check_and_use_does_not_run;
    own:
    p3_code_that_was_swapped_between_components_never_runs
    p3_code_that_was_swapped_between_flavours_never_runs
    h6_damaged_code_is_compiled_anew
    h6_a_folder_for_code_that_others_have_a_say_in_is_refused
    h6_a_folder_for_code_below_the_workflow_is_refused
}

/// A component whose `run` returns `number`.
fn returning(number: u32) -> String {
    format!(
        r#"(component
            (core module $M (func (export "run") (result i32) (i32.const {number})))
            (core instance $m (instantiate $M))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))"#
    )
}

/// Two components, and a code cache of their own.
struct Cached {
    place: Place,
    cache: tempfile::TempDir,
}

impl Cached {
    fn on(executor: &str) -> Self {
        let cached = Self { place: Place::on(executor), cache: tempfile::tempdir().unwrap() };
        written(&cached.place, "one", &returning(1));
        written(&cached.place, "two", &returning(2));
        cached
    }

    /// Runs one of them, with more lines of its task. What it ended with says whether it had to be compiled.
    fn call(&self, name: &str, lines: &str) -> Ended {
        let mut command = one(&self.place, name, "run", lines);
        let mut ended = ended(command.env("XDG_CACHE_HOME", self.cache.path()));
        if ended.code == 0 {
            ended.stdout = ended.json()["it"].to_string();
        }
        ended
    }

    fn folder(&self) -> PathBuf {
        self.cache.path().join("flowhost/code")
    }

    fn entries(&self) -> Vec<PathBuf> {
        let mut entries: Vec<_> =
            fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    /// The entry that a call adds.
    fn compiled(&self, name: &str, lines: &str, value: &str) -> PathBuf {
        let before = if self.folder().exists() { self.entries() } else { Vec::new() };
        let ended = self.call(name, lines);
        assert_eq!((ended.code, ended.stdout.trim()), (0, value), "{ended}");
        let added: Vec<_> = self.entries().into_iter().filter(|entry| !before.contains(entry)).collect();
        let [entry] = added.as_slice() else { panic!("{added:?}") };
        entry.clone()
    }

    /// Whatever was done to its code: `one` returns 1, and the entry is whole again.
    fn recovers(&self, entry: &Path, sound: &[u8]) {
        let ended = self.call("one", "");
        assert_eq!((ended.code, ended.stdout.trim()), (0, "1"), "{ended}");
        assert_eq!(fs::read(entry).unwrap().len(), sound.len(), "the entry was not made anew");
        assert!(fs::symlink_metadata(entry).unwrap().is_file());
        assert_eq!(fs::metadata(entry).unwrap().permissions().mode() & 0o022, 0);
    }
}

fn p3_code_that_was_swapped_between_components_never_runs(executor: &str) {
    let cached = Cached::on(executor);
    let one = cached.compiled("one", "", "1");
    let two = cached.compiled("two", "", "2");
    let sound = fs::read(&one).unwrap();
    fs::copy(&two, &one).unwrap();
    cached.recovers(&one, &sound);
    assert_eq!(cached.call("two", "").stdout, "2");
}

fn p3_code_that_was_swapped_between_flavours_never_runs(executor: &str) {
    let cached = Cached::on(executor);
    let ordinary = cached.compiled("one", "", "1");
    let fuelled = cached.compiled("one", "limits = { fuel = 1000 }", "1");
    let fixed = cached.compiled("one", "deterministic = true", "1");
    let sound = fs::read(&ordinary).unwrap();
    for other in [&fuelled, &fixed] {
        fs::copy(other, &ordinary).unwrap();
        cached.recovers(&ordinary, &sound);
    }
    // Without its count the fuel would have no end.
    fs::copy(&ordinary, &fuelled).unwrap();
    let ended = cached.call("one", "limits = { fuel = 1 }");
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stderr.contains("fuel limit of 1 reached"), "{ended}");
}

fn h6_damaged_code_is_compiled_anew(executor: &str) {
    let cached = Cached::on(executor);
    let entry = cached.compiled("one", "", "1");
    let sound = fs::read(&entry).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\x7fELF".to_vec(),
        sound[..sound.len() - 1].to_vec(),
        sound[..sound.len() / 2].to_vec(),
        [&sound[..], b"x"].concat(),
        vec![0; sound.len()],
    ];
    for at in [0, 64, sound.len() / 2, sound.len() - 40, sound.len() - 1] {
        let mut flipped = sound.clone();
        flipped[at] ^= 1;
        damages.push(flipped);
    }
    for damage in damages {
        fs::write(&entry, &damage).unwrap();
        cached.recovers(&entry, &sound);
    }
    // Our own bytes under rights that let others change them, by another owner, or behind a link.
    fs::set_permissions(&entry, Permissions::from_mode(0o666)).unwrap();
    cached.recovers(&entry, &sound);
    let elsewhere = cached.cache.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    cached.recovers(&entry, &sound);
    fs::remove_file(&entry).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&entry).status().unwrap().success());
    cached.recovers(&entry, &sound);
    chown(&entry, Some(12345), None).expect("this test needs the right to give files away");
    cached.recovers(&entry, &sound);
}

fn h6_a_folder_for_code_that_others_have_a_say_in_is_refused(executor: &str) {
    let cached = Cached::on(executor);
    cached.compiled("one", "", "1");
    let folder = cached.folder();
    let refused = |says: &str| {
        let ended = cached.call("one", "");
        assert_eq!(ended.code, 102, "{ended}");
        assert!(ended.stderr.contains(says), "{says}: {ended}");
        assert!(ended.stderr.contains("flowhost/code"), "the folder is named: {ended}");
    };
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        refused("others can write to it");
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    chown(&folder, Some(12345), None).expect("this test needs the right to give folders away");
    refused("it belongs to user 12345");
    chown(&folder, Some(0), None).unwrap();
    let moved = cached.cache.path().join("moved");
    fs::rename(&folder, &moved).unwrap();
    symlink(&moved, &folder).unwrap();
    refused("cannot use");
    fs::remove_file(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    refused("cannot use");
    fs::remove_file(&folder).unwrap();
    fs::rename(&moved, &folder).unwrap();
    assert_eq!(cached.call("one", "").stdout, "1");
}

fn h6_a_folder_for_code_below_the_workflow_is_refused(executor: &str) {
    let place = Place::on(executor);
    written(&place, "one", &returning(1));
    place.file("out/keep", "").file("flows/keep", "").file(
        "flows/workflow.toml",
        "[components]\none = \"../one.wasm\"\n[tasks.t]\nrun = \"one#run\"\ngrants = { write = [\"../out\"] }\n[outputs]\nv = \"${t}\"\n",
    );
    let run = |cache: &str| {
        let mut command = place.command(["run", "flows/workflow.toml", "--root", "."]);
        ended(command.env("XDG_CACHE_HOME", place.path().join(cache)))
    };
    for cache in ["flows", "flows/.cache", "out", "out/deeper"] {
        let ended = run(cache);
        assert_eq!(ended.code, 102, "{cache}: {ended}");
        assert!(ended.stderr.contains("which holds what others wrote"), "{cache}: {ended}");
        assert!(ended.stderr.contains("XDG_CACHE_HOME"), "the next step is named: {ended}");
        let said = ended.stderr.matches("cannot be reached").count();
        assert_eq!(said, 1, "once, and not of each branch: {ended}");
    }
    let ended = run("beside");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "{\"v\":1}\n"), "{ended}");
    let mut command = place.command(["call", "one.wasm#run", "--write", "out"]);
    let ended = ended_of(command.env("XDG_CACHE_HOME", place.path().join("out")));
    assert_eq!(ended.code, 102, "{ended}");
}

fn ended_of(command: &mut std::process::Command) -> Ended {
    ended(command)
}

#[test]
fn p3_a_component_that_is_not_the_pinned_one_is_refused() {
    let place = Place::new();
    written(&place, "one", &returning(1));
    let digest = flowhost::digest::Digest::of(&fs::read(place.path().join("one.wasm")).unwrap());
    place.file(
        "workflow.toml",
        format!(
            "[components]\none = {{ path = \"one.wasm\", digest = \"{digest}\" }}\n[tasks.t]\nrun = \"one#run\"\n[outputs]\nv = \"${{t}}\"\n"
        ),
    );
    assert_eq!(place.run(["--progress", "none"]).stdout, "{\"v\":1}\n");
    let before = fs::read(place.path().join("one.wasm")).unwrap();
    let mut flipped = before.clone();
    *flipped.last_mut().unwrap() ^= 1;
    place.file("one.wasm", &flipped);
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 2, "{ended}");
    written(&place, "one", &returning(2));
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 2, "{ended}");
    assert!(
        ended.stderr.contains("is not the pinned one") && ended.stderr.contains(&digest.to_string()),
        "{ended}"
    );
}

fn p3_a_component_that_is_swapped_between_check_and_use_does_not_run(executor: &str) {
    let place = Place::on(executor);
    written(&place, "one", &returning(1));
    fs::copy(guest("failing"), place.path().join("failing.wasm")).unwrap();
    place.file(
        "workflow.toml",
        r#"
        [components]
        one = "one.wasm"
        failing = "failing.wasm"
        [tasks.before]
        run = "failing#wait-for-cancel"
        with = { ms = 5000 }
        [tasks.swapped]
        run = "one#run"
        after = ["before"]
        [outputs]
        v = "${swapped}"
        "#,
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        let started = line.contains("\"attempt-started\"");
        seen.push_str(&line);
        seen.push('\n');
        if started {
            // The workflow was checked, and the first task runs: now another program takes the place.
            written(&place, "new", &returning(2));
            fs::rename(place.path().join("new.wasm"), place.path().join("one.wasm")).unwrap();
            break;
        }
    }
    for line in lines {
        seen.push_str(&line.unwrap());
        seen.push('\n');
    }
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(100), "{seen}");
    assert!(!stdout.contains('2'), "{stdout}");
    let events = crate::groups::events(&seen);
    let end =
        events.iter().find(|event| event["event"] == "task-ended" && event["task"] == "swapped").unwrap();
    assert_eq!(end["outcome"], "rejected", "{end}");
    let error = end["error"].as_str().unwrap();
    assert!(
        error.contains("is not the one that was checked") && error.matches("sha256:").count() == 2,
        "{end}"
    );
}
