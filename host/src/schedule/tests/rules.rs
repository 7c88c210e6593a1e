//! Each rule by example. Those of a group's own policies are in `policies`.

use super::script::{
    Script, again, cancel, closed, counts, ended, open, over, settled, skipped_for, submit, unstarted,
};
use super::{after, attempt, ms, node, plan, retry};
use crate::id::NodeId;
use crate::model::{Cause, Ending, OnFailure, Status};
use crate::schedule::{Input, NodePlan};

#[test]
fn an_empty_plan_is_over_at_once() {
    let mut script = Script::new(plan([]), 1);
    assert_eq!(script.tell(Input::Begin), [over(Status::Succeeded, counts(0, 0, 0))]);
    assert_eq!(script.tell(Input::Begin), []);
}

#[test]
fn a_node_opens_when_all_it_waits_for_succeeded() {
    let mut script = Script::new(plan([node(), node(), after(&[0, 1])]), 8);
    assert_eq!(script.tell(Input::Begin), [open(0), open(1)]);
    assert_eq!(script.opened(0, 1), [submit(0, 0, 1)]);
    assert_eq!(script.opened(1, 1), [submit(1, 0, 1)]);
    let one = counts(1, 0, 0);
    assert_eq!(script.succeed(0, 0), [ended(0, 0, Ending::Succeeded, 1), closed(0, Status::Succeeded, one)]);
    assert_eq!(
        script.succeed(1, 0),
        [ended(1, 0, Ending::Succeeded, 1), closed(1, Status::Succeeded, one), open(2)]
    );
    assert_eq!(script.opened(2, 1), [submit(2, 0, 1)]);
    assert_eq!(script.succeed(2, 0).last(), Some(&over(Status::Succeeded, counts(3, 0, 0))));
}

#[test]
fn what_depends_on_a_node_without_a_value_is_skipped_and_the_rest_goes_on() {
    let mut script = Script::new(plan([node(), after(&[0]), after(&[1]), node()]), 8);
    script.tell(Input::Begin);
    script.opened(3, 1);
    assert_eq!(
        script.tell(Input::Refused { node: NodeId(0) }),
        [closed(0, Status::Failed, counts(0, 0, 0)), skipped_for(1, 0), skipped_for(2, 1)]
    );
    assert_eq!(script.succeed(3, 0).last(), Some(&over(Status::Failed, counts(1, 0, 0))));
}

#[test]
fn a_node_whose_when_is_false_fails_nothing() {
    let mut script = Script::new(plan([node(), after(&[0])]), 8);
    script.tell(Input::Begin);
    assert_eq!(
        script.tell(Input::Skipped { node: NodeId(0) }),
        [
            closed(0, Status::Skipped, counts(0, 0, 0)),
            skipped_for(1, 0),
            over(Status::Succeeded, counts(0, 0, 0)),
        ]
    );
}

#[test]
fn no_branches_are_a_success() {
    let (_, actions) = Script::group(node(), 0, 8);
    assert_eq!(
        actions,
        [closed(0, Status::Succeeded, counts(0, 0, 0)), over(Status::Succeeded, counts(0, 0, 0))]
    );
}

#[test]
fn members_left_out_count_for_nothing() {
    let mut script = Script::new(plan([node()]), 8);
    script.tell(Input::Begin);
    let left_out = vec![4, 0, 2, 4, 9];
    let actions = script.tell(Input::Opened { node: NodeId(0), branches: 5, left_out });
    assert_eq!(actions, [submit(0, 1, 1), submit(0, 3, 1)]);
    script.succeed(0, 3);
    assert_eq!(script.succeed(0, 1).last(), Some(&over(Status::Succeeded, counts(2, 0, 0))));
}

#[test]
fn nodes_that_wait_in_a_circle_or_for_nobody_fail_instead_of_hanging() {
    let mut script = Script::new(plan([after(&[1]), after(&[0]), after(&[2]), after(&[7]), after(&[0])]), 8);
    let none = counts(0, 0, 0);
    let mut expected: Vec<_> = (0..5).map(|at| closed(at, Status::Failed, none)).collect();
    // What closes with the first of them is skipped for it.
    expected[1] = skipped_for(1, 0);
    expected[2] = skipped_for(4, 0);
    expected[3] = closed(2, Status::Failed, none);
    expected[4] = closed(3, Status::Failed, none);
    expected.push(over(Status::Failed, none));
    assert_eq!(script.tell(Input::Begin), expected);
}

