//! How nodes are decided and end, and what that means for those that wait for them, for the groups that they
//! are in and for those in them.

use std::collections::VecDeque;

use super::super::node::Phase;
use super::{Alarm, Scheduler};
use crate::id::NodeId;
use crate::model::{Cause, Counts, Status};
use crate::schedule::{Action, Nested};

/// What is to be done about a node. Kept in a queue, since chains of nodes may be long.
enum Due {
    /// It is decided.
    Settle(NodeId, Cause),
    /// The group that it and those up to the last are in was decided.
    Cancel(Nested),
    /// Its branches may all have ended.
    Look(NodeId),
    /// It ends.
    Close(Closing),
}

/// A node that ends, and why.
struct Closing {
    node: NodeId,
    status: Status,
    because: Option<NodeId>,
}

impl Scheduler {
    /// Decides a node: what runs is cancelled, and what waits ends.
    pub(super) fn settle(&mut self, id: NodeId, cause: Cause, actions: &mut Vec<Action>) {
        self.follow(Due::Settle(id, cause), actions);
    }

    /// Ends a node all of whose branches have ended.
    pub(super) fn close_if_done(&mut self, id: NodeId, actions: &mut Vec<Action>) {
        if self.nodes.get(id.index()).is_some_and(super::Node::is_done) {
            self.follow(Due::Look(id), actions);
        }
    }

    /// Ends a node.
    pub(super) fn close(&mut self, node: NodeId, status: Status, actions: &mut Vec<Action>) {
        self.follow(Due::Close(Closing { node, status, because: None }), actions);
    }

    /// Begins the groups in a node that has opened, unless that `goes_on` no further, and ends those that
    /// are left out.
    pub(super) fn begin_inside(&mut self, id: NodeId, goes_on: bool, actions: &mut Vec<Action>) {
        let Some(node) = self.nodes.get(id.index()) else { return };
        let groups: Vec<(Nested, bool)> = node.inside.all().collect();
        for (Nested { first, .. }, begins) in groups {
            if !begins {
                self.close(first, Status::Skipped, actions);
            } else if let Some(inner) = self.nodes.get_mut(first.index()).filter(|_| goes_on) {
                inner.phase = Phase::Waiting { missing: 0 };
                self.reach(first, actions);
            }
        }
    }

    fn follow(&mut self, due: Due, actions: &mut Vec<Action>) {
        let mut queue = VecDeque::from([due]);
        while let Some(due) = queue.pop_front() {
            match due {
                Due::Settle(id, cause) => {
                    if let Some(node) = self.nodes.get_mut(id.index()) {
                        node.settle(cause, actions);
                    }
                    self.settled(id, &mut queue);
                }
                Due::Cancel(group) => self.cancel(group, &mut queue, actions),
                // How it stands may have changed since it was put here.
                Due::Look(id) => {
                    if let Some(node) = self.nodes.get(id.index())
                        && node.is_done()
                    {
                        let closing = Closing { node: id, status: node.status(), because: None };
                        self.closed(closing, &mut queue, actions);
                    }
                }
                Due::Close(closing) => self.closed(closing, &mut queue, actions),
            }
        }
    }

    /// Carries on after a node was decided.
    fn settled(&mut self, id: NodeId, queue: &mut VecDeque<Due>) {
        self.backoff.retain(|std::cmp::Reverse((_, waiting, _))| *waiting != id);
        self.look_again(id, None);
        queue.push_back(Due::Look(id));
        let Some(node) = self.nodes.get(id.index()) else { return };
        // Before all else, so that none of them ends as if nothing had happened.
        for (group, _) in node.inside.all().rev().filter(|(_, under_way)| *under_way) {
            queue.push_front(Due::Cancel(group));
        }
    }

    /// Ends a group early. At most one of its nodes has begun and not ended.
    fn cancel(&mut self, group: Nested, queue: &mut VecDeque<Due>, actions: &mut Vec<Action>) {
        let mut ids = (group.first.0..=group.last.0).map(NodeId);
        let Some(id) = ids.find(|id| self.phase(*id) != Some(Phase::Closed)) else { return };
        let Some(node) = self.nodes.get_mut(id.index()) else { return };
        match node.phase {
            Phase::Waiting { .. } | Phase::Opening => {
                queue.push_back(Due::Close(Closing { node: id, status: Status::Cancelled, because: None }));
            }
            Phase::Open => {
                node.cancel(actions);
                self.settled(id, queue);
            }
            Phase::Closed => {}
        }
    }

    /// Ends a node and all that can no longer have what they wait for, and opens those that now can.
    fn closed(&mut self, closing: Closing, queue: &mut VecDeque<Due>, actions: &mut Vec<Action>) {
        let Closing { node: id, status, because } = closing;
        let Some(node) = self.nodes.get_mut(id.index()) else { return };
        if node.phase == Phase::Closed {
            return;
        }
        let deadline = node.deadline.map(|at| (at, id, Alarm::Deadline));
        let look = node.look_again.map(|at| (at, id, Alarm::Gate));
        for alarm in deadline.into_iter().chain(look) {
            self.alarms.remove(&alarm);
        }
        let (counts, dependants) = node.close();
        let (member, inside) = (node.member, &node.inside);
        // Those in a node that never opened.
        queue.extend(inside.all().map(|(group, _)| {
            let status = if status == Status::Cancelled { status } else { Status::Skipped };
            Due::Close(Closing { node: group.first, status, because })
        }));
        let told = counts.plus(inside.counts());
        self.unclosed -= 1;
        self.record(status, counts, member.is_none());
        actions.push(Action::Closed { node: id, status, counts: told, because });
        for dependant in dependants {
            let Some(Phase::Waiting { missing }) = self.phase(dependant) else { continue };
            if status != Status::Succeeded {
                let closing = Closing { node: dependant, status: Status::Skipped, because: Some(id) };
                queue.push_back(Due::Close(closing));
                continue;
            }
            let missing = missing.saturating_sub(1);
            if let Some(node) = self.nodes.get_mut(dependant.index()) {
                node.phase = Phase::Waiting { missing };
            }
            if missing == 0 {
                self.reach(dependant, actions);
            }
        }
        let stopping = self.stopping;
        let outer = member.and_then(|branch| Some((branch, self.nodes.get_mut(branch.node.index())?)));
        if let Some((branch, outer)) = outer
            && let Some(decided) = outer.inner_ended(branch.index, id, status, stopping)
        {
            queue.push_back(match decided {
                Some(cause) => Due::Settle(branch.node, cause),
                None => Due::Look(branch.node),
            });
        }
    }

    fn record(&mut self, status: Status, counts: Counts, decides: bool) {
        self.counts = self.counts.plus(counts);
        match status {
            Status::Failed => self.failed |= decides,
            Status::Cancelled => self.cancelled |= decides,
            Status::Pending | Status::Running | Status::Succeeded | Status::Skipped => {}
        }
    }
}
