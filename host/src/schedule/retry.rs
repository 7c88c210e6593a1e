//! Whether a branch is attempted again, and after how long. Pure functions of the policy, the
//! attempt and the seed; they must not know what else runs.

use std::time::Duration;

use crate::id::AttemptId;
use crate::model::{Ending, LOST_BUDGET, Retry};

/// What follows an attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Verdict {
    /// Nothing: the branch ended as the attempt did.
    Final,
    /// Another attempt at once, out of the budget for lost ones.
    AtOnce,
    /// Another attempt after so long, out of the policy's budget.
    After(Duration),
}

/// What follows attempt `id`, before which `lost` attempts of its branch had been lost.
pub(super) fn verdict(
    retry: Option<&Retry>,
    id: AttemptId,
    lost: u32,
    ending: Ending,
    permanent: bool,
    seed: u64,
) -> Verdict {
    // There is no number for an attempt after the last one.
    if permanent || id.number == u32::MAX {
        return Verdict::Final;
    }
    let wanted = |on: fn(&Retry) -> bool| {
        // Attempts that were lost do not count, so this is which of those that do.
        let counted = id.number.saturating_sub(lost);
        match retry.filter(|retry| on(retry) && counted < retry.max_attempts) {
            Some(retry) => Verdict::After(delay(retry, counted, random(seed, id))),
            None => Verdict::Final,
        }
    };
    match ending {
        Ending::Succeeded | Ending::Cancelled | Ending::Rejected => Verdict::Final,
        Ending::Lost if lost < LOST_BUDGET => Verdict::AtOnce,
        Ending::Lost => Verdict::Final,
        Ending::Failed => wanted(|retry| retry.on.failed),
        Ending::Trapped => wanted(|retry| retry.on.trapped),
        Ending::TimedOut => wanted(|retry| retry.on.timed_out),
    }
}

/// The pause after the `made`-th attempt that counted, from 1. `random` is from 0 up to 1.
fn delay(retry: &Retry, made: u32, random: f64) -> Duration {
    // The manifest keeps these bounds; here they only keep the arithmetic total.
    let factor = if retry.factor >= 1.0 { retry.factor } else { 1.0 };
    let jitter = if retry.jitter >= 0.0 { retry.jitter.min(1.0) } else { 0.0 };
    let growth = factor.powi(i32::try_from(made.saturating_sub(1)).unwrap_or(i32::MAX));
    let full = if retry.delay.is_zero() { 0.0 } else { retry.delay.as_secs_f64() * growth };
    let capped = full.min(retry.max_delay.as_secs_f64());
    let pause = Duration::try_from_secs_f64(capped * (1.0 - jitter * random)).unwrap_or(retry.max_delay);
    pause.min(retry.max_delay)
}

/// A number from 0 up to 1 that depends on the seed and the attempt alone, so that the order in
/// which attempts end does not matter.
fn random(seed: u64, id: AttemptId) -> f64 {
    let branch = (u64::from(id.branch.node.0) << 32) | u64::from(id.branch.index);
    let bits = mix(mix(mix(seed) ^ branch) ^ u64::from(id.number));
    // 53 bits are what an f64 holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// One step of SplitMix64, by Sebastiano Vigna.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{BranchId, NodeId};

    fn attempt(index: u32, number: u32) -> AttemptId {
        AttemptId { branch: BranchId { node: NodeId(0), index }, number }
    }

    fn policy(max_attempts: u32, jitter: f64) -> Retry {
        Retry {
            max_attempts,
            delay: Duration::from_millis(100),
            factor: 3.0,
            max_delay: Duration::from_millis(1_000),
            jitter,
            ..Retry::default()
        }
    }

    #[test]
    fn delays_grow_to_their_bound() {
        let retry = policy(10, 0.0);
        let delays = [1, 2, 3, 4, 5]
            .map(|number| verdict(Some(&retry), attempt(0, number), 0, Ending::Failed, false, 1));
        let expected = [100, 300, 900, 1_000, 1_000].map(|ms| Verdict::After(Duration::from_millis(ms)));
        assert_eq!(delays, expected);
    }

    #[test]
    fn lost_attempts_do_not_lengthen_the_delay() {
        let retry = policy(10, 0.0);
        let verdict = verdict(Some(&retry), attempt(0, 4), 3, Ending::Failed, false, 1);
        assert_eq!(verdict, Verdict::After(Duration::from_millis(100)));
    }

    #[test]
    fn jitter_differs_by_branch_and_attempt_and_seed() {
        let draws = [
            random(1, attempt(0, 1)),
            random(1, attempt(1, 1)),
            random(1, attempt(0, 2)),
            random(2, attempt(0, 1)),
        ];
        for (at, draw) in draws.iter().enumerate() {
            assert!(!draws[..at].contains(draw), "{draws:?}");
        }
    }

    #[test]
    fn jitter_covers_its_range() {
        let mean = (0..1_000).map(|index| random(7, attempt(index, 1))).sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    proptest! {
        #[test]
        fn delays_stay_within_their_bounds(
            delay_ms in 0_u64..100_000, factor in 1.0_f64..10.0, max_ms in 0_u64..100_000,
            jitter in 0.0_f64..=1.0, number in 1_u32..u32::MAX, seed: u64,
        ) {
            let retry = Retry {
                max_attempts: u32::MAX, delay: Duration::from_millis(delay_ms), factor,
                max_delay: Duration::from_millis(max_ms), jitter, ..Retry::default()
            };
            let Verdict::After(pause) = verdict(Some(&retry), attempt(0, number), 0, Ending::Failed, false, seed)
                else { panic!("not retried") };
            let growth = factor.powf(f64::from(number - 1));
            let full = if delay_ms == 0 { 0.0 } else { (delay_ms as f64 * growth).min(max_ms as f64) / 1_000.0 };
            let nanosecond = 2e-9;
            prop_assert!(pause <= retry.max_delay);
            prop_assert!(pause.as_secs_f64() <= full * (1.0 + 1e-6) + nanosecond, "{pause:?} {full}");
            prop_assert!(pause.as_secs_f64() >= full * (1.0 - jitter) * (1.0 - 1e-6) - nanosecond, "{pause:?} {full}");
        }

        #[test]
        fn nonsense_in_a_policy_is_harmless(
            factor in any::<f64>(), jitter in any::<f64>(), delay: Duration, max_delay: Duration, number in 1_u32..,
        ) {
            let retry = Retry { max_attempts: u32::MAX, delay, factor, max_delay, jitter, ..Retry::default() };
            match verdict(Some(&retry), attempt(0, number), 0, Ending::TimedOut, false, 0) {
                Verdict::After(pause) => prop_assert!(pause <= max_delay),
                Verdict::Final => prop_assert_eq!(number, u32::MAX),
                Verdict::AtOnce => prop_assert!(false),
            }
        }
    }
}
