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
    let mut rates = [const { Vec::new() }; 3];
    let (mut loops, mut gains) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = f64::from(BRANCHES) / floor::run(&server, BRANCHES as usize).as_secs_f64();
        server.flush();
        let worker = product.worker(&server);
        let whole = f64::from(BRANCHES) / product.run().as_secs_f64();
        drop(worker);
        server.flush();
        let celery = match Celery::start(&server) {
            Ok(celery) => celery,
            Err(why) => return table.lacks(AGAINST, &why),
        };
        celery.run(100);
        let other = f64::from(TASKS) / celery.run(TASKS as usize);
        for (all, one) in rates.iter_mut().zip([least, whole, other]) {
            all.push(one);
        }
        loops.push(least / whole);
        gains.push(whole / other);
    }
    let [floors, wholes, others] = rates;
    table.row("bare loop of the queue's commands: tasks a second", floors, "", Bound::None);
    table.row("50,000 no-op branches: a second", wholes, "", Bound::None);
    table.row(
        "50,000 no-op branches: the bare loop's rate, against theirs",
        loops,
        "times",
        Bound::AtMost(3.0),
    );
    table.row("Celery, two processes, 5,000 no-op tasks: a second", others, "", Bound::None);
    table.row(AGAINST, gains, "times as many", Bound::AtLeast(20.0));
}
