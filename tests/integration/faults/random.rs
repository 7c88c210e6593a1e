//! Components that nobody thought of: six hundred of them, from a fixed seed, half of them as wasm-smith
//! makes components and half of them its modules behind exports that can be called.

use std::fmt::Write as _;
use std::process::Command;

use wasm_smith::{Component, Config, Module};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::bytes::next;
use crate::support::{Ended, Place, ended};

on_every_executor! {
    random_components_never_crash_or_hang_the_host
}

const EACH: usize = 300;
const BATCH: usize = 50;

const WORLD: &str = "
    package example:random;
    world random {
        variant shape { none, text(string), pair(tuple<u8, f32>), nested(option<list<string>>) }
        export numbers: func(a: u32, b: u64) -> u64;
        export text: func(text: string) -> string;
        export lists: func() -> list<list<string>>;
        export shapes: func(count: u8) -> result<list<shape>, string>;
    }";

/// The core form of the world: what the random modules export.
const EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "numbers") (param i32 i64) (result i64) unreachable)
    (func (export "text") (param i32 i32) (result i32) unreachable)
    (func (export "lists") (result i32) unreachable)
    (func (export "shapes") (param i32) (result i32) unreachable))"#;

const CALLS: [(&str, &str); 4] = [
    ("numbers", "{ a = 1, b = 2 }"),
    ("text", "{ text = \"some text\" }"),
    ("lists", "{}"),
    ("shapes", "{ count = 3 }"),
];

/// Bytes that look random.
fn noise(state: &mut u64, length: usize) -> Vec<u8> {
    (0..length / 8).flat_map(|_| next(state).to_le_bytes()).collect()
}

/// What the engine runs, and no imports.
fn features() -> Config {
    Config {
        allow_start_export: true,
        bulk_memory_enabled: true,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        max_imports: 0,
        max_memories: 1,
        memory64_enabled: false,
        multi_value_enabled: true,
        reference_types_enabled: true,
        relaxed_simd_enabled: false,
        simd_enabled: true,
        tail_call_enabled: true,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// A component as wasm-smith makes it. It exports no functions.
fn component(state: &mut u64) -> Vec<u8> {
    loop {
        let noise = noise(state, 2048);
        if let Ok(component) = Component::new(features(), &mut arbitrary::Unstructured::new(&noise)) {
            return component.to_bytes();
        }
    }
}

/// One of its modules as a component with the exports of [`WORLD`].
fn callable(state: &mut u64, resolve: &Resolve, exports: &[u8]) -> Vec<u8> {
    loop {
        let noise = noise(state, 8192);
        let config = Config { exports: Some(exports.to_vec()), max_memories: 0, ..features() };
        let Ok(module) = Module::new(config, &mut arbitrary::Unstructured::new(&noise)) else { continue };
        let mut bytes = module.to_bytes();
        let (world, _) = resolve.worlds.iter().next().unwrap();
        embed_component_metadata(&mut bytes, resolve, world, StringEncoding::UTF8).unwrap();
        let encoded = ComponentEncoder::default().module(&bytes).and_then(|mut encoder| encoder.encode());
        if let Ok(component) = encoded {
            return component;
        }
    }
}

/// Runs the command, and ends it where it does not end by itself: later than a disk that is busy with other things takes to
/// keep what was compiled.
fn bounded(place: &Place, arguments: &[&str]) -> Ended {
    let command = place.command(arguments);
    let mut timeout = Command::new("timeout");
    timeout.args(["--signal=KILL", "600"]).arg(command.get_program()).args(command.get_args());
    timeout.current_dir(place.path());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timeout.env(name, value),
            None => timeout.env_remove(name),
        };
    }
    ended(&mut timeout)
}

fn random_components_never_crash_or_hang_the_host(executor: &str) {
    let mut state = 2026;
    let place = Place::on(executor);
    for batch in 0..EACH / BATCH {
        let mut workflow = "[components]\n".to_owned();
        for at in 0..BATCH {
            place.file(&format!("{batch}/c{at}.wasm"), component(&mut state));
            writeln!(workflow, "c{at} = \"{batch}/c{at}.wasm\"").unwrap();
        }
        writeln!(workflow, "[tasks.t]\nrun = \"c0#run\"").unwrap();
        place.file("workflow.toml", workflow);
        let ended = bounded(&place, &["check", "workflow.toml"]);
        assert_eq!(ended.code, 2, "there is no `run`: {ended}");
    }

    let mut resolve = Resolve::default();
    resolve.push_str("random.wit", WORLD).unwrap();
    let exports = wat::parse_str(EXPORTS).unwrap();
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    for batch in 0..EACH / BATCH {
        let mut workflow =
            "[defaults]\nlimits = { timeout = \"200ms\", memory = \"64MiB\", output = \"1MiB\" }\n[components]\n".to_owned();
        for at in 0..BATCH {
            place.file(&format!("{batch}/d{at}.wasm"), callable(&mut state, &resolve, &exports));
            writeln!(workflow, "d{at} = \"{batch}/d{at}.wasm\"").unwrap();
        }
        for at in 0..BATCH {
            for (name, with) in CALLS {
                writeln!(workflow, "[tasks.{name}-{at}]\nrun = \"d{at}#{name}\"\nwith = {with}").unwrap();
            }
        }
        place.file("workflow.toml", workflow);
        let ended = bounded(&place, &["run", "workflow.toml", "--progress", "json"]);
        assert!([0, 100].contains(&ended.code), "{batch}: {ended}");
        let events = crate::groups::events(&ended.stderr);
        assert_eq!(events.last().unwrap()["event"], "run-ended", "{batch}: {ended}");
        let mut ends = 0;
        for event in events.iter().filter(|event| event["event"] == "task-ended") {
            ends += 1;
            let outcome = event["outcome"].as_str().unwrap();
            assert_ne!(outcome, "lost", "{batch}: {event}");
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
        assert_eq!(ends, BATCH * CALLS.len(), "{batch}: {ended}");
    }
    // They are not all refused: most of them run.
    let ran =
        outcomes.iter().filter(|(outcome, _)| *outcome != "rejected").map(|(_, count)| count).sum::<usize>();
    assert!(ran > EACH * CALLS.len() / 2, "{outcomes:?}");
}
