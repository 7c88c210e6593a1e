//! A double of the run's channel: the rules and bounds of the host's, with a clock that a test sets.

use std::collections::BTreeMap;

use crate::channel::{Error, decimal};

const KEY: usize = 512;
const VALUE: usize = 1 << 20;
const KEYS: usize = 100_000;
const BYTES: usize = 64 << 20;
const TIME_TO_LIVE: u64 = 365 * 24 * 3_600 * 1_000;
const PAGE: usize = 1_000;

/// Keys and values.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    /// Milliseconds since it began.
    now: u64,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    /// Gone from then on.
    expires: Option<u64>,
}

impl Store {
    /// Lets time pass.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.saturating_add(milliseconds);
        let now = self.now;
        self.entries.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        Ok(self.entries.get(key).map(|entry| entry.value.clone()))
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8], time_to_live: Option<u64>) -> Result<(), Error> {
        check_key(key)?;
        check_value(value.len())?;
        let expires = self.expiry(time_to_live)?;
        self.put(key, value.to_vec(), expires)
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<bool, Error> {
        check_key(key)?;
        Ok(self.entries.remove(key).is_some())
    }

    pub(super) fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        if prefix.len() > KEY || after.is_some_and(|after| after.len() > KEY) {
            return Err(Error::KeyTooLong);
        }
        let keys = self
            .entries
            .keys()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(PAGE).cloned().collect())
    }

    pub(super) fn append(&mut self, key: &str, value: &[u8]) -> Result<u64, Error> {
        check_key(key)?;
        let (mut all, expires) = self.entry(key);
        all.extend_from_slice(value);
        check_value(all.len())?;
        let length = all.len() as u64;
        self.put(key, all, expires)?;
        Ok(length)
    }

    pub(super) fn increment(&mut self, key: &str, by: i64) -> Result<i64, Error> {
        check_key(key)?;
        let there = self.entries.contains_key(key);
        let (value, expires) = self.entry(key);
        let number = match there {
            true => std::str::from_utf8(&value).ok().and_then(decimal).ok_or(Error::NotANumber)?,
            false => 0,
        };
        let sum = number.checked_add(by).ok_or(Error::Overflow)?;
        self.put(key, sum.to_string().into_bytes(), expires)?;
        Ok(sum)
    }

    pub(super) fn compare_and_swap(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        time_to_live: Option<u64>,
    ) -> Result<bool, Error> {
        check_key(key)?;
        check_value(value.map_or(0, <[u8]>::len))?;
        let expires = self.expiry(time_to_live)?;
        if self.entries.get(key).map(|entry| &entry.value[..]) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => self.put(key, value.to_vec(), expires)?,
            None => drop(self.entries.remove(key)),
        }
        Ok(true)
    }

    fn entry(&self, key: &str) -> (Vec<u8>, Option<u64>) {
        self.entries.get(key).map_or_else(Default::default, |entry| (entry.value.clone(), entry.expires))
    }

    fn put(&mut self, key: &str, value: Vec<u8>, expires: Option<u64>) -> Result<(), Error> {
        let others = self.entries.iter().filter(|(known, _)| *known != key);
        let others: usize = others.map(|(key, entry)| key.len() + entry.value.len()).sum();
        if !self.entries.contains_key(key) && self.entries.len() >= KEYS {
            return Err(Error::TooManyKeys);
        }
        if others + key.len() + value.len() > BYTES {
            return Err(Error::OutOfSpace);
        }
        self.entries.insert(key.to_owned(), Entry { value, expires });
        Ok(())
    }

    fn expiry(&self, time_to_live: Option<u64>) -> Result<Option<u64>, Error> {
        match time_to_live {
            None => Ok(None),
            Some(time @ 1..=TIME_TO_LIVE) => Ok(Some(self.now.saturating_add(time))),
            Some(_) => Err(Error::InvalidTimeToLive),
        }
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        0 => Err(Error::EmptyKey),
        1..=KEY => Ok(()),
        _ => Err(Error::KeyTooLong),
    }
}

fn check_value(length: usize) -> Result<(), Error> {
    if length > VALUE { Err(Error::ValueTooLarge) } else { Ok(()) }
}
