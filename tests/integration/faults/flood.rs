//! Guests that hand the host more than it wants: long strings, lying lengths, endless output, random
//! bytes without end.

use super::beside::{attack, punctual, written};
use crate::support::Place;

on_every_executor! {
    g5_a_string_of_two_gib_names_the_limit
    g5_one_string_a_hundred_thousand_times_names_the_limit
    g6_ten_gib_to_stdout_are_cut_with_a_mark
    g6_ten_million_empty_writes_leave_memory_flat
    g14_random_bytes_without_end_trap
}

const MIB: u64 = 1 << 20;

/// A component with 2 GiB of memory that was never touched. `run` calls `body`, and returns `result`.
fn two_gib(encoding: &str, body: &str, result: &str) -> String {
    format!(
        r#"(component
            (import "flowhost:task/log@0.1.0" (instance $host
                (type $level' (enum "trace" "debug" "info" "warn" "error"))
                (export "level" (type $level (eq $level')))
                (export "log" (func (param "level" $level) (param "message" string)))))
            (core module $Memory (memory (export "memory") 32769))
            (core instance $memory (instantiate $Memory))
            (alias core export $memory "memory" (core memory $m))
            (alias export $host "log" (func $log))
            (core func $log (canon lower (func $log) (memory $m) {encoding}))
            (core module $Main
                (import "host" "log" (func $log (param i32 i32 i32)))
                (import "memory" "memory" (memory 1))
                {body})
            (core instance $main (instantiate $Main
                (with "memory" (instance $memory))
                (with "host" (instance (export "log" (func $log))))))
            (func (export "run") {result}))"#
    )
}

fn logging(encoding: &str, pointer: u32, length: u32) -> String {
    two_gib(
        encoding,
        &format!(
            r#"(func (export "run") (call $log (i32.const 2) (i32.const {pointer}) (i32.const {length})))"#
        ),
        r#"(canon lift (core func $main "run"))"#,
    )
}

fn returning(encoding: &str, ty: &str, pointer: u32, length: u32) -> String {
    two_gib(
        encoding,
        &format!(
            r#"(func (export "run") (result i32)
                (i32.store (i32.const 8) (i32.const {pointer}))
                (i32.store (i32.const 12) (i32.const {length}))
                (i32.const 8))"#
        ),
        &format!(r#"(result {ty}) (canon lift (core func $main "run") (memory $m) {encoding})"#),
    )
}

fn g5_a_string_of_two_gib_names_the_limit(executor: &str) {
    let place = Place::on(executor);
    let (utf8, utf16, compact) =
        ("string-encoding=utf8", "string-encoding=utf16", "string-encoding=latin1+utf16");
    let most = 0x8000_0000;
    let cases = [
        ("log", logging(utf8, 16, most - 16), "output limit of 64 MiB reached"),
        ("log16", logging(utf16, 16, most / 2 - 16), "output limit of 64 MiB reached"),
        ("log-compact", logging(compact, 16, most - 16), "output limit of 64 MiB reached"),
        ("text", returning(utf8, "string", 16, most - 16), "output limit of 64 MiB reached"),
        ("text16", returning(utf16, "string", 16, most / 2 - 16), "output limit of 64 MiB reached"),
        ("blob", returning(utf8, "(list u8)", 16, most - 16), "output limit of 64 MiB reached"),
        ("longs", returning(utf8, "(list u64)", 16, most / 8 - 16), "output limit of 64 MiB reached"),
        // Lies: what is claimed is not there.
        ("lie", logging(utf8, 16, u32::MAX), "out of bounds"),
        ("lie16", logging(utf16, 16, u32::MAX), "out of bounds"),
        ("lie-end", returning(utf8, "string", u32::MAX - 1, 0x8000_0000), "out of bounds"),
        ("lie-longs", returning(utf8, "(list u64)", 16, u32::MAX), "out of bounds"),
        ("lie-nested", returning(utf8, "(list (list string))", 16, u32::MAX), "out of bounds"),
    ];
    let mut components = String::new();
    let mut tasks = "[defaults]\nlimits = { memory = \"3GiB\" }\n".to_owned();
    for (name, text, _) in &cases {
        written(&place, name, text);
        components.push_str(&format!("{name} = \"{name}.wasm\"\n"));
        tasks.push_str(&format!("[tasks.{name}]\nrun = \"{name}#run\"\n"));
    }
    punctual(|| {
        let attack = attack(&place, &components, &tasks);
        for (name, _, says) in &cases {
            attack.ended_so(name, "trapped", says);
        }
        attack.stays_within(16 * MIB);
        attack.naps_on_time()
    });
}

fn g5_one_string_a_hundred_thousand_times_names_the_limit(executor: &str) {
    let place = Place::on(executor);
    // Every element points at the same mebibyte: 100 GiB for who copies it.
    let text = two_gib(
        "",
        r#"(func (export "run") (result i32)
            (local $at i32)
            (memory.fill (i32.const 0x200000) (i32.const 97) (i32.const 0x100000))
            (local.set $at (i32.const 0x400000))
            (loop $more
                (i32.store (local.get $at) (i32.const 0x200000))
                (i32.store offset=4 (local.get $at) (i32.const 0x100000))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const 0x4c3500))))
            (i32.store (i32.const 8) (i32.const 0x400000))
            (i32.store (i32.const 12) (i32.const 100000))
            (i32.const 8))"#,
        r#"(result (list string)) (canon lift (core func $main "run") (memory $m))"#,
    );
    written(&place, "echoes", &text);
    let attack = attack(
        &place,
        "echoes = \"echoes.wasm\"",
        "[tasks.bad]\nrun = \"echoes#run\"\nlimits = { memory = \"3GiB\", output = \"1MiB\" }",
    );
    attack.ended_so("bad", "trapped", "output limit of 1 MiB reached");
    // What a dynamic value of that size may take, and what the guest wrote itself.
    attack.stays_within((40 + 8) * MIB);
}

