//! Frames: a length, a kind and a body. A long message is cut into parts, between which heartbeats
//! pass, as fragments are in WebSocket (RFC 6455).

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{FRAME, MESSAGE, PART, WireError};
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

/// The length of the body of the frame at the front of `buffer`, if that came.
fn length(buffer: &BytesMut) -> Result<Option<usize>, WireError> {
    let Some((length, _)) = buffer.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > FRAME {
        return Err(WireError::FrameTooLarge(length as u64));
    }
    Ok(Some(length))
}

/// Takes the next frame's body off the front of `buffer`, if it is there as a whole.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
    let Some(length) = length(buffer)? else { return Ok(None) };
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

/// Puts messages together. Parts of long ones are read straight to where they belong.
#[derive(Debug, Default)]
pub(super) struct Assembler(Option<Partial>);

#[derive(Debug)]
struct Partial {
    length: u64,
    bytes: BytesMut,
    /// Bytes of the part that has begun which are missing.
    missing: usize,
}

impl Assembler {
    /// Whether a message has begun and is not whole.
    pub(super) fn is_amid(&self) -> bool {
        self.0.is_some()
    }

    /// Takes what there is at the front of `buffer`, up to the first message that is whole, and gives that.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
        loop {
            if let Some(mut partial) = self.0.take() {
                if partial.fill(buffer) {
                    return Ok(Some(partial.bytes.freeze()));
                }
                let missing = partial.missing;
                self.0 = Some(partial);
                if missing > 0 {
                    return Ok(None);
                }
            }
            let Some(length) = length(buffer)? else { return Ok(None) };
            let rest = length.checked_sub(1).ok_or(CompactError::Short)?;
            let Some(kind) = buffer.get(LENGTH).copied() else { return Ok(None) };
            match (kind, &mut self.0) {
                (HEARTBEAT, _) if rest == 0 => buffer.advance(LENGTH + 1),
                (WHOLE, None) => {
                    return Ok(take(buffer)?.map(|mut body| body.split_off(1)));
                }
                (FIRST, None) => {
                    let part = rest.checked_sub(8).ok_or(CompactError::Short)?;
                    let length = buffer.get(LENGTH + 1..).and_then(|rest| rest.split_first_chunk::<8>());
                    let Some((length, _)) = length else { return Ok(None) };
                    let length = u64::from_le_bytes(*length);
                    if length > MESSAGE {
                        return Err(WireError::MessageTooLarge(length));
                    }
                    let room = usize::try_from(length.min(ROOM)).unwrap_or(0);
                    let bytes = BytesMut::with_capacity(room);
                    self.0 = Some(Partial { length, bytes, missing: 0 }.with_part(part)?);
                    buffer.advance(LENGTH + 1 + 8);
                }
                (FURTHER, partial @ Some(_)) => {
                    *partial = partial.take().map(|partial| partial.with_part(rest)).transpose()?;
                    buffer.advance(LENGTH + 1);
                }
                (_, _) => return Err(WireError::Kind(kind)),
            }
        }
    }

    /// Where the next bytes belong, and how many: nothing but those of the part that has begun. None where
    /// none has; then a header comes.
    pub(super) fn place(&mut self) -> Option<Limit<&mut BytesMut>> {
        let partial = self.0.as_mut().filter(|partial| partial.missing > 0)?;
        partial.bytes.reserve(partial.missing.min(PART));
        let missing = partial.missing;
        Some((&mut partial.bytes).limit(missing))
    }

    /// So many bytes were put where they belong.
    pub(super) fn placed(&mut self, count: usize) {
        if let Some(partial) = &mut self.0 {
            partial.missing = partial.missing.saturating_sub(count);
        }
    }
}

impl Partial {
    /// With a part of so many bytes to come.
    fn with_part(self, part: usize) -> Result<Self, WireError> {
        let so_far = self.bytes.len() as u64 + part as u64;
        if so_far > self.length || part == 0 {
            return Err(CompactError::Trailing(part).into());
        }
        Ok(Self { missing: part, ..self })
    }

    /// Takes from `buffer` what belongs to the part. Says whether the message is whole.
    fn fill(&mut self, buffer: &mut BytesMut) -> bool {
        let part = buffer.split_to(self.missing.min(buffer.len()));
        self.bytes.extend_from_slice(&part);
        self.missing -= part.len();
        self.missing == 0 && self.bytes.len() as u64 == self.length
    }
}
