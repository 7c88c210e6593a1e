//! Tasks and groups of a run as they open and close: conditions, items, what is known from before, and
//! what their values become.

use std::sync::Arc;

use super::super::branches::{Making, Opening};
use super::super::evaluate::EvaluateError;
use super::super::items::ItemsError;
use super::super::resume::ResumedNode;
use super::super::sections::End;
use super::super::split::BranchItems;
use super::super::{join, reasons};
use super::{Aside, Dispatcher};
use crate::digest::Digest;
use crate::id::{BranchId, NodeId};
use crate::journal::{Again, Record};
use crate::model::{
    Best, Counts, Ending, Expr, Fact, Form, Group, Items, Kind, Node, Runs, Status, Value, Warning,
};
use crate::schedule::{Input, Recorded};

/// The pattern of the files that a group's items are.
fn pattern(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Group(Group { form: Form::ForEach { items: Items::Files { pattern, .. }, .. }, .. }) => {
            Some(pattern)
        }
        Kind::Task(_) | Kind::Started(_) | Kind::Best(_) | Kind::Group(_) => None,
    }
}

impl Dispatcher {
    pub(super) fn open(&mut self, id: NodeId) {
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
            Kind::Started(_) => {
                let count = self.branches.get(id.index()).map_or(0, |branches| branches.started());
                self.opened(id, count, Vec::new());
            }
            Kind::Group(Group { form: Form::Tasks(members), .. }) => {
                let mut left_out = Vec::new();
                for (index, member) in (0..).zip(members) {
                    match member.when.as_ref().map_or(Ok(true), |when| self.holds(when)) {
                        Ok(true) => {}
                        Ok(false) => {
                            left_out.push(index);
                            if let Runs::Group { first, .. } = member.runs {
                                self.because(first, "its `when` is false");
                            }
                        }
                        Err(error) => {
                            return self.refuse(id, &format!("`when` of `{}`: {error}", member.name));
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

    pub(super) fn holds(&self, when: &Expr) -> Result<bool, EvaluateError> {
        match self.scope.evaluate(when)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(EvaluateError::Shape),
        }
    }

    /// The value that is chosen, or why there is none.
    pub(super) fn best(&self, best: &Best) -> Result<Value, String> {
        match self.scope.evaluate(&best.from).map_err(|error| error.to_string())? {
            Value::List(values) => {
                join::best(&values, best.field, &best.name).map_err(|error| error.to_string())
            }
            _ => Err(EvaluateError::Shape.to_string()),
        }
    }

    pub(super) fn items(&mut self, node: NodeId, items: Result<(BranchItems, u32), ItemsError>) {
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

    pub(super) fn opened(&mut self, id: NodeId, count: u32, left_out: Vec<u32>) {
        let workflow = Arc::clone(&self.workflow);
        let Some(node) = workflow.nodes.get(id.index()) else { return };
        if count > 0 && !self.reach(id, node) {
            self.unreached.insert(id, (count, left_out));
            return;
        }
        let left = u32::try_from(left_out.len()).unwrap_or(u32::MAX);
        if let Some(reason) = reasons::hopeless(node, count.saturating_sub(left)) {
            return self.refuse(id, &reason);
        }
        if let (Some(pattern), 0) = (pattern(node), count) {
            let message = format!("no file matches `{pattern}`, so nothing runs");
            self.warn(id, Warning::NoFiles, &message);
        }
        let Some(branches) = self.branches.get_mut(id.index()) else { return };
        let keep = self.wanted.get(id.index()).copied().unwrap_or(true);
        let items = match self.recorder.is_on() {
            true => branches.items.as_ref().and_then(BranchItems::digest),
            false => None,
        };
        let making =
            Making { run: &self.run, trace: self.trace, workflow: &workflow, secrets: &self.scope.secrets };
        branches.open(node, Opening { count, left_out: &left_out, keep }, &making);
        let started = u64::from(count) - left_out.len() as u64;
        let started = match &node.kind {
            Kind::Group(group) => Some((Some(started), group.concurrency)),
            // How many branches there will be is known once the task that splits has succeeded.
            Kind::Task(_) if node.section.goes_on => Some((None, None)),
            // Others start more of it.
            Kind::Started(_) => Some((None, None)),
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
        let decided = known.as_ref().and_then(|known| known.decided);
        if let Some(known) = known {
            self.recall(id, known);
        }
        self.decide(Input::Opened { node: id, branches: count, left_out });
        if let Some(succeeded) = decided {
            self.decide(Input::End { succeeded });
        }
    }

    /// What is known from before of a node that opens with these items.
    pub(super) fn known(&mut self, id: NodeId, count: u32, items: Option<Digest>) -> Option<ResumedNode> {
        let known = self.resumed.take(id)?;
        let started = self.branches.get(id.index()).is_some_and(|branches| branches.started() > 0);
        if started || known.opened.is_none_or(|(branches, then)| branches == count && then == items) {
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
        let totals = known.totals;
        Some(ResumedNode { branches: begun.collect(), totals, ..ResumedNode::default() })
    }

    /// Takes over what is known from before.
    pub(super) fn recall(&mut self, id: NodeId, known: ResumedNode) {
        let ResumedNode { branches: recorded, values, mut errors, asked, left, totals, .. } = known;
        self.recall_totals(id, &totals);
        if left {
            self.leave(id);
        }
        if recorded.is_empty() {
            return;
        }
        if let Some(branches) = self.branches.get_mut(id.index()) {
            for (index, asked) in asked {
                branches.ask(index, asked);
            }
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

    pub(super) fn because(&mut self, node: NodeId, reason: &str) {
        if let Some(branches) = self.branches.get_mut(node.index()) {
            branches.reason = Some(reason.into());
        }
    }

    pub(super) fn refuse(&mut self, node: NodeId, reason: &str) {
        self.because(node, reason);
        self.decide(Input::Refused { node });
    }

    /// Whether anything refers to a node's value.
    pub(super) fn is_wanted(&self, node: NodeId) -> bool {
        self.wanted.get(node.index()).copied().unwrap_or(true)
    }

    /// Gives a node's value to those that refer to it or, of a member of another group, to that.
    fn hand_on(&mut self, id: NodeId, node: &Node, value: Option<Value>) {
        let Some(value) = value else { return };
        match node.inside.filter(|_| !node.section.goes_on) {
            None => {
                if let Some(slot) = Arc::make_mut(&mut self.scope.values).get_mut(id.index()) {
                    *slot = Some(value);
                }
            }
            Some(branch) => {
                if let Some(outer) = self.branches.get_mut(branch.node.index()) {
                    outer.keep(branch.index, value);
                }
            }
        }
    }

    /// Why a group in `outer` ended without having begun.
    fn of_idle(&self, outer: NodeId, status: Status) -> Option<String> {
        let (node, branches) = (self.workflow.nodes.get(outer.index())?, self.branches.get(outer.index())?);
        reasons::of_idle(node, branches.settled.is_some(), status)
    }

    /// Tells the group that a node's group is in, if it is in one, that this did not succeed.
    fn lose(&mut self, node: &Node, status: Status, reason: Option<&str>) {
        let Some(branch) = node.inside else { return };
        let ending = match status {
            Status::Failed => Ending::Failed,
            Status::Cancelled => Ending::Cancelled,
            Status::Pending | Status::Running | Status::Succeeded | Status::Skipped => return,
        };
        let around =
            (self.workflow.nodes.get(branch.node.index()), self.branches.get_mut(branch.node.index()));
        if let (Some(outer), Some(branches)) = around
            && branches.settled.is_none()
        {
            let error = reasons::of_member(node, reason);
            branches.fail(outer, branch.index, ending, Some(&error));
            branches.lost.push(Arc::clone(&node.name));
        }
    }

    pub(super) fn closed(&mut self, id: NodeId, status: Status, counts: Counts, because: Option<NodeId>) {
        let workflow = Arc::clone(&self.workflow);
        let (Some(node), Some(branches)) =
            (workflow.nodes.get(id.index()), self.branches.get_mut(id.index()))
        else {
            return;
        };
        let value = if status == Status::Succeeded { branches.join(node) } else { None };
        let branches = branches.close();
        self.hand_on(id, node, value);
        let counts = Counts { cached: branches.cached, ..counts };
        if status != Status::Cancelled || !self.stopping {
            let node = node.recorded_as();
            self.recorder.record(self.now, Record::GroupEnded { node, status, counts });
        }
        let left = because.is_some_and(|id| self.left.get(id.index()).copied().unwrap_or(false));
        let because = because.and_then(|node| workflow.nodes.get(node.index()));
        let waits = || because.map(|other| reasons::waits_for(node, other, left).into());
        let ended =
            || reasons::of_group(node, branches.settled, &counts, status, &branches.lost).map(Into::into);
        let opened = branches.opened;
        let reason = branches.reason.clone().or_else(waits);
        let reason = reason.or_else(|| match (opened, node.inside) {
            (Some(_), _) => ended(),
            (None, Some(branch)) => self.of_idle(branch.node, status).map(Into::into),
            (None, None) => None,
        });
        let end = End { status, counts, opened, totals: branches.totals, reason };
        let Some(End { status, counts, opened, totals, reason }) = self.sections.end(node, end) else {
            return;
        };
        self.lose(node, status, reason.as_deref());
        let elapsed = opened.map(|opened| opened.elapsed()).unwrap_or_default();
        let within = workflow.around(node).next().map(|outer| Arc::clone(&outer.name));
        let fact = Fact::GroupEnded { status, counts, within, elapsed, totals: Box::new(totals), reason };
        let place = self.node_place(id);
        self.announcer.announce(place, fact);
    }
}
