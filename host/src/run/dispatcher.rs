//! The one loop of a run. It alone orders events; all decisions about tasks are the scheduler's.

mod attempts;
pub(super) mod flow;
mod nodes;
mod placing;
mod reading;
mod recording;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::placing::Staffing;
use super::announce::Announcer;
use super::branches::Branches;
use super::cached::{Caching, Keeper, Looked};
use super::evaluate::{EvaluateError, Scope};
use super::items::ItemsError;
use super::journaling::Of;
use super::placement::{Opened, Placement};
use super::reading::{Reading, Turn};
use super::recorder::Recorder;
use super::resume::Resumed;
use super::root::Root;
use super::secrets::Secrets;
use super::sections::Sections;
use super::split::BranchItems;
use super::{Ended, Outputs, RunError, Settings, Stop, Stops, journaling, new_id, reasons};
use crate::cache::Key;
use crate::channel::Memory;
use crate::executor::{Port, Report, Reports, Unreachable};
use crate::id::{AttemptId, BranchId, NodeId, RunId};
use crate::journal::{FileRead, LogLine, Record, RunEnd};
use crate::model::{
    Cause, Counts, Ending, Executor, Fact, Kind, Node, Place, RunStarted, Status, Totals, Trace, Value,
    Warning, Workflow,
};
use crate::report::Interest;
use crate::schedule::{Action, Input, Plan, Scheduler};

/// How often displays move.
const TICK: Duration = Duration::from_millis(100);

/// What was done aside because it may block.
enum Aside {
    Items(NodeId, Result<(BranchItems, u32), ItemsError>),
    Arguments(AttemptId, Result<Vec<Value>, EvaluateError>, Vec<FileRead>),
    Looked(AttemptId, Vec<Value>, Looked),
    Opened(Executor, Opened),
    Staffed(NodeId, Result<(), Unreachable>),
}

/// What ended a wait.
enum Woken {
    Reports,
    Aside(Aside),
    Stop(Stop),
    /// A branch's time has come.
    Due,
    /// Displays move.
    Tick,
    /// The journal has come further, or failed.
    Recorded,
}

/// What is known of an attempt from hand-over to its end.
struct Flight {
    since: Instant,
    /// Whether it is known to have begun. What its executor hands over anew begins a second time.
    begun: bool,
    /// Set while its arguments are still being made, or looked for in the cache, with whether it was
    /// cancelled meanwhile.
    preparing: Option<bool>,
    /// How far it is with the files that its arguments are made of.
    turn: Option<(Executor, Turn)>,
    /// What its outcome is to be kept under.
    key: Option<Box<Key>>,
    /// What few attempts have: files that their arguments were read from, and lines.
    more: Option<Box<More>>,
}

/// What the journal is told of few attempts.
#[derive(Default)]
struct More {
    files: Vec<FileRead>,
    log: VecDeque<LogLine>,
}

/// So many of an attempt's last lines are kept, where it does not succeed.
const LINES: usize = 20;

/// One run.
pub(super) struct Dispatcher {
    workflow: Arc<Workflow>,
    run: RunId,
    /// The trace that it belongs to.
    trace: Option<Trace>,
    placement: Placement,
    /// Nodes that wait for their executors, with their branches and those that are left out.
    unreached: HashMap<NodeId, (u32, Vec<u32>)>,
    /// Groups that could run elsewhere, while it is not known or not minded whether they have to.
    staffing: HashMap<NodeId, Staffing>,
    /// Attempts that executors answered and were not told of: due when the journal has so many facts.
    answered: VecDeque<(u64, Executor, AttemptId)>,
    /// Nodes that run elsewhere than where the file says.
    elsewhere: HashMap<NodeId, Executor>,
    /// An executor that cannot be reached, and nothing may run in its place.
    unreachable: Option<Unreachable>,
    caching: Option<(Caching, Keeper)>,
    scheduler: Scheduler,
    announcer: Announcer,
    recorder: Recorder,
    resumed: Resumed,
    /// The branch whose end was recorded with its attempt's.
    recorded: Option<BranchId>,
    /// Whether the run was asked to stop: then what ends cancelled is still to be run.
    stopping: bool,
    reports: Reports,
    stops: Stops,
    aside: (mpsc::UnboundedSender<Aside>, mpsc::UnboundedReceiver<Aside>),
    scope: Scope,
    branches: Vec<Branches>,
    /// Whether anything refers to a node's value.
    wanted: Vec<bool>,
    /// Whether a node went on elsewhere, so that what waits for it does not run.
    left: Vec<bool>,
    flights: HashMap<AttemptId, Flight, rustc_hash::FxBuildHasher>,
    reading: Reading,
    began: Instant,
    /// When this turn of the loop began. Asking the clock for each branch costs a tenth of all that
    /// the dispatcher does.
    now: Instant,
    /// What the scheduler said and was not done yet.
    actions: VecDeque<Action>,
    /// Where the scheduler writes, empty in between.
    decided: Vec<Action>,
    /// What was said of the last attempt of branches that did not succeed yet.
    errors: HashMap<BranchId, Arc<str>>,
    /// Branches that the cache answered.
    cached: u64,
    /// The ends of groups of several nodes that have not ended as a whole.
    sections: Sections,
    over: Option<(Status, Counts)>,
    /// Of all attempts.
    totals: Totals,
    /// Whether people know that figures are missing in the totals.
    warned_of_metrics: bool,
}

