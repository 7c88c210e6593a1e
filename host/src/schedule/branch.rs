//! A branch's life, changed here and nowhere else. It must not know of the node around it: whether
//! a step is allowed by concurrency or policy is decided before it is taken.

use crate::model::Ending;

/// Where a branch stands, from its first submission to its end. Before that it is a position that
/// its node's cursor has not reached, and afterwards a count: neither takes memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// The attempt may be submitted.
    Ready,
    /// The attempt is submitted.
    Running {
        /// Whether the executor was asked to cancel it.
        told: bool,
    },
    /// The attempt waits for its time.
    Backoff,
    /// No attempt follows.
    Done {
        /// How it ended.
        ending: Ending,
        /// How many attempts were made, without any that never began.
        attempts: u32,
    },
}

/// What becomes of a branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The attempt is submitted.
    Submit,
    /// The executor is asked to cancel the attempt.
    Tell,
    /// The attempt is handed back unstarted.
    Return,
    /// The attempt was lost and the next one is ready.
    Lose,
    /// The attempt ended and the next one waits for its time.
    Postpone,
    /// The attempt ended, and the branch begins anew with the next.
    Iterate,
    /// The next attempt's time has come.
    Wake,
    /// The attempt ended, and the branch with it.
    Finish(Ending),
    /// The branch ends without its attempt being submitted.
    Drop,
}

/// A branch between its first submission and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Branch {
    life: Life,
    lost: u8,
    number: u32,
}

impl Branch {
    /// A branch whose first attempt may be submitted.
    pub(super) fn new() -> Self {
        Self { life: Life::Ready, lost: 0, number: 1 }
    }

    /// A branch of which so many attempts ended before, of which so many were lost.
    pub(super) fn resumed(attempts: u32, lost: u32) -> Self {
        let lost = u8::try_from(lost).unwrap_or(u8::MAX);
        Self { life: Life::Ready, lost, number: attempts.saturating_add(1) }
    }

    /// Which attempt runs, or comes next.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How many attempts were lost.
    pub(super) fn lost(&self) -> u32 {
        u32::from(self.lost)
    }

    pub(super) fn life(&self) -> Life {
        self.life
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running { .. })
    }

    /// Takes a step. Returns whether it led on from where the branch stands; if not, nothing changed.
    pub(super) fn step(&mut self, step: Step) -> bool {
        let life = match (self.life, step) {
            (Life::Ready, Step::Submit) => Life::Running { told: false },
            (Life::Running { told: false }, Step::Tell) => Life::Running { told: true },
            (Life::Running { .. }, Step::Return) => Life::Ready,
            (Life::Running { .. }, Step::Lose | Step::Iterate) => Life::Ready,
            (Life::Running { .. }, Step::Postpone) => Life::Backoff,
            (Life::Running { .. }, Step::Finish(ending)) => Life::Done { ending, attempts: self.number },
            (Life::Backoff, Step::Wake) => Life::Ready,
            (Life::Ready | Life::Backoff, Step::Drop) => {
                Life::Done { ending: Ending::Cancelled, attempts: self.number.saturating_sub(1) }
            }
            (
                Life::Ready | Life::Running { .. } | Life::Backoff | Life::Done { .. },
                Step::Submit
                | Step::Tell
                | Step::Return
                | Step::Lose
                | Step::Postpone
                | Step::Iterate
                | Step::Wake
                | Step::Finish(_)
                | Step::Drop,
            ) => return false,
        };
        match step {
            Step::Lose => {
                self.lost = self.lost.saturating_add(1);
                self.number = self.number.saturating_add(1);
            }
            Step::Postpone => self.number = self.number.saturating_add(1),
            Step::Iterate => {
                self.lost = 0;
                self.number = self.number.saturating_add(1);
            }
            Step::Submit | Step::Tell | Step::Return | Step::Wake | Step::Finish(_) | Step::Drop => {}
        }
        self.life = life;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_small() {
        assert!(size_of::<(u32, Branch)>() <= 20);
    }

    #[test]
    fn numbers_count_retries_and_losses_but_not_returns() {
        let mut branch = Branch::new();
        for (step, number, lost) in [
            (Step::Submit, 1, 0),
            (Step::Return, 1, 0),
            (Step::Submit, 1, 0),
            (Step::Lose, 2, 1),
            (Step::Submit, 2, 1),
            (Step::Postpone, 3, 1),
            (Step::Wake, 3, 1),
            (Step::Submit, 3, 1),
            (Step::Iterate, 4, 0),
        ] {
            assert!(branch.step(step), "{step:?}");
            assert_eq!((branch.number(), branch.lost()), (number, lost), "{step:?}");
        }
    }

    #[test]
    fn nothing_leads_on_from_the_end() {
        let mut branch = Branch::new();
        assert!(branch.step(Step::Drop));
        let done = branch;
        for step in
            [Step::Submit, Step::Tell, Step::Return, Step::Lose, Step::Postpone, Step::Wake, Step::Drop]
        {
            assert!(!branch.step(step), "{step:?}");
            assert_eq!(branch, done);
        }
        assert_eq!(done.life(), Life::Done { ending: Ending::Cancelled, attempts: 0 });
    }
}
