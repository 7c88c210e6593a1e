//! Guests that take too much: each ends as it should, and says which limit it reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::testing::*;
use super::super::{Input, Observer, Source};
use crate::model::{Call, MIB, Outcome, Type, Value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_endless_loops_time_out_on_time() {
    let bench = Bench::new(8);
    let wasm = spin();
    let mut call = call(&wasm, &[], Type::unit());
    let timeout = Duration::from_millis(300);
    call.limits.timeout = Some(timeout);
    bench.compile(&wasm, &call);
    let source = Source::Bytes(wasm.into());
    let prepared = Arc::new(bench.runtime.prepare(Arc::new(call), &source, bench.root.path()).await.unwrap());
    let began = Instant::now();
    let attempts: Vec<_> = (0..4)
        .map(|index| {
            let (runtime, prepared) = (Arc::clone(&bench.runtime), Arc::clone(&prepared));
            tokio::spawn(async move {
                let observer: Arc<dyn Observer> = Arc::new(Heard::default());
                let input = Input { id: attempt_id(index), iteration: 1, arguments: &[] };
                runtime.attempt(&prepared, input, &observer).await
            })
        })
        .collect();
    for attempt in attempts {
        let (outcome, usage) = attempt.await.unwrap();
        assert_eq!(outcome, Outcome::TimedOut { after: timeout });
        assert!(usage.wall >= timeout);
    }
    let bound = timeout + timeout / 10 + Duration::from_millis(100);
    // The tests of this crate share the machine's cores: what counts is that all four ended together.
    assert!(began.elapsed() < 4 * bound, "took {:?}", began.elapsed());
}

/// Grows a memory by 1 MiB at a time and traps when it cannot.
const BOMB: &str = r#"(func (export "run")
    (loop $more
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $more)))"#;

#[tokio::test]
async fn g3_a_memory_bomb_names_the_limit() {
    let bench = Bench::new(4);
    let wasm = function("", BOMB);
    let mut call = call(&wasm, &[], Type::unit());
    call.limits.memory = 8 * MIB;
    let attempted = bench.attempt(&wasm, call, &[]).await;
    let message = trapped(&attempted.outcome);
    let expected = "memory limit of 8 MiB reached (asked for 8.1 MiB), then: wasm `unreachable`";
    assert!(message.starts_with(expected), "{message}");
    assert!(attempted.usage.peak_memory <= 8 * MIB);
    assert!(attempted.usage.peak_memory > 7 * MIB);
}

#[tokio::test]
async fn g3_memories_are_summed() {
    let bench = Bench::new(4);
    let wasm = wat::parse_str(
        r#"(component
            (core module $M (memory (export "memory") 48))
            (core instance (instantiate $M))
            (core instance (instantiate $M))
            (core instance (instantiate $M))
            (core module $Main (func (export "run")))
            (core instance $main (instantiate $Main))
            (func $run (canon lift (core func $main "run")))
            (export "run" (func $run)))"#,
    )
    .unwrap();
    let mut fits = call(&wasm, &[], Type::unit());
    fits.limits.memory = 9 * MIB;
    assert_eq!(bench.outcome(&wasm, fits.clone(), &[]).await, Outcome::Succeeded(Value::unit()));
    let mut exceeds = fits;
    exceeds.limits.memory = 8 * MIB;
    let outcome = bench.outcome(&wasm, exceeds, &[]).await;
    assert!(trapped(&outcome).starts_with("memory limit of 8 MiB reached (asked for 9 MiB)"), "{outcome:?}");
}

#[tokio::test]
async fn g4_a_table_bomb_ends() {
    let bench = Bench::new(4);
    let wasm = function(
        "",
        r#"(table 1 funcref)
           (func (export "run")
               (loop $more
                   (if (i32.eq (table.grow (ref.null func) (i32.const 10000)) (i32.const -1)) (then unreachable))
                   (br $more)))"#,
    );
    let outcome = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert!(trapped(&outcome).contains("wasm `unreachable` instruction executed"), "{outcome:?}");
}