fn g6_ten_gib_to_stdout_are_cut_with_a_mark(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile");
    punctual(|| {
        let attack = attack(
            &place,
            "hostile = \"hostile.wasm\"",
            r#"
            [tasks.bad]
            run = "hostile#flood-stdout"
            with = { bytes = 10737418240 }
            limits = { log = "64KiB" }
            "#,
        );
        assert_eq!(attack.outcome("bad").0, "succeeded", "{attack}");
        let logs: Vec<_> = attack.events.iter().filter(|event| event["event"] == "log").collect();
        let bytes: usize = logs.iter().map(|log| log["message"].as_str().unwrap().len()).sum();
        assert!(bytes < 80 << 10, "{bytes} bytes of lines");
        let marks: Vec<_> = logs.iter().filter(|log| log["cut"] == true).collect();
        assert_eq!(marks.len(), 1);
        assert!(marks[0]["message"].as_str().unwrap().contains("log limit of 64 KiB"), "{}", marks[0]);
        attack.stays_within(0);
        attack.naps_on_time()
    });
}

fn g6_ten_million_empty_writes_leave_memory_flat(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile");
    punctual(|| {
        let attack = attack(
            &place,
            "hostile = \"hostile.wasm\"",
            "[tasks.bad]\nrun = \"hostile#write-nothing\"\nwith = { n = 10000000 }",
        );
        assert_eq!(attack.outcome("bad").0, "succeeded", "{attack}");
        attack.stays_within(0);
        attack.naps_on_time()
    });
}

fn g14_random_bytes_without_end_trap(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile");
    punctual(|| {
        let attack = attack(
            &place,
            "hostile = \"hostile.wasm\"",
            r#"
            [tasks.most]
            run = "hostile#random"
            with = { bytes = "18446744073709551615" }
            [tasks.gib]
            run = "hostile#random"
            with = { bytes = 1073741824 }
            [tasks.fixed]
            run = "hostile#random"
            with = { bytes = "18446744073709551615" }
            deterministic = true
            [tasks.some]
            run = "hostile#random"
            with = { bytes = 1000000 }
            "#,
        );
        for task in ["most", "gib", "fixed"] {
            attack.ended_so(task, "trapped", "random");
            attack.ended_so(task, "trapped", "16777216");
        }
        assert_eq!(attack.outcome("some").0, "succeeded", "{attack}");
        attack.stays_within(8 * MIB);
        attack.naps_on_time()
    });
}
