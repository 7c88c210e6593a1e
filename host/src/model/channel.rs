//! What tasks ask of the run's channel, and what becomes of it, as plain data: the same for a channel
//! in this process and for one that is asked over a wire.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::MIB;

/// Bytes of a key, or of a prefix of keys, at most.
pub const CHANNEL_KEY: usize = 512;

/// Bytes of a value at most.
pub const CHANNEL_VALUE: usize = 1 << 20;

/// Keys of a run at most.
pub const CHANNEL_KEYS: usize = 100_000;

/// Bytes of a run's keys and values together at most.
pub const CHANNEL_BYTES: u64 = 64 * MIB;

/// Milliseconds of a time to live at most: 365 days.
pub const CHANNEL_TIME_TO_LIVE: u64 = 365 * 24 * 3_600 * 1_000;

/// Keys that one question for keys yields at most.
pub const CHANNEL_PAGE: usize = 1_000;

/// A task's question to the channel. Answers to each are in [`ChannelAnswer`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChannelAsk {
    /// For a [`ChannelAnswer::Value`].
    Get {
        /// The key.
        key: Arc<str>,
    },
    /// Answered by [`ChannelAnswer::Done`].
    Set {
        /// The key.
        key: Arc<str>,
        /// The new value.
        value: Bytes,
        /// Milliseconds until it expires; none is never.
        time_to_live: Option<u64>,
    },
    /// For a [`ChannelAnswer::Whether`] it was there.
    Delete {
        /// The key.
        key: Arc<str>,
    },
    /// For [`ChannelAnswer::Keys`].
    Keys {
        /// What they begin with.
        prefix: Arc<str>,
        /// Only those behind this one.
        after: Option<Arc<str>>,
    },
    /// For the [`ChannelAnswer::Length`].
    Append {
        /// The key.
        key: Arc<str>,
        /// What is added.
        value: Bytes,
    },
    /// For the [`ChannelAnswer::Number`].
    Increment {
        /// The key.
        key: Arc<str>,
        /// What is added.
        by: i64,
    },
    /// For a [`ChannelAnswer::Whether`] it was as expected.
    CompareAndSwap {
        /// The key.
        key: Arc<str>,
        /// The value that it must have; none where it must not be there.
        expected: Option<Bytes>,
        /// The new value; none removes the key.
        value: Option<Bytes>,
        /// Milliseconds until it expires; none is never.
        time_to_live: Option<u64>,
    },
}

/// What the channel answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChannelAnswer {
    /// A key's value, if it is there.
    Value(Option<Bytes>),
    /// It was done.
    Done,
    /// Whether a key was there, or as expected.
    Whether(bool),
    /// At most [`CHANNEL_PAGE`] keys, in the order of their bytes.
    Keys(Vec<Arc<str>>),
    /// The bytes that a value has.
    Length(u64),
    /// The number that a value holds.
    Number(i64),
}

/// Why the channel did not do what it was asked for. Nothing was changed then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum ChannelError {
    /// The key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// The key or prefix has more than [`CHANNEL_KEY`] bytes.
    #[error("the key has more than {CHANNEL_KEY} bytes")]
    KeyTooLong,
    /// The value has, or would have, more than [`CHANNEL_VALUE`] bytes.
    #[error("the value has more than {CHANNEL_VALUE} bytes")]
    ValueTooLarge,
    /// The time to live is 0 or more than [`CHANNEL_TIME_TO_LIVE`].
    #[error("the time to live is not 1 to {CHANNEL_TIME_TO_LIVE} milliseconds")]
    InvalidTimeToLive,
    /// The run has [`CHANNEL_KEYS`] keys already.
    #[error("the run has {CHANNEL_KEYS} keys already")]
    TooManyKeys,
    /// The run's keys and values would take more than [`CHANNEL_BYTES`].
    #[error("the run's keys and values would take more than {CHANNEL_BYTES} bytes")]
    OutOfSpace,
    /// The value to increment is no decimal number.
    #[error("the value is no number")]
    NotANumber,
    /// The sum does not fit 64 bits.
    #[error("the sum does not fit 64 bits")]
    Overflow,
    /// The channel did not answer.
    #[error("the channel did not answer: {0}")]
    Unavailable(String),
}

/// A change of the channel, as it took place. All of a run, in order of their sequence, make its
/// channel anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChannelWrite {
    /// Counts from 0 within a run, without gaps.
    pub sequence: u64,
    /// The key.
    pub key: Arc<str>,
    /// What became of it.
    pub change: ChannelChange,
}

/// What became of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChannelChange {
    /// It has this value now.
    Set {
        /// The whole value.
        value: Bytes,
        /// When it expires, in milliseconds since 1970-01-01 UTC; none is never.
        expires: Option<u64>,
    },
    /// Its value, which was there, is longer now. When it expires did not change.
    Append {
        /// What was added.
        value: Bytes,
    },
    /// It is gone.
    Delete,
}

impl ChannelChange {
    /// In kebab-case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Append { .. } => "append",
            Self::Delete => "delete",
        }
    }

    /// Bytes of the value that it carries.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Set { value, .. } | Self::Append { value } => value.len(),
            Self::Delete => 0,
        }
    }
}

impl ChannelAsk {
    /// Whether the answer may take a change.
    #[must_use]
    pub fn may_change(&self) -> bool {
        match self {
            Self::Get { .. } | Self::Keys { .. } => false,
            Self::Set { .. }
            | Self::Delete { .. }
            | Self::Append { .. }
            | Self::Increment { .. }
            | Self::CompareAndSwap { .. } => true,
        }
    }
}
