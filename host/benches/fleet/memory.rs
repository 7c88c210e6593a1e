//! What the server keeps: for each branch that waits, and after a run.

use std::time::Duration;

use super::product::{Product, stream};
use super::server::Server;
use super::table::{Bound, Table};

const BRANCHES: u32 = 50_000;

/// Waits until a figure stays as it is for two seconds.
fn settled(mut figure: impl FnMut() -> u64) -> u64 {
    let (mut last, mut same) = (figure(), 0);
    while same < 20 || last == 0 {
        std::thread::sleep(Duration::from_millis(100));
        let now = figure();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

pub(crate) fn measure(table: &Table) {
    let Some(server) = Server::start() else {
        return table
            .lacks("memory of Redis", "there is no redis-server: install the apt package of that name");
    };
    let product = Product::new(&server, 100);
    let worker = product.worker(&server);
    // The component, the scripts, the group and the worker's announcement are there from here on.
    product.run();
    let before = server.memory();
    product.branches(BRANCHES);
    product.run();
    let after = server.memory() - before;
    table.row(
        "after 50,000 branches: memory of Redis beyond what it was before",
        vec![after / 1024.0],
        "KiB",
        Bound::AtMost(1024.0),
    );
    drop(worker);
    server.flush();
    let before = server.memory();
    let run = product.begin();
    let waiting = settled(|| server.ask(&["XLEN", &stream()]));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = (server.memory() - before) / waiting as f64;
    drop(run);
    table.row(
        &format!("{waiting} branches that wait for a worker: memory of Redis for each"),
        vec![each],
        "bytes",
        Bound::None,
    );
}
