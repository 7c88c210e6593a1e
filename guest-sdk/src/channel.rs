//! The run's shared store: small values by key, which all tasks of the run see at once. Every call is
//! atomic. A deterministic task may not use it.
//!
//! A key has 1 to 512 bytes, a value at most 1 MiB; a run has at most 100,000 keys, which take at most
//! 64 MiB together with their values. An attempt that fails leaves behind what it wrote, and a retried
//! one may write it again.
//!
//! ```
//! use std::time::Duration;
//!
//! use flowhost_guest::{Failure, channel};
//!
//! /// Counts the pages seen, and says whether this one is new.
//! fn see(page: &str) -> Result<bool, Failure> {
//!     let new = channel::add(&format!("seen/{page}"), "")?;
//!     if new {
//!         channel::increment("pages", 1)?;
//!     }
//!     channel::set_for("last", page, Duration::from_secs(60))?;
//!     Ok(new)
//! }
//!
//! # let _host = flowhost_guest::testing::Host::start();
//! assert_eq!(see("a"), Ok(true));
//! assert_eq!(see("a"), Ok(false));
//! assert_eq!(channel::number("pages"), Ok(Some(1)));
//! assert_eq!(channel::text("last"), Ok(Some("a".to_owned())));
//! assert_eq!(channel::keys("seen/"), Ok(vec!["seen/a".to_owned()]));
//! ```
//!
//! A lock that is given back by itself where its holder is lost, in case of which another may hold it:
//!
//! ```
//! use std::time::Duration;
//!
//! use flowhost_guest::{Failure, channel, context};
//!
//! fn exclusively<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
//!     let place = context::current();
//!     let me = format!("{}[{}] {}", place.task, place.index, place.attempt);
//!     while !channel::add_for("lock", &me, Duration::from_secs(30))? {
//!         std::thread::sleep(Duration::from_millis(5));
//!     }
//!     let done = work();
//!     // Only if it is still ours.
//!     channel::compare_and_swap("lock", Some(me.as_bytes()), None)?;
//!     Ok(done)
//! }
//!
//! # let _host = flowhost_guest::testing::Host::start();
//! assert_eq!(exclusively(|| 7), Ok(7));
//! assert_eq!(channel::get("lock"), Ok(None));
//! ```

use std::time::Duration;

pub use crate::bindings::flowhost::task::channel::Error;
use crate::failure::Failure;
use crate::host;

/// The most keys that come in one answer.
const PAGE: usize = 1_000;

/// The value of `key`; none where there is none, or where it expired.
///
/// # Errors
/// Fails when the key is empty or too long, or when the store does not answer.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::get(key)
}

/// The value of `key` as text.
///
/// # Errors
/// As [`get`]; permanent where the value is not UTF-8.
pub fn text(key: &str) -> Result<Option<String>, Failure> {
    match get(key)?.map(String::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Failure::permanent(format!("the channel's value of `{key}` is not UTF-8"))),
    }
}

/// The value of `key` as a number, as [`increment`] and [`set_number`] write it.
///
/// # Errors
/// As [`get`]; [`Error::NotANumber`] where the value is none.
pub fn number(key: &str) -> Result<Option<i64>, Error> {
    let Some(value) = get(key)? else { return Ok(None) };
    let number = std::str::from_utf8(&value).ok().and_then(decimal);
    number.map(Some).ok_or(Error::NotANumber)
}

/// Gives `key` this value, whatever it had, for as long as the run lasts.
///
/// # Errors
/// Fails when key or value break a bound, or when the store does not answer.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    host::set(key, value.as_ref(), None)
}

/// Gives `key` this value for so long: at least a millisecond, at most 365 days.
///
/// # Errors
/// As [`set`], and when the time is out of bounds.
pub fn set_for(key: &str, value: impl AsRef<[u8]>, time_to_live: Duration) -> Result<(), Error> {
    host::set(key, value.as_ref(), Some(milliseconds(time_to_live)))
}

/// Gives `key` this number, which [`increment`] can add to.
///
/// # Errors
/// As [`set`].
pub fn set_number(key: &str, number: i64) -> Result<(), Error> {
    set(key, number.to_string())
}

/// Gives `key` this value if it is not there. Says whether it did.
///
/// # Errors
/// As [`set`].
pub fn add(key: &str, value: impl AsRef<[u8]>) -> Result<bool, Error> {
    host::compare_and_swap(key, None, Some(value.as_ref()), None)
}

/// Gives `key` this value for so long if it is not there. Says whether it did.
///
/// # Errors
/// As [`set_for`].
pub fn add_for(key: &str, value: impl AsRef<[u8]>, time_to_live: Duration) -> Result<bool, Error> {
    host::compare_and_swap(key, None, Some(value.as_ref()), Some(milliseconds(time_to_live)))
}