#[test]
fn concurrency_bounds_a_node_and_capacity_all() {
    let bound = NodePlan { concurrency: Some(2), ..node() };
    let mut script = Script::new(plan([bound, node()]), 5);
    script.tell(Input::Begin);
    assert_eq!(script.opened(0, 4), [submit(0, 0, 1), submit(0, 1, 1)]);
    assert_eq!(script.opened(1, 9), [submit(1, 0, 1), submit(1, 1, 1), submit(1, 2, 1)]);
    assert_eq!(script.scheduler.running(), 5);
    // The other one has waited longer for its turn.
    assert_eq!(script.succeed(0, 0), [ended(0, 0, Ending::Succeeded, 1), submit(1, 3, 1)]);
    script.scheduler.set_capacity(7);
    assert_eq!(script.tell(Input::Tick), [submit(0, 2, 1), submit(1, 4, 1)]);
    script.scheduler.set_capacity(1);
    assert_eq!(script.succeed(1, 0), [ended(1, 0, Ending::Succeeded, 1)]);
}

#[test]
fn a_concurrency_of_nothing_still_ends() {
    let (_, actions) = Script::group(NodePlan { concurrency: Some(0), ..node() }, 2, 8);
    assert_eq!(actions, [submit(0, 0, 1)]);
}

#[test]
fn nodes_that_are_ready_take_turns() {
    let mut script = Script::new(plan([node(), node()]), 0);
    script.tell(Input::Begin);
    script.opened(0, 3);
    script.opened(1, 2);
    script.scheduler.set_capacity(4);
    let turns = [submit(0, 0, 1), submit(1, 0, 1), submit(0, 1, 1), submit(1, 1, 1)];
    assert_eq!(script.tell(Input::Tick), turns);
}

#[test]
fn a_failure_leaves_the_others_alone_unless_told_otherwise() {
    let (mut script, _) = Script::group(node(), 3, 2);
    assert_eq!(
        script.finished(attempt(0, 0, 1), Ending::Failed),
        [ended(0, 0, Ending::Failed, 1), submit(0, 2, 1)]
    );
    script.succeed(0, 1);
    assert_eq!(
        script.succeed(0, 2)[1..],
        [closed(0, Status::Failed, counts(2, 1, 0)), over(Status::Failed, counts(2, 1, 0))]
    );
}

#[test]
fn a_failure_cancels_the_others_where_told() {
    let (mut script, _) = Script::group(NodePlan { on_failure: OnFailure::Cancel, ..node() }, 9, 3);
    assert_eq!(
        script.finished(attempt(0, 1, 1), Ending::Trapped),
        [
            ended(0, 1, Ending::Trapped, 1),
            settled(Cause::Sibling),
            cancel(0, Cause::Sibling),
            cancel(2, Cause::Sibling),
            unstarted(0, 3..9),
        ]
    );
    // One was too late to be stopped, and the other never began.
    assert_eq!(script.succeed(0, 0), [ended(0, 0, Ending::Succeeded, 1)]);
    let total = counts(1, 1, 7);
    assert_eq!(
        script.tell(Input::Returned { id: attempt(0, 2, 1) }),
        [ended(0, 2, Ending::Cancelled, 0), closed(0, Status::Failed, total), over(Status::Failed, total)]
    );
}

#[test]
fn a_node_whose_failures_are_values_succeeds_with_them() {
    let tolerant = NodePlan { tolerant: true, on_failure: OnFailure::Cancel, ..node() };
    let (mut script, _) = Script::group(tolerant.clone(), 3, 1);
    let total = counts(0, 1, 2);
    assert_eq!(
        script.finished(attempt(0, 0, 1), Ending::Trapped),
        [
            ended(0, 0, Ending::Trapped, 1),
            settled(Cause::Sibling),
            unstarted(0, 1..3),
            closed(0, Status::Succeeded, total),
            over(Status::Succeeded, total)
        ]
    );
    // An interrupted one has not said all that it could, unless the failure would have stopped it too.
    let going_on = NodePlan { on_failure: OnFailure::Continue, ..tolerant.clone() };
    for (plan, status) in [(going_on, Status::Cancelled), (tolerant, Status::Succeeded)] {
        let (mut script, _) = Script::group(plan, 3, 1);
        script.tell(Input::Interrupt);
        let actions = script.finished(attempt(0, 0, 1), Ending::Failed);
        assert_eq!(actions.last(), Some(&over(status, counts(0, 1, 2))));
    }
}

