//! The run's channel as guests of a worker have it: questions go to their run through its results, answers
//! come through the worker's inbox.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::desk::Writing;
use super::hands::{Hands, number};
use super::keeper::Keep;
use crate::channel::{Answering, Channel};
use crate::id::AttemptId;
use crate::model::{ChannelAnswer, ChannelAsk, ChannelError};
use crate::wire::FromWorker;

type Answer = Result<ChannelAnswer, ChannelError>;

/// The channels of all runs that a worker works for.
pub(super) struct Remote {
    hands: Arc<Hands>,
    writing: Writing,
    keeper: mpsc::UnboundedSender<Keep>,
    next: AtomicU64,
    askers: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Remote {
    pub(super) fn new(hands: Arc<Hands>, writing: Writing, keeper: mpsc::UnboundedSender<Keep>) -> Self {
        Self { hands, writing, keeper, next: AtomicU64::default(), askers: Mutex::default() }
    }

    fn askers(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        // Nothing in there panics halfway.
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run answered. Who asked may be gone.
    pub(super) fn answered(&self, number: u64, answer: Answer) {
        if let Some(asker) = self.askers().remove(&number) {
            // As said.
            let _ = asker.send(answer);
        }
    }
}

impl Channel for Remote {
    fn ask(&self, from: AttemptId, ask: ChannelAsk) -> Answering<'_> {
        Box::pin(async move {
            let unavailable = |reason: &str| Err(ChannelError::Unavailable(reason.to_owned()));
            let known =
                self.hands.holds().get(&number(from)).map(|hold| (Arc::clone(&hold.customer), hold.id));
            let Some((customer, id)) = known else { return unavailable("the attempt is held no more") };
            let (sender, receiver) = oneshot::channel();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.askers().insert(number, sender);
            let _withdrawn = Withdraw { remote: self, number };
            match self.writing.said(&customer, FromWorker::Ask { number, from: id, ask }) {
                // Nobody keeps any more where it cannot be sent, and then nobody answers.
                Ok(message) => drop(self.keeper.send(Keep::Say(customer, message, false))),
                Err(error) => return unavailable(&error.to_string()),
            }
            receiver.await.unwrap_or_else(|_| unavailable("the worker stops"))
        })
    }
}

/// Nobody waits for the answer any more.
struct Withdraw<'a> {
    remote: &'a Remote,
    number: u64,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.remote.askers().remove(&self.number);
    }
}
