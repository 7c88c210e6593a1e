//! Runs that go on from what is recorded of them: cut anywhere, they end as they would have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::cases::{Answer, Case, cases};
use super::{attempt, branch, node, plan, retry};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{Ending, GroupPolicy, OnFailure, Status};
use crate::schedule::{Action, Input, Recorded, Scheduler};

/// One line of a journal, as far as the scheduler is concerned.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Line {
    Attempt(AttemptId, Ending),
    Ended(BranchId, Ending, u32),
}

/// How a run ended.
#[derive(Clone, PartialEq, Debug, Default)]
struct End {
    nodes: BTreeMap<NodeId, Status>,
    branches: BTreeMap<BranchId, (Ending, u32)>,
}

/// How an attempt ends: by its id alone.
fn fate(seed: u64, id: AttemptId) -> (Ending, bool) {
    let AttemptId { branch: BranchId { node, index }, number } = id;
    let mut mixed = seed ^ (u64::from(node.0) << 40 | u64::from(index) << 8 | u64::from(number));
    mixed = (mixed ^ mixed >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x81da_def4_bc2d_d44d);
    let ending = match (mixed >> 33) % 16 {
        0..10 => Ending::Succeeded,
        10 | 11 => Ending::Failed,
        12 => Ending::Trapped,
        13 => Ending::TimedOut,
        14 => Ending::Lost,
        _ => Ending::Rejected,
    };
    (ending, mixed.is_multiple_of(7))
}

/// What a journal comes to for one node.
fn recorded(log: &[Line], of: NodeId) -> Vec<Recorded> {
    let mut branches: BTreeMap<u32, Recorded> = BTreeMap::new();
    for line in log {
        let (branch, attempts, lost, ended) = match *line {
            Line::Attempt(id, ending) => (id.branch, id.number, ending == Ending::Lost, None),
            Line::Ended(branch, ending, attempts) => (branch, attempts, false, Some(ending)),
        };
        if branch.node == of {
            let index = branch.index;
            let new = Recorded { index, attempts: 0, lost: 0, before: 0, ended: None };
            let known = branches.entry(index).or_insert(new);
            (known.attempts, known.ended) = (attempts, ended);
            known.lost += u32::from(lost);
        }
    }
    branches.into_values().collect()
}

/// Runs a case, from what `log` has of it, to its end, and appends to `log`. What runs ends in an order
/// that `turn` makes.
fn run(case: &Case, log: &mut Vec<Line>, turn: usize) -> End {
    let before = log.clone();
    let mut scheduler = Scheduler::new(case.plan.clone(), case.seed, case.capacity);
    let (mut end, mut over) = (End::default(), false);
    let (mut flying, mut opening, mut inputs) = (Vec::new(), VecDeque::new(), VecDeque::from([Input::Begin]));
    let ended: BTreeSet<BranchId> = before
        .iter()
        .filter_map(|line| match line {
            Line::Ended(branch, ..) => Some(*branch),
            Line::Attempt(..) => None,
        })
        .collect();
    let mut now = Duration::ZERO;
    for step in 0_usize.. {
        let Some(input) = inputs.pop_front() else {
            if let Some(node) = opening.pop_front() {
                let branches = recorded(&before, node);
                inputs.push_back(Input::Recorded { node, branches });
                inputs.push_back(match case.answers[node.index()].clone() {
                    Answer::Opened { branches, left_out } => Input::Opened { node, branches, left_out },
                    Answer::Skipped => Input::Skipped { node },
                    Answer::Refused => Input::Refused { node },
                });
            } else if !flying.is_empty() {
                let id: AttemptId = flying.remove(step.wrapping_mul(turn) % flying.len());
                let (ending, permanent) = fate(case.seed, id);
                inputs.push_back(Input::Finished { id, ending, permanent, again: false, ends: None });
            } else if let Some(at) = scheduler.wake_at() {
                now = at;
                inputs.push_back(Input::Tick);
            } else {
                break;
            }
            continue;
        };
        let finished = match &input {
            Input::Finished { id, ending, .. } => Some((*id, *ending)),
            _ => None,
        };
        let mut actions = Vec::new();
        scheduler.handle(input, now, &mut actions);
        for action in actions {
            match action {
                Action::Open { node } => opening.push_back(node),
                Action::Submit { id } => {
                    assert!(!ended.contains(&id.branch), "{id:?} has ended already");
                    let known = recorded(&before, id.branch.node);
                    let known = known.iter().find(|known| known.index == id.branch.index);
                    assert!(known.is_none_or(|known| known.attempts < id.number), "{id:?} after {known:?}");
                    flying.push(id);
                }
                Action::Cancel { id, .. } => {
                    flying.retain(|flies| *flies != id);
                    inputs.push_back(Input::Finished {
                        id,
                        ending: Ending::Cancelled,
                        permanent: false,
                        again: false,
                        ends: None,
                    });
                }
                Action::Retry { id, .. } => {
                    let (finished, ending) = finished.unwrap();
                    assert_eq!(finished, id);
                    log.push(Line::Attempt(id, ending));
                }
                Action::Ended { branch, ending, attempts } => log.push(Line::Ended(branch, ending, attempts)),
                Action::EndedUnstarted { node, range } => {
                    let ended = |index| Line::Ended(BranchId { node, index }, Ending::Cancelled, 0);
                    log.extend(range.map(ended));
                }
                Action::Closed { node, status, .. } => {
                    opening.retain(|opens| *opens != node);
                    end.nodes.insert(node, status);
                }
                Action::Settled { .. } | Action::BreakerOpened { .. } | Action::BreakerClosed { .. } => {}
                Action::Over { .. } => over = true,
            }
        }
    }
    assert!(over, "the run never ends");
    assert_eq!(scheduler.stale(), 0);
    for line in &*log {
        if let Line::Ended(branch, ending, attempts) = line {
            let twice = end.branches.insert(*branch, (*ending, *attempts));
            assert_eq!(twice, None, "{branch:?} has two outcomes");
        }
    }
    end
}

