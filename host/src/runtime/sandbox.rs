//! What one attempt's store holds: its limits, its handles, and the little of the host that it may
//! see. WASI is set up when the guest first asks for it, because most attempts never do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::host::deterministic::Virtual;
use super::host::flow::Asked;
use super::host::http::Http;
use super::host::sockets;
use super::limiter::Limiter;
use super::prepare::Prepared;
use super::stdio::Speech;
use super::{Input, Observer};
use crate::id::AttemptId;
use crate::model::{Entry, Metrics, Stream, Value};

/// Handles to host resources that an attempt may have at once: open files, streams, timers.
pub(super) const HANDLES: usize = 10_000;

/// Bytes of randomness that a guest may ask for at once.
pub(super) const RANDOM_BYTES: u64 = 16 << 20;

/// Between two progress reports that are passed on.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What one attempt's store holds.
pub(super) struct State {
    pub(super) limiter: Limiter,
    pub(super) table: ResourceTable,
    pub(super) prepared: Arc<Prepared>,
    pub(super) id: AttemptId,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) deadline: Option<Instant>,
    /// What the guest reported.
    pub(super) metrics: Metrics,
    /// What the guest asked for.
    pub(super) asked: Option<Box<Asked>>,
    /// Which run of its task the branch is at.
    pub(super) iteration: u32,
    /// Clock and randomness of a deterministic attempt.
    pub(super) virtual_host: Option<Box<Virtual>>,
    wasi: Option<Box<WasiCtx>>,
    http: Option<Box<Http>>,
    speech: Option<Speech>,
    command: Option<Box<Command>>,
    progress: Option<Box<Pace>>,
}

/// What a `wasi:cli/run` command gets.
#[derive(Default)]
struct Command {
    args: Vec<Arc<str>>,
    stdin: Bytes,
    env: Vec<(Arc<str>, Arc<str>)>,
}

/// The last progress report.
struct Pace {
    passed: Instant,
    held: Option<(u64, Option<u64>, Option<Arc<str>>)>,
}

impl State {
    /// For one attempt, whose arguments are of the right types.
    pub(super) fn new(
        prepared: &Arc<Prepared>,
        Input { id, iteration, arguments }: Input<'_>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let call = &prepared.call;
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let virtual_host =
            call.deterministic.map(|seed| Box::new(Virtual::new(seed, call, arguments.to_vec())));
        let command = match call.entry {
            Entry::Command { .. } => Some(Box::new(Command::new(arguments))),
            Entry::Function { .. } => None,
        };
        Self {
            limiter: Limiter::new(call.limits.memory),
            table,
            prepared: Arc::clone(prepared),
            id,
            observer,
            deadline: None,
            metrics: Metrics::default(),
            asked: None,
            iteration,
            virtual_host,
            wasi: None,
            http: None,
            speech: None,
            command,
            progress: None,
        }
    }

    /// Where the guest's lines go.
    pub(super) fn speech(&mut self) -> &Speech {
        let Self { speech, prepared, id, observer, command, .. } = self;
        speech.get_or_insert_with(|| {
            let limits = &prepared.call.limits;
            let output = command.is_some().then_some(limits.output);
            Speech::new(*id, Arc::clone(observer), limits.log, output)
        })
    }

    /// Passes a progress report on, or holds it back when the last one was a moment ago.
    pub(super) fn progress(&mut self, done: u64, total: Option<u64>, message: Option<Arc<str>>) {
        if !self.observer.wants_progress() {
            return;
        }
        let now = Instant::now();
        match &mut self.progress {
            Some(pace) if now.duration_since(pace.passed) < PROGRESS_INTERVAL => {
                pace.held = Some((done, total, message));
            }
            progress => {
                *progress = Some(Box::new(Pace { passed: now, held: None }));
                self.observer.progress(self.id, done, total, message);
            }
        }
    }

    /// The guest's HTTP, with the table of its handles.
    pub(super) fn http_and_table(&mut self) -> (&mut Http, &mut ResourceTable) {
        let http = match self.http.take() {
            Some(http) => http,
            None => {
                let speech = self.speech().clone();
                Box::new(Http::new(&self.prepared.call, speech))
            }
        };
        (self.http.insert(http), &mut self.table)
    }

    fn build_wasi(&mut self) -> WasiCtx {
        let speech = self.speech().clone();
        let granted = &self.prepared.call.environment;
        let mut builder = WasiCtx::builder();
        builder
            .max_random_size(RANDOM_BYTES)
            .stdout(speech.pipe(Stream::Stdout))
            .stderr(speech.pipe(Stream::Stderr));
        sockets::grant(&mut builder, &self.prepared.call.net, &speech);
        match &mut self.command {
            None => {
                builder.envs(granted);
            }
            Some(command) => {
                // Programs expect their own name before their arguments. Guests look a variable up from
                // the front: what the call says comes first.
                builder
                    .arg(&self.prepared.call.task)
                    .args(&command.args)
                    .envs(&command.env)
                    .envs(granted)
                    .stdin(MemoryInputPipe::new(std::mem::take(&mut command.stdin)));
            }
        }
        let mut wasi = builder.build();
        *wasi.filesystem() = self.prepared.filesystem.clone();
        wasi
    }
}

impl Command {
    /// From the three parameters of a command.
    fn new(arguments: &[Value]) -> Self {
        let mut command = Self::default();
        for (at, argument) in arguments.iter().enumerate() {
            match (at, argument) {
                (0, Value::List(args)) => command.args = args.iter().filter_map(text).collect(),
                (1, Value::Bytes(stdin)) => command.stdin = stdin.clone(),
                (2, Value::List(pairs)) => command.env = pairs.iter().filter_map(pair).collect(),
                _ => {}
            }
        }
        command
    }
}

fn text(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::String(text) => Some(Arc::clone(text)),
        _ => None,
    }
}

fn pair(value: &Value) -> Option<(Arc<str>, Arc<str>)> {
    match value {
        Value::Tuple(pair) => match pair.as_ref() {
            [name, value] => Some((text(name)?, text(value)?)),
            _ => None,
        },
        _ => None,
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = match self.wasi.take() {
            Some(wasi) => wasi,
            None => Box::new(self.build_wasi()),
        };
        WasiCtxView { ctx: self.wasi.insert(wasi), table: &mut self.table }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let held = self.progress.as_mut().and_then(|pace| pace.held.take());
        if let Some((done, total, message)) = held {
            self.observer.progress(self.id, done, total, message);
        }
    }
}