#[test]
fn a_failure_also_cancels_what_waits_for_its_time() {
    let cancelling = NodePlan { on_failure: OnFailure::Cancel, retry: vec![retry(2)], ..node() };
    let (mut script, _) = Script::group(cancelling, 2, 8);
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed), [again(0, 1, 1_000)]);
    let actions = script.tell(Input::Finished {
        id: attempt(0, 1, 1),
        ending: Ending::Failed,
        permanent: true,
        again: false,
        ends: None,
    });
    assert_eq!(
        actions[..3],
        [ended(0, 1, Ending::Failed, 1), settled(Cause::Sibling), ended(0, 0, Ending::Cancelled, 1)]
    );
    assert_eq!(actions.last(), Some(&over(Status::Failed, counts(0, 1, 1))));
    assert_eq!(script.scheduler.wake_at(), None);
}

#[test]
fn a_failed_attempt_is_retried_after_its_delay_and_gives_way_meanwhile() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(2)], ..node() }, 3, 1);
    script.now = 500;
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed), [again(0, 1, 1_000), submit(0, 1, 1)]);
    assert_eq!(script.scheduler.wake_at(), Some(ms(1_500)));
    script.now = 1_499;
    assert_eq!(script.tell(Input::Tick), []);
    script.now = 1_500;
    assert_eq!(script.tell(Input::Tick), []);
    // What is due goes before what was never submitted.
    assert_eq!(script.succeed(0, 1), [ended(0, 1, Ending::Succeeded, 1), submit(0, 0, 2)]);
    assert_eq!(
        script.finished(attempt(0, 0, 2), Ending::TimedOut),
        [ended(0, 0, Ending::TimedOut, 2), submit(0, 2, 1)]
    );
}

#[test]
fn each_member_has_a_policy_of_its_own() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(1), retry(2)], ..node() }, 2, 8);
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed), [ended(0, 0, Ending::Failed, 1)]);
    assert_eq!(script.finished(attempt(0, 1, 1), Ending::Failed), [again(1, 1, 1_000)]);
}

#[test]
fn permanent_rejected_cancelled_and_unlisted_endings_are_final() {
    let mut listed = retry(5);
    listed.on.trapped = false;
    let (mut script, _) = Script::group(NodePlan { retry: vec![listed], ..node() }, 4, 8);
    for (index, ending) in (0..).zip([Ending::Failed, Ending::Rejected, Ending::Cancelled, Ending::Trapped]) {
        let permanent = ending == Ending::Failed;
        let actions = script.tell(Input::Finished {
            id: attempt(0, index, 1),
            ending,
            permanent,
            again: false,
            ends: None,
        });
        assert_eq!(actions[0], ended(0, index, ending, 1));
    }
}

#[test]
fn lost_attempts_have_a_budget_of_their_own() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(2)], ..node() }, 1, 8);
    for number in 1..=3 {
        assert_eq!(
            script.finished(attempt(0, 0, number), Ending::Lost),
            [again(0, number, 0), submit(0, 0, number + 1)]
        );
    }
    // The fourth attempt is the first that counts, the fifth the last.
    assert_eq!(script.finished(attempt(0, 0, 4), Ending::Failed), [again(0, 4, 1_000)]);
    script.now = 1_000;
    assert_eq!(script.tell(Input::Tick), [submit(0, 0, 5)]);
    assert_eq!(script.finished(attempt(0, 0, 5), Ending::Lost)[0], ended(0, 0, Ending::Lost, 5));
}

#[test]
fn what_is_handed_back_is_submitted_again_under_the_same_id() {
    let (mut script, _) = Script::group(node(), 3, 2);
    assert_eq!(script.tell(Input::Returned { id: attempt(0, 1, 1) }), [submit(0, 1, 1)]);
    assert_eq!(script.succeed(0, 1), [ended(0, 1, Ending::Succeeded, 1), submit(0, 2, 1)]);
}

#[test]
fn an_interrupt_lets_attempts_finish_and_cancels_the_rest_then() {
    let mut script = Script::new(plan([node(), after(&[0]), node()]), 2);
    script.tell(Input::Begin);
    script.opened(0, 5);
    assert_eq!(script.tell(Input::Interrupt), []);
    assert_eq!(script.succeed(0, 0), [ended(0, 0, Ending::Succeeded, 1)]);
    let total = counts(2, 0, 3);
    assert_eq!(
        script.succeed(0, 1),
        [
            ended(0, 1, Ending::Succeeded, 1),
            unstarted(0, 2..5),
            closed(0, Status::Cancelled, total),
            skipped_for(1, 0),
            closed(2, Status::Cancelled, counts(0, 0, 0)),
            over(Status::Cancelled, total),
        ]
    );
    // The node was still opening: its answer comes too late.
    assert_eq!(script.opened(2, 4), []);
    assert_eq!(script.scheduler.stale(), 1);
}

