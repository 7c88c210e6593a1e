//! What tasks ask for: branches that others start, iterations, the end of the run. By example, and that
//! every run ends on random plans.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::script::{Script, again, cancel, closed, counts, ended, open, over, settled, skipped_for, submit};
use super::{after, attempt, branch, ms, node, plan, retry};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Cause, Ending, Status};
use crate::schedule::{Action, Input, NodePlan, Plan, Recorded, Scheduler};

fn may_start(targets: &[u32]) -> NodePlan {
    NodePlan { may_start: targets.iter().copied().map(NodeId).collect(), ..node() }
}

fn started() -> NodePlan {
    NodePlan { started: true, ..node() }
}

fn start(node: u32) -> Input {
    Input::Start { node: NodeId(node) }
}

fn iterate(number: u32) -> Input {
    Input::Finished {
        id: attempt(0, 0, number),
        ending: Ending::Succeeded,
        permanent: false,
        again: true,
        ends: None,
    }
}

const GOOD: Ending = Ending::Succeeded;
const ONE: crate::model::Counts = crate::model::Counts { succeeded: 1, failed: 0, cancelled: 0, cached: 0 };

/// A task that may start another, which a third waits for; the first runs.
fn chain() -> Script {
    let mut script = Script::new(plan([may_start(&[1]), started(), after(&[1])]), 9);
    assert_eq!(script.tell(Input::Begin), [open(0), open(1)]);
    assert_eq!(script.opened(1, 0), []);
    assert_eq!(script.opened(0, 1), [submit(0, 0, 1)]);
    script
}

#[test]
fn what_others_start_runs_and_ends_with_them() {
    let mut script = chain();
    assert_eq!(script.tell(start(1)), [submit(1, 0, 1)]);
    assert_eq!(script.tell(start(1)), [submit(1, 1, 1)]);
    assert_eq!(script.succeed(0, 0), [ended(0, 0, GOOD, 1), closed(0, Status::Succeeded, ONE)]);
    assert_eq!(script.succeed(1, 1), [ended(1, 1, GOOD, 1)]);
    let both = counts(2, 0, 0);
    assert_eq!(script.succeed(1, 0), [ended(1, 0, GOOD, 1), closed(1, Status::Succeeded, both), open(2)]);
    // Nothing can be started of what ended.
    assert_eq!(script.tell(start(1)), []);
    assert_eq!(script.scheduler.stale(), 1);
}

#[test]
fn what_nobody_started_is_empty() {
    let mut script = chain();
    let last = [ended(0, 0, GOOD, 1), closed(0, Status::Succeeded, ONE)];
    let empty = [closed(1, Status::Succeeded, counts(0, 0, 0)), open(2)];
    assert_eq!(script.succeed(0, 0), [&last[..], &empty].concat());
}

#[test]
fn what_failed_might_have_started_more() {
    let mut script = chain();
    assert_eq!(
        script.finished(attempt(0, 0, 1), Ending::Failed),
        [
            ended(0, 0, Ending::Failed, 1),
            closed(0, Status::Failed, counts(0, 1, 0)),
            skipped_for(1, 0),
            skipped_for(2, 1),
            over(Status::Failed, counts(0, 1, 0)),
        ]
    );
}

#[test]
fn what_is_started_before_it_opens_waits() {
    let late = NodePlan { started: true, ..after(&[1]) };
    let mut script = Script::new(plan([may_start(&[2]), node(), late]), 9);
    assert_eq!(script.tell(Input::Begin), [open(0), open(1)]);
    script.opened(0, 1);
    script.opened(1, 1);
    assert_eq!(script.tell(start(2)), []);
    script.succeed(0, 0);
    assert_eq!(script.succeed(1, 0), [ended(1, 0, GOOD, 1), closed(1, Status::Succeeded, ONE), open(2)]);
    // Who opens it knows what was started.
    assert_eq!(script.opened(2, 1), [submit(2, 0, 1)]);
}

