//! Whether workers can be had: what is made of those that ended before they executed anything. Decides, and
//! starts nothing.

use std::time::Duration;

use tokio::time::Instant;

/// Where so many workers end by themselves before they could execute anything, one after the other, none ever
/// will.
const FAILURES: u32 = 10;

/// So many are tried before the executor is said to be out of reach.
const TRIED: u32 = 3;

/// Where all workers are killed by others before they could execute anything, and that for so long, it will not
/// end.
const KILLED: Duration = Duration::from_secs(30);

/// So many may be killed one after the other before the next one has to wait.
const AT_ONCE: u32 = 8;

/// How long the next one waits at first. Twice as long each time.
const REST: Duration = Duration::from_millis(10);

/// How long it waits at most.
const LONGEST_REST: Duration = Duration::from_millis(250);

/// What became of workers that were started, since one of them last executed something.
#[derive(Debug, Default)]
pub(super) struct Starts {
    failures: u32,
    killed: u32,
    /// When the first of them was killed.
    since: Option<Instant>,
    /// Nothing is started before this.
    rest: Option<Instant>,
}

impl Starts {
    /// A worker executed something.
    pub(super) fn worked(&mut self) {
        *self = Self::default();
    }

    /// A worker ended before it executed anything: by itself, or `killed` by somebody else, which says nothing
    /// of the next one.
    pub(super) fn ended(&mut self, killed: bool, now: Instant) {
        if !killed {
            self.failures += 1;
            return;
        }
        self.killed += 1;
        self.since.get_or_insert(now);
        if let Some(more) = self.killed.checked_sub(AT_ONCE) {
            let rest = REST.saturating_mul(1 << more.min(10)).min(LONGEST_REST);
            self.rest = now.checked_add(rest);
        }
    }

    /// Whether no worker will ever execute anything.
    pub(super) fn are_hopeless(&self, now: Instant) -> bool {
        self.failures >= FAILURES
            || self.since.is_some_and(|since| now.saturating_duration_since(since) > KILLED)
    }

    /// Whether the executor is out of reach, where none was ready so far.
    pub(super) fn are_out_of_reach(&self, now: Instant) -> bool {
        self.failures >= TRIED || self.are_hopeless(now)
    }

    /// Whether nothing is to be started yet.
    pub(super) fn rest(&self, now: Instant) -> bool {
        self.rest.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn those_that_end_by_themselves_are_counted() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        for tried in 1..=FAILURES {
            assert!(!starts.are_hopeless(now));
            starts.ended(false, now);
            assert_eq!(starts.are_out_of_reach(now), tried >= TRIED);
            assert!(!starts.rest(now));
        }
        assert!(starts.are_hopeless(now));
        starts.worked();
        assert!(!starts.are_hopeless(now));
    }

    #[test]
    fn those_that_are_killed_wait_longer_and_longer_and_not_for_ever() {
        let (mut starts, first) = (Starts::default(), Instant::now());
        let mut now = first;
        let mut rests = Vec::new();
        while !starts.are_hopeless(now) {
            starts.ended(true, now);
            let before = now;
            while starts.rest(now) {
                now += ms(1);
            }
            rests.push(now - before);
            now += ms(5);
            assert!(rests.len() < 10_000, "they are started for ever");
        }
        assert!(now - first > KILLED && now - first < KILLED + LONGEST_REST + ms(10));
        assert_eq!(rests[..AT_ONCE as usize - 1], [Duration::ZERO; AT_ONCE as usize - 1]);
        assert_eq!(rests[AT_ONCE as usize - 1..][..3], [ms(10), ms(20), ms(40)]);
        assert_eq!(rests.last(), Some(&LONGEST_REST));
        // One that works is enough.
        starts.worked();
        starts.ended(true, now);
        assert!(!starts.are_hopeless(now) && !starts.rest(now));
    }
}
