//! Whether a node's attempts are held back because they fail one after the other. Counts how they
//! end; it must not know of branches or of what waits.

use std::time::Duration;

use crate::id::AttemptId;
use crate::model::{Ending, MOST_PROBES};

/// What an ended attempt means for a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// Nothing that others need to know.
    None,
    /// It opened.
    Opened,
    /// A probe succeeded.
    Closed,
    /// The last probe failed.
    GaveUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Attempts may be submitted.
    Closed {
        /// Failures since the last success.
        in_a_row: u32,
    },
    /// Attempts wait, and the first one from `until` on is a probe.
    Open { until: Duration, failed_probes: u32 },
    /// Attempts wait for this one.
    Probing { probe: AttemptId, failed_probes: u32 },
}

/// Counts how attempts end, and says when the next may be submitted.
#[derive(Debug)]
pub struct Breaker {
    policy: crate::model::Breaker,
    state: State,
}

impl Breaker {
    /// One that is closed.
    #[must_use]
    pub fn new(policy: crate::model::Breaker) -> Self {
        Self { policy, state: State::Closed { in_a_row: 0 } }
    }

    /// When the next attempt may be submitted, may be past; none until a probe has ended.
    #[must_use]
    pub fn opens_at(&self) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => Some(Duration::ZERO),
            State::Open { until, .. } => Some(until),
            State::Probing { .. } => None,
        }
    }

    /// An attempt is submitted, which was allowed.
    pub fn submitted(&mut self, id: AttemptId) {
        match self.state {
            State::Closed { .. } | State::Probing { .. } => {}
            State::Open { failed_probes, .. } => self.state = State::Probing { probe: id, failed_probes },
        }
    }

    /// An attempt ended or, without an ending, was handed back before it began. While the breaker is
    /// open, only the probe's end counts: what was submitted earlier tells of earlier times.
    pub fn ended(&mut self, id: AttemptId, ending: Option<Ending>, now: Duration) -> News {
        let good = ending.and_then(|ending| match ending {
            Ending::Succeeded => Some(true),
            Ending::Failed | Ending::Trapped | Ending::TimedOut | Ending::Lost => Some(false),
            // These say nothing about what the attempts have to do with.
            Ending::Cancelled | Ending::Rejected => None,
        });
        match (self.state, good) {
            (State::Closed { .. }, Some(true)) => self.state = State::Closed { in_a_row: 0 },
            (State::Closed { in_a_row }, Some(false)) => {
                let in_a_row = in_a_row.saturating_add(1);
                if in_a_row >= self.policy.failures {
                    self.open(now, 0);
                    return News::Opened;
                }
                self.state = State::Closed { in_a_row };
            }
            (State::Probing { probe, failed_probes }, good) if probe == id => match good {
                Some(true) => {
                    self.state = State::Closed { in_a_row: 0 };
                    return News::Closed;
                }
                Some(false) => {
                    self.open(now, failed_probes + 1);
                    if failed_probes + 1 >= MOST_PROBES {
                        return News::GaveUp;
                    }
                }
                // Another one probes, at once.
                None => self.state = State::Open { until: now, failed_probes },
            },
            (State::Closed { .. } | State::Open { .. } | State::Probing { .. }, None | Some(_)) => {}
        }
        News::None
    }

    /// Whether the last probe failed.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        matches!(self.state, State::Open { failed_probes, .. } if failed_probes >= MOST_PROBES)
    }

    fn open(&mut self, now: Duration, failed_probes: u32) {
        self.state = State::Open { until: now.saturating_add(self.policy.cooldown), failed_probes };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BranchId, NodeId};

    fn attempt(index: u32) -> AttemptId {
        AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    struct Script(Breaker);

    impl Script {
        /// One that opened at 0.
        fn open() -> Self {
            let policy = crate::model::Breaker { failures: 2, cooldown: s(10) };
            let mut script = Self(Breaker::new(policy));
            assert_eq!(script.end(0, Ending::Failed, 0), News::None);
            assert_eq!(script.end(1, Ending::TimedOut, 0), News::Opened);
            script
        }

        fn end(&mut self, index: u32, ending: Ending, at: u64) -> News {
            self.0.ended(attempt(index), Some(ending), s(at))
        }

        fn probe(&mut self, index: u32, ending: Ending, at: u64) -> News {
            assert!(self.0.opens_at().is_some_and(|opens| opens <= s(at)));
            self.0.submitted(attempt(index));
            assert_eq!(self.0.opens_at(), None);
            self.end(index, ending, at)
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let policy = crate::model::Breaker { failures: 2, cooldown: s(10) };
        let mut script = Script(Breaker::new(policy));
        for ending in [Ending::Failed, Ending::Succeeded, Ending::Lost, Ending::Rejected, Ending::Cancelled] {
            assert_eq!(script.end(0, ending, 0), News::None);
        }
        assert_eq!(script.0.opens_at(), Some(s(0)));
        assert_eq!(script.end(0, Ending::Trapped, 3), News::Opened);
        assert_eq!(script.0.opens_at(), Some(s(13)));
    }

    #[test]
    fn a_probe_that_succeeds_closes_it_and_its_count_begins_anew() {
        let mut script = Script::open();
        assert_eq!(script.probe(2, Ending::Failed, 10), News::None);
        assert_eq!(script.0.opens_at(), Some(s(20)));
        assert_eq!(script.probe(3, Ending::Succeeded, 20), News::Closed);
        assert_eq!(script.end(4, Ending::Failed, 20), News::None);
        assert_eq!(script.end(5, Ending::Failed, 20), News::Opened);
        assert_eq!(script.probe(6, Ending::Failed, 30), News::None);
    }

    #[test]
    fn the_third_failed_probe_is_the_last() {
        let mut script = Script::open();
        assert_eq!(script.probe(2, Ending::Failed, 10), News::None);
        assert_eq!(script.probe(2, Ending::Failed, 20), News::None);
        assert_eq!(script.probe(2, Ending::Failed, 30), News::GaveUp);
    }

    #[test]
    fn what_says_nothing_is_no_probe_and_what_is_older_neither() {
        let mut script = Script::open();
        assert_eq!(script.probe(2, Ending::Rejected, 10), News::None);
        assert_eq!(script.0.opens_at(), Some(s(10)));
        script.0.submitted(attempt(3));
        assert_eq!(script.end(4, Ending::Succeeded, 11), News::None);
        assert_eq!(script.end(5, Ending::Failed, 11), News::None);
        assert_eq!(script.0.opens_at(), None);
        assert_eq!(script.0.ended(attempt(3), None, s(12)), News::None);
        assert_eq!(script.0.opens_at(), Some(s(12)));
    }
}
