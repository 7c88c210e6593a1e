//! Outcomes from the cache, against making them.

use flowhost::cache::Cache;
use flowhost::run::Caching;

use super::micros;
use super::product::Product;
use super::table::{Bound, Table};

const BRANCHES: u32 = 100_000;
const ROUNDS: usize = 5;

/// How long each branch computes, in milliseconds.
const EACH: f64 = 1.0;

fn workflow(cache: bool, items: &str) -> String {
    format!(
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.burn]
        run = "bench#burn"
        with = {{ iterations = "${{item}}" }}
        deterministic = true
        cache = {cache}
        [groups.all]
        task = "burn"
        for-each = {items}
        "#
    )
}

/// How many rounds a guest computes in a millisecond.
fn rounds_a_millisecond() -> u32 {
    const ROUNDS: u32 = 20_000_000;
    let product = Product::new(&workflow(false, &format!("[{ROUNDS}]")));
    product.run();
    (f64::from(ROUNDS) / (product.run().as_secs_f64() * 1e3)) as u32
}

pub(crate) fn measure(table: &Table) {
    let first = (f64::from(rounds_a_millisecond()) * EACH) as u32 - BRANCHES / 2;
    let items = format!("{{ range = [{first}, {}] }}", first + BRANCHES);
    let executed = vec![Product::new(&workflow(false, &items)).run()];
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(folder.path().to_owned()), &[]).unwrap();
    let product = Product::new(&workflow(true, &items)).caching(Caching::new(cache, "bench"));
    let kept = product.run();
    let found: Vec<_> = (0..ROUNDS).map(|_| product.run()).collect();
    let each = |times: &[std::time::Duration]| times.iter().map(|time| micros(*time, BRANCHES)).collect();
    table.row("branches that compute 1 ms: executed, a branch", each(&executed), "µs", Bound::None);
    table.row("the same: executed and kept, a branch", each(&[kept]), "µs", Bound::None);
    table.row("the same: from the cache, a branch", each(&found), "µs", Bound::None);
    let ratios = found.iter().map(|found| executed[0].as_secs_f64() / found.as_secs_f64()).collect();
    table.row("the same: from the cache, against executed", ratios, "times as fast", Bound::AtLeast(5.0));
}
