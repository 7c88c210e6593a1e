//! The table against an oracle that does everything by looking at all of it, and its bounds.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;

use super::table::{Bounds, RestoreError, Table};
use super::{Memory, Sink};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{
    CHANNEL_KEY, CHANNEL_KEYS, CHANNEL_TIME_TO_LIVE, CHANNEL_VALUE, ChannelAnswer, ChannelAsk, ChannelChange,
    ChannelError, ChannelWrite,
};

/// So small that random questions reach all of them.
const SMALL: Bounds = Bounds { key: 3, value: 6, keys: 4, bytes: 20, page: 3 };

/// What was ever written, in order, and what is left of it found by looking.
#[derive(Default)]
struct Oracle {
    rows: Vec<(String, Vec<u8>, u64)>,
}

impl Oracle {
    fn find(&self, key: &str) -> Option<&(String, Vec<u8>, u64)> {
        self.rows.iter().find(|row| row.0 == key)
    }

    /// Puts the row in, if it may be there.
    fn put(&mut self, key: &str, value: Vec<u8>, expires: u64) -> Result<(), ChannelError> {
        let mut rows: Vec<_> = self.rows.iter().filter(|row| row.0 != key).cloned().collect();
        if rows.len() == self.rows.len() && rows.len() == SMALL.keys {
            return Err(ChannelError::TooManyKeys);
        }
        rows.push((key.to_owned(), value, expires));
        if rows.iter().map(|(key, value, _)| key.len() + value.len()).sum::<usize>() > SMALL.bytes as usize {
            return Err(ChannelError::OutOfSpace);
        }
        self.rows = rows;
        Ok(())
    }

    fn handle(&mut self, ask: &ChannelAsk, now: u64) -> Result<ChannelAnswer, ChannelError> {
        self.rows.retain(|row| row.2 > now);
        let key_of = |key: &Arc<str>| match key.len() {
            0 => Err(ChannelError::EmptyKey),
            1..=3 => Ok(key.to_string()),
            _ => Err(ChannelError::KeyTooLong),
        };
        let fits = |length: usize| if length <= 6 { Ok(()) } else { Err(ChannelError::ValueTooLarge) };
        let until = |time: &Option<u64>| match time {
            None => Ok(u64::MAX),
            Some(0) => Err(ChannelError::InvalidTimeToLive),
            Some(time) => Ok(now + time),
        };
        match ask {
            ChannelAsk::Get { key } => {
                let row = self.find(&key_of(key)?).map(|row| Bytes::from(row.1.clone()));
                Ok(ChannelAnswer::Value(row))
            }
            ChannelAsk::Set { key, value, time_to_live } => {
                let key = key_of(key)?;
                fits(value.len())?;
                self.put(&key, value.to_vec(), until(time_to_live)?)?;
                Ok(ChannelAnswer::Done)
            }
            ChannelAsk::Delete { key } => {
                let key = key_of(key)?;
                let before = self.rows.len();
                self.rows.retain(|row| row.0 != key);
                Ok(ChannelAnswer::Whether(self.rows.len() < before))
            }
            ChannelAsk::Keys { prefix, after } => {
                if prefix.len() > 3 || after.as_ref().is_some_and(|after| after.len() > 3) {
                    return Err(ChannelError::KeyTooLong);
                }
                let mut keys: Vec<Arc<str>> = self.rows.iter().map(|row| Arc::from(&*row.0)).collect();
                keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
                keys.retain(|key| {
                    key.starts_with(&**prefix) && after.as_ref().is_none_or(|after| key > after)
                });
                keys.truncate(3);
                Ok(ChannelAnswer::Keys(keys))
            }
            ChannelAsk::Append { key, value } => {
                let key = key_of(key)?;
                let (mut all, expires) =
                    self.find(&key).map_or((Vec::new(), u64::MAX), |row| (row.1.clone(), row.2));
                all.extend_from_slice(value);
                fits(all.len())?;
                let length = all.len() as u64;
                self.put(&key, all, expires)?;
                Ok(ChannelAnswer::Length(length))
            }
            ChannelAsk::Increment { key, by } => {
                let key = key_of(key)?;
                let (text, expires) =
                    self.find(&key).map_or((b"0".to_vec(), u64::MAX), |row| (row.1.clone(), row.2));
                let digits = text.strip_prefix(b"-").unwrap_or(&text);
                let canonical = !digits.is_empty()
                    && digits.iter().all(u8::is_ascii_digit)
                    && (digits[0] != b'0' || text == b"0");
                if !canonical {
                    return Err(ChannelError::NotANumber);
                }
                let number: i128 = String::from_utf8(text).unwrap().parse().unwrap();
                let sum = i64::try_from(number + i128::from(*by)).map_err(|_| ChannelError::Overflow)?;
                self.put(&key, sum.to_string().into_bytes(), expires)?;
                Ok(ChannelAnswer::Number(sum))
            }
            ChannelAsk::CompareAndSwap { key, expected, value, time_to_live } => {
                let name = key_of(key)?;
                fits(value.as_ref().map_or(0, Bytes::len))?;
                until(time_to_live)?;
                if self.find(&name).map(|row| &row.1[..]) != expected.as_deref() {
                    return Ok(ChannelAnswer::Whether(false));
                }
                let key = Arc::clone(key);
                match value.clone() {
                    Some(value) => {
                        self.handle(&ChannelAsk::Set { key, value, time_to_live: *time_to_live }, now)?;
                    }
                    None => drop(self.handle(&ChannelAsk::Delete { key }, now)?),
                }
                Ok(ChannelAnswer::Whether(true))
            }
        }
    }
}

