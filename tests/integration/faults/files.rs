//! Ways out of a granted directory, and what lies in one that is no file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::beside::{attack, punctual, run_one};
use crate::support::{Place, ended, files_below};

on_every_executor! {
    g10_no_way_leads_out_of_a_granted_directory
    g10_what_may_only_be_read_stays_as_it_is
    g12_fifos_devices_and_sockets_are_refused
    g12_a_fifo_that_takes_a_files_place_keeps_nobody_past_the_timeout;
    own:
    g11_a_full_disk_is_the_guests_error_only
}

fn made(program: &str, arguments: &[&str], path: &Path) {
    let mut command = Command::new(program);
    command.arg(path).args(arguments);
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Everything that can be seen of a tree: names, kinds, bytes, times, links.
fn picture(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let bytes = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let about = (metadata.mode(), metadata.nlink(), metadata.mtime(), metadata.mtime_nsec(), bytes);
            seen.insert(path, format!("{about:?}"));
        }
    }
    seen
}

fn g10_no_way_leads_out_of_a_granted_directory(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").file("canary/file", "untouched").file("canary/folder/file", "untouched");
    place.file("granted/own", "mine").file("granted/inner/file", "mine");
    let at = |name: &str| place.path().join(name);
    let outside = at("canary").canonicalize().unwrap();
    symlink(&outside, at("granted/planted")).unwrap();
    symlink("../canary/file", at("granted/planted-file")).unwrap();
    symlink("..", at("granted/planted-up")).unwrap();
    symlink("/proc/self", at("granted/planted-proc")).unwrap();
    let before = picture(&outside);
    let attack = attack(
        &place,
        "hostile = \"hostile.wasm\"",
        &format!(
            r#"
            [tasks.bad]
            run = "hostile#escape"
            with = {{ outside = "{}" }}
            grants = {{ write = ["granted"] }}
            [tasks.told]
            run = "hostile#escape"
            with = {{ outside = "/etc" }}
            grants = {{ write = [{{ path = "granted/inner", as = "/" }}] }}
            after = ["bad"]
            "#,
            outside.display()
        ),
    );
    assert_eq!(attack.outcome("bad").0, "succeeded", "{attack}");
    assert_eq!(picture(&outside), before, "the canary tree was touched");

    let lines =
        format!("with = {{ outside = \"{}\" }}\ngrants = {{ write = [\"granted\"] }}", outside.display());
    let ended = run_one(&place, "hostile", "escape", &lines);
    assert_eq!(ended.json(), json!({ "it": [] }), "what succeeded should not have: {ended}");
    assert_eq!(picture(&outside), before, "the canary tree was touched");
    assert_eq!(place.read("granted/inner/file"), "mine");
}

fn g10_what_may_only_be_read_stays_as_it_is(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").file("granted/file", "untouched").file("granted/inner/file", "untouched");
    symlink("file", place.path().join("granted/link")).unwrap();
    let before = picture(&place.path().join("granted"));
    let ended = run_one(&place, "hostile", "deface", "grants = { read = [\"granted\"] }");
    assert_eq!(ended.json(), json!({ "it": [] }), "what succeeded should not have: {ended}");
    assert_eq!(picture(&place.path().join("granted")), before);
}

fn g11_a_full_disk_is_the_guests_error_only(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").guest("reach").file("small/keep", "").file(
        "workflow.toml",
        r#"
        [components]
        hostile = "hostile.wasm"
        reach = "reach.wasm"
        [tasks.fill]
        run = "hostile#fill"
        with = { path = "large" }
        grants = { write = ["small"] }
        [tasks.nap]
        run = "reach#sleep"
        with = { ms = 50 }
        [groups.naps]
        task = "nap"
        for-each = { range = [0, 4] }
        [tasks.after]
        run = "reach#write"
        with = { path = "elsewhere/file", text = "there is room here" }
        grants = { write = ["elsewhere"] }
        [outputs]
        naps = "${naps}"
        after = "${after}"
        "#,
    );
    fs::create_dir(place.path().join("elsewhere")).unwrap();
    let run = place.command(["run", "workflow.toml", "--progress", "json"]);
    // A file system of its own, in a mount namespace of its own: gone with the command.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=2m none small && exec \"$0\" \"$@\""]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(place.path());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ended = ended(&mut command);
    assert!(!ended.stderr.contains("unshare failed"), "this test needs the right to mount: {ended}");
    assert_eq!(ended.code, 100, "{ended}");
    let events = crate::groups::events(&ended.stderr);
    let fill = events.iter().find(|event| event["event"] == "task-ended" && event["task"] == "fill").unwrap();
    assert_eq!(fill["outcome"], "failed", "{fill}");
    assert!(fill["error"].as_str().unwrap().contains("insufficient-space"), "{fill}");
    let value = ended.json();
    assert_eq!(value["naps"].as_array().unwrap().len(), 4, "{ended}");
    assert_eq!(place.read("elsewhere/file"), "there is room here");
    assert_eq!(files_below(&place.path().join("small")).len(), 1, "the disk was not one of its own");
}

fn g12_fifos_devices_and_sockets_are_refused(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").file("data/file", "x");
    let at = |name: &str| place.path().join("data").join(name);
    made("mkfifo", &[], &at("fifo"));
    made("mknod", &["c", "1", "5"], &at("zero"));
    made("mknod", &["c", "5", "0"], &at("terminal"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    symlink("fifo", at("link")).unwrap();
    symlink("zero", at("link-zero")).unwrap();
    let names = ["fifo", "zero", "terminal", "socket", "link", "link-zero"];
    let mut tasks = String::new();
    for name in names {
        for write in [true, false] {
            tasks.push_str(&format!(
                "[tasks.{name}-{write}]\nrun = \"hostile#open\"\nlimits = {{ timeout = \"5s\" }}\n\
                 with = {{ path = \"{name}\", write = {write}, follow = true }}\ngrants = {{ write = [\"data\"] }}\n"
            ));
        }
    }
    punctual(|| {
        let attack = attack(&place, "hostile = \"hostile.wasm\"", &tasks);
        for name in names {
            for write in [true, false] {
                attack.ended_so(&format!("{name}-{write}"), "failed", "not-permitted");
            }
        }
        attack.naps_on_time()
    });
}

fn g12_a_fifo_that_takes_a_files_place_keeps_nobody_past_the_timeout(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").file("data/file", "x");
    made("mkfifo", &[], &place.path().join("data/fifo"));
    punctual(|| {
        let attack = attack(
            &place,
            "hostile = \"hostile.wasm\"",
            r#"
            [defaults]
            grants = { write = ["data"] }
            limits = { timeout = "1s" }
            [tasks.swap]
            run = "hostile#swap-forever"
            with = { a = "file", b = "fifo" }
            [tasks.open]
            run = "hostile#open-often"
            with = { path = "file", n = 1000000000 }
            [groups.opens]
            task = "open"
            for-each = { range = [0, 4] }
            "#,
        );
        attack.ended_so("swap", "timed-out", "1s");
        let ends = attack.ends("open");
        assert!(ends.len() == 4 && ends.iter().all(|end| end["outcome"] == "timed-out"), "{attack}");
        attack.on_time("open", 1.0)?;
        attack.naps_on_time()
    });
}
