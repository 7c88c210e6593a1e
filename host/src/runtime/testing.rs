//! What tests of this floor and the next share: an observer that keeps what it is told, components
//! written as text, and a runtime that finds them compiled.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tempfile::TempDir;

use super::code_cache::{CodeCache, Place};
use super::engine::{self, Flavour};
use super::space::Space;
use super::{Input, Observer, Runtime, Settings, Source};
use crate::channel::{Channel, Memory};
use crate::digest::Digest;
use crate::id::{AttemptId, BranchId, NodeId, RunId};
use crate::model::{Call, Entry, Level, Limits, Outcome, Signature, Stream, Type, Usage, Value};

/// The first attempt of branch `index`.
pub(crate) fn attempt_id(index: u32) -> AttemptId {
    AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 }
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Heard {
    lines: Mutex<Vec<String>>,
    progress: Mutex<Vec<(u64, Option<u64>)>>,
    channel: OnceLock<Arc<dyn Channel>>,
}

impl Heard {
    /// Lines as `stream text`, or `stream CUT text`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Answers from `channel`.
    pub(crate) fn with_channel(channel: Arc<dyn Channel>) -> Self {
        Self { channel: channel.into(), ..Self::default() }
    }

    /// Done and total.
    pub(crate) fn progress(&self) -> Vec<(u64, Option<u64>)> {
        self.progress.lock().unwrap().clone()
    }
}

impl Observer for Heard {
    fn line(&self, _: AttemptId, _: Level, stream: Stream, message: Arc<str>, cut: bool) {
        let cut = if cut { "CUT " } else { "" };
        self.lines.lock().unwrap().push(format!("{} {cut}{message}", stream.name()));
    }

    fn progress(&self, _: AttemptId, done: u64, total: Option<u64>, _: Option<Arc<str>>) {
        self.progress.lock().unwrap().push((done, total));
    }

    fn wants_progress(&self) -> bool {
        true
    }

    fn channel(&self) -> &dyn Channel {
        &**self.channel.get_or_init(|| Memory::shared(None))
    }

    fn cancelling(&self) -> bool {
        false
    }
}

/// A component around one core module. `imports` are the component's, with the core functions that
/// they become; `host` hands those to the module as `(export "name" (func $lowered))`; `core` is the
/// module's body after its imports; `lifts` are the component's exports.
pub(crate) fn component(imports: &str, host: &str, core: &str, lifts: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $Libc
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 4096))
                (func (export "realloc") (param i32 i32 i32) (param $len i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get $len)))
                    (block $fits (loop $more
                        (br_if $fits (i32.le_u (global.get $next)
                            (i32.shl (memory.size) (i32.const 16))))
                        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
                        (br $more)))
                    (local.get $at)))
            (core instance $libc (instantiate $Libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            {imports}
            (core module $Main
                (import "libc" "memory" (memory 1))
                {core})
            (core instance $host {host})
            (core instance $main (instantiate $Main
                (with "libc" (instance $libc)) (with "host" (instance $host))))
            {lifts})"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A component of one function `run` of type `ty` whose core function has the body `core`.
pub(crate) fn function(ty: &str, core: &str) -> Vec<u8> {
    component("", "", core, &run_export(ty))
}

/// Exports the core function `run` as a function of type `ty`.
pub(crate) fn run_export(ty: &str) -> String {
    format!(
        r#"(func $run {ty} (canon lift (core func $main "run") (memory $memory) (realloc (core func $realloc))))
           (export "run" (func $run))"#
    )
}

/// Returns `list<u8>` or `string` as it came.
pub(crate) const ECHO: &str = r#"(func (export "run") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 0))
    (i32.store (i32.const 20) (local.get 1))
    (i32.const 16))"#;

