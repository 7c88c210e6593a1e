//! What the kernel puts between children and the machine: what is said of it, and runs where some of it is
//! missing.

use serde_json::Value;

use crate::support::{Ended, Landlock, Place, ended, with_landlock};

/// What `inspect --host` says of every layer, by its name: whether it is there, what it comes to, and what
/// it means where it is missing.
fn layers(said: &Ended) -> Vec<(String, String, String, String)> {
    assert_eq!(said.code, 0, "{said}");
    let json = said.json();
    let text = |layer: &Value, key: &str| layer.get(key).and_then(Value::as_str).unwrap().to_owned();
    let layers = json.get("layers").and_then(Value::as_array).unwrap().iter();
    layers
        .map(|layer| {
            (text(layer, "name"), text(layer, "state"), text(layer, "detail"), text(layer, "without"))
        })
        .collect()
}

fn inspect(place: &Place, landlock: Option<Landlock>, json: bool) -> Ended {
    let arguments: &[&str] = if json { &["inspect", "--host", "--json"] } else { &["inspect", "--host"] };
    let mut command = place.command(arguments);
    match landlock {
        None => ended(&mut command),
        Some(landlock) => ended(&mut with_landlock(landlock, &command)),
    }
}

/// Fails with what the kernel lacks where children are not confined in full, which some tests are about.
pub(crate) fn needs_landlock() {
    for (name, state, detail, _) in layers(&inspect(&Place::new(), None, true)) {
        let of_landlock = ["files", "connections", "signals"].contains(&&*name);
        assert!(
            !of_landlock || state == "there",
            "this test needs Landlock, version 6 (Linux 6.12): {name}: {detail}"
        );
    }
}

const NAMES: [&str; 10] = [
    "parent",
    "privileges",
    "memory",
    "open-files",
    "core-dumps",
    "files",
    "connections",
    "signals",
    "fast-resets",
    "sealed-code",
];

#[test]
fn what_a_child_found_beneath_its_sandbox_is_told() {
    let place = Place::new();
    let said = inspect(&place, None, true);
    let layers = layers(&said);
    assert_eq!(layers.iter().map(|(name, ..)| &**name).collect::<Vec<_>>(), NAMES);
    for (name, state, detail, without) in &layers {
        assert_eq!(state, "there", "the kernel of this machine lacks `{name}` for these tests: {detail}");
        assert!(!without.is_empty(), "{name}");
    }
    let json = said.json();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(json["cores"], cores);
    assert_eq!(json["children"], 64.max(cores * 4));
    assert!(json["kernel"].as_str().unwrap().starts_with("Linux "), "{json}");
    let detail = |wanted: &str| &layers.iter().find(|(name, ..)| name == wanted).unwrap().2;
    assert_eq!(detail("core-dumps"), "it leaves a core file of at most 0 bytes (RLIMIT_CORE)");
    assert!(detail("files").contains("(Landlock, version "), "{}", detail("files"));
    // The same for people.
    let text = inspect(&place, None, false);
    assert_eq!(text.code, 0, "{text}");
    for (name, _, detail, _) in &layers {
        assert!(text.stdout.contains(&format!("there     {name}: {detail}")), "{text}");
    }
    assert!(!text.stdout.contains("without it"), "{text}");
}

#[test]
fn limits_of_the_machine_show_in_what_is_told() {
    let place = Place::new();
    let told = |limit: &str| layers(&ended(&mut place.limited(limit, ["inspect", "--host", "--json"])));
    for (name, state, detail, without) in told("-v 2097152") {
        let expected = if name == "fast-resets" { "missing" } else { "there" };
        assert_eq!(state, expected, "{name}: {detail}");
        assert!(name != "fast-resets" || without == "attempts are as safe, and cost several times as much");
    }
    let files = told("-n 500").into_iter().find(|(name, ..)| name == "open-files").unwrap();
    assert_eq!(files.2, "it opens at most 500 files at once (RLIMIT_NOFILE)");
}

