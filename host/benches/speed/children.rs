//! Groups in child processes, against the same groups in this one.

use super::groups::{BRANCHES, no_ops};
use super::micros;
use super::product::Product;
use super::table::{Bound, Table};

const ROUNDS: usize = 5;

/// Calls that do nothing in as many children as there are cores, and sleepers in more of them than that.
pub(crate) fn measure(table: &Table) {
    let here = Product::new(&no_ops(BRANCHES, ""));
    let there = Product::new(&no_ops(BRANCHES, "executor = \"process\""));
    here.run();
    there.run();
    let (mut costs, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = micros(here.run(), BRANCHES);
        let whole = micros(there.run(), BRANCHES);
        costs.push(whole);
        ratios.push(whole / least);
    }
    table.row("no-op in children: flowhost, a branch", costs, "µs", Bound::None);
    table.row("no-op in children: against in-process", ratios, "times", Bound::AtMost(3.0));

    let sleepers = Product::new(
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.sleep]
        run = "bench#sleep"
        with = { ms = 100 }
        executor = "process"
        [groups.naps]
        task = "sleep"
        for-each = { range = [0, 200] }
        concurrency = 64
        [outputs]
        "#,
    );
    let naps = (0..ROUNDS).map(|_| sleepers.run().as_secs_f64()).collect();
    table.row("200 sleepers of 100 ms, 64 at once, in children", naps, "s", Bound::None);
}
