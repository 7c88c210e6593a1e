//! A million branches: what each costs in memory, and that the rate is that of fewer.

use super::child::{figures, memory};
use super::floor::Floor;
use super::groups::{BRANCHES, no_ops};
use super::product::Product;
use super::table::{Bound, Table};
use super::{cores, micros};

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;

/// The peak of memory in bytes, and how many microseconds a branch took, over `branches` branches.
pub(crate) fn in_child(branches: u32) -> [f64; 2] {
    let elapsed = Product::new(&no_ops(branches, "")).run();
    [memory(true), micros(elapsed, branches)]
}

/// Each round is a child that runs a few branches, one that runs a million, and the bare loop.
pub(crate) fn measure(table: &Table) {
    let floor = Floor::new(cores());
    floor.run(BRANCHES / 10);
    let (mut bytes, mut times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let [few, _] = figures(&format!("branches {FEW}"));
        let before = micros(floor.run(BRANCHES), BRANCHES);
        let [many, time] = figures(&format!("branches {MANY}"));
        let after = micros(floor.run(BRANCHES), BRANCHES);
        bytes.push((many - few) / f64::from(MANY - FEW));
        times.push(time);
        ratios.push(time * 2.0 / (before + after));
    }
    table.row("a million branches over a range: memory, a branch", bytes, "bytes", Bound::AtMost(200.0));
    table.row("a million branches over a range: time, a branch", times, "µs", Bound::None);
    table.row("a million branches over a range: against the bare loop", ratios, "times", Bound::AtMost(1.2));
}
