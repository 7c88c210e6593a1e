//! This process's stdin and stdout as what frames travel over, without a thread between where they are
//! pipes or sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::FileType;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// Bytes that a pipe holds.
const HELD: usize = 1 << 20;

/// Stdin.
#[derive(Debug)]
pub enum Stdin {
    /// A pipe.
    Pipe(pipe::Receiver),
    /// A socket, as some SSH servers have it.
    Socket(UnixStream),
    /// Anything else.
    Other(tokio::io::Stdin),
}

/// Stdout.
#[derive(Debug)]
pub enum Stdout {
    /// A pipe.
    Pipe(pipe::Sender),
    /// A socket.
    Socket(UnixStream),
    /// Anything else.
    Other(tokio::io::Stdout),
}

/// Both. Nothing else in this process may use them from here on. Needs a tokio runtime.
///
/// # Errors
/// Fails when they are not open.
pub fn standard() -> io::Result<(Stdin, Stdout)> {
    let input = rustix::stdio::stdin().try_clone_to_owned()?;
    let stdin = match FileType::from_raw_mode(rustix::fs::fstat(&input)?.st_mode) {
        FileType::Fifo => Stdin::Pipe(pipe::Receiver::from_owned_fd(wide(input))?),
        FileType::Socket => Stdin::Socket(socket(input)?),
        _ => Stdin::Other(tokio::io::stdin()),
    };
    let output = rustix::stdio::stdout().try_clone_to_owned()?;
    let stdout = match FileType::from_raw_mode(rustix::fs::fstat(&output)?.st_mode) {
        FileType::Fifo => Stdout::Pipe(pipe::Sender::from_owned_fd(wide(output))?),
        FileType::Socket => Stdout::Socket(socket(output)?),
        _ => Stdout::Other(tokio::io::stdout()),
    };
    Ok((stdin, stdout))
}

/// Lets a pipe hold more, where the system grants that. What it does not only costs speed.
fn wide(pipe: OwnedFd) -> OwnedFd {
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, HELD);
    pipe
}

fn socket(descriptor: OwnedFd) -> io::Result<UnixStream> {
    rustix::io::ioctl_fionbio(descriptor.as_fd(), true)?;
    UnixStream::from_std(descriptor.into())
}

impl AsyncRead for Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(context, buffer),
            Self::Socket(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Other(stdin) => Pin::new(stdin).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(context, bytes),
            Self::Socket(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Other(stdout) => Pin::new(stdout).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_flush(context),
            Self::Socket(socket) => Pin::new(socket).poll_flush(context),
            Self::Other(stdout) => Pin::new(stdout).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_shutdown(context),
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Other(stdout) => Pin::new(stdout).poll_shutdown(context),
        }
    }
}
