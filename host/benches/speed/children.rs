//! Groups in child processes, against the same groups in this one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::groups::{BRANCHES, no_ops};
use super::micros;
use super::product::Product;
use super::table::{Bound, Table};

const ROUNDS: usize = 5;

/// Milliseconds of a nap, how many there are, and how many of them at once.
const NAP: u64 = 100;
const NAPS: u32 = 200;
const AT_ONCE: u32 = 64;

/// Calls that do nothing, in as many children as there are cores.
pub(crate) fn no_op(table: &Table) {
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
}

/// Sleepers in more children than there are cores, against plain threads that sleep as often.
pub(crate) fn sleepers(table: &Table) {
    let sleepers = Product::new(&format!(
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.sleep]
        run = "bench#sleep"
        with = {{ ms = {NAP} }}
        executor = "process"
        [groups.naps]
        task = "sleep"
        for-each = {{ range = [0, {NAPS}] }}
        concurrency = {AT_ONCE}
        [outputs]
        "#
    ));
    let (mut naps, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = plain_naps().as_secs_f64();
        let whole = sleepers.run().as_secs_f64();
        naps.push(whole);
        ratios.push(whole / least);
    }
    table.row("200 sleepers of 100 ms, 64 at once, in children", naps, "s", Bound::None);
    table.row("200 sleepers in children: against 64 plain threads", ratios, "times", Bound::AtMost(2.0));
}

/// What the machine itself gives: threads, as many as sleep at once, that share the naps.
fn plain_naps() -> Duration {
    let left = AtomicU32::new(NAPS);
    let took = |left: u32| left.checked_sub(1);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took).is_ok() {
                    std::thread::sleep(Duration::from_millis(NAP));
                }
            });
        }
    });
    began.elapsed()
}
