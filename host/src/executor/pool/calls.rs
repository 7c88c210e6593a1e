//! The calls that a pool's attempts are of: their numbers on the wire, how long their attempts take, and
//! what kind of worker they need.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::launch::Reach;
use crate::model::{Call, Type};

/// What an attempt takes beside its guest's time.
const BESIDE: Duration = Duration::from_micros(10);

/// What an attempt is taken for whose call was never measured.
const UNKNOWN: Duration = Duration::from_millis(1);

/// Calls that nobody holds any more are kept until there are so many.
const KEPT: usize = 1024;

/// What is known of a call.
pub(super) struct Known {
    pub(super) call: Arc<Call>,
    /// On the wire.
    pub(super) number: u32,
    /// Of its tasks' values.
    pub(super) value: Type,
    /// Of what its workers reach.
    pub(super) profile: usize,
    mean: Option<Duration>,
    /// An attempt ended its worker: from then on they are handed over one by one, so that it is known
    /// which of them it was.
    pub(super) alone: bool,
}

/// All calls.
#[derive(Default)]
pub(super) struct Calls {
    /// By address.
    known: HashMap<usize, Known>,
    next: u32,
    profiles: Vec<Reach>,
}

impl Known {
    /// How long one of its attempts takes, as far as is known.
    pub(super) fn expected(&self) -> Duration {
        self.mean.unwrap_or(UNKNOWN)
    }

    /// An attempt ended whose guest ran for so long.
    pub(super) fn took(&mut self, wall: Duration) {
        let took = wall + BESIDE;
        self.mean = Some(self.mean.map_or(took, |mean| (mean * 7 + took) / 8));
    }
}

impl Calls {
    pub(super) fn get(&self, call: &Arc<Call>) -> Option<&Known> {
        self.known.get(&address(call))
    }

    pub(super) fn get_mut(&mut self, call: &Arc<Call>) -> Option<&mut Known> {
        self.known.get_mut(&address(call))
    }

    /// The profile of `call`, whose workers reach so much and which is known from here on, and the numbers of
    /// calls that are forgotten for it.
    pub(super) fn meet(&mut self, call: &Arc<Call>, reach: Reach) -> (usize, Vec<u32>) {
        if let Some(known) = self.get(call) {
            return (known.profile, Vec::new());
        }
        let forgotten = self.make_room();
        let profile = self.profile(reach);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let value = call.signature.result.task_value();
        let known = Known { call: Arc::clone(call), number, value, profile, mean: None, alone: false };
        self.known.insert(address(call), known);
        (profile, forgotten)
    }

    /// The profile of workers of this reach.
    pub(super) fn profile(&mut self, reach: Reach) -> usize {
        self.profiles.iter().position(|known| *known == reach).unwrap_or_else(|| {
            self.profiles.push(reach);
            self.profiles.len() - 1
        })
    }

    /// What workers of a profile reach.
    pub(super) fn reach(&self, profile: usize) -> Reach {
        self.profiles.get(profile).cloned().unwrap_or_default()
    }

    fn make_room(&mut self) -> Vec<u32> {
        let mut forgotten = Vec::new();
        if self.known.len() >= KEPT {
            self.known.retain(|_, known| {
                let held = Arc::strong_count(&known.call) > 1;
                if !held {
                    forgotten.push(known.number);
                }
                held
            });
        }
        forgotten
    }
}

fn address(call: &Arc<Call>) -> usize {
    Arc::as_ptr(call).addr()
}
