//! What the world knows of groups inside groups, and what it checks of them.

use super::World;
use crate::id::{BranchId, NodeId};
use crate::model::{Ending, Status};
use crate::schedule::Nested;

impl World<'_> {
    /// The branch that a node is or is a part of, and that branch's nodes.
    pub(super) fn member(&self, node: NodeId) -> Option<(BranchId, Nested)> {
        (0..).zip(&self.case.plan.nodes).find_map(|(outer, plan)| {
            let group = plan.groups.iter().find(|group| group.first <= node && node <= group.last)?;
            Some((BranchId { node: NodeId(outer), index: group.index }, *group))
        })
    }

    /// All nodes that a node is in.
    pub(super) fn around(&self, node: NodeId) -> Vec<NodeId> {
        let outer = |node: &NodeId| self.member(*node).map(|(branch, _)| branch.node);
        std::iter::successors(outer(&node), outer).collect()
    }

    /// The groups among the branches that a node has opened with.
    pub(super) fn groups(&self, node: NodeId) -> impl Iterator<Item = Nested> {
        let (branches, left_out) = &self.opened[&node];
        let groups = self.case.plan.nodes[node.index()].groups.iter().copied();
        groups.filter(|group| group.index < *branches && !left_out.contains(&group.index))
    }

    /// What a node waits for besides its turn.
    pub(super) fn needed(&self, node: NodeId) -> Vec<NodeId> {
        match self.member(node) {
            None => self.case.plan.nodes[node.index()].after.iter().copied().collect(),
            Some((_, group)) if group.first == node => vec![],
            Some(_) => vec![NodeId(node.0 - 1)],
        }
    }

    /// Whether the first node of a group has been opened.
    pub(super) fn has_begun(&self, group: &Nested) -> bool {
        self.begun.contains(&group.first)
    }

    /// How many attempts and groups of a node are under way.
    pub(super) fn under_way(&self, node: NodeId) -> usize {
        let attempts = self.running().iter().filter(|id| id.branch.node == node).count();
        let groups = self.case.plan.nodes[node.index()].groups.iter();
        let open = |group: &&Nested| self.has_begun(group) && !self.closed.contains_key(&group.last);
        attempts + groups.filter(open).count()
    }

    /// The branches of a node that count and are no groups.
    pub(super) fn plain(&self, node: NodeId) -> impl Iterator<Item = u32> {
        let (branches, left_out) = &self.opened[&node];
        let is_group = move |index: &u32| self.groups(node).any(|group| group.index == *index);
        (0..*branches).filter(move |index| !left_out.contains(index) && !is_group(index))
    }

    pub(super) fn check_bound(&self, node: NodeId) {
        let (under_way, bound) = (self.under_way(node), self.case.plan.nodes[node.index()].concurrency);
        assert!(bound.is_none_or(|bound| under_way <= bound as usize), "{under_way} of {node:?} run");
    }

    /// A group whose turn has come has begun, however full the capacity is.
    pub(super) fn check_turns(&self) {
        for node in self.opened.keys().copied().filter(|_| !self.stopping) {
            let next = self.groups(node).find(|group| {
                let branch = BranchId { node, index: group.index };
                !self.has_begun(group) && !self.inner.contains_key(&branch)
            });
            let going_on = !self.closed.contains_key(&node) && !self.settled.contains_key(&node);
            if let Some(group) = next.filter(|_| going_on && !self.is_full(node)) {
                let before = self.plain(node).take_while(|index| *index < group.index);
                let mut unstarted = before.map(|index| BranchId { node, index });
                let blocked = unstarted.any(|branch| !self.branches.contains_key(&branch));
                assert!(blocked, "{group:?} could have begun");
            }
        }
    }

    /// Enters the end of a branch that is a group, if `node` is the last of its nodes.
    pub(super) fn inner_end(&mut self, node: NodeId) {
        let Some((branch, group)) = self.member(node).filter(|(_, group)| group.last == node) else { return };
        let outer = branch.node;
        let counts = self.opened.contains_key(&outer) && self.groups(outer).any(|one| one == group);
        if !counts {
            return;
        }
        if !self.has_begun(&group) && self.inner.contains_key(&branch) {
            return;
        }
        assert!(!self.closed.contains_key(&outer), "{outer:?} closed before {node:?}");
        let parts = (group.first.0..=group.last.0).map(|part| self.closed[&NodeId(part)]);
        let ending = match parts.into_iter().find(|status| *status != Status::Succeeded) {
            None => Ending::Succeeded,
            Some(Status::Failed) => Ending::Failed,
            Some(_) => Ending::Cancelled,
        };
        assert_eq!(self.inner.insert(branch, ending), None, "{branch:?} ended twice");
        self.note_end(branch, ending);
    }
}
