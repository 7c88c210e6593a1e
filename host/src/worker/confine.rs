//! What a child gives up before it executes anything: the means to get rights back, and memory and open
//! files beyond what its attempts may need. Knows nothing of what these are.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::set_no_new_privs;

use crate::runtime::Folders;

/// Files that may be open at once: as many as a guest may have handles, and some for the process.
const FILES: u64 = 11_000;

/// What is asked of the kernel: the newest that people had for a while. An older one gives what it has.
const LANDLOCK: ABI = ABI::V6;

/// Where the system's resolver looks for what names mean.
const NAMES: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
];

/// What a child reaches from here on.
pub(super) struct Reach<'a> {
    /// Where its directories are.
    pub(super) folders: &'a Folders,
    /// Which, and whether they may be written to.
    pub(super) directories: &'a [(PathBuf, bool)],
    /// Whether it may connect to others and look up names.
    pub(super) network: bool,
}

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

/// Confines this thread, and those that it starts, to `reach`, as far as the kernel does that.
pub(super) fn confine(reach: &Reach<'_>) -> Confined {
    Confined(restrict(reach))
}

/// How far the kernel confines.
pub(super) struct Confined(Result<RestrictionStatus, RulesetError>);

impl Confined {
    /// The version of Landlock that is in force; 0 where none is.
    pub(super) fn version(&self) -> i32 {
        match &self.0 {
            Ok(RestrictionStatus { ruleset: RulesetStatus::NotEnforced, .. }) | Err(_) => 0,
            Ok(RestrictionStatus { landlock, .. }) => match landlock {
                LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
                LandlockStatus::Available { effective_abi, kernel_abi } => {
                    kernel_abi.unwrap_or(*effective_abi as i32)
                }
            },
        }
    }

    /// What the kernel lacks for all of it, in words that are the same in every child.
    pub(super) fn lacks(&self) -> Option<String> {
        if matches!(&self.0, Ok(RestrictionStatus { ruleset: RulesetStatus::FullyEnforced, .. })) {
            return None;
        }
        Some(format!(
            "the kernel {}: beneath their sandbox, children of this process can reach more than was granted; \
             `flowhost inspect --host` says what",
            self.why()
        ))
    }

    /// How the kernel stands to Landlock: goes on from "the kernel".
    pub(super) fn why(&self) -> String {
        match &self.0 {
            Ok(RestrictionStatus { ruleset: RulesetStatus::NotEnforced, landlock, .. }) => match landlock {
                LandlockStatus::NotEnabled => {
                    "has Landlock switched off (its boot parameter `lsm=` does not name `landlock`)"
                        .to_owned()
                }
                LandlockStatus::NotImplemented | LandlockStatus::Available { .. } => {
                    "has no Landlock, or something filters this process's system calls".to_owned()
                }
            },
            Ok(_) => format!("has version {} of Landlock", self.version()),
            Err(error) => format!("refuses to confine processes by Landlock ({error})"),
        }
    }
}

fn restrict(reach: &Reach<'_>) -> Result<RestrictionStatus, RulesetError> {
    let mut rules =
        Ruleset::default().handle_access(AccessFs::from_all(LANDLOCK))?.scope(Scope::from_all(LANDLOCK))?;
    if !reach.network {
        rules = rules.handle_access(AccessNet::from_all(LANDLOCK))?;
    }
    let mut rules = rules.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let special = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::MakeFifo;
    let write = AccessFs::from_write(LANDLOCK) & !(special | AccessFs::IoctlDev);
    for (directory, writes) in reach.directories {
        // One that does not open is told to the attempt that needs it.
        if let Ok(opened) = reach.folders.open(directory) {
            rules = rules.add_rule(PathBeneath::new(opened, if *writes { read | write } else { read }))?;
        }
    }
    if reach.network {
        for opened in NAMES.into_iter().filter_map(|name| PathFd::new(name).ok()) {
            rules = rules.add_rule(PathBeneath::new(opened, AccessFs::ReadFile))?;
        }
    }
    rules.restrict_self()
}

/// Sets a limit for good, at what the process may have at most where that is less.
fn set(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let to = Some(getrlimit(resource).maximum.map_or(to, |most| most.min(to)));
    setrlimit(resource, Rlimit { current: to, maximum: to })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn g10_a_confined_thread_reaches_what_was_granted_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "").unwrap();
        for name in ["read", "write", "other"] {
            fs::create_dir(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("file"), name).unwrap();
        }
        // A link that leads out grants nothing.
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let at = |name: &str| root.path().join(name);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for network in [false, true] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let folders = Folders::from(root.path());
                    let directories = [("read", false), ("write", true), ("link", true), ("none", true)]
                        .map(|(name, write)| (PathBuf::from(name), write));
                    let reach = Reach { folders: &folders, directories: &directories, network };
                    let confined = confine(&reach);
                    assert!(
                        confined.lacks().is_none(),
                        "this test needs Landlock of version 6 or newer (Linux 6.12, switched on): the kernel {}",
                        confined.why()
                    );
                    let denied = |result: io::Result<File>| {
                        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
                    };
                    assert_eq!(fs::read_to_string(at("read/file")).unwrap(), "read");
                    denied(File::create(at("read/new")));
                    denied(File::options().write(true).open(at("read/file")));
                    fs::write(at("write/new"), "new").unwrap();
                    fs::rename(at("write/new"), at("write/renamed")).unwrap();
                    fs::remove_file(at("write/renamed")).unwrap();
                    denied(File::open(at("other/file")));
                    denied(File::open(outside.path().join("secret")));
                    denied(File::open("/etc/passwd"));
                    denied(File::open("/proc/self/maps"));
                    assert_eq!(File::open("/etc/hosts").is_ok(), network);
                    assert_eq!(TcpStream::connect(address).is_ok(), network);
                });
            });
        }
    }
}
