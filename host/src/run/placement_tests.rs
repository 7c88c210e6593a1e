//! What a run asks of executors besides executing, with one that writes down what it is asked.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::channel_tests::{Keep, workflow};
use super::{Caching, Ended, Executors, Journaling, RunError, Settings, Stop, Stopper, run};
use crate::cache::Cache;
use crate::executor::{BoxFuture, Capacity, Executor, Port, Report, Unreachable};
use crate::id::AttemptId;
use crate::journal::State;
use crate::model::{
    self, Attempt, Base, Cause, Event, Expr, Fact, Form, Group, Kind, Outcome, Source, Status, Task, Usage,
    Value, Warning, Workflow,
};
use crate::report::Interest;

/// What an executor was asked, in order.
#[derive(Clone, PartialEq, Debug)]
enum Asked {
    Staffed,
    Submitted(usize),
    Recorded(Vec<AttemptId>),
    Closed,
}

type Log = Arc<Mutex<Vec<Asked>>>;

/// Whether anybody executes, and when that is known.
#[derive(Clone)]
enum Staff {
    There,
    Nobody,
    /// There once somebody lets it be known.
    Awaited(Arc<Semaphore>),
}

/// Ends each attempt as it comes, which begins twice, as one does that a worker gives back.
struct Scripted {
    port: OnceLock<Port>,
    log: Log,
    staff: Staff,
    /// Closes only after this.
    slow: Duration,
    /// Where ends are to be written before they are told.
    journal: Option<std::path::PathBuf>,
}

impl Scripted {
    fn new(log: &Log) -> Self {
        let log = Arc::clone(log);
        Self { port: OnceLock::new(), log, staff: Staff::There, slow: Duration::ZERO, journal: None }
    }

    fn note(&self, asked: Asked) {
        self.log.lock().unwrap().push(asked);
    }
}

impl Executor for Scripted {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        assert!(self.port.set(port).is_ok());
        Box::pin(async { Ok(Capacity { slots: 4, ahead: 4 }) })
    }

    fn submit(&self, batch: Vec<Attempt>) {
        self.note(Asked::Submitted(batch.len()));
        let port = self.port.get().unwrap();
        for Attempt { id, .. } in batch {
            let outcome = Outcome::Succeeded(Value::string("done"));
            let finished = Report::Finished { id, outcome, usage: Usage::default(), worker: None };
            port.report([Report::Started { id }, Report::Started { id }, finished]);
        }
        port.flush();
    }

    fn cancel(&self, _: &[AttemptId], _: Cause) {}
    fn announce_cancel(&self) {}
    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn staffed(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
        self.note(Asked::Staffed);
        Box::pin(async {
            match &self.staff {
                Staff::There => {}
                Staff::Nobody => {
                    let reason = "no worker".to_owned();
                    return Err(Unreachable { executor: "whatever".into(), reason });
                }
                Staff::Awaited(known) => drop(known.acquire().await.unwrap()),
            }
            Ok(())
        })
    }

    fn recorded(&self, ids: &[AttemptId]) {
        if let Some(state) = &self.journal {
            let written = ends(state);
            for id in ids {
                assert!(written.contains(&id.branch.index), "{id:?} is told and not written: {written:?}");
            }
        }
        self.note(Asked::Recorded(ids.to_vec()));
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::time::sleep(self.slow).await;
            self.note(Asked::Closed);
        })
    }
}

/// The branches whose end is in the journal of the one run that is kept in `state`.
fn ends(state: &Path) -> Vec<u32> {
    let run = std::fs::read_dir(state.join("runs")).unwrap().next().unwrap().unwrap().path();
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let lines = journal.lines().filter(|line| line.contains("\"task-ended\""));
    let json = lines.filter_map(|line| line.get(line.find('{')?..=line.rfind('}')?));
    let records = json.map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
    records.map(|record| record["index"].as_u64().unwrap_or(0) as u32).collect()
}

fn named(name: &str) -> model::Executor {
    model::Executor::Named(name.into())
}

/// A group of `branches` on `executor`, with a fallback if it is to have one.
fn on(executor: &model::Executor, branches: i64, fallback: bool) -> Workflow {
    let mut workflow = workflow(branches);
    let Kind::Group(group) = &mut workflow.nodes[0].kind else { panic!("not a group") };
    group.policy.fallback = fallback.then_some(model::Executor::InProcess);
    task(&mut workflow).policy.executor = executor.clone();
    workflow
}

