//! The branches of one node while it runs: their calls, items and results.

use std::sync::Arc;
use std::time::Instant;

use super::items::OpenItems;
use super::secrets::Secrets;
use crate::id::RunId;
use crate::model::{
    Call, Cause, Component, EnvironmentValue, Expr, Form, Group, Kind, Merge, Node, Require, Task, Totals,
    Value,
};

/// One node while it runs.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    /// What the branches call, one for all or one a member, and whether making its arguments may block.
    calls: Vec<(Arc<Call>, bool)>,
    /// The items of a for-each group.
    pub(crate) items: Option<OpenItems>,
    /// Values by branch, where anything refers to them.
    results: Vec<Option<Value>>,
    /// Whether only the first value counts, whichever branch it is from. It has the only place.
    first_only: bool,
    /// Why the node was decided before all its branches had ended, if it was.
    pub(crate) settled: Option<Cause>,
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

/// What calls are made from.
pub(crate) struct Making<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) seed: u64,
    pub(crate) components: &'a [Component],
    pub(crate) secrets: &'a Secrets,
}

impl Branches {
    /// The node opened with so many branches. Without `keep`, values are dropped as they come.
    pub(crate) fn open(&mut self, node: &Node, count: u32, keep: bool, making: &Making<'_>) {
        let group = match node.kind {
            Kind::Task(_) => None,
            Kind::Group(_) => Some(&node.name),
        };
        let prepared = |task: &Task| {
            let call = Arc::new(making.call(task, group, count)?);
            Some((call, task.arguments.iter().any(Expr::reads_files)))
        };
        self.calls = node.tasks().filter_map(prepared).collect();
        self.first_only = match &node.kind {
            Kind::Task(_) => false,
            Kind::Group(group) => group.merge.takes_first(),
        };
        let places = if self.first_only { 1 } else { count as usize };
        self.results = if keep { vec![None; places] } else { Vec::new() };
        self.opened = Some(Instant::now());
    }

    /// What the branch `index` calls, and whether making its arguments may block.
    pub(crate) fn call(&self, index: u32) -> Option<&(Arc<Call>, bool)> {
        self.calls.get(index as usize).or_else(|| self.calls.first())
    }

    /// Keeps a branch's value, where values are kept.
    pub(crate) fn keep(&mut self, index: u32, value: Value) {
        let place = if self.first_only { 0 } else { index as usize };
        if let Some(slot) = self.results.get_mut(place) {
            slot.get_or_insert(value);
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
        match &node.kind {
            Kind::Task(_) => results.into_iter().next().flatten(),
            Kind::Group(Group { merge: Merge::FirstSuccess, .. }) => results.into_iter().next().flatten(),
            Kind::Group(Group { form, merge: Merge::Collect, policy, .. }) => match form {
                Form::ForEach { .. } => {
                    let values = match policy.require {
                        Require::All => results.into_iter().collect::<Option<Vec<_>>>()?,
                        Require::Any | Require::AtLeast(_) | Require::Critical(_) => {
                            results.into_iter().flatten().collect()
                        }
                    };
                    list(values, node.value.is_bytes())
                }
                Form::Tasks(members) => {
                    let fields = (0..).zip(results).zip(members).map(|((index, value), member)| {
                        if member.when.is_none() && policy.require.needs(index, members.len()) {
                            value
                        } else {
                            Some(Value::Option(value.map(Arc::new)))
                        }
                    });
                    Some(Value::Record(fields.collect::<Option<_>>()?))
                }
            },
        }
    }
}

/// A list of values, which is bytes where they are.
fn list(values: Vec<Value>, bytes: bool) -> Option<Value> {
    if !bytes {
        return Some(Value::List(values.into()));
    }
    let byte = |value| if let Value::U8(byte) = value { Some(byte) } else { None };
    Some(Value::Bytes(values.into_iter().map(byte).collect::<Option<Vec<u8>>>()?.into()))
}

impl Making<'_> {
    fn call(&self, task: &Task, group: Option<&Arc<str>>, count: u32) -> Option<Call> {
        let policy = &task.policy;
        let environment = policy.grants.environment.iter().filter_map(|(name, value)| {
            let value = match value {
                EnvironmentValue::Literal(text) => text,
                EnvironmentValue::Secret { name } => self.secrets.get(name)?,
            };
            Some((Arc::clone(name), Arc::clone(value)))
        });
        Some(Call {
            component: self.components.get(task.component)?.digest,
            entry: task.entry.clone(),
            signature: Arc::clone(&task.signature),
            limits: policy.limits.clone(),
            directories: policy.grants.directories.clone(),
            environment: environment.collect(),
            net: policy.grants.net.as_slice().into(),
            http: policy.grants.http.as_slice().into(),
            deterministic: policy.deterministic.then_some(self.seed),
            run: self.run.clone(),
            task: Arc::clone(&task.name),
            group: group.map(Arc::clone),
            count: u64::from(count),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Type;

    #[test]
    fn a_list_of_bytes_is_joined_as_bytes() {
        let task = Task {
            name: "t".into(),
            component: 0,
            entry: crate::model::Entry::Command { bytes: false },
            signature: Arc::new(crate::model::Signature::command(false)),
            arguments: Vec::new(),
            policy: crate::model::Policy::default(),
        };
        let node = |value: Type| Node {
            name: "g".into(),
            after: Default::default(),
            when: None,
            kind: Kind::Group(Group {
                form: Form::ForEach {
                    task: Box::new(task.clone()),
                    items: crate::model::Items::Range { start: 0, end: 2 },
                },
                concurrency: None,
                on_failure: Default::default(),
                policy: Default::default(),
                merge: Merge::Collect,
                max_branches: 2,
            }),
            value,
        };
        let joined = |value: Type, results: [Value; 2]| {
            let results = results.into_iter().map(Some).collect();
            Branches { results, ..Branches::default() }.join(&node(value)).unwrap()
        };
        let bytes = joined(Type::bytes(), [Value::U8(1), Value::U8(2)]);
        assert_eq!(bytes, Value::Bytes(vec![1, 2].into()));
        let list = joined(Type::list(Type::U16), [Value::U16(1), Value::U16(2)]);
        assert_eq!(list, Value::List(Arc::new([Value::U16(1), Value::U16(2)])));
    }
}
