//! A node with flowhost on it, for tests that run on every executor: whatever the workflows of a folder may be granted,
//! the node's owner grants.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fleet::allowed;
use crate::{Sshd, program};

/// The executor's name.
pub(crate) const EXECUTOR: &str = "ssh";

/// What the file's own section begins with.
const SECTION: &str = "[executors.ssh]";

/// A node that is ready.
#[derive(Debug)]
pub(crate) struct Node(Sshd);

impl Node {
    /// Has a node ready that may grant all that is in `folder` now, within `bounds`, flags of a worker, and has the
    /// workflow files there name it.
    pub(crate) fn ready(node: &mut Option<Self>, folder: &Path, bounds: &[String]) {
        let node = node.get_or_insert_with(|| {
            let sshd = Sshd::start();
            install(&sshd);
            Self(sshd)
        });
        node.bound(folder, bounds);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                // One that is broken on purpose stays as it is.
                let text = fs::read_to_string(&path).unwrap_or_default();
                if text.contains("[components]") && !text.contains(SECTION) {
                    fs::write(&path, text + &node.section()).unwrap();
                }
            }
        }
    }

    /// What its owner grants.
    fn bound(&self, folder: &Path, bounds: &[String]) {
        let flags = allowed(folder);
        let grants = flags.iter().chain(bounds).filter(|word| !word.starts_with("--"));
        let grants: Vec<_> = grants.map(|grant| format!("{grant:?}")).collect();
        let ceiling = format!("allow = [{}]\nmax-memory = \"8GiB\"\n", grants.join(", "));
        let config = self.0.home().join(".config/flowhost");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("worker.toml"), ceiling).unwrap();
    }

    fn section(&self) -> String {
        format!(
            "\n{SECTION}\nnodes = [{}]\nworkdir = \"{}\"\ndeploy = \"never\"\n",
            self.0.node_toml(""),
            workdir().display()
        )
    }
}

/// Where flowhost's files are on such nodes: those that the tests of all executors share.
fn workdir() -> PathBuf {
    crate::cache().join("flowhost")
}

/// Puts this flowhost where it is found.
fn install(sshd: &Sshd) {
    let folder = sshd.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(program(), folder.join("flowhost")).unwrap();
}
