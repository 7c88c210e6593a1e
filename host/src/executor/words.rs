//! The last words of a process: what it said on its standard error before it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::report::harmless;

/// Bytes that are kept.
const KEPT: usize = 1000;

/// The end of what a process said, however much that was. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Words(Arc<Mutex<VecDeque<u8>>>);

impl Words {
    /// It said this.
    pub(super) fn add(&self, said: &[u8]) {
        // Nothing in there panics halfway.
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(said);
        let surplus = words.len().saturating_sub(KEPT);
        drop(words.drain(..surplus));
    }

    /// Takes all that comes from `from` until it ends.
    pub(super) async fn listen(self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.add(buffer.get(..read).unwrap_or_default());
        }
    }

    /// The lines in which there is a letter or a digit, in one line and harmless to show.
    pub(super) fn text(&self) -> String {
        let words: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&words);
        let lines: Vec<_> =
            text.lines().map(str::trim).filter(|line| line.contains(char::is_alphanumeric)).collect();
        harmless(&lines.join(" / ")).into_owned()
    }
}