fn task(workflow: &mut Workflow) -> &mut Task {
    let Kind::Group(Group { form: Form::ForEach { task, .. }, .. }) = &mut workflow.nodes[0].kind else {
        panic!("not a group")
    };
    task
}

fn settings(executors: Executors, events: &Arc<Mutex<Vec<Event>>>) -> Settings {
    let interest = Interest { starts: true, successes: true, ..Interest::default() };
    Settings {
        executors,
        reporters: vec![Box::new(Keep(Arc::clone(events), interest))],
        environment: Arc::new(|_| None),
        caching: None,
        journal: None,
        stops: Stopper::new().1,
        trace: None,
    }
}

async fn ended(workflow: Workflow, executors: Executors) -> Result<Ended, RunError> {
    run(Arc::new(workflow), settings(executors, &Arc::default())).await
}

fn with(executors: Executors, name: &model::Executor, executor: Scripted) -> Executors {
    executors.with(name.clone(), move || Ok(Arc::new(executor)))
}

fn recorded(log: &[Asked]) -> Vec<u32> {
    let ids = log.iter().filter_map(|asked| match asked {
        Asked::Recorded(ids) => Some(ids),
        Asked::Staffed | Asked::Submitted(_) | Asked::Closed => None,
    });
    let mut indices: Vec<u32> = ids.flatten().map(|id| id.branch.index).collect();
    indices.sort_unstable();
    indices
}

#[tokio::test]
async fn every_end_is_told_once_and_then_the_executor_is_closed() {
    let (log, fleet) = (Log::default(), named("fleet"));
    let executors = with(Executors::default(), &fleet, Scripted::new(&log));
    assert_eq!(ended(on(&fleet, 100, false), executors).await.unwrap().status, Status::Succeeded);
    let log = log.lock().unwrap();
    assert_eq!(recorded(&log), (0..100).collect::<Vec<_>>());
    let closed = log.iter().position(|asked| *asked == Asked::Closed);
    assert_eq!(closed, Some(log.len() - 1), "{log:?}");
    assert!(!log.contains(&Asked::Staffed), "nothing could run elsewhere: {log:?}");
    // Many at once, as they come.
    let tellings = log.iter().filter(|asked| matches!(asked, Asked::Recorded(_))).count();
    assert!(tellings < 60, "{tellings}");
}

#[tokio::test]
async fn an_attempt_is_said_to_begin_once() {
    let (fleet, events) = (named("fleet"), Arc::default());
    let executors = with(Executors::default(), &fleet, Scripted::new(&Log::default()));
    run(Arc::new(on(&fleet, 100, false)), settings(executors, &events)).await.unwrap();
    let events = events.lock().unwrap();
    let begun = events.iter().filter(|event| matches!(event.fact, Fact::AttemptStarted));
    let mut indices: Vec<_> = begun.map(|event| event.place.as_ref().unwrap().index.unwrap()).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_end_is_told_only_once_the_journal_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (log, fleet) = (Log::default(), named("fleet"));
    let executor = Scripted { journal: Some(state.clone()), ..Scripted::new(&log) };
    let executors = with(Executors::default(), &fleet, executor);
    let journal = Journaling {
        state: State::make(&state).unwrap(),
        file: folder.path().join("workflow.toml"),
        text: "".into(),
        given: Vec::new(),
        current: folder.path().to_owned(),
        resume: None,
    };
    std::fs::write(folder.path().join("c.wasm"), "").unwrap();
    let mut workflow = on(&fleet, 100, false);
    workflow.components[0].path = folder.path().join("c.wasm");
    (workflow.folder, workflow.root) = (folder.path().to_owned(), folder.path().to_owned());
    let settings = Settings { journal: Some(journal), ..settings(executors, &Arc::default()) };
    run(Arc::new(workflow), settings).await.unwrap();
    let log = log.lock().unwrap();
    assert_eq!(recorded(&log), (0..100).collect::<Vec<_>>());
    assert_eq!(log.last(), Some(&Asked::Closed));
    assert_eq!(ends(&state).len(), 100);
}

