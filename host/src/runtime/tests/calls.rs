//! Values in and out, and what becomes of a guest that says no.

use std::sync::Arc;

use bytes::Bytes;

use super::super::testing::*;
use crate::model::{Case, Field, Named, Outcome, Type, Value};

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(bytes))
}

fn failure() -> Type {
    let case = |name: &str| Case { name: Arc::from(name), ty: Some(Type::String) };
    let members = vec![case("retryable"), case("permanent")];
    Type::Variant(Arc::new(Named { name: Some(Arc::from("failure")), members }))
}

#[tokio::test]
async fn bytes_and_text_come_back() {
    let bench = Bench::new(4);
    for (ty, name, value) in [
        (Type::bytes(), "(list u8)", bytes(b"\0\xff some bytes")),
        (Type::bytes(), "(list u8)", bytes(&vec![7; 3 << 20])),
        (Type::String, "string", Value::string("née")),
    ] {
        let wasm = function(&format!(r#"(param "a" {name}) (result {name})"#), ECHO);
        let call = call(&wasm, std::slice::from_ref(&ty), ty.clone());
        let attempted = bench.attempt(&wasm, call, std::slice::from_ref(&value)).await;
        assert_eq!(attempted.outcome, Outcome::Succeeded(value));
        assert!(attempted.usage.peak_memory >= 65536);
        assert_eq!(attempted.usage.fuel, None);
    }
}

#[tokio::test]
async fn scalars_and_pairs_are_called_fast_and_right() {
    let bench = Bench::new(4);
    let wasm = function(
        r#"(param "a" u32) (param "b" u32) (result u64)"#,
        r#"(func (export "run") (param i32 i32) (result i64)
            (i64.mul (i64.extend_i32_u (local.get 0)) (i64.extend_i32_u (local.get 1))))"#,
    );
    let call = call(&wasm, &[Type::U32, Type::U32], Type::U64);
    let arguments = [Value::U32(u32::MAX), Value::U32(3)];
    let outcome = bench.outcome(&wasm, call, &arguments).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::U64(3 * u64::from(u32::MAX))));
}

