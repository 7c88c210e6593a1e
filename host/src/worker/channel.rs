//! The run's channel as a worker's guests have it: every question goes to the client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::channel::{Answering, Channel};
use crate::id::AttemptId;
use crate::model::{ChannelAnswer, ChannelAsk, ChannelError};
use crate::wire::{FromWorker, Outbox};

type Answer = Result<ChannelAnswer, ChannelError>;

/// A channel that is elsewhere.
pub(super) struct Remote {
    outbox: Arc<Outbox>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    askers: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Remote {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in there panics halfway.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client answered. Who asked may be gone.
    pub(super) fn answered(&self, number: u64, answer: Answer) {
        if let Some(asker) = self.waiting().askers.remove(&number) {
            // As said.
            let _ = asker.send(answer);
        }
    }
}

impl Channel for Remote {
    fn ask(&self, from: AttemptId, ask: ChannelAsk) -> Answering<'_> {
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            let number = {
                let mut waiting = self.waiting();
                let number = waiting.next;
                waiting.next += 1;
                waiting.askers.insert(number, sender);
                number
            };
            let _withdrawn = Withdraw { remote: self, number };
            let unavailable = |reason: String| Err(ChannelError::Unavailable(reason));
            if let Err(error) = self.outbox.to_client(FromWorker::Ask { number, from, ask }) {
                return unavailable(error.to_string());
            }
            receiver.await.unwrap_or_else(|_| unavailable("the connection to the run ended".to_owned()))
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
        self.remote.waiting().askers.remove(&self.number);
    }
}
