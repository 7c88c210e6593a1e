//! A Redis server of a test's own, on a free port of loopback, that can be killed, stopped and started again.
//! It ends with its owner.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Connection, FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certificates::Certificates;

/// A server that was started, and may be down at the moment.
#[derive(Debug)]
pub struct Redis {
    server: Child,
    port: u16,
    /// A port for TLS, and who vouches for it.
    encrypted: Option<(u16, Certificates)>,
    settings: Vec<String>,
    /// `USER:PASSWORD@`, or nothing.
    credentials: String,
    /// What it keeps on disk.
    folder: TempDir,
}

/// A port of loopback that was free a moment ago, so that nobody is there.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Among a server's settings: a port that is free when it starts.
pub(crate) const FREE_PORT: &str = "FREE_PORT";

/// How long a server is waited for that starts, reads what it has kept, or is asked something.
const PATIENCE: Duration = Duration::from_secs(30);

impl Redis {
    /// One that keeps nothing on disk, with `settings` besides, as on the command line of `redis-server`.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::started(settings, String::new(), None)
    }

    /// One that writes every change to disk: `always` before it answers, `everysec` once a second.
    #[must_use]
    pub fn appending(fsync: &str) -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", fsync])
    }

    /// One that speaks over a socket of this machine besides, and writes to disk once a second: flowhost has
    /// nothing to say against it.
    #[must_use]
    pub fn private() -> Self {
        Self::start(&["--appendonly", "yes", "--unixsocket", "socket"])
    }

    /// Its socket, where it was started with one.
    #[must_use]
    pub fn socket(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// One that may be spoken to as `user` with this password only.
    #[must_use]
    pub fn secured(user: &str, password: &str) -> Self {
        let settings = match user {
            "default" => vec!["--requirepass".to_owned(), password.to_owned()],
            user => {
                let rights = format!("{user} on >{password} ~* &* +@all");
                let all = rights.split(' ').map(str::to_owned);
                ["--user".to_owned()].into_iter().chain(all).chain(off()).collect()
            }
        };
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Self::started(&settings, format!("{user}:{password}@"), None)
    }

    /// One that speaks TLS besides, as `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn encrypted() -> Self {
        Self::started(&[], String::new(), Some(Certificates::new()))
    }

    /// One that copies `main`, and can be read alone.
    #[must_use]
    pub fn replica_of(main: &Self) -> Self {
        let replica = Self::start(&["--replicaof", "127.0.0.1", &main.port.to_string()]);
        replica.until("it has copied the other", || {
            let said = replica.info("replication");
            said.get("master_link_status").is_some_and(|status| status == "up")
        });
        replica
    }

    fn started(settings: &[&str], credentials: String, certificates: Option<Certificates>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut all: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned).into();
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let began = Instant::now();
        loop {
            // Another process may take the ports before the server does.
            let port = free_port();
            let mut settings = all.clone();
            settings.iter_mut().filter(|it| *it == FREE_PORT).for_each(|it| *it = free_port().to_string());
            let encrypted = certificates.as_ref().map(|certificates| (free_port(), certificates.clone()));
            if let Some((port, certificates)) = &encrypted {
                settings.extend(["--tls-port".to_owned(), port.to_string()]);
                settings.extend(certificates.settings());
            }
            match launch(&folder, port, &settings) {
                Ok(server) => {
                    return Self { server, port, encrypted, settings, credentials, folder };
                }
                Err(code) => assert!(
                    code == Some(1) && began.elapsed() < PATIENCE,
                    "redis-server with {settings:?} ended with {code:?}"
                ),
            }
        }
    }

    /// Where it is, with user and password where it asks for them.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}", self.credentials, self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS, and the file of the authority that vouches for it.
    #[must_use]
    pub fn tls(&self) -> (String, PathBuf) {
        let (port, certificates) = self.encrypted.as_ref().expect("it speaks TLS");
        (format!("rediss://localhost:{port}"), certificates.authority())
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// Ends it at once, as a loss of power does. What it wrote to disk stays.
    pub fn kill(&mut self) {
        // It may have ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Starts it again after [`Self::kill`], on the same port and with what it has on disk.
    pub fn restart(&mut self) {
        let began = Instant::now();
        loop {
            match launch(&self.folder, self.port, &self.settings) {
                Ok(server) => {
                    self.server = server;
                    self.until("it has read what it kept", || {
                        self.info("persistence").get("loading").is_some_and(|loading| loading == "0")
                    });
                    return;
                }
                // A connection from this machine may have its port for a moment.
                Err(code) => assert!(began.elapsed() < PATIENCE, "redis-server ended with {code:?}"),
            }
        }
    }

    /// Stops it in the middle of whatever it does: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::stop`].
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.server), signal).unwrap();
    }

    /// A connection of a test's own, in plain text.
    ///
    /// # Errors
    /// Fails when the server is down.
    pub fn connect(&self) -> RedisResult<Connection> {
        let connection = redis::Client::open(self.url())?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    /// The same, as flowhost has its own.
    ///
    /// # Errors
    /// Fails when the server is down.
    pub async fn connect_async(&self) -> RedisResult<MultiplexedConnection> {
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        redis::Client::open(self.url())?.get_multiplexed_async_connection_with_config(&patient).await
    }

    /// What it answers to a command.
    ///
    /// # Errors
    /// Fails when the server is down, or answers with an error.
    pub fn ask<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let (name, arguments) = command.split_first().expect("a command has a name");
        redis::cmd(name).arg(arguments).query(&mut self.connect()?)
    }

    /// What it answers to a command that cannot fail.
    pub fn command<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.ask(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// What it says of itself in a section of `INFO`.
    #[must_use]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        let text: String = self.ask(&["INFO", section]).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    }

    fn figure(&self, section: &str, name: &str) -> f64 {
        let said = self.info(section);
        said.get(name).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {said:?}"))
    }

    /// Memory in use, in bytes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a whole number")]
    pub fn memory(&self) -> u64 {
        self.figure("memory", "used_memory") as u64
    }

    /// Processor time that it took so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let seconds = self.figure("cpu", "used_cpu_user") + self.figure("cpu", "used_cpu_sys");
        Duration::from_secs_f64(seconds)
    }

    /// How many commands it executed so far, those within scripts among them.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a whole number")]
    pub fn commands(&self) -> u64 {
        self.figure("stats", "total_commands_processed") as u64
    }

    /// Waits until something is so, which is asked of the server.
    pub fn until(&self, what: &str, so: impl FnMut() -> bool) {
        crate::until(PATIENCE, what, so);
    }
}

