//! What guests reach: their log, their place, stdout, the clock, randomness.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::testing::*;
use crate::model::{Call, Entry, Field, Named, Outcome, Signature, Type, Value};

/// Imports one function of one interface and lowers it to the core function `$name`.
pub(super) fn import(interface: &str, types: &str, name: &str, ty: &str) -> String {
    format!(
        r#"(import "{interface}" (instance ${name}-host {types} (export "{name}" (func {ty}))))
           (alias export ${name}-host "{name}" (func ${name}-func))
           (core func ${name} (canon lower (func ${name}-func)
               (memory $memory) (realloc (core func $realloc))))"#
    )
}

pub(super) fn host(names: &[&str]) -> String {
    names.iter().map(|name| format!(r#"(export "{name}" (func ${name}))"#)).collect()
}

/// Says `hello` on the log so many times.
fn logging(times: u32) -> Vec<u8> {
    let log = import(
        "flowhost:task/log@0.1.0",
        r#"(type $level' (enum "trace" "debug" "info" "warn" "error")) (export "level" (type $level (eq $level')))"#,
        "log",
        r#"(param "level" $level) (param "message" string)"#,
    );
    let core = format!(
        r#"(import "host" "log" (func $log (param i32 i32 i32)))
           (data (i32.const 100) "hello")
           (func (export "run") (local $n i32)
               (loop $more
                   (call $log (i32.const 2) (i32.const 100) (i32.const 5))
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if $more (i32.lt_u (local.get $n) (i32.const {times})))))"#
    );
    component(&log, &host(&["log"]), &core, &run_export(""))
}

#[tokio::test]
async fn log_lines_are_told_and_cut() {
    let bench = Bench::new(2);
    let wasm = logging(2);
    let attempted = bench.attempt(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert_eq!(attempted.outcome, Outcome::Succeeded(Value::unit()));
    assert_eq!(attempted.heard.lines(), ["log hello", "log hello"]);

    let wasm = logging(1000);
    let mut call = call(&wasm, &[], Type::unit());
    call.limits.log = 50;
    let lines = bench.attempt(&wasm, call, &[]).await.heard.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].starts_with("log CUT") && lines[2].contains("50 bytes"), "{lines:?}");
}

