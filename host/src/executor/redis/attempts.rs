//! What is known of a run's attempts from their submission to when they may be forgotten: as they lie in the
//! queue, and as this process has them. Pure data.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::digest::Digest;
use crate::id::AttemptId;
use crate::model::{Attempt, Call, Cause, Type};
use crate::queue::{CALL, Entry, INLINE, Seal, Slip};
use crate::wire::{Start, ToWorker, encode};

/// Bytes of one value in Redis at most (proto-max-bulk-len).
const LONGEST: usize = 512 << 20;

/// Bytes of a run's attempts in the queue, above which it adds no more.
const QUEUED: usize = 256 << 20;

/// What attempts share.
pub(super) struct Shared {
    /// Keeps the address from being used for another call.
    _call: Arc<Call>,
    pub(super) component: Digest,
    /// In hexadecimal.
    pub(super) digest: String,
    /// As it lies in the run's record.
    pub(super) bytes: Vec<u8>,
    /// Of its tasks' values.
    pub(super) value: Type,
}

/// An attempt that has not ended.
pub(super) struct Flying {
    /// Its id in the queue.
    pub(super) text: Arc<str>,
    pub(super) shared: Arc<Shared>,
    /// What is to be queued; none once it is.
    pub(super) unsent: Option<Unsent>,
    /// The end of the key that its long message is under.
    pub(super) blob: Option<String>,
    /// Bytes that it takes in Redis.
    size: usize,
    /// When it was queued, or came.
    pub(super) since: Instant,
    /// It is to be stopped.
    pub(super) cancelled: Option<(Cause, Instant)>,
}

pub(super) struct Unsent {
    pub(super) body: Vec<u8>,
    pub(super) traceparent: Option<String>,
    /// What lies under a key of its own.
    pub(super) long: Option<Vec<u8>>,
}

impl Unsent {
    fn size(&self) -> usize {
        self.body.len() + self.long.as_ref().map_or(0, Vec::len)
    }
}

/// An attempt that ended, and what is left of it.
pub(super) struct Left {
    pub(super) text: Arc<str>,
    /// Its entry among the results.
    pub(super) result: String,
    /// Ends of keys.
    pub(super) blobs: Vec<String>,
}

/// All attempts of a run.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) flying: HashMap<AttemptId, Flying, rustc_hash::FxBuildHasher>,
    ids: HashMap<Arc<str>, AttemptId, rustc_hash::FxBuildHasher>,
    /// By address.
    calls: HashMap<usize, Arc<Shared>>,
    /// Not queued yet, in order. Those that do not fly any more are skipped.
    pub(super) unsent: VecDeque<AttemptId>,
    /// Bytes of those that are queued and have not ended.
    queued: usize,
    /// How many attempts need a key with long bytes.
    blobs: HashMap<String, usize>,
    /// Ended, and not written down yet.
    pub(super) left: HashMap<AttemptId, Left, rustc_hash::FxBuildHasher>,
}

impl Attempts {
    /// Takes an attempt over, or says why it cannot be queued.
    pub(super) fn submit(&mut self, run: &str, attempt: Attempt, seal: &Seal) -> Result<(), String> {
        let Attempt { id, call, iteration, arguments } = attempt;
        let shared = self.shared(run, &call, seal)?;
        let types = call.signature.parameters.iter().map(|(_, ty)| ty);
        let arguments = encode(&arguments, types).map_err(|error| error.to_string())?;
        let start = Start { id, call: 0, iteration, arguments, shared: Vec::new() };
        let message = ToWorker::Start { attempts: vec![start] }.pack().map_err(|error| error.to_string())?;
        if message.len() > LONGEST {
            return Err(format!(
                "its arguments are {} bytes, and Redis holds at most {LONGEST} in one value",
                message.len()
            ));
        }
        let digest = Digest::of(&message);
        // With what it is about, so that an outcome for other arguments is never taken for it.
        let about = Digest::of(&[shared.digest.as_bytes(), digest.as_bytes()].concat());
        let AttemptId { branch, number } = id;
        let text: Arc<str> =
            format!("{}.{}.{number}.{}", branch.node.0, branch.index, about.beginning()).into();
        let (slip, long, blob) = match message.len() > INLINE {
            false => (Slip::Here(message.into()), None, None),
            true => {
                let name = digest.hex();
                *self.blobs.entry(name.clone()).or_default() += 1;
                (Slip::Elsewhere { name: name.clone(), digest }, Some(message), Some(name))
            }
        };
        let body = slip.write(seal, &[run, &text, &shared.digest]);
        self.ids.insert(Arc::clone(&text), id);
        let sampled = call.trace.filter(|trace| trace.sampled);
        let traceparent = sampled.map(|trace| trace.of_attempt(id).to_string());
        let unsent = Unsent { body, traceparent, long };
        let (size, unsent) = (unsent.size(), Some(unsent));
        let flying = Flying { text, shared, unsent, blob, size, since: Instant::now(), cancelled: None };
        self.flying.insert(id, flying);
        self.unsent.push_back(id);
        Ok(())
    }