/// No right for the user that everybody is who does not say otherwise.
fn off() -> [String; 3] {
    ["--user", "default", "off"].map(str::to_owned)
}

/// Starts a server. Its exit code where it ended before it was ready.
fn launch(folder: &TempDir, port: u16, settings: &[String]) -> Result<Child, Option<i32>> {
    let mut command = Command::new("redis-server");
    command.arg("--port").arg(port.to_string()).args(settings).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = command.spawn().expect("redis-server is installed by tests/run");
    let said = BufReader::new(server.stdout.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    if lines.by_ref().any(|line| line.contains("Ready to accept connections")) {
        // Nobody reads what else it says; its pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        return Ok(server);
    }
    Err(server.wait().unwrap().code())
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(redis: &Redis) -> Option<String> {
        redis.command(&["GET", "key"])
    }

    #[test]
    fn what_was_written_survives_as_far_as_it_is_kept() {
        for (mut redis, kept) in [(Redis::start(&[]), None), (Redis::appending("always"), Some("value"))] {
            redis.command::<()>(&["SET", "key", "value"]);
            redis.kill();
            assert!(redis.connect().is_err());
            redis.restart();
            assert_eq!(set(&redis).as_deref(), kept);
        }
    }

    #[test]
    fn who_is_stopped_answers_when_it_goes_on() {
        let redis = Redis::start(&[]);
        let mut connection = redis.connect().unwrap();
        connection.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        redis.stop();
        redis::cmd("PING").query::<()>(&mut connection).unwrap_err();
        redis.cont();
        assert_eq!(redis.command::<String>(&["PING"]), "PONG");
        assert!(redis.memory() > 100_000 && redis.commands() > 1 && redis.cpu() > Duration::ZERO);
    }

    #[test]
    fn nobody_comes_in_without_user_and_password() {
        for user in ["default", "somebody"] {
            let redis = Redis::secured(user, "hunter2");
            assert_eq!(redis.command::<String>(&["PING"]), "PONG");
            let plain = redis::Client::open(format!("redis://127.0.0.1:{}", redis.port())).unwrap();
            let refused = plain.get_connection().and_then(|mut to| redis::cmd("PING").query::<()>(&mut to));
            assert!(refused.unwrap_err().to_string().contains("NOAUTH"), "{user}");
        }
    }

    #[test]
    fn a_replica_copies_and_can_be_promoted() {
        let main = Redis::start(&[]);
        let replica = Redis::replica_of(&main);
        main.command::<()>(&["SET", "key", "value"]);
        replica.until("the copy", || set(&replica).is_some());
        assert!(replica.ask::<()>(&["SET", "key", "other"]).unwrap_err().to_string().contains("ReadOnly"));
        replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
        replica.command::<()>(&["SET", "key", "other"]);
    }
}
