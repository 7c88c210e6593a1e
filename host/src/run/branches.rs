//! The branches of one node while it runs: their calls, items and results.

use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::join::{self, Joined};
use super::secrets::Secrets;
use super::split::BranchItems;
use crate::id::RunId;
use crate::model::{
    Call, Cause, Ending, EnvironmentValue, Expr, Form, Group, Kind, Merge, Node, Require, Task, Totals,
    Trace, Type, Value, Workflow,
};

/// One node while it runs.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    /// What the branches call, one for all or one a member that is a task, and whether making its arguments
    /// may block.
    calls: Vec<Option<(Arc<Call>, bool)>>,
    /// The items of a for-each group.
    pub(crate) items: Option<BranchItems>,
    /// Values by branch, where anything refers to them.
    results: Vec<Option<Value>>,
    /// Whether only the first value counts, whichever branch it is from. It has the only place.
    first_only: bool,
    /// Why the node was decided before all its branches had ended, if it was.
    pub(crate) settled: Option<Cause>,
    /// What branches were started or run again with, where they were.
    asked: FxHashMap<u32, Asked>,
    /// How many branches others started.
    started: u32,
    /// What is said of branches that did not succeed, where that is a value.
    failures: FxHashMap<u32, Arc<str>>,
    /// Members that are groups and did not succeed, by name.
    pub(crate) lost: Vec<Arc<str>>,
    /// Branches that count for nothing, ascending.
    left_out: Vec<u32>,
    /// When it opened.
    pub(crate) opened: Option<Instant>,
    /// Branches that the cache answered.
    pub(crate) cached: u64,
    /// The sums over its attempts.
    pub(crate) totals: Totals,
    /// Why it was refused or skipped.
    pub(crate) reason: Option<Arc<str>>,
    /// Whether the node has ended, and all of it was let go.
    pub(crate) closed: bool,
}

/// What a branch was started or run again with.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Which run of its task the branch is at, from 1.
    pub(crate) iteration: u32,
    /// Arguments by the position of their parameters; none for those that the file has.
    pub(crate) given: Arc<[Option<Value>]>,
}

/// What calls are made from.
pub(crate) struct Making<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) trace: Option<Trace>,
    pub(crate) workflow: &'a Workflow,
    pub(crate) secrets: &'a Secrets,
}

impl Branches {
    /// The node opened with these branches.
    pub(crate) fn open(&mut self, node: &Node, branches: Opening<'_>, making: &Making<'_>) {
        let Opening { count, left_out, keep } = branches;
        let slow = self.items.as_ref().is_some_and(BranchItems::is_slow);
        let prepared = |task: &Task| {
            let call = Arc::new(making.call(task, node, count)?);
            Some((call, slow || task.arguments.iter().any(Expr::reads_files)))
        };
        self.calls = node.branch_tasks().map(|task| task.and_then(prepared)).collect();
        self.first_only = match &node.kind {
            Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => false,
            Kind::Group(group) => group.merge.takes_first(),
        };
        let places = if self.first_only { 1 } else { count as usize };
        self.results = if keep { vec![None; places] } else { Vec::new() };
        self.left_out = left_out.to_vec();
        self.left_out.sort_unstable();
        self.opened = Some(Instant::now());
    }

    /// What the branch `index` calls, and whether making its arguments may block.
    pub(crate) fn call(&self, index: u32) -> Option<&(Arc<Call>, bool)> {
        self.calls.get(index as usize).or_else(|| self.calls.first())?.as_ref()
    }

    /// Gets another branch, started with these arguments.
    pub(crate) fn start(&mut self, given: Arc<[Option<Value>]>, keep: bool) {
        self.asked.insert(self.started, Asked { iteration: 1, given });
        self.started = self.started.saturating_add(1);
        if keep && self.opened.is_some() {
            self.results.push(None);
        }
    }

    /// How many branches others started.
    pub(crate) fn started(&self) -> u32 {
        self.started
    }

    /// Runs a branch again.
    pub(crate) fn ask(&mut self, index: u32, asked: Asked) {
        self.asked.insert(index, asked);
    }

    /// What a branch was started or run again with, if it was.
    pub(crate) fn asked(&self, index: u32) -> Option<&Asked> {
        self.asked.get(&index)
    }

    /// Keeps a branch's value, where values are kept.
    pub(crate) fn keep(&mut self, index: u32, value: Value) {
        let place = if self.first_only { 0 } else { index as usize };
        if let Some(slot) = self.results.get_mut(place) {
            slot.get_or_insert(value);
        }
    }

    /// Keeps the value of a node that runs nothing.
    pub(crate) fn keep_whole(&mut self, value: Value) {
        self.results = vec![Some(value)];
    }

