//! Each policy of a group by example.

use super::script::{Script, again, cancel, closed, counts, ended, open, over, settled, submit, unstarted};
use super::{attempt, ms, node, plan, retry};
use crate::id::NodeId;
use crate::model::{Breaker, Cause, Ending, GroupPolicy, OnFailure, RateLimit, Require, Status};
use crate::schedule::{Action, Input, NodePlan};

fn with(policy: GroupPolicy) -> NodePlan {
    NodePlan { policy, ..node() }
}

fn requiring(require: Require) -> NodePlan {
    with(GroupPolicy { require, ..GroupPolicy::default() })
}

fn first_success() -> NodePlan {
    NodePlan { first_success: true, ..requiring(Require::Any) }
}

fn timeout(milliseconds: u64) -> GroupPolicy {
    GroupPolicy { timeout: Some(ms(milliseconds)), ..GroupPolicy::default() }
}

fn breaker(failures: u32) -> GroupPolicy {
    let breaker = Some(Breaker { failures, cooldown: ms(1_000) });
    GroupPolicy { breaker, ..GroupPolicy::default() }
}

fn rate(attempts: u32) -> GroupPolicy {
    let rate_limit = Some(RateLimit { attempts, per: ms(1_000) });
    GroupPolicy { rate_limit, ..GroupPolicy::default() }
}

#[test]
fn a_group_that_has_what_it_requires_succeeds_although_branches_failed() {
    let requirements = [
        (Require::All, Status::Failed),
        (Require::Any, Status::Succeeded),
        (Require::AtLeast(1), Status::Succeeded),
        (Require::AtLeast(2), Status::Failed),
        (Require::AtLeast(0), Status::Succeeded),
        (Require::Critical(vec![1]), Status::Succeeded),
        (Require::Critical(vec![0, 1]), Status::Failed),
    ];
    for (require, status) in requirements {
        let (mut script, _) = Script::group(requiring(require.clone()), 3, 3);
        script.finished(attempt(0, 0, 1), Ending::Failed);
        script.finished(attempt(0, 2, 1), Ending::TimedOut);
        let total = counts(1, 2, 0);
        let expected = [ended(0, 1, Ending::Succeeded, 1), closed(0, status, total), over(status, total)];
        assert_eq!(script.succeed(0, 1), expected, "{require:?}");
    }
}

#[test]
fn what_waits_for_a_group_that_succeeded_in_part_runs() {
    let next = NodePlan { after: [NodeId(0)].into(), ..node() };
    let mut script = Script::new(plan([requiring(Require::Any), next]), 8);
    script.tell(Input::Begin);
    script.opened(0, 2);
    script.finished(attempt(0, 0, 1), Ending::Failed);
    assert_eq!(script.succeed(0, 1).last(), Some(&open(1)));
}

#[test]
fn cancel_waits_until_the_requirement_is_out_of_reach() {
    let cancelling = NodePlan { on_failure: OnFailure::Cancel, ..requiring(Require::AtLeast(2)) };
    let (mut script, _) = Script::group(cancelling, 4, 3);
    let failed = |index| ended(0, index, Ending::Failed, 1);
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed), [failed(0), submit(0, 3, 1)]);
    assert_eq!(script.finished(attempt(0, 1, 1), Ending::Failed), [failed(1)]);
    assert_eq!(
        script.finished(attempt(0, 2, 1), Ending::Failed),
        [failed(2), settled(Cause::Sibling), cancel(3, Cause::Sibling)]
    );
    let actions = script.succeed(0, 3);
    assert_eq!(actions.last(), Some(&over(Status::Failed, counts(1, 3, 0))));
}

#[test]
fn cancel_minds_critical_members_alone() {
    let cancelling = NodePlan { on_failure: OnFailure::Cancel, ..requiring(Require::Critical(vec![2])) };
    let (mut script, _) = Script::group(cancelling, 4, 8);
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed), [ended(0, 0, Ending::Failed, 1)]);
    assert_eq!(
        script.finished(attempt(0, 2, 1), Ending::Failed)[1..],
        [settled(Cause::Sibling), cancel(1, Cause::Sibling), cancel(3, Cause::Sibling)]
    );
}

