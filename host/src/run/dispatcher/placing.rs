//! Which executor has what: opened for the nodes that need it, staffed for those that could run elsewhere, and
//! told what was written down.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::placement::{Opened, Reached};
use super::{Aside, Dispatcher};
use crate::executor::Unreachable;
use crate::id::{AttemptId, NodeId};
use crate::model::{Executor, Kind, Node, Task, Warning};
use crate::schedule::Input;

/// Whether somebody is there to execute a group's branches.
pub(super) enum Staffing {
    /// That is being found out.
    Waiting,
    /// It is known.
    Known(Result<(), Unreachable>),
}

impl Dispatcher {
    /// Where the attempts of a task run.
    pub(super) fn executor_of(&self, id: NodeId, task: &Task) -> Executor {
        if self.elsewhere.is_empty() {
            return task.policy.executor.clone();
        }
        self.elsewhere.get(&id).unwrap_or(&task.policy.executor).clone()
    }

    /// Whether the executors of a node are ready for it. If not, it is looked at again when more is known.
    pub(super) fn reach(&mut self, id: NodeId, node: &Node) -> bool {
        let mut kinds: Vec<Executor> = node.tasks().map(|task| self.executor_of(id, task)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let (reached, openings) = self.placement.reach(id, &kinds);
        for (kind, opening) in openings {
            let sender = self.aside.0.clone();
            // The receiver lives as long as the run; after it nobody needs the executor.
            drop(tokio::spawn(async move { sender.send(Aside::Opened(kind, opening.await)) }));
        }
        let fallback = match &node.kind {
            Kind::Group(group) => {
                group.policy.fallback.as_ref().filter(|fallback| kinds != [(*fallback).clone()])
            }
            Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => None,
        };
        let unreachable = match reached {
            Reached::Later => return false,
            Reached::Not(unreachable) => unreachable,
            Reached::Open(room) => match fallback.map_or(Some(Ok(())), |_| self.staffed(id, &kinds)) {
                None => return false,
                Some(Err(unreachable)) => unreachable,
                Some(Ok(())) => {
                    self.scheduler.set_capacity_for(id, room);
                    return true;
                }
            },
        };
        match fallback {
            Some(fallback) => {
                let message = format!("{unreachable}; the group runs {fallback} instead");
                self.elsewhere.insert(id, fallback.clone());
                self.warn(id, Warning::Fallback, &message);
                self.reach(id, node)
            }
            None => {
                self.unreachable.get_or_insert(unreachable);
                false
            }
        }
    }

    /// Whether somebody is there to execute a group that could run elsewhere; none while that is being found
    /// out.
    fn staffed(&mut self, id: NodeId, kinds: &[Executor]) -> Option<Result<(), Unreachable>> {
        match self.staffing.remove(&id) {
            Some(Staffing::Known(staffed)) => return Some(staffed),
            Some(Staffing::Waiting) => {
                self.staffing.insert(id, Staffing::Waiting);
                return None;
            }
            None => {}
        }
        // Those of this machine execute by themselves.
        let named = kinds.iter().filter(|kind| matches!(kind, Executor::Named(_)));
        let executors: Vec<_> =
            named.filter_map(|kind| Some((kind.clone(), self.placement.opened_as(kind)?))).collect();
        if executors.is_empty() {
            return Some(Ok(()));
        }
        self.staffing.insert(id, Staffing::Waiting);
        let sender = self.aside.0.clone();
        let wait = async move {
            for (kind, executor) in executors {
                executor
                    .staffed()
                    .await
                    .map_err(|unreachable| Unreachable { executor: kind.name().into(), ..unreachable })?;
            }
            Ok(())
        };
        // As above.
        drop(tokio::spawn(async move { sender.send(Aside::Staffed(id, wait.await)) }));
        None
    }

    /// It is known whether somebody is there for a group: it goes on.
    pub(super) fn staff_known(&mut self, id: NodeId, staffed: Result<(), Unreachable>) {
        self.staffing.insert(id, Staffing::Known(staffed));
        self.look_again(id);
    }

    /// An executor is open, or cannot be reached: the nodes that wait for it go on.
    pub(super) fn executor_opened(&mut self, executor: Executor, opened: Opened) {
        for id in self.placement.opened(&executor, opened) {
            self.look_again(id);
        }
    }

    /// What a node waits for may be ready.
    fn look_again(&mut self, id: NodeId) {
        let workflow = Arc::clone(&self.workflow);
        let Some(node) = workflow.nodes.get(id.index()) else { return };
        // An interrupted run closes what still waits.
        let closed = self.branches.get(id.index()).is_none_or(|branches| branches.closed);
        match (self.unreached.remove(&id), &node.kind) {
            _ if closed => {}
            // More of it may have been started meanwhile.
            (Some(_), Kind::Started(_)) => self.open(id),
            (Some((count, left_out)), _) => self.opened(id, count, left_out),
            (None, _) => {
                if self.reach(id, node) {
                    self.decide(Input::Tick);
                }
            }
        }
    }

    /// Notes that an executor answered an attempt, to tell it so once that is written down. Only executors
    /// that keep answers elsewhere are told.
    pub(super) fn answered(&mut self, executor: Executor, id: AttemptId) {
        if matches!(executor, Executor::Named(_)) {
            // What is not written is as good as written: it is made again when the run goes on.
            self.answered.push_back((self.recorder.pushed(), executor, id));
        }
    }

    /// Tells executors which of their answers are written down.
    pub(super) fn tell_recorded(&mut self) {
        if self.answered.is_empty() {
            return;
        }
        let written = self.recorder.written();
        let mut told: HashMap<Executor, Vec<AttemptId>> = HashMap::new();
        while self.answered.front().is_some_and(|(due, ..)| *due <= written)
            && let Some((_, executor, id)) = self.answered.pop_front()
        {
            told.entry(executor).or_default().push(id);
        }
        for (executor, ids) in told {
            if let Some(executor) = self.placement.opened_as(&executor) {
                executor.recorded(&ids);
            }
        }
    }
}
