//! What a channel does, without a clock: time is an argument. Redis must be able to serve the same
//! results, so its rules are Redis's where it has any.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::model::{
    CHANNEL_BYTES, CHANNEL_KEY, CHANNEL_KEYS, CHANNEL_PAGE, CHANNEL_TIME_TO_LIVE, CHANNEL_VALUE,
    ChannelAnswer, ChannelAsk, ChannelChange, ChannelError, ChannelWrite,
};

/// What a channel holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a key.
    pub(super) key: usize,
    /// Bytes of a value.
    pub(super) value: usize,
    /// Keys.
    pub(super) keys: usize,
    /// Bytes of keys and values together.
    pub(super) bytes: u64,
    /// Keys in one answer.
    pub(super) page: usize,
}

impl Bounds {
    /// Those that the WIT states.
    pub(super) const RUN: Self = Self {
        key: CHANNEL_KEY,
        value: CHANNEL_VALUE,
        keys: CHANNEL_KEYS,
        bytes: CHANNEL_BYTES,
        page: CHANNEL_PAGE,
    };
}

/// Why a channel cannot be made of the changes that were kept of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    /// A change is missing, or there twice.
    #[error("the channel's change {expected} should come next, and {found} does")]
    Sequence {
        /// Whose turn it is.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Something was added to a value that is not there.
    #[error("the channel's change {sequence} adds to a value that is not there")]
    Append {
        /// Which change.
        sequence: u64,
    },
}

/// The keys and values of a run.
#[derive(Clone, Debug)]
pub(super) struct Table {
    bounds: Bounds,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Those that expire, the next one first.
    expiring: BTreeSet<(u64, Arc<str>)>,
    /// Of keys and values together.
    bytes: u64,
    /// The next change's.
    sequence: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    value: Bytes,
    /// In milliseconds since 1970: gone from then on.
    expires: Option<u64>,
}

