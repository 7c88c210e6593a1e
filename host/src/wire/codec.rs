//! Heads of messages to bytes and back: the only file that knows bincode. Its configuration is part of
//! the protocol: little-endian, integers of variable length, enum cases by their position.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{HEAD, WireError};
use crate::compact::CompactError;

type Settings = Configuration<LittleEndian, Varint, Limit<HEAD>>;

const fn settings() -> Settings {
    bincode::config::standard().with_limit::<HEAD>()
}

/// Appends `head` to `to`.
pub(super) fn encode(head: &impl Serialize, to: &mut Vec<u8>) -> Result<(), WireError> {
    bincode::serde::encode_into_std_write(head, to, settings())
        .map(drop)
        .map_err(|error| WireError::Message(error.to_string()))
}

/// Reads a head that is all of `bytes`.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (head, read) = bincode::serde::decode_from_slice(bytes, settings())
        .map_err(|error| WireError::Message(error.to_string()))?;
    match bytes.len() - read {
        0 => Ok(head),
        left => Err(CompactError::Trailing(left).into()),
    }
}
