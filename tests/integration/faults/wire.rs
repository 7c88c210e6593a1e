//! Bytes that no flowhost would send, at both ends of a connection: what a worker makes of a bad client, and a
//! run of a bad worker.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowhost::wire::{FRAME, FromWorker, Hello, MAGIC, Outbox, PROTOCOL, Said, pump};
use serde_json::Value;

use super::beside::most_memory;
use super::bytes::next;
use super::shown::harmful;
use crate::children::{Running, moved, soon};
use crate::support::{Ended, Gate, Place, Server};

/// What a bad side may make the good one take, in bytes.
const TAKEN: u64 = 32 << 20;

/// A greeting as it travels, after the worker's first eight bytes.
fn greeting(hello: &Hello) -> Vec<u8> {
    let json = serde_json::to_vec(hello).unwrap();
    [&u32::try_from(json.len()).unwrap().to_le_bytes()[..], &json].concat()
}

fn other_protocol() -> Hello {
    Hello { protocol: PROTOCOL + 1, flowhost: "9.9.9\u{1b}[2J".to_owned(), ..Hello::of("wasmtime 99") }
}

/// A frame with this kind and body.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 1).unwrap().to_le_bytes()[..], &[kind], body].concat()
}

/// What comes after a good opening and makes no sense, with part of what is said of it.
fn nonsense() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut state = 16;
    let noise: Vec<u8> = (0..4096).flat_map(|_| next(&mut state).to_le_bytes()).collect();
    let of_message = |length: u64| frame(2, &[&length.to_le_bytes()[..], &[0; 4]].concat());
    let large = u32::try_from(FRAME + 1).unwrap().to_le_bytes();
    vec![
        ("four GiB", [&u32::MAX.to_le_bytes()[..], &noise].concat(), "a frame claims 4294967295 bytes"),
        ("too large", [&large[..], &noise].concat(), "a frame claims 67108865 bytes"),
        ("long message", of_message(u64::MAX), "a message claims 18446744073709551615 bytes"),
        ("truncated", frame(1, &[0; 100])[..50].to_vec(), "the connection ended in the middle of a message"),
        ("cut message", of_message(1000), "the connection ended in the middle of a message"),
        ("left over", frame(1, &[1, 0, 0, 0, 4, 0, 0, 0]), "a message cannot be read"),
        ("random", frame(1, &noise), "a message cannot be read"),
        ("kind", frame(200, &noise), "a frame of kind 200 is out of place"),
        ("out of place", frame(3, &noise), "a frame of kind 3 is out of place"),
    ]
}

/// What a worker makes of a client that writes `said` and closes its end.
fn heard_by_worker(said: &[u8]) -> Ended {
    let place = Place::new();
    let mut command = place.command(["worker", "--stdio"]);
    let mut worker =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; MAGIC.len()];
    worker.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(first, MAGIC);
    let before = most_memory(worker.id());
    // It may have hung up already.
    let _ = worker.stdin.take().unwrap().write_all(said);
    let mut most = 0;
    soon(Duration::from_secs(20), "the worker's end", || {
        most = most.max(most_memory(worker.id()));
        worker.try_wait().unwrap().is_some()
    });
    assert!(most <= before + TAKEN, "it took {} MiB instead of {}", most >> 20, before >> 20);
    let output = worker.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code().unwrap_or(-1), stdout: String::new(), stderr: text(&output.stderr) }
}

#[test]
fn p1_a_worker_drops_a_client_that_makes_no_sense() {
    for (name, bytes, says) in nonsense() {
        let ended = heard_by_worker(&[greeting(&Hello::of("any")), bytes].concat());
        assert_eq!(ended.code, 1, "{name}: {ended}");
        assert!(ended.stderr.contains(says), "{name} does not say `{says}`: {ended}");
    }
    for (bytes, says) in [
        (&[0xff; 100][..], "a frame claims 4294967295 bytes"),
        (&[4, 0, 0, 0, b'{', b'}', b' ', b' '], "greeting cannot be read"),
        (&[200, 0, 0, 0, b'{'], "ended in the middle"),
    ] {
        let ended = heard_by_worker(bytes);
        assert!(ended.code == 1 && ended.stderr.contains(says), "{bytes:?}: {ended}");
    }
}