fn key() -> impl Strategy<Value = Arc<str>> {
    let names = ["a", "b", "ab", "ba", "é", "", "abc", "abcd"];
    (0..names.len()).prop_map(move |at| Arc::from(names[at]))
}

fn value() -> impl Strategy<Value = Bytes> {
    let values = ["", "0", "7", "-3", "07", "x", "-0", "+1", "999999", "abcdefg", "-"];
    (0..values.len()).prop_map(move |at| Bytes::from_static(values[at].as_bytes()))
}

fn time() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..30_u64)
}

fn ask() -> impl Strategy<Value = ChannelAsk> {
    use proptest::option::of;
    prop_oneof![
        key().prop_map(|key| ChannelAsk::Get { key }),
        (key(), value(), time()).prop_map(|(key, value, time_to_live)| ChannelAsk::Set {
            key,
            value,
            time_to_live
        }),
        key().prop_map(|key| ChannelAsk::Delete { key }),
        (key(), of(key())).prop_map(|(prefix, after)| ChannelAsk::Keys { prefix, after }),
        (key(), value()).prop_map(|(key, value)| ChannelAsk::Append { key, value }),
        (key(), prop_oneof![-20..20_i64, Just(i64::MAX), Just(i64::MIN)])
            .prop_map(|(key, by)| ChannelAsk::Increment { key, by }),
        (key(), of(value()), of(value()), time()).prop_map(|(key, expected, value, time_to_live)| {
            ChannelAsk::CompareAndSwap { key, expected, value, time_to_live }
        }),
    ]
}

