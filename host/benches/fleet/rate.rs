//! How many tasks a second: flowhost with a worker of two slots, against a bare loop of the same commands, and
//! against Celery with two processes, on the same server.

use super::celery::Celery;
use super::floor;
use super::product::Product;
use super::server::Server;
use super::table::{Bound, Table};

const ROUNDS: usize = 3;
const BRANCHES: u32 = 50_000;

/// Celery's rate falls with the size of a group; this is one at which it is at its best.
const TASKS: u32 = 5_000;

pub(crate) fn measure(table: &Table) {
    const AGAINST: &str = "50,000 no-op branches: against Celery";
    let Some(server) = Server::start() else {
        return table.lacks(AGAINST, "there is no redis-server: install the apt package of that name");
    };
    let product = Product::new(&server, BRANCHES);
    let worker = product.worker(&server);
    product.run();
    drop(worker);
    let (mut floors, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = floor::run(&server, BRANCHES as usize).as_secs_f64();
        server.flush();
        let _worker = product.worker(&server);
        let whole = product.run().as_secs_f64();
        floors.push(f64::from(BRANCHES) / least);
        rates.push(f64::from(BRANCHES) / whole);
        ratios.push(whole / least);
    }
    table.row("bare loop of the queue's commands: tasks a second", floors, "", Bound::None);
    let rate = table.row("50,000 no-op branches: a second", rates, "", Bound::None);
    table.row("50,000 no-op branches: against the bare loop", ratios, "times", Bound::AtMost(3.0));
    server.flush();
    let celery = match Celery::start(&server) {
        Ok(celery) => celery,
        Err(why) => return table.lacks(AGAINST, &why),
    };
    celery.run(100);
    let rates: Vec<f64> = (0..ROUNDS).map(|_| f64::from(TASKS) / celery.run(TASKS as usize)).collect();
    let gains = rates.iter().map(|celery| rate / celery).collect();
    table.row("Celery, two processes, 5,000 no-op tasks: a second", rates, "", Bound::None);
    table.row(AGAINST, gains, "times as many", Bound::AtLeast(20.0));
}
