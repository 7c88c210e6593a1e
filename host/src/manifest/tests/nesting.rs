//! Groups inside groups: the nodes that they become, their types, and what people are told of those that
//! make no sense.

use std::fmt::Write as _;

use super::Project;
use super::broken::{told, with};
use super::whole::{group, node, right};
use crate::id::{BranchId, NodeId};
use crate::manifest::nesting::DEEPEST;
use crate::model::{Form, Require, Runs};

/// Tasks of some types, two groups of which one merges by a task, and then `rest`.
fn groups(rest: &str) -> String {
    with(&format!(
        r#"
[tasks.ready]
run = "text#ready"
[tasks.split]
run = "text#split"
with = {{ text = "x", parts = 1 }}
[tasks.count]
run = "text#count-words"
with = {{ text = "${{item}}" }}
[tasks.fold]
run = "text#merge-counts"
[groups.list]
task = "count"
for-each = "${{split}}"
when = "${{go}}"
[groups.total]
task = "count"
for-each = ["a"]
merge = {{ task = "fold" }}
after = ["first"]
[tasks.go]
run = "text#ready"
[tasks.first]
run = "text#ready"
{rest}
"#
    ))
}

#[test]
fn a_group_that_is_a_member_has_nodes_of_its_own_and_is_waited_for_through_the_other() {
    let source = groups(
        "[groups.middle]\ntasks = [\"total\", \"ready\", \"list\"]\nrequire = { critical = [\"list\", \"total\"] }\n[groups.outer]\ntasks = [\"middle\"]\n[outputs]\nall = \"${outer.middle.total.total}\"",
    );
    let loaded = right(&Project::new(), &source, |_| {});
    let nodes = &loaded.workflow.nodes;
    let names: Vec<_> = nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["split", "list", "total", "total", "go", "first", "middle", "outer"]);
    let inside: Vec<_> = nodes.iter().map(|node| node.inside.map(|at| (at.node.0, at.index))).collect();
    assert_eq!(inside, [None, Some((6, 2)), Some((6, 0)), Some((6, 0)), None, None, Some((7, 0)), None]);
    let after = |at: usize| nodes[at].after.iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!([after(1), after(2), after(3), after(6)], [vec![], vec![], vec![2], vec![]]);
    assert_eq!(after(7), [0, 4, 5], "what those in it wait for");

    let middle = group(&loaded, "middle");
    let Form::Tasks(members) = &middle.form else { panic!() };
    assert_eq!(members[0].runs, Runs::Group { first: NodeId(2), last: NodeId(3) });
    assert_eq!(members[2].runs, Runs::Group { first: NodeId(1), last: NodeId(1) });
    assert!(members[2].when.is_some() && nodes[1].when.is_none());
    assert_eq!(middle.policy.require, Require::Critical(vec![0, 2]));
    let ty = node(&loaded, "outer").value.to_string();
    assert_eq!(
        ty,
        "record { middle: record { total: counts, ready: option<bool>, list: option<list<counts>> } }"
    );
    assert_eq!(nodes[6].inside, Some(BranchId { node: NodeId(7), index: 0 }));
    assert_eq!(loaded.workflow.outputs.len(), 1);
}

#[test]
fn without_outputs_only_the_outermost_are_told() {
    let source = groups("[groups.outer]\ntasks = [\"total\", \"list\"]");
    let loaded = right(&Project::new(), &source, |_| {});
    let outputs: Vec<_> = loaded.workflow.outputs.iter().map(|output| &*output.name).collect();
    assert!(outputs.contains(&"outer") && !outputs.contains(&"total"), "{outputs:?}");
}

#[test]
fn groups_that_do_not_fit_into_groups_are_refused() {
    told(
        "nested-groups",
        &Project::new(),
        &groups(
            r#"
[groups.a]
tasks = ["ready", "b"]
[groups.b]
tasks = ["c"]
[groups.c]
tasks = ["a"]
[groups.itself]
tasks = ["itself"]
[groups.one]
tasks = ["list", "nothing"]
[groups.two]
tasks = ["list"]
[groups.unlike]
tasks = ["total", "ready"]
merge = "concat"
[groups.waits]
tasks = ["waiting"]
[groups.waiting]
task = "count"
for-each = ["x"]
after = ["late"]
[tasks.late]
run = "text#merge-counts"
with = { parts = "${waits.waiting}" }
[groups.over]
task = "one"
for-each = [1]
[tasks.refers]
run = "text#merge-counts"
with = { parts = "${list}" }
[groups.criticals]
tasks = ["ready"]
require = { critical = ["list"] }
"#,
        ),
    );
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth: usize| {
        let mut source = groups("[groups.g0]\ntasks = [\"ready\", \"list\", \"total\"]\n");
        for at in 1..depth {
            writeln!(source, "[groups.g{at}]\ntasks = [\"g{}\"]", at - 1).unwrap();
        }
        source
    };
    right(&Project::new(), &nested(DEEPEST - 1), |_| {});
    let shown = Project::new().broken(&nested(DEEPEST));
    assert!(shown.contains("is in more than 31 groups") && shown.contains(":29:19"), "{shown}");
    // Far deeper than a stack.
    let mut source = groups("[groups.g0]\ntasks = [\"ready\", \"list\", \"total\"]\n");
    (1..50_000).for_each(|at| writeln!(source, "[groups.g{at}]\ntasks = [\"g{}\"]", at - 1).unwrap());
    assert!(Project::new().broken(&source).contains("is in more than 31 groups"));
}
