//! A node: an `sshd` of the benchmark's own on a free port of loopback, and flowhost where it is looked for.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flowhost::wire::PROTOCOL;

/// It ends with its owner.
pub(crate) struct Node {
    server: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Node {
    /// None where there is no `sshd`.
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
            assert!(keygen.status().ok()?.success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host_key = std::fs::read_to_string(at("host.pub")).unwrap();
        std::fs::write(at("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let settings = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\nSetEnv HOME={}\n",
            at("host"),
            at("key.pub"),
            // Without anybody's files that a shell reads when it starts.
            folder.path().display()
        );
        std::fs::write(at("config"), settings).unwrap();
        // Where it separates its privileges, as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-f", &at("config")]).stdin(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().ok()?;
        let bin = folder.path().join("work/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let name = format!("flowhost-{PROTOCOL}-{}-bench", std::env::consts::ARCH);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_flowhost"), bin.join(name)).unwrap();
        let node = Self { server, port, folder };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "sshd does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(node)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The section of a workflow file that makes it the executor `ssh`.
    pub(crate) fn section(&self, concurrency: u32) -> String {
        format!(
            r#"
            [executors.ssh]
            nodes = [{{ address = "127.0.0.1", port = {}, concurrency = {concurrency}, identity-file = "{}", options = ["UserKnownHostsFile={}", "IdentitiesOnly=yes"] }}]
            workdir = "{}"
            deploy = "never"
            "#,
            self.port,
            self.path("key"),
            self.path("known"),
            self.path("work"),
        )
    }

    /// `ssh NODE`, without what is to run there.
    pub(crate) fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        command.args([
            "-T",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        command.args(["-i", &self.path("key"), "-p", &self.port.to_string()]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.path("known")));
        command.arg("127.0.0.1").current_dir(Path::new("/"));
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
