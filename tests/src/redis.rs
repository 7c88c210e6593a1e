//! A Redis server of a test's own, on a free port of loopback. It ends with its owner.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running server.
#[derive(Debug)]
pub struct Redis {
    server: Child,
    port: u16,
    /// What it keeps on disk.
    _folder: TempDir,
}

impl Redis {
    /// One that keeps nothing on disk, with `settings` besides, as on the command line of `redis-server`.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        loop {
            // Another process may take the port before the server does.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
            command.arg(port.to_string()).args(settings).current_dir(&folder);
            command.stdin(Stdio::null()).stdout(Stdio::piped());
            let mut server = command.spawn().expect("redis-server is installed by tests/run");
            let said = BufReader::new(server.stdout.take().unwrap());
            let mut lines = said.lines().map(Result::unwrap);
            if lines.by_ref().any(|line| line.contains("Ready to accept connections")) {
                // Nobody reads what else it says; its pipe must not fill.
                std::thread::spawn(move || lines.for_each(drop));
                return Self { server, port, _folder: folder };
            }
            let status = server.wait().unwrap();
            assert_eq!(status.code(), Some(1), "redis-server: {status}");
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
