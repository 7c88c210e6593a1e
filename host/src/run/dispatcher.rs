//! The one loop of a run. It alone orders events; all decisions about tasks are the scheduler's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::announce::Announcer;
use super::branches::{Branches, Making, Opening};
use super::cached::{self, Caching, Keeper, Looked};
use super::evaluate::{EvaluateError, Scope};
use super::items::ItemsError;
use super::reasons;
use super::recorder::{AttemptNote, RecordError, Recorder};
use super::resume::{Resumed, ResumedNode};
use super::root::Root;
use super::secrets::Secrets;
use super::sections::{End, Sections};
use super::split::BranchItems;
use super::{Ended, Outputs, RunError, Settings, Stop, Stops, new_id};
use super::{join, journaling};
use crate::cache::Key;
use crate::channel::Memory;
use crate::digest::Digest;
use crate::executor::{Executor, Port, Report, Reports};
use crate::id::{AttemptId, BranchId, NodeId, RunId};
use crate::journal::{Again, FileRead, LogLine, Record, RunEnd};
use crate::model::{
    Attempt, Best, Call, Cause, ChannelWrite, Counts, Ending, Expr, Fact, Form, Group, Items, Kind, Node,
    Outcome, Place, RunStarted, Status, Task, Totals, Usage, Value, Warning, Workflow,
};
use crate::report::Interest;
use crate::schedule::{Action, Input, Plan, Recorded, Scheduler};

/// How often displays move.
const TICK: Duration = Duration::from_millis(100);