#[test]
fn an_interrupt_that_cancels_nothing_is_no_cancellation() {
    let (mut script, _) = Script::group(node(), 1, 1);
    script.tell(Input::Interrupt);
    assert_eq!(script.succeed(0, 0).last(), Some(&over(Status::Succeeded, counts(1, 0, 0))));
}

#[test]
fn an_interrupt_keeps_what_could_have_come_next_from_opening() {
    let mut script = Script::new(plan([node(), after(&[0])]), 2);
    script.tell(Input::Begin);
    script.opened(0, 1);
    script.tell(Input::Interrupt);
    assert_eq!(
        script.succeed(0, 0)[1..],
        [
            closed(0, Status::Succeeded, counts(1, 0, 0)),
            closed(1, Status::Cancelled, counts(0, 0, 0)),
            over(Status::Cancelled, counts(1, 0, 0)),
        ]
    );
}

#[test]
fn an_interrupt_ends_retries() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(9)], ..node() }, 2, 8);
    script.finished(attempt(0, 0, 1), Ending::Failed);
    script.tell(Input::Interrupt);
    assert_eq!(script.scheduler.wake_at(), None);
    assert_eq!(
        script.finished(attempt(0, 1, 1), Ending::Failed)[..2],
        [ended(0, 1, Ending::Cancelled, 1), ended(0, 0, Ending::Cancelled, 1)]
    );
}

#[test]
fn an_interrupt_before_the_beginning_ends_the_run() {
    let mut script = Script::new(plan([node()]), 1);
    let none = counts(0, 0, 0);
    assert_eq!(
        script.tell(Input::Interrupt),
        [closed(0, Status::Cancelled, none), over(Status::Cancelled, none)]
    );
    assert_eq!(script.tell(Input::Begin), []);
}

#[test]
fn an_abort_cancels_what_runs_each_once() {
    let (mut script, _) = Script::group(node(), 3, 2);
    assert_eq!(script.tell(Input::Interrupt), []);
    let cancels = [cancel(0, Cause::Interrupted), cancel(1, Cause::Interrupted)];
    assert_eq!(script.tell(Input::Abort), cancels);
    assert_eq!(script.tell(Input::Abort), []);
    script.finished(attempt(0, 0, 1), Ending::Cancelled);
    let actions = script.finished(attempt(0, 1, 1), Ending::Cancelled);
    assert_eq!(actions.last(), Some(&over(Status::Cancelled, counts(0, 0, 3))));
}

#[test]
fn outcomes_of_other_attempts_are_counted_and_dropped() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(3)], ..node() }, 3, 2);
    script.finished(attempt(0, 0, 1), Ending::Lost);
    let strangers =
        [attempt(0, 0, 1), attempt(0, 0, 3), attempt(0, 2, 2), attempt(0, 7, 1), attempt(4, 0, 1)];
    for id in strangers {
        assert_eq!(script.finished(id, Ending::Succeeded), [], "{id:?}");
        assert_eq!(script.tell(Input::Returned { id }), [], "{id:?}");
    }
    assert_eq!(script.opened(0, 5), []);
    assert_eq!(script.tell(Input::Skipped { node: NodeId(9) }), []);
    assert_eq!(script.scheduler.stale(), 2 * strangers.len() as u64 + 2);
    assert_eq!(script.scheduler.running(), 2);
}

#[test]
fn a_long_chain_is_no_deep_recursion() {
    let length = 200_000;
    let chain = (0..length).map(|at: u32| if at == 0 { node() } else { after(&[at - 1]) });
    let mut script = Script::new(plan(chain), 1);
    script.tell(Input::Begin);
    let actions = script.tell(Input::Refused { node: NodeId(0) });
    assert_eq!(actions.len(), length as usize + 1);
}

#[test]
fn nodes_of_one_lane_share_a_capacity_and_others_do_not() {
    let lane = |lane| NodePlan { lane, ..node() };
    let mut script = Script::new(plan([lane(0), lane(1), lane(1)]), 2);
    script.tell(Input::Begin);
    assert_eq!(script.opened(0, 10), [submit(0, 0, 1), submit(0, 1, 1)]);
    assert_eq!(script.opened(1, 10), [submit(1, 0, 1), submit(1, 1, 1)]);
    assert_eq!(script.opened(2, 10), []);
    script.scheduler.set_capacity_for(NodeId(2), 5);
    assert_eq!(script.tell(Input::Tick), [submit(1, 2, 1), submit(2, 0, 1), submit(1, 3, 1)]);
}