#[test]
fn inspect_is_about_a_component_or_about_the_machine() {
    let place = Place::new();
    place.guest("echo");
    for (arguments, part) in [
        (&["inspect"] as &[&str], "COMPONENT"),
        (&["inspect", "echo.wasm", "--host"], "--host is about this machine and takes no component"),
    ] {
        let refused = place.flowhost(arguments);
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains(part), "{refused}");
    }
    // Off, in the words of a variable.
    let mut command = place.command(["inspect", "echo.wasm"]);
    let shown = ended(command.env("FLOWHOST_HOST", "0"));
    assert_eq!(shown.code, 0, "{shown}");
    assert!(shown.stdout.starts_with("digest "), "{shown}");
}

/// A workflow whose tasks run in children of three kinds: with a directory, with the network, and without
/// either, so that more than one of them could complain.
fn kinds(place: &Place) {
    place.guest("reach").file("data/file", "this").file(
        "workflow.toml",
        r#"
        [components]
        reach = "reach.wasm"
        [defaults]
        executor = "process"
        [tasks.read]
        run = "reach#read"
        with = { path = "data/file" }
        grants = { read = ["data"] }
        [groups.naps]
        task = "nap"
        for-each = { range = [0, 4] }
        [tasks.nap]
        run = "reach#sleep"
        with = { ms = 100 }
        [tasks.away]
        run = "reach#sleep"
        with = { ms = 100 }
        grants = { net = ["192.0.2.1:9"] }
        [outputs]
        read = "${read}"
        "#,
    );
}

/// The messages of all warnings that children are not confined.
fn unconfined(ended: &Ended) -> Vec<String> {
    let events = ended.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let warnings = events.filter(|event| event.get("kind").is_some_and(|kind| kind == "unconfined"));
    let message = |event: Value| event.get("message").and_then(Value::as_str).unwrap().to_owned();
    warnings.map(message).collect()
}

#[test]
fn a_kernel_that_does_not_confine_is_one_warning_and_no_failure() {
    let place = Place::new();
    kinds(&place);
    needs_landlock();
    let mut run = place.command(["run", "workflow.toml", "--progress", "json"]);
    let before = ended(&mut run);
    assert_eq!(before.code, 0, "{before}");
    assert_eq!(unconfined(&before), Vec::<String>::new());
    for (landlock, why) in [
        (Landlock::Absent, "the kernel has no Landlock, or something filters this process's system calls"),
        (
            Landlock::SwitchedOff,
            "the kernel has Landlock switched off (its boot parameter `lsm=` does not name `landlock`)",
        ),
        (Landlock::Version(2), "the kernel has version 2 of Landlock"),
        (Landlock::Version(5), "the kernel has version 5 of Landlock"),
    ] {
        let ran = ended(&mut with_landlock(landlock, &run));
        assert_eq!((ran.code, &*ran.stdout), (0, &*before.stdout), "{landlock:?}: {ran}");
        let warned = unconfined(&ran);
        assert_eq!(warned.len(), 1, "{landlock:?}: {warned:#?}");
        assert!(warned[0].starts_with(why), "{landlock:?}: {warned:#?}");
        assert!(warned[0].contains("can reach more than was granted"), "{warned:#?}");
    }
}

#[test]
fn what_the_kernel_lacks_is_told_layer_by_layer() {
    let place = Place::new();
    let cases = [
        (Landlock::Absent, ["missing", "missing", "missing"]),
        (Landlock::SwitchedOff, ["missing", "missing", "missing"]),
        (Landlock::Version(2), ["partly", "missing", "missing"]),
        (Landlock::Version(4), ["partly", "there", "missing"]),
        (Landlock::Version(5), ["there", "there", "missing"]),
    ];
    for (landlock, expected) in cases {
        let layers = layers(&inspect(&place, Some(landlock), true));
        let state = |wanted: &str| &*layers.iter().find(|(name, ..)| name == wanted).unwrap().1;
        assert_eq!(["files", "connections", "signals"].map(state), expected, "{landlock:?}: {layers:#?}");
        let others =
            layers.iter().filter(|(name, ..)| !["files", "connections", "signals"].contains(&&**name));
        assert!(
            others.clone().count() == 7 && others.clone().all(|(_, state, ..)| state == "there"),
            "{layers:#?}"
        );
    }
    let text = inspect(&place, Some(Landlock::SwitchedOff), false).stdout;
    for part in [
        "missing   files: the kernel has Landlock switched off",
        "this takes version 4, Linux 6.7\n          without it, whatever left the sandbox could connect",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
