//! How long the first outcome takes on a node where all is prepared, against `ssh NODE true`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::node::Node;
use super::product::Product;
use super::table::{Bound, Table};

const ROUNDS: usize = 21;

fn bare(node: &Node) -> Duration {
    let began = Instant::now();
    let status = node.ssh().arg("true").stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}");
    began.elapsed()
}

pub(crate) fn measure(node: &Node, table: &Table) {
    let one = Product::new(&format!(
        r#"
        [tasks.one]
        run = "bench#noop"
        with = {{ argument = {{ text = "one" }} }}
        executor = "ssh"
        {}
        "#,
        node.section(1)
    ));
    bare(node);
    one.run();
    let (mut floors, mut wholes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = bare(node).as_secs_f64();
        let whole = one.run().as_secs_f64();
        floors.push(least * 1e3);
        wholes.push(whole * 1e3);
        ratios.push(whole / least);
    }
    table.row("`ssh NODE true`", floors, "ms", Bound::None);
    table.row("`flowhost run` with one task on a prepared node", wholes, "ms", Bound::None);
    table.row("one task on a prepared node: against `ssh NODE true`", ratios, "times", Bound::AtMost(1.3));
}