    fn shared(&mut self, run: &str, call: &Arc<Call>, seal: &Seal) -> Result<Arc<Shared>, String> {
        let address = Arc::as_ptr(call).addr();
        if let Some(shared) = self.calls.get(&address) {
            return Ok(Arc::clone(shared));
        }
        let message = ToWorker::Call { number: 0, call: Arc::clone(call) };
        let message = message.pack().map_err(|error| error.to_string())?;
        let digest = Digest::of(&message).hex();
        let bytes = seal.put(&[run, CALL, &digest], &message);
        let value = call.signature.result.task_value();
        let shared = Shared { _call: Arc::clone(call), component: call.component, digest, bytes, value };
        let shared = Arc::new(shared);
        self.calls.insert(address, Arc::clone(&shared));
        Ok(shared)
    }

    /// The attempt of this id in the queue, while it flies.
    pub(super) fn id(&self, text: &str) -> Option<AttemptId> {
        self.ids.get(text).copied()
    }

    /// An attempt flies no more. Gives what was known of it.
    pub(super) fn end(&mut self, id: AttemptId) -> Option<Flying> {
        let flying = self.flying.remove(&id)?;
        self.ids.remove(&flying.text);
        if flying.unsent.is_none() {
            self.queued = self.queued.saturating_sub(flying.size);
        }
        Some(flying)
    }

    /// One attempt less needs the key that ends so. Says whether none does now.
    pub(super) fn release(&mut self, blob: &str) -> bool {
        match self.blobs.get_mut(blob) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(_) | None => {
                self.blobs.remove(blob);
                true
            }
        }
    }

    /// The next that are to be queued, so many and so long at most. None while there is enough in the queue.
    pub(super) fn next_unsent(&mut self, count: usize, bytes: usize) -> Vec<AttemptId> {
        let mut next = Vec::new();
        let mut together = 0;
        if self.queued > QUEUED {
            return next;
        }
        while let Some(id) = self.unsent.get(next.len()).copied() {
            match self.flying.get(&id).and_then(|flying| flying.unsent.as_ref()) {
                None => {
                    // Ended before it was queued.
                    self.unsent.remove(next.len());
                    continue;
                }
                Some(unsent) => {
                    together += unsent.size();
                }
            }
            if next.len() >= count || (together > bytes && !next.is_empty()) {
                break;
            }
            next.push(id);
        }
        next
    }

    /// These were queued.
    pub(super) fn sent(&mut self, ids: &[AttemptId]) {
        self.unsent.drain(..ids.len().min(self.unsent.len()));
        ids.iter().for_each(|id| self.is_queued(*id));
    }

    /// This one is in the queue.
    pub(super) fn is_queued(&mut self, id: AttemptId) {
        if let Some(flying) = self.flying.get_mut(&id) {
            flying.unsent = None;
            flying.since = Instant::now();
            self.queued += flying.size;
        }
    }

    /// As it is queued.
    pub(super) fn entry(&self, id: AttemptId) -> Option<Entry> {
        let flying = self.flying.get(&id)?;
        let Unsent { body, traceparent, long: _ } = flying.unsent.as_ref()?;
        Some(Entry {
            attempt: flying.text.to_string(),
            call: flying.shared.digest.clone(),
            body: body.clone(),
            traceparent: traceparent.clone(),
        })
    }

    /// What flies and was queued before `since`: its ids here and in the queue.
    pub(super) fn queued_before(&self, since: Instant) -> Vec<(AttemptId, String)> {
        let queued = |flying: &&Flying| flying.unsent.is_none() && flying.since <= since;
        let found = self.flying.iter().filter(|(_, flying)| queued(flying));
        found.map(|(id, flying)| (*id, flying.text.to_string())).collect()
    }
}