#[test]
fn those_that_start_each_other_end_together() {
    let pair = |other: u32| NodePlan { may_start: [NodeId(other)].into(), ..started() };
    let mut script = Script::new(plan([may_start(&[1]), pair(2), pair(1), after(&[2])]), 9);
    script.tell(Input::Begin);
    script.opened(0, 1);
    script.opened(1, 0);
    script.opened(2, 0);
    script.tell(start(1));
    script.succeed(0, 0);
    assert_eq!(script.tell(start(2)), [submit(2, 0, 1)]);
    assert_eq!(script.succeed(1, 0), [ended(1, 0, GOOD, 1)]);
    assert_eq!(script.tell(start(1)), [submit(1, 1, 1)]);
    assert_eq!(script.succeed(2, 0), [ended(2, 0, GOOD, 1)]);
    assert_eq!(
        script.succeed(1, 1),
        [
            ended(1, 1, GOOD, 1),
            closed(1, Status::Succeeded, counts(2, 0, 0)),
            closed(2, Status::Succeeded, ONE),
            open(3),
        ]
    );
}

#[test]
fn those_that_would_wait_for_each_others_ends_fail_at_once() {
    // The second waits for what it may start.
    let first = NodePlan { may_start: [NodeId(1)].into(), ..after(&[1]) };
    let mut script = Script::new(plan([first, started()]), 9);
    let none = counts(0, 0, 0);
    let actions = script.tell(Input::Begin);
    assert_eq!(actions.last(), Some(&over(Status::Failed, none)));
}

#[test]
fn an_iteration_has_budgets_of_its_own() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(2)], ..node() }, 1, 1);
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed), [again(0, 1, 1_000)]);
    script.now = 1_000;
    assert_eq!(script.tell(Input::Tick), [submit(0, 0, 2)]);
    assert_eq!(script.tell(iterate(2)), [submit(0, 0, 3)]);
    assert_eq!(script.finished(attempt(0, 0, 3), Ending::Failed), [again(0, 3, 1_000)]);
    script.now = 2_000;
    assert_eq!(script.tell(Input::Tick), [submit(0, 0, 4)]);
    let end = [closed(0, Status::Failed, counts(0, 1, 0)), over(Status::Failed, counts(0, 1, 0))];
    let failed = script.finished(attempt(0, 0, 4), Ending::Failed);
    assert_eq!(failed, [&[ended(0, 0, Ending::Failed, 4)][..], &end].concat());
}

#[test]
fn an_interrupted_run_leaves_the_next_iteration_to_whoever_goes_on() {
    let (mut script, _) = Script::group(node(), 1, 1);
    assert_eq!(script.tell(Input::Interrupt), []);
    let none = counts(0, 0, 1);
    assert_eq!(
        script.tell(iterate(1)),
        [
            ended(0, 0, Ending::Cancelled, 1),
            closed(0, Status::Cancelled, none),
            over(Status::Cancelled, none)
        ]
    );
}

#[test]
fn what_waits_for_a_task_that_went_elsewhere_is_skipped_but_for_where_it_went() {
    let there = NodePlan { started: true, ..after(&[0]) };
    let mut script = Script::new(plan([may_start(&[1]), there, after(&[0])]), 9);
    script.tell(Input::Begin);
    script.opened(0, 1);
    assert_eq!(script.tell(start(1)), []);
    assert_eq!(script.tell(Input::Leave { node: NodeId(0) }), []);
    assert_eq!(
        script.succeed(0, 0),
        [ended(0, 0, GOOD, 1), closed(0, Status::Succeeded, ONE), open(1), skipped_for(2, 0)]
    );
    assert_eq!(script.opened(1, 1), [submit(1, 0, 1)]);
}

