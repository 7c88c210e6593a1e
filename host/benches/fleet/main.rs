//! `cargo bench --bench fleet`: what tasks cost that go through Redis, as ratios to floors that are measured in
//! the same run. It starts its own `redis-server`, and fetches Celery with pip. With words after `--`, only
//! measures whose name contains one of them are taken.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints its figures"
)]

mod celery;
#[path = "../speed/component.rs"]
mod component;
mod floor;
mod idle;
mod latency;
mod memory;
mod product;
mod rate;
mod server;
#[path = "../speed/table.rs"]
mod table;

use table::Table;

type Measure = fn(&Table);

/// Each with the name that filters know it by.
const MEASURES: [(&str, Measure); 4] = [
    ("rate", rate::measure),
    ("latency", latency::measure),
    ("idle", idle::measure),
    ("memory", memory::measure),
];

fn main() {
    // Cargo itself passes `--bench`.
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(&**filter));
    let table = Table::default();
    for (_, measure) in MEASURES.iter().filter(|(name, _)| wanted(name)) {
        measure(&table);
    }
    table.end();
}
