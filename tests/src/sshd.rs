//! An OpenSSH server of a test's own: a node with an empty home, whose connections, network, keys and disk can
//! fail as those of machines do. It ends with its owner, and so does all that runs on it.
//!
//! `root` logs in there. The node is this machine in namespaces of its own, where `/root` is a folder of the
//! test's, and `/run` is empty.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use self::keys::make_key;
use crate::namespaces::{Link, Namespaces, Process, RIGHTS};
use crate::{Ended, ended, free_port};

mod keys;
#[cfg(test)]
mod tests;

/// How long a server may take to start, or to take on what it is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// `root`'s home, as the node names it.
const HOME: &str = "/root";

/// A server that was started, and may be down at the moment.
#[derive(Debug)]
pub struct Sshd {
    // The link goes before the namespaces that it leads to.
    link: Option<Link>,
    node: Option<Namespaces>,
    said: Arc<Mutex<String>>,
    port: u16,
    network: bool,
    mounts: Vec<(String, String)>,
    /// Its keys and settings in `server`, its home, and the keys of its clients.
    folder: TempDir,
}

/// Makes the node of a machine. `$1` is the folder with what the server needs, `$2` is home; each further pair is
/// a folder and the options of the file system that is mounted there. It ends with the server or with its standard
/// input, whichever comes first, and takes along all that runs on the node.
const NODE: &str = r#"
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 755 /run/sshd /run/node
mount --bind "$1" /run/node
mount --bind "$2" /root
shift 2
while [ $# -gt 0 ]; do
    mkdir -p "$1"
    mount -t tmpfs -o "$2" tmpfs "$1"
    shift 2
done
exec 3<&0 </dev/null
/usr/sbin/sshd -D -e -f /run/node/sshd_config 3<&- &
{ read -r _ <&3 || true; } &
wait -n
"#;

/// The server's settings, but for its address and port.
const SETTINGS: &str = "
HostKey /run/node/host_key
AuthorizedKeysFile /run/node/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 10000
MaxSessions 10000
UseDNS no
Subsystem sftp internal-sftp
";

impl Sshd {
    /// One on a free port of loopback.
    #[must_use]
    pub fn start() -> Self {
        Self::started(&[], false)
    }

    /// One with file systems of their own, in memory, each with its options: `("~", "noexec")`,
    /// `("~/small", "size=64k")`, `("/tmp", "noexec")`.
    #[must_use]
    pub fn with_mounts(mounts: &[(&str, &str)]) -> Self {
        Self::started(mounts, false)
    }

    /// One behind a network of its own, which [`Self::sever`] makes silent.
    #[must_use]
    pub fn in_namespace() -> Self {
        Self::started(&[], true)
    }

    fn started(mounts: &[(&str, &str)], network: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["server", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let place = |(at, options): &(&str, &str)| (at.replace('~', HOME), format!("mode=755,{options}"));
        let mounts = mounts.iter().map(place).collect();
        let said = Arc::default();
        let mut sshd = Self { link: None, node: None, said, port: 22, network, mounts, folder };
        make_key(&sshd.own("server/host_key"));
        make_key(&sshd.own("key"));
        fs::copy(sshd.own("key.pub"), sshd.own("server/authorized_keys")).unwrap();
        // Another process may take the port before the server does.
        while !sshd.launch(if network { 22 } else { free_port() }) {}
        sshd.know_host_key();
        sshd
    }

    /// Starts the server. False where somebody else has its port.
    fn launch(&mut self, port: u16) -> bool {
        let address = if self.network { "0.0.0.0" } else { "127.0.0.1" };
        fs::write(self.own("server/sshd_config"), format!("ListenAddress {address}:{port}\n{SETTINGS}"))
            .unwrap();
        let (server, home) = (self.own("server"), self.own("home"));
        let mut arguments = vec![server.to_str().unwrap(), home.to_str().unwrap()];
        arguments.extend(self.mounts.iter().flat_map(|(at, options)| [&**at, &**options]));
        let (mut node, stderr) = Namespaces::start(NODE, &arguments, self.network);
        self.said = Arc::default();
        let hearing = hear(stderr, Arc::clone(&self.said));
        crate::until(PATIENCE, "sshd starts", || self.listened() > 0 || !node.live());
        if self.listened() == 0 {
            hearing.join().unwrap();
            let said = self.said();
            assert!(
                said.contains("Address already in use"),
                "sshd is installed by tests/run; {RIGHTS}: {said}"
            );
            return false;
        }
        self.link = self.network.then(|| Link::to(&node));
        self.node = Some(node);
        self.port = port;
        true
    }

    /// How often it began to listen.
    fn listened(&self) -> usize {
        self.said().matches("Server listening on").count()
    }

    /// What it said so far, for tests that fail.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn node(&self) -> &Namespaces {
        self.node.as_ref().expect("the node is up")
    }

    /// Its home, as the test sees it; the node calls it `/root`. With mounts it is there only while the node is up.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        if self.mounts.is_empty() { self.own("home") } else { self.path(HOME) }
    }

    /// A folder or file of the node, as the test sees it while the node is up.
    #[must_use]
    pub fn path(&self, there: &str) -> PathBuf {
        self.node().path(there)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        self.link.as_ref().map_or("127.0.0.1", Link::address)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The client's file of host keys.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.own("known_hosts")
    }

    /// The client's key.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.own("key")
    }

    /// A table for the key `nodes` of a workflow file, with what `extra` says besides: `concurrency = 2`.
    #[must_use]
    pub fn node_toml(&self, extra: &str) -> String {
        let comma = if extra.is_empty() { "" } else { ", " };
        format!(
            r#"{{ address = "root@{}", port = {}, identity-file = "{}", options = ["UserKnownHostsFile={}", "IdentitiesOnly=yes"]{comma}{extra} }}"#,
            self.address(),
            self.port,
            self.identity().display(),
            self.known_hosts().display(),
        )
    }

    /// The program `ssh` and its options, without where to connect to: nothing of the user's own settings and keys
    /// counts, and it never asks.
    #[must_use]
    pub fn client(&self) -> Vec<String> {
        let mut words: Vec<String> = ["ssh", "-F", "none", "-T"].map(str::to_owned).into();
        let known_hosts = format!("UserKnownHostsFile={}", self.known_hosts().display());
        for option in [
            &*known_hosts,
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "ConnectTimeout=10",
        ] {
            words.extend(["-o".to_owned(), option.to_owned()]);
        }
        words.extend(["-i".to_owned(), self.identity().display().to_string()]);
        words.extend(["-p".to_owned(), self.port.to_string()]);
        words
    }

    /// `ssh` to it, not yet started: what is to run there comes as further arguments.
    #[must_use]
    pub fn ssh(&self) -> Command {
        let words = self.client();
        let (program, options) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(options).arg(format!("root@{}", self.address())).stdin(Stdio::null());
        command
    }

    /// Runs a command of the shell over `ssh`, to its end.
    pub fn run(&self, command: &str) -> Ended {
        ended(self.ssh().arg(command))
    }

    /// Runs a script as at the node's own console, without any connection, in its mounts and network.
    pub fn console(&self, script: &str) -> Ended {
        self.node().run(script)
    }

    /// Writes the file that bash reads before `ssh HOST COMMAND`, and the one that a login shell reads.
    pub fn shell_file(&self, text: &str) {
        for name in [".bashrc", ".profile"] {
            fs::write(self.home().join(name), text).unwrap();
        }
    }

    /// The command lines of all that runs on the node, but for the server's own processes.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let processes = self.node().processes().into_iter();
        let theirs = processes.filter(|process| !self.own_process(process) && !process.command.is_empty());
        theirs.map(|process| process.command).collect()
    }

    fn own_process(&self, process: &Process) -> bool {
        is_server(process) || self.keeps(process)
    }

    /// Whether it is the script, or the part of it that waits for the owner's end.
    fn keeps(&self, process: &Process) -> bool {
        self.node().script(process) || process.command.contains(NODE.trim())
    }

    /// Ends what runs on the node and has `part` in its command line, at once. Says how many processes that were.
    pub fn kill_process(&self, part: &str) -> usize {
        self.node().kill(|process| !self.own_process(process) && process.command.contains(part))
    }

    /// Cuts all connections at once. What they started goes on, if it does not mind.
    pub fn cut(&self) {
        self.node().kill(|process| is_server(process) && !is_listener(process));
    }

    /// Stops the server and all that runs on the node in the middle of whatever they do. Connections stay.
    pub fn stop(&self) {
        self.node().stop(|process| !self.keeps(process));
    }

    /// Lets them go on after [`Self::stop`].
    pub fn resume(&self) {
        for process in self.node().processes() {
            process.signal(Signal::CONT);
        }
    }

    /// Ends the node at once, as a loss of power does. What is in its home stays.
    pub fn kill(&mut self) {
        self.link = None;
        self.node = None;
    }

    /// Starts it again after [`Self::kill`], on the same port. File systems in memory are empty.
    pub fn restart(&mut self) {
        // A connection from this machine may have its port for a moment.
        crate::until(PATIENCE, "the node's port is free", || self.launch(self.port));
    }

    /// Loses all that goes to the node or comes from it from now on. Nobody is told.
    pub fn sever(&self) {
        self.link().sever(self.node());
    }

    /// Ends what [`Self::sever`] began.
    pub fn mend(&self) {
        self.link().mend(self.node());
    }

    fn link(&self) -> &Link {
        self.link.as_ref().expect("a node that was started with `in_namespace`")
    }
}

impl Drop for Sshd {
    #[expect(clippy::print_stdout, reason = "tests show what they print where they fail")]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            // Shown with the test that failed.
            println!("--- sshd on {}:{}\n{}", self.address(), self.port, self.said());
        }
    }
}

/// Whether a process belongs to the server: it listens, or has a connection.
fn is_server(process: &Process) -> bool {
    process.name.starts_with("sshd")
}

fn is_listener(process: &Process) -> bool {
    is_server(process) && process.command.contains("[listener]")
}

/// Keeps what a server says.
fn hear(stderr: ChildStderr, said: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    })
}