#[tokio::test]
async fn executors_of_this_machine_are_told_of_nothing_and_waited_for_by_nobody() {
    let log = Log::default();
    let executors = with(Executors::default(), &model::Executor::Process, Scripted::new(&log));
    ended(on(&model::Executor::Process, 100, true), executors).await.unwrap();
    let log = log.lock().unwrap();
    assert!(recorded(&log).is_empty() && !log.contains(&Asked::Staffed), "{log:?}");
}

#[tokio::test]
async fn what_was_never_handed_over_is_not_told() {
    let (log, fleet) = (Log::default(), named("fleet"));
    let executors = with(Executors::default(), &fleet, Scripted::new(&log));
    let mut workflow = on(&fleet, 3, false);
    // Its own value, which there is not.
    let source = Source::Node(crate::id::NodeId(0));
    task(&mut workflow).arguments = vec![Expr::Reference { source, path: Vec::new() }];
    assert_eq!(ended(workflow, executors).await.unwrap().status, Status::Failed);
    assert_eq!(*log.lock().unwrap(), [Asked::Closed]);
}

#[tokio::test]
async fn a_group_with_a_fallback_waits_for_workers_and_then_stays() {
    let (log, fleet) = (Log::default(), named("fleet"));
    let known = Arc::new(Semaphore::new(0));
    let executor = Scripted { staff: Staff::Awaited(Arc::clone(&known)), ..Scripted::new(&log) };
    let here = Log::default();
    let executors = with(Executors::default(), &model::Executor::InProcess, Scripted::new(&here));
    let running = tokio::spawn(ended(on(&fleet, 10, true), with(executors, &fleet, executor)));
    while log.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // Whatever else the run could do it does now.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*log.lock().unwrap(), [Asked::Staffed]);
    known.add_permits(1);
    running.await.unwrap().unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log.iter().filter(|asked| **asked == Asked::Staffed).count(), 1, "{log:?}");
    assert_eq!(recorded(&log).len(), 10);
    assert_eq!(*here.lock().unwrap(), []);
}

#[tokio::test]
async fn a_group_whose_executor_has_no_workers_runs_elsewhere_and_says_so() {
    let (log, fleet) = (Log::default(), named("fleet"));
    let executor = Scripted { staff: Staff::Nobody, ..Scripted::new(&log) };
    let here = Log::default();
    let executors = with(Executors::default(), &model::Executor::InProcess, Scripted::new(&here));
    let events = Arc::default();
    let settings = settings(with(executors, &fleet, executor), &events);
    let ended = run(Arc::new(on(&fleet, 10, true)), settings).await.unwrap();
    assert_eq!(ended.status, Status::Succeeded);
    assert_eq!(*log.lock().unwrap(), [Asked::Staffed, Asked::Closed]);
    let here = here.lock().unwrap();
    let submitted = here.iter().map(|asked| match asked {
        Asked::Submitted(count) => *count,
        Asked::Staffed | Asked::Recorded(_) | Asked::Closed => 0,
    });
    assert_eq!(submitted.sum::<usize>(), 10);
    let events = events.lock().unwrap();
    let warnings: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.fact {
            Fact::Warning { kind: Warning::Fallback, message } => Some(&**message),
            _ => None,
        })
        .collect();
    let says = "executor `fleet` cannot be reached: no worker; the group runs in-process instead";
    assert_eq!(warnings, [says]);
    let places = events.iter().filter(|event| matches!(event.fact, Fact::AttemptEnded { .. }));
    let executors = places.map(|event| event.place.as_ref().unwrap().executor.clone().unwrap());
    assert!(executors.eq(std::iter::repeat_n(model::Executor::InProcess, 10)));
}

