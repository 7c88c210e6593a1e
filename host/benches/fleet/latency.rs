//! How long a lone task takes on an idle queue, from its submission to its outcome: the executor in this process,
//! a worker in another.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use flowhost::channel::Memory;
use flowhost::digest::Digest;
use flowhost::executor::{Executor, Port, Queue, QueueSettings, Report};
use flowhost::id::{AttemptId, BranchId, NodeId, RunId};
use flowhost::model::{Attempt, Call, Entry, Limits, Outcome, RedisSettings, Signature, Type, Value};
use flowhost::report::Interest;

use super::component::component;
use super::product::Product;
use super::server::Server;
use super::table::{Bound, Table};

const TASKS: u32 = 200;

/// Not counted: the component travels, is compiled, and code becomes warm.
const WARM: u32 = 20;

pub(crate) fn measure(table: &Table) {
    const AGAINST: &str = "a lone task on an idle queue: against PING";
    let Some(server) = Server::start() else {
        return table.lacks(AGAINST, "there is no redis-server: install the apt package of that name");
    };
    let product = Product::new(&server, 1);
    let _worker = product.worker(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pings, tasks) = runtime.block_on(async { (pings(&server).await, tasks(&server).await) });
    let ping = table.row("PING, there and back", pings, "µs", Bound::None);
    let ratios = tasks.iter().map(|task| task / ping).collect();
    table.row("a lone task on an idle queue: submission to outcome", tasks, "µs", Bound::None);
    table.row(AGAINST, ratios, "times", Bound::AtMost(25.0));
}

async fn pings(server: &Server) -> Vec<f64> {
    let mut connection = server.connect().await;
    let mut all = Vec::new();
    for turn in 0..WARM + TASKS {
        let began = Instant::now();
        let _: () = redis::cmd("PING").query_async(&mut connection).await.unwrap();
        if turn >= WARM {
            all.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    all
}

async fn tasks(server: &Server) -> Vec<f64> {
    let component = component();
    let digest = Digest::of(&std::fs::read(component).unwrap());
    let bytes = Type::List(Arc::new(Type::U8));
    let call = Arc::new(Call {
        component: digest,
        entry: Entry::Function { interface: None, name: "noop".into() },
        signature: Arc::new(Signature { parameters: [("p".into(), bytes.clone())].into(), result: bytes }),
        limits: Limits::default(),
        directories: Vec::new(),
        environment: Vec::new(),
        net: Arc::new([]),
        http: Arc::new([]),
        deterministic: None,
        run: RunId("20261121-094119-no0abl".into()),
        task: "noop".into(),
        group: None,
        count: 1,
        allowed: None,
        trace: None,
    });
    let redis = RedisSettings {
        url: server.url().into(),
        queue: "default".into(),
        prefix: "flowhost".into(),
        ca: None,
        key: None,
    };
    let queue = Queue::new(QueueSettings {
        name: "redis".into(),
        redis,
        components: vec![(digest, component.to_owned())],
    });
    let (port, reports) = Port::new(Interest::default(), Memory::shared);
    queue.open(port).await.unwrap();
    let (mut all, mut some) = (Vec::new(), Vec::new());
    for index in 0..WARM + TASKS {
        let id = AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 };
        let arguments = vec![Value::Bytes(Bytes::from_static(&[b'x'; 64]))];
        let attempt = Attempt { id, call: Arc::clone(&call), iteration: 1, arguments };
        let began = Instant::now();
        queue.submit(vec![attempt]);
        let outcome = loop {
            reports.ready().await;
            reports.take(&mut some);
            let ended = some.drain(..).find_map(|report| match report {
                Report::Finished { outcome, .. } => Some(outcome),
                _ => None,
            });
            if let Some(outcome) = ended {
                break outcome;
            }
        };
        if index >= WARM {
            all.push(began.elapsed().as_secs_f64() * 1e6);
        }
        assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
        // As a run does that wrote it down. The queue is idle again when this is done.
        queue.recorded(&[id]);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    queue.close().await;
    all
}
