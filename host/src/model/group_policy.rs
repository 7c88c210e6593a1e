//! What governs a group as a whole: how many branches must succeed, how long it may take, and how
//! fast its attempts follow one another.

use std::time::Duration;

use super::Executor;

/// What governs a group as a whole. The default asks that every branch succeeds, and bounds nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GroupPolicy {
    /// Which branches have to succeed.
    pub require: Require,
    /// How long the group may take from the moment it opens. More than nothing.
    pub timeout: Option<Duration>,
    /// When attempts are held back because they fail one after the other.
    pub breaker: Option<Breaker>,
    /// How fast attempts follow one another.
    pub rate_limit: Option<RateLimit>,
    /// Where the group runs if its executor cannot be reached; none ends the run then.
    pub fallback: Option<Executor>,
}

/// Which branches have to succeed for the group to succeed. Members that are left out count for
/// nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Require {
    /// Every one.
    #[default]
    All,
    /// One at least.
    Any,
    /// So many at least. With 0 the group succeeds whatever becomes of them.
    AtLeast(u32),
    /// The members at these positions, ascending.
    Critical(Vec<u32>),
}

impl Require {
    /// How many branches have to succeed, where it is the number that counts.
    #[must_use]
    pub fn least(&self) -> Option<u32> {
        match self {
            Self::Any => Some(1),
            Self::AtLeast(least) => Some(*least),
            Self::All | Self::Critical(_) => None,
        }
    }

    /// Whether the member at `index` of `members` succeeded in any group that did, provided that it
    /// was not left out.
    #[must_use]
    pub fn needs(&self, index: u32, members: usize) -> bool {
        match self {
            Self::All => true,
            Self::Any => members <= 1,
            Self::AtLeast(least) => usize::try_from(*least).is_ok_and(|least| least >= members),
            Self::Critical(critical) => critical.binary_search(&index).is_ok(),
        }
    }
}

/// Holds attempts back while they fail one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Breaker {
    /// So many failures in a row open it. At least 1.
    pub failures: u32,
    /// How long it stays open before one attempt probes.
    pub cooldown: Duration,
}

/// So many failed probes in a row end the group's other branches.
pub const MOST_PROBES: u32 = 3;

/// How many attempts may be started in any stretch of time of a given length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// At least 1.
    pub attempts: u32,
    /// The length. At least a second.
    pub per: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_needed_where_no_success_goes_without_it() {
        let needed = |require: Require| [0, 1, 2].map(|index| require.needs(index, 3));
        assert_eq!(needed(Require::All), [true; 3]);
        assert_eq!(needed(Require::Any), [false; 3]);
        assert_eq!(needed(Require::AtLeast(2)), [false; 3]);
        assert_eq!(needed(Require::AtLeast(3)), [true; 3]);
        assert_eq!(needed(Require::Critical(vec![0, 2])), [true, false, true]);
        assert!(Require::Any.needs(0, 1));
    }
}
