//! Components that cost a compiler more than they should.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::beside::{attack_with, punctual, written};
use crate::support::Place;

on_every_executor! {
    g8_a_component_that_takes_minutes_to_compile_is_rejected_in_time
}

/// One function of many joining paths over many variables, which takes minutes to compile.
fn tangle() -> String {
    let mut body = String::new();
    let locals = 600;
    for at in 0..20_000 {
        let (a, b, c) = (at * 7 % locals, at * 13 % locals, at * 29 % locals);
        write!(
            body,
            "(if (i32.and (local.get {a}) (i32.const 1)) (then (local.set {b} (i32.add (local.get {c}) (local.get {a})))) \
             (else (local.set {c} (i32.xor (local.get {b}) (local.get {a})))))"
        )
        .unwrap();
        if at % 50 == 0 {
            body.push_str("(loop (br_if 0 (local.get 3)))");
        }
    }
    let declared = "i32 ".repeat(locals);
    format!(
        r#"(component
            (core module $M (func (export "run") (local {declared}) {body}))
            (core instance $m (instantiate $M))
            (func (export "run") (canon lift (core func $m "run"))))"#
    )
}

fn g8_a_component_that_takes_minutes_to_compile_is_rejected_in_time(executor: &str) {
    // Whoever compiles is told how long that may take: a run's own flowhost, or a worker.
    let place = Place::on(executor).bounding(&["--compile-timeout", "1500ms"]);
    written(&place, "tangle", &tangle());
    punctual(|| {
        let began = Instant::now();
        let attack = attack_with(
            &place,
            "tangle = \"tangle.wasm\"",
            "[tasks.bad]\nrun = \"tangle#run\"",
            &["--compile-timeout", "1500ms"],
        );
        attack.ended_so("bad", "rejected", "compiling took longer than 1.5s");
        attack.stays_within(16 << 20);
        if began.elapsed() > Duration::from_secs(5) {
            return Err(format!("it took {:?}", began.elapsed()));
        }
        attack.naps_on_time()
    });
    let held = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == place.path()));
    assert!(!held, "a compiler goes on");
}
