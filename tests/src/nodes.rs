//! A node with flowhost on it, for tests that run on every executor: whatever the workflows of a folder may be granted,
//! the node's owner grants.

use std::fs;
use std::os::unix::fs::PermissionsExt;
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
        let node = node.get_or_insert_with(|| Self(Sshd::start()));
        node.install(folder, bounds);
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

    /// Puts this flowhost where it is found, with what its owner grants.
    fn install(&self, folder: &Path, bounds: &[String]) {
        let quoted = |word: &String| format!(" '{word}'");
        let flags: String = allowed(folder).iter().chain(bounds).map(quoted).collect();
        let script = format!("#!/bin/sh\nexec '{}' \"$@\" --max-memory 8GiB{flags}\n", program().display());
        let bin = self.0.home().join(".local/bin");
        fs::create_dir_all(&bin).unwrap();
        // Whoever executes the old one goes on with it.
        fs::write(bin.join("new"), script).unwrap();
        fs::set_permissions(bin.join("new"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(bin.join("new"), bin.join("flowhost")).unwrap();
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
