//! Open files on their way between a process and its child, beside what their frames say: over the
//! socket that is the child's stderr. Knows nothing of what the files are.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::wire::{Layer, LayerState};

/// Bytes of a file's label at most.
const LABEL: usize = 512;

/// A copy of `file` in memory that nobody can change, for processes that may open no file by its path.
///
/// # Errors
/// Fails when it cannot be read, or there is no memory for it.
pub(super) fn sealed(mut file: File) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = memfd_create("flowhost-code", flags | MemfdFlags::NOEXEC_SEAL);
    // Kernels before 6.3 do not know that it is no program.
    let mut copy = File::from(made.or_else(|_| memfd_create("flowhost-code", flags))?);
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut file, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy)
}

/// Whether code can be handed over sealed here: it is tried.
pub(super) fn sealing() -> Layer {
    let tried = File::open("/dev/null").and_then(sealed).and_then(|file| Ok(fcntl_get_seals(&file)?));
    let (state, detail) = match tried {
        Ok(seals) if seals.contains(SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK) => {
            let program = match seals.contains(SealFlags::EXEC) {
                true => "nor start as a program",
                false => "but could start as a program (Linux 6.3 forbids that)",
            };
            (
                LayerState::There,
                format!("it gets compiled code as a copy that it can neither change {program}"),
            )
        }
        Ok(_) => (LayerState::Missing, "the kernel seals no files in memory".to_owned()),
        Err(error) => (LayerState::Missing, format!("the kernel seals no files in memory: {error}")),
    };
    let without = "no child gets code, and the executor is of no use".to_owned();
    Layer { name: "sealed-code".to_owned(), state, detail, without }
}

/// Sends a file under `label`. `false` where there is no room for it now.
///
/// # Errors
/// Fails when the other side is gone, or the label is too long.
pub(crate) fn send(over: impl AsFd, file: &File, label: &str) -> io::Result<bool> {
    if label.len() > LABEL {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let label = [IoSlice::new(label.as_bytes())];
    match sendmsg(over, &label, &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the next file and its label; none where no more come.
///
/// # Errors
/// Fails when `over` is no socket, or what comes is no file with a label.
pub(crate) fn receive(over: impl AsFd) -> io::Result<Option<(File, String)>> {
    let mut label = [0; LABEL];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(over, &mut [IoSliceMut::new(&mut label)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let files: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    let label = label.get(..received.bytes).and_then(|label| std::str::from_utf8(label).ok());
    match (files.into_iter().next(), label) {
        (Some(file), Some(label)) => Ok(Some((file.into(), label.to_owned()))),
        (_, _) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn files_arrive_one_by_one_under_their_labels() {
        let (here, there) = UnixStream::pair().unwrap();
        for text in ["one", "two"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert!(send(&here, &file, &format!("label of {text}")).unwrap());
        }
        drop(here);
        for text in ["one", "two"] {
            let (mut file, label) = receive(&there).unwrap().unwrap();
            assert_eq!(label, format!("label of {text}"));
            file.seek(SeekFrom::Start(0)).unwrap();
            let mut read = String::new();
            file.read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
        assert!(receive(&there).unwrap().is_none());
    }

    #[test]
    fn what_is_sealed_cannot_be_changed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"code").unwrap();
        let mut sealed = sealed(file).unwrap();
        assert!(sealed.write_all(b"more").is_err());
        assert!(sealed.set_len(1).is_err());
        let mut read = String::new();
        sealed.seek(SeekFrom::Start(0)).unwrap();
        sealed.read_to_string(&mut read).unwrap();
        assert_eq!(read, "code");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"text").unwrap();
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let file = tempfile::tempfile().unwrap();
        assert!(send(&here, &file, &"l".repeat(LABEL + 1)).is_err());
    }
}
