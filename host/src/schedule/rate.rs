//! How fast a node's attempts follow one another. Counts what is submitted; it must not know of
//! what becomes of it.

use std::time::Duration;

use crate::model::RateLimit;

/// The least part of the limit's length that a late wake-up may be late by without costing any of
/// the rate: a hundredth, 10 ms of a second.
const SLACK: u32 = 100;

/// A token bucket, kept as the time at which it would be full: an attempt takes `interval` out of
/// it, and it never holds more than `tolerance` besides the one attempt that a full one allows. The
/// interval is longer than the limit says by just so much that the tolerance cannot exceed it: of k
/// attempts within the limit's length, (k - 1) intervals fit into the length and the tolerance, which
/// together are as long as the limit's number of intervals. So that number is never exceeded,
/// wherever the length begins, and 99% of it can be kept up.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    tolerance: Duration,
    full_at: Duration,
}

impl Rate {
    pub(super) fn new(limit: RateLimit) -> Self {
        let tolerance = limit.per / SLACK;
        let stretch = limit.per.saturating_add(tolerance).as_nanos();
        let interval = stretch.div_ceil(u128::from(limit.attempts.max(1)));
        let interval = Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX));
        Self { interval, tolerance, full_at: Duration::ZERO }
    }

    /// When the next attempt may be submitted. May be past.
    pub(super) fn opens_at(&self) -> Duration {
        self.full_at.saturating_sub(self.tolerance)
    }

    /// An attempt is submitted at `now`.
    pub(super) fn take(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(attempts: u32, seconds: u64) -> RateLimit {
        RateLimit { attempts, per: Duration::from_secs(seconds) }
    }

    /// When attempts start that are asked for at these pauses after the one before, each waking up
    /// late by so much.
    fn starts(limit: RateLimit, pauses: impl IntoIterator<Item = (Duration, Duration)>) -> Vec<Duration> {
        let (mut rate, mut now) = (Rate::new(limit), Duration::ZERO);
        let start = |(pause, late)| {
            now += pause;
            let opens_at = rate.opens_at();
            if opens_at > now {
                now = opens_at + late;
            }
            rate.take(now);
            now
        };
        pauses.into_iter().map(start).collect()
    }

    fn most_within(starts: &[Duration], length: Duration) -> usize {
        let ends = |from: Duration| starts.partition_point(|start| *start < from + length);
        starts.iter().enumerate().map(|(at, from)| ends(*from) - at).max().unwrap_or(0)
    }

    #[test]
    fn few_are_spread_evenly_and_many_come_in_small_bursts() {
        let asked = || [(Duration::ZERO, Duration::ZERO); 300];
        let slow = starts(limit(50, 1), asked());
        assert_eq!(
            slow[..3],
            [0, 20_200_000 - 10_000_000, 2 * 20_200_000 - 10_000_000].map(Duration::from_nanos)
        );
        assert!(slow.windows(2).skip(1).all(|pair| pair[1] - pair[0] == Duration::from_nanos(20_200_000)));
        let fast = starts(limit(10_000, 1), asked());
        assert_eq!(fast.iter().filter(|start| start.is_zero()).count(), 100);
    }

    #[test]
    fn late_wake_ups_do_not_add_up() {
        let late = Duration::from_millis(2);
        let starts = starts(limit(50, 1), [(Duration::ZERO, late); 1_000]);
        let elapsed = starts[999].as_secs_f64();
        assert!(elapsed < 1_000.0 / 50.0 * 1.011, "{elapsed}");
    }

    proptest! {
        #[test]
        fn no_stretch_has_more_than_the_limit(
            attempts in 1_u32..2_000, seconds in prop_oneof![Just(1_u64), Just(60), Just(3600)],
            pauses in proptest::collection::vec((0_u64..50, 0_u64..30), 1..3_000),
        ) {
            let limit = limit(attempts, seconds);
            let asked = pauses.iter().map(|(pause, late)| (Duration::from_millis(pause / 10 * seconds), Duration::from_millis(*late)));
            let starts = starts(limit, asked);
            prop_assert!(most_within(&starts, limit.per) <= attempts as usize);
        }
    }
}
