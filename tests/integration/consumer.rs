//! `flowhost worker --redis URL` as whoever runs it sees it: its flags, its signals, its figures, and what it
//! tells the service manager.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use flowhost_tests::Redis;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::Place;

/// A worker that runs, with the lines that it says. It ends with its owner.
struct Worker {
    child: Child,
    said: BufReader<ChildStderr>,
    _place: Place,
}

impl Worker {
    fn start(url: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let mut command = place.command(["worker", "--redis", url, "--log", "json"]);
        command.args(flags).envs(variables.iter().copied()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said, _place: place }
    }

    /// What it says next of `event`.
    fn says(&mut self, event: &str) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended and never said `{event}`");
            let said: serde_json::Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if said["event"] == event {
                return said;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service manager's end of the line.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _folder: Place,
}

impl Manager {
    fn new() -> Self {
        let folder = Place::new();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket, path: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Waits for what begins with `wanted`, and returns what came before.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let next = self.next();
            if next.starts_with(wanted) {
                return before;
            }
            before.push(next);
        }
    }

    fn has_heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let heard = self.socket.recv(&mut [0; 1024]);
        self.socket.set_nonblocking(false).unwrap();
        heard.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// What stands before a server, and lets nothing through until it is opened.
struct Gate {
    url: String,
    /// Whether anybody asked, and whether it is open.
    state: Arc<(Mutex<(bool, bool)>, Condvar)>,
}

impl Gate {
    fn before(server: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let state = Arc::new((Mutex::new((false, false)), Condvar::new()));
        let (server, shared) = (server.url().replace("redis://", ""), Arc::clone(&state));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, server, state) = (client.unwrap(), server.clone(), Arc::clone(&shared));
                thread::spawn(move || {
                    let mut first = [0; 4096];
                    let length = client.read(&mut first).unwrap();
                    {
                        let (lock, changed) = &*state;
                        let mut state = lock.lock().unwrap();
                        state.0 = true;
                        changed.notify_all();
                        drop(changed.wait_while(state, |state| !state.1).unwrap());
                    }
                    let mut server = TcpStream::connect(server).unwrap();
                    server.write_all(&first[..length]).unwrap();
                    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                    thread::spawn(move || {
                        // Either may be gone.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                    let _ = std::io::copy(&mut client, &mut server);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url, state }
    }

    fn wait_for_somebody(&self) {
        let (lock, changed) = &*self.state;
        drop(changed.wait_while(lock.lock().unwrap(), |state| !state.0).unwrap());
    }

    fn open(&self) {
        let (lock, changed) = &*self.state;
        lock.lock().unwrap().1 = true;
        changed.notify_all();
    }
}

/// The answer to a request, whole.
fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_worker_is_ready_once_redis_answers_and_not_before() {
    let (server, manager) = (Redis::start(&[]), Manager::new());
    let gate = Gate::before(&server);
    // It is asked to say every second or so that it is alive.
    let variables = [("NOTIFY_SOCKET", &*manager.path), ("WATCHDOG_USEC", "2000000")];
    let mut worker = Worker::start(&gate.url, &["--metrics", "127.0.0.1:0"], &variables);
    let url = worker.says("metrics")["url"].as_str().unwrap().to_owned();
    gate.wait_for_somebody();
    assert!(manager.has_heard_nothing());
    assert!(get(&url, "/healthz").starts_with("HTTP/1.1 503 "));
    gate.open();
    let before = manager.until("READY=1");
    assert_eq!(before, Vec::<String>::new());
    assert!(get(&url, "/healthz").starts_with("HTTP/1.1 200 "));
    manager.until("WATCHDOG=1");
    manager.until("WATCHDOG=1");
    worker.signal(Signal::TERM);
    manager.until("STOPPING=1");
    assert_eq!(worker.code(), 0);
}

#[test]
fn a_worker_that_is_ready_is_listed() {
    let (server, manager) = (Redis::start(&[]), Manager::new());
    let flags = ["--queue", "day,night", "--concurrency", "3", "--id", "east", "--prefix", "own"];
    let mut worker = Worker::start(&server.url(), &flags, &[("NOTIFY_SOCKET", &manager.path)]);
    manager.until("READY=1");
    let list = || {
        let listed =
            Place::new().flowhost(["workers", "--redis", &server.url(), "--prefix", "own", "--json"]);
        listed.json().as_array().unwrap().clone()
    };
    let listed = list();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(listed[0]["id"].as_str().unwrap().starts_with("east"), "{listed:?}");
    assert_eq!(listed[0]["queues"], serde_json::json!(["day", "night"]));
    assert_eq!((&listed[0]["concurrency"], &listed[0]["running"]), (&3.into(), &0.into()));
    worker.signal(Signal::TERM);
    assert_eq!(worker.code(), 0);
    assert_eq!(list(), Vec::<serde_json::Value>::new());
}

#[test]
fn figures_are_served_where_the_worker_says() {
    let (server, manager) = (Redis::start(&[]), Manager::new());
    let flags = ["--metrics", "127.0.0.1:0", "--concurrency", "3"];
    let mut worker = Worker::start(&server.url(), &flags, &[("NOTIFY_SOCKET", &manager.path)]);
    let url = worker.says("metrics")["url"].as_str().unwrap().to_owned();
    manager.until("READY=1");
    let page = get(&url, "/metrics");
    assert!(page.contains("\nflowhost_free_capacity 3\n"), "{page}");
    assert!(page.contains("\nflowhost_attempts_total{outcome=\"succeeded\"} 0\n"), "{page}");
    for signal in [Signal::INT, Signal::HUP] {
        let mut other = Worker::start(&server.url(), &[], &[("NOTIFY_SOCKET", &manager.path)]);
        manager.until("READY=1");
        other.signal(signal);
        assert_eq!(other.code(), 0);
    }
    let taken = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut second = Worker::start(&server.url(), &["--metrics", taken], &[]);
    assert_eq!(second.code(), 2);
}

#[test]
fn a_worker_takes_attempts_from_one_place() {
    let place = Place::new();
    let none = place.flowhost(["worker"]);
    assert!(none.code == 2 && none.stderr.contains("--redis URL"), "{none}");
    let mut both = place.command(["worker", "--stdio"]);
    let both = crate::support::ended(both.env("FLOWHOST_REDIS", "redis://user:pass-word@127.0.0.1:1"));
    assert!(both.code == 2 && both.stderr.contains("FLOWHOST_STDIO"), "{both}");
    assert!(!both.stderr.contains("pass-word"), "{both}");
}

#[test]
fn a_server_that_is_not_there_is_said_without_its_password() {
    let gone = Place::new().flowhost(["worker", "--redis", "redis://user:pass-word@127.0.0.1:1"]);
    assert_eq!(gone.code, 102, "{gone}");
    assert!(gone.stderr.contains("Redis") && !gone.stderr.contains("pass-word"), "{gone}");
}

#[test]
fn a_flag_that_makes_no_sense_is_named() {
    let place = Place::new();
    for (flag, value, reason) in [
        ("--redis", "http://user:pass-word@host", "redis://"),
        ("--redis", "", "redis://"),
        ("--queue", "a b", "cannot name a queue"),
        ("--queue", "", "cannot name a queue"),
        ("--queue", "a,b,a", "`a` twice"),
        ("--prefix", "{x}", "cannot name a queue or prefix"),
        ("--concurrency", "0", "from 1 to 4096"),
        ("--concurrency", "5000", "from 1 to 4096"),
        ("--concurrency", "many", "from 1 to 4096"),
        ("--id", "my worker", "cannot name"),
        ("--lease", "500ms", "from 1s to 1h"),
        ("--lease", "2h", "from 1s to 1h"),
        ("--lease", "soon", "is not a duration"),
        ("--drain", "soon", "is not a duration"),
        ("--ca", "missing.pem", "without TLS"),
        ("--key", "", "is empty"),
        ("--store-max", "plenty", "is not a size"),
        ("--metrics", "nowhere", "cannot listen"),
        ("--log", "loud", "possible values: plain, json"),
    ] {
        let mut arguments = vec!["worker", flag, value];
        if flag != "--redis" {
            arguments.extend(["--redis", "redis://127.0.0.1:1"]);
        }
        let refused = place.flowhost(arguments);
        assert_eq!(refused.code, 2, "{flag} {value}: {refused}");
        let said = &refused.stderr;
        assert!(said.contains(flag) && said.contains(reason), "{flag} {value}: {refused}");
        assert!(!said.contains("pass-word"), "{refused}");
    }
    let missing = place.flowhost(["worker", "--redis", "rediss://127.0.0.1:1", "--ca", "missing.pem"]);
    assert!(missing.code == 2 && missing.stderr.contains("missing.pem"), "{missing}");
    let mut odd = place.command(["worker", "--redis", "redis://127.0.0.1:1"]);
    let odd = crate::support::ended(odd.env("NOTIFY_SOCKET", "vsock:1"));
    assert!(odd.code == 2 && odd.stderr.contains("vsock:1"), "{odd}");
}

#[test]
fn secrets_are_not_in_the_help() {
    let place = Place::new();
    let mut help = place.command(["worker", "--help"]);
    help.env("FLOWHOST_KEY", "pass-word").env("FLOWHOST_REDIS", "redis://u:pass-word@host");
    let help = crate::support::ended(&mut help);
    assert!(help.stdout.contains("FLOWHOST_KEY") && !help.stdout.contains("pass-word"), "{help}");
}
