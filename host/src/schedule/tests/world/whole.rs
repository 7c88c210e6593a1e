//! What must hold of the whole world after every move, and at the end.

use super::World;
use super::oracle;
use crate::id::NodeId;
use crate::model::{Cause, Status};

impl World<'_> {
    /// Every node is decided for which there is a reason.
    pub(super) fn check_settled(&self) {
        for node in self.opened.keys().filter(|node| !self.closed.contains_key(node)) {
            let causes = [Cause::Sibling, Cause::Winner, Cause::GroupTimeout, Cause::Breaker, Cause::Outer];
            if let Some(cause) = causes.into_iter().find(|cause| self.decides(*node, *cause)) {
                assert!(self.settled.contains_key(node), "{node:?} is not decided for {cause:?}");
            }
            if let Some(breaker) = self.case.plan.nodes[node.index()].policy.breaker {
                let (_, opened, closed) = oracle::breaker_after(breaker, self.steps(*node));
                assert_eq!(self.breakers.get(node).copied().unwrap_or_default(), (opened, closed));
            }
        }
    }

    /// The scheduler wants to be woken exactly when the next thing comes with time.
    pub(super) fn check_wake(&self) {
        let open = || self.opened.keys().copied().filter(|node| !self.closed.contains_key(node));
        let deadline = |node: NodeId| {
            let timeout = self.case.plan.nodes[node.index()].policy.timeout?;
            Some(self.opened_at[&node] + timeout).filter(|at| *at > self.now)
        };
        let held = |node: NodeId| {
            let waits = !self.is_full(node) && self.waiting(node).is_some();
            self.allowed_at(node).filter(|at| waits && *at > self.now)
        };
        let going_on = |node: &NodeId| !self.stopping && !self.settled.contains_key(node);
        let due = self.branches.iter().filter(|(branch, _)| going_on(&branch.node));
        let due = due.filter_map(|(_, entry)| entry.due.filter(|at| !entry.running && *at > self.now));
        let next =
            open().filter_map(deadline).chain(open().filter(going_on).filter_map(held)).chain(due).min();
        assert_eq!(self.scheduler.wake_at(), next, "at {:?}", self.now);
    }

    /// Nothing may be left undone that capacity, concurrency, rate and breaker allow.
    pub(super) fn check_full(&self) {
        let running = self.running();
        assert_eq!(self.scheduler.running(), running.len());
        assert_eq!(self.scheduler.stale(), self.stale);
        if self.stopping || running.len() >= self.capacity {
            return;
        }
        for node in self.opened.keys().copied() {
            if !self.closed.contains_key(&node)
                && !self.settled.contains_key(&node)
                && !self.is_full(node)
                && self.allowed_at(node).is_some_and(|at| at <= self.now)
            {
                assert_eq!(self.waiting(node), None, "{node:?} could have gone on");
            }
        }
    }

    pub(super) fn check_end(&self) {
        assert!(self.over.is_some(), "the run never ends: {:?}", self.scheduler);
        assert_eq!(self.closed.len(), self.case.plan.nodes.len());
        assert_eq!(self.scheduler.running(), 0);
        assert_eq!(self.scheduler.wake_at(), None);
        for order in self.first_started.values() {
            assert!(order.is_sorted(), "first attempts out of order: {order:?}");
        }
    }

    pub(super) fn expected_status(&self) -> Status {
        let outermost = || self.closed.iter().filter(|(node, _)| self.member(**node).is_none());
        let any = |status| outermost().any(|(_, closed)| *closed == status);
        if any(Status::Failed) {
            Status::Failed
        } else if any(Status::Cancelled) {
            Status::Cancelled
        } else {
            Status::Succeeded
        }
    }
}