#[tokio::test]
async fn g7_endless_recursion_names_the_stack() {
    let bench = Bench::new(4);
    let wasm = function("", r#"(func $down (call $down) (call $down)) (func (export "run") (call $down))"#);
    let outcome = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert!(trapped(&outcome).starts_with("stack limit of 1 MiB reached"), "{outcome:?}");
}

fn fuelled(wasm: &[u8], fuel: u64) -> Call {
    let mut call = call(wasm, &[], Type::unit());
    call.limits.fuel = Some(fuel);
    call
}

#[tokio::test]
async fn fuel_is_counted_and_bounded() {
    let bench = Bench::new(4);
    let wasm = spin();
    let attempted = bench.attempt(&wasm, fuelled(&wasm, 1_000_000), &[]).await;
    assert!(trapped(&attempted.outcome).starts_with("fuel limit of 1000000 reached"));
    assert!(attempted.usage.fuel.unwrap() >= 999_000);

    let wasm = function("", r#"(func (export "run"))"#);
    let attempted = bench.attempt(&wasm, fuelled(&wasm, 1_000_000), &[]).await;
    assert_eq!(attempted.outcome, Outcome::Succeeded(Value::unit()));
    assert!((1..100).contains(&attempted.usage.fuel.unwrap()));
}

/// Returns so many bytes of its memory.
fn many(bytes: u32, ty: &str) -> Vec<u8> {
    let core = format!(
        r#"(func (export "run") (result i32)
            (drop (memory.grow (i32.const 1024)))
            (i32.store (i32.const 16) (i32.const 4096))
            (i32.store (i32.const 20) (i32.const {bytes}))
            (i32.const 16))"#
    );
    function(&format!("(result {ty})"), &core)
}

#[tokio::test]
async fn g16_a_result_above_the_limit_names_it() {
    let bench = Bench::new(4);
    for (size, ty, model) in [
        // Found by our own count.
        (2 << 10, "(list u8)", Type::bytes()),
        (2 << 10, "(list s8)", Type::list(Type::S8)),
        // Refused by wasmtime before it is copied.
        (40 << 20, "(list u8)", Type::bytes()),
        (40 << 20, "(list s8)", Type::list(Type::S8)),
        (40 << 20, "string", Type::String),
    ] {
        let wasm = many(size, ty);
        let mut call = call(&wasm, &[], model);
        call.limits.output = 1 << 10;
        let outcome = bench.outcome(&wasm, call, &[]).await;
        assert!(trapped(&outcome).starts_with("output limit of 1 KiB reached"), "{outcome:?}");
    }
}

#[tokio::test]
async fn start_functions_count_as_the_guest() {
    let bench = Bench::new(4);
    let wasm = function("", r#"(func $spin (loop (br 0))) (start $spin) (func (export "run"))"#);
    let mut call = call(&wasm, &[], Type::unit());
    call.limits.timeout = Some(Duration::from_millis(50));
    let outcome = bench.outcome(&wasm, call, &[]).await;
    assert!(matches!(outcome, Outcome::TimedOut { .. }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_makes_attempts_wait() {
    let bench = Bench::new(1);
    // Four memories are all that a pool of one slot has.
    let wasm = wat::parse_str(
        r#"(component
            (core module $M (memory (export "memory") 1))
            (core instance (instantiate $M))
            (core instance (instantiate $M))
            (core instance (instantiate $M))
            (core module $Main (memory 1) (func (export "run")
                (local $n i32)
                (loop $more
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $more (i32.lt_u (local.get $n) (i32.const 50000000))))))
            (core instance $main (instantiate $Main))
            (func $run (canon lift (core func $main "run")))
            (export "run" (func $run)))"#,
    )
    .unwrap();
    let call = call(&wasm, &[], Type::unit());
    bench.compile(&wasm, &call);
    let source = Source::Bytes(wasm.into());
    let prepared = Arc::new(bench.runtime.prepare(Arc::new(call), &source, bench.root.path()).await.unwrap());
    let attempts: Vec<_> = (0..6)
        .map(|index| {
            let (runtime, prepared) = (Arc::clone(&bench.runtime), Arc::clone(&prepared));
            tokio::spawn(async move {
                let observer: Arc<dyn Observer> = Arc::new(Heard::default());
                let input = Input { id: attempt_id(index), iteration: 1, arguments: &[] };
                runtime.attempt(&prepared, input, &observer).await.0
            })
        })
        .collect();
    for attempt in attempts {
        assert_eq!(attempt.await.unwrap(), Outcome::Succeeded(Value::unit()));
    }
}
