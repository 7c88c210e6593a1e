//! A real worker on a queue: the command under test in a process of its own, which ends with its owner.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Place, Redis};

/// A worker that announced itself.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    said: Arc<Mutex<String>>,
    id: String,
}

/// How long a worker may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

impl Worker {
    /// Starts `flowhost worker --redis URL` with `arguments` besides, and waits until `server` knows of it. Its
    /// id contains `id`.
    #[must_use]
    pub fn start(place: &Place, server: &Redis, id: &str, arguments: &[&str]) -> Self {
        let url = server.url();
        Self::reaching(place, &url, &[server], id, arguments)
    }

    /// The same, of a worker that reaches Redis by `url`. One of `servers` learns of it.
    #[must_use]
    pub fn reaching(place: &Place, url: &str, servers: &[&Redis], id: &str, arguments: &[&str]) -> Self {
        let mut worker = Self::spawn(&mut Self::command(place, url, id, arguments), id);
        crate::until(PATIENCE, "the worker's announcement", || {
            let status = worker.child.try_wait().unwrap();
            assert!(status.is_none(), "the worker ended, {}: {}", status.unwrap(), worker.said());
            servers.iter().any(|server| announced(server, id))
        });
        worker
    }

    /// The command, not yet started.
    #[must_use]
    pub fn command(place: &Place, url: &str, id: &str, arguments: &[&str]) -> Command {
        let mut command = place.command(["worker", "--redis", url, "--id", id]);
        command.args(arguments);
        command
    }

    /// Starts a command, and waits for nothing.
    #[must_use]
    pub fn spawn(command: &mut Command, id: &str) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, said, id: id.to_owned() }
    }

    /// What it said of itself so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The id that it was given.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends it at once, and waits until it has ended.
    pub fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it in the middle of whatever it does.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::stop`].
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to drain.
    pub fn term(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it goes on.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended.
    pub fn end(&mut self) -> ExitStatus {
        crate::until(PATIENCE, "the worker's end", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }
}

impl Drop for Worker {
    #[expect(clippy::print_stdout, reason = "tests show what they print where they fail")]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            // Shown with the test that failed.
            println!("--- worker {}\n{}", self.id, self.said());
        }
    }
}

/// Whether a server knows of a worker of the protocol that is tested, by a part of its id.
#[must_use]
pub fn announced(server: &Redis, id: &str) -> bool {
    let pattern = format!("{{*:{}:*}}:worker:*{id}*", flowhost::wire::PROTOCOL);
    server.ask::<Vec<String>>(&["KEYS", &pattern]).is_ok_and(|keys| !keys.is_empty())
}
