//! A control group of processes that share so much memory, made by the test and gone with it. Where the kernel
//! or whoever started the tests does not allow that, the test fails and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A control group, of either version of them.
pub(crate) struct Group {
    folder: PathBuf,
    /// Where the kernel counts whom it killed.
    events: &'static str,
}

impl Group {
    /// A group whose processes have so many bytes together.
    pub(crate) fn of_at_most(bytes: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("flowhost-tests-{}-{number}", std::process::id());
        let (above, limit, swap, events) = hierarchy();
        let folder = above.join(name);
        let group = Self { folder, events };
        fs::create_dir(&group.folder).unwrap_or_else(|error| {
            panic!("this test needs the right to make control groups: {}: {error}", group.folder.display())
        });
        group.set(limit, bytes);
        let (swap, most) = swap;
        if group.folder.join(swap).exists() {
            group.set(swap, if most { bytes } else { 0 });
        }
        group
    }

    /// Takes a process in.
    pub(crate) fn take(&self, process: u32) {
        self.set("cgroup.procs", process.into());
    }

    /// How many processes the kernel killed.
    pub(crate) fn killed(&self) -> u32 {
        let text = fs::read_to_string(self.folder.join(self.events)).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().trim().parse().unwrap()
    }

    fn set(&self, file: &str, number: u64) {
        let path = self.folder.join(file);
        fs::write(&path, number.to_string()).unwrap_or_else(|error| {
            panic!("this test needs control groups of memory: {}: {error}", path.display())
        });
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // With processes in it, it stays until these are gone, and nobody minds.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The folder in which groups of memory are made, and what their files are called: the limit, the limit of swap
/// and whether that counts memory as well, what happened.
fn hierarchy() -> (PathBuf, &'static str, (&'static str, bool), &'static str) {
    let old = Path::new("/sys/fs/cgroup/memory");
    if old.join("memory.limit_in_bytes").exists() {
        return (
            old.to_owned(),
            "memory.limit_in_bytes",
            ("memory.memsw.limit_in_bytes", true),
            "memory.oom_control",
        );
    }
    ("/sys/fs/cgroup".into(), "memory.max", ("memory.swap.max", false), "memory.events")
}