#[test]
fn the_first_success_cancels_the_rest() {
    let (mut script, _) = Script::group(first_success(), 9, 3);
    assert_eq!(
        script.finished(attempt(0, 0, 1), Ending::Failed),
        [ended(0, 0, Ending::Failed, 1), submit(0, 3, 1)]
    );
    assert_eq!(
        script.succeed(0, 2),
        [
            ended(0, 2, Ending::Succeeded, 1),
            settled(Cause::Winner),
            cancel(1, Cause::Winner),
            cancel(3, Cause::Winner),
            unstarted(0, 4..9),
        ]
    );
    // Too late to be stopped.
    script.succeed(0, 3);
    let actions = script.finished(attempt(0, 1, 1), Ending::Cancelled);
    assert_eq!(actions.last(), Some(&over(Status::Succeeded, counts(2, 1, 6))));
}

#[test]
fn without_any_success_there_is_no_first() {
    let (mut script, _) = Script::group(first_success(), 2, 3);
    script.finished(attempt(0, 0, 1), Ending::Failed);
    let actions = script.finished(attempt(0, 1, 1), Ending::Trapped);
    assert_eq!(actions.last(), Some(&over(Status::Failed, counts(0, 2, 0))));
    let (_, actions) = Script::group(first_success(), 0, 3);
    assert_eq!(actions.last(), Some(&over(Status::Failed, counts(0, 0, 0))));
}

#[test]
fn a_first_success_that_an_interrupt_finds_running_counts() {
    let (mut script, _) = Script::group(first_success(), 3, 2);
    script.tell(Input::Interrupt);
    script.tell(Input::Returned { id: attempt(0, 1, 1) });
    assert_eq!(script.succeed(0, 0).last(), Some(&over(Status::Succeeded, counts(1, 0, 2))));
}

#[test]
fn an_interrupted_group_is_cancelled_although_it_has_enough() {
    let (mut script, _) = Script::group(requiring(Require::Any), 3, 1);
    script.tell(Input::Interrupt);
    assert_eq!(script.succeed(0, 0).last(), Some(&over(Status::Cancelled, counts(1, 0, 2))));
    let (mut script, _) = Script::group(requiring(Require::AtLeast(3)), 3, 1);
    script.tell(Input::Interrupt);
    let actions = script.finished(attempt(0, 0, 1), Ending::Failed);
    assert_eq!(actions.last(), Some(&over(Status::Failed, counts(0, 1, 2))));
}

#[test]
fn a_timeout_ends_what_runs_and_what_waits() {
    let slow = NodePlan { retry: vec![retry(2)], ..with(timeout(800)) };
    let mut script = Script::new(plan([slow]), 2);
    script.tell(Input::Begin);
    script.now = 200;
    script.opened(0, 4);
    assert_eq!(script.scheduler.wake_at(), Some(ms(1_000)));
    script.now = 300;
    assert_eq!(script.finished(attempt(0, 0, 1), Ending::Failed)[0], again(0, 1, 1_000));
    script.now = 999;
    assert_eq!(script.tell(Input::Tick), []);
    script.now = 1_000;
    assert_eq!(
        script.tell(Input::Tick),
        [
            settled(Cause::GroupTimeout),
            cancel(1, Cause::GroupTimeout),
            cancel(2, Cause::GroupTimeout),
            ended(0, 0, Ending::Cancelled, 1),
            unstarted(0, 3..4),
        ]
    );
    assert_eq!(script.scheduler.wake_at(), None);
    script.finished(attempt(0, 1, 1), Ending::Cancelled);
    let actions = script.finished(attempt(0, 2, 1), Ending::Cancelled);
    assert_eq!(actions.last(), Some(&over(Status::Failed, counts(0, 0, 4))));
}

#[test]
fn a_timeout_leaves_what_is_enough() {
    let slow = with(GroupPolicy { require: Require::Any, ..timeout(1_000) });
    let (mut script, _) = Script::group(slow, 2, 8);
    script.succeed(0, 1);
    script.now = 1_000;
    script.tell(Input::Tick);
    let actions = script.finished(attempt(0, 0, 1), Ending::Cancelled);
    assert_eq!(actions.last(), Some(&over(Status::Succeeded, counts(1, 0, 1))));
}

#[test]
fn a_timeout_holds_while_the_run_stops_and_not_once_the_group_has_ended() {
    let (mut script, _) = Script::group(with(timeout(1_000)), 1, 8);
    script.tell(Input::Interrupt);
    assert_eq!(script.scheduler.wake_at(), Some(ms(1_000)));
    script.now = 1_000;
    let actions = script.tell(Input::Tick);
    assert_eq!(actions, [settled(Cause::GroupTimeout), cancel(0, Cause::GroupTimeout)]);
    let (mut script, _) = Script::group(with(timeout(1_000)), 1, 8);
    script.succeed(0, 0);
    assert_eq!(script.scheduler.wake_at(), None);
}

