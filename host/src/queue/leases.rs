//! What a worker does about the entries that it holds, and when: renew, give up, tell how they ended. Sans
//! I/O: whoever owns it asks Redis and says what came back. Knows no attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Finish, Renewal};

/// A worker's number for an entry that it holds.
pub type HoldId = u64;

/// What happened, at a time since some fixed moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// An entry was delivered. The time is when it was asked for: from then on it counts as held.
    Taken(HoldId),
    /// Its attempt ended, and the outcome waits to be recorded.
    Ended(HoldId),
    /// Redis answered a renewal that was asked for at `asked`.
    Renewed {
        /// Which.
        id: HoldId,
        /// When it was asked.
        asked: Duration,
        /// The answer.
        answer: Renewal,
    },
    /// Redis answered about an outcome.
    Finished {
        /// Which.
        id: HoldId,
        /// The answer.
        answer: Finish,
    },
    /// It was given back: it is held no more.
    Returned(HoldId),
    /// Redis did not answer what was asked about these.
    Unanswered(Vec<HoldId>),
    /// Nothing but time passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask Redis for another lease.
    Renew(HoldId),
    /// Ask Redis to record the outcome.
    Finish(HoldId),
    /// Stop the attempt: it is cancelled. Its end is recorded like any other.
    Cancel(HoldId),
    /// Stop the attempt and forget it: somebody else has it, or may have it by now.
    Abandon(HoldId),
    /// Its outcome is recorded, or counts for nothing: forget it.
    Release {
        /// Which.
        id: HoldId,
        /// Why; none where no answer came while it was held.
        answer: Option<Finish>,
    },
}

/// What is under way about an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Nothing,
    Renewal,
    Finish,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    /// Until then nobody else takes it over.
    until: Duration,
    /// When it is renewed next, or asked about again.
    due: Duration,
    asked: Asked,
    ended: bool,
    cancelled: bool,
}

/// All that a worker holds.
#[derive(Debug)]
pub struct Leases {
    lease: Duration,
    held: BTreeMap<HoldId, Hold>,
}

/// Between two questions about the same entry while Redis does not answer.
const PAUSE: Duration = Duration::from_millis(500);

impl Leases {
    /// Entries are held for `lease` after they were delivered or renewed, as everybody on the queue agrees.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self { lease, held: BTreeMap::new() }
    }

    /// How many entries are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When the next [`Input::Tick`] is due; none where nothing is held.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let next = |hold: &Hold| match hold.asked {
            Asked::Nothing => hold.due.min(hold.until),
            Asked::Renewal | Asked::Finish => hold.until,
        };
        self.held.values().map(next).min()
    }

    /// Takes in what happened at `now`, and says what is to be done.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Taken(id) => {
                let (until, due) = (now + self.lease, now + self.lease / 3);
                let hold = Hold { until, due, asked: Asked::Nothing, ended: false, cancelled: false };
                self.held.insert(id, hold);
            }
            Input::Ended(id) => {
                if let Some(hold) = self.held.get_mut(&id) {
                    hold.ended = true;
                    hold.due = now;
                }
            }
            Input::Renewed { id, asked, answer } => self.renewed(id, asked, answer, now, &mut actions),
            Input::Finished { id, answer } => {
                if self.held.remove(&id).is_some() {
                    actions.push(Action::Release { id, answer: Some(answer) });
                }
            }
            Input::Returned(id) => drop(self.held.remove(&id)),
            Input::Unanswered(ids) => {
                for id in ids {
                    if let Some(hold) = self.held.get_mut(&id) {
                        hold.asked = Asked::Nothing;
                        hold.due = now + PAUSE;
                    }
                }
            }
            Input::Tick => {}
        }
        self.look(now, &mut actions);
        actions
    }

    fn renewed(
        &mut self,
        id: HoldId,
        asked: Duration,
        answer: Renewal,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(hold) = self.held.get_mut(&id) else { return };
        hold.asked = Asked::Nothing;
        match answer {
            Renewal::Held | Renewal::Cancelled => {
                hold.until = asked + self.lease;
                hold.due = if hold.ended { now } else { asked + self.lease / 3 };
                if answer == Renewal::Cancelled && !hold.ended && !hold.cancelled {
                    hold.cancelled = true;
                    actions.push(Action::Cancel(id));
                }
            }
            Renewal::Lost => {
                self.held.remove(&id);
                actions.push(Action::Abandon(id));
            }
        }
    }

    /// Does what the time has come for.
    fn look(&mut self, now: Duration, actions: &mut Vec<Action>) {
        // Those that are due soon are renewed with those that are due, in one go.
        let soon = now + self.lease / 12;
        let renews = self.held.values().any(|hold| hold.asked == Asked::Nothing && hold.due <= now);
        self.held.retain(|id, hold| {
            if hold.until <= now {
                actions.push(match hold.ended {
                    true => Action::Release { id: *id, answer: None },
                    false => Action::Abandon(*id),
                });
                return false;
            }
            if hold.asked == Asked::Nothing && renews {
                if hold.ended && hold.due <= now {
                    hold.asked = Asked::Finish;
                    actions.push(Action::Finish(*id));
                } else if !hold.ended && hold.due <= soon {
                    hold.asked = Asked::Renewal;
                    actions.push(Action::Renew(*id));
                }
            }
            true
        });
    }
}
