//! What a worker removes from its machine when its client wants nothing to stay: what it put there itself, and never
//! what somebody else put there or uses.

use std::fs::File;
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

use super::kept::Kept;
use crate::runtime::Runtime;

/// This process's program, held so that none of the others that use it removes it.
static PROGRAM: OnceLock<Option<File>> = OnceLock::new();

/// Says that this process uses its program.
pub fn hold_program() {
    PROGRAM.get_or_init(|| {
        let program = File::open("/proc/self/exe").ok()?;
        // Where files cannot be locked, nothing is removed either.
        flock(&program, FlockOperation::NonBlockingLockShared).ok()?;
        Some(program)
    });
}

/// Removes components and code that were not there before, and the program where it was `deployed` and nobody else
/// uses it. Folders that are empty then go as well.
pub(super) fn tidy(kept: &Kept, runtime: &Runtime, deployed: bool) {
    kept.remove_made();
    runtime.remove_compiled();
    if deployed
        && let Some(Some(held)) = PROGRAM.get()
        && flock(held, FlockOperation::NonBlockingLockExclusive).is_ok()
        && let Ok(program) = std::env::current_exe()
    {
        // Another client of ours may have done it a moment ago.
        let _ = std::fs::remove_file(program);
    }
    // flowhost is put at WORKDIR/bin/NAME.
    kept.remove_empty_folders(&["bin", "code"]);
}