/// Removes `key`. Says whether it was there.
///
/// # Errors
/// As [`get`].
pub fn delete(key: &str) -> Result<bool, Error> {
    host::delete(key)
}

/// All keys that begin with `prefix`, in the order of their bytes. Of more than a thousand, those that
/// others add or remove meanwhile may be among them or not.
///
/// # Errors
/// Fails when the prefix is too long, or when the store does not answer.
pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
    let mut all = host::keys(prefix, None)?;
    let mut last_page = all.len();
    while last_page >= PAGE {
        let page = host::keys(prefix, all.last().map(String::as_str))?;
        last_page = page.len();
        all.extend(page);
    }
    Ok(all)
}

/// Adds bytes to the end of the value, which begins empty. When the key expires does not change.
/// Returns how many bytes the value has now.
///
/// # Errors
/// As [`set`].
pub fn append(key: &str, value: impl AsRef<[u8]>) -> Result<u64, Error> {
    host::append(key, value.as_ref())
}

/// Adds `by` to the number, which begins at 0, and returns the sum. When the key expires does not
/// change.
///
/// # Errors
/// As [`set`]; [`Error::NotANumber`] where the value is none, [`Error::Overflow`] where the sum does not
/// fit.
pub fn increment(key: &str, by: i64) -> Result<i64, Error> {
    host::increment(key, by)
}

/// If the value is exactly `expected` (none: the key is not there), gives it this value for as long as
/// the run lasts, or removes the key where `value` is none. Says whether the value was as expected.
///
/// # Errors
/// As [`set`].
pub fn compare_and_swap(key: &str, expected: Option<&[u8]>, value: Option<&[u8]>) -> Result<bool, Error> {
    host::compare_and_swap(key, expected, value, None)
}

/// As [`compare_and_swap`], with a value that lives for so long.
///
/// # Errors
/// As [`set_for`].
pub fn compare_and_swap_for(
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
    time_to_live: Duration,
) -> Result<bool, Error> {
    host::compare_and_swap(key, expected, Some(value), Some(milliseconds(time_to_live)))
}

/// The number in a text, if it stands there as the store writes it.
pub(crate) fn decimal(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// At least one where the time is not zero: a time to live is never rounded away.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Error {
    /// What went wrong, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::EmptyKey => "the key is empty".to_owned(),
            Self::KeyTooLong => "the key has more than 512 bytes".to_owned(),
            Self::ValueTooLarge => "the value has more than 1 MiB".to_owned(),
            Self::InvalidTimeToLive => "the time to live is not 1 ms to 365 days".to_owned(),
            Self::TooManyKeys => "the run has 100,000 keys already".to_owned(),
            Self::OutOfSpace => "the run's keys and values would take more than 64 MiB".to_owned(),
            Self::NotANumber => "the value is no number".to_owned(),
            Self::Overflow => "the sum does not fit 64 bits".to_owned(),
            Self::Unavailable(reason) => format!("the store did not answer: {reason}"),
        }
    }
}

/// Retryable where the store did not answer or is full, since that may pass; else permanent.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = format!("channel: {}", error.message());
        match error {
            Error::TooManyKeys | Error::OutOfSpace | Error::Unavailable(_) => Self::Retryable(message),
            Error::EmptyKey
            | Error::KeyTooLong
            | Error::ValueTooLarge
            | Error::InvalidTimeToLive
            | Error::NotANumber
            | Error::Overflow => Self::Permanent(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn times_to_live_are_never_rounded_away() {
        let cases = [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)];
        for (nanoseconds, expected) in cases {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)), expected);
        }
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn more_keys_than_one_answer_holds_come_all() {
        let _host = Host::start();
        for number in 0..2_000 {
            set(&format!("k{number:04}"), "").unwrap();
        }
        set("other", "").unwrap();
        let keys = keys("k").unwrap();
        assert_eq!(keys.len(), 2_000);
        assert!(keys.is_sorted() && keys[1_999] == "k1999");
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        let _host = Host::start();
        set_number("n", -7).unwrap();
        assert_eq!((number("n"), text("n")), (Ok(Some(-7)), Ok(Some("-7".to_owned()))));
        set("n", [0xff]).unwrap();
        assert_eq!(number("n"), Err(Error::NotANumber));
        assert!(text("n").unwrap_err().is_permanent());
        assert_eq!((number("none"), text("none")), (Ok(None), Ok(None)));
    }

    #[test]
    fn failures_say_whether_another_attempt_could_help() {
        let unavailable = Failure::from(Error::Unavailable("gone".to_owned()));
        assert_eq!(unavailable, Failure::retryable("channel: the store did not answer: gone"));
        assert!(Failure::from(Error::KeyTooLong).is_permanent());
    }
}
