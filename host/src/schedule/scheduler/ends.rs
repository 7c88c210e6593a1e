//! How nodes are decided and end, and what that means for those that wait for them, for the groups that they
//! are in and for those in them.

use std::collections::VecDeque;

use super::super::nesting::Stage;
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
        let Some(node) = self.nodes.get(id.index()) else { return };
        self.look_for_ends |= node.is_idle() && node.more;
        if node.is_done() {
            self.follow(Due::Look(id), actions);
        }
    }

    /// Ends a node.
    pub(super) fn close(&mut self, node: NodeId, status: Status, actions: &mut Vec<Action>) {
        self.follow(Due::Close(Closing { node, status, because: None }), actions);
    }

    /// Ends the groups in a node that has opened which are left out, or are known to have ended before they
    /// began.
    pub(super) fn end_left_out(&mut self, id: NodeId, actions: &mut Vec<Action>) {
        self.end_inside(id, actions, |stage| match stage {
            Stage::LeftOut => Some(Status::Skipped),
            Stage::Ended => Some(Status::Cancelled),
            Stage::Waiting | Stage::UnderWay => None,
        });
    }

    /// Ends the groups in a node that were dropped before they began.
    pub(super) fn end_dropped(&mut self, id: NodeId, actions: &mut Vec<Action>) {
        self.end_inside(id, actions, |stage| match stage {
            Stage::Ended => Some(Status::Cancelled),
            Stage::LeftOut | Stage::Waiting | Stage::UnderWay => None,
        });
    }

    fn end_inside(&mut self, id: NodeId, actions: &mut Vec<Action>, how: impl Fn(Stage) -> Option<Status>) {
        let Some(node) = self.nodes.get(id.index()) else { return };
        let ends = node.inside.all().filter_map(|(group, stage)| Some((group.first, how(stage)?)));
        for (first, status) in ends.collect::<Vec<_>>() {
            self.close(first, status, actions);
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
        if let Some(node) = self.nodes.get(id.index()) {
            queue.extend(node.inside.all().map(|(group, _)| Due::Cancel(group)));
        }
        queue.push_back(Due::Look(id));
    }

    /// Ends a group early. At most one of its nodes has begun and not ended.
    fn cancel(&mut self, group: Nested, queue: &mut VecDeque<Due>, actions: &mut Vec<Action>) {
        let mut before = None;
        for id in (group.first.0..=group.last.0).map(NodeId) {
            match self.nodes.get_mut(id.index()).map(|node| (node.phase, node)) {
                Some((Phase::Open, node)) => {
                    node.cancel(actions);
                    return self.settled(id, queue);
                }
                Some((Phase::Waiting { .. } | Phase::Opening, _)) => {
                    let status = if before.is_none() { Status::Cancelled } else { Status::Skipped };
                    self.closed(Closing { node: id, status, because: before }, queue, actions);
                    before = Some(id);
                }
                Some((Phase::Closed, _)) | None => {}
            }
        }
    }

    /// Ends a node and all that can no longer have what they wait for, and opens those that now can.
    fn closed(&mut self, closing: Closing, queue: &mut VecDeque<Due>, actions: &mut Vec<Action>) {
        let Closing { node: id, mut status, mut because } = closing;
        let Some(node) = self.nodes.get_mut(id.index()) else { return };
        if node.phase == Phase::Closed {
            return;
        }
        if let (Status::Succeeded, Some(denied)) = (status, node.denied) {
            (status, because) = (Status::Skipped, Some(denied));
        }
        self.look_for_ends = true;
        let (left, may_start) = (node.left && status == Status::Succeeded, node.may_start.clone());
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
            if status != Status::Succeeded || (left && !may_start.contains(&dependant)) {
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
        let whole = match status {
            Status::Succeeded => true,
            // Its own `when` left it out, so it is as if it were not there.
            Status::Skipped => because.is_none(),
            Status::Failed | Status::Cancelled | Status::Pending | Status::Running => false,
        };
        if !whole {
            self.deny(id, &may_start);
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
            if !stopping {
                self.turns.push_back(branch.node);
            }
        }
    }

    /// Tells what a node may start that it did not come so far as to start all that it might have.
    fn deny(&mut self, id: NodeId, may_start: &[NodeId]) {
        for target in may_start {
            if let Some(node) = self.nodes.get_mut(target.index()) {
                node.denied.get_or_insert(id);
            }
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
