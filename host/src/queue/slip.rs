//! What stands in an entry for a message: the message itself, or where its bytes are and what they hash to,
//! where it is long. Under a seal in either case.

use bytes::Bytes;

use super::{Seal, SealError};
use crate::digest::Digest;

/// A longer message lies under a key of its own.
pub const INLINE: usize = 64 << 10;

const HERE: u8 = 0;
const ELSEWHERE: u8 = 1;

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slip {
    /// The message.
    Here(Bytes),
    /// Its bytes are under the key that ends so, and hash to this.
    Elsewhere {
        /// The end of the key.
        name: String,
        /// What they hash to.
        digest: Digest,
    },
}

/// Why an entry cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SlipError {
    /// Its seal does not hold.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It makes no sense.
    #[error("it cannot be read")]
    Form,
}

impl Slip {
    /// As it lies in an entry at `place`.
    #[must_use]
    pub fn write(&self, seal: &Seal, place: &[&str]) -> Vec<u8> {
        let mut bytes;
        match self {
            Self::Here(message) => {
                bytes = Vec::with_capacity(1 + message.len());
                bytes.push(HERE);
                bytes.extend_from_slice(message);
            }
            Self::Elsewhere { name, digest } => {
                bytes = vec![ELSEWHERE];
                bytes.extend_from_slice(digest.as_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        seal.put(place, &bytes)
    }

    /// What lies in an entry at `place`.
    ///
    /// # Errors
    /// Fails when its seal does not hold, or it makes no sense.
    pub fn read(seal: &Seal, place: &[&str], entry: &[u8]) -> Result<Self, SlipError> {
        let bytes = seal.open(place, entry)?;
        match bytes.split_first() {
            Some((&HERE, message)) => Ok(Self::Here(Bytes::copy_from_slice(message))),
            Some((&ELSEWHERE, rest)) => {
                let (digest, name) = rest.split_first_chunk::<32>().ok_or(SlipError::Form)?;
                let name = String::from_utf8(name.to_vec()).map_err(|_| SlipError::Form)?;
                Ok(Self::Elsewhere { name, digest: Digest::from_bytes(*digest) })
            }
            Some(_) | None => Err(SlipError::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_at_its_place() {
        let seal = Seal::new(Some("secret"));
        let digest = Digest::of(b"bytes");
        let elsewhere = Slip::Elsewhere { name: "name".to_owned(), digest };
        for slip in [Slip::Here(Bytes::from_static(b"message")), Slip::Here(Bytes::new()), elsewhere] {
            let entry = slip.write(&seal, &["run", "attempt"]);
            assert_eq!(Slip::read(&seal, &["run", "attempt"], &entry), Ok(slip));
            assert!(matches!(Slip::read(&seal, &["run"], &entry), Err(SlipError::Seal(_))));
        }
    }

    #[test]
    fn r14_garbage_is_no_slip() {
        let seal = Seal::default();
        for bytes in [&b""[..], b"\0", b"\0\x02", b"\0\x01short", b"garbage"] {
            Slip::read(&seal, &[], bytes).unwrap_err();
        }
    }
}
