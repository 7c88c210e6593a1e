//! Large values, measured at `runtime`: one call, no scheduler and no executor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flowhost::channel::{Channel, Memory};
use flowhost::id::{AttemptId, BranchId, NodeId};
use flowhost::model::{Level, Limits, MIB, Outcome, Stream, Type, Value};
use flowhost::runtime::{Input, Observer, Prepared, Runtime, Source};

use super::child::{figures, memory};
use super::component::component;
use super::product;
use super::table::{Bound, Table};

const LARGE: usize = 64 << 20;
const ROUNDS: usize = 7;

/// Hears nothing.
struct Deaf(Arc<dyn Channel>);

impl Observer for Deaf {
    fn line(&self, _: AttemptId, _: Level, _: Stream, _: Arc<str>, _: bool) {}
    fn progress(&self, _: AttemptId, _: u64, _: Option<u64>, _: Option<Arc<str>>) {}
    fn wants_progress(&self) -> bool {
        false
    }
    fn channel(&self) -> &dyn Channel {
        &*self.0
    }
    fn cancelling(&self) -> bool {
        false
    }
}

/// One export, ready to be called.
struct Ready {
    threads: tokio::runtime::Runtime,
    runtime: Arc<Runtime>,
    prepared: Arc<Prepared>,
}

impl Ready {
    fn new(export: &str, parameter: Type, result: Type) -> Self {
        let runtime = product::runtime();
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wasm = std::fs::read(component()).unwrap();
        let limits = Limits { memory: 512 * MIB, output: 128 * MIB, ..Limits::default() };
        let call = product::call(export, parameter, result, limits);
        let prepared = threads.block_on(runtime.prepare(
            Arc::new(call),
            &Source::Bytes(wasm.into()),
            std::path::Path::new("/"),
        ));
        Self { prepared: Arc::new(prepared.unwrap()), threads, runtime }
    }

    fn call(&self, argument: &Value) -> (Value, Duration) {
        let id = AttemptId { branch: BranchId { node: NodeId(0), index: 0 }, number: 1 };
        let observer: Arc<dyn Observer> = Arc::new(Deaf(Memory::shared(None)));
        let input = Input { id, iteration: 1, arguments: std::slice::from_ref(argument) };
        let began = Instant::now();
        let attempt = self.runtime.attempt(&self.prepared, input, &observer);
        let (outcome, _) = self.threads.block_on(attempt);
        match outcome {
            Outcome::Succeeded(value) => (value, began.elapsed()),
            other => panic!("{other:?}"),
        }
    }
}

fn bytes(count: usize) -> Value {
    Value::Bytes(Bytes::from(vec![b'x'; count]))
}

/// By how much the peak of memory grew over one call with so many bytes in and out, argument and
/// result included.
pub(crate) fn in_child(count: usize) -> [f64; 2] {
    let echo = Ready::new("noop", Type::bytes(), Type::bytes());
    echo.call(&bytes(64));
    let before = memory(false);
    let argument = bytes(count);
    let (result, elapsed) = echo.call(&argument);
    assert!(result == argument);
    [memory(true) - before, elapsed.as_secs_f64()]
}

/// So many bytes copied into memory that the process did not have yet.
fn copied(from: &[u8]) -> Duration {
    let began = Instant::now();
    let copy = std::hint::black_box(from).to_vec();
    let elapsed = began.elapsed();
    drop(std::hint::black_box(copy));
    elapsed
}

pub(crate) fn measure(table: &Table) {
    let peaks = (0..3).map(|_| figures(&format!("bytes {LARGE}"))[0] / LARGE as f64);
    table.row("64 MiB in and out: memory, against its size", peaks.collect(), "times", Bound::AtMost(4.0));

    let echo = Ready::new("noop", Type::bytes(), Type::bytes());
    let argument = bytes(LARGE);
    let Value::Bytes(plain) = &argument else { panic!("bytes are bytes") };
    echo.call(&argument);
    let rate = |elapsed: Duration| LARGE as f64 / elapsed.as_secs_f64() / f64::from(1 << 30);
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = rate(copied(plain));
        let whole = rate(echo.call(&argument).1);
        rates.push(whole);
        ratios.push(whole / floor);
    }
    table.row("64 MiB in and out: rate, each byte counted once", rates, "GiB/s", Bound::None);
    let least = Bound::AtLeast(0.33);
    table.row("64 MiB in and out: rate, against memcpy into fresh memory", ratios, "times", least);

    let gather = Ready::new("gather", Type::list(Type::bytes()), Type::U64);
    let tiles = Value::List((0..96).map(|_| bytes(48 << 10)).collect());
    gather.call(&tiles);
    let times = (0..ROUNDS).map(|_| gather.call(&tiles).1.as_secs_f64() * 1e3);
    table.row("96 pieces of 48 KiB as list<list<u8>>: a call", times.collect(), "ms", Bound::AtMost(200.0));
}
