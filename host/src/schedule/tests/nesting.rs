//! What it means that a group is a branch of another, by example.

use super::script::{Script, closed, counts, open, over, settled, submit, unstarted};
use super::{attempt, node, plan};
use crate::id::NodeId;
use crate::model::{Cause, Ending, GroupPolicy, OnFailure, RateLimit, Require, Status};
use crate::schedule::{Action, Input, Nested, NodePlan};

/// Node 0, whose three branches have opened; the second is node 1.
fn opened(outer: NodePlan) -> (Script, Vec<Action>) {
    let groups = vec![Nested { index: 1, first: NodeId(1), last: NodeId(1) }];
    let mut script = Script::new(plan([NodePlan { groups, ..outer }, node()]), 8);
    assert_eq!(script.tell(Input::Begin), [open(0)]);
    let actions = script.opened(0, 3);
    (script, actions)
}

#[test]
fn a_group_begins_in_its_turn_and_its_end_is_the_branchs() {
    let (mut script, actions) = opened(NodePlan { concurrency: Some(1), ..node() });
    assert_eq!(actions, [submit(0, 0, 1)]);
    assert_eq!(script.succeed(0, 0)[1..], [open(1)]);
    assert_eq!(script.opened(1, 2), [submit(1, 0, 1), submit(1, 1, 1)], "one branch, whatever runs in it");
    script.succeed(1, 0);
    let actions = script.succeed(1, 1);
    assert_eq!(actions[1..], [closed(1, Status::Succeeded, counts(2, 0, 0)), submit(0, 2, 1)]);
    let all = script.succeed(0, 2);
    assert_eq!(all[1], closed(0, Status::Succeeded, counts(3, 0, 0)));
    assert_eq!(all[2], over(Status::Succeeded, counts(4, 0, 0)), "a group is no branch of the run");
}

#[test]
fn neither_rate_nor_capacity_hold_a_group_back() {
    let rate_limit = Some(RateLimit { attempts: 1, per: std::time::Duration::from_secs(3_600) });
    let policy = GroupPolicy { rate_limit, ..GroupPolicy::default() };
    let groups = vec![Nested { index: 0, first: NodeId(1), last: NodeId(1) }];
    let mut script = Script::new(plan([NodePlan { policy, groups, ..node() }, node()]), 0);
    script.tell(Input::Begin);
    assert_eq!(script.opened(0, 2), [open(1)]);
}

#[test]
fn what_decides_a_group_cancels_those_in_it() {
    let (mut script, actions) = opened(NodePlan { on_failure: OnFailure::Cancel, ..node() });
    assert_eq!(actions, [submit(0, 0, 1), open(1), submit(0, 2, 1)]);
    script.opened(1, 20);
    let actions = script.finished(attempt(0, 0, 1), Ending::Failed);
    let told = Action::Cancel { id: attempt(0, 2, 1), cause: Cause::Sibling };
    assert_eq!(actions[1..3], [settled(Cause::Sibling), told]);
    assert_eq!(actions[3], Action::Settled { node: NodeId(1), cause: Cause::Outer });
    assert_eq!(actions[4], Action::Cancel { id: attempt(1, 0, 1), cause: Cause::Outer });
    assert_eq!(actions.last(), Some(&unstarted(1, 6..20)));
    for index in 0..5 {
        script.succeed(1, index);
    }
    let last = script.finished(attempt(1, 5, 1), Ending::Cancelled);
    assert_eq!(last[1..], [closed(1, Status::Cancelled, counts(5, 0, 15))], "whatever came in meanwhile");
    let end = script.finished(attempt(0, 2, 1), Ending::Cancelled);
    assert_eq!(end[1], closed(0, Status::Failed, counts(0, 1, 2)));
    assert_eq!(end[2], over(Status::Failed, counts(5, 1, 16)));
}

#[test]
fn a_group_that_has_not_begun_is_told_with_the_branches_that_have_not() {
    let policy = GroupPolicy { require: Require::Any, ..GroupPolicy::default() };
    let (mut script, _) = opened(NodePlan { first_success: true, concurrency: Some(1), policy, ..node() });
    let actions = script.succeed(0, 0);
    assert_eq!(actions[1..3], [settled(Cause::Winner), unstarted(0, 1..3)]);
    assert_eq!(actions[3], closed(1, Status::Cancelled, counts(0, 0, 0)));
    assert_eq!(actions[4], closed(0, Status::Succeeded, counts(1, 0, 2)));
    assert_eq!(actions[5], over(Status::Succeeded, counts(1, 0, 1)));
}

#[test]
fn what_fails_in_a_group_that_succeeds_is_no_failure_of_the_run() {
    let policy = GroupPolicy { require: Require::AtLeast(2), ..GroupPolicy::default() };
    let (mut script, _) = opened(NodePlan { policy, ..node() });
    script.succeed(0, 0);
    script.succeed(0, 2);
    let actions = script.tell(Input::Refused { node: NodeId(1) });
    assert_eq!(actions[0], closed(1, Status::Failed, counts(0, 0, 0)));
    assert_eq!(actions[1], closed(0, Status::Succeeded, counts(2, 1, 0)));
    assert_eq!(actions[2], over(Status::Succeeded, counts(2, 0, 0)));
}

#[test]
fn a_node_in_two_groups_fails_all_and_one_in_itself_fails_alone() {
    let of = |first: u32, last: u32| Nested { index: 0, first: NodeId(first), last: NodeId(last) };
    for groups in [[vec![of(2, 2)], vec![of(2, 2)]], [vec![of(9, 9)], vec![]], [vec![of(2, 1)], vec![]]] {
        let nodes = groups.into_iter().map(|groups| NodePlan { groups, ..node() }).chain([node()]);
        let actions = Script::new(plan(nodes), 8).tell(Input::Begin);
        assert_eq!(actions.last(), Some(&over(Status::Failed, counts(0, 0, 0))), "{actions:?}");
    }
    let around = |at: u32| NodePlan { groups: vec![of(1 - at, 1 - at)], ..node() };
    let actions = Script::new(plan([around(0), around(1), node()]), 8).tell(Input::Begin);
    assert_eq!(actions.last(), Some(&open(2)), "{actions:?}");
    assert!(actions.contains(&closed(0, Status::Failed, counts(0, 0, 0))), "{actions:?}");
}