#[test]
fn a_task_ends_the_run() {
    for (succeeded, status, cause) in
        [(true, Status::Succeeded, Cause::Finished), (false, Status::Failed, Cause::Aborted)]
    {
        let mut script = Script::new(plan([node(), after(&[0]), node()]), 2);
        script.tell(Input::Begin);
        script.opened(2, 1);
        script.opened(0, 3);
        let actions = script.tell(Input::End { succeeded });
        let dropped = Action::EndedUnstarted { node: NodeId(0), range: 1..3 };
        let told = Action::Cancel { id: attempt(2, 0, 1), cause };
        let also = Action::Settled { node: NodeId(2), cause };
        assert_eq!(
            actions,
            [
                settled(cause),
                cancel(0, cause),
                dropped,
                closed(1, Status::Cancelled, counts(0, 0, 0)),
                also,
                told
            ]
        );
        assert_eq!(script.tell(Input::End { succeeded: !succeeded }), []);
        script.finished(attempt(0, 0, 1), Ending::Cancelled);
        // What came to its end all the same has its value.
        let end = script.succeed(2, 0);
        assert_eq!(end[1], closed(2, Status::Succeeded, ONE));
        assert_eq!(end[2], over(status, counts(1, 0, 3)));
    }
}

#[test]
fn a_recorded_iteration_goes_on_where_it_was() {
    let mut script = Script::new(plan([NodePlan { retry: vec![retry(2)], ..node() }]), 1);
    script.tell(Input::Begin);
    let known = Recorded { index: 0, attempts: 3, lost: 0, before: 3, ended: None };
    script.tell(Input::Recorded { node: NodeId(0), branches: vec![known] });
    assert_eq!(script.opened(0, 1), [submit(0, 0, 4)]);
    assert_eq!(script.finished(attempt(0, 0, 4), Ending::Failed), [again(0, 4, 1_000)]);
}

/// What one attempt does as it ends.
#[derive(Clone, Debug)]
struct Deed {
    ending: Ending,
    /// Positions among what it may start.
    starts: Vec<usize>,
    again: bool,
    leaves: bool,
    /// Ends the run so.
    ends: Option<bool>,
}

