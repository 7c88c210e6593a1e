//! What is to be sent: messages in order, short ones gathered, long ones in parts. Whoever sends never
//! waits here, and may ask for room first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::message::{HEAD_LENGTH, Message};
use super::parts::{self, FIRST, FURTHER, WHOLE};
use super::{FromWorker, MESSAGE, PART, ToWorker, WireError, codec};

/// Who asks for room waits while so many bytes are queued.
const ROOM: usize = 8 << 20;

/// Messages on their way to a [`pump`](super::pump).
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    /// There is something to send, or nothing more will come.
    pub(super) ready: Notify,
    /// Something was sent, or nobody sends any more.
    sent: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Nothing more comes.
    finished: bool,
    /// Nobody sends any more.
    broken: bool,
}

#[derive(Debug)]
enum Waiting {
    /// Whole frames.
    Frames(Vec<u8>),
    /// What is left of a long message.
    Long { pieces: VecDeque<Bytes>, length: u64, begun: bool },
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in there panics halfway.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a client's message.
    ///
    /// # Errors
    /// Fails when it is too large. Nothing is queued then.
    pub fn to_worker(&self, message: ToWorker) -> Result<(), WireError> {
        self.push(message)
    }

    /// Queues a worker's message.
    ///
    /// # Errors
    /// As [`Outbox::to_worker`].
    pub fn to_client(&self, message: FromWorker) -> Result<(), WireError> {
        self.push(message)
    }

    pub(super) fn push<M: Message>(&self, mut message: M) -> Result<(), WireError> {
        // The head is made outside of the lock.
        let mut head = vec![0; parts::LENGTH + 1 + HEAD_LENGTH];
        let before = head.len();
        codec::encode(&message, &mut head)?;
        let length = u32::try_from(head.len() - before).unwrap_or(u32::MAX);
        if length as usize > super::HEAD {
            return Err(WireError::MessageTooLarge(length.into()));
        }
        let payloads = message.payloads();
        let tail: u64 = payloads.iter().map(|payload| payload.length()).sum();
        let whole = tail + u64::from(length) + HEAD_LENGTH as u64;
        if whole > MESSAGE {
            return Err(WireError::MessageTooLarge(whole));
        }
        if let Some(space) = head.get_mut(parts::LENGTH + 1..before) {
            space.copy_from_slice(&length.to_le_bytes());
        }
        let short = usize::try_from(whole).ok().filter(|whole| *whole <= PART);
        let mut queue = self.queue();
        if queue.broken {
            return Ok(());
        }
        queue.bytes = queue.bytes.saturating_add(usize::try_from(whole).unwrap_or(usize::MAX));
        match short {
            Some(whole) => {
                if let Some(space) = head.get_mut(..=parts::LENGTH) {
                    space.copy_from_slice(&parts::header(WHOLE, whole));
                }
                let tail = payloads.iter().flat_map(|payload| payload.pieces()).map(|piece| &**piece);
                queue.gather(std::iter::once(&*head).chain(tail));
            }
            None => {
                let head = Bytes::from(head).split_off(parts::LENGTH + 1);
                let tail = payloads.iter().flat_map(|payload| payload.pieces()).cloned();
                let pieces = std::iter::once(head).chain(tail).collect();
                queue.waiting.push_back(Waiting::Long { pieces, length: whole, begun: false });
            }
        }
        drop(queue);
        self.ready.notify_one();
        Ok(())
    }

    /// Says that nothing more comes: the pump ends when all is sent.
    pub fn finish(&self) {
        self.queue().finished = true;
        self.ready.notify_one();
    }

    /// Waits until less than 8 MiB are queued, or nobody sends any more.
    pub async fn room(&self) {
        loop {
            let mut sent = std::pin::pin!(self.sent.notified());
            sent.as_mut().enable();
            {
                let queue = self.queue();
                if queue.bytes < ROOM || queue.broken {
                    return;
                }
            }
            sent.await;
        }
    }

    /// Bytes that are queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue().bytes
    }

    /// What is to be written next, in pieces; none where nothing waits.
    pub(super) fn next(&self) -> Option<Vec<Bytes>> {
        let mut queue = self.queue();
        let taken = match queue.waiting.pop_front()? {
            Waiting::Frames(frames) => {
                queue.bytes = queue.bytes.saturating_sub(frames.len());
                vec![frames.into()]
            }
            Waiting::Long { mut pieces, length, begun } => {
                let part = part(&mut pieces);
                let size: usize = part.iter().map(Bytes::len).sum();
                queue.bytes = queue.bytes.saturating_sub(size);
                if !pieces.is_empty() {
                    queue.waiting.push_front(Waiting::Long { pieces, length, begun: true });
                }
                let header = if begun {
                    parts::header(FURTHER, size).to_vec()
                } else {
                    [&parts::header(FIRST, size + 8)[..], &length.to_le_bytes()].concat()
                };
                std::iter::once(header.into()).chain(part).collect()
            }
        };
        if queue.waiting.is_empty() {
            // What is counted of each message differs by its frame's header.
            queue.bytes = 0;
        }
        drop(queue);
        self.sent.notify_waiters();
        Some(taken)
    }

    /// Whether nothing more comes.
    pub(super) fn is_finished(&self) -> bool {
        self.queue().finished
    }

    /// Nobody sends any more: what waits is dropped, as is what comes.
    pub(super) fn break_off(&self) {
        let mut queue = self.queue();
        queue.broken = true;
        queue.waiting.clear();
        queue.bytes = 0;
        drop(queue);
        self.sent.notify_waiters();
    }
}

impl Queue {
    /// Adds a whole frame to those that wait, in pieces.
    fn gather<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        let mut frames = match self.waiting.pop_back() {
            Some(Waiting::Frames(frames)) if frames.len() < PART => frames,
            last => {
                self.waiting.extend(last);
                Vec::new()
            }
        };
        pieces.into_iter().for_each(|piece| frames.extend_from_slice(piece));
        self.waiting.push_back(Waiting::Frames(frames));
    }
}

/// Takes a part's worth of pieces.
fn part(pieces: &mut VecDeque<Bytes>) -> Vec<Bytes> {
    let mut part = Vec::new();
    let mut room = PART;
    while room > 0
        && let Some(mut piece) = pieces.pop_front()
    {
        if piece.len() > room {
            pieces.push_front(piece.split_off(room));
        }
        room -= piece.len();
        part.push(piece);
    }
    part
}