/// Returns the bytes that it was given.
pub(crate) fn echo() -> Vec<u8> {
    function(r#"(param "a" (list u8)) (result (list u8))"#, ECHO)
}

/// Never returns.
pub(crate) fn spin() -> Vec<u8> {
    function("", r#"(func (export "run") (loop (br 0)))"#)
}

/// A call of `run` in `wasm`.
pub(crate) fn call(wasm: &[u8], parameters: &[Type], result: Type) -> Call {
    let parameters = parameters.iter().enumerate().map(|(at, ty)| (Arc::from(format!("p{at}")), ty.clone()));
    Call {
        component: Digest::of(wasm),
        entry: Entry::Function { interface: None, name: Arc::from("run") },
        signature: Arc::new(Signature { parameters: parameters.collect(), result }),
        limits: Limits::default(),
        directories: Vec::new(),
        environment: Vec::new(),
        net: Arc::new([]),
        http: Arc::new([]),
        deterministic: None,
        run: RunId(Arc::from("20260101-000000-test00")),
        task: Arc::from("task"),
        group: None,
        count: 1,
        allowed: None,
        trace: None,
    }
}

/// A runtime whose code cache is a folder that goes with it.
pub(crate) struct Bench {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) cache: TempDir,
    pub(crate) root: TempDir,
}

impl Bench {
    pub(crate) fn new(slots: usize) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let settings = Settings {
            program: Some("/nonexistent/flowhost".into()),
            cache_dir: Some(cache.path().to_owned()),
            slots: Some(slots),
            ..Settings::default()
        };
        let runtime = Runtime::new(settings).unwrap();
        Self { runtime, cache, root: tempfile::tempdir().unwrap() }
    }

    /// Puts `wasm`'s code into the cache, as another run might have.
    pub(crate) fn compile(&self, wasm: &[u8], call: &Call) {
        keep_compiled(self.cache.path(), wasm, Flavour::of(call));
    }

    /// Executes `call` of `wasm` once.
    pub(crate) async fn attempt(&self, wasm: &[u8], call: Call, arguments: &[Value]) -> Attempted {
        self.attempt_heard(wasm, call, arguments, Heard::default()).await
    }

    /// Executes `call` of `wasm` once, with an observer of the test's own.
    pub(crate) async fn attempt_heard(
        &self,
        wasm: &[u8],
        call: Call,
        arguments: &[Value],
        heard: Heard,
    ) -> Attempted {
        self.compile(wasm, &call);
        let source = Source::Bytes(Bytes::copy_from_slice(wasm));
        let prepared = self.runtime.prepare(Arc::new(call), &source, self.root.path()).await.unwrap();
        let heard = Arc::new(heard);
        let observer: Arc<dyn Observer> = heard.clone();
        let input = Input { id: attempt_id(0), iteration: 1, arguments };
        let (outcome, usage) = self.runtime.attempt(&Arc::new(prepared), input, &observer).await;
        Attempted { outcome, usage, heard }
    }

    /// The outcome of one attempt.
    pub(crate) async fn outcome(&self, wasm: &[u8], call: Call, arguments: &[Value]) -> Outcome {
        self.attempt(wasm, call, arguments).await.outcome
    }
}

fn keep_compiled(folder: &Path, wasm: &[u8], flavour: Flavour) {
    let cache = CodeCache::open(&Place { cache_dir: Some(folder.to_owned()), others: Vec::new() }).unwrap();
    let engine = engine::on_demand(flavour, Space::Ample).unwrap();
    let digest = Digest::of(wasm);
    if cache.find(&digest, &engine).is_none() {
        let draft = cache.draft().unwrap();
        draft.writer().unwrap().write_all(&engine.precompile_component(wasm).unwrap()).unwrap();
        cache.keep(draft, &digest, &engine).unwrap();
    }
}

/// What came of one attempt.
pub(crate) struct Attempted {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    pub(crate) heard: Arc<Heard>,
}

/// The message of an attempt that trapped.
pub(crate) fn trapped(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Trapped { message } => message,
        other => panic!("not trapped: {other:?}"),
    }
}