impl Dispatcher {
    pub(super) async fn new(workflow: Arc<Workflow>, settings: Settings) -> Result<Self, RunError> {
        let Settings { executors, reporters, environment, caching, stops, journal, trace } = settings;
        let root = Root::open(&workflow.root, &workflow.folder)
            .map_err(|source| RunError::Root { path: workflow.root.clone(), source })?;
        let secrets = Secrets::read(&workflow, &*environment)?;
        let announcer = Announcer::new(reporters, secrets.clone());
        let caching =
            caching.filter(|_| workflow.nodes.iter().flat_map(Node::tasks).any(|task| task.policy.cache));
        let caching = caching.map(|caching| caching.keeper().map(|keeper| (caching, keeper)));
        let caching = caching.transpose().map_err(RunError::Threads)?;
        let nodes = workflow.nodes.len();
        let outputs = workflow.outputs.iter().map(|output| &output.value);
        let mut wanted =
            Workflow::used(nodes, workflow.nodes.iter().flat_map(Node::expressions).chain(outputs));
        Workflow::use_members(&workflow.nodes, &mut wanted);
        let scope = Scope {
            values: Arc::new(vec![None; nodes]),
            item: None,
            index: 0,
            root: Arc::new(root),
            secrets,
            read: None,
        };
        let run = match journaling::id_of(journal.as_ref()) {
            Some(run) => run,
            None => new_id()?,
        };
        // What workers finished of it meanwhile is known by its calls, and they have the trace.
        let trace = journaling::trace_of(journal.as_ref()).or(trace);
        let of = Of { run: &run, trace, workflow: &workflow };
        let (recorder, mut resumed, channel) = journaling::open(journal, &of, &scope, &wanted)?;
        let interest = announcer.interest();
        let interest = Interest { writes: interest.writes || recorder.is_on(), ..interest };
        let (port, reports) = Port::new(interest, |sink| match channel {
            Some(channel) => channel.telling(sink),
            None => Memory::shared(sink),
        });
        // Nothing is submitted before its executor is open.
        let scheduler = Scheduler::new(Plan::from(&*workflow), workflow.seed, 0);
        let mut branches: Vec<Branches> = std::iter::repeat_with(Branches::default).take(nodes).collect();
        for (node, arguments) in std::mem::take(&mut resumed.starts) {
            if let Some(branches) = branches.get_mut(node.index()) {
                branches.start(arguments, false);
            }
        }
        // The clock starts when all is ready: what is durable may have taken a while.
        let began = Instant::now();
        Ok(Self {
            run,
            trace,
            placement: Placement::new(executors, port),
            unreached: HashMap::new(),
            staffing: HashMap::new(),
            answered: VecDeque::new(),
            elsewhere: HashMap::new(),
            unreachable: None,
            caching,
            scheduler,
            announcer,
            recorder,
            resumed,
            recorded: None,
            stopping: false,
            reports,
            stops,
            aside: mpsc::unbounded_channel(),
            scope,
            branches,
            wanted,
            left: vec![false; nodes],
            reading: Reading::default(),
            flights: HashMap::default(),
            began,
            now: began,
            actions: VecDeque::new(),
            decided: Vec::new(),
            errors: HashMap::new(),
            cached: 0,
            sections: Sections::default(),
            over: None,
            totals: Totals::default(),
            warned_of_metrics: false,
            workflow,
        })
    }

