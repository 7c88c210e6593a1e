//! The keys that a server and its clients know each other by.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::{PATIENCE, Sshd, is_listener};
use crate::ended;

impl Sshd {
    /// Gives the node another host key than the one that its clients know.
    pub fn replace_host_key(&self) {
        for name in ["server/host_key", "server/host_key.pub"] {
            fs::remove_file(self.own(name)).unwrap();
        }
        make_key(&self.own("server/host_key"));
        self.reread();
    }

    /// Lets nobody in but with a password.
    pub fn ask_for_passwords(&self) {
        let settings = fs::read_to_string(self.own("server/sshd_config")).unwrap();
        let settings = settings.replace("PasswordAuthentication no", "PasswordAuthentication yes");
        let settings = settings.replace("PermitRootLogin prohibit-password", "PermitRootLogin yes");
        fs::write(self.own("server/sshd_config"), settings + "PubkeyAuthentication no\n").unwrap();
        self.reread();
    }

    /// Has the server take on its keys and settings.
    fn reread(&self) {
        let before = self.listened();
        let processes = self.node().processes();
        processes.iter().find(|process| is_listener(process)).unwrap().signal(Signal::HUP);
        crate::until(PATIENCE, "sshd takes on other settings", || self.listened() > before);
    }

    /// Lets its clients know the host key that it has now.
    pub fn know_host_key(&self) {
        let key = fs::read_to_string(self.own("server/host_key.pub")).unwrap();
        let name = match self.port {
            22 => self.address().to_owned(),
            port => format!("[{}]:{port}", self.address()),
        };
        fs::write(self.known_hosts(), format!("{name} {key}")).unwrap();
    }

    /// Lets its clients know no host key.
    pub fn forget_host_key(&self) {
        fs::write(self.known_hosts(), "").unwrap();
    }

    /// Lets nobody in any more.
    pub fn forget_client_key(&self) {
        fs::write(self.own("server/authorized_keys"), "").unwrap();
    }
}

/// A pair of keys without a password: `PATH` and `PATH.pub`.
pub(super) fn make_key(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).stdin(Stdio::null());
    let made = ended(&mut command);
    assert_eq!(made.code, 0, "ssh-keygen: {made}");
}
