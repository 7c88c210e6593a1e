//! The pool with workers that the tests play: they get what a real one gets, over pipes in memory, and say
//! what no real one would. Time passes only where everything waits for it.

mod confused;
mod idle;
mod lost;
mod nodes;
mod stopping;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::digest::Digest;
use crate::executor::{Report, Reports};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{self, Call, Outcome, Type, Usage, Value};
use crate::report::Interest;
use crate::runtime::ENGINE;
use crate::runtime::testing::call;
use crate::wire::{
    Ended, FromWorker, HEARTBEAT, Hello, Outbox, Receiver, Said, ToWorker, WireError, greet, pump,
};

/// What the component is whose calls the tests hand over.
const WASM: &[u8] = b"component";

/// Longer than anything that a test waits for, in time that nobody has to wait for.
const LONG: Duration = Duration::from_secs(120);

/// A worker that was started and has not said anything.
struct Started {
    reach: Reach,
    /// The position of its node.
    node: usize,
    /// What it hears.
    from: DuplexStream,
    /// What it says.
    to: DuplexStream,
    /// How its process ends, in words.
    words: Arc<Mutex<String>>,
    /// Whether it waits for something other than a processor.
    waits: Arc<AtomicBool>,
}

/// Starts workers that the test plays.
struct Script {
    started: mpsc::UnboundedSender<Started>,
    most: usize,
    /// How many nodes there are; none means that workers are children.
    nodes: usize,
    /// Groups that have one.
    breakers: HashMap<NodeId, model::Breaker>,
    /// So many were started.
    count: AtomicUsize,
}

impl Launch for Script {
    fn name(&self) -> Arc<str> {
        "scripted".into()
    }

    fn staff(&self) -> Staff {
        match self.nodes {
            0 => Staff::Children(self.most),
            nodes => {
                let place = |at| Place { name: format!("node {at}").into(), concurrency: None };
                Staff::Nodes((0..nodes).map(place).collect(), self.breakers.clone())
            }
        }
    }

    fn launch(&self, reach: &Reach, node: usize, ours: &Hello) -> BoxFuture<'_, Result<Link, Gone>> {
        let (from, theirs) = duplex(1 << 20);
        let (hears, to) = duplex(1 << 20);
        let words = Arc::new(Mutex::new("the worker was ended".to_owned()));
        let waits = Arc::new(AtomicBool::new(false));
        let life = Lived(Arc::clone(&words));
        let name = format!("worker {}", self.count.fetch_add(1, Ordering::Relaxed)).into();
        let side = Beside { name, waits: Arc::clone(&waits) };
        let started = Started { reach: reach.clone(), node, from: hears, to: theirs, words, waits };
        self.started.send(started).unwrap_or_else(|_| panic!("the test is over"));
        let ours = ours.clone();
        Box::pin(async move { Ok(Link::meet(from, to, side, Box::new(life), &ours).await?) })
    }

    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Component, String>> {
        let wasm = Component { wasm: Bytes::from_static(WASM), packed: None };
        let known = digest == Digest::of(WASM);
        Box::pin(std::future::ready(if known { Ok(wasm) } else { Err("not this one".to_owned()) }))
    }
}

struct Lived(Arc<Mutex<String>>);

impl Life for Lived {
    fn end(self: Box<Self>, _: bool) -> BoxFuture<'static, End> {
        Box::pin(async move {
            End { how: self.0.lock().unwrap().clone(), killed: false, code: None, said: String::new() }
        })
    }
}

struct Beside {
    name: Arc<str>,
    waits: Arc<AtomicBool>,
}

impl Side for Beside {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn code(&self, _: Digest, settings: Arc<str>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match &*settings {
                "never" => std::future::pending().await,
                other => Err(format!("no code for {other}")),
            }
        })
    }

    fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }
}

/// Waits for what has to happen.
async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(LONG, happens).await;
    happened.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A worker that said who it is.
struct Worker {
    reach: Reach,
    receiver: Receiver<DuplexStream>,
    to: Arc<tokio::sync::Mutex<DuplexStream>>,
    beats: JoinHandle<()>,
    words: Arc<Mutex<String>>,
    waits: Arc<AtomicBool>,
}

