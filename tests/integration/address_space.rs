//! Machines that ration address space: runs succeed there, slower, and say so.

use serde_json::json;

use crate::groups::events;
use crate::support::{Place, ended, guest, python_guest};

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
        let warnings: Vec<_> = events.iter().filter(|event| event["event"] == "warning").collect();
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

#[test]
fn a_run_of_small_tasks_takes_little_memory() {
    let place = Place::new();
    std::fs::copy(guest("echo"), place.path().join("echo.wasm")).unwrap();
}
