//! Bytes that are no component, or a broken one: refused with the reason, and never a crash.

use std::fmt::Write as _;

use super::beside::{run_one, written};
use crate::support::{Place, guest};

on_every_executor! {
    g9_imports_of_the_wrong_type_are_rejected
    g9_flipped_bits_are_refused_or_run_and_never_fatal
}

#[test]
fn g9_what_is_no_component_is_rejected_with_the_reason() {
    let place = Place::new();
    let good = std::fs::read(guest("echo")).unwrap();
    let text = "(component)";
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("empty", Vec::new(), "it is empty"),
        ("garbage", b"#!/bin/sh\necho hello\n".to_vec(), "it is not WebAssembly"),
        ("escape", b"\x1b[2J\x1b]0;gone\x07".to_vec(), "it is not WebAssembly"),
        ("text", text.into(), "it is WebAssembly text"),
        ("magic", b"\0asm".to_vec(), "it ends in the middle, after 4 bytes"),
        ("half", good[..good.len() / 2].to_vec(), "it ends in the middle"),
        ("most", good[..good.len() - 1].to_vec(), "it ends in the middle"),
        ("core", wat::parse_str("(module (func (export \"run\")))").unwrap(), "it is a core module"),
        ("more", [&good[..], b"\0"].concat(), "it ends in the middle"),
        ("version", [b"\0asm\x0d\0\x02\0", &good[8..]].concat(), ""),
        (
            "threads",
            wat::parse_str("(component (core module (memory 1 1 shared)))").unwrap(),
            "WebAssembly feature threads",
        ),
    ];
    for (name, bytes, says) in cases {
        place.file("it.wasm", bytes);
        place.file("workflow.toml", "[components]\nit = \"it.wasm\"\n[tasks.t]\nrun = \"it#run\"\n");
        for arguments in [
            &["check", "workflow.toml"][..],
            &["run", "workflow.toml"],
            &["inspect", "it.wasm"],
            &["call", "it.wasm#run"],
        ] {
            let ended = place.flowhost(arguments);
            assert_eq!(ended.code, 2, "{name} {arguments:?}: {ended}");
            assert!(ended.stderr.contains(says), "{name} {arguments:?}: {ended}");
            assert!(ended.stderr.contains("it.wasm"), "{name} {arguments:?}: {ended}");
            assert!(!ended.stderr.contains('\u{1b}'), "{name} {arguments:?}: {ended}");
        }
    }
}