impl Worker {
    async fn greet(started: Started) -> Self {
        Self::taking(started, 1).await
    }

    /// One that takes so many attempts at once.
    async fn taking(started: Started, slots: u32) -> Self {
        let Started { reach, from, mut to, words, waits, .. } = started;
        let hello = Hello { capacity: Some((slots, 64)), ..Hello::of(ENGINE) };
        let (receiver, _) =
            soon("the client's hello", greet(Receiver::new(from), &mut to, &hello)).await.unwrap();
        let to = Arc::new(tokio::sync::Mutex::new(to));
        let mouth = Arc::clone(&to);
        let beats = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                // A frame of one byte, which is its kind. The pool may be done with this worker.
                let _ = mouth.lock().await.write_all(&[1, 0, 0, 0, 0]).await;
            }
        });
        Self { reach, receiver, to, beats, words, waits }
    }

    /// What it is told next; none where the pool is done with it.
    async fn hear(&mut self) -> Option<ToWorker> {
        soon("the pool to say something", self.receiver.of_client()).await.unwrap()
    }

    /// Whether it is told anything before there was time for it.
    async fn hears_something(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(400), self.receiver.of_client()).await.is_ok()
    }

    /// The attempts that it is handed next.
    async fn handed(&mut self) -> Vec<AttemptId> {
        loop {
            match self.hear().await {
                Some(ToWorker::Start { attempts }) => return attempts.iter().map(|start| start.id).collect(),
                Some(ToWorker::Call { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until the pool is done with it, which it never is by itself.
    async fn ends(mut self) {
        while let Some(message) = self.hear().await {
            assert!(!matches!(message, ToWorker::Start { .. }), "it was handed something: {message:?}");
        }
    }

    async fn say(&self, said: impl IntoIterator<Item = Said>) {
        self.tell(FromWorker::Said(said.into_iter().collect())).await;
    }

    async fn tell(&self, message: FromWorker) {
        let outbox = Outbox::default();
        outbox.to_client(message).unwrap();
        outbox.finish();
        let mut bytes = Vec::new();
        pump(&mut bytes, &outbox).await.unwrap();
        self.write(&bytes).await;
    }

    async fn write(&self, bytes: &[u8]) {
        self.to.lock().await.write_all(bytes).await.unwrap();
    }

    /// Says nothing any more, and lives.
    fn falls_silent(&self) {
        self.beats.abort();
    }

    /// Its process ends, of which the system says so much.
    async fn dies(self, words: &str) {
        words.clone_into(&mut self.words.lock().unwrap());
        self.beats.abort();
        // What holds the other end of the pipe is gone then.
        let _ = self.beats.await;
    }
}

/// An open pool.
struct Scene {
    pool: Pool,
    reports: Reports,
    started: mpsc::UnboundedReceiver<Started>,
    told: std::collections::VecDeque<Report>,
    /// Who had the attempt that ended last.
    by: Option<Arc<str>>,
    /// What was warned of so far.
    warnings: Vec<Arc<str>>,
    call: Arc<Call>,
}

impl Scene {
    /// A pool for a machine with so many cores, before it is opened.
    fn closed(cores: usize) -> (Pool, mpsc::UnboundedReceiver<Started>) {
        Self::closed_with(cores, 0, HashMap::new())
    }

    /// A pool of so many nodes, or of children.
    fn closed_with(
        cores: usize,
        nodes: usize,
        breakers: HashMap<NodeId, model::Breaker>,
    ) -> (Pool, mpsc::UnboundedReceiver<Started>) {
        let (sender, started) = mpsc::unbounded_channel();
        let script = Script { started: sender, most: 8, nodes, breakers, count: AtomicUsize::new(0) };
        let (pool, mut state, orders) = Pool::unmanned(script);
        state.cores = cores;
        drop(tokio::spawn(work(state, orders)));
        (pool, started)
    }

    /// An open pool, and the worker that showed that there are any.
    async fn new(cores: usize) -> (Self, Worker) {
        let (pool, mut started) = Self::closed(cores);
        let (port, reports) = Port::new(Interest::default(), crate::channel::Memory::shared);
        let opened = pool.open(port);
        let (opened, first) = tokio::join!(opened, async {
            Worker::greet(soon("the first worker", started.recv()).await.unwrap()).await
        });
        assert_eq!(opened.unwrap().slots, 8);
        let call = Arc::new(call(WASM, &[], Type::U32));
        (
            Self { pool, reports, started, told: Default::default(), by: None, warnings: Vec::new(), call },
            first,
        )
    }

    /// One whose worker was handed these attempts at once, since the call is known to take little time.
    async fn with(cores: usize, attempts: &[AttemptId]) -> (Self, Worker) {
        let (mut scene, mut worker) = Self::new(cores).await;
        scene.submit(&[id(1000, 1)]);
        assert_eq!(worker.handed().await, [id(1000, 1)]);
        worker.say([done(id(1000, 1))]).await;
        scene.succeeded(id(1000, 1)).await;
        scene.submit(attempts);
        assert_eq!(worker.handed().await, attempts);
        (scene, worker)
    }

    fn submit(&self, ids: &[AttemptId]) {
        self.submit_of(&self.call, ids);
    }

    fn submit_of(&self, call: &Arc<Call>, ids: &[AttemptId]) {
        let attempt =
            |id: &AttemptId| Attempt { id: *id, iteration: 1, call: Arc::clone(call), arguments: Vec::new() };
        self.pool.submit(ids.iter().map(attempt).collect());
    }

    /// The next worker that is started, which is not heard of before it greets.
    async fn starts(&mut self) -> Started {
        soon("another worker", self.started.recv()).await.unwrap()
    }

    /// The next worker.
    async fn worker(&mut self) -> Worker {
        Worker::greet(self.starts().await).await
    }

    /// The next thing that the pool says, if it says anything.
    async fn told(&mut self) -> Report {
        loop {
            if let Some(report) = self.told.pop_front() {
                return report;
            }
            soon("a report", self.reports.ready()).await;
            let mut some = Vec::new();
            self.reports.take(&mut some);
            self.told.extend(some);
        }
    }

    /// The next end; none of the outcome where the attempt was handed back.
    async fn end(&mut self) -> (AttemptId, Option<Outcome>) {
        loop {
            match self.told().await {
                Report::Finished { id, outcome, worker, .. } => {
                    self.by = worker;
                    return (id, Some(outcome));
                }
                Report::Returned { id } => return (id, None),
                Report::Warning { message, .. } | Report::GroupWarning { message, .. } => {
                    self.warnings.push(message);
                }
                other => panic!("nobody asked for this: {other:?}"),
            }
        }
    }

    async fn succeeded(&mut self, id: AttemptId) {
        assert_eq!(self.end().await, (id, Some(Outcome::Succeeded(Value::U32(id.branch.index)))));
    }

    async fn returned(&mut self, id: AttemptId) {
        assert_eq!(self.end().await, (id, None));
    }

    /// The next end is this attempt's loss. Why, in words.
    async fn lost(&mut self, lost: AttemptId) -> String {
        match self.end().await {
            (id, Some(Outcome::Lost { reason, .. })) if id == lost => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing is left, and nothing more is said.
    async fn over(mut self) {
        soon("the end of all attempts", self.pool.drain()).await;
        let mut some = Vec::new();
        self.reports.take(&mut some);
        self.told.extend(some);
        assert_eq!(self.told, []);
    }
}

fn id(index: u32, number: u32) -> AttemptId {
    AttemptId { branch: BranchId { node: NodeId(0), index }, number }
}

/// It succeeded, in ten microseconds.
fn done(id: AttemptId) -> Said {
    let ended = Ended::of(Outcome::Succeeded(Value::U32(id.branch.index)), &Type::U32).unwrap();
    Said::Finished { id, ended, usage: Usage { wall: Duration::from_micros(10), ..Usage::default() } }
}
