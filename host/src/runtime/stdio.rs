//! What a guest says: stdout, stderr and log lines become lines for the observer, bounded by
//! `limits.log`; a command's stdout is collected as its value, bounded by `limits.output`. Knows
//! nothing of who reads the lines.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::Observer;
use super::limiter::bytes as in_words;
use crate::id::AttemptId;
use crate::model::{Level, Stream};

/// What a line costs besides its bytes, so that empty lines are bounded as well.
const LINE_COST: u64 = 16;

/// A longer line is passed on in pieces of this many bytes.
const LONGEST_LINE: usize = 16 << 10;

/// The most that a guest may write at once. Bounds what one call makes the host allocate.
const PERMIT: usize = 64 << 10;

/// A command wrote more to stdout than its value may take.
#[derive(Debug, thiserror::Error)]
#[error("output limit of {} reached: the command wrote more to stdout", in_words(*.0))]
pub(super) struct OutputLimit(pub(super) u64);

/// What one attempt says. Partial lines are passed on when it is dropped.
pub(super) struct Capture {
    id: AttemptId,
    observer: Arc<dyn Observer>,
    limit: u64,
    left: u64,
    cut: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    value: Option<Collected>,
}

/// A command's stdout.
struct Collected {
    bytes: Vec<u8>,
    limit: u64,
}

/// A handle that the guest's streams and the host's functions share.
#[derive(Clone)]
pub(super) struct Speech(Arc<Mutex<Capture>>);

impl Speech {
    /// At most `log` bytes of lines. With `output`, stdout is collected up to so many bytes.
    pub(super) fn new(id: AttemptId, observer: Arc<dyn Observer>, log: u64, output: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Capture {
            id,
            observer,
            limit: log,
            left: log,
            cut: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
            value: output.map(|limit| Collected { bytes: Vec::new(), limit }),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Capture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one log line.
    pub(super) fn say(&self, level: Level, message: &str) {
        self.lock().line(level, Stream::Log, message);
    }

    /// What a command wrote to stdout.
    pub(super) fn take_value(&self) -> Vec<u8> {
        self.lock().value.as_mut().map(|value| std::mem::take(&mut value.bytes)).unwrap_or_default()
    }

    /// The guest's end of `stream`.
    pub(super) fn pipe(&self, stream: Stream) -> Pipe {
        Pipe { speech: self.clone(), stream }
    }
}

impl Capture {
    fn line(&mut self, level: Level, stream: Stream, message: &str) {
        if self.cut {
            return;
        }
        let cost = (message.len() as u64).saturating_add(LINE_COST);
        if cost <= self.left {
            self.left -= cost;
            self.observer.line(self.id, level, stream, Arc::from(message), false);
        } else {
            self.cut = true;
            self.stdout = Vec::new();
            self.stderr = Vec::new();
            let mark = format!("cut here: the attempt's log limit of {} is reached", in_words(self.limit));
            self.observer.line(self.id, level, stream, Arc::from(mark), true);
        }
    }

    /// Passes on what is complete of `stream` after `bytes` are added.
    fn feed(&mut self, stream: Stream, mut bytes: &[u8]) -> Result<(), OutputLimit> {
        if let (Stream::Stdout, Some(value)) = (stream, &mut self.value) {
            let total = (value.bytes.len() as u64).saturating_add(bytes.len() as u64);
            if total > value.limit {
                return Err(OutputLimit(value.limit));
            }
            value.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() && !self.cut {
            let mut line = std::mem::take(self.partial(stream));
            let (piece, rest, complete) = match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (bytes.get(..at), bytes.get(at + 1..), true),
                None => (Some(bytes), None, false),
            };
            bytes = rest.unwrap_or_default();
            let mut piece = piece.unwrap_or_default();
            while line.len() + piece.len() > LONGEST_LINE {
                let (head, tail) = piece.split_at(LONGEST_LINE.saturating_sub(line.len()).min(piece.len()));
                line.extend_from_slice(head);
                self.end(stream, &line);
                line.clear();
                piece = tail;
            }
            line.extend_from_slice(piece);
            if complete {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                self.end(stream, &line);
                line.clear();
            }
            if !self.cut {
                *self.partial(stream) = line;
            }
        }
        Ok(())
    }

    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr | Stream::Log => &mut self.stderr,
        }
    }

    fn end(&mut self, stream: Stream, line: &[u8]) {
        self.line(Level::Info, stream, &String::from_utf8_lossy(line));
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = std::mem::take(self.partial(stream));
            if !line.is_empty() {
                self.end(stream, &line);
            }
        }
    }
}

/// The guest's end of stdout or stderr. Takes everything at once, so that an empty write is over
/// when it returns and nothing piles up.
#[derive(Clone)]
pub(super) struct Pipe {
    speech: Speech,
    stream: Stream,
}

impl Pipe {
    fn feed(&self, bytes: &[u8]) -> Result<(), OutputLimit> {
        if bytes.is_empty() { Ok(()) } else { self.speech.lock().feed(self.stream, bytes) }
    }
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.feed(&bytes).map_err(|error| StreamError::Trap(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.feed(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Heard, attempt_id};
    use super::*;

    fn said(log: u64, writes: &[(Stream, &[u8])]) -> Vec<String> {
        let heard = Arc::new(Heard::default());
        let speech = Speech::new(attempt_id(0), heard.clone(), log, None);
        for (stream, bytes) in writes {
            speech.pipe(*stream).feed(bytes).unwrap();
        }
        drop(speech);
        heard.lines()
    }

    #[test]
    fn splits_into_lines_and_keeps_the_streams_apart() {
        let lines = said(
            1000,
            &[
                (Stream::Stdout, b"one\ntw"),
                (Stream::Stderr, b"oops"),
                (Stream::Stdout, b"o\r\n\nthree \xff"),
            ],
        );
        assert_eq!(lines, ["stdout one", "stdout two", "stdout ", "stdout three \u{fffd}", "stderr oops"]);
    }

    #[test]
    fn g6_cuts_with_one_mark() {
        let lines = said(100, &[(Stream::Stdout, &b"0123456789\n".repeat(1000)), (Stream::Stderr, b"x\n")]);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[3], "stdout CUT cut here: the attempt's log limit of 100 bytes is reached");
        assert_eq!(said(0, &[(Stream::Stdout, b"")]), [""; 0]);
        assert_eq!(said(1000, &[(Stream::Stdout, &b"\n".repeat(1_000_000))]).len(), 1000 / 16 + 1);
    }

    #[test]
    fn g6_passes_a_line_without_an_end_on_in_pieces() {
        let lines =
            said(1 << 20, &[(Stream::Stdout, &vec![b'a'; 3 * LONGEST_LINE / 2]), (Stream::Stdout, b"b\n")]);
        let lengths: Vec<usize> = lines.iter().map(|line| line.len() - "stdout ".len()).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE / 2 + 1]);
    }

    #[test]
    fn g16_collects_a_commands_stdout_within_its_limit() {
        let speech = Speech::new(attempt_id(0), Arc::new(Heard::default()), 100, Some(8));
        let pipe = speech.pipe(Stream::Stdout);
        pipe.feed(b"12345").unwrap();
        pipe.feed(b"678").unwrap();
        assert!(pipe.feed(b"9").unwrap_err().to_string().starts_with("output limit of 8 bytes reached"));
        assert_eq!(speech.take_value(), b"12345678");
    }
}
