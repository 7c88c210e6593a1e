//! Groups of tasks: what a branch costs against the bare engine, what features cost, and whether
//! cores and waits are used.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::child::processor;
use super::floor::Floor;
use super::product::Product;
use super::table::{Bound, Table};
use super::{cores, micros};

const ROUNDS: usize = 10;
pub(crate) const BRANCHES: u32 = 200_000;

/// A group of `branches` calls that do nothing with 64 bytes. `task` is more TOML for the task.
pub(crate) fn no_ops(branches: u32, task: &str) -> String {
    format!(
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.noop]
        run = "bench#noop"
        with = {{ argument = {{ text = "{}" }} }}
        {task}
        [groups.many]
        task = "noop"
        for-each = {{ range = [0, {branches}] }}
        max-branches = {branches}
        [outputs]
        "#,
        "x".repeat(64)
    )
}

/// A sandboxed call that does nothing, through all of flowhost, against the bare engine.
pub(crate) fn no_op(table: &Table) {
    let floor = Floor::new(cores());
    let product = Product::new(&no_ops(BRANCHES, ""));
    floor.run(BRANCHES / 10);
    product.run();
    let (mut floors, mut products) = (Vec::new(), Vec::new());
    let (mut ratios, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = processor();
        let least = micros(floor.run(BRANCHES), BRANCHES);
        let between = processor();
        let whole = micros(product.run(), BRANCHES);
        busy.push((processor() - between) / (between - began));
        floors.push(least);
        products.push(whole);
        ratios.push(whole / least);
    }
    table.row("no-op: bare engine loop, a task", floors, "µs", Bound::None);
    table.row("no-op: flowhost, a branch", products, "µs", Bound::None);
    table.row("no-op: flowhost against the loop", ratios, "times", Bound::AtMost(1.2));
    // On a machine with other work the wall's clock favours whoever has more threads.
    table.row("no-op: the same in processor time", busy, "times", Bound::AtMost(1.2));
}

/// The same group with a journal against without, and going on with it once all is recorded.
pub(crate) fn journal(table: &Table) {
    let product = Product::new(&no_ops(BRANCHES, ""));
    product.run();
    product.run_recorded(false);
    let (mut ratios, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let without = product.run().as_secs_f64();
        ratios.push(product.run_recorded(false).as_secs_f64() / without);
        let began = processor();
        product.run_recorded(true);
        reads.push(processor() - began);
    }
    table.row("no-op with a journal: against without", ratios, "times", Bound::AtMost(1.25));
    table.row("200,000 recorded outcomes: processor time to go on", reads, "s", Bound::AtMost(1.0));
}

/// The same group with all that guards a task, against none of it.
pub(crate) fn features(table: &Table) {
    const BRANCHES: u32 = 100_000;
    let measures = [
        ("a limit on time", r#"limits = { timeout = "10s" }"#),
        ("a directory granted", r#"grants = { read = ["."] }"#),
        (
            "limits on memory, output and time, a directory, retries",
            r#"limits = { memory = "16MiB", output = "1MiB", timeout = "10s" }
               grants = { read = ["."] }
               retry = { max-attempts = 3, on = ["failed", "trapped", "timed-out"] }"#,
        ),
    ];
    let none = Product::new(&no_ops(BRANCHES, ""));
    none.run();
    for (name, task) in measures {
        let guarded = Product::new(&no_ops(BRANCHES, task));
        guarded.run();
        let ratios = (0..ROUNDS).map(|_| {
            let used = |product: &Product| {
                let began = processor();
                product.run();
                processor() - began
            };
            let without = used(&none);
            used(&guarded) / without
        });
        let row = format!("no-op with {name}: processor time, against without");
        table.row(&row, ratios.collect(), "times", Bound::None);
    }
}

/// A group that only computes, on all cores against one.
pub(crate) fn cpu_bound(table: &Table) {
    let product = |concurrency: &str| {
        Product::new(&format!(
            r#"
            [components]
            bench = "bench.wasm"
            [tasks.burn]
            run = "bench#burn"
            with = {{ iterations = 10_000_000 }}
            [groups.many]
            task = "burn"
            for-each = {{ range = [0, 64] }}
            {concurrency}
            "#
        ))
    };
    let (one, all) = (product("concurrency = 1"), product(""));
    all.run();
    let (mut plains, mut gains, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 2 {
        let plain = plain_threads(1).as_secs_f64() / plain_threads(cores()).as_secs_f64();
        let gain = one.run().as_secs_f64() / all.run().as_secs_f64();
        plains.push(plain);
        gains.push(gain);
        ratios.push(gain / plain);
    }
    table.row("plain threads that compute: all cores against one", plains, "times", Bound::None);
    table.row("CPU-bound group: all cores against one", gains, "times", Bound::AtLeast(1.9));
    table.row("CPU-bound group: of what plain threads gain", ratios, "of it", Bound::AtLeast(0.95));
}

/// What the machine itself gives: the guest's loop, natively, on so many threads that share the work.
fn plain_threads(threads: usize) -> Duration {
    let left = AtomicU32::new(64);
    let took = |left: u32| left.checked_sub(1);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took).is_ok() {
                    let mut state = std::hint::black_box(0x9e37_79b9_7f4a_7c15_u64);
                    for _ in 0..10_000_000 {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                    }
                    std::hint::black_box(state);
                }
            });
        }
    });
    began.elapsed()
}

/// Branches that only wait, side by side against one after the other.
pub(crate) fn sleeping(table: &Table) {
    let product = |concurrency: &str| {
        Product::new(&format!(
            r#"
            [components]
            bench = "bench.wasm"
            [tasks.sleep]
            run = "bench#sleep"
            with = {{ ms = 100 }}
            [groups.many]
            task = "sleep"
            for-each = {{ range = [0, 16] }}
            {concurrency}
            "#
        ))
    };
    let (one, all) = (product("concurrency = 1"), product(""));
    all.run();
    let ratios = (0..3).map(|_| one.run().as_secs_f64() / all.run().as_secs_f64());
    table.row("16 branches that sleep 100 ms: side by side", ratios.collect(), "times", Bound::AtLeast(12.0));
}