/// What was done aside because it may block.
enum Aside {
    Items(NodeId, Result<(BranchItems, u32), ItemsError>),
    Arguments(AttemptId, Result<Vec<Value>, EvaluateError>, Vec<FileRead>),
    Looked(AttemptId, Vec<Value>, Looked),
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
    /// Set while its arguments are still being made, or looked for in the cache, with whether it was
    /// cancelled meanwhile.
    preparing: Option<bool>,
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
    executor: Arc<dyn Executor>,
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
    flights: HashMap<AttemptId, Flight, rustc_hash::FxBuildHasher>,
    submitting: Vec<Attempt>,
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
        let Settings { executor, reporters, environment, caching, stops, journal } = settings;
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
        let wanted = Workflow::used(nodes, workflow.nodes.iter().flat_map(Node::expressions).chain(outputs));
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
        let (recorder, resumed, channel) = journaling::open(journal, &run, &workflow, &scope, &wanted)?;
        let interest = announcer.interest();
        let interest = Interest { writes: interest.writes || recorder.is_on(), ..interest };
        let (port, reports) = Port::new(interest, |sink| match channel {
            Some(channel) => channel.telling(sink),
            None => Memory::shared(sink),
        });
        let capacity = executor.open(port).await?;
        let scheduler =
            Scheduler::new(Plan::from(&*workflow), workflow.seed, capacity.slots + capacity.ahead);
        // The clock starts when all is ready: what is durable may have taken a while.
        let began = Instant::now();
        Ok(Self {
            run,
            executor,
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
            branches: std::iter::repeat_with(Branches::default).take(nodes).collect(),
            wanted,
            flights: HashMap::default(),
            submitting: Vec::new(),
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
            if !self.submitting.is_empty() {
                self.executor.submit(std::mem::take(&mut self.submitting));
            }
            self.settle();
            while !self.recorder.has_room() && !self.recorder.has_failed() {
                self.recorder.progress().await;
            }
            if let Some(failure) = self.recorder.failure() {
                return self.give_up(failure).await;
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
        self.executor.drain().await;
        self.end(status, counts)
    }

    /// Hands facts to the journal, and to reporters what it has written.
    fn settle(&mut self) {
        self.recorder.hand_over();
        self.announcer.flush(self.recorder.pushed(), self.recorder.written());
    }

    /// The journal failed: nothing more is to happen that it would not know of.
    async fn give_up(mut self, failure: RecordError) -> Result<Ended, RunError> {
        let flying: Vec<AttemptId> = self.flights.keys().copied().collect();
        self.executor.announce_cancel();
        self.executor.cancel(&flying, Cause::Interrupted);
        self.executor.drain().await;
        self.announcer.forget_held();
        self.announcer.finish();
        Err(RunError::Journal(failure))
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
        };
        self.announcer.announce(None, Fact::RunStarted(Box::new(started)));
    }

    fn end(mut self, status: Status, counts: Counts) -> Result<Ended, RunError> {
        // Outputs are made of nothing that could still be lost.
        if let Err(failure) = self.recorder.finish() {
            self.announcer.forget_held();
            self.announcer.finish();
            return Err(RunError::Journal(failure));
        }
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
        Ok(Ended { run: self.run, status, counts, outputs: outputs? })
    }

    fn stop(&mut self, stop: Stop) {
        let (input, message) = match stop {
            Stop::Starting => {
                self.executor.announce_cancel();
                (Input::Interrupt, "stopping: running attempts may finish; a second Ctrl-C stops them now")
            }
            Stop::Now => (Input::Abort, "stopping now"),
        };
        let message = message.into();
        self.announcer.announce(None, Fact::Warning { kind: Warning::Interrupted, message });
        self.stopping = true;
        self.decide(input);
    }

    fn aside(&mut self, aside: Aside) {
        match aside {
            Aside::Items(node, items) => self.items(node, items),
            Aside::Arguments(id, arguments, files) => {
                match self.flights.get_mut(&id).map(|flight| flight.preparing.take()) {
                    Some(Some(false)) => {
                        if let Some(flight) = self.flights.get_mut(&id).filter(|_| !files.is_empty()) {
                            flight.more.get_or_insert_default().files = files;
                        }
                        self.submit_with(id, arguments);
                    }
                    Some(Some(true)) => self.returned(id),
                    Some(None) | None => {}
                }
            }
            Aside::Looked(id, arguments, looked) => self.looked(id, arguments, looked),
        }
    }

    fn looked(&mut self, id: AttemptId, arguments: Vec<Value>, looked: Looked) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        match (flight.preparing.take(), looked) {
            (Some(true), _) => self.returned(id),
            (_, Looked::Missing(key)) => {
                flight.key = Some(Box::new(key));
                self.hand_over(id, arguments);
            }
            (_, Looked::Found(value, metrics)) => {
                self.cached += 1;
                if let Some(branches) = self.branches.get_mut(id.branch.node.index()) {
                    branches.cached += 1;
                }
                let usage = Usage { metrics, ..Usage::default() };
                self.ended_so(id, Outcome::Succeeded(value), usage, true);
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Started { id } => {
                if self.announcer.interest().starts {
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
            Report::Finished { id, outcome, usage } => self.finished(id, outcome, usage),
            Report::Warning { kind, message } => {
                self.announcer.announce(None, Fact::Warning { kind, message })
            }
        }
    }

    /// Keeps a change of the channel for the journal; of one that holds a secret, that there was one.
    fn record_write(&mut self, write: &ChannelWrite) {
        if self.recorder.is_on() {
            let sequence = write.sequence;
            let write = (!self.scope.secrets.are_in_write(write)).then(|| Box::new(write.clone()));
            self.recorder.record(self.now, Record::ChannelWritten { sequence, write });
        }
    }

    /// Keeps a line for the journal, in case that its attempt does not succeed.
    fn keep_line(&mut self, id: AttemptId, mut line: LogLine) {
        if !self.recorder.is_on() {
            return;
        }
        line.message = self.scope.secrets.redact(line.message);
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let log = &mut flight.more.get_or_insert_default().log;
        if log.len() == LINES {
            log.pop_front();
        }
        log.push_back(line);
    }

    fn returned(&mut self, id: AttemptId) {
        if self.flights.remove(&id).is_some() {
            self.decide(Input::Returned { id });
        }
    }

    fn finished(&mut self, id: AttemptId, outcome: Outcome, usage: Usage) {
        self.ended_so(id, outcome, usage, false);
    }

    fn ended_so(&mut self, id: AttemptId, outcome: Outcome, mut usage: Usage, cached: bool) {
        let Some(flight) = self.flights.remove(&id) else {
            // Not one of ours, or no longer: the scheduler counts and drops it.
            return self.decide(Input::Finished { id, ending: outcome.ending(), permanent: false });
        };
        let ending = outcome.ending();
        let permanent = matches!(outcome, Outcome::Failed { permanent: true, .. });
        let error: Option<Arc<str>> = outcome.message().map(Into::into);
        if let (Outcome::Succeeded(value), Some(key)) = (&outcome, flight.key) {
            self.keep(id, *key, value.clone(), usage.clone());
        }
        self.sum_up(id, &mut usage);
        let elapsed = self.now.saturating_duration_since(flight.since);
        let value = match &outcome {
            Outcome::Succeeded(value) if self.recorder.is_on() && self.is_wanted(id.branch.node) => {
                Some(value.clone())
            }
            _ => None,
        };
        if let (Outcome::Succeeded(value), Some(branches)) =
            (outcome, self.branches.get_mut(id.branch.node.index()))
        {
            branches.keep(id.branch.index, value);
        }
        match &error {
            Some(error) => drop(self.errors.insert(id.branch, Arc::clone(error))),
            None if self.errors.is_empty() => {}
            None => drop(self.errors.remove(&id.branch)),
        }
        let decided = self.actions.len();
        self.decide(Input::Finished { id, ending, permanent });
        if self.recorder.is_on() {
            let last = self.actions.range(decided..).any(|action| {
                matches!(action, Action::Ended { branch, ending: ended, .. } if *branch == id.branch && *ended == ending)
            });
            let error = error.as_ref().map(|error| self.scope.secrets.redact(Arc::clone(error)));
            let more = flight.more.map_or_else(More::default, |more| *more);
            let log = if ending == Ending::Succeeded { Vec::new() } else { more.log.into() };
            let files = more.files;
            let usage = usage.clone();
            let note = AttemptNote { id, ending, last, elapsed, usage, cached, error, value, files, log };
            self.record_attempt(note);
        }
        if ending != Ending::Succeeded || self.announcer.interest().successes {
            let retry_in = self.actions.range(decided..).find_map(|action| match action {
                Action::Retry { id: again, delay } if *again == id => Some(*delay),
                _ => None,
            });
            for (name, amount) in usage.metrics.iter() {
                let place = self.place(id);
                self.announcer.announce(place, Fact::Metric { name: Arc::clone(name), amount });
            }
            let fact = Fact::AttemptEnded { ending, elapsed, usage, cached, error, retry_in };
            let place = self.place(id);
            self.announcer.announce(place, fact);
        }
    }

    /// Keeps an outcome for later runs.
    fn keep(&self, id: AttemptId, key: Key, value: Value, usage: Usage) {
        if let (Some((_, keeper)), Some(call), Some(task)) = (&self.caching, self.call(id), self.task(id)) {
            let executor = task.policy.executor.name();
            keeper.keep(cached::Outcome { key, call, value, usage, executor });
        }
    }

    /// Records the end of an attempt, unless it is to be made again when the run goes on.
    fn record_attempt(&mut self, note: AttemptNote) {
        if self.stopping && note.ending == Ending::Cancelled {
            return;
        }
        if note.last {
            self.recorded = Some(note.id.branch);
        }
        self.recorder.attempt(self.now, note);
    }

    /// Whether anything refers to a node's value.
    fn is_wanted(&self, node: NodeId) -> bool {
        self.wanted.get(node.index()).copied().unwrap_or(true)
    }

    fn task(&self, id: AttemptId) -> Option<&Task> {
        self.workflow.nodes.get(id.branch.node.index())?.task(id.branch.index)
    }

    /// Adds what an attempt used to the totals of its node and of the run.
    fn sum_up(&mut self, id: AttemptId, usage: &mut Usage) {
        let secrets = &self.scope.secrets;
        if !usage.metrics.is_empty() && !secrets.is_empty() {
            usage.metrics = usage.metrics.renamed(|name| secrets.redact(name));
        }
        let branches = self.branches.get_mut(id.branch.node.index());
        let of_node = branches.is_none_or(|branches| branches.totals.add(usage));
        let whole = self.totals.add(usage) && of_node;
        if !whole && !self.warned_of_metrics {
            self.warned_of_metrics = true;
            let message =
                "tasks reported figures of more than 256 names: the totals leave further names out".into();
            self.announcer.announce(None, Fact::Warning { kind: Warning::MetricsDropped, message });
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

    fn open(&mut self, id: NodeId) {
        let workflow = Arc::clone(&self.workflow);
        let Some(node) = workflow.nodes.get(id.index()) else { return };
        match node.when.as_ref().map_or(Ok(true), |when| self.holds(when)) {
            Ok(true) => {}
            Ok(false) => {
                self.because(id, "its `when` is false");
                return self.decide(Input::Skipped { node: id });
            }
            Err(error) => return self.refuse(id, &format!("its `when`: {error}")),
        }
        match &node.kind {
            Kind::Task(_) => self.opened(id, 1, Vec::new()),
            Kind::Group(Group { form: Form::Tasks(members), .. }) => {
                let mut left_out = Vec::new();
                for (index, member) in (0..).zip(members) {
                    match member.when.as_ref().map_or(Ok(true), |when| self.holds(when)) {
                        Ok(true) => {}
                        Ok(false) => left_out.push(index),
                        Err(error) => {
                            return self.refuse(id, &format!("`when` of `{}`: {error}", member.task.name));
                        }
                    }
                }
                let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
                self.opened(id, count, left_out);
            }
            Kind::Best(best) => match self.best(best) {
                Ok(value) => {
                    if let Some(branches) = self.branches.get_mut(id.index()) {
                        branches.keep_whole(value);
                    }
                    self.decide(Input::Opened { node: id, branches: 0, left_out: Vec::new() });
                }
                Err(reason) => self.refuse(id, &reason),
            },
            Kind::Group(Group { form: Form::ForEach { items, split, .. }, max_branches, .. }) => {
                let may_block = match items {
                    Items::Files { .. } | Items::Lines { .. } | Items::Jsonl { .. } => true,
                    Items::List(expr) => expr.reads_files(),
                    Items::Range { .. } | Items::Literal(_) | Items::Matrix(_) => false,
                };
                let (split, bound) = (*split, *max_branches);
                if !may_block {
                    return self.items(id, BranchItems::open(items, split, &self.scope, bound));
                }
                let (sender, scope, items) = (self.aside.0.clone(), self.scope.clone(), items.clone());
                tokio::task::spawn_blocking(move || {
                    // The receiver lives as long as the run; after it nobody needs the items.
                    let opened = BranchItems::open(&items, split, &scope, bound);
                    let _ = sender.send(Aside::Items(id, opened));
                });
            }
        }
    }

    fn holds(&self, when: &Expr) -> Result<bool, EvaluateError> {
        match self.scope.evaluate(when)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(EvaluateError::Shape),
        }
    }

    /// The value that is chosen, or why there is none.
    fn best(&self, best: &Best) -> Result<Value, String> {
        match self.scope.evaluate(&best.from).map_err(|error| error.to_string())? {
            Value::List(values) => {
                join::best(&values, best.field, &best.name).map_err(|error| error.to_string())
            }
            _ => Err(EvaluateError::Shape.to_string()),
        }
    }

    fn items(&mut self, node: NodeId, items: Result<(BranchItems, u32), ItemsError>) {
        // An interrupted run closes what still looks for its items.
        if self.branches.get(node.index()).is_none_or(|branches| branches.closed) {
            return;
        }
        match items {
            Ok((items, count)) => {
                if let Some(branches) = self.branches.get_mut(node.index()) {
                    branches.items = Some(items);
                }
                self.opened(node, count, Vec::new());
            }
            Err(error) => self.refuse(node, &error.to_string()),
        }
    }

    fn opened(&mut self, id: NodeId, count: u32, left_out: Vec<u32>) {
        let workflow = Arc::clone(&self.workflow);
        let (Some(node), Some(branches)) =
            (workflow.nodes.get(id.index()), self.branches.get_mut(id.index()))
        else {
            return;
        };
        let left = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
        if let Some(reason) = reasons::hopeless(node, count.saturating_sub(left)) {
            return self.refuse(id, &reason);
        }
        let keep = self.wanted.get(id.index()).copied().unwrap_or(true);
        let items = match self.recorder.is_on() {
            true => branches.items.as_ref().and_then(BranchItems::digest),
            false => None,
        };
        let making = Making {
            run: &self.run,
            seed: workflow.seed,
            components: &workflow.components,
            secrets: &self.scope.secrets,
        };
        branches.open(node, Opening { count, left_out: &left_out, keep }, &making);
        let started = u64::from(count) - left_out.len() as u64;
        let started = match &node.kind {
            Kind::Group(group) => Some((Some(started), group.concurrency)),
            // How many branches there will be is known once the task that splits has succeeded.
            Kind::Task(_) if node.section.goes_on => Some((None, None)),
            Kind::Task(_) | Kind::Best(_) if node.section.follows => None,
            Kind::Task(_) | Kind::Best(_) => Some((Some(started), None)),
        };
        if let Some((branches, concurrency)) = started {
            let place = self.node_place(id);
            self.announcer.announce(place, Fact::GroupStarted { branches, concurrency });
        }
        let name = node.recorded_as();
        let known = self.known(id, count, items);
        if known.as_ref().is_none_or(|known| known.opened.is_none()) {
            self.recorder.record(self.now, Record::GroupStarted { node: name, branches: count, items });
        }
        if let Some(known) = known {
            self.recall(id, known);
        }
        self.decide(Input::Opened { node: id, branches: count, left_out });
    }

    /// What is known from before of a node that opens with these items.
    fn known(&mut self, id: NodeId, count: u32, items: Option<Digest>) -> Option<ResumedNode> {
        let known = self.resumed.take(id)?;
        if known.opened.is_none_or(|(branches, then)| branches == count && then == items) {
            return Some(known);
        }
        // The list comes from a task that ran again and made another.
        let reason = "its items are not those of the recorded run: all its branches run again";
        let node = self.workflow.nodes.get(id.index())?.recorded_as();
        let again = Again { node, branches: Vec::new(), reason: reason.to_owned() };
        self.recorder.record(self.now, Record::Discarded(again));
        let fact = Fact::Warning { kind: Warning::RunsAgain, message: reason.into() };
        let place = self.node_place(id);
        self.announcer.announce(place, fact);
        let begun = known.branches.into_iter().map(|branch| Recorded {
            before: branch.attempts,
            lost: 0,
            ended: None,
            ..branch
        });
        Some(ResumedNode { branches: begun.collect(), ..ResumedNode::default() })
    }

    /// Takes over what is known from before.
    fn recall(&mut self, id: NodeId, known: ResumedNode) {
        let ResumedNode { branches: recorded, values, mut errors, .. } = known;
        if recorded.is_empty() {
            return;
        }
        if let Some(branches) = self.branches.get_mut(id.index()) {
            for (index, value) in values {
                branches.keep(index, value);
            }
        }
        let mut succeeded = 0;
        for known in &recorded {
            let Some(ending) = known.ended else { continue };
            if ending == Ending::Succeeded {
                succeeded += 1;
                continue;
            }
            if let Some(error) = errors.remove(&known.index) {
                self.errors.insert(BranchId { node: id, index: known.index }, error);
            }
            self.tell_end(BranchId { node: id, index: known.index }, ending, known.attempts);
        }
        if succeeded > 0 {
            let place = self.node_place(id);
            self.announcer.announce(place, Fact::Recorded { succeeded });
        }
        self.decide(Input::Recorded { node: id, branches: recorded });
    }

    fn because(&mut self, node: NodeId, reason: &str) {
        if let Some(branches) = self.branches.get_mut(node.index()) {
            branches.reason = Some(reason.into());
        }
    }

    fn refuse(&mut self, node: NodeId, reason: &str) {
        self.because(node, reason);
        self.decide(Input::Refused { node });
    }

    fn submit(&mut self, id: AttemptId) {
        let BranchId { node, index } = id.branch;
        let workflow = Arc::clone(&self.workflow);
        let Some(task) = workflow.nodes.get(node.index()).and_then(|node| node.task(index)) else { return };
        let Some(branches) = self.branches.get(node.index()) else { return };
        let aside = branches.call(index).is_some_and(|(_, may_block)| *may_block);
        let preparing = aside.then_some(false);
        self.flights.insert(id, Flight { since: self.now, preparing, key: None, more: None });
        let make = move |items: Option<&BranchItems>| {
            items.map(|items| items.item(index)).transpose().map_err(EvaluateError::NoItem)
        };
        if !aside {
            let arguments = make(branches.items.as_ref()).and_then(|item| {
                self.scope.item = item;
                self.scope.index = index;
                self.scope.all(&task.arguments)
            });
            return self.submit_with(id, arguments);
        }
        let read = self.recorder.is_on().then(Arc::<Mutex<Vec<FileRead>>>::default);
        let scope = Scope { read: read.clone(), ..self.scope.clone() };
        let (sender, arguments) = (self.aside.0.clone(), task.arguments.clone());
        let items = branches.items.clone();
        tokio::task::spawn_blocking(move || {
            let arguments =
                make(items.as_ref()).and_then(|item| Scope { item, index, ..scope }.all(&arguments));
            let take = |read: Arc<Mutex<Vec<_>>>| {
                std::mem::take(&mut *read.lock().unwrap_or_else(PoisonError::into_inner))
            };
            // As above.
            let _ = sender.send(Aside::Arguments(id, arguments, read.map(take).unwrap_or_default()));
        });
    }

    fn submit_with(&mut self, id: AttemptId, arguments: Result<Vec<Value>, EvaluateError>) {
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err(error) => return self.reject(id, error.to_string()),
        };
        let cache = self.task(id).is_some_and(|task| task.policy.cache);
        match &self.caching {
            Some((caching, _)) if cache => {
                let Some(call) = self.call(id) else { return };
                if let Some(flight) = self.flights.get_mut(&id) {
                    flight.preparing = Some(false);
                }
                let (sender, caching) = (self.aside.0.clone(), caching.clone());
                tokio::task::spawn_blocking(move || {
                    let looked = caching.look(&call, &arguments);
                    // As above.
                    let _ = sender.send(Aside::Looked(id, arguments, looked));
                });
            }
            Some(_) | None => self.hand_over(id, arguments),
        }
    }

    fn hand_over(&mut self, id: AttemptId, arguments: Vec<Value>) {
        if let Some(call) = self.call(id) {
            self.submitting.push(Attempt { id, call, arguments });
        }
    }

    fn call(&self, id: AttemptId) -> Option<Arc<Call>> {
        let (call, _) = self.branches.get(id.branch.node.index())?.call(id.branch.index)?;
        Some(Arc::clone(call))
    }

    fn reject(&mut self, id: AttemptId, reason: String) {
        self.finished(id, Outcome::Rejected { reason }, Usage::default());
    }

    fn cancel(&mut self, id: AttemptId, cause: Cause) {
        match self.flights.get_mut(&id) {
            Some(Flight { preparing: Some(cancelled), .. }) => *cancelled = true,
            Some(_) => {
                if let Some(at) = self.submitting.iter().position(|attempt| attempt.id == id) {
                    self.submitting.remove(at);
                    self.returned(id);
                } else {
                    self.executor.cancel(&[id], cause);
                }
            }
            None => {}
        }
    }

    fn ended(&mut self, branch: BranchId, ending: Ending, attempts: u32) {
        if self.recorded.take() != Some(branch) {
            // It ended otherwise than its last attempt, or waited for one.
            self.record_attempt(AttemptNote {
                id: AttemptId { branch, number: attempts },
                ending,
                last: true,
                elapsed: Duration::ZERO,
                usage: Usage::default(),
                cached: false,
                error: self.errors.get(&branch).map(|error| self.scope.secrets.redact(Arc::clone(error))),
                value: None,
                files: Vec::new(),
                log: Vec::new(),
            });
            self.recorded = None;
        }
        self.tell_end(branch, ending, attempts);
    }

    fn record_unstarted(&mut self, node: NodeId, range: &std::ops::Range<u32>) {
        if self.stopping {
            return;
        }
        if let Some(node) = self.workflow.nodes.get(node.index()) {
            let (node, from, to) = (node.recorded_as(), range.start, range.end);
            self.recorder.record(self.now, Record::Unstarted { node, from, to });
        }
    }

    fn tell_end(&mut self, branch: BranchId, ending: Ending, attempts: u32) {
        if ending == Ending::Succeeded && attempts == 1 && !self.announcer.interest().successes {
            return;
        }
        let mut error = self.errors.remove(&branch);
        let settled = self.branches.get(branch.node.index()).and_then(|branches| branches.settled);
        if let (Ending::Cancelled, Some(cause)) = (ending, settled) {
            error = Some(reasons::of_cancelled(cause, error.as_deref()).into());
        }
        if let (Some(node), Some(branches)) =
            (self.workflow.nodes.get(branch.node.index()), self.branches.get_mut(branch.node.index()))
            && ending != Ending::Succeeded
        {
            branches.fail(node, branch.index, ending, error.as_deref());
        }
        let place = self.place(AttemptId { branch, number: attempts });
        self.announcer.announce(place, Fact::TaskEnded { ending, attempts, error });
    }

    fn closed(&mut self, id: NodeId, status: Status, counts: Counts, because: Option<NodeId>) {
        let workflow = Arc::clone(&self.workflow);
        let (Some(node), Some(branches)) =
            (workflow.nodes.get(id.index()), self.branches.get_mut(id.index()))
        else {
            return;
        };
        if status == Status::Succeeded
            && let Some(value) = branches.join(node)
            && let Some(slot) = Arc::make_mut(&mut self.scope.values).get_mut(id.index())
        {
            *slot = Some(value);
        }
        let branches = branches.close();
        let counts = Counts { cached: branches.cached, ..counts };
        if status != Status::Cancelled || !self.stopping {
            let node = node.recorded_as();
            self.recorder.record(self.now, Record::GroupEnded { node, status, counts });
        }
        let because = because.and_then(|node| workflow.nodes.get(node.index()));
        let waits = || because.map(|node| format!("it waits for `{}`, which has no value", node.name).into());
        let ended = || reasons::of_group(node, branches.settled, &counts, status).map(Into::into);
        let opened = branches.opened;
        let reason = branches.reason.or_else(waits).or_else(|| ended().filter(|_| opened.is_some()));
        let end = End { status, counts, opened, totals: branches.totals, reason };
        let Some(End { status, counts, opened, totals, reason }) = self.sections.end(node, end) else {
            return;
        };
        let elapsed = opened.map(|opened| opened.elapsed()).unwrap_or_default();
        let fact = Fact::GroupEnded { status, counts, elapsed, totals: Box::new(totals), reason };
        let place = self.node_place(id);
        self.announcer.announce(place, fact);
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
            Kind::Group(_) => Some(id.branch.index),
            Kind::Task(_) | Kind::Best(_) => None,
        };
        Some(Place {
            index,
            group: node.group().map(Arc::clone),
            task: Some(Arc::clone(&task.name)),
            attempt: Some(id.number),
            executor: Some(task.policy.executor.name()),
        })
    }

    fn node_place(&self, id: NodeId) -> Option<Place> {
        let node = self.workflow.nodes.get(id.index())?;
        let name = Some(Arc::clone(&node.name));
        let executor = node.tasks().next().map(|task| task.policy.executor.name());
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
