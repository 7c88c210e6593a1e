//! Components on their way to workers elsewhere.

use std::path::PathBuf;

use bytes::Bytes;

use crate::digest::Digest;
use crate::runtime::{LoadError, Source};

/// The bytes of one of the components that an executor was given, or why they are not to be had.
pub(super) fn component(given: &[(Digest, PathBuf)], digest: Digest) -> Result<Bytes, String> {
    let path = given.iter().find_map(|(known, path)| (*known == digest).then_some(path));
    let path = path.ok_or_else(|| format!("the executor was not given the component {digest}"))?;
    Source::File(path.clone()).read(digest).map_err(|error| match error {
        LoadError::Read { .. } => error.to_string(),
        error => format!("{error} (`{}`)", path.display()),
    })
}