#[tokio::test]
async fn an_executor_is_not_closed_where_the_run_goes_on_later() {
    let (log, fleet, gone) = (Log::default(), named("fleet"), named("gone"));
    let executors = with(Executors::default(), &fleet, Scripted::new(&log));
    let mut workflow = on(&fleet, 10, false);
    let mut second = on(&gone, 10, false).nodes.remove(0);
    second.after = [crate::id::NodeId(0)].into();
    second.name = "second".into();
    workflow.nodes.push(second);
    let failure = ended(workflow, executors).await.unwrap_err();
    let says = "executor `gone` cannot be reached: this run was not given it";
    assert_eq!(failure.to_string(), says);
    let log = log.lock().unwrap();
    assert!(!log.contains(&Asked::Closed), "{log:?}");
    assert_eq!(recorded(&log).len(), 10, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_does_not_close_keeps_nobody_for_long() {
    let (log, fleet) = (Log::default(), named("fleet"));
    let executor = Scripted { slow: Duration::from_secs(3_600), ..Scripted::new(&log) };
    let began = tokio::time::Instant::now();
    ended(on(&fleet, 1, false), with(Executors::default(), &fleet, executor)).await.unwrap();
    let took = began.elapsed();
    assert!((10..20).contains(&took.as_secs()), "{took:?}");
    assert!(!log.lock().unwrap().contains(&Asked::Closed));
}

#[tokio::test]
async fn what_named_executors_answer_is_kept_only_where_that_is_wanted() {
    let fleet = named("fleet");
    let submitted = async |folder: &Path, executor: &model::Executor, remote: bool| {
        let log = Log::default();
        let executors = with(Executors::default(), executor, Scripted::new(&log));
        let mut workflow = on(executor, 1, false);
        let policy = &mut task(&mut workflow).policy;
        (policy.cache, policy.deterministic) = (true, true);
        let cache = Cache::open(Some(folder.to_owned()), &[]).unwrap();
        let caching = Some(Caching::new(cache, "test").keeping_remote(remote));
        let settings = Settings { caching, ..settings(executors, &Arc::default()) };
        assert_eq!(run(Arc::new(workflow), settings).await.unwrap().status, Status::Succeeded);
        log.lock().unwrap().contains(&Asked::Submitted(1))
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    assert!(submitted(&path, &fleet, false).await);
    assert!(submitted(&path, &fleet, false).await, "kept, and nobody wanted it");
    assert!(submitted(&path, &fleet, true).await);
    // Whoever asks finds it then.
    assert!(!submitted(&path, &fleet, false).await);
    assert!(!submitted(&path, &model::Executor::InProcess, false).await);
}

/// Holds what it is given until that is cancelled, or somebody ends it.
struct Holding {
    port: Arc<OnceLock<Port>>,
    came: mpsc::UnboundedSender<AttemptId>,
}

impl Executor for Holding {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        assert!(self.port.set(port).is_ok());
        Box::pin(async { Ok(Capacity { slots: 4, ahead: 4 }) })
    }

    fn submit(&self, batch: Vec<Attempt>) {
        for attempt in batch {
            self.came.send(attempt.id).unwrap();
        }
    }

    fn cancel(&self, ids: &[AttemptId], cause: Cause) {
        let end = |id: &AttemptId| finished(*id, Outcome::Cancelled { cause });
        let port = self.port.get().unwrap();
        port.report(ids.iter().map(end));
        port.flush();
    }

    fn announce_cancel(&self) {}
    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn finished(id: AttemptId, outcome: Outcome) -> Report {
    Report::Finished { id, outcome, usage: Usage::default(), worker: None }
}

#[tokio::test]
async fn large_files_are_read_when_there_is_room_to_execute_and_not_once_the_run_stops() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("large")).unwrap().set_len(64 << 20).unwrap();
    let fleet = named("fleet");
    let mut workflow = on(&fleet, 20, false);
    (workflow.folder, workflow.root) = (folder.path().to_owned(), folder.path().to_owned());
    let path = Box::new(Expr::Literal(Value::string("large")));
    task(&mut workflow).arguments = vec![Expr::File { path, base: Base::Workflow, text: false }];
    let (port, (sender, mut came), (stopper, stops)) =
        (Arc::<OnceLock<Port>>::default(), mpsc::unbounded_channel(), Stopper::new());
    let executor = Holding { port: Arc::clone(&port), came: sender };
    let executors = Executors::default().with(fleet, move || Ok(Arc::new(executor)));
    let settings = Settings { stops, ..settings(executors, &Arc::default()) };
    let running = tokio::spawn(run(Arc::new(workflow), settings));
    let first = came.recv().await.unwrap();
    for _ in 0..3 {
        came.recv().await.unwrap();
    }
    port.get().unwrap().report([finished(first, Outcome::Succeeded(Value::string("done")))]);
    port.get().unwrap().flush();
    came.recv().await.unwrap();
    stopper.stop(Stop::Now);
    let ended = running.await.unwrap().unwrap();
    assert_eq!((ended.status, ended.counts.cancelled), (Status::Cancelled, 19));
    assert!(came.recv().await.is_none(), "read and handed over though no slot was free");
}