/// Cases in which nothing depends on what happened to end first, or when.
fn timeless() -> impl Strategy<Value = Case> {
    cases().prop_map(|mut case| {
        for node in &mut case.plan.nodes {
            let require = node.policy.require.clone();
            node.policy = GroupPolicy { require, ..GroupPolicy::default() };
            node.first_success = false;
            // How far a group comes that is cancelled depends on what else runs.
            if !node.groups.is_empty() {
                node.on_failure = OnFailure::Continue;
            }
        }
        case
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn h1_whatever_the_policies_a_run_cut_anywhere_ends_with_one_outcome_for_each_branch(
        case in cases(), cut in any::<prop::sample::Index>(), turn in 1_usize..100,
    ) {
        let mut log = Vec::new();
        let expected = run(&case, &mut log, turn);
        log.truncate(cut.index(log.len() + 1));
        let end = run(&case, &mut log, turn + 1);
        prop_assert_eq!(end.nodes.len(), expected.nodes.len());
    }

    #[test]
    fn h1_a_run_cut_anywhere_ends_as_it_would_have(
        case in timeless(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..4), turn in 1_usize..100,
    ) {
        let mut whole = Vec::new();
        let expected = run(&case, &mut whole, turn);
        let mut log = whole;
        for cut in cuts {
            log.truncate(cut.index(log.len() + 1));
            let end = run(&case, &mut log, turn + 1);
            prop_assert_eq!(&end.nodes, &expected.nodes);
            // Which branches another one's failure cancels depends on what ran first.
            let settled = |end: &End| -> Vec<_> {
                let continues = |node: NodeId| case.plan.nodes[node.index()].on_failure == OnFailure::Continue;
                end.branches.iter().filter(|(branch, _)| continues(branch.node)).map(|(b, e)| (*b, *e)).collect()
            };
            prop_assert_eq!(settled(&end), settled(&expected));
        }
    }

    #[test]
    fn a_run_of_which_all_is_recorded_runs_nothing(case in timeless(), turn in 1_usize..100) {
        let mut log = Vec::new();
        let expected = run(&case, &mut log, turn);
        let whole = log.clone();
        let end = run(&case, &mut log, turn);
        prop_assert_eq!(end.nodes, expected.nodes);
        prop_assert_eq!(log, whole, "something was told again");
    }
}

#[test]
fn attempts_before_count_against_no_budget() {
    let mut group = node();
    group.retry = vec![retry(2)];
    let mut scheduler = Scheduler::new(plan([group]), 1, 8);
    let mut tell = |input| {
        let mut actions = Vec::new();
        scheduler.handle(input, Duration::ZERO, &mut actions);
        actions
    };
    let stale = Recorded { index: 0, attempts: 1, lost: 0, before: 0, ended: None };
    tell(Input::Begin);
    tell(Input::Recorded {
        node: NodeId(0),
        branches: vec![
            Recorded { index: 1, attempts: 2, before: 2, ..stale },
            Recorded { index: 0, attempts: 2, ended: Some(Ending::Succeeded), ..stale },
            Recorded { index: 9, attempts: 2, ended: Some(Ending::Failed), ..stale },
        ],
    });
    let actions = tell(Input::Opened { node: NodeId(0), branches: 2, left_out: vec![] });
    assert_eq!(actions, [Action::Submit { id: attempt(0, 1, 3) }]);
    let failed = |number| Input::Finished {
        id: attempt(0, 1, number),
        ending: Ending::Failed,
        permanent: false,
        again: false,
        ends: None,
    };
    assert!(matches!(tell(failed(3))[..], [Action::Retry { .. }]), "the second attempt is still due");
    tell(Input::Recorded { node: NodeId(0), branches: vec![stale] });
    assert_eq!(scheduler.stale(), 1);
    let mut actions = Vec::new();
    scheduler.handle(Input::Tick, Duration::from_secs(1), &mut actions);
    assert_eq!(actions, [Action::Submit { id: attempt(0, 1, 4) }]);
    actions.clear();
    scheduler.handle(failed(4), Duration::from_secs(1), &mut actions);
    assert_eq!(actions[0], Action::Ended { branch: branch(0, 1), ending: Ending::Failed, attempts: 4 });
}
