//! Memory for large values, in huge pages where the system grants them (`madvise(2)`, `MADV_HUGEPAGE`): pages of
//! 4 KiB that are touched for the first time cost more than all that is done with the bytes in them.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// Bytes from which memory comes from the system itself. In less there is no place for huge pages.
const LARGE: usize = 4 << 20;

/// Bytes that are gathered, and shared then.
#[derive(Debug)]
pub(crate) enum Buffer {
    /// Grows.
    Small(BytesMut),
    /// Some of the memory is filled.
    Large {
        /// All of it.
        memory: MmapMut,
        /// Bytes at its front.
        filled: usize,
    },
}

impl Buffer {
    /// With room for `length` bytes. It takes more, which costs a copy.
    pub(crate) fn of(length: usize) -> Self {
        match large(length) {
            Some(memory) => Self::Large { memory, filled: 0 },
            None => Self::Small(BytesMut::with_capacity(length)),
        }
    }

    /// All that is left of `from`, about `length` bytes.
    pub(crate) fn read(mut from: impl Read, length: usize) -> io::Result<Bytes> {
        let mut rest = Vec::new();
        let Some(mut memory) = large(length) else {
            rest.reserve_exact(length.saturating_add(1).min(LARGE));
            from.read_to_end(&mut rest)?;
            return Ok(rest.into());
        };
        let mut filled = 0;
        while let Some(room) = memory.get_mut(filled..).filter(|room| !room.is_empty()) {
            match from.read(room) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        from.read_to_end(&mut rest)?;
        let mut buffer = Self::Large { memory, filled };
        buffer.add(&rest);
        Ok(buffer.freeze())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large { filled, .. } => *filled,
        }
    }

    pub(crate) fn add(&mut self, more: &[u8]) {
        match self {
            Self::Small(bytes) => bytes.extend_from_slice(more),
            Self::Large { memory, filled } => {
                let end = filled.saturating_add(more.len());
                match memory.get_mut(*filled..end) {
                    Some(room) => {
                        room.copy_from_slice(more);
                        *filled = end;
                    }
                    None => {
                        let so_far = memory.get(..*filled).unwrap_or_default();
                        *self = Self::Small([so_far, more].concat().as_slice().into());
                    }
                }
            }
        }
    }

    pub(crate) fn freeze(self) -> Bytes {
        match self {
            Self::Small(bytes) => bytes.freeze(),
            Self::Large { memory, filled } => Bytes::from_owner(memory).split_to(filled),
        }
    }
}

/// Memory of the system's, where it is worth it and to be had.
fn large(length: usize) -> Option<MmapMut> {
    let memory = MmapMut::map_anon((length >= LARGE).then_some(length)?).ok()?;
    // Where the system grants none, they are small.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 7) as u8).collect()
    }

    #[test]
    fn what_is_read_is_all_there_is_whatever_was_expected() {
        for length in [0, 1, LARGE - 1, LARGE, LARGE + 1, 2 * LARGE] {
            let there = bytes(length);
            for expected in [0, 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE] {
                assert!(Buffer::read(&*there, expected).unwrap() == there, "{length} {expected}");
            }
        }
    }

    #[test]
    fn what_is_added_is_kept_beyond_the_room_as_well() {
        let all = bytes(LARGE + 300);
        for room in [0, 1000, LARGE, LARGE + 300] {
            let mut buffer = Buffer::of(room);
            all.chunks(100_000).for_each(|chunk| buffer.add(chunk));
            assert_eq!(buffer.len(), all.len());
            assert!(buffer.freeze() == all, "{room}");
        }
    }
}
