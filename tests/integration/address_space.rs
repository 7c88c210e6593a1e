//! Machines that ration address space: runs succeed there, slower, and say so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::json;

use crate::groups::events;
use crate::support::{Place, ended, python_guest};

/// A place with a group of small tasks, one of which needs 40 MiB, and what it yields.
fn place() -> Place {
    let place = Place::new();
    place.guest("echo").guest("large").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        large = "large.wasm"
        [tasks.answer]
        run = "echo#answer"
        [groups.answers]
        task = "answer"
        for-each = { range = [0, 100] }
        [tasks.size]
        run = "large#size"
        [tasks.fuelled]
        run = "echo#answer"
        limits = { fuel = 1000000 }
        [outputs]
        answers = "${answers}"
        size = "${size}"
        fuelled = "${fuelled}"
        "#,
    );
    place
}

#[test]
fn a_run_succeeds_where_address_space_is_scarce_and_says_so() {
    for (limit, scarce) in [("-v unlimited", false), ("-v 33554432", true), ("-v 2097152", true)] {
        let place = place();
        let ended = ended(&mut place.limited(limit, ["run", "--progress", "json", "workflow.toml"]));
        assert_eq!(ended.code, 0, "{limit}: {ended}");
        let wanted = json!({ "answers": vec![42; 100], "size": [3000, 12 << 20], "fuelled": 42 });
        assert_eq!(ended.json(), wanted, "{limit}: {ended}");
        let events = events(&ended.stderr);
        let warnings: Vec<_> = events.iter().filter(|event| event["kind"] == "pool-too-small").collect();
        // One for each flavour of engine: here with and without fuel.
        assert_eq!(warnings.len(), if scarce { 2 } else { 0 }, "{limit}: {ended}");
        for warning in warnings {
            assert!(warning["message"].as_str().unwrap().contains("ulimit -v"), "{warning}");
        }
    }
}

#[test]
fn limits_hold_where_address_space_is_scarce() {
    let place = Place::new();
    place.guest("failing");
    let call = |function: &str, more: &[&str]| {
        let arguments = [&["call", function][..], more].concat();
        ended(&mut place.limited("-v 2097152", arguments))
    };
    let refused = call("failing.wasm#refused-memory", &["--memory", "16MiB"]);
    assert_eq!(refused.code, 0, "{refused}");
    let got: u64 = refused.stdout.trim().parse().unwrap();
    assert!((8 << 20..16 << 20).contains(&got), "{got}");
    let bomb = call("failing.wasm#out-of-memory", &["--memory", "64MiB"]);
    assert_eq!(bomb.code, 100, "{bomb}");
    assert!(bomb.stderr.contains("memory limit of 64 MiB"), "{bomb}");
    let spin = call("failing.wasm#spin", &["--timeout", "200ms"]);
    assert!(spin.code == 100 && spin.stderr.contains("200ms"), "{spin}");
}

#[test]
fn a_python_guest_is_compiled_and_runs_in_two_gibibytes() {
    let place = Place::new();
    place.component(&python_guest());
    let arguments = ["call", "python.wasm#greet", "--with", "name=Ada"];
    let ended = ended(&mut place.limited("-v 2097152", arguments));
    assert_eq!((ended.code, ended.stdout.trim()), (0, "\"Hello, Ada!\""), "{ended}");
}

/// A line of `/proc/PID/status`, in KiB.
fn status(process: &Child, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_small_run_fits_a_host_of_two_gibibytes() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.sleep]
        run = "failing#sleep"
        with = { ms = 3600000 }
        [groups.sleepers]
        task = "sleep"
        for-each = { range = [0, 16] }
        "#,
    );
    // Compiled beforehand: the compiler is another process.
    assert_eq!(place.flowhost(["call", "failing.wasm#sleep", "--with", "ms=0"]).code, 0);
    let mut run = place.command(["run", "--progress", "json", "workflow.toml"]);
    let mut run = run.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(run.stderr.take().unwrap()).lines();
    let started =
        lines.map(Result::unwrap).filter(|line| line.contains("\"attempt-started\"")).take(16).count();
    let (peak, writable) = (status(&run, "VmHWM"), status(&run, "VmData"));
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(started, 16);
    assert!(peak < 64 << 10, "{peak} KiB were used");
    // A system that never overcommits counts what is writable, used or not, and by default allows for half of its memory.
    assert!(writable < 1 << 20, "{writable} KiB are writable");
}
