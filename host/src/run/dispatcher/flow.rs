//! What attempts ask for, once they have succeeded: held against the workflow once more, since whoever ran
//! them may be another machine, and carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::branches::Asked as Given;
use super::Dispatcher;
use crate::id::{AttemptId, NodeId};
use crate::interface::given;
use crate::journal::Asked;
use crate::model::{Fact, MAX_BRANCHES, Node, Outcome, Requests, Start, Task, Then, Value};
use crate::schedule::Input;

/// Arguments by the position of their parameters; none for those that the file has.
type Arguments = Arc<[Option<Value>]>;

/// What an attempt asked for, understood.
#[derive(Default)]
pub(super) struct Flow {
    /// What starts, in order.
    starts: Vec<(NodeId, Arguments)>,
    /// What it runs again with.
    pub(super) again: Option<Arguments>,
    /// Whether it goes on elsewhere: to the last of what starts.
    leaves: bool,
    /// Whether it ends the run, and whether as succeeded.
    pub(super) ends: Option<bool>,
    /// Why it aborts the run, if it does.
    pub(super) aborts: Option<Arc<str>>,
    /// For the journal.
    pub(super) record: Asked,
}

impl Dispatcher {
    /// What was asked for, or why it is not to be had: then nothing of it is.
    pub(super) fn understand(&self, id: AttemptId, requests: Option<Box<Requests>>) -> Result<Flow, String> {
        let Some(mut requests) = requests else { return Ok(Flow::default()) };
        let task = self.task(id).ok_or("there is no such task")?;
        let mut flow = Flow::default();
        for start in &requests.next {
            flow.starts.push(self.startable(task, start)?);
        }
        let iteration = self.iteration(id);
        match &mut requests.then {
            Then::Ends => {}
            Then::Iterates(arguments) if iteration < task.flow.max_iterations => {
                flow.again = Some(arguments_of(task, arguments)?);
            }
            Then::Iterates(_) => {
                return Err(format!(
                    "it asked to run again after {iteration} iterations, its `max-iterations`"
                ));
            }
            Then::GoesTo(_)
                if self.workflow.nodes.get(id.branch.node.index()).is_some_and(Node::is_grouped) =>
            {
                return Err("it went on elsewhere, which a branch of a group cannot".to_owned());
            }
            Then::GoesTo(target) => {
                let start = Start { task: Arc::clone(target), arguments: "{}".into() };
                flow.starts.push(self.startable(task, &start)?);
                flow.leaves = true;
            }
            Then::Finishes | Then::Aborts(_) if !task.flow.may_end => {
                return Err("it asked for the end of the run, which only `may-end` allows".to_owned());
            }
            Then::Finishes => flow.ends = Some(true),
            Then::Aborts(reason) => {
                *reason = self.scope.secrets.redact(Arc::clone(reason));
                (flow.ends, flow.aborts) = (Some(false), Some(Arc::clone(reason)));
            }
        }
        self.check_room(&flow.starts)?;
        let given = flow.starts.iter().map(|(_, arguments)| arguments).chain(&flow.again);
        let mut values = given.flat_map(|arguments| arguments.iter().flatten());
        flow.record = match values.any(|value| self.scope.secrets.are_in(value)) {
            true => Asked::Withheld,
            false => Asked::For(requests),
        };
        Ok(flow)
    }

    /// The node that starts, and with what.
    fn startable(
        &self,
        task: &Task,
        Start { task: name, arguments }: &Start,
    ) -> Result<(NodeId, Arguments), String> {
        let mut targets = task.flow.may_start.iter();
        let found = targets.find_map(|id| {
            let target = self.workflow.nodes.get(id.index())?.task(0)?;
            (target.name == *name).then_some((*id, target))
        });
        let (node, target) =
            found.ok_or_else(|| format!("it started `{name}`, which its `may-start` does not list"))?;
        Ok((node, arguments_of(target, arguments)?))
    }

