//! Bytes that a message carries beside its head, so that large values are neither copied into it nor
//! out of it. The head says how many they are; they stand behind it in the order in which it does.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in some pieces. What was received is one piece.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    length: u64,
    pieces: Vec<Bytes>,
}

impl Payload {
    /// These pieces.
    #[must_use]
    pub fn of(pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { length, pieces }
    }

    /// A text.
    #[must_use]
    pub fn text(text: String) -> Self {
        Self::of(vec![text.into()])
    }

    /// How many bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All bytes as one piece.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut pieces = self.pieces.into_iter();
        match (pieces.next(), pieces.len()) {
            (None, _) => Bytes::new(),
            (Some(whole), 0) => whole,
            (Some(first), _) => std::iter::once(first).chain(pieces).flatten().collect(),
        }
    }

    /// As text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn into_text(self) -> String {
        String::from_utf8_lossy(&self.into_bytes()).into_owned()
    }

    /// Its pieces, in order.
    pub fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        self.pieces.into_iter().filter(|piece| !piece.is_empty())
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().filter(|piece| !piece.is_empty())
    }

    /// Takes what it speaks of from the front of `tail`. False where that is too short.
    pub(super) fn fill(&mut self, tail: &mut Bytes) -> bool {
        match usize::try_from(self.length).ok().filter(|length| *length <= tail.len()) {
            Some(length) => {
                self.pieces = vec![tail.split_to(length)];
                true
            }
            None => false,
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

/// In a head it is its length.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.length)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { length: u64::deserialize(deserializer)?, pieces: Vec::new() })
    }
}
