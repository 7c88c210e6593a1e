//! Guests that take memory, tables, instances and handles without end.

use super::beside::{attack, punctual, written};
use crate::support::Place;

on_every_executor! {
    g3_memory_bombs_are_held_to_the_sum_of_their_memories
    g3_many_bombs_one_after_the_other_leave_nothing_behind
    g3_the_number_of_memories_is_bounded
    g4_floods_of_handles_end_with_the_limit
    g4_floods_of_tables_and_instances_end_with_the_limit
}

const MIB: u64 = 1 << 20;

/// Four memories that grow in turn, every page of them touched, until none can.
const FOUR_MEMORIES: &str = r#"(component
    (core module $M
        (memory 1)
        (func (export "grow") (result i32)
            (local $at i32)
            (local.set $at (memory.grow (i32.const 16)))
            (if (i32.eq (local.get $at) (i32.const -1)) (then (return (i32.const -1))))
            (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 0x100000))
            (i32.const 0)))
    (core instance $a (instantiate $M))
    (core instance $b (instantiate $M))
    (core instance $c (instantiate $M))
    (core instance $d (instantiate $M))
    (core module $Main
        (import "a" "grow" (func $a (result i32)))
        (import "b" "grow" (func $b (result i32)))
        (import "c" "grow" (func $c (result i32)))
        (import "d" "grow" (func $d (result i32)))
        (func (export "run")
            (loop $more
                (if (i32.and (i32.and (call $a) (call $b)) (i32.and (call $c) (call $d))) (then unreachable))
                (br $more))))
    (core instance $main (instantiate $Main
        (with "a" (instance $a)) (with "b" (instance $b)) (with "c" (instance $c)) (with "d" (instance $d))))
    (func (export "run") (canon lift (core func $main "run"))))"#;

/// A component whose `run` does nothing, with `parts` before it.
fn with_parts(parts: &str) -> String {
    format!(
        r#"(component
            {parts}
            (core module $Main (func (export "run")))
            (core instance $main (instantiate $Main))
            (func (export "run") (canon lift (core func $main "run"))))"#
    )
}

fn g3_memory_bombs_are_held_to_the_sum_of_their_memories(executor: &str) {
    let place = Place::on(executor);
    place.guest("failing");
    written(&place, "four", FOUR_MEMORIES);
    written(&place, "huge", &with_parts("(core module $M (memory 65536)) (core instance (instantiate $M))"));
    punctual(|| {
        let attack = attack(
            &place,
            "failing = \"failing.wasm\"\nfour = \"four.wasm\"\nhuge = \"huge.wasm\"",
            r#"
            [defaults]
            limits = { memory = "32MiB" }
            [tasks.one]
            run = "failing#out-of-memory"
            [tasks.four]
            run = "four#run"
            [tasks.huge]
            run = "huge#run"
            "#,
        );
        for task in ["one", "four", "huge"] {
            attack.ended_so(task, "trapped", "memory limit of 32 MiB reached");
        }
        attack.stays_within(2 * 32 * MIB);
        attack.naps_on_time()
    });
}

fn g3_many_bombs_one_after_the_other_leave_nothing_behind(executor: &str) {
    let place = Place::on(executor);
    written(&place, "four", FOUR_MEMORIES);
    let attack = attack(
        &place,
        "four = \"four.wasm\"",
        r#"
        [tasks.bomb]
        run = "four#run"
        limits = { memory = "32MiB" }
        [groups.bombs]
        task = "bomb"
        for-each = { range = [0, 40] }
        concurrency = 2
        "#,
    );
    let ends = attack.ends("bomb");
    assert!(ends.len() == 40 && ends.iter().all(|end| end["outcome"] == "trapped"), "{attack}");
    attack.stays_within(2 * 32 * MIB);
}

fn g3_the_number_of_memories_is_bounded(executor: &str) {
    let place = Place::on(executor);
    let many = "(core instance (instantiate $M))".repeat(65);
    written(&place, "many", &with_parts(&format!("(core module $M (memory 1)) {many}")));
    let attack = attack(&place, "many = \"many.wasm\"", "[tasks.bad]\nrun = \"many#run\"");
    attack.ended_so("bad", "trapped", "memory count limit of 64 reached");
    attack.stays_within(0);
}

fn g4_floods_of_handles_end_with_the_limit(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").file("data/file", "x");
    written(
        &place,
        "own",
        r#"(component
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $M
                (import "host" "new" (func $new (param i32) (result i32)))
                (func (export "run") (loop (drop (call $new (i32.const 1))) (br 0))))
            (core instance $m (instantiate $M (with "host" (instance (export "new" (func $new))))))
            (func (export "run") (canon lift (core func $m "run"))))"#,
    );
    punctual(|| {
        let attack = attack(
            &place,
            "hostile = \"hostile.wasm\"\nown = \"own.wasm\"",
            r#"
            [tasks.streams]
            run = "hostile#hold-streams"
            with = { n = 1000000 }
            [tasks.timers]
            run = "hostile#hold-timers"
            with = { n = 1000000 }
            [tasks.own]
            run = "own#run"
            "#,
        );
        for task in ["streams", "timers", "own"] {
            attack.ended_so(task, "trapped", "handle limit of 10000 reached");
        }
        attack.stays_within(16 * MIB);
        attack.naps_on_time()
    });
}

fn g4_floods_of_tables_and_instances_end_with_the_limit(executor: &str) {
    let place = Place::on(executor);
    let grow = r#"(func (export "run") (loop $more
        (if (i32.eq (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1)) (then unreachable))
        (br $more)))"#;
    written(
        &place,
        "one",
        &format!(
            r#"(component (core module $M (table $t 1 funcref) {grow}) (core instance $m (instantiate $M))
                (func (export "run") (canon lift (core func $m "run"))))"#
        ),
    );
    // Each within what one table may have, and together above what all may have.
    let many = "(core instance (instantiate $T))".repeat(12);
    written(&place, "sum", &with_parts(&format!("(core module $T (table 100000 funcref)) {many}")));
    // A thousand are all that one component may name itself; those within it name more.
    let many = "(core instance (instantiate $M))".repeat(600);
    let twice = format!(
        "(component $C (core module $M) {many}) (instance (instantiate $C)) (instance (instantiate $C))"
    );
    written(&place, "instances", &with_parts(&twice));
    let tables = "(table 1 funcref)".repeat(90);
    let many = "(core instance (instantiate $M))".repeat(12);
    written(&place, "tables", &with_parts(&format!("(core module $M {tables}) {many}")));
    punctual(|| {
        let attack = attack(
            &place,
            "one = \"one.wasm\"\nsum = \"sum.wasm\"\ninstances = \"instances.wasm\"\ntables = \"tables.wasm\"",
            r#"
            [tasks.one]
            run = "one#run"
            [tasks.sum]
            run = "sum#run"
            [tasks.instances]
            run = "instances#run"
            [tasks.tables]
            run = "tables#run"
            "#,
        );
        attack.ended_so("one", "trapped", "elements in one table reached");
        attack.ended_so("sum", "trapped", "table limit of 1048576 elements reached");
        attack.ended_so("instances", "trapped", "core instance limit of 1000 reached");
        attack.ended_so("tables", "trapped", "table count limit of 1000 reached");
        attack.stays_within(32 * MIB);
        attack.naps_on_time()
    });
}
