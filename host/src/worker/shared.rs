//! Parts of arguments that attempts have in common: they come once, and are put in wherever they are named.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::supply::unpacked;
use crate::wire::{Place, Shared};

/// Why arguments cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// A part is not where the client says.
    #[error("the client named the shared part {0}, which is not there")]
    Missing(u32),
    /// A part is not what zstd makes.
    #[error("the shared part {number} that the client sent cannot be unpacked: {source}")]
    Packed {
        /// Which.
        number: u32,
        /// Why.
        source: std::io::Error,
    },
}

/// What was kept of earlier arguments. The client says how much that is.
#[derive(Default)]
pub(super) struct SharedParts(HashMap<u32, Bytes>);

impl SharedParts {
    /// Arguments with their shared parts. Keeps those that came.
    pub(super) fn whole(&mut self, sent: Bytes, shared: &[Shared]) -> Result<Bytes, SharedError> {
        if shared.iter().all(|part| part.place == Place::Here) {
            return self.as_they_came(sent, shared);
        }
        let (mut whole, mut rest) = (BytesMut::new(), sent);
        for Shared { at, length, number, place } in shared {
            let missing = || SharedError::Missing(*number);
            let before = at.checked_sub(whole.len() as u64).ok_or_else(missing)?;
            whole.extend_from_slice(&take(&mut rest, before).ok_or_else(missing)?);
            match place {
                Place::Kept => {}
                Place::Here => {
                    self.0.insert(*number, take(&mut rest, *length).ok_or_else(missing)?);
                }
                Place::Packed(packed) => {
                    let packed = take(&mut rest, *packed).ok_or_else(missing)?;
                    let part = unpacked(&packed, *length);
                    let part = part.map_err(|source| SharedError::Packed { number: *number, source })?;
                    self.0.insert(*number, part);
                }
            }
            whole.extend_from_slice(self.0.get(number).ok_or_else(missing)?);
        }
        whole.extend_from_slice(&rest);
        Ok(whole.freeze())
    }

    /// Nothing is to be put in, and nothing copied.
    fn as_they_came(&mut self, sent: Bytes, shared: &[Shared]) -> Result<Bytes, SharedError> {
        for Shared { at, length, number, .. } in shared {
            let part = usize::try_from(*at).ok().zip(usize::try_from(*length).ok());
            let range = part.and_then(|(at, length)| Some(at..at.checked_add(length)?));
            let range = range.filter(|range| range.end <= sent.len());
            self.0.insert(*number, sent.slice(range.ok_or(SharedError::Missing(*number))?));
        }
        Ok(sent)
    }

    /// They are not named again.
    pub(super) fn forget(&mut self, numbers: &[u32]) {
        numbers.iter().for_each(|number| drop(self.0.remove(number)));
    }
}

/// So many bytes from the front, if they are there.
fn take(rest: &mut Bytes, length: u64) -> Option<Bytes> {
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
    Some(rest.split_to(length))
}
