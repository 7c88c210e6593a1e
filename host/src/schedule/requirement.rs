//! Whether a node's branches give it what it requires. Counts how they end; it must not know of
//! attempts or of time.

use crate::model::Require;

/// Whether a node's branches give it what it requires.
#[derive(Debug)]
pub(super) struct Requirement {
    require: Require,
    /// So many of the branches that matter have to succeed.
    needed: u32,
    succeeded: u32,
    /// So many of them succeeded or still may.
    possible: u32,
}

impl Requirement {
    pub(super) fn new(require: Require) -> Self {
        Self { require, needed: 0, succeeded: 0, possible: 0 }
    }

    /// The node has `branches` branches, without those `left_out`, whose positions are below that.
    pub(super) fn open(&mut self, branches: u32, left_out: &[u32]) {
        let counted = branches.saturating_sub(u32::try_from(left_out.len()).unwrap_or(u32::MAX));
        (self.needed, self.possible) = match &self.require {
            Require::All => (counted, counted),
            Require::Any => (1, counted),
            Require::AtLeast(least) => (*least, counted),
            Require::Critical(critical) => {
                let counts = |index: &&u32| **index < branches && !left_out.contains(*index);
                let critical = u32::try_from(critical.iter().filter(counts).count()).unwrap_or(u32::MAX);
                (critical, critical)
            }
        };
    }

    /// The node has another branch.
    pub(super) fn grow(&mut self) {
        match &self.require {
            Require::All => {
                self.needed = self.needed.saturating_add(1);
                self.possible = self.possible.saturating_add(1);
            }
            Require::Any | Require::AtLeast(_) => self.possible = self.possible.saturating_add(1),
            Require::Critical(_) => {}
        }
    }

    fn matters(&self, index: u32) -> bool {
        match &self.require {
            Require::All | Require::Any | Require::AtLeast(_) => true,
            Require::Critical(critical) => critical.binary_search(&index).is_ok(),
        }
    }

    /// A branch succeeded.
    pub(super) fn succeed(&mut self, index: u32) {
        if self.matters(index) {
            self.succeeded += 1;
        }
    }

    /// A branch did not, and will not.
    pub(super) fn miss(&mut self, index: u32) {
        if self.matters(index) {
            self.possible = self.possible.saturating_sub(1);
        }
    }

    /// Whether all that is required succeeded.
    pub(super) fn is_met(&self) -> bool {
        self.succeeded >= self.needed
    }

    /// Whether it can no longer be met.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.possible < self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is met and out of reach after each branch's end, in order.
    fn told(require: Require, left_out: &[u32], ends: &[(u32, bool)]) -> Vec<(bool, bool)> {
        let mut requirement = Requirement::new(require);
        requirement.open(4, left_out);
        let mut told = vec![(requirement.is_met(), requirement.is_out_of_reach())];
        for (index, good) in ends {
            if *good {
                requirement.succeed(*index)
            } else {
                requirement.miss(*index)
            }
            told.push((requirement.is_met(), requirement.is_out_of_reach()));
        }
        told
    }

    #[test]
    fn each_requirement_is_met_or_out_of_reach_as_soon_as_it_can_be_told() {
        let (open, met, lost) = ((false, false), (true, false), (false, true));
        let one_of_each = [(0, true), (1, false)];
        assert_eq!(told(Require::All, &[], &one_of_each), [open, open, lost]);
        assert_eq!(told(Require::All, &[1, 2, 3], &[(0, true)]), [open, met]);
        assert_eq!(told(Require::Any, &[], &one_of_each), [open, met, met]);
        assert_eq!(told(Require::Any, &[0, 1], &[(2, false), (3, false)]), [open, open, lost]);
        assert_eq!(told(Require::AtLeast(3), &[], &[(0, false), (1, false)]), [open, open, lost]);
        assert_eq!(told(Require::AtLeast(3), &[0, 1], &[]), [lost]);
        let critical = || Require::Critical(vec![1, 3]);
        assert_eq!(told(critical(), &[], &[(0, false), (1, true), (3, true)]), [open, open, open, met]);
        assert_eq!(told(critical(), &[], &[(3, false)]), [open, lost]);
        assert_eq!(told(critical(), &[1, 3], &[]), [met]);
    }
}