#[test]
fn p2_a_worker_refuses_a_client_of_another_protocol_and_names_both() {
    let ended = heard_by_worker(&greeting(&other_protocol()));
    assert_eq!(ended.code, 102, "{ended}");
    for part in ["flowhost 9.9.9", "wasmtime 99", "protocol 1", "protocol 2", env!("CARGO_PKG_VERSION")] {
        assert!(ended.stderr.contains(part), "{ended}");
    }
    assert_eq!(harmful(&ended.stderr), None, "{:?}", ended.stderr);
    // One that says nothing else of itself.
    let ended = heard_by_worker(b"\x0e\0\0\0{\"protocol\":0}");
    assert_eq!(ended.code, 102, "{ended}");
    assert!(ended.stderr.contains("there is flowhost ? with ? on ? (protocol 0)"), "{ended}");
}

/// A run whose children are a script that writes `said` and, with `ends`, closes its end. Beside it an attempt
/// runs in-process.
struct BadWorker {
    place: Place,
    ended: Ended,
}

impl BadWorker {
    fn run(said: &[u8], ends: bool) -> Self {
        let (place, gate) = (Place::new(), Gate::closed());
        place.guest("reach").guest("failing").file(
            "workflow.toml",
            format!(
                r#"
                [components]
                reach = "reach.wasm"
                failing = "failing.wasm"
                [tasks.first]
                {}
                [tasks.beside]
                run = "failing#sleep"
                with = {{ ms = 1_000 }}
                [tasks.sent]
                run = "failing#sleep"
                with = {{ ms = 1 }}
                executor = "process"
                after = ["first"]
                [tasks.other]
                run = "failing#sleep"
                with = {{ ms = 1 }}
                after = ["first"]
                "#,
                gate.task()
            ),
        );
        let (mut command, program) = moved(&place);
        let mut running = Running::start(command.env_remove("FLOWHOST_EXECUTOR"));
        running.until("attempt-started");
        let (said_at, count) = (place.path().join("said"), place.path().join("count"));
        fs::write(&said_at, said).unwrap();
        let script = place.path().join("script");
        let close = if ends { "exec >&-" } else { "" };
        // What a child says on its stderr is shown where it ends.
        let text = format!(
            "#!/bin/sh\necho >>'{}'\nprintf 'last \\033[2J\\342\\200\\256words\\n' >&2\ncat '{}'\n{close}\nwhile read -r heard; do :; done\nexit 0\n",
            count.display(),
            said_at.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        fs::rename(script, program).unwrap();
        gate.open();
        let before = most_memory(running.child.id());
        let events = running.lines_aside(Arc::default());
        let (mut most, began) = (0, Instant::now());
        while running.child.try_wait().unwrap().is_none() {
            most = most.max(most_memory(running.child.id()));
            assert!(began.elapsed() < Duration::from_secs(60), "the run does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(most <= before + TAKEN, "it took {} MiB instead of {}", most >> 20, before >> 20);
        let code = running.child.wait().unwrap().code().unwrap_or(-1);
        let ended = Ended { code, stdout: String::new(), stderr: events.join().unwrap().join("\n") };
        Self { place, ended }
    }

    /// How the one attempt ended that was for a child, and that what was beside it did not mind.
    fn outcome(&self) -> (String, String) {
        let mut found = None;
        for line in self.ended.stderr.lines().filter(|line| line.contains("\"task-ended\"")) {
            let event: Value = serde_json::from_str(line).unwrap();
            let outcome = event["outcome"].as_str().unwrap().to_owned();
            match event["task"].as_str().unwrap() {
                "sent" => found = Some((outcome, event["error"].as_str().unwrap_or_default().to_owned())),
                other => assert_eq!(outcome, "succeeded", "{other}: {}", self.ended),
            }
        }
        found.unwrap_or_else(|| panic!("it did not end: {}", self.ended))
    }

    /// How often a child was started.
    fn started(&self) -> usize {
        self.place.read("count").lines().count()
    }
}

fn opening(hello: &Hello) -> Vec<u8> {
    [&MAGIC[..], &greeting(hello)].concat()
}

fn of_child() -> Hello {
    Hello { capacity: Some((1, 64)), ..Hello::of("any") }
}

#[test]
fn p1_a_run_drops_a_worker_that_makes_no_sense() {
    for (name, bytes, says) in nonsense() {
        let bad = BadWorker::run(&[opening(&of_child()), bytes].concat(), true);
        let (outcome, error) = bad.outcome();
        assert_eq!((bad.ended.code, outcome.as_str()), (100, "lost"), "{name}: {}", bad.ended);
        // Where the connection only ended, how the child did says more.
        let says =
            if says.contains("connection ended") { "child process ended with exit code 0" } else { says };
        assert!(error.contains(says), "{name} does not say `{says}`: {error}");
        assert!(bad.started() > 1, "{name}: it was not tried again");
    }
}

#[test]
fn p1_what_never_says_that_it_is_a_worker_is_out_of_reach() {
    for bytes in
        [&b"Welcome to the machine \x1b[2J\n"[..], &[0; 70 << 10], &[&MAGIC[..], &[0xff; 64]].concat()]
    {
        let bad = BadWorker::run(bytes, true);
        assert_eq!(bad.ended.code, 102, "{}", bad.ended);
        assert!(bad.ended.stderr.contains("executor `process` cannot be reached"), "{}", bad.ended);
        assert_eq!(harmful(&bad.ended.stderr), None, "{:?}", bad.ended.stderr);
    }
}

#[test]
fn p2_a_run_refuses_a_worker_of_another_protocol_once_and_names_both() {
    let bad = BadWorker::run(&opening(&other_protocol()), false);
    assert_eq!(bad.ended.code, 102, "{}", bad.ended);
    for part in ["flowhost 9.9.9", "wasmtime 99", "protocol 1", "protocol 2", env!("CARGO_PKG_VERSION")] {
        assert!(bad.ended.stderr.contains(part), "{part}: {}", bad.ended);
    }
    assert_eq!(bad.started(), 1, "it was tried again");
    assert_eq!(harmful(&bad.ended.stderr), None, "{:?}", bad.ended.stderr);
}

#[test]
fn p5_what_a_worker_says_of_itself_is_shown_harmlessly() {
    let outbox = Outbox::default();
    let message = "\u{1b}[2J\u{202e}unconfined\r".to_owned();
    let warning = Said::Warning { kind: flowhost::model::Warning::Unconfined, message };
    outbox.to_client(FromWorker::Said(vec![warning])).unwrap();
    outbox.finish();
    let mut said = Vec::new();
    let threads = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    threads.block_on(pump(&mut said, &outbox)).unwrap();
    let bad = BadWorker::run(&[opening(&of_child()), said, frame(200, &[])].concat(), true);
    let (outcome, error) = bad.outcome();
    assert_eq!(outcome, "lost", "{}", bad.ended);
    assert!(error.contains("words") && error.contains("1b}[2J"), "its last words are shown: {error}");
    assert!(bad.ended.stderr.contains("unconfined"), "{}", bad.ended);
    assert_eq!(harmful(&bad.ended.stderr), None, "{:?}", bad.ended.stderr);
}

on_every_executor! {
    p4_what_is_compressed_stays_so
}

/// There is nothing that a small input could be expanded by: components, values, frames and bodies of HTTP are
/// taken as they are.
fn p4_what_is_compressed_stays_so(executor: &str) {
    let place = Place::on(executor);
    let server = Server::http();
    place.guest("fetch").file("bomb.bin", vec![0; 1 << 20]);
    assert!(Command::new("gzip").arg("-k").arg(place.path().join("bomb.bin")).status().unwrap().success());
    place.file("packed.wasm", fs::read(place.path().join("bomb.bin.gz")).unwrap());
    let refused = place.flowhost(["inspect", "packed.wasm"]);
    assert!(refused.code == 2 && refused.stderr.contains("it is not WebAssembly"), "{refused}");
    place.file(
        "workflow.toml",
        format!(
            r#"
            [components]
            fetch = "fetch.wasm"
            [tasks.get]
            run = "fetch#get"
            with = {{ url = "{0}/packed" }}
            grants = {{ http = ["{0}"] }}
            [outputs]
            got = "${{get}}"
            "#,
            server.origin()
        ),
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!((ended.code, ended.json()["got"]["body"].as_str()), (0, Some("hello")), "{ended}");
}
