//! flowhost as an embedder uses it: a workflow file, an in-process executor, and no reporters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flowhost::channel::Memory;
use flowhost::digest::Digest;
use flowhost::executor::{Executor, InProcess, InProcessSettings, Port, Process, Report, Reports};
use flowhost::id::{AttemptId, BranchId, NodeId, RunId};
use flowhost::journal::State;
use flowhost::manifest::{self, Options, Purpose, Trust};
use flowhost::model::{
    self, Attempt, Call, Entry, Limits, Outcome, Signature, Status, Trace, TraceId, Type, Value, Workflow,
};
use flowhost::report::Interest;
use flowhost::run::{Caching, Executors, Journaling, Resume, ResumeOptions, Settings, Stopper};
use flowhost::runtime::{self, Runtime};

use super::component::component;

/// A runtime. All of them, also those of children, share what was compiled.
pub(crate) fn runtime() -> Arc<Runtime> {
    let code = component().with_file_name("bench-code");
    let program = Some(env!("CARGO_BIN_EXE_flowhost").into());
    Runtime::new(runtime::Settings { program, cache_dir: Some(code), ..runtime::Settings::default() })
        .unwrap()
}

/// A workflow, checked, and what runs it.
pub(crate) struct Product {
    workflow: Arc<Workflow>,
    runtime: Arc<Runtime>,
    threads: tokio::runtime::Runtime,
    caching: Option<Caching>,
    _folder: tempfile::TempDir,
}

impl Product {
    /// Checks a workflow over `bench.wasm`.
    pub(crate) fn new(workflow: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(component(), folder.path().join("bench.wasm")).unwrap();
        let file = folder.path().join("workflow.toml");
        std::fs::write(&file, workflow).unwrap();
        let options = Options {
            root: None,
            inputs: Vec::new(),
            executors: Vec::new(),
            concurrency: None,
            current: folder.path().to_owned(),
            environment: &|_| None,
            trust: Trust::Full,
            state_dir: None,
            redis: None,
            plain_secrets: false,
            purpose: Purpose::Run,
            recorded: None,
        };
        let loaded = manifest::load(&file, &options).unwrap_or_else(|problems| panic!("{problems}"));
        Self {
            workflow: Arc::new(loaded.workflow),
            runtime: runtime(),
            threads: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            caching: None,
            _folder: folder,
        }
    }

    /// With a cache of outcomes.
    pub(crate) fn caching(self, caching: Caching) -> Self {
        Self { caching: Some(caching), ..self }
    }

    /// Runs the workflow, and says how long that took.
    pub(crate) fn run(&self) -> Duration {
        self.run_as(None)
    }

    /// Runs the workflow and records it, or goes on with the newest recorded run. The folder is that of
    /// the workflow.
    pub(crate) fn run_recorded(&self, resume: bool) -> Duration {
        let state = State::make(&self.workflow.folder.join(".flowhost")).unwrap();
        let resume = resume.then(|| {
            let run = state.run(&state.runs().unwrap()[0]).unwrap().unwrap();
            let lock = run.lock().unwrap();
            let (history, tail) = run.history().unwrap();
            Resume { run, lock, history, tail, options: ResumeOptions::default() }
        });
        self.run_as(Some(Journaling {
            state,
            file: self.workflow.folder.join("workflow.toml"),
            text: "".into(),
            given: Vec::new(),
            current: self.workflow.folder.clone(),
            resume,
        }))
    }

    fn run_as(&self, journal: Option<Journaling>) -> Duration {
        let workflow = &self.workflow;
        let components = workflow.components.iter();
        let settings = InProcessSettings {
            runtime: Arc::clone(&self.runtime),
            root: workflow.root.clone(),
            components: components.map(|component| (component.digest, component.path.clone())).collect(),
        };
        let children = settings.clone();
        let failed = |error: runtime::RuntimeError| error.to_string();
        let executors = Executors::default()
            .with(model::Executor::InProcess, move || Ok(Arc::new(InProcess::new(settings).map_err(failed)?)))
            .with(model::Executor::Process, move || Ok(Arc::new(Process::new(children).map_err(failed)?)));
        let settings = Settings {
            executors,
            reporters: Vec::new(),
            environment: Arc::new(|_| None),
            caching: self.caching.clone(),
            stops: Stopper::new().1,
            journal,
            // As the command line has it where nobody traces.
            trace: TraceId::random().map(|id| Trace { id, sampled: false }),
        };
        let began = Instant::now();
        let ended = self.threads.block_on(flowhost::run::run(Arc::clone(workflow), settings)).unwrap();
        let elapsed = began.elapsed();
        assert_eq!(ended.status, Status::Succeeded);
        elapsed
    }
}

/// A call of an export of `bench.wasm`.
pub(crate) fn call(export: &str, parameter: Type, result: Type, limits: Limits) -> Call {
    Call {
        component: Digest::of(&std::fs::read(component()).unwrap()),
        entry: Entry::Function { interface: None, name: export.into() },
        signature: Arc::new(Signature { parameters: [("p".into(), parameter)].into(), result }),
        limits,
        directories: Vec::new(),
        environment: Vec::new(),
        net: Arc::new([]),
        http: Arc::new([]),
        deterministic: None,
        run: RunId("bench".into()),
        task: export.into(),
        group: None,
        count: 1,
        allowed: None,
        trace: None,
    }
}

/// A child that echoes bytes: an executor alone, without what runs a workflow.
pub(crate) struct Crew {
    executor: Process,
    reports: Reports,
    threads: tokio::runtime::Runtime,
    echo: Arc<Call>,
    calls: u32,
}

impl Crew {
    /// Starts the child.
    pub(crate) fn new() -> Self {
        let echo = Arc::new(call("noop", Type::bytes(), Type::bytes(), Limits::default()));
        let components = vec![(echo.component, component().to_owned())];
        let settings = InProcessSettings { runtime: runtime(), root: "/".into(), components };
        let executor = Process::new(settings).unwrap();
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (port, reports) = Port::new(Interest::default(), Memory::shared);
        threads.block_on(executor.open(port)).unwrap();
        Self { executor, reports, threads, echo, calls: 0 }
    }

    /// Sends bytes there and back, and says how long that took.
    pub(crate) fn call(&mut self, bytes: &Bytes) -> Duration {
        self.calls += 1;
        let id = AttemptId { branch: BranchId { node: NodeId(0), index: self.calls }, number: 1 };
        let arguments = vec![Value::Bytes(bytes.clone())];
        let began = Instant::now();
        self.executor.submit(vec![Attempt { id, call: Arc::clone(&self.echo), iteration: 1, arguments }]);
        let mut some = Vec::new();
        let outcome = self.threads.block_on(async {
            loop {
                self.reports.ready().await;
                self.reports.take(&mut some);
                let ended = some.drain(..).find_map(|report| match report {
                    Report::Finished { outcome, .. } => Some(outcome),
                    _ => None,
                });
                if let Some(outcome) = ended {
                    return outcome;
                }
            }
        });
        let elapsed = began.elapsed();
        assert!(matches!(&outcome, Outcome::Succeeded(Value::Bytes(back)) if back == bytes), "{outcome:?}");
        elapsed
    }
}