    /// Keeps what is said of a branch that did not succeed, where that is a value.
    pub(crate) fn fail(&mut self, node: &Node, index: u32, ending: Ending, error: Option<&str>) {
        if let Kind::Group(Group { merge: Merge::Results, .. }) = node.kind
            && !self.results.is_empty()
            // Nothing is said of branches that never began.
            && let Some(error) = error
        {
            self.failures.insert(index, format!("{}: {error}", ending.name()).into());
        }
    }

    /// Lets go of everything, and yields what it was.
    pub(crate) fn close(&mut self) -> Self {
        std::mem::replace(self, Self { closed: true, ..Self::default() })
    }

    /// The node's value, once it succeeded. None where values are not kept.
    pub(crate) fn join(&mut self, node: &Node) -> Option<Value> {
        let results = std::mem::take(&mut self.results);
        self.items = None;
        let (form, merge, require) = match &node.kind {
            Kind::Task(_) | Kind::Best(_) => return results.into_iter().next().flatten(),
            Kind::Started(_) => {
                return join::list(results.into_iter().collect::<Option<Vec<_>>>()?, node.value.is_bytes());
            }
            Kind::Group(Group { form, merge, policy, .. }) => (form, merge, &policy.require),
        };
        match (merge, form) {
            (Merge::FirstSuccess, _) => results.into_iter().next().flatten(),
            (Merge::Collect, Form::Tasks(members)) => {
                let fields = (0..).zip(results).zip(members).map(|((index, value), member)| {
                    if member.when.is_none() && require.needs(index, members.len()) {
                        value
                    } else {
                        Some(Value::Option(value.map(Arc::new)))
                    }
                });
                Some(Value::Record(fields.collect::<Option<_>>()?))
            }
            (Merge::Collect, Form::ForEach { .. }) => {
                let values = match require {
                    Require::All => results.into_iter().collect::<Option<Vec<_>>>()?,
                    Require::Any | Require::AtLeast(_) | Require::Critical(_) => {
                        results.into_iter().flatten().collect()
                    }
                };
                join::list(values, node.value.is_bytes())
            }
            (Merge::List, _) => join::list(results.into_iter().flatten(), node.value.is_bytes()),
            (Merge::Concat, _) => join::concat(
                results.into_iter().flatten(),
                match &node.value {
                    Type::String => Joined::Text,
                    bytes if bytes.is_bytes() => Joined::Bytes,
                    _ => Joined::List,
                },
            ),
            (Merge::Results, _) => Some(self.results(results, &node.value)),
        }
    }

    /// A `result` for each branch that counts.
    fn results(&mut self, results: Vec<Option<Value>>, ty: &Type) -> Value {
        let failures = std::mem::take(&mut self.failures);
        let cause = self.settled.map_or("it was never attempted", Cause::describe);
        let unstarted = format!("{}: {cause}", Ending::Cancelled.name());
        let silent = matches!(ty, Type::List(result) if matches!(**result, Type::Result { ok: None, .. }));
        let counts = |index: &u32| self.left_out.binary_search(index).is_err();
        let each = (0..).zip(results).filter(|(index, _)| counts(index)).map(|(index, value)| {
            Value::Result(match value {
                Some(_) if silent => Ok(None),
                Some(value) => Ok(Some(Arc::new(value))),
                None => {
                    let said = failures.get(&index).map_or(&*unstarted, |said| &**said);
                    Err(Some(Arc::new(Value::string(said))))
                }
            })
        });
        Value::List(each.collect())
    }
}

/// The branches that a node opens with.
pub(crate) struct Opening<'o> {
    /// How many.
    pub(crate) count: u32,
    /// Those that count for nothing.
    pub(crate) left_out: &'o [u32],
    /// Whether values are kept; else they are dropped as they come.
    pub(crate) keep: bool,
}

