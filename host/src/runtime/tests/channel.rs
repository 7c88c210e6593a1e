//! Questions to the channel: those that are never answered, those that come later, and figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::testing::*;
use super::host::{host, import};
use crate::channel::{Answering, Channel, Memory};
use crate::id::AttemptId;
use crate::model::{ChannelAsk, ChannelError, Outcome, Type, Value};

/// Adds one to the number `k`, and returns the first byte of the answer: 0 for a sum, 1 for an error.
fn increment() -> Vec<u8> {
    let types = r#"(type $error' (variant (case "empty-key") (case "key-too-long") (case "value-too-large")
            (case "invalid-time-to-live") (case "too-many-keys") (case "out-of-space") (case "not-a-number")
            (case "overflow") (case "unavailable" string)))
        (export "error" (type $error (eq $error')))"#;
    let ty = r#"(param "key" string) (param "by" s64) (result (result s64 (error $error)))"#;
    let core = r#"(import "host" "increment" (func $increment (param i32 i32 i64 i32)))
        (data (i32.const 8) "k")
        (func (export "run") (result i32)
            (call $increment (i32.const 8) (i32.const 1) (i64.const 1) (i32.const 16))
            (i32.load8_u (i32.const 16)))"#;
    let increment = import("flowhost:task/channel@0.1.0", types, "increment", ty);
    component(&increment, &host(&["increment"]), core, &run_export("(result u8)"))
}

/// Answers after so long, or never.
struct Slow(Arc<dyn Channel>, Option<Duration>);

impl Channel for Slow {
    fn ask(&self, from: AttemptId, ask: ChannelAsk) -> Answering<'_> {
        Box::pin(async move {
            match self.1 {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
            self.0.ask(from, ask).await
        })
    }
}

/// Is gone.
struct Gone;

impl Channel for Gone {
    fn ask(&self, _: AttemptId, _: ChannelAsk) -> Answering<'_> {
        Box::pin(async { Err(ChannelError::Unavailable("the connection broke".to_owned())) })
    }
}

async fn asked(channel: Arc<dyn Channel>, timeout: Duration) -> (Outcome, Duration) {
    let bench = Bench::new(1);
    let wasm = increment();
    let mut call = call(&wasm, &[], Type::U8);
    call.limits.timeout = Some(timeout);
    let began = Instant::now();
    let attempted = bench.attempt_heard(&wasm, call, &[], Heard::with_channel(channel)).await;
    (attempted.outcome, began.elapsed())
}

#[tokio::test]
async fn g2_a_question_that_is_never_answered_ends_at_the_timeout() {
    let timeout = Duration::from_millis(100);
    let channel = Arc::new(Slow(Memory::shared(None), None));
    let (outcome, elapsed) = asked(channel, timeout).await;
    assert_eq!(outcome, Outcome::TimedOut { after: timeout });
    // Compiling is in it.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}

#[tokio::test]
async fn an_answer_may_come_later() {
    let channel = Arc::new(Slow(Memory::shared(None), Some(Duration::from_millis(20))));
    let (outcome, _) = asked(channel, Duration::from_secs(60)).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::U8(0)));
}

#[tokio::test]
async fn a_channel_that_is_gone_is_the_guests_error() {
    let (outcome, _) = asked(Arc::new(Gone), Duration::from_secs(60)).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::U8(1)));
}

#[tokio::test]
async fn a_deterministic_task_has_no_channel() {
    let bench = Bench::new(1);
    let wasm = increment();
    let mut call = call(&wasm, &[], Type::U8);
    call.deterministic = Some(0);
    bench.compile(&wasm, &call);
    let source = super::super::Source::Bytes(wasm.into());
    let refused = bench.runtime.prepare(Arc::new(call), &source, bench.root.path()).await.err().unwrap();
    assert!(refused.to_string().contains("flowhost:task/channel"), "{refused}");
}

/// Reports 2.5 as `n` twice, and traps then if it is to.
fn figures(then: &str) -> Vec<u8> {
    let types = r#"(type $error' (enum "invalid-name" "not-finite" "too-many-names"))
        (export "error" (type $error (eq $error')))"#;
    let ty = r#"(param "name" string) (param "amount" f64) (result (result (error $error)))"#;
    let core = format!(
        r#"(import "host" "add" (func $add (param i32 i32 f64 i32)))
        (data (i32.const 8) "n")
        (func (export "run")
            (call $add (i32.const 8) (i32.const 1) (f64.const 2.5) (i32.const 16))
            (call $add (i32.const 8) (i32.const 1) (f64.const 2.5) (i32.const 16))
            {then})"#
    );
    let add = import("flowhost:task/metrics@0.1.0", types, "add", ty);
    component(&add, &host(&["add"]), &core, &run_export(""))
}

#[tokio::test]
async fn figures_come_with_success_alone_and_of_deterministic_tasks_too() {
    let bench = Bench::new(1);
    for (then, deterministic, expected) in
        [("", None, vec![("n", 5.0)]), ("", Some(1), vec![("n", 5.0)]), ("unreachable", None, vec![])]
    {
        let wasm = figures(then);
        let mut call = call(&wasm, &[], Type::unit());
        call.deterministic = deterministic;
        let attempted = bench.attempt(&wasm, call, &[]).await;
        let told: Vec<_> = attempted.usage.metrics.iter().map(|(name, amount)| (&**name, amount)).collect();
        assert_eq!(told, expected, "{:?}", attempted.outcome);
    }
}
