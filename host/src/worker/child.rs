//! A child that executes attempts for the process that started it: what the hidden subcommand
//! [`CHILD_SUBCOMMAND`] does. It ends with its parent.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::sync::mpsc;

use super::serve::{ServeError, Worker, serve};
use super::standard::standard;
use super::{beneath, confine};
use crate::executor::{CHILD_SUBCOMMAND, receive};
use crate::runtime::{Folders, LoadError, Runtime, RuntimeError, Settings};

/// Why a child does not work.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error(
        "`{CHILD_SUBCOMMAND}` is for flowhost itself and takes its parent's id, a folder, bytes of \
         memory, whether it reaches the network, and directories after `read` or `write`"
    )]
    Usage,
    #[error("the process that started this one is gone")]
    Orphan,
    #[error("a child looks into /proc, which cannot be read: {0}")]
    Proc(#[source] io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("cannot follow the parent's end: {0}")]
    Follow(#[from] rustix::io::Errno),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Engine(#[from] LoadError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The child's half. `arguments` are those after the subcommand.
#[must_use]
pub fn child(arguments: &[OsString]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A parent that is gone does not read this, and nobody else would.
            let _ = io::Write::write_all(&mut io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Closes what this process inherited besides stdin, stdout and stderr: whoever started its parent may have
/// left anything open.
#[expect(unsafe_code, reason = "descriptors by number are nobody's in particular")]
fn close_others() -> io::Result<()> {
    let mut others = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        others.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()).filter(|number| *number > 2));
    }
    for number in others {
        // SAFETY: this is the first that the process does, before it has opened anything itself: whatever is
        // open was inherited, and nothing here owns it. The folder that was read is closed already, which
        // is why it is looked at first.
        unsafe {
            if rustix::io::fcntl_getfd(BorrowedFd::borrow_raw(number)).is_ok() {
                rustix::io::close(number);
            }
        }
    }
    Ok(())
}

fn run(arguments: &[OsString]) -> Result<(), ChildError> {
    close_others().map_err(ChildError::Proc)?;
    let [parent, root, memory, network, granted @ ..] = arguments else { return Err(ChildError::Usage) };
    let memory: u64 = memory.to_str().and_then(|text| text.parse().ok()).ok_or(ChildError::Usage)?;
    let network = match network.to_str() {
        Some("network") => true,
        Some("alone") => false,
        Some(_) | None => return Err(ChildError::Usage),
    };
    let (granted, odd) = granted.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(ChildError::Usage);
    }
    let granted = granted.iter().map(|[access, path]| match access.to_str() {
        Some("read") => Ok((PathBuf::from(path), false)),
        Some("write") => Ok((PathBuf::from(path), true)),
        Some(_) | None => Err(ChildError::Usage),
    });
    let directories = granted.collect::<Result<Vec<_>, _>>()?;
    let parent = parent.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let parent = parent.ok_or(ChildError::Usage)?;
    // First the signal, then the look: a parent that ends in between is noticed by one of them.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(parent) {
        return Err(ChildError::Orphan);
    }
    confine::give_up()?;
    let before = confine::allocated().map_err(ChildError::Proc)?;
    let runtime = Runtime::at_rest(Settings { slots: Some(1), ..Settings::default() })?;
    let after = confine::allocated()?;
    // The engines for calls that count fuel come later, and are as large.
    let engines = after.saturating_sub(before).saturating_mul(2);
    confine::bound_memory(after.saturating_add(engines).saturating_add(memory))?;
    let folders = Folders::Below(PathBuf::from(root));
    let reach = confine::Reach { folders: &folders, directories: &directories, network };
    // Looked at before the kernel hides it.
    let resets = beneath::resets_quickly();
    let confined = confine::confine(&reach);
    let beneath = beneath::layers(&confined, resets)?;
    // From here on there are threads.
    runtime.start()?;
    let (sender, code) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("flowhost-code".to_owned()).spawn(move || {
        // It ends with the socket. A process without code says so itself.
        while let Ok(Some(file)) = receive(rustix::stdio::stderr()) {
            if sender.send(file).is_err() {
                return;
            }
        }
    })?;
    let worker = Worker::Child { folders, unconfined: confined.lacks(), beneath, code };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(async {
        let (stdin, stdout) = standard()?;
        Ok(serve(stdin, stdout, runtime, worker).await?)
    })
}