/// 32 MiB are more than fits through dynamic values, which take forty times as much.
#[tokio::test]
async fn a_large_list_of_bytes_or_texts_is_called_fast_and_right() {
    let bench = Bench::new(4);
    let text = "né".repeat(1 << 20);
    for (element, name, values) in [
        (Type::bytes(), "(list u8)", [bytes(b"a"), bytes(&vec![7; 32 << 20]), bytes(b"")]),
        (Type::String, "string", [Value::string(""), Value::string(&text), Value::string("z")]),
    ] {
        // Returns the second of them.
        let wasm = function(
            &format!(r#"(param "a" (list {name})) (result {name})"#),
            r#"(func (export "run") (param i32 i32) (result i32) (i32.add (local.get 0) (i32.const 8)))"#,
        );
        let call = call(&wasm, &[Type::list(element.clone())], element);
        let second = values[1].clone();
        let outcome = bench.outcome(&wasm, call, &[Value::List(Arc::new(values))]).await;
        // No assert_eq: it would print all of it.
        assert!(outcome == Outcome::Succeeded(second), "{}", outcome.message().unwrap_or_default());
    }
}

#[tokio::test]
async fn records_go_through_dynamic_values() {
    let bench = Bench::new(4);
    // A record of a string and an s16, returned with its fields as they came.
    let wasm = component(
        "",
        "",
        r#"(func (export "run") (param i32 i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.store16 (i32.const 24) (local.get 2))
            (i32.const 16))"#,
        r#"(type $Record' (record (field "name" string) (field "count" s16)))
           (export $Record "rec" (type $Record'))
           (func $run (param "a" $Record) (result $Record)
               (canon lift (core func $main "run") (memory $memory) (realloc (core func $realloc))))
           (export "run" (func $run))"#,
    );
    let field = |name: &str, ty| Field { name: Arc::from(name), ty };
    let members = vec![field("name", Type::String), field("count", Type::S16)];
    let ty = Type::Record(Arc::new(Named { name: None, members }));
    let value = Value::Record(Arc::new([Value::string("x"), Value::S16(-5)]));
    let call = call(&wasm, std::slice::from_ref(&ty), ty.clone());
    let outcome = bench.outcome(&wasm, call.clone(), std::slice::from_ref(&value)).await;
    assert_eq!(outcome, Outcome::Succeeded(value));
    let unfit = bench.outcome(&wasm, call.clone(), &[Value::Bool(true)]).await;
    assert!(matches!(&unfit, Outcome::Rejected { reason } if reason.contains("argument `p0`")), "{unfit:?}");
    let missing = bench.outcome(&wasm, call, &[]).await;
    assert!(matches!(&missing, Outcome::Rejected { .. }), "{missing:?}");
}

#[tokio::test]
async fn a_function_without_a_result_has_the_empty_tuple() {
    let bench = Bench::new(4);
    let wasm = function("", r#"(func (export "run"))"#);
    let outcome = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::unit()));
}

/// Returns a result: its case at 16, and "no!" or an empty list as its payload.
fn result_of(case: u32, ok: &str) -> Vec<u8> {
    let core = format!(
        r#"(data (i32.const 100) "no!")
           (func (export "run") (result i32)
               (i32.store8 (i32.const 16) (i32.const {case}))
               (i32.store (i32.const 20) (i32.const 100))
               (i32.store (i32.const 24) (i32.const 3))
               (i32.const 16))"#
    );
    function(&format!("(result (result {ok} (error string)))"), &core)
}

#[tokio::test]
async fn g15_err_is_a_failure_and_ok_is_the_value() {
    let bench = Bench::new(4);
    let result = |ok: Option<Type>| Type::Result { ok: ok.map(Arc::new), err: Some(Arc::new(Type::String)) };
    for (ok, text) in [(None, ""), (Some(Type::bytes()), "(list u8)"), (Some(Type::String), "string")] {
        let wasm = result_of(1, text);
        let outcome = bench.outcome(&wasm, call(&wasm, &[], result(ok.clone())), &[]).await;
        assert_eq!(outcome, Outcome::Failed { message: "no!".to_owned(), permanent: false });
        let wasm = result_of(0, text);
        let outcome = bench.outcome(&wasm, call(&wasm, &[], result(ok.clone())), &[]).await;
        let value = match ok {
            None => Value::unit(),
            Some(Type::String) => Value::string("no!"),
            Some(_) => bytes(b"no!"),
        };
        assert_eq!(outcome, Outcome::Succeeded(value));
    }
}

#[tokio::test]
async fn g15_a_failure_says_whether_it_is_permanent() {
    let bench = Bench::new(4);
    for (case, permanent) in [(0, false), (1, true)] {
        for (ok, ok_text) in [(Some(Type::bytes()), "(list u8)"), (None, "")] {
            let core = format!(
                r#"(data (i32.const 100) "why")
                   (func (export "run") (result i32)
                       (i32.store8 (i32.const 16) (i32.const 1))
                       (i32.store8 (i32.const 20) (i32.const {case}))
                       (i32.store (i32.const 24) (i32.const 100))
                       (i32.store (i32.const 28) (i32.const 3))
                       (i32.const 16))"#
            );
            let lift = format!(
                r#"(type $Failure' (variant (case "retryable" string) (case "permanent" string)))
                   (export $Failure "failure" (type $Failure'))
                   (func $run (result (result {ok_text} (error $Failure)))
                       (canon lift (core func $main "run") (memory $memory)))
                   (export "run" (func $run))"#
            );
            let wasm = component("", "", &core, &lift);
            let result = Type::Result { ok: ok.map(Arc::new), err: Some(Arc::new(failure())) };
            let outcome = bench.outcome(&wasm, call(&wasm, &[], result), &[]).await;
            assert_eq!(outcome, Outcome::Failed { message: "why".to_owned(), permanent });
        }
    }
}

#[tokio::test]
async fn g15_another_err_is_told_as_json() {
    let bench = Bench::new(4);
    let wasm = function(
        "(result (result (error u32)))",
        r#"(func (export "run") (result i32)
            (i32.store8 (i32.const 16) (i32.const 1))
            (i32.store (i32.const 20) (i32.const 42))
            (i32.const 16))"#,
    );
    let result = Type::Result { ok: None, err: Some(Arc::new(Type::U32)) };
    let outcome = bench.outcome(&wasm, call(&wasm, &[], result), &[]).await;
    assert_eq!(outcome, Outcome::Failed { message: "42".to_owned(), permanent: false });
}

#[tokio::test]
async fn g15_a_trap_says_what_and_where() {
    let bench = Bench::new(4);
    let wasm = function("", r#"(func $deep unreachable) (func (export "run") (call $deep))"#);
    let outcome = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
    let message = trapped(&outcome);
    let mut lines = message.lines();
    assert_eq!(lines.next(), Some("wasm `unreachable` instruction executed"));
    assert!(message.contains("wasm backtrace") && message.contains("deep"), "{message}");
}
