//! Deterministic tasks: the same bytes whatever the machine does meanwhile.

use super::beside::written;
use crate::executors::EXECUTORS;
use crate::support::Place;

on_every_executor! {
    g17_deterministic_tasks_give_equal_bytes_whatever_the_machine_does
}

/// Returns the bits of NaNs that different machines would make differently.
const NANS: &str = r#"(component
    (core module $M (memory (export "memory") 1)
        (func (export "run") (param $x f64) (result i32)
            (local $y f32)
            (local.set $y (f32.demote_f64 (local.get $x)))
            (f32.store (i32.const 64) (f32.div (f32.const 0) (f32.const -0)))
            (f32.store (i32.const 68) (f32.sqrt (f32.const -1)))
            (f32.store (i32.const 72) (f32.add (local.get $y) (f32.const -nan:0x200001)))
            (f32.store (i32.const 76) (f32.mul (f32.const nan:0x300007) (local.get $y)))
            (f32.store (i32.const 80) (f32.min (f32.const nan:0x412345) (f32.const -nan:0x200002)))
            (f64.store (i32.const 88) (f64.sub (f64.const inf) (f64.const inf)))
            (f64.store (i32.const 96) (f64.promote_f32 (f32.const -nan:0x234567)))
            (f64.store (i32.const 104) (f64.max (f64.const nan:0x8123456789abc) (local.get $x)))
            (f64.store (i32.const 112) (f64.nearest (f64.const -nan:0x4123456789abc)))
            (v128.store (i32.const 120) (f32x4.div (v128.const f32x4 0 0 0 0) (v128.const f32x4 0 -0 0 -0)))
            (i32.store (i32.const 16) (i32.const 64))
            (i32.store (i32.const 20) (i32.const 72))
            (i32.const 16)))
    (core instance $m (instantiate $M))
    (func (export "run") (param "x" f64) (result (list u8))
        (canon lift (core func $m "run") (memory (core memory $m "memory")))))"#;

const WORKFLOW: &str = r#"
    seed = 7
    [components]
    reach = "reach.wasm"
    nans = "nans.wasm"
    failing = "failing.wasm"
    [defaults]
    deterministic = true
    [tasks.clocks]
    run = "reach#clocks"
    [tasks.slept]
    run = "reach#sleep"
    with = { ms = 86400000 }
    [tasks.random]
    run = "reach#random"
    with = { n = "${item}" }
    [groups.randoms]
    task = "random"
    for-each = { range = [1, 40] }
    [tasks.insecure]
    run = "reach#insecure-random"
    with = { n = 4096 }
    [tasks.seed]
    run = "reach#seed"
    [tasks.order]
    run = "reach#map-order"
    [tasks.bits]
    run = "reach#nan-bits"
    [tasks.nans]
    run = "nans#run"
    with = { x = nan }
    [tasks.place]
    run = "failing#place"
    [tasks.left]
    run = "failing#time-left"
    limits = { timeout = "1m" }
    [tasks.refused]
    run = "failing#refused-memory"
    limits = { memory = "16MiB" }
    [outputs]
    clocks = "${clocks}"
    slept = "${slept}"
    randoms = "${randoms}"
    insecure = "${insecure}"
    seed = "${seed}"
    order = "${order}"
    bits = "${bits}"
    nans = "${nans}"
    place = "${place}"
    left = "${left}"
    refused = "${refused}"
"#;

/// Loops beside it that keep every core busy, and end with their timeouts.
const LOAD: &str = r#"
    [tasks.spin]
    run = "failing#spin"
    deterministic = false
    limits = { timeout = "1s" }
    [groups.load]
    task = "spin"
    for-each = { range = [0, 6] }
"#;

fn g17_deterministic_tasks_give_equal_bytes_whatever_the_machine_does(executor: &str) {
    let place = Place::on(executor);
    place.guest("reach").guest("failing").file("workflow.toml", WORKFLOW);
    written(&place, "nans", NANS);
    let first = place.run(["--progress", "none"]);
    assert_eq!(first.code, 0, "{first}");
    let value = first.json();
    assert_eq!(value["slept"], 86_400_000_000_000_u64 + 1000, "{value}");
    assert_eq!(value["left"], serde_json::Value::Null);
    assert_eq!(value["randoms"].as_array().unwrap().len(), 39);

    let again =
        place.command(["run", "workflow.toml", "--progress", "none"]).env("TZ", "Asia/Tokyo").output();
    assert_eq!(String::from_utf8_lossy(&again.unwrap().stdout), first.stdout);

    // On the executor that all others are compared with.
    let there = Place::on(EXECUTORS[0]);
    there.guest("reach").guest("failing").file("workflow.toml", WORKFLOW);
    written(&there, "nans", NANS);
    assert_eq!(there.run(["--progress", "none"]).stdout, first.stdout);

    // From another folder, under another run id, at other times, with every core busy.
    let busy = Place::on(executor);
    busy.guest("reach").guest("failing").file("workflow.toml", format!("{WORKFLOW}{LOAD}"));
    written(&busy, "nans", NANS);
    let ended = busy.run(["--progress", "none"]);
    assert_eq!(ended.stdout, first.stdout, "{ended}");

    // From the cache, where the second run finds what the first one kept.
    let cached = WORKFLOW.replace("deterministic = true", "deterministic = true\n    cache = true");
    place.file("workflow.toml", cached);
    let cache = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut run = place.command(["run", "workflow.toml", "--progress", "none"]);
        let ended = crate::support::ended(run.env("XDG_CACHE_HOME", cache.path()));
        assert_eq!(ended.stdout, first.stdout, "{ended}");
    }

    // A NaN has one form, whatever made it: the canonical one.
    let ended =
        place.flowhost(["call", "nans.wasm#run", "--with", "x=nan", "--deterministic", "--output", "bits"]);
    assert_eq!(ended.code, 0, "{ended}");
    let bits = std::fs::read(place.path().join("bits")).unwrap();
    for at in [0, 4, 8, 12, 16] {
        assert_eq!(bits[at..at + 4], 0x7fc0_0000_u32.to_le_bytes(), "f32 at {at}");
    }
    for at in [24, 32, 40, 48] {
        assert_eq!(bits[at..at + 8], 0x7ff8_0000_0000_0000_u64.to_le_bytes(), "f64 at {at}");
    }

    // Another seed gives others.
    let other = WORKFLOW.replace("seed = 7", "seed = 8");
    place.file("workflow.toml", other);
    let other = place.run(["--progress", "none"]).json();
    assert_ne!(other["randoms"], value["randoms"]);
    assert_ne!(other["order"], value["order"]);
    assert_eq!(other["nans"], value["nans"]);
}
