//! Names of keys. All of a queue share one hash tag, so that every script stays in one slot of a cluster,
//! and name the protocol, so that fleets of two protocols never meet.

use crate::digest::Digest;
use crate::id::RunId;

/// A name that cannot be part of a key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot name a queue or prefix: 1 to 64 letters, digits, `.`, `_` and `-` can")]
pub struct NameError(String);

/// The keys of one queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    prefix: String,
    /// With braces.
    tag: String,
    protocol: u32,
    queue: String,
}

/// The keys of one run on a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunKeys {
    /// A hash: its epoch, its calls, its attempts and what became of them, what is cancelled.
    pub record: String,
    /// A stream: the outcomes that the run has not written down yet.
    pub results: String,
}

impl Keys {
    /// Of the queue called `queue`, for those who speak `protocol`.
    ///
    /// # Errors
    /// Fails when a name has characters that keys do not have, or is empty or long.
    pub fn new(prefix: &str, protocol: u32, queue: &str) -> Result<Self, NameError> {
        for name in [prefix, queue] {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(known) {
                return Err(NameError(name.chars().take(80).flat_map(char::escape_debug).collect()));
            }
        }
        let tag = format!("{{{prefix}:{protocol}:{queue}}}");
        Ok(Self { prefix: prefix.to_owned(), tag, protocol, queue: queue.to_owned() })
    }

    /// Of another queue, or for others, under the same prefix.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn beside(&self, protocol: u32, queue: &str) -> Result<Self, NameError> {
        Self::new(&self.prefix, protocol, queue)
    }

    /// The protocol that its workers speak.
    #[must_use]
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// A stream: attempts that wait or execute.
    #[must_use]
    pub fn tasks(&self) -> String {
        format!("{}:tasks", self.tag)
    }

    /// A stream: what nobody could finish, with reasons.
    #[must_use]
    pub fn letters(&self) -> String {
        format!("{}:dead", self.tag)
    }

    /// A sorted set: the ids of workers by when they were last seen, in seconds since 1970.
    #[must_use]
    pub fn workers(&self) -> String {
        format!("{}:workers", self.tag)
    }

    /// A string that expires: what a worker says of itself, as JSON.
    #[must_use]
    pub fn worker(&self, id: &str) -> String {
        format!("{}:worker:{id}", self.tag)
    }

    /// A string that expires: the lease of the queue's workers, in milliseconds.
    #[must_use]
    pub fn lease(&self) -> String {
        format!("{}:lease", self.tag)
    }

    /// A stream: what runs have to tell a worker.
    #[must_use]
    pub fn inbox(&self, id: &str) -> String {
        format!("{}:inbox:{id}", self.tag)
    }

    /// The keys of a run.
    #[must_use]
    pub fn run(&self, run: &RunId) -> RunKeys {
        let of = format!("{}:run:{run}", self.tag);
        RunKeys { results: format!("{of}:results"), record: of }
    }

    /// A set: `PROTOCOL:QUEUE` of every queue that a worker of any protocol serves.
    #[must_use]
    pub fn queues(&self) -> String {
        format!("{}:queues", self.prefix)
    }

    /// This queue's member of that set.
    #[must_use]
    pub fn served(&self) -> String {
        format!("{}:{}", self.protocol, self.queue)
    }

    /// A string that expires: a component's bytes.
    #[must_use]
    pub fn component(&self, digest: &Digest) -> String {
        format!("{}:component:{digest}", self.prefix)
    }

    /// A string that expires: a long message's bytes, which are its run's and nobody else's.
    #[must_use]
    pub fn blob(&self, run: &RunId, name: &str) -> String {
        format!("{}:blob:{run}:{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_queue_share_one_tag() {
        let keys = Keys::new("flowhost", 3, "night-shift").unwrap();
        let run = keys.run(&RunId("20261121-094119-no0abl".into()));
        let of_workers = [keys.workers(), keys.worker("w1"), keys.inbox("w1"), keys.lease()];
        for key in [keys.tasks(), keys.letters(), run.record, run.results].into_iter().chain(of_workers) {
            assert!(key.starts_with("{flowhost:3:night-shift}:"), "{key}");
        }
        let digest = Digest::of(b"component");
        let blob = keys.blob(&RunId("20261121-094119-no0abl".into()), "name");
        for key in [keys.component(&digest), blob, keys.queues()] {
            assert!(key.starts_with("flowhost:") && !key.contains('{'), "{key}");
        }
    }

    #[test]
    fn w4_names_hold_nothing_that_could_leave_the_tag() {
        for name in ["", "a}b", "a{b", "a:b", "a b", "a\nb", "é", &"a".repeat(65)] {
            let error = Keys::new("flowhost", 3, name).unwrap_err().to_string();
            assert!(error.contains("cannot name a queue"), "{error}");
            Keys::new(name, 3, "default").unwrap_err();
        }
    }
}
