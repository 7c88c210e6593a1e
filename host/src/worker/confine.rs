//! What a child gives up before it executes anything: the means to get rights back, and memory and open
//! files beyond what its attempts may need. Knows nothing of what these are.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::set_no_new_privs;

/// Files that may be open at once: as many as a guest may have handles, and some for the process.
const FILES: u64 = 11_000;

/// Gives up what no child needs.
///
/// # Errors
/// Fails when the system refuses.
pub(super) fn give_up() -> io::Result<()> {
    set_no_new_privs(true)?;
    set(Resource::Core, 0)?;
    Ok(set(Resource::Nofile, FILES)?)
}

/// What this process allocated so far, in bytes, as the limit of it counts.
///
/// # Errors
/// Fails where there is no `/proc`.
pub(super) fn allocated() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.map(|kib| kib.saturating_mul(1024)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Bounds what this process may allocate, in bytes. Beyond that an allocation fails, which ends it.
///
/// # Errors
/// Fails when the system refuses.
pub(super) fn bound_memory(to: u64) -> io::Result<()> {
    Ok(set(Resource::Data, to)?)
}

/// Sets a limit for good, at what the process may have at most where that is less.
fn set(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let to = Some(getrlimit(resource).maximum.map_or(to, |most| most.min(to)));
    setrlimit(resource, Rlimit { current: to, maximum: to })
}
