//! Attempts of a run from their arguments to their ends: looked for in the cache, handed over, told and
//! summed up.

use std::sync::Arc;
use std::time::Duration;

use super::super::cached::{self, Looked};
use super::super::evaluate::{EvaluateError, Item};
use super::super::reading::Turn;
use super::super::reasons;
use super::super::recorder::AttemptNote;
use super::super::split::BranchItems;
use super::flow::{Flow, aborted};
use super::{Aside, Dispatcher, Flight, More};
use crate::cache::Key;
use crate::id::{AttemptId, BranchId, NodeId};
use crate::journal::Asked;
use crate::model::{
    Attempt, Call, Cause, Ending, Executor, Fact, Outcome, Place, Task, Totals, Usage, Value, Warning,
};
use crate::schedule::{Action, Input};

/// By what an attempt ended.
enum By {
    /// Its outcome was known.
    Cache,
    /// It was never handed over.
    Nobody,
    /// It executed, in this worker if it was in one.
    Execution(Option<Arc<str>>),
}

impl Dispatcher {
    pub(super) fn looked(&mut self, id: AttemptId, arguments: Vec<Value>, looked: Looked) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        match (flight.preparing.take(), looked) {
            (Some(true), _) => self.returned(id),
            (_, Looked::Missing(key)) => {
                flight.key = Some(Box::new(key));
                self.hand_over(id, arguments);
            }
            (_, Looked::Found(key, value, metrics)) => {
                flight.key = Some(Box::new(key));
                self.cached += 1;
                if let Some(branches) = self.branches.get_mut(id.branch.node.index()) {
                    branches.cached += 1;
                }
                let usage = Usage { metrics, ..Usage::default() };
                self.ended_so(id, Outcome::Succeeded(value), usage, By::Cache);
            }
        }
    }

    pub(super) fn returned(&mut self, id: AttemptId) {
        if let Some(flight) = self.flights.remove(&id) {
            self.needs_no_files(id, &flight);
            self.decide(Input::Returned { id });
        }
    }

    /// An attempt ended where it executed: in that worker, if its executor has any.
    pub(super) fn finished(
        &mut self,
        id: AttemptId,
        outcome: Outcome,
        usage: Usage,
        worker: Option<Arc<str>>,
    ) {
        self.ended_so(id, outcome, usage, By::Execution(worker));
    }

    fn ended_so(&mut self, id: AttemptId, outcome: Outcome, mut usage: Usage, by: By) {
        let (cached, executed, worker) = match by {
            By::Cache => (true, false, None),
            By::Nobody => (false, false, None),
            By::Execution(worker) => (false, true, worker),
        };
        let Some(flight) = self.flights.remove(&id) else {
            // Not one of ours, or no longer: the scheduler counts and drops it.
            let ending = outcome.ending();
            return self.decide(Input::Finished { id, ending, permanent: false, again: false, ends: None });
        };
        self.needs_no_files(id, &flight);
        let (outcome, mut flow) = match (outcome, self.understand(id, usage.requests.take())) {
            (outcome @ Outcome::Succeeded(_), Ok(flow)) => (aborted(outcome, flow.aborts.as_deref()), flow),
            (Outcome::Succeeded(_), Err(message)) => {
                (Outcome::Failed { message, permanent: true }, Flow::default())
            }
            (outcome, _) => (outcome, Flow::default()),
        };
        let again = flow.again.is_some();
        let ending = outcome.ending();
        let permanent = matches!(
            outcome,
            Outcome::Failed { permanent: true, .. } | Outcome::Lost { exhausted: true, .. }
        );
        let error: Option<Arc<str>> = outcome.message().map(Into::into);
        let key = flight.key;
        if let (Outcome::Succeeded(value), Some(key), false) = (&outcome, &key, cached) {
            self.keep(id, (**key).clone(), value.clone(), usage.clone());
        }
        self.sum_up(id, &mut usage);
        let elapsed = self.now.saturating_duration_since(flight.since);
        let wanted = self.is_wanted(id.branch.node);
        let value = match &outcome {
            Outcome::Succeeded(value)
                if self.recorder.is_on() && !again && (wanted || self.is_deterministic(id)) =>
            {
                Some(value.clone())
            }
            _ => None,
        };
        if let (Outcome::Succeeded(value), Some(branches), false) =
            (outcome, self.branches.get_mut(id.branch.node.index()), again)
        {
            branches.keep(id.branch.index, value);
        }
        match &error {
            Some(error) => drop(self.errors.insert(id.branch, Arc::clone(error))),
            None if self.errors.is_empty() => {}
            None => drop(self.errors.remove(&id.branch)),
        }
        self.begin_flow(id, &mut flow);
        let decided = self.actions.len();
        let ends = flow.ends;
        self.decide(Input::Finished { id, ending, permanent, again, ends });
        if self.recorder.is_on() {
            let last = self.actions.range(decided..).any(|action| {
                matches!(action, Action::Ended { branch, ending: ended, .. } if *branch == id.branch && *ended == ending)
            });
            let error = error.as_ref().map(|error| self.scope.secrets.redact(Arc::clone(error)));
            let more = flight.more.map_or_else(More::default, |more| *more);
            let log = if ending == Ending::Succeeded { Vec::new() } else { more.log.into() };
            let files = more.files;
            let usage = usage.clone();
            let asked = std::mem::take(&mut flow.record);
            let note = AttemptNote {
                id,
                ending,
                last,
                elapsed,
                usage,
                executor: self.executed_by(id),
                worker: worker.clone(),
                cached,
                key,
                error,
                value,
                wanted,
                asked,
                files,
                log,
            };
            self.record_attempt(note);
        }
        if executed {
            self.answered(self.executed_by(id), id);
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
            let place = self.place(id).map(|place| Place { worker, ..place });
            self.announcer.announce(place, fact);
        }
    }

    /// Keeps an outcome for later runs, if it comes from where that is wanted.
    pub(super) fn keep(&self, id: AttemptId, key: Key, value: Value, usage: Usage) {
        if let (Some((caching, keeper)), Some(call)) = (&self.caching, self.call(id)) {
            let executor = self.executed_by(id);
            if !caching.keeps(&executor) {
                return;
            }
            keeper.keep(cached::Outcome { key, call, value, usage, executor });
        }
    }

    /// Adds what an attempt used to the totals of its node and of the run.
    pub(super) fn sum_up(&mut self, id: AttemptId, usage: &mut Usage) {
        let secrets = &self.scope.secrets;
        if !usage.metrics.is_empty() && !secrets.is_empty() {
            usage.metrics = usage.metrics.renamed(|name| secrets.redact(name));
        }
        let branches = self.branches.get_mut(id.branch.node.index());
        let of_node = branches.is_none_or(|branches| branches.totals.add(usage));
        let whole = self.totals.add(usage) && of_node;
        self.check_figures(whole);
    }

    /// Adds what recorded attempts used to the totals of their node and of the run.
    pub(super) fn recall_totals(&mut self, node: NodeId, recorded: &Totals) {
        let branches = self.branches.get_mut(node.index());
        let of_node = branches.is_none_or(|branches| branches.totals.add_all(recorded));
        let whole = self.totals.add_all(recorded) && of_node;
        self.check_figures(whole);
    }

    /// Says once that figures are missing, if some are.
    fn check_figures(&mut self, whole: bool) {
        if !whole && !self.warned_of_metrics {
            self.warned_of_metrics = true;
            let message =
                "tasks reported figures of more than 256 names: the totals leave further names out".into();
            self.announcer.announce(None, Fact::Warning { kind: Warning::MetricsDropped, message });
        }
    }

    pub(super) fn submit(&mut self, id: AttemptId) {
        let BranchId { node, index } = id.branch;
        let Some(branches) = self.branches.get(node.index()) else { return };
        let reads = branches.call(index).is_some_and(|(_, reads_files)| *reads_files);
        let flight =
            Flight { since: self.now, begun: false, preparing: None, turn: None, key: None, more: None };
        self.flights.insert(id, flight);
        if reads {
            return self.waits_to_read(id);
        }
        let workflow = Arc::clone(&self.workflow);
        let Some(task) = workflow.nodes.get(node.index()).and_then(|node| node.task(index)) else { return };
        let given = branches.asked(index).map(|asked| Arc::clone(&asked.given));
        let arguments = item(branches.items.as_ref(), index).and_then(|item| {
            self.scope.item = item;
            self.scope.index = index;
            self.scope.arguments(&task.arguments, given.as_deref())
        });
        self.submit_with(id, arguments);
    }

    pub(super) fn submit_with(&mut self, id: AttemptId, arguments: Result<Vec<Value>, EvaluateError>) {
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

    pub(super) fn hand_over(&mut self, id: AttemptId, arguments: Vec<Value>) {
        if let (Some(call), Some(task)) = (self.call(id), self.task(id)) {
            let executor = self.executor_of(id.branch.node, task);
            let iteration = self.iteration(id);
            self.placement.place(executor, Attempt { id, call, iteration, arguments });
        }
    }

    pub(super) fn call(&self, id: AttemptId) -> Option<Arc<Call>> {
        let (call, _) = self.branches.get(id.branch.node.index())?.call(id.branch.index)?;
        Some(Arc::clone(call))
    }

    pub(super) fn reject(&mut self, id: AttemptId, reason: String) {
        self.ended_so(id, Outcome::Rejected { reason }, Usage::default(), By::Nobody);
    }

    pub(super) fn cancel(&mut self, id: AttemptId, cause: Cause) {
        match self.flights.get_mut(&id) {
            Some(Flight { turn: Some((_, Turn::Waits)), .. }) => self.returned(id),
            Some(Flight { preparing: Some(cancelled), .. }) => *cancelled = true,
            Some(_) => {
                if self.placement.take_back(id) {
                    self.returned(id);
                } else {
                    self.placement.cancel(&[id], cause);
                }
            }
            None => {}
        }
    }

    fn is_deterministic(&self, id: AttemptId) -> bool {
        self.call(id).is_some_and(|call| call.deterministic.is_some())
    }

    pub(super) fn task(&self, id: AttemptId) -> Option<&Task> {
        self.workflow.nodes.get(id.branch.node.index())?.task(id.branch.index)
    }

    /// The executor of an attempt's task, or the one that took its place.
    pub(super) fn executed_by(&self, id: AttemptId) -> Executor {
        self.task(id).map(|task| self.executor_of(id.branch.node, task)).unwrap_or_default()
    }

    pub(super) fn ended(&mut self, branch: BranchId, ending: Ending, attempts: u32) {
        if self.recorded.take() != Some(branch) {
            // It ended otherwise than its last attempt, or waited for one.
            self.record_attempt(AttemptNote {
                id: AttemptId { branch, number: attempts },
                ending,
                last: true,
                elapsed: Duration::ZERO,
                usage: Usage::default(),
                executor: self.executed_by(AttemptId { branch, number: attempts }),
                worker: None,
                cached: false,
                error: self.errors.get(&branch).map(|error| self.scope.secrets.redact(Arc::clone(error))),
                key: None,
                value: None,
                asked: Asked::Nothing,
                wanted: false,
                files: Vec::new(),
                log: Vec::new(),
            });
            self.recorded = None;
        }
        self.tell_end(branch, ending, attempts);
    }

    pub(super) fn tell_end(&mut self, branch: BranchId, ending: Ending, attempts: u32) {
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
        let id = AttemptId { branch, number: attempts };
        // The end of a group is told as such.
        if self.task(id).is_none() {
            return;
        }
        let place = self.place(id);
        self.announcer.announce(place, Fact::TaskEnded { ending, attempts, error });
    }
}

/// The item of a branch, if its group has items.
pub(super) fn item(items: Option<&BranchItems>, index: u32) -> Result<Option<Item>, EvaluateError> {
    items.map(|items| items.item(index)).transpose().map_err(EvaluateError::NoItem)
}