#[test]
fn a_breaker_lets_one_probe_through_after_each_cooldown() {
    let (mut script, _) = Script::group(with(breaker(2)), 9, 3);
    script.finished(attempt(0, 0, 1), Ending::Failed);
    let opened = Action::BreakerOpened { node: NodeId(0) };
    assert_eq!(
        script.finished(attempt(0, 1, 1), Ending::Failed),
        [ended(0, 1, Ending::Failed, 1), opened.clone()]
    );
    // One that ran before says nothing of the time since.
    assert_eq!(script.succeed(0, 2), [ended(0, 2, Ending::Succeeded, 1)]);
    assert_eq!(script.scheduler.wake_at(), Some(ms(1_000)));
    script.now = 1_000;
    assert_eq!(script.tell(Input::Tick), [submit(0, 4, 1)]);
    assert_eq!(script.scheduler.wake_at(), None);
    script.now = 1_100;
    assert_eq!(script.finished(attempt(0, 4, 1), Ending::Failed), [ended(0, 4, Ending::Failed, 1)]);
    script.now = 2_100;
    // Another node's end, or anything else, lets no second one through.
    assert_eq!(script.tell(Input::Tick), [submit(0, 5, 1)]);
    assert_eq!(script.tell(Input::Tick), []);
    assert_eq!(
        script.succeed(0, 5),
        [
            ended(0, 5, Ending::Succeeded, 1),
            Action::BreakerClosed { node: NodeId(0) },
            submit(0, 6, 1),
            submit(0, 7, 1),
        ]
    );
}

#[test]
fn a_breaker_gives_up_after_the_third_probe() {
    let (mut script, _) = Script::group(NodePlan { retry: vec![retry(9)], ..with(breaker(1)) }, 9, 1);
    script.finished(attempt(0, 0, 1), Ending::Failed);
    for (second, number) in [(1, 2), (2, 3), (3, 4)] {
        script.now = second * 1_000;
        assert_eq!(script.tell(Input::Tick), [submit(0, 0, number)]);
        let actions = script.finished(attempt(0, 0, number), Ending::Failed);
        if number < 4 {
            assert_eq!(actions, [again(0, number, 1_000)]);
        } else {
            let total = counts(0, 0, 9);
            assert_eq!(
                actions,
                [
                    ended(0, 0, Ending::Cancelled, 4),
                    settled(Cause::Breaker),
                    unstarted(0, 1..9),
                    closed(0, Status::Failed, total),
                    over(Status::Failed, total),
                ]
            );
        }
    }
}

#[test]
fn a_rate_spreads_attempts_and_holds_nobody_else_back() {
    let mut script = Script::new(plan([with(rate(10)), node()]), 8);
    script.tell(Input::Begin);
    assert_eq!(script.opened(0, 3), [submit(0, 0, 1)]);
    assert_eq!(script.opened(1, 2), [submit(1, 0, 1), submit(1, 1, 1)]);
    // 101 ms apart, of which 10 may be made up for.
    assert_eq!(script.scheduler.wake_at(), Some(ms(91)));
    script.now = 91;
    assert_eq!(script.tell(Input::Tick), [submit(0, 1, 1)]);
    assert_eq!(script.scheduler.wake_at(), Some(ms(192)));
    script.now = 300;
    assert_eq!(script.tell(Input::Tick), [submit(0, 2, 1)]);
    assert_eq!(script.scheduler.wake_at(), None);
}

#[test]
fn what_waits_for_the_rate_is_cancelled_with_the_others() {
    let cancelling = NodePlan { on_failure: OnFailure::Cancel, ..with(rate(1)) };
    let (mut script, _) = Script::group(cancelling, 3, 8);
    let total = counts(0, 1, 2);
    assert_eq!(
        script.finished(attempt(0, 0, 1), Ending::Failed),
        [
            ended(0, 0, Ending::Failed, 1),
            settled(Cause::Sibling),
            unstarted(0, 1..3),
            closed(0, Status::Failed, total),
            over(Status::Failed, total),
        ]
    );
    assert_eq!(script.scheduler.wake_at(), None);
}
