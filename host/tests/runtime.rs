//! Compiling in a child process, with the real program as the child.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what tests share")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowhost::channel::{Channel, Memory};
use flowhost::digest::Digest;
use flowhost::id::{AttemptId, BranchId, NodeId, RunId};
use flowhost::model::{Call, Entry, Level, Limits, Outcome, Signature, Stream, Type, Value};
use flowhost::runtime::{
    CompileError, Input, LoadError, Observer, PrepareError, Prepared, Runtime, Settings, Source,
};

struct Deaf(Arc<dyn Channel>);

impl Observer for Deaf {
    fn line(&self, _: AttemptId, _: Level, _: Stream, _: Arc<str>, _: bool) {}
    fn progress(&self, _: AttemptId, _: u64, _: Option<u64>, _: Option<Arc<str>>) {}
    fn wants_progress(&self) -> bool {
        false
    }
    fn channel(&self) -> &dyn Channel {
        &*self.0
    }
    fn cancelling(&self) -> bool {
        false
    }
}

fn settings(cache: &Path) -> Settings {
    Settings {
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_flowhost"))),
        cache_dir: Some(cache.to_owned()),
        slots: Some(1),
        ..Settings::default()
    }
}

/// A component whose function `answer` returns 42, after `before`.
fn answer(before: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $M {before} (func (export "answer") (result i32) (i32.const 42)))
            (core instance $m (instantiate $M))
            (func $answer (result u32) (canon lift (core func $m "answer")))
            (export "answer" (func $answer)))"#
    );
    wat::parse_str(text).unwrap()
}

fn call(wasm: &[u8]) -> Arc<Call> {
    Arc::new(Call {
        component: Digest::of(wasm),
        entry: Entry::Function { interface: None, name: Arc::from("answer") },
        signature: Arc::new(Signature { parameters: Vec::new(), result: Type::U32 }),
        limits: Limits::default(),
        directories: Vec::new(),
        environment: Vec::new(),
        net: Arc::new([]),
        http: Arc::new([]),
        deterministic: None,
        run: RunId(Arc::from("run")),
        task: Arc::from("task"),
        group: None,
        count: 1,
        allowed: None,
        trace: None,
    })
}

async fn prepare(
    settings: Settings,
    call: Arc<Call>,
    wasm: &[u8],
) -> Result<(Arc<Runtime>, Prepared), PrepareError> {
    let runtime = Runtime::new(settings).unwrap();
    let source = Source::Bytes(wasm.to_vec().into());
    let prepared = runtime.prepare(call, &source, Path::new("/")).await?;
    Ok((runtime, prepared))
}

async fn outcome(settings: Settings, call: Arc<Call>, wasm: &[u8]) -> Outcome {
    let (runtime, prepared) = prepare(settings, call, wasm).await.unwrap();
    let id = AttemptId { branch: BranchId { node: NodeId(0), index: 0 }, number: 1 };
    let observer: Arc<dyn Observer> = Arc::new(Deaf(Memory::shared(None)));
    let input = Input { id, iteration: 1, arguments: &[] };
    runtime.attempt(&Arc::new(prepared), input, &observer).await.0
}

fn entries(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test]
async fn compiles_once_and_keeps_the_code() {
    let cache = tempfile::tempdir().unwrap();
    let wasm = answer("");
    let forty_two = Outcome::Succeeded(Value::U32(42));
    assert_eq!(outcome(settings(cache.path()), call(&wasm), &wasm).await, forty_two);
    let kept = entries(cache.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].starts_with(&Digest::of(&wasm).hex()));

    // The second run needs no compiler.
    let without = Settings { program: Some("/nonexistent".into()), ..settings(cache.path()) };
    assert_eq!(outcome(without, call(&wasm), &wasm).await, forty_two);

    // Another flavour is other code.
    let mut fuel = Arc::unwrap_or_clone(call(&wasm));
    fuel.limits.fuel = Some(1_000_000);
    assert_eq!(outcome(settings(cache.path()), Arc::new(fuel), &wasm).await, forty_two);
    assert_eq!(entries(cache.path()).len(), 2);
}

#[tokio::test]
async fn h6_damaged_code_is_compiled_anew() {
    let cache = tempfile::tempdir().unwrap();
    let wasm = answer("");
    outcome(settings(cache.path()), call(&wasm), &wasm).await;
    let kept = cache.path().join(&entries(cache.path())[0]);
    let sound = std::fs::read(&kept).unwrap();
    let mut damaged = sound.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&kept, damaged).unwrap();
    let outcome = outcome(settings(cache.path()), call(&wasm), &wasm).await;
    assert_eq!(outcome, Outcome::Succeeded(Value::U32(42)));
    assert_eq!(std::fs::read(&kept).unwrap(), sound);
}

#[tokio::test]
async fn g9_an_invalid_component_is_refused_with_the_reason() {
    let cache = tempfile::tempdir().unwrap();
    let mut wasm = answer("");
    let half = wasm.len() / 2;
    wasm.truncate(half);
    let Err(error) = prepare(settings(cache.path()), call(&wasm), &wasm).await else { panic!("accepted") };
    assert!(matches!(error, PrepareError::Load(LoadError::Compile(CompileError::Invalid { .. }))), "{error}");
    assert!(error.to_string().starts_with("invalid component: "), "{error}");
    assert_eq!(entries(cache.path()), [""; 0], "a draft stays");
}

/// A function that takes long to compile: many values that live at once.
fn hard() -> Vec<u8> {
    let mut body = String::new();
    for at in 0..60_000 {
        body.push_str(&format!(
            "(local.set {} (i32.add (local.get {}) (i32.mul (local.get {}) (local.get {}))))\n",
            at % 500,
            (at * 7) % 500,
            (at * 13) % 500,
            (at * 31) % 500
        ));
        if at % 3 == 0 {
            body.push_str(&format!(
                "(if (local.get {}) (then (local.set {} (i32.const {at}))))\n",
                (at * 17) % 500,
                (at * 23) % 500
            ));
        }
    }
    answer(&format!("(func (local {}) {body})", "i32 ".repeat(500)))
}

#[tokio::test]
async fn g8_the_compiler_is_stopped_at_its_time_limit() {
    let cache = tempfile::tempdir().unwrap();
    let wasm = hard();
    let limited = Settings { compile_timeout: Duration::from_millis(300), ..settings(cache.path()) };
    let began = std::time::Instant::now();
    let Err(error) = prepare(limited, call(&wasm), &wasm).await else { panic!("compiled in time") };
    assert!(matches!(error, PrepareError::Load(LoadError::Compile(CompileError::Timeout { .. }))), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(entries(cache.path()), [""; 0], "a draft stays");
}

#[tokio::test]
async fn g8_the_compiler_is_stopped_at_its_memory_limit() {
    let cache = tempfile::tempdir().unwrap();
    let wasm = hard();
    let limited = Settings { compile_memory: 24 << 20, ..settings(cache.path()) };
    let Err(error) = prepare(limited, call(&wasm), &wasm).await else { panic!("compiled in 24 MiB") };
    let PrepareError::Load(LoadError::Compile(CompileError::Died { .. })) = &error else { panic!("{error}") };
    assert!(error.to_string().contains("`compile_memory`"), "{error}");
    assert_eq!(entries(cache.path()), [""; 0], "a draft stays");
}

#[test]
fn the_childs_subcommand_explains_itself() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_flowhost"));
    let output = { program }.arg("compile-component").arg("nonsense").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("for flowhost itself"), "{said}");
}