#[tokio::test]
async fn g5_a_huge_string_to_the_host_names_the_limit() {
    let bench = Bench::new(2);
    let log = import(
        "wasi:logging/logging@0.1.0-draft",
        r#"(type $level' (enum "trace" "debug" "info" "warn" "error" "critical"))
           (export "level" (type $level (eq $level')))"#,
        "log",
        r#"(param "level" $level) (param "context" string) (param "message" string)"#,
    );
    let core = r#"(import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "run")
            (drop (memory.grow (i32.const 1600)))
            (call $log (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 100000000)))"#;
    let wasm = component(&log, &host(&["log"]), core, &run_export(""));
    let attempted = bench.attempt(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert!(
        trapped(&attempted.outcome).starts_with("output limit of 64 MiB reached"),
        "{:?}",
        attempted.outcome
    );
    assert_eq!(attempted.heard.lines(), [""; 0]);
}

#[tokio::test]
async fn progress_is_thinned_and_the_last_is_kept() {
    let bench = Bench::new(2);
    let report = import(
        "flowhost:task/progress@0.1.0",
        "",
        "report",
        r#"(param "done" u64) (param "total" (option u64)) (param "message" (option string))"#,
    );
    let core = r#"(import "host" "report" (func $report (param i64 i32 i64 i32 i32 i32)))
        (func (export "run") (local $n i64)
            (loop $more
                (call $report (local.get $n) (i32.const 1) (i64.const 999) (i32.const 0) (i32.const 0) (i32.const 0))
                (local.set $n (i64.add (local.get $n) (i64.const 1)))
                (br_if $more (i64.lt_u (local.get $n) (i64.const 1000)))))"#;
    let wasm = component(&report, &host(&["report"]), core, &run_export(""));
    let attempted = bench.attempt(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    let progress = attempted.heard.progress();
    assert_eq!(progress.first(), Some(&(0, Some(999))));
    assert_eq!(progress.last(), Some(&(999, Some(999))));
    assert!(progress.len() < 100, "{} reports", progress.len());
}

/// Returns its place: a record of run, task, group, index, count and attempt.
fn place() -> (Vec<u8>, Type) {
    let fields = r#"(record (field "run" string) (field "task" string) (field "group" (option string))
        (field "index" u64) (field "count" u64) (field "attempt" u32))"#;
    let current = import(
        "flowhost:task/context@0.1.0",
        &format!(r#"(type $place' {fields}) (export "place" (type $place (eq $place')))"#),
        "current",
        "(result $place)",
    );
    let core = r#"(import "host" "current" (func $current (param i32)))
        (func (export "run") (result i32) (call $current (i32.const 16)) (i32.const 16))"#;
    let lift = format!(
        r#"(type $Place' {fields})
           (export $Place "place" (type $Place'))
           (func $run (result $Place) (canon lift (core func $main "run") (memory $memory)))
           (export "run" (func $run))"#
    );
    let field = |name: &str, ty| Field { name: Arc::from(name), ty };
    let members = vec![
        field("run", Type::String),
        field("task", Type::String),
        field("group", Type::option(Type::String)),
        field("index", Type::U64),
        field("count", Type::U64),
        field("attempt", Type::U32),
    ];
    let ty = Type::Record(Arc::new(Named { name: None, members }));
    (component(&current, &host(&["current"]), core, &lift), ty)
}

#[tokio::test]
async fn g17_the_place_is_told_and_constant_where_it_must_be() {
    let bench = Bench::new(2);
    let (wasm, ty) = place();
    let mut call = call(&wasm, &[], ty);
    call.group = Some("group".into());
    call.count = 7;
    let told = |run, task, group: Option<&str>, count| {
        Value::Record(Arc::new([
            Value::string(run),
            Value::string(task),
            Value::Option(group.map(|group| Arc::new(Value::string(group)))),
            Value::U64(0),
            Value::U64(count),
            Value::U32(1),
        ]))
    };
    let outcome = bench.outcome(&wasm, call.clone(), &[]).await;
    assert_eq!(outcome, Outcome::Succeeded(told("20260101-000000-test00", "task", Some("group"), 7)));
    call.deterministic = Some(1);
    assert_eq!(bench.outcome(&wasm, call, &[]).await, Outcome::Succeeded(told("", "run", None, 1)));
}

#[tokio::test]
async fn the_environment_is_what_was_granted() {
    let bench = Bench::new(2);
    let get =
        import("wasi:cli/environment@0.2.3", "", "get-environment", "(result (list (tuple string string)))");
    let core = r#"(import "host" "get-environment" (func $get (param i32)))
        (func (export "run") (result i32) (call $get (i32.const 16)) (i32.const 16))"#;
    let export = run_export("(result (list (tuple string string)))");
    let wasm = component(&get, &host(&["get-environment"]), core, &export);
    let ty = Type::list(Type::Tuple(Arc::new([Type::String, Type::String])));
    let mut call = call(&wasm, &[], ty);
    assert_eq!(bench.outcome(&wasm, call.clone(), &[]).await, Outcome::Succeeded(Value::List(Arc::new([]))));
    call.environment = vec![("KEY".into(), "value".into())];
    let pair = Value::Tuple(Arc::new([Value::string("KEY"), Value::string("value")]));
    assert_eq!(bench.outcome(&wasm, call, &[]).await, Outcome::Succeeded(Value::List(Arc::new([pair]))));
}

/// Sleeps for so many nanoseconds, then returns the clock's reading.
fn sleeper(nanoseconds: u64) -> Vec<u8> {
    let imports = r#"
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow 0))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $p'))
            (export "pollable" (type $p (eq $p')))
            (export "now" (func (result u64)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $now (canon lower (func $clock "now")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))"#;
    let core = format!(
        r#"(import "host" "block" (func $block (param i32)))
           (import "host" "now" (func $now (result i64)))
           (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
           (func (export "run") (result i64)
               (call $block (call $subscribe (i64.const {nanoseconds})))
               (call $now))"#
    );
    component(imports, &host(&["block", "now", "subscribe"]), &core, &run_export("(result u64)"))
}

#[tokio::test]
async fn g2_a_sleep_in_the_host_times_out() {
    let bench = Bench::new(2);
    let wasm = sleeper(3_600_000_000_000);
    let mut call = call(&wasm, &[], Type::U64);
    call.limits.timeout = Some(Duration::from_millis(50));
    let attempted = bench.attempt(&wasm, call, &[]).await;
    assert_eq!(attempted.outcome, Outcome::TimedOut { after: Duration::from_millis(50) });
    assert!(attempted.usage.wall < Duration::from_secs(5));
}

#[tokio::test]
async fn g17_a_deterministic_sleep_is_over_at_once() {
    let bench = Bench::new(2);
    let wasm = sleeper(3_600_000_000_000);
    let mut call = call(&wasm, &[], Type::U64);
    call.deterministic = Some(0);
    let attempted = bench.attempt(&wasm, call, &[]).await;
    assert_eq!(attempted.outcome, Outcome::Succeeded(Value::U64(3_600_000_001_000)));
    assert!(attempted.usage.wall < Duration::from_secs(5));
    assert!(attempted.usage.fuel.is_some());
}

/// Returns `count` random bytes. Takes bytes, and does not look at them.
fn random(count: u64) -> Vec<u8> {
    let get =
        import("wasi:random/random@0.2.0", "", "get-random-bytes", r#"(param "len" u64) (result (list u8))"#);
    let core = format!(
        r#"(import "host" "get-random-bytes" (func $get (param i64 i32)))
           (func (export "run") (param i32 i32) (result i32)
               (call $get (i64.const {count}) (i32.const 16)) (i32.const 16))"#
    );
    let export = run_export(r#"(param "a" (list u8)) (result (list u8))"#);
    component(&get, &host(&["get-random-bytes"]), &core, &export)
}

#[tokio::test]
async fn g17_randomness_follows_from_seed_and_arguments() {
    let bench = Bench::new(2);
    let wasm = random(40);
    let mut outcomes = Vec::new();
    for (seed, argument) in
        [(Some(1), "a"), (Some(1), "a"), (Some(2), "a"), (Some(1), "b"), (None, "a"), (None, "a")]
    {
        let mut call = call(&wasm, &[Type::bytes()], Type::bytes());
        call.deterministic = seed;
        let argument = Value::Bytes(Bytes::copy_from_slice(argument.as_bytes()));
        match bench.outcome(&wasm, call, &[argument]).await {
            Outcome::Succeeded(Value::Bytes(bytes)) if bytes.len() == 40 => outcomes.push(bytes),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(outcomes[0], outcomes[1]);
    outcomes.dedup();
    outcomes.sort();
    outcomes.dedup();
    assert_eq!(outcomes.len(), 5, "what should differ does not");
}

#[tokio::test]
async fn g14_too_many_random_bytes_trap() {
    let bench = Bench::new(2);
    let wasm = random(u64::MAX);
    for seed in [None, Some(1)] {
        let mut call = call(&wasm, &[Type::bytes()], Type::bytes());
        call.deterministic = seed;
        let outcome = bench.outcome(&wasm, call, &[Value::Bytes(Bytes::new())]).await;
        assert!(trapped(&outcome).contains("18446744073709551615"), "{outcome:?}");
    }
}

#[tokio::test]
async fn g17_nans_are_canonical() {
    let bench = Bench::new(2);
    let wasm = function(
        r#"(param "a" u32) (param "b" u32) (result u32)"#,
        // A NaN with a payload of its own, through an addition.
        r#"(func (export "run") (param i32 i32) (result i32)
            (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (local.get 0)) (f32.const 1))))"#,
    );
    let mut call = call(&wasm, &[Type::U32, Type::U32], Type::U32);
    call.deterministic = Some(0);
    let outcome = bench.outcome(&wasm, call, &[Value::U32(0xffc1_2345), Value::U32(0)]).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::U32(0x7fc0_0000)));
}

/// What commands and printing guests import, and how they write `$length` bytes at `$at` to stdout.
const STDOUT: &str = r#"
    (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $error-type))
    (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $error-type (type $e'))
        (export "error" (type $e (eq $e')))
        (type $se' (variant (case "last-operation-failed" (own $e)) (case "closed")))
        (export "stream-error" (type $se (eq $se')))
        (export "output-stream" (type $out (sub resource)))
        (export "[method]output-stream.blocking-write-and-flush"
            (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $se)))))))
    (alias export $streams "output-stream" (type $output-stream))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $output-stream (type $o'))
        (export "output-stream" (type $o (eq $o')))
        (export "get-stdout" (func (result (own $o))))))
    (import "wasi:cli/exit@0.2.0" (instance $exit-host
        (export "exit" (func (param "status" (result))))
        (export "exit-with-code" (func (param "status-code" u8)))))
    (core func $get-stdout (canon lower (func $stdout "get-stdout")))
    (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
        (memory $memory)))
    (core func $exit-with-code (canon lower (func $exit-host "exit-with-code")))"#;

const STDOUT_CORE: &str = r#"
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "exit-with-code" (func $exit (param i32)))
    (func $print (param $at i32) (param $length i32)
        (call $write (call $get-stdout) (local.get $at) (local.get $length) (i32.const 16)))"#;

/// A command that does `core` and returns 0 for ok, 1 for err.
fn command(core: &str) -> Vec<u8> {
    component(
        STDOUT,
        &host(&["get-stdout", "write", "exit-with-code"]),
        &format!(r#"{STDOUT_CORE} (func (export "run") (result i32) {core})"#),
        r#"(func $run (result (result)) (canon lift (core func $main "run")))
           (instance $command (export "run" (func $run)))
           (export "wasi:cli/run@0.2.0" (instance $command))"#,
    )
}

fn command_call(wasm: &[u8], bytes: bool) -> Call {
    let mut call = call(wasm, &[], Type::unit());
    call.entry = Entry::Command { bytes };
    call.signature = Arc::new(Signature::command(bytes));
    call
}

fn no_arguments() -> [Value; 3] {
    [Value::List(Arc::new([])), Value::Bytes(Bytes::new()), Value::List(Arc::new([]))]
}

#[tokio::test]
async fn g15_commands_end_by_their_exit_code() {
    let bench = Bench::new(2);
    let print =
        r#"(i32.store (i32.const 100) (i32.const 0x0a216968)) (call $print (i32.const 100) (i32.const 4))"#;
    let ok = Outcome::Succeeded(Value::string("hi!\n"));
    let failed = |code, permanent| Outcome::Failed { message: format!("exited with code {code}"), permanent };
    for (end, expected) in [
        ("(i32.const 0)", ok.clone()),
        ("(i32.const 1)", failed(1, true)),
        ("(call $exit (i32.const 0)) unreachable", ok),
        ("(call $exit (i32.const 75)) unreachable", failed(75, false)),
        ("(call $exit (i32.const 3)) unreachable", failed(3, true)),
    ] {
        let wasm = command(&format!("{print} {end}"));
        let outcome = bench.outcome(&wasm, command_call(&wasm, false), &no_arguments()).await;
        assert_eq!(outcome, expected);
    }
    let wasm = command(&format!("{print} (i32.const 0)"));
    let outcome = bench.outcome(&wasm, command_call(&wasm, true), &no_arguments()).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::Bytes(Bytes::from_static(b"hi!\n"))));
    let wasm = command(&format!("{print} unreachable"));
    let outcome = bench.outcome(&wasm, command_call(&wasm, false), &no_arguments()).await;
    assert!(trapped(&outcome).starts_with("wasm `unreachable`"));
}

#[tokio::test]
async fn a_commands_stdout_must_be_text_where_it_is_read_as_text() {
    let bench = Bench::new(2);
    let wasm = command(
        r#"(i32.store8 (i32.const 100) (i32.const 255)) (call $print (i32.const 100) (i32.const 1)) (i32.const 0)"#,
    );
    let outcome = bench.outcome(&wasm, command_call(&wasm, false), &no_arguments()).await;
    assert!(
        matches!(&outcome, Outcome::Failed { message, permanent: true } if message.contains("no UTF-8")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn g16_a_command_that_writes_too_much_names_the_limit() {
    let bench = Bench::new(2);
    let wasm = command("(loop $more (call $print (i32.const 100) (i32.const 4096)) (br $more)) unreachable");
    let mut call = command_call(&wasm, true);
    call.limits.output = 10 << 10;
    let outcome = bench.outcome(&wasm, call, &no_arguments()).await;
    assert!(trapped(&outcome).starts_with("output limit of 10 KiB reached"), "{outcome:?}");
}

#[tokio::test]
async fn g6_a_functions_stdout_becomes_lines_and_empty_writes_cost_nothing() {
    let bench = Bench::new(2);
    let core = format!(
        r#"{STDOUT_CORE}
           (func (export "run") (local $n i32) (local $out i32)
               (local.set $out (call $get-stdout))
               (i32.store (i32.const 100) (i32.const 0x0a216968))
               (call $write (local.get $out) (i32.const 100) (i32.const 4) (i32.const 16))
               (loop $more
                   (call $write (local.get $out) (i32.const 100) (i32.const 0) (i32.const 16))
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if $more (i32.lt_u (local.get $n) (i32.const 100000))))
               (call $write (local.get $out) (i32.const 100) (i32.const 2) (i32.const 16)))"#
    );
    let wasm = component(STDOUT, &host(&["get-stdout", "write", "exit-with-code"]), &core, &run_export(""));
    let attempted = bench.attempt(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert_eq!(attempted.outcome, Outcome::Succeeded(Value::unit()));
    assert_eq!(attempted.heard.lines(), ["stdout hi!", "stdout hi"]);
}

#[tokio::test]
async fn g4_a_flood_of_handles_names_the_limit() {
    let bench = Bench::new(2);
    let core =
        format!(r#"{STDOUT_CORE} (func (export "run") (loop $more (drop (call $get-stdout)) (br $more)))"#);
    let wasm = component(STDOUT, &host(&["get-stdout", "write", "exit-with-code"]), &core, &run_export(""));
    let outcome = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert!(trapped(&outcome).starts_with("handle limit of 10000 reached"), "{outcome:?}");
}