    /// Whether there is room for so many more branches.
    fn check_room(&self, starts: &[(NodeId, Arguments)]) -> Result<(), String> {
        let mut more = BTreeMap::<NodeId, u32>::new();
        for (node, _) in starts {
            *more.entry(*node).or_default() += 1;
        }
        let known = |node: &NodeId| self.branches.get(node.index()).map_or(0, |branches| branches.started());
        let full = more.into_iter().find(|(node, more)| known(node).saturating_add(*more) > MAX_BRANCHES);
        let Some((full, _)) = full else { return Ok(()) };
        let name = self.workflow.nodes.get(full.index()).map_or("", |node| &*node.name);
        Err(format!("it started `{name}` once more than {MAX_BRANCHES} times"))
    }

    /// Which run of its task the branch is at.
    pub(super) fn iteration(&self, id: AttemptId) -> u32 {
        let branches = self.branches.get(id.branch.node.index());
        branches.and_then(|branches| branches.asked(id.branch.index)).map_or(1, |asked| asked.iteration)
    }

    /// Carries out what has to happen before the attempt counts as ended.
    pub(super) fn begin_flow(&mut self, id: AttemptId, flow: &mut Flow) {
        let mut left = flow.starts.len();
        for (node, arguments) in std::mem::take(&mut flow.starts) {
            left -= 1;
            self.tell_flow(id, if flow.leaves && left == 0 { "goto" } else { "next" }, Some(node));
            self.start(node, arguments);
            self.decide(Input::Start { node });
        }
        if let Some(given) = flow.again.take() {
            self.tell_flow(id, "iterate", None);
            let iteration = self.iteration(id).saturating_add(1);
            if let Some(branches) = self.branches.get_mut(id.branch.node.index()) {
                branches.ask(id.branch.index, Given { iteration, given });
            }
        }
        if flow.leaves {
            self.leave(id.branch.node);
        }
        if let Some(succeeded) = flow.ends {
            self.tell_flow(id, if succeeded { "finish" } else { "abort" }, None);
        }
    }

    /// A branch of a task that others start.
    pub(super) fn start(&mut self, node: NodeId, arguments: Arguments) {
        let keep = self.is_wanted(node);
        if let Some(branches) = self.branches.get_mut(node.index()) {
            branches.start(arguments, keep);
        }
        let workflow = Arc::clone(&self.workflow);
        if let Some(started) = workflow.nodes.get(node.index()) {
            // Until its executor is open nothing of it is submitted.
            self.reach(node, started);
        }
    }

    /// What waits for the node is not to run.
    pub(super) fn leave(&mut self, node: NodeId) {
        if let Some(left) = self.left.get_mut(node.index()) {
            *left = true;
        }
        self.decide(Input::Leave { node });
    }

    fn tell_flow(&mut self, id: AttemptId, request: &'static str, target: Option<NodeId>) {
        let target =
            target.and_then(|id| self.workflow.nodes.get(id.index())).map(|node| Arc::clone(&node.name));
        let place = self.place(id);
        self.announcer.announce(place, Fact::Flow { request, target });
    }
}

/// What becomes of an attempt that succeeded and asked for the end of the run as failed: it failed.
pub(in crate::run) fn aborted(outcome: Outcome, reason: Option<&str>) -> Outcome {
    match (outcome, reason) {
        (Outcome::Succeeded(_), Some(reason)) => {
            Outcome::Failed { message: format!("aborted the run: {reason}"), permanent: true }
        }
        (outcome, _) => outcome,
    }
}

/// The arguments of a branch of `task`, from their JSON.
pub(in crate::run) fn arguments_of(task: &Task, json: &str) -> Result<Arguments, String> {
    let parameters = task.parameters();
    let each = parameters.iter().map(|parameter| (&parameter.name, &parameter.ty, parameter.known));
    let arguments =
        given(json, each).map_err(|error| format!("arguments for task `{}`: {error}", task.name))?;
    Ok(arguments.into())
}
