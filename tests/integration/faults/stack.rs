//! Guests that recurse without end.

use super::beside::{attack, punctual, written};
use crate::support::Place;

on_every_executor! {
    g7_endless_recursion_traps_and_the_host_goes_on
}

fn g7_endless_recursion_traps_and_the_host_goes_on(executor: &str) {
    let place = Place::on(executor);
    place.guest("failing").guest("hostile");
    // The host calls `realloc` for a string, which calls itself.
    written(
        &place,
        "realloc",
        r#"(component
            (core module $M
                (memory (export "memory") 1)
                (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (drop (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)))
                    (i32.const 64))
                (func (export "run") (param i32 i32)))
            (core instance $m (instantiate $M))
            (func (export "run") (param "text" string)
                (canon lift (core func $m "run") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#,
    );
    punctual(|| {
        let attack = attack(
            &place,
            "failing = \"failing.wasm\"\nhostile = \"hostile.wasm\"\nrealloc = \"realloc.wasm\"",
            r#"
            [tasks.plain]
            run = "failing#overflow-stack"
            [tasks.through-host]
            run = "hostile#recurse-through-host"
            [tasks.own-stack]
            run = "failing#overflow-memory-stack"
            [tasks.realloc]
            run = "realloc#run"
            with = { text = "some text" }
            [groups.many]
            tasks = ["plain-again"]
            [tasks.plain-again]
            run = "hostile#recurse-through-host"
            deterministic = true
            "#,
        );
        for task in ["plain", "through-host", "realloc", "plain-again"] {
            attack.ended_so(task, "trapped", "stack limit of 1 MiB reached");
        }
        attack.ended_so("own-stack", "trapped", "");
        attack.stays_within(32 << 20);
        attack.naps_on_time()
    });
}
