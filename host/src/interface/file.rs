//! A component's bytes from a file: bounded, and never waiting for what is no file. Knows nothing
//! of what the bytes mean.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes of the largest component that is read: ten times those that hold a language's runtime.
pub const LARGEST_COMPONENT: u64 = 256 << 20;

/// The bytes of the component at `path`. Nothing is read of a file that is larger than
/// [`LARGEST_COMPONENT`].
///
/// # Errors
/// Fails when it cannot be opened or read, is larger, or is no regular file.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= LARGEST_COMPONENT {
        // It may grow meanwhile.
        file.take(LARGEST_COMPONENT + 1).read_to_end(&mut bytes)?;
    }
    if length.max(bytes.len() as u64) > LARGEST_COMPONENT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "it is larger than {} MiB, the most that is read of a component; leave debug information out, \
                 or move data to files that a grant names",
                LARGEST_COMPONENT >> 20
            ),
        ));
    }
    Ok(bytes)
}

/// Opens a regular file. Anything else, such as a FIFO, could keep the reader waiting for ever.
///
/// # Errors
/// Fails when it cannot be opened or is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.wasm");
        let file = File::create(&path).unwrap();
        // It takes no space on disk.
        file.set_len(LARGEST_COMPONENT).unwrap();
        assert_eq!(read_file(&path).unwrap().len() as u64, LARGEST_COMPONENT);
        file.set_len(1 << 40).unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(error.to_string().contains("larger than 256 MiB"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        for (path, reason) in [("/", "a folder"), ("/dev/zero", "not a regular file")] {
            let error = read_file(Path::new(path)).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
