//! Large values on their way into a child and back, against bytes in a bare pipe between two processes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::child;
use super::product::Crew;
use super::table::{Bound, Table};

const LARGE: usize = 16 << 20;
const ROUNDS: usize = 15;

/// Bytes that the floor reads and writes at once. From 64 KiB to 1 MiB there is little between them; this was
/// the fastest.
const CHUNK: usize = 256 << 10;

/// Reads as many bytes as `into` has room for. False where there are none any more.
fn fill(mut from: impl Read, into: &mut [u8]) -> bool {
    let mut at = 0;
    while at < into.len() {
        let until = (at + CHUNK).min(into.len());
        match from.read(&mut into[at..until]).unwrap() {
            0 => return false,
            read => at += read,
        }
    }
    true
}

fn pour(mut to: impl Write, bytes: &[u8]) {
    bytes.chunks(CHUNK).for_each(|chunk| to.write_all(chunk).unwrap());
}

/// A child of the benchmark: takes so many bytes from its stdin, then writes them to its stdout, until there
/// are no more. Its memory stays the same, so that it costs nothing but the pipes.
pub(crate) fn echo(size: usize) {
    // Without the buffers of the standard library.
    let own = |descriptor: std::os::fd::BorrowedFd<'_>| File::from(descriptor.try_clone_to_owned().unwrap());
    let (stdin, stdout) = (own(std::io::stdin().as_fd()), own(std::io::stdout().as_fd()));
    let mut bytes = vec![1; size];
    while fill(&stdin, &mut bytes) {
        pour(&stdout, &bytes);
    }
}

/// Two processes and the pipes between them.
struct Bare {
    child: Child,
    /// None once it is closed.
    to: Option<ChildStdin>,
    from: ChildStdout,
    back: Vec<u8>,
}

impl Bare {
    fn new() -> Self {
        let mut child = child::command(&format!("echo {LARGE}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, to, from, back: vec![1; LARGE] }
    }

    fn call(&mut self, bytes: &[u8]) -> Duration {
        let began = Instant::now();
        pour(self.to.as_mut().unwrap(), bytes);
        assert!(fill(&mut self.from, &mut self.back));
        began.elapsed()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // The child ends with its input.
        self.to = None;
        self.child.wait().unwrap();
    }
}

pub(crate) fn measure(table: &Table) {
    let (mut bare, mut crew) = (Bare::new(), Crew::new());
    let bytes = Bytes::from(vec![b'x'; LARGE]);
    bare.call(&bytes);
    crew.call(&bytes);
    // There and back.
    let rate = |elapsed: Duration| 2.0 * LARGE as f64 / elapsed.as_secs_f64() / f64::from(1 << 30);
    let (mut floors, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = rate(bare.call(&bytes));
        let whole = rate(crew.call(&bytes));
        floors.push(floor);
        rates.push(whole);
        ratios.push(whole / floor);
    }
    table.row("16 MiB through bare pipes into a process and back: rate", floors, "GiB/s", Bound::None);
    table.row("16 MiB into a task in a child and back: rate", rates, "GiB/s", Bound::None);
    let row = "16 MiB into a task in a child and back: against bare pipes";
    table.row(row, ratios, "of it", Bound::AtLeast(0.4));
}
