//! How many branches a second: on one node, against as many children of this machine.

use super::node::Node;
use super::product::Product;
use super::table::{Bound, Table};

const ROUNDS: usize = 5;
const BRANCHES: u32 = 100_000;

fn branches(executor: &str, more: &str) -> Product {
    let text = "x".repeat(64);
    Product::new(&format!(
        r#"
        [tasks.noop]
        run = "bench#noop"
        with = {{ argument = {{ text = "{text}" }} }}
        executor = "{executor}"
        [groups.many]
        task = "noop"
        for-each = {{ range = [0, {BRANCHES}] }}
        max-branches = {BRANCHES}
        [outputs]
        {more}
        "#
    ))
}

pub(crate) fn measure(node: &Node, table: &Table) {
    // As many attempts at once as children compute at once.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let (here, there) = (branches("process", ""), branches("ssh", &node.section(cores)));
    here.run();
    there.run();
    let (mut costs, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = here.run().as_secs_f64();
        let whole = there.run().as_secs_f64();
        costs.push(whole * 1e6 / f64::from(BRANCHES));
        ratios.push(whole / least);
    }
    table.row("100,000 no-op branches on a node: each", costs, "µs", Bound::None);
    table.row("100,000 no-op branches on a node: against children", ratios, "times", Bound::AtMost(1.5));
}
