//! Frames: a length, a kind and a body. A long message is cut into parts, between which heartbeats
//! pass, as fragments are in WebSocket (RFC 6455).

use bytes::{Bytes, BytesMut};

use super::{FRAME, MESSAGE, WireError};
use crate::buffer::Buffer;
use crate::compact::CompactError;

/// Bytes before a frame's body: its length, little-endian.
pub(super) const LENGTH: usize = 4;

/// Kinds of frames: the first byte of the body.
pub(super) const HEARTBEAT: u8 = 0;
/// A whole message.
pub(super) const WHOLE: u8 = 1;
/// The message's length in eight bytes, and its first part.
pub(super) const FIRST: u8 = 2;
/// A further part.
pub(super) const FURTHER: u8 = 3;

/// Room that is made for a message before it came.
const ROOM: u64 = 64 << 20;

/// The bytes before a frame's body of this length, its kind included.
pub(super) fn header(kind: u8, length: usize) -> [u8; LENGTH + 1] {
    // Whoever calls this keeps to the bound.
    let [a, b, c, d] = u32::try_from(length + 1).unwrap_or(u32::MAX).to_le_bytes();
    [a, b, c, d, kind]
}

/// Takes the next frame's body off the front of `buffer`, if it is there as a whole.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
    let Some((length, _)) = buffer.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > FRAME {
        return Err(WireError::FrameTooLarge(length as u64));
    }
    if buffer.len() - LENGTH < length {
        return Ok(None);
    }
    let mut frame = buffer.split_to(LENGTH + length);
    Ok(Some(frame.split_off(LENGTH).freeze()))
}

/// Bytes of the frame at the front of `buffer` that are missing, at least 1. Its length was checked.
pub(super) fn missing(buffer: &BytesMut) -> usize {
    match buffer.split_first_chunk::<LENGTH>() {
        Some((length, body)) => (u32::from_le_bytes(*length) as usize).saturating_sub(body.len()).max(1),
        None => LENGTH - buffer.len(),
    }
}

/// Puts messages together.
#[derive(Debug, Default)]
pub(super) struct Assembler(Option<Partial>);

#[derive(Debug)]
struct Partial {
    length: u64,
    bytes: Buffer,
}

impl Assembler {
    /// Whether a message has begun and is not whole.
    pub(super) fn is_amid(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a frame's body. Gives the message that it completes.
    pub(super) fn take(&mut self, mut body: Bytes) -> Result<Option<Bytes>, WireError> {
        let kind = *body.first().ok_or(CompactError::Short)?;
        let mut rest = body.split_off(1);
        match (kind, &mut self.0) {
            (HEARTBEAT, _) if rest.is_empty() => Ok(None),
            (WHOLE, None) => Ok(Some(rest)),
            (FIRST, None) => {
                let (length, _) = rest.split_first_chunk::<8>().ok_or(CompactError::Short)?;
                let length = u64::from_le_bytes(*length);
                if length > MESSAGE {
                    return Err(WireError::MessageTooLarge(length));
                }
                let room = usize::try_from(length.min(ROOM)).unwrap_or(0);
                let partial = Partial { length, bytes: Buffer::of(room) };
                let part = rest.split_off(8);
                self.add(partial, &part)
            }
            (FURTHER, Some(_)) => match self.0.take() {
                Some(partial) => self.add(partial, &rest),
                None => Ok(None),
            },
            (_, _) => Err(WireError::Kind(kind)),
        }
    }

    fn add(&mut self, mut partial: Partial, part: &[u8]) -> Result<Option<Bytes>, WireError> {
        let so_far = partial.bytes.len() as u64 + part.len() as u64;
        if so_far > partial.length || part.is_empty() {
            return Err(CompactError::Trailing(part.len()).into());
        }
        partial.bytes.add(part);
        if so_far == partial.length {
            return Ok(Some(partial.bytes.freeze()));
        }
        self.0 = Some(partial);
        Ok(None)
    }
}
