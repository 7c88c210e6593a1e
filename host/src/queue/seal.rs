//! The seal on what lies in Redis: a keyed hash over it and where it belongs, so that who can write there and
//! lacks the key forges nothing (HMAC with SHA-256, RFC 2104). Without a key nothing is sealed.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a seal.
const LENGTH: usize = 32;

/// Puts seals on and looks at them.
#[derive(Clone, Default)]
pub struct Seal(Option<Hmac<Sha256>>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seal").field(&self.0.is_some()).finish()
    }
}

/// What is wrong with a seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// There is none, and there must be.
    #[error("it is not signed, and who reads it has a key")]
    Missing,
    /// There is one, and nobody could check it.
    #[error("it is signed, and who reads it has no key")]
    Unexpected,
    /// It is another's.
    #[error("it is signed with another key, or was changed")]
    Wrong,
    /// There is nothing.
    #[error("it is empty")]
    Empty,
}

const PLAIN: u8 = 0;
const SEALED: u8 = 1;

impl Seal {
    /// With this key, if any.
    #[must_use]
    pub fn new(key: Option<&str>) -> Self {
        // Of any length: RFC 2104, section 3.
        Self(key.and_then(|key| Hmac::new_from_slice(key.as_bytes()).ok()))
    }

    fn over(hash: &Hmac<Sha256>, place: &[&str], bytes: &[u8]) -> Hmac<Sha256> {
        let mut hash = hash.clone();
        for part in place {
            // With its length, so that no two places look the same.
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(bytes);
        hash
    }

    /// `bytes` under a seal that holds at `place` alone.
    #[must_use]
    pub fn put(&self, place: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(1 + LENGTH + bytes.len());
        match &self.0 {
            None => sealed.push(PLAIN),
            Some(hash) => {
                sealed.push(SEALED);
                sealed.extend_from_slice(&Self::over(hash, place, bytes).finalize().into_bytes());
            }
        }
        sealed.extend_from_slice(bytes);
        sealed
    }

    /// What is under a seal.
    ///
    /// # Errors
    /// Fails unless it was put with the same key for the same place, or neither side has a key.
    pub fn open<'a>(&self, place: &[&str], sealed: &'a [u8]) -> Result<&'a [u8], SealError> {
        match (sealed.split_first().ok_or(SealError::Empty)?, &self.0) {
            ((&PLAIN, bytes), None) => Ok(bytes),
            ((&SEALED, _), None) => Err(SealError::Unexpected),
            ((&SEALED, rest), Some(hash)) => {
                let (seal, bytes) = rest.split_at_checked(LENGTH).ok_or(SealError::Wrong)?;
                let over = Self::over(hash, place, bytes);
                over.verify_slice(seal).map_err(|_| SealError::Wrong)?;
                Ok(bytes)
            }
            (_, Some(_)) => Err(SealError::Missing),
            (_, None) => Err(SealError::Wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_its_key_its_place_and_its_bytes() {
        let seal = Seal::new(Some("secret"));
        let sealed = seal.put(&["run", "attempt"], b"body");
        assert_eq!(seal.open(&["run", "attempt"], &sealed), Ok(&b"body"[..]));
        assert_eq!(seal.open(&["runa", "ttempt"], &sealed), Err(SealError::Wrong));
        assert_eq!(Seal::new(Some("another")).open(&["run", "attempt"], &sealed), Err(SealError::Wrong));
        assert_eq!(Seal::new(None).open(&["run", "attempt"], &sealed), Err(SealError::Unexpected));
        for at in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(&["run", "attempt"], &changed), Err(SealError::Wrong));
        }
        for short in 1..=LENGTH {
            assert_eq!(seal.open(&["run", "attempt"], &sealed[..short]), Err(SealError::Wrong));
        }
        assert_eq!(seal.open(&[], b""), Err(SealError::Empty));
    }

    #[test]
    fn without_a_key_nothing_is_sealed_and_with_one_nothing_else_is_taken() {
        let plain = Seal::default().put(&["run"], b"body");
        assert_eq!(Seal::default().open(&["anywhere"], &plain), Ok(&b"body"[..]));
        assert_eq!(Seal::new(Some("secret")).open(&["run"], &plain), Err(SealError::Missing));
        assert_eq!(Seal::default().open(&[], &[7, 1]), Err(SealError::Wrong));
    }
}