#[test]
fn g9_unknown_imports_are_named() {
    let place = Place::new();
    for (import, says) in [
        (r#"(import "acme:gpu/compute@1.0.0" (instance (export "go" (func))))"#, "acme:gpu/compute@1.0.0"),
        (r#"(import "wasi:cli/exit@9.9.9" (instance (export "exit" (func))))"#, "wasi:cli/exit@9.9.9"),
        (r#"(import "secret" (func (result string)))"#, "secret"),
        (r#"(import "inner" (component))"#, "inner"),
        (r#"(import "module" (core module))"#, "module"),
    ] {
        written(
            &place,
            "it",
            &format!(
                r#"(component {import} (core module $M (func (export "run"))) (core instance $m (instantiate $M))
                    (func (export "run") (canon lift (core func $m "run"))))"#
            ),
        );
        place.file("workflow.toml", "[components]\nit = \"it.wasm\"\n[tasks.t]\nrun = \"it#run\"\n");
        for arguments in
            [&["check", "workflow.toml"][..], &["run", "workflow.toml"], &["call", "it.wasm#run"]]
        {
            let ended = place.flowhost(arguments);
            assert_eq!(ended.code, 2, "{import} {arguments:?}: {ended}");
            assert!(ended.stderr.contains(says), "{import} {arguments:?}: {ended}");
        }
    }
}

fn g9_imports_of_the_wrong_type_are_rejected(executor: &str) {
    let place = Place::on(executor);
    for import in [
        r#"(import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result string)))))"#,
        r#"(import "wasi:random/random@0.2.3" (instance (export "launch" (func))))"#,
        r#"(import "flowhost:task/log@0.1.0" (instance (export "log" (func (param "level" u64)))))"#,
    ] {
        written(
            &place,
            "it",
            &format!(
                r#"(component {import} (core module $M (func (export "run"))) (core instance $m (instantiate $M))
                    (func (export "run") (canon lift (core func $m "run"))))"#
            ),
        );
        let ended = run_one(&place, "it", "run", "");
        assert!([2, 100].contains(&ended.code), "{import}: {ended}");
        assert!(
            ended.stderr.contains("wasi:random/random") || ended.stderr.contains("flowhost:task/log"),
            "{import}: {ended}"
        );
    }
}

#[test]
fn g9_types_that_grow_without_end_are_refused_quickly() {
    let place = Place::new();
    // Each type is a pair of the one before: 2^60 leaves.
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for at in 1..60 {
        write!(types, "(type $t{at} (tuple $t{0} $t{0}))", at - 1).unwrap();
    }
    let pairs = format!(
        r#"(component {types}
            (core module $M (memory (export "memory") 1) (func (export "run") (param i32)))
            (core instance $m (instantiate $M))
            (func (export "run") (param "x" $t59) (canon lift (core func $m "run") (memory (core memory $m "memory")))))"#
    );
    // Components in components in components.
    let deep = format!("{}{}", "(component ".repeat(90), ")".repeat(90));
    let wide = format!("(component {})", "(component)".repeat(1001));
    let mut records = String::new();
    for at in 0..900 {
        write!(
            records,
            "(type (record {}))",
            (0..50).map(|f| format!("(field \"f{f}-of-{at}\" u64)")).collect::<String>()
        )
        .unwrap();
    }
    let records = format!("(component {records})");
    for (name, text) in [("pairs", pairs), ("deep", deep), ("wide", wide), ("records", records)] {
        let Ok(bytes) = wat::parse_str(&text) else { panic!("{name} is no text") };
        place.file("it.wasm", bytes);
        let began = std::time::Instant::now();
        let ended = place.flowhost(["inspect", "it.wasm"]);
        assert!([0, 2].contains(&ended.code), "{name}: {ended}");
        let ended = place.flowhost(["call", "it.wasm#run"]);
        assert_eq!(ended.code, 2, "{name}: {ended}");
        assert!(began.elapsed().as_secs() < 20, "{name} took {:?}", began.elapsed());
    }
}

/// The next of a sequence that looks random and is always the same (SplitMix64).
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn g9_flipped_bits_are_refused_or_run_and_never_fatal(executor: &str) {
    let place = Place::on(executor);
    let good = wat::parse_str(
        r#"(component
            (core module $M (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (table 4 funcref) (elem (i32.const 0) $f $f)
                (type $t (func (result i32)))
                (func $f (type $t) (i32.load (global.get $next)))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $next (i32.add (global.get $next) (local.get 3)))
                    (i32.sub (global.get $next) (local.get 3)))
                (func (export "run") (param i32 i32) (result i32)
                    (local $n i32)
                    (loop $more
                        (local.set $n (i32.add (local.get $n) (call_indirect (type $t) (i32.const 1))))
                        (br_if $more (i32.lt_u (local.get $n) (i32.const 100))))
                    (i32.store (i32.const 16) (local.get 0))
                    (i32.store (i32.const 20) (local.get 1))
                    (i32.const 16))
                (data (i32.const 1024) "\07\00\00\00"))
            (core instance $m (instantiate $M))
            (func (export "run") (param "text" string) (result string)
                (canon lift (core func $m "run") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#,
    )
    .unwrap();
    let mut state = 9;
    let mut valid = Vec::new();
    // A check shows no more than a hundred problems.
    for round in 0..16 {
        let mut workflow = "[components]\n".to_owned();
        for at in 0..50 {
            let mut bytes = good.clone();
            for _ in 0..=next(&mut state) % 3 {
                let bit = usize::try_from(next(&mut state)).unwrap() % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            place.file(&format!("{round}/c{at}.wasm"), &bytes);
            writeln!(workflow, "c{at} = \"{round}/c{at}.wasm\"").unwrap();
        }
        for at in 0..50 {
            writeln!(workflow, "[tasks.t{at}]\nrun = \"c{at}#run\"\nwith = {{ text = \"x\" }}").unwrap();
        }
        place.file("workflow.toml", workflow);
        let ended = place.flowhost(["check", "workflow.toml"]);
        assert_eq!(ended.code, 2, "{ended}");
        for at in 0..50 {
            let told = [format!("component `c{at}`"), format!("`c{at}#run`"), format!("= \"c{at}#run\"")];
            if !told.iter().any(|told| ended.stderr.contains(told)) {
                valid.push(format!("{round}/c{at}.wasm"));
            }
        }
    }
    assert!((50..700).contains(&valid.len()), "{} are valid", valid.len());
    let mut workflow =
        "[defaults]\nlimits = { timeout = \"500ms\", memory = \"16MiB\" }\n[components]\n".to_owned();
    let some: Vec<_> = valid.iter().step_by(valid.len() / 40).collect();
    for (at, path) in some.iter().enumerate() {
        writeln!(workflow, "c{at} = \"{path}\"").unwrap();
    }
    for at in 0..some.len() {
        writeln!(workflow, "[tasks.t{at}]\nrun = \"c{at}#run\"\nwith = {{ text = \"x\" }}").unwrap();
    }
    place.file("workflow.toml", workflow);
    let ended = place.run(["--progress", "json"]);
    assert!([0, 100].contains(&ended.code), "{ended}");
    let events = crate::groups::events(&ended.stderr);
    let ends = events.iter().filter(|event| event["event"] == "task-ended").count();
    let group_ends = events.iter().filter(|event| event["event"] == "group-ended").count();
    assert_eq!(
        (group_ends, events.last().unwrap()["event"].as_str()),
        (some.len(), Some("run-ended")),
        "{ends}: {ended}"
    );
    assert!(!ended.stderr.contains("flowhost itself failed"), "{ended}");
}
