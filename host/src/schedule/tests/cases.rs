//! Random cases: graphs, groups, policies, and the moves of the world around them.

use proptest::prelude::*;

use super::ms;
use crate::id::NodeId;
use crate::model::{Breaker, Ending, GroupPolicy, OnFailure, RateLimit, Require, Retry, RetryOn};
use crate::schedule::{Nested, NodePlan, Plan};

/// How a node answers when it is to be opened.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Opened { branches: u32, left_out: Vec<u32> },
    Skipped,
    Refused,
}

/// One move of the world. Numbers choose among what is possible when the move is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Answer(usize),
    Finish(usize, Ending, bool),
    Return(usize),
    Pass(u64),
    Capacity(usize),
    Interrupt,
    Abort,
    /// Input about an attempt that does not run, or a node that is not opening.
    Stale(usize, u32),
}

/// All that a run depends on.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) plan: Plan,
    pub(super) answers: Vec<Answer>,
    pub(super) capacity: usize,
    pub(super) seed: u64,
    pub(super) moves: Vec<Move>,
}

fn retries() -> impl Strategy<Value = Retry> {
    let on = (any::<bool>(), any::<bool>(), any::<bool>());
    (1_u32..4, 0_u64..2_000, 1.0_f64..3.0, 0_u64..3_000, 0.0_f64..=1.0, on).prop_map(
        |(max_attempts, delay, factor, max_delay, jitter, (failed, trapped, timed_out))| Retry {
            max_attempts,
            delay: ms(delay),
            factor,
            max_delay: ms(max_delay),
            jitter,
            on: RetryOn { failed, trapped, timed_out },
        },
    )
}

fn requires() -> impl Strategy<Value = Require> {
    prop_oneof![
        4 => Just(Require::All),
        1 => Just(Require::Any),
        2 => (0_u32..9).prop_map(Require::AtLeast),
        2 => proptest::collection::btree_set(0_u32..12, 0..5)
            .prop_map(|critical| Require::Critical(critical.into_iter().collect())),
    ]
}

fn policies() -> impl Strategy<Value = GroupPolicy> {
    let timeout = proptest::option::weighted(0.2, (0_u64..6_000).prop_map(ms));
    let breaker = (1_u32..5, 1_u64..3_000)
        .prop_map(|(failures, cooldown)| Breaker { failures, cooldown: ms(cooldown) });
    let rate = (1_u32..400).prop_map(|attempts| RateLimit { attempts, per: ms(1_000) });
    let breaker = proptest::option::weighted(0.3, breaker);
    (requires(), timeout, breaker, proptest::option::weighted(0.3, rate)).prop_map(
        |(require, timeout, breaker, rate_limit)| GroupPolicy {
            require,
            timeout,
            breaker,
            rate_limit,
            fallback: None,
        },
    )
}

fn nodes(at: u32) -> impl Strategy<Value = NodePlan> {
    let needed = proptest::collection::btree_set((0..at.max(1)).prop_map(NodeId), 0..=(at.min(3) as usize));
    let on_failure = prop_oneof![Just(OnFailure::Continue), Just(OnFailure::Cancel)];
    let retry = proptest::collection::vec(retries(), 0..4);
    let bound = proptest::option::of(1_u32..4);
    let decided = (proptest::bool::weighted(0.2), proptest::bool::weighted(0.3));
    (needed, bound, on_failure, retry, policies(), decided).prop_map(
        |(after, concurrency, on_failure, retry, mut policy, (first_success, tolerant))| {
            if first_success {
                policy.require = Require::Any;
            }
            // What takes the first success has no failures for values.
            let tolerant = tolerant && !first_success;
            NodePlan {
                after,
                concurrency,
                on_failure,
                policy,
                first_success,
                tolerant,
                retry,
                ..NodePlan::default()
            }
        },
    )
}

