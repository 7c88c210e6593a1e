//! `cargo bench`: what a task costs, as ratios to floors that are measured in the same run.
//!
//! A ratio is the median over rounds in which floor and product take turns, because the machine's
//! own speed moves more within a minute than the two differ.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints its figures"
)]

mod floor;
mod product;

use std::time::Duration;

const ROUNDS: usize = 10;
const BRANCHES: u32 = 200_000;

/// The median of some figures, and the least and most of them.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
}

/// A row of the table.
fn row(measure: &str, figures: Vec<f64>, unit: &str, bound: &str) {
    let (median, least, most) = spread(figures);
    println!("| {measure} | {median:.2} {unit} | {least:.2} to {most:.2} | {bound} |");
}

fn micros(elapsed: Duration, count: u32) -> f64 {
    elapsed.as_secs_f64() * 1e6 / f64::from(count)
}

fn main() {
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("{cores} cores, {ROUNDS} rounds, floor and product by turns\n");
    println!("| measure | median | least to most | must reach |");
    println!("|---|---|---|---|");
    no_op(cores);
    cpu_bound();
    sleeping();
}

/// A sandboxed call that does nothing, through all of flowhost, against the bare engine.
fn no_op(cores: usize) {
    let floor = floor::Floor::new(cores);
    let product = product::Product::new(&format!(
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.noop]
        run = "bench#noop"
        with = {{ argument = {{ text = "{}" }} }}
        [groups.many]
        task = "noop"
        for-each = {{ range = [0, {BRANCHES}] }}
        [outputs]
        "#,
        "x".repeat(64)
    ));
    floor.run(BRANCHES / 10);
    product.run();
    let (mut floors, mut products, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = micros(floor.run(BRANCHES), BRANCHES);
        let whole = micros(product.run(), BRANCHES);
        floors.push(least);
        products.push(whole);
        ratios.push(whole / least);
    }
    row("no-op: bare engine loop, a task", floors, "µs", "");
    row("no-op: flowhost, a branch", products, "µs", "");
    row("no-op: flowhost against the loop", ratios, "times", "at most 1.5");
}

/// A group that only computes, on all cores against one.
fn cpu_bound() {
    let product = |concurrency: &str| {
        product::Product::new(&format!(
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
    let ratios = (0..ROUNDS).map(|_| one.run().as_secs_f64() / all.run().as_secs_f64());
    row("CPU-bound group: all cores against one", ratios.collect(), "times", "at least 1.9");
}

/// Branches that only wait, side by side against one after the other.
fn sleeping() {
    let product = |concurrency: &str| {
        product::Product::new(&format!(
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
    row("16 branches that sleep 100 ms: side by side", ratios.collect(), "times", "at least 12");
}