impl Making<'_> {
    fn call(&self, task: &Task, node: &Node, count: u32) -> Option<Call> {
        let policy = &task.policy;
        let environment = policy.grants.environment.iter().filter_map(|(name, value)| {
            let value = match value {
                EnvironmentValue::Literal(text) => text,
                EnvironmentValue::Secret { name } => self.secrets.get(name)?,
            };
            Some((Arc::clone(name), Arc::clone(value)))
        });
        Some(Call {
            component: self.workflow.components.get(task.component)?.digest,
            entry: task.entry.clone(),
            signature: Arc::clone(&task.signature),
            limits: policy.limits.clone(),
            directories: policy.grants.directories.clone(),
            environment: environment.collect(),
            net: policy.grants.net.as_slice().into(),
            http: policy.grants.http.as_slice().into(),
            deterministic: policy.deterministic.then_some(self.workflow.seed),
            run: self.run.clone(),
            task: Arc::clone(&task.name),
            group: node.group().filter(|_| node.is_grouped()).map(Arc::clone),
            // How often it will have been started nobody knows.
            count: if matches!(node.kind, Kind::Started(_)) { 1 } else { u64::from(count) },
            allowed: (!task.flow.is_empty())
                .then(|| Arc::new(self.workflow.allowed(task, node.is_grouped()))),
            trace: self.trace,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Entry, GroupPolicy, Items, Policy, Signature, Split};

    fn node(merge: Merge, value: Type) -> Node {
        requiring(Require::All, merge, value)
    }

    fn requiring(require: Require, merge: Merge, value: Type) -> Node {
        let task = Task {
            name: "t".into(),
            component: 0,
            entry: Entry::Command { bytes: false },
            signature: Arc::new(Signature::command(false)),
            arguments: Vec::new(),
            policy: Policy::default(),
            flow: Default::default(),
        };
        let items = Items::Range { start: 0, end: 2 };
        Node {
            name: "g".into(),
            section: Default::default(),
            inside: None,
            after: Default::default(),
            when: None,
            kind: Kind::Group(Group {
                form: Form::ForEach { task: Box::new(task), items, split: Split::Item },
                concurrency: None,
                on_failure: Default::default(),
                policy: GroupPolicy { require, ..Default::default() },
                merge,
                max_branches: 2,
            }),
            value,
        }
    }

    #[test]
    fn a_list_of_bytes_is_joined_as_bytes() {
        for merge in [Merge::Collect, Merge::List] {
            let joined = |value: Type, results: [Value; 2]| {
                let results = results.into_iter().map(Some).collect();
                Branches { results, ..Branches::default() }.join(&node(merge, value)).unwrap()
            };
            let bytes = joined(Type::bytes(), [Value::U8(1), Value::U8(2)]);
            assert_eq!(bytes, Value::Bytes(vec![1, 2].into()));
            let list = joined(Type::list(Type::U16), [Value::U16(1), Value::U16(2)]);
            assert_eq!(list, Value::List(Arc::new([Value::U16(1), Value::U16(2)])));
        }
    }

    #[test]
    fn what_requires_less_than_all_joins_what_there_is() {
        let strings = || vec![None, Some(Value::string("a")), None, Some(Value::string("b"))];
        let joined = |require: Require, merge: Merge, value: Type| {
            Branches { results: strings(), ..Branches::default() }.join(&requiring(require, merge, value))
        };
        let both = Value::List(Arc::new([Value::string("a"), Value::string("b")]));
        for require in [Require::Any, Require::AtLeast(2)] {
            for merge in [Merge::Collect, Merge::List] {
                assert_eq!(joined(require.clone(), merge, Type::list(Type::String)), Some(both.clone()));
            }
            assert_eq!(joined(require, Merge::Concat, Type::String), Some(Value::string("ab")));
        }
        assert_eq!(joined(Require::All, Merge::Collect, Type::list(Type::String)), None);
    }

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Became {
        Value(u16),
        Failed(u16),
        Dropped,
        LeftOut,
    }

    fn became() -> impl Strategy<Value = Became> {
        prop_oneof![
            any::<u16>().prop_map(Became::Value),
            any::<u16>().prop_map(Became::Failed),
            Just(Became::Dropped),
            Just(Became::LeftOut)
        ]
    }

    proptest! {
        #[test]
        fn results_say_of_each_branch_in_order_what_became_of_it(
            all in prop::collection::vec(became(), 0..40), silent: bool,
        ) {
            let ok = (!silent).then(|| Type::U16.into());
            let result = Type::Result { ok, err: Some(Type::String.into()) };
            let node = node(Merge::Results, Type::list(result));
            let settled = Some(Cause::Sibling);
            let mut branches =
                Branches { results: vec![None; all.len()], settled, ..Branches::default() };
            let mut expected = Vec::new();
            for (at, one) in (0..).zip(&all) {
                let failed = |said: &str| Value::Result(Err(Some(Arc::new(Value::string(said)))));
                match one {
                    Became::Value(number) => {
                        branches.keep(at, if silent { Value::unit() } else { Value::U16(*number) });
                        let payload = (!silent).then(|| Arc::new(Value::U16(*number)));
                        expected.push(Value::Result(Ok(payload)));
                    }
                    Became::Failed(number) => {
                        branches.fail(&node, at, Ending::TimedOut, Some(&number.to_string()));
                        expected.push(failed(&format!("timed-out: {number}")));
                    }
                    Became::Dropped => {
                        branches.fail(&node, at, Ending::Cancelled, None);
                        expected.push(failed("cancelled: another branch of its group did not succeed"));
                    }
                    Became::LeftOut => branches.left_out.push(at),
                }
            }
            prop_assert_eq!(branches.join(&node), Some(Value::List(expected.into())));
        }

        #[test]
        fn a_list_has_what_there_is_in_order(all in prop::collection::vec(any::<Option<u16>>(), 0..40)) {
            let results = all.iter().map(|one| one.map(Value::U16)).collect();
            let joined = Branches { results, ..Branches::default() }
                .join(&node(Merge::List, Type::list(Type::U16)));
            let expected = all.iter().flatten().copied().map(Value::U16).collect();
            prop_assert_eq!(joined, Some(Value::List(expected)));
        }
    }
}