/// Whether and where a node is put into a group: among those that may be, at which branch, and whether the
/// next node is a part of it.
type Place = Option<(prop::sample::Index, u32, bool)>;

fn places() -> impl Strategy<Value = (bool, Vec<Place>)> {
    let place = (any::<prop::sample::Index>(), 0_u32..12, proptest::bool::weighted(0.3));
    (any::<bool>(), proptest::collection::vec(proptest::option::weighted(0.5, place), 8))
}

/// So many groups are around a node at most.
const DEEPEST: usize = 3;

/// Puts nodes into groups, which come before them or, going backwards, after them.
fn nest(nodes: &mut [NodePlan], backwards: bool, places: &[Place]) {
    let total = nodes.len();
    let mut depths: Vec<Option<usize>> = vec![None; total];
    for (step, place) in places.iter().enumerate().take(total) {
        let at = if backwards { total - 1 - step } else { step };
        if depths[at].is_some() {
            continue;
        }
        let around: Vec<usize> =
            (0..total).filter(|one| depths[*one].is_some_and(|depth| depth < DEEPEST)).collect();
        depths[at] = Some(0);
        let Some((which, index, goes_on)) = place.filter(|_| !around.is_empty()) else { continue };
        let outer = around[which.index(around.len())];
        if nodes[outer].groups.iter().any(|group| group.index == index) {
            continue;
        }
        let last = if goes_on && at + 1 < total && depths[at + 1].is_none() { at + 1 } else { at };
        for part in at..=last {
            depths[part] = depths[outer].map(|depth| depth + 1);
            nodes[part].after.clear();
        }
        let id = |at: usize| NodeId(u32::try_from(at).unwrap());
        nodes[outer].groups.push(Nested { index, first: id(at), last: id(last) });
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    (0_u32..8).prop_flat_map(|total| {
        let places = prop_oneof![1 => Just((false, vec![None; 8])), 2 => places()];
        ((0..total).map(nodes).collect::<Vec<_>>(), places).prop_map(|(mut nodes, (backwards, places))| {
            if let Some(first) = nodes.first_mut() {
                first.after.clear();
            }
            nest(&mut nodes, backwards, &places);
            Plan { nodes }
        })
    })
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => (0_u32..12, proptest::collection::vec(0_u32..14, 0..4))
            .prop_map(|(branches, left_out)| Answer::Opened { branches, left_out }),
        1 => Just(Answer::Skipped),
        1 => Just(Answer::Refused),
    ]
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        8 => Just(Ending::Succeeded),
        2 => Just(Ending::Failed),
        1 => Just(Ending::Trapped),
        1 => Just(Ending::TimedOut),
        1 => Just(Ending::Rejected),
        2 => Just(Ending::Lost),
        1 => Just(Ending::Cancelled),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => any::<usize>().prop_map(Move::Answer),
        20 => (any::<usize>(), endings(), proptest::bool::weighted(0.1))
            .prop_map(|(which, ending, permanent)| Move::Finish(which, ending, permanent)),
        3 => any::<usize>().prop_map(Move::Return),
        4 => (0_u64..1_500).prop_map(Move::Pass),
        1 => (0_usize..9).prop_map(Move::Capacity),
        4 => (any::<usize>(), any::<u32>()).prop_map(|(which, how)| Move::Stale(which, how)),
    ]
}

/// Random runs, one in three of them stopped at some point.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    let moves = proptest::collection::vec(moves(), 0..150);
    let stops = proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..3);
    let stops = prop_oneof![2 => Just(vec![]), 1 => stops];
    (plans(), proptest::collection::vec(answers(), 8), 1_usize..9, any::<u64>(), moves, stops).prop_map(
        |(plan, answers, capacity, seed, mut moves, stops)| {
            for (at, abort) in stops {
                let at = at.index(moves.len() + 1);
                moves.insert(at, if abort { Move::Abort } else { Move::Interrupt });
            }
            Case { plan, answers, capacity, seed, moves }
        },
    )
}