    /// Runs to the end.
    pub(super) async fn run(mut self) -> Result<Ended, RunError> {
        self.announce_start();
        self.decide(Input::Begin);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reports = Vec::new();
        let (status, counts) = loop {
            self.perform();
            self.read_on();
            self.placement.submit();
            self.settle();
            while !self.recorder.has_room() && !self.recorder.has_failed() {
                self.recorder.progress().await;
            }
            if let Some(failure) = self.recorder.failure() {
                return self.give_up(RunError::Journal(failure)).await;
            }
            if let Some(unreachable) = self.unreachable.take() {
                return self.give_up(unreachable.into()).await;
            }
            if let Some(over) = self.over {
                break over;
            }
            let wake = self.scheduler.wake_at().map(|at| self.began + at);
            let woken = tokio::select! {
                () = self.reports.ready() => Woken::Reports,
                Some(aside) = self.aside.1.recv() => Woken::Aside(aside),
                Some(stop) = self.stops.0.recv() => Woken::Stop(stop),
                () = sleep_until(wake) => Woken::Due,
                () = self.recorder.progress() => Woken::Recorded,
                _ = ticks.tick() => Woken::Tick,
            };
            self.now = Instant::now();
            match woken {
                Woken::Reports | Woken::Recorded => {}
                Woken::Aside(aside) => self.aside(aside),
                Woken::Stop(stop) => self.stop(stop),
                Woken::Due => self.decide(Input::Tick),
                Woken::Tick => self.announcer.tick(),
            }
            self.reports.take(&mut reports);
            for report in reports.drain(..) {
                self.report(report);
                // One after the other, so that a branch's end is told right after its attempt's.
                self.perform();
            }
        };
        self.placement.drain().await;
        self.end(status, counts).await
    }

    /// Hands facts to the journal, and to reporters and executors what it has written.
    fn settle(&mut self) {
        self.recorder.hand_over();
        self.announcer.flush(self.recorder.pushed(), self.recorder.written());
        self.tell_recorded();
    }

    /// The journal failed, and nothing more is to happen that it would not know of; or there is nowhere to
    /// go on.
    async fn give_up(mut self, failure: RunError) -> Result<Ended, RunError> {
        let flying: Vec<AttemptId> = self.flights.keys().copied().collect();
        self.placement.announce_cancel();
        self.placement.cancel(&flying, Cause::Interrupted);
        self.placement.drain().await;
        // What the journal has it keeps, and what it has was told.
        let kept = self.recorder.finish();
        if kept.is_ok() {
            self.settle();
        }
        self.announcer.forget_held();
        self.announcer.finish();
        Err(failure)
    }

    fn announce_start(&mut self) {
        let workflow = &self.workflow;
        let whole = workflow.nodes.iter().filter(|node| !node.section.goes_on);
        let started = RunStarted {
            run: self.run.clone(),
            name: Arc::clone(&workflow.name),
            workflow: workflow.digest,
            components: workflow.components.iter().map(|c| (Arc::clone(&c.alias), c.digest)).collect(),
            inputs: workflow
                .inputs
                .iter()
                .map(|input| (Arc::clone(&input.name), crate::interface::to_json(&input.value, &input.ty)))
                .collect(),
            nodes: whole.map(|node| Arc::clone(&node.name)).collect(),
            trace: self.trace,
        };
        self.announcer.announce(None, Fact::RunStarted(Box::new(started)));
    }

    async fn end(mut self, status: Status, counts: Counts) -> Result<Ended, RunError> {
        // Outputs are made of nothing that could still be lost.
        if let Err(failure) = self.recorder.finish() {
            self.announcer.forget_held();
            self.announcer.finish();
            return Err(RunError::Journal(failure));
        }
        self.tell_recorded();
        let has_value = |node: &NodeId| self.scope.values.get(node.index()).is_some_and(Option::is_some);
        let outputs = Outputs::make(&self.workflow, &self.scope, |output| output.needs.iter().all(has_value));
        if let Some(failure) = self.caching.take().and_then(|(_, keeper)| keeper.finish()) {
            let message = format!("{failure}; the next run executes again what could not be kept").into();
            self.announcer.announce(None, Fact::Warning { kind: Warning::CacheFailed, message });
        }
        let counts = Counts { cached: self.cached, ..counts };
        let mut failure = None;
        let status = if outputs.is_err() {
            // Whoever resumes the run makes them anew.
            Status::Failed
        } else {
            let stopped = self.stopping && status != Status::Succeeded;
            self.recorder.record(Instant::now(), Record::RunEnded(RunEnd { status, counts, stopped }));
            failure = self.recorder.finish().err();
            status
        };
        let elapsed = self.began.elapsed();
        let totals = Box::new(std::mem::take(&mut self.totals));
        self.announcer.announce(None, Fact::RunEnded { status, counts, elapsed, totals });
        self.announcer.finish();
        if let Some(failure) = failure {
            return Err(RunError::Journal(failure));
        }
        let outputs = outputs?;
        self.placement.close().await;
        Ok(Ended { run: self.run, status, counts, outputs })
    }

    fn stop(&mut self, stop: Stop) {
        let (input, message) = match stop {
            Stop::Starting => {
                self.placement.announce_cancel();
                (Input::Interrupt, "stopping: running attempts may finish; a second Ctrl-C stops them now")
            }
            Stop::Now => (Input::Abort, "stopping now"),
        };
        let message = message.into();
        self.announcer.announce(None, Fact::Warning { kind: Warning::Interrupted, message });
        self.stopping = true;
        self.decide(input);
        self.read_nothing_more();
    }

