//! What the policies of a group mean, told in the plainest way and from all that happened: slow, and
//! without anything that the scheduler keeps to be quick.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::AttemptId;
use crate::model::{Breaker, Ending, MOST_PROBES, RateLimit, Require};

/// One step of a node's attempts, at its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Submitted(AttemptId, Duration),
    /// Without an ending it was handed back.
    Ended(AttemptId, Option<Ending>, Duration),
}

/// Whether those that `succeeded` are enough, of so many branches.
pub(super) fn is_met(
    require: &Require,
    branches: u32,
    left_out: &BTreeSet<u32>,
    succeeded: &BTreeSet<u32>,
) -> bool {
    let good = |index: &u32| *index >= branches || left_out.contains(index) || succeeded.contains(index);
    match require {
        Require::All => (0..branches).all(|index| good(&index)),
        Require::Any => !succeeded.is_empty(),
        Require::AtLeast(least) => succeeded.len() >= *least as usize,
        Require::Critical(critical) => critical.iter().all(good),
    }
}

/// From when on the rate allows another attempt. The k-th after one may come once k intervals have
/// passed, but for the tolerance.
pub(super) fn rate_allows_at(limit: RateLimit, steps: &[Step]) -> Duration {
    let tolerance = limit.per / 100;
    let interval = (limit.per + tolerance).as_nanos().div_ceil(u128::from(limit.attempts));
    let starts: Vec<Duration> = starts(steps).collect();
    let after = |(at, start): (usize, &Duration)| {
        let intervals = interval * (starts.len() - at) as u128;
        (*start + Duration::from_nanos(u64::try_from(intervals).unwrap())).saturating_sub(tolerance)
    };
    starts.iter().enumerate().map(after).max().unwrap_or_default()
}

/// Whether some stretch of the limit's length has more starts than the limit.
pub(super) fn is_exceeded(limit: RateLimit, steps: &[Step]) -> bool {
    let within = |from: Duration| starts(steps).filter(|at| (from..from + limit.per).contains(at)).count();
    starts(steps).any(|from| within(from) > limit.attempts as usize)
}

fn starts(steps: &[Step]) -> impl Iterator<Item = Duration> {
    steps.iter().filter_map(|step| match step {
        Step::Submitted(_, at) => Some(*at),
        Step::Ended(..) => None,
    })
}

/// How a breaker stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Standing {
    Closed,
    /// Until this time, then one may probe.
    Open(Duration),
    Probing(AttemptId),
    GaveUp,
}

/// How a breaker stands after all of this, and how often it opened and closed.
pub(super) fn breaker_after(breaker: Breaker, steps: &[Step]) -> (Standing, usize, usize) {
    let (mut standing, mut in_a_row, mut probes, mut opened, mut closed) = (Standing::Closed, 0, 0, 0, 0);
    for step in steps {
        match (*step, standing) {
            (Step::Submitted(id, _), Standing::Open(_)) => standing = Standing::Probing(id),
            (Step::Ended(_, Some(Ending::Succeeded), _), Standing::Closed) => in_a_row = 0,
            (Step::Ended(_, Some(ending), at), Standing::Closed) if is_failure(ending) => {
                in_a_row += 1;
                if in_a_row == breaker.failures {
                    (standing, probes) = (Standing::Open(at + breaker.cooldown), 0);
                    opened += 1;
                }
            }
            (Step::Ended(id, ending, at), Standing::Probing(probe)) if id == probe => {
                standing = match ending {
                    Some(Ending::Succeeded) => {
                        (in_a_row, closed) = (0, closed + 1);
                        Standing::Closed
                    }
                    Some(ending) if is_failure(ending) => {
                        probes += 1;
                        match probes {
                            MOST_PROBES => Standing::GaveUp,
                            _ => Standing::Open(at + breaker.cooldown),
                        }
                    }
                    _ => Standing::Open(at),
                };
            }
            _ => {}
        }
    }
    (standing, opened, closed)
}

fn is_failure(ending: Ending) -> bool {
    matches!(ending, Ending::Failed | Ending::Trapped | Ending::TimedOut | Ending::Lost)
}
