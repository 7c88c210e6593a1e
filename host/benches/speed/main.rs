//! `cargo bench`: what a task costs, as ratios to floors that are measured in the same run.
//!
//! A ratio is the median over rounds in which floor and product take turns, because the machine's
//! own speed moves more within a minute than the two differ. With words after `--`, only measures
//! whose name contains one of them are taken.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints its figures"
)]

mod cached;
mod child;
mod children;
mod component;
mod decisions;
mod floor;
mod groups;
mod idle;
mod million;
mod parallel;
mod payloads;
mod product;
mod start;
mod table;
mod values;

use std::time::Duration;

use table::Table;

type Measure = fn(&Table);

/// Each with the name that filters know it by.
const MEASURES: [(&str, Measure); 15] = [
    ("no-op", groups::no_op),
    ("journal", groups::journal),
    ("features", groups::features),
    ("cpu-bound", groups::cpu_bound),
    ("sleeping", groups::sleeping),
    ("million", million::measure),
    ("values", values::measure),
    ("start", start::measure),
    ("decisions", decisions::measure),
    ("cached", cached::measure),
    ("children", children::no_op),
    ("sleepers", children::sleepers),
    ("parallel", parallel::measure),
    ("payloads", payloads::measure),
    ("idle", idle::measure),
];

fn micros(elapsed: Duration, count: u32) -> f64 {
    elapsed.as_secs_f64() * 1e6 / f64::from(count)
}

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

fn main() {
    if child::is_one() {
        return;
    }
    // Cargo itself passes `--bench`.
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(&**filter));
    println!("{} cores; floor and product by turns\n", cores());
    let table = Table::default();
    for (_, measure) in MEASURES.iter().filter(|(name, _)| wanted(name)) {
        measure(&table);
    }
    table.end();
}