    fn aside(&mut self, aside: Aside) {
        match aside {
            Aside::Items(node, items) => self.items(node, items),
            Aside::Arguments(id, arguments, files) => self.has_read(id, arguments, files),
            Aside::Looked(id, arguments, looked) => self.looked(id, arguments, looked),
            Aside::Opened(executor, opened) => self.executor_opened(executor, opened),
            Aside::Staffed(node, staffed) => self.staff_known(node, staffed),
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Started { id } => {
                let flight = self.flights.get_mut(&id);
                let begins = flight.is_some_and(|flight| !std::mem::replace(&mut flight.begun, true));
                if begins && self.announcer.interest().starts {
                    let place = self.place(id);
                    self.announcer.announce(place, Fact::AttemptStarted);
                }
            }
            Report::Log { id, level, stream, message, cut } => {
                self.keep_line(id, LogLine { level, stream, message: Arc::clone(&message), cut });
                let place = self.place(id);
                self.announcer.announce(place, Fact::Log { level, stream, message, cut });
            }
            Report::Progress { id, done, total, message } => {
                let place = self.place(id);
                self.announcer.announce(place, Fact::Progress { done, total, message });
            }
            Report::Channel { id, write } => {
                self.record_write(&write);
                if self.announcer.interest().writes {
                    let place = self.place(id);
                    self.announcer.announce(place, Fact::ChannelWrite(write));
                }
            }
            Report::Returned { id } => self.returned(id),
            Report::Finished { id, outcome, usage, worker } => self.finished(id, outcome, usage, worker),
            Report::Warning { kind, message } => {
                self.announcer.announce(None, Fact::Warning { kind, message })
            }
            Report::GroupWarning { node, kind, message } => self.warn(node, kind, &message),
            Report::KeptOut { node } => self.decide(Input::KeptOut { node }),
        }
    }

    /// Hands an input to the scheduler. What it says is done by [`Dispatcher::perform`], so that no
    /// chain of decisions becomes a chain of calls.
    fn decide(&mut self, input: Input) {
        let since_start = self.now.saturating_duration_since(self.began);
        self.scheduler.handle(input, since_start, &mut self.decided);
        self.actions.extend(self.decided.drain(..));
    }

    fn perform(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Open { node } => self.open(node),
                Action::Submit { id } => self.submit(id),
                Action::Cancel { id, cause } => self.cancel(id, cause),
                // Told with the attempt's end.
                Action::Retry { .. } => {}
                Action::Settled { node, cause } => {
                    if let Some(branches) = self.branches.get_mut(node.index()) {
                        branches.settled = Some(cause);
                    }
                }
                Action::BreakerOpened { node } => {
                    let said = self.workflow.nodes.get(node.index()).map(reasons::breaker_opened);
                    self.warn(node, Warning::BreakerOpened, &said.unwrap_or_default());
                }
                Action::BreakerClosed { node } => {
                    self.warn(node, Warning::BreakerClosed, "breaker closed: a probe succeeded");
                }
                Action::Ended { branch, ending, attempts } => self.ended(branch, ending, attempts),
                Action::EndedUnstarted { node, range } => {
                    self.record_unstarted(node, &range);
                    if self.announcer.interest().successes {
                        for index in range {
                            self.tell_end(BranchId { node, index }, Ending::Cancelled, 0);
                        }
                    }
                }
                Action::Closed { node, status, counts, because } => {
                    self.closed(node, status, counts, because)
                }
                Action::Over { status, counts } => self.over = Some((status, counts)),
            }
        }
    }

    fn warn(&mut self, node: NodeId, kind: Warning, message: &str) {
        let place = self.node_place(node);
        self.announcer.announce(place, Fact::Warning { kind, message: message.into() });
    }

    fn place(&self, id: AttemptId) -> Option<Place> {
        if !self.announcer.is_heard() {
            return None;
        }
        let node = self.workflow.nodes.get(id.branch.node.index())?;
        let task = node.task(id.branch.index)?;
        let index = match node.kind {
            Kind::Group(_) | Kind::Started(_) => Some(id.branch.index),
            Kind::Task(_) | Kind::Best(_) => None,
        };
        Some(Place {
            index,
            group: node.group().map(Arc::clone),
            task: Some(Arc::clone(&task.name)),
            attempt: Some(id.number).filter(|number| *number > 0),
            executor: Some(self.executor_of(id.branch.node, task)),
            worker: None,
            id: Some(id).filter(|id| id.number > 0),
        })
    }

    fn node_place(&self, id: NodeId) -> Option<Place> {
        let node = self.workflow.nodes.get(id.index())?;
        let name = Some(Arc::clone(&node.name));
        let executor = node.tasks().next().map(|task| self.executor_of(id, task));
        Some(match node.group() {
            None => Place { task: name, executor, ..Place::default() },
            Some(_) => Place { group: name, executor, ..Place::default() },
        })
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