fn deed() -> impl Strategy<Value = Deed> {
    let ending = prop_oneof![12 => Just(GOOD), 2 => Just(Ending::Failed), 1 => Just(Ending::Lost)];
    let starts = prop::collection::vec(0..8_usize, 0..3);
    let ends = prop_oneof![40 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (ending, starts, prop::bool::weighted(0.2), prop::bool::weighted(0.1), ends)
        .prop_map(|(ending, starts, again, leaves, ends)| Deed { ending, starts, again, leaves, ends })
}

fn plans() -> impl Strategy<Value = Plan> {
    let node = (
        any::<bool>(),
        prop::collection::btree_set(0..7_u32, 0..2),
        prop::collection::btree_set(0..7_u32, 0..3),
    );
    prop::collection::vec(node, 1..7).prop_map(|nodes| {
        let is: Vec<bool> = nodes.iter().map(|(started, ..)| *started).collect();
        let ids = |set: BTreeSet<u32>| set.into_iter().map(NodeId).collect();
        plan(nodes.into_iter().map(|(started, after, may)| NodePlan {
            started,
            after: ids(after),
            may_start: ids(may.into_iter().filter(|to| is.get(*to as usize) == Some(&true)).collect()),
            ..node_with_retry()
        }))
    })
}

fn node_with_retry() -> NodePlan {
    NodePlan { retry: vec![retry(2)], ..node() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever tasks ask for: each branch ends once, no node ends while another may start more of it, and
    /// the run ends.
    #[test]
    fn every_run_with_flow_ends(plan in plans(), deeds in prop::collection::vec(deed(), 0..40), stop in 0..200_usize) {
        let mut scheduler = Scheduler::new(plan.clone(), 1, 3);
        let (mut inputs, mut running) = (vec![Input::Begin], BTreeSet::<AttemptId>::new());
        let (mut opening, mut ended) = (BTreeSet::<NodeId>::new(), BTreeSet::<BranchId>::new());
        let mut closed = BTreeMap::<NodeId, Status>::new();
        let (mut count, mut asked) = (BTreeMap::<NodeId, u32>::new(), None::<bool>);
        let (mut deeds, mut over, mut now) = (deeds.into_iter(), None, ms(0));
        for turn in 0..3_000_usize {
            let mut actions = Vec::new();
            for input in std::mem::take(&mut inputs) {
                scheduler.handle(input, now, &mut actions);
            }
            for action in actions {
                match action {
                    Action::Open { node } => prop_assert!(opening.insert(node)),
                    Action::Submit { id } => prop_assert!(running.insert(id)),
                    Action::Ended { branch, .. } => prop_assert!(ended.insert(branch)),
                    Action::EndedUnstarted { node, range } => {
                        for index in range {
                            let branch = BranchId { node, index };
                            prop_assert!(ended.insert(branch));
                        }
                    }
                    Action::Closed { node, status, .. } => {
                        opening.remove(&node);
                        prop_assert!(closed.insert(node, status).is_none());
                        let known = count.get(&node).copied().unwrap_or_default();
                        if status == Status::Succeeded {
                            let all = (0..known).all(|index| ended.contains(&BranchId { node, index }));
                            prop_assert!(all, "{node:?} ended before its branches");
                        }
                    }
                    Action::Over { status, .. } => over = Some(status),
                    Action::Cancel { .. }
                    | Action::Retry { .. }
                    | Action::Settled { .. }
                    | Action::BreakerOpened { .. }
                    | Action::BreakerClosed { .. } => {}
                }
            }
            if over.is_some() {
                break;
            }
            if turn == stop {
                inputs.push(Input::Interrupt);
            } else if let Some(node) = opening.pop_first() {
                let branches = if plan.nodes[node.index()].started { count.get(&node).copied().unwrap_or(0) } else { 1 };
                count.insert(node, branches);
                inputs.push(Input::Opened { node, branches, left_out: vec![] });
            } else if let Some(id) = running.pop_first() {
                let quiet = Deed { ending: GOOD, starts: vec![], again: false, leaves: false, ends: None };
                let deed = deeds.next().unwrap_or(quiet);
                let from = id.branch.node;
                if deed.ending == GOOD {
                    let targets: Vec<NodeId> = plan.nodes[from.index()].may_start.iter().copied().collect();
                    for which in deed.starts.into_iter().filter(|_| !targets.is_empty()) {
                        let node = targets[which % targets.len()];
                        // Whoever runs may start what it may: it has not ended.
                        let stopped = asked.is_some() || turn > stop;
                        prop_assert!(stopped || !closed.contains_key(&node) || closed[&node] != Status::Succeeded);
                        *count.entry(node).or_default() += 1;
                        inputs.push(Input::Start { node });
                    }
                    if deed.leaves {
                        inputs.push(Input::Leave { node: from });
                    }
                }
                let ends = deed.ends.filter(|_| deed.ending == GOOD);
                if let Some(succeeded) = ends {
                    asked.get_or_insert(succeeded);
                }
                inputs.push(Input::Finished { id, ending: deed.ending, permanent: false, again: deed.again, ends });
            } else if let Some(at) = scheduler.wake_at() {
                now = at;
                inputs.push(Input::Tick);
            } else {
                prop_assert!(false, "nothing runs, and the run does not end: {closed:?}");
            }
        }
        prop_assert_eq!(closed.len(), plan.nodes.len());
        if let Some(succeeded) = asked {
            prop_assert_eq!(over, Some(if succeeded { Status::Succeeded } else { Status::Failed }));
        }
        let known = branch(0, 0);
        prop_assert!(over.is_some() && (closed[&known.node] != Status::Succeeded || count.contains_key(&known.node)));
    }
}

/// What many tasks in a row may start is known without looking at all of them for each.
#[test]
fn long_rows_of_starters_neither_recurse_nor_stall() {
    let last = 200_000;
    let row = (0..last).map(|at| NodePlan { started: at > 0, ..may_start(&[at + 1]) });
    let mut script = Script::new(plan(row.chain([started()])), 1);
    let opened = script.tell(Input::Begin);
    assert_eq!((opened.len(), opened.last()), (200_001, Some(&open(last))));

    // The first waits for the last, so none of them would ever end.
    let row = (1..last).map(|at| NodePlan { started: true, ..may_start(&[at + 1]) });
    let first = NodePlan { may_start: [NodeId(1)].into(), ..after(&[last]) };
    let mut script = Script::new(plan([first].into_iter().chain(row).chain([started()])), 1);
    assert_eq!(script.tell(Input::Begin).last(), Some(&over(Status::Failed, counts(0, 0, 0))));
}