/// An answer, and the change that it took, if any.
type Handled = Result<(ChannelAnswer, Option<ChannelWrite>), ChannelError>;

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: BTreeMap::new(), expiring: BTreeSet::new(), bytes: 0, sequence: 0 }
    }

    /// Made of all changes so far. What expired is still there, until the first question.
    pub(super) fn restore(
        bounds: Bounds,
        writes: impl IntoIterator<Item = ChannelWrite>,
    ) -> Result<Self, RestoreError> {
        let mut table = Self::new(bounds);
        for ChannelWrite { sequence, key, change } in writes {
            if sequence != table.sequence {
                return Err(RestoreError::Sequence { expected: table.sequence, found: sequence });
            }
            table.sequence += 1;
            match change {
                ChannelChange::Set { value, expires } => table.put(key, Entry { value, expires }),
                ChannelChange::Delete => drop(table.take(&key)),
                ChannelChange::Append { value } => {
                    let Some(entry) = table.take(&key) else {
                        return Err(RestoreError::Append { sequence });
                    };
                    table.put(key, entry.longer(&value));
                }
            }
        }
        Ok(table)
    }

    /// Answers `ask` at `now`, in milliseconds since 1970. Time that goes back makes nothing expire.
    pub(super) fn handle(&mut self, ask: ChannelAsk, now: u64) -> Handled {
        self.expire(now);
        match ask {
            ChannelAsk::Get { key } => {
                self.check_key(&key)?;
                let value = self.entries.get(&key).map(|entry| entry.value.clone());
                Ok((ChannelAnswer::Value(value), None))
            }
            ChannelAsk::Set { key, value, time_to_live } => {
                self.check_key(&key)?;
                self.check_value(value.len())?;
                let expires = expiry(time_to_live, now)?;
                let write = self.set(key, value, expires)?;
                Ok((ChannelAnswer::Done, Some(write)))
            }
            ChannelAsk::Delete { key } => {
                self.check_key(&key)?;
                let write = self.delete(key);
                Ok((ChannelAnswer::Whether(write.is_some()), write))
            }
            ChannelAsk::Keys { prefix, after } => {
                if prefix.len() > self.bounds.key
                    || after.as_ref().is_some_and(|it| it.len() > self.bounds.key)
                {
                    return Err(ChannelError::KeyTooLong);
                }
                Ok((ChannelAnswer::Keys(self.keys(&prefix, after.as_deref())), None))
            }
            ChannelAsk::Append { key, value } => self.append(key, &value),
            ChannelAsk::Increment { key, by } => self.increment(key, by),
            ChannelAsk::CompareAndSwap { key, expected, value, time_to_live } => {
                self.check_key(&key)?;
                if let Some(value) = &value {
                    self.check_value(value.len())?;
                }
                let expires = expiry(time_to_live, now)?;
                if self.entries.get(&key).map(|entry| &entry.value) != expected.as_ref() {
                    return Ok((ChannelAnswer::Whether(false), None));
                }
                let write = match value {
                    Some(value) => Some(self.set(key, value, expires)?),
                    None => self.delete(key),
                };
                Ok((ChannelAnswer::Whether(true), write))
            }
        }
    }

    fn append(&mut self, key: Arc<str>, value: &Bytes) -> Handled {
        self.check_key(&key)?;
        let before = self.entries.get(&key);
        let length = before.map_or(0, |entry| entry.value.len()).saturating_add(value.len());
        self.check_value(length)?;
        let added = if before.is_some() { 0 } else { key.len() }.saturating_add(value.len());
        self.check_room(before.is_none(), added, 0)?;
        let change = match self.take(&key) {
            Some(entry) => {
                self.put(Arc::clone(&key), entry.longer(value));
                ChannelChange::Append { value: value.clone() }
            }
            None => {
                self.put(Arc::clone(&key), Entry { value: value.clone(), expires: None });
                ChannelChange::Set { value: value.clone(), expires: None }
            }
        };
        Ok((ChannelAnswer::Length(length as u64), Some(self.write(key, change))))
    }

    fn increment(&mut self, key: Arc<str>, by: i64) -> Handled {
        self.check_key(&key)?;
        let before = self.entries.get(&key);
        let expires = before.and_then(|entry| entry.expires);
        let number = before.map_or(Some(0), |entry| decimal(&entry.value)).ok_or(ChannelError::NotANumber)?;
        let sum = number.checked_add(by).ok_or(ChannelError::Overflow)?;
        let write = self.set(key, sum.to_string().into(), expires)?;
        Ok((ChannelAnswer::Number(sum), Some(write)))
    }

    fn set(
        &mut self,
        key: Arc<str>,
        value: Bytes,
        expires: Option<u64>,
    ) -> Result<ChannelWrite, ChannelError> {
        let before = self.entries.get(&key).map(|entry| size(&key, entry));
        self.check_room(before.is_none(), key.len().saturating_add(value.len()), before.unwrap_or(0))?;
        self.put(Arc::clone(&key), Entry { value: value.clone(), expires });
        Ok(self.write(key, ChannelChange::Set { value, expires }))
    }

    fn delete(&mut self, key: Arc<str>) -> Option<ChannelWrite> {
        self.take(&key)?;
        Some(self.write(key, ChannelChange::Delete))
    }

    fn keys(&self, prefix: &str, after: Option<&str>) -> Vec<Arc<str>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let keys = self.entries.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix)).take(self.bounds.page).cloned().collect()
    }

    fn check_key(&self, key: &str) -> Result<(), ChannelError> {
        match key.len() {
            0 => Err(ChannelError::EmptyKey),
            length if length > self.bounds.key => Err(ChannelError::KeyTooLong),
            _ => Ok(()),
        }
    }

    fn check_value(&self, length: usize) -> Result<(), ChannelError> {
        if length > self.bounds.value { Err(ChannelError::ValueTooLarge) } else { Ok(()) }
    }

    /// Whether there is room for `added` bytes where `removed` bytes go.
    fn check_room(&self, one_more: bool, added: usize, removed: u64) -> Result<(), ChannelError> {
        if one_more && self.entries.len() >= self.bounds.keys {
            return Err(ChannelError::TooManyKeys);
        }
        let bytes = self.bytes.saturating_sub(removed).saturating_add(added as u64);
        if bytes > self.bounds.bytes { Err(ChannelError::OutOfSpace) } else { Ok(()) }
    }

    fn write(&mut self, key: Arc<str>, change: ChannelChange) -> ChannelWrite {
        let sequence = self.sequence;
        self.sequence += 1;
        ChannelWrite { sequence, key, change }
    }

    fn put(&mut self, key: Arc<str>, entry: Entry) {
        self.take(&key);
        self.bytes = self.bytes.saturating_add(size(&key, &entry));
        if let Some(expires) = entry.expires {
            self.expiring.insert((expires, Arc::clone(&key)));
        }
        self.entries.insert(key, entry);
    }

    fn take(&mut self, key: &Arc<str>) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes = self.bytes.saturating_sub(size(key, &entry));
        if let Some(expires) = entry.expires {
            self.expiring.remove(&(expires, Arc::clone(key)));
        }
        Some(entry)
    }

    fn expire(&mut self, now: u64) {
        while let Some((expires, key)) = self.expiring.first()
            && *expires <= now
        {
            let key = Arc::clone(key);
            self.take(&key);
        }
    }

    /// Bytes of keys and values together.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Entry {
    fn longer(self, by: &[u8]) -> Self {
        let Self { value, expires } = self;
        // Not copied where nobody else holds it, so that many small pieces cost no more than their sum.
        let mut value = BytesMut::from(value);
        value.extend_from_slice(by);
        Self { value: value.freeze(), expires }
    }
}

fn size(key: &str, entry: &Entry) -> u64 {
    (key.len() as u64).saturating_add(entry.value.len() as u64)
}

/// When something expires that lives so long from `now` on.
fn expiry(time_to_live: Option<u64>, now: u64) -> Result<Option<u64>, ChannelError> {
    match time_to_live {
        None => Ok(None),
        Some(time @ 1..=CHANNEL_TIME_TO_LIVE) => Ok(Some(now.saturating_add(time))),
        Some(_) => Err(ChannelError::InvalidTimeToLive),
    }
}

/// The number that a value holds, as Redis reads one: no sign but `-`, no zeros before it.
fn decimal(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
