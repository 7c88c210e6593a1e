//! A change of the run's channel, as a line has it: the value as base64, since it may hold anything.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::model::{ChannelChange, ChannelWrite};

/// A change of the channel, or that there was one.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Written {
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    append: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

impl Written {
    /// Of a change; one that holds a secret says no more than its place in the order.
    pub(super) fn of(sequence: u64, write: Option<ChannelWrite>) -> Self {
        let Some(ChannelWrite { key, change, .. }) = write else {
            return Self { sequence, ..Self::default() };
        };
        let line = Self { sequence, key: Some(key), ..Self::default() };
        match change {
            ChannelChange::Set { value, expires } => {
                Self { set: Some(STANDARD.encode(value)), expires, ..line }
            }
            ChannelChange::Append { value } => Self { append: Some(STANDARD.encode(value)), ..line },
            ChannelChange::Delete => line,
        }
    }

    /// Its place in the order, and the change if it was written down.
    pub(super) fn change(self) -> Result<(u64, Option<ChannelWrite>), String> {
        let Self { sequence, key, set, append, expires } = self;
        let Some(key) = key else { return Ok((sequence, None)) };
        let bytes =
            |text: String| STANDARD.decode(text).map_err(|_| "has a value that is no base64".to_owned());
        let change = match (set, append) {
            (Some(value), None) => ChannelChange::Set { value: bytes(value)?.into(), expires },
            (None, Some(value)) => ChannelChange::Append { value: bytes(value)?.into() },
            (None, None) => ChannelChange::Delete,
            (Some(_), Some(_)) => return Err("has its value twice".to_owned()),
        };
        Ok((sequence, Some(ChannelWrite { sequence, key, change })))
    }
}
