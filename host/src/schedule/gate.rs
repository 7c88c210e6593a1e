//! What holds a node's attempts back although they are ready: a rate and a breaker. It must not know
//! of branches.

use std::time::Duration;

use super::breaker::{Breaker, News};
use super::rate::Rate;
use crate::id::AttemptId;
use crate::model::{Ending, GroupPolicy};

/// What holds a node's attempts back although they are ready.
#[derive(Debug)]
pub(super) struct Gate {
    rate: Option<Rate>,
    breaker: Option<Breaker>,
}

impl Gate {
    /// None where nothing holds attempts back.
    pub(super) fn new(policy: &GroupPolicy) -> Option<Box<Self>> {
        let rate = policy.rate_limit.map(Rate::new);
        let breaker = policy.breaker.map(Breaker::new);
        (rate.is_some() || breaker.is_some()).then(|| Box::new(Self { rate, breaker }))
    }

    /// When the next attempt may be submitted, may be past; none until one that runs has ended.
    pub(super) fn opens_at(&self) -> Option<Duration> {
        let rate = self.rate.as_ref().map_or(Duration::ZERO, Rate::opens_at);
        match &self.breaker {
            Some(breaker) => breaker.opens_at().map(|at| at.max(rate)),
            None => Some(rate),
        }
    }

    /// An attempt is submitted, which was allowed.
    pub(super) fn submitted(&mut self, id: AttemptId, now: Duration) {
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        if let Some(breaker) = &mut self.breaker {
            breaker.submitted(id);
        }
    }

    /// An attempt ended or, without an ending, was handed back.
    pub(super) fn ended(&mut self, id: AttemptId, ending: Option<Ending>, now: Duration) -> News {
        self.breaker.as_mut().map_or(News::None, |breaker| breaker.ended(id, ending, now))
    }
}
