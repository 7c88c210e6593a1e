//! Signals become requests to stop. The first Ctrl-C lets running attempts finish, a second stops
//! them; SIGTERM and SIGHUP come from those who will not wait, and stop at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use crate::run::{Stop, Stopper};

/// Listens for signals until dropped.
#[derive(Debug)]
pub(super) struct Signals {
    exit: Arc<AtomicU8>,
    listener: tokio::task::JoinHandle<()>,
}

impl Signals {
    /// Begins to listen, and passes on what comes.
    pub(super) fn listen(stopper: Stopper) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let exit = Arc::new(AtomicU8::new(0));
        let seen = Arc::clone(&exit);
        let listener = tokio::spawn(async move {
            let mut interrupted = false;
            loop {
                let (how, code) = tokio::select! {
                    _ = interrupt.recv() => {
                        let how = if interrupted { Stop::Now } else { Stop::Starting };
                        interrupted = true;
                        (how, Exit::Interrupted)
                    }
                    _ = terminate.recv() => (Stop::Now, Exit::Terminated),
                    _ = hangup.recv() => (Stop::Now, Exit::Hangup),
                };
                seen.store(code as u8, Ordering::Relaxed);
                stopper.stop(how);
            }
        });
        Ok(Self { exit, listener })
    }

    /// The exit code of the last signal that came, if one did.
    pub(super) fn exit(&self) -> Option<Exit> {
        let seen = self.exit.load(Ordering::Relaxed);
        [Exit::Interrupted, Exit::Terminated, Exit::Hangup].into_iter().find(|exit| *exit as u8 == seen)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
