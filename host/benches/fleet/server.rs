//! A Redis server of the benchmark's own, on a free port of loopback, which keeps nothing on disk.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;

/// It ends with its owner.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// None where there is no `redis-server`.
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &port.to_string(),
        ]);
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("Ready to accept connections")), "{:?}", child.wait());
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, port, _folder: folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        // What blocks is answered when it is: no time is too long here.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
    }

    /// Removes all that is in it.
    pub(crate) fn flush(&self) {
        self.ask::<()>(&["FLUSHALL"]);
    }

    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap()
    }

    /// A figure of `INFO`.
    pub(crate) fn figure(&self, section: &str, name: &str) -> f64 {
        let said: String = self.ask(&["INFO", section]);
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
        said.lines().find_map(of).unwrap()
    }

    /// Memory in use, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        self.figure("memory", "used_memory")
    }

    /// Processor time so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.figure("cpu", "used_cpu_user") + self.figure("cpu", "used_cpu_sys")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