/// Everything that can be seen of a table.
fn contents(table: &mut Table, now: u64) -> Vec<(Arc<str>, ChannelAnswer)> {
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let ask = ChannelAsk::Keys { prefix: Arc::from(""), after };
        let Ok((ChannelAnswer::Keys(keys), None)) = table.handle(ask, now) else { panic!("no keys") };
        let Some(last) = keys.last().cloned() else { return all };
        for key in keys {
            let (value, write) = table.handle(ChannelAsk::Get { key: Arc::clone(&key) }, now).unwrap();
            assert_eq!(write, None);
            all.push((key, value));
        }
        after = Some(last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same answers at every moment; the changes alone make the same table again.
    #[test]
    fn it_does_what_the_oracle_does(asks in proptest::collection::vec((ask(), 0..8_u64), 0..60)) {
        let mut table = Table::new(SMALL);
        let mut oracle = Oracle::default();
        let mut now = 1_000;
        let mut writes = Vec::new();
        for (ask, pause) in asks {
            now += pause;
            let expected = oracle.handle(&ask, now);
            let may_change = ask.may_change();
            match table.handle(ask.clone(), now) {
                Ok((answer, write)) => {
                    prop_assert_eq!(Ok(answer), expected, "{:?}", ask);
                    prop_assert!(may_change || write.is_none());
                    writes.extend(write);
                }
                Err(error) => prop_assert_eq!(Err(error), expected, "{:?}", ask),
            }
            let held: usize = oracle.rows.iter().map(|(key, value, _)| key.len() + value.len()).sum();
            prop_assert_eq!(table.bytes(), held as u64);
        }
        prop_assert!(writes.iter().zip(0..).all(|(write, at)| write.sequence == at));
        let mut again = Table::restore(SMALL, writes.clone()).unwrap();
        for later in [now, now + 9, now + 40] {
            prop_assert_eq!(contents(&mut again, later), contents(&mut table, later));
            prop_assert_eq!(again.bytes(), table.bytes());
        }
        if writes.len() > 1 {
            writes.remove(0);
            let error = RestoreError::Sequence { expected: 0, found: 1 };
            prop_assert_eq!(Table::restore(SMALL, writes).err(), Some(error));
        }
    }
}

fn table() -> Table {
    Table::new(Bounds::RUN)
}

fn set(key: &str, value: impl Into<Bytes>, time_to_live: Option<u64>) -> ChannelAsk {
    ChannelAsk::Set { key: Arc::from(key), value: value.into(), time_to_live }
}

fn get(key: &str) -> ChannelAsk {
    ChannelAsk::Get { key: Arc::from(key) }
}

fn append(key: &str, value: impl Into<Bytes>) -> ChannelAsk {
    ChannelAsk::Append { key: Arc::from(key), value: value.into() }
}

#[test]
fn the_bounds_of_a_run_are_those_of_the_contract() {
    let mut table = table();
    let mut refused = |ask| table.handle(ask, 0).unwrap_err();
    let long = "k".repeat(CHANNEL_KEY + 1);
    let large = || vec![0; CHANNEL_VALUE + 1];
    assert_eq!(refused(set("", "", None)), ChannelError::EmptyKey);
    assert_eq!(refused(set(&long, "", None)), ChannelError::KeyTooLong);
    assert_eq!(refused(set("k", large(), None)), ChannelError::ValueTooLarge);
    assert_eq!(refused(append("k", large())), ChannelError::ValueTooLarge);
    for time in [0, CHANNEL_TIME_TO_LIVE + 1, u64::MAX] {
        assert_eq!(refused(set("k", "", Some(time))), ChannelError::InvalidTimeToLive);
    }
    let (key, value) = ("k".repeat(CHANNEL_KEY), vec![0; CHANNEL_VALUE]);
    table.handle(set(&key, value, Some(CHANNEL_TIME_TO_LIVE)), 0).unwrap();
    // What is full after an append, and what would have been more.
    table.handle(append("a", vec![0; CHANNEL_VALUE]), 0).unwrap();
    assert_eq!(table.handle(append("a", "x"), 0), Err(ChannelError::ValueTooLarge));
}

#[test]
fn the_keys_of_a_run_are_bounded_and_expired_ones_do_not_count() {
    let mut table = table();
    for number in 0..CHANNEL_KEYS {
        table.handle(set(&number.to_string(), "", (number == 5).then_some(10)), 0).unwrap();
    }
    assert_eq!(table.handle(set("one more", "", None), 9), Err(ChannelError::TooManyKeys));
    assert_eq!(table.handle(append("one more", ""), 9), Err(ChannelError::TooManyKeys));
    // Those that are there change as before.
    table.handle(append("7", "x"), 9).unwrap();
    table.handle(set("one more", "", None), 10).unwrap();
    assert_eq!(table.handle(get("5"), 10), Ok((ChannelAnswer::Value(None), None)));
}

#[test]
fn the_bytes_of_a_run_are_bounded() {
    let mut table = table();
    // 63 of 1 MiB and their keys, and what is left of the 64th.
    for number in 10..73 {
        table.handle(set(&number.to_string(), vec![0; CHANNEL_VALUE], None), 0).unwrap();
    }
    let left = CHANNEL_VALUE - 63 * 2 - 1;
    assert_eq!(table.handle(set("z", vec![0; left + 1], None), 0), Err(ChannelError::OutOfSpace));
    table.handle(set("z", vec![0; left], None), 0).unwrap();
    assert_eq!(table.handle(append("z", "x"), 0), Err(ChannelError::OutOfSpace));
    assert_eq!(table.handle(set("y", "", None), 0), Err(ChannelError::OutOfSpace));
    // What takes the place of as much fits.
    table.handle(set("10", vec![1; CHANNEL_VALUE], None), 0).unwrap();
    table.handle(ChannelAsk::Delete { key: Arc::from("11") }, 0).unwrap();
    table.handle(set("y", "", None), 0).unwrap();
}

#[test]
fn what_adds_to_a_value_that_is_not_there_is_no_channel() {
    let change = ChannelChange::Append { value: Bytes::from_static(b"x") };
    let write = ChannelWrite { sequence: 0, key: Arc::from("k"), change };
    assert_eq!(Table::restore(SMALL, [write]).err(), Some(RestoreError::Append { sequence: 0 }));
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(AttemptId, ChannelWrite)>>>);

impl Sink for Kept {
    fn write(&self, from: AttemptId, write: ChannelWrite) {
        self.0.lock().unwrap().push((from, write));
    }

    fn room(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_told_in_order_and_make_the_same_channel() {
    let kept = Kept::default();
    let channel = Memory::shared(Some(Box::new(kept.clone())));
    let from = |index| AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 };
    let work = (0..8).map(|index| {
        let channel = Arc::clone(&channel);
        tokio::spawn(async move {
            for _ in 0..500 {
                let ask = ChannelAsk::Increment { key: Arc::from("n"), by: 1 };
                channel.ask(from(index), ask).await.unwrap();
                channel.ask(from(index), append("log", "x")).await.unwrap();
            }
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await.unwrap();
    }
    let kept = kept.0.lock().unwrap().clone();
    assert_eq!(kept.len(), 8_000);
    assert!(kept.iter().zip(0..).all(|((_, write), at)| write.sequence == at));
    for index in 0..8 {
        assert_eq!(kept.iter().filter(|(id, _)| *id == from(index)).count(), 1_000);
    }
    let again = Memory::restore(kept.into_iter().map(|(_, write)| write)).unwrap().telling(None);
    for channel in [&channel, &again] {
        let number = channel.ask(from(0), get("n")).await;
        assert_eq!(number, Ok(ChannelAnswer::Value(Some(Bytes::from_static(b"4000")))));
        let Ok(ChannelAnswer::Value(Some(log))) = channel.ask(from(0), get("log")).await else {
            panic!("no log")
        };
        assert_eq!(log.len(), 4_000);
    }
}
