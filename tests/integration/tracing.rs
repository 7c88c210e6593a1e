//! Traces: what is handed on, and what a collector hears of a run over several processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flowhost::model::{SpanId, TraceParent};
use flowhost_tests::Redis;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Ended, Place, ended, ended_within};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What is told of a span, with what is told of who tells it.
#[derive(Clone, Debug)]
struct Told {
    service: String,
    process: String,
    span: Span,
}

/// A collector on a free port. It hears what is said by OTLP over HTTP in protobuf.
pub(crate) struct Collector {
    pub(crate) url: String,
    told: Arc<Mutex<Vec<Told>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

fn of(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|one| one.key == name);
    match found.and_then(|one| one.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(other) => panic!("{name}: {other:?}"),
        None => String::new(),
    }
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, heads) = <(Arc<Mutex<Vec<Told>>>, Arc<Mutex<Vec<String>>>)>::default();
        let (hears, reads) = (Arc::clone(&told), Arc::clone(&heads));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (head, body) = request(&stream);
                let request = ExportTraceServiceRequest::decode(&*body).unwrap();
                let mut told = hears.lock().unwrap();
                for spans in request.resource_spans {
                    let about = spans.resource.unwrap().attributes;
                    let (service, process) = (of(&about, "service.name"), of(&about, "process.pid"));
                    for span in spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                        told.push(Told { service: service.clone(), process: process.clone(), span });
                    }
                }
                reads.lock().unwrap().push(head);
                // Only now: who has its answer may end, and then all that was told is looked at.
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        });
        Self { url, told, heads }
    }

    /// Names, kinds, ids of traces and ids of parents of all that it was told so far.
    pub(crate) fn spans(&self) -> Vec<(String, i32, String, String)> {
        let all = self.told().into_iter().map(|told| told.span);
        all.map(|span| (span.name, span.kind, hex(&span.trace_id), hex(&span.parent_span_id))).collect()
    }

    /// All that it was told so far.
    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

/// A request: its head and its body.
fn request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut from = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(from.read_line(&mut head).unwrap(), 0, "no whole head: {head}");
    }
    let length = head.to_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap().lines().next().unwrap().trim();
    let mut body = vec![0; length.parse().unwrap()];
    from.read_exact(&mut body).unwrap();
    (head, body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A worker that takes attempts from Redis one at a time, and is ready.
struct Worker(Child);

impl Worker {
    fn start(place: &Place, server: &Redis, variables: &[(&str, &str)]) -> Self {
        let mut command = place.command(["worker", "--redis", &server.url(), "--log", "json"]);
        command.args(["--concurrency", "1"]).envs(variables.iter().copied()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains(r#""event":"ready""#)), "it ended and was never ready");
        // Nobody reads what else it says; its pipe must not fill.
        thread::spawn(move || said.for_each(drop));
        Self(child)
    }

    /// Asks it to end, and waits until it has told all that it knows.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A group of six naps on Redis, and a task behind it in this process.
const FLEET: &str = r#"
    [components]
    echo = "echo.wasm"
    failing = "failing.wasm"
    [tasks.nap]
    run = "failing#sleep"
    with = { ms = 300 }
    executor = "redis"
    [groups.naps]
    task = "nap"
    for-each = { range = [0, 6] }
    [tasks.answer]
    run = "echo#answer"
    after = ["naps"]
    [outputs]
    answer = "${answer}"
"#;

fn fleet() -> Place {
    let place = Place::new();
    place.guest("echo").guest("failing").file("workflow.toml", FLEET);
    place
}

fn run(place: &Place, words: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = place.command(["run", "workflow.toml", "--no-cache"]);
    ended(command.args(words).envs(variables.iter().copied()))
}

/// Those of one kind: 1 internal, 2 server, 3 client.
fn of_kind(told: &[Told], kind: i32) -> Vec<&Told> {
    told.iter().filter(|told| told.span.kind == kind).collect()
}

/// Holds what was told of a run of [`FLEET`] to be one trace, and returns the run's own span.
fn one_trace(told: &[Told]) -> Span {
    let trace = &told[0].span.trace_id;
    assert!(told.iter().all(|told| told.span.trace_id == *trace && told.service == "naps"), "{told:#?}");
    let runs: Vec<_> = of_kind(told, 1).into_iter().filter(|told| told.span.name == "run").collect();
    assert_eq!(runs.len(), 1, "{told:#?}");
    let (attempts, executed) = (of_kind(told, 3), of_kind(told, 2));
    assert_eq!((attempts.len(), executed.len()), (7, 6), "{told:#?}");
    for attempt in &attempts {
        let parent = told.iter().find(|told| told.span.span_id == attempt.span.parent_span_id).unwrap();
        let around = if attempt.span.name == "attempt nap" { "naps" } else { "answer" };
        assert_eq!((&*parent.span.name, parent.span.kind), (around, 1));
        assert_eq!(parent.span.parent_span_id, runs[0].span.span_id);
        assert_eq!(of(&attempt.span.attributes, "flowhost.outcome"), "succeeded");
        assert!(attempt.span.start_time_unix_nano >= parent.span.start_time_unix_nano, "{told:#?}");
        assert!(attempt.span.end_time_unix_nano <= runs[0].span.end_time_unix_nano, "{told:#?}");
    }
    let mut parents: Vec<_> = executed.iter().map(|one| one.span.parent_span_id.clone()).collect();
    parents.sort();
    let naps = attempts.iter().filter(|attempt| attempt.span.name == "attempt nap");
    let mut naps: Vec<_> = naps.map(|attempt| attempt.span.span_id.clone()).collect();
    naps.sort();
    assert_eq!(parents, naps, "what workers executed are the attempts, each once");
    for one in executed {
        let attempt =
            attempts.iter().find(|attempt| attempt.span.span_id == one.span.parent_span_id).unwrap();
        assert_ne!(one.process, attempt.process);
        for name in ["flowhost.index", "flowhost.attempt", "flowhost.worker", "flowhost.outcome"] {
            let [here, there] = [one, attempt].map(|told| of(&told.span.attributes, name));
            assert!(!here.is_empty() && here == there, "{name}: {told:#?}");
        }
        assert!(one.span.end_time_unix_nano - one.span.start_time_unix_nano >= 300_000_000, "{one:#?}");
    }
    runs[0].span.clone()
}

#[test]
fn one_run_over_two_workers_is_one_trace() {
    let (server, collector, place) = (Redis::start(&[]), Collector::start(), fleet());
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue"),
        ("OTEL_SERVICE_NAME", "naps"),
    ];
    let workers = [(); 2].map(|()| Worker::start(&place, &server, &variables));
    let ran = run(&place, &["--redis", &server.url()], &variables);
    assert_eq!((ran.code, ran.json()), (0, json!({ "answer": 42 })), "{ran}");
    variables.push(("TRACEPARENT", PARENT));
    let handed = run(&place, &["--redis", &server.url()], &variables);
    assert_eq!(handed.code, 0, "{handed}");
    workers.into_iter().for_each(Worker::stop);
    let told = collector.told();
    let of_trace = |handed: bool| -> Vec<Told> {
        let here = |told: &&Told| (hex(&told.span.trace_id) == TRACE) == handed;
        told.iter().filter(here).cloned().collect()
    };
    let alone = one_trace(&of_trace(false));
    assert!(alone.parent_span_id.is_empty(), "{alone:#?}");
    let handed = one_trace(&of_trace(true));
    assert_eq!(hex(&handed.parent_span_id), "b7ad6b7169203331");
    let mut processes: Vec<_> = of_kind(&told, 2).iter().map(|told| told.process.clone()).collect();
    processes.sort();
    processes.dedup();
    assert_eq!(processes.len(), 2, "both workers worked");
    let heads = collector.heads.lock().unwrap();
    let fits = |head: &String| head.starts_with("POST /v1/traces ") && head.contains("x-team: blue");
    assert!(heads.iter().all(fits), "{heads:?}");
}

#[tokio::test]
async fn what_is_queued_says_its_traceparent() {
    let (server, place) = (Redis::start(&[]), fleet());
    let mut command = place.command(["run", "workflow.toml", "--redis", &server.url()]);
    let mut child = command.env("TRACEPARENT", PARENT).stderr(Stdio::null()).spawn().unwrap();
    let keys = flowhost::queue::Keys::new("flowhost", flowhost::wire::PROTOCOL, "default").unwrap();
    let options = redis::streams::StreamReadOptions::default().block(0).count(100);
    let mut waiting = server.connect_async().await.unwrap();
    let read: redis::streams::StreamReadReply =
        redis::AsyncCommands::xread_options(&mut waiting, &[keys.tasks()], &["0"], &options).await.unwrap();
    let parent: TraceParent = PARENT.parse().unwrap();
    let entries = &read.keys[0].ids;
    assert!(!entries.is_empty());
    for entry in entries {
        let attempt: String = entry.get("attempt").unwrap();
        let mut numbers = attempt.split('.').map(|part| part.parse::<u32>());
        let mut number = || numbers.next().unwrap().unwrap();
        let branch = flowhost::id::BranchId { node: flowhost::id::NodeId(number()), index: number() };
        let id = flowhost::id::AttemptId { branch, number: number() };
        let said: TraceParent = entry.get::<String>("traceparent").unwrap().parse().unwrap();
        assert_eq!(said, TraceParent { span: SpanId::of_attempt(parent.trace.id, id), ..parent });
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Where nobody records a trace nothing is spent on it.
    let _: () = redis::cmd("FLUSHALL").query_async(&mut waiting).await.unwrap();
    let unsampled = PARENT.replace("-01", "-00");
    let mut command = place.command(["run", "workflow.toml", "--redis", &server.url()]);
    let mut child = command.env("TRACEPARENT", unsampled).stderr(Stdio::null()).spawn().unwrap();
    let read: redis::streams::StreamReadReply =
        redis::AsyncCommands::xread_options(&mut waiting, &[keys.tasks()], &["0"], &options).await.unwrap();
    assert_eq!(read.keys[0].ids[0].get::<String>("traceparent"), None);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A workflow with a task that fails once.
const FLAKY: &str = r#"
    [components]
    failing = "failing.wasm"
    [tasks.odd]
    run = "failing#fail-odd"
    with = { number = "${item}" }
    [groups.odds]
    task = "odd"
    for-each = { range = [0, 3] }
    on-failure = "continue"
"#;

fn flaky() -> Place {
    let place = Place::new();
    place.guest("failing").file("workflow.toml", FLAKY);
    place
}

/// The line of the journal that says under what a run runs.
fn recorded_trace(place: &Place) -> String {
    let runs = std::fs::read_dir(place.path().join(".flowhost/runs")).unwrap();
    let folder =
        runs.map(|run| run.unwrap().path()).find(|path| path.join("journal.jsonl").exists()).unwrap();
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    line["start"]["trace"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_that_goes_on_stays_in_its_trace() {
    let (collector, place) = (Collector::start(), flaky());
    let mut variables = vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.url.as_str())];
    let first = run(&place, &["--progress", "json"], &variables);
    assert_eq!(first.code, 100, "{first}");
    let before = collector.told();
    let trace = recorded_trace(&place);
    assert!(before.iter().all(|told| hex(&told.span.trace_id) == trace), "{before:#?}");
    let started: serde_json::Value = serde_json::from_str(first.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(started["trace"], json!(trace));
    let failed: Vec<_> = of_kind(&before, 3).into_iter().filter(|told| told.span.status.is_some()).collect();
    let failed: Vec<_> = failed.iter().filter(|told| told.span.status.as_ref().unwrap().code == 2).collect();
    assert_eq!(failed.len(), 1, "{before:#?}");
    assert_eq!(of(&failed[0].span.attributes, "error.type"), "failed");
    assert_eq!(before[0].service, "flowhost");
    variables.push(("TRACEPARENT", PARENT));
    let again = run(&place, &["--resume", "--retry-failed"], &variables);
    assert_eq!(again.code, 100, "{again}");
    let all = collector.told();
    let after = &all[before.len()..];
    assert!(after.iter().all(|told| hex(&told.span.trace_id) == trace), "{after:#?}");
    let attempts = of_kind(after, 3);
    assert_eq!(attempts.len(), 1, "{after:#?}");
    assert_eq!(of(&attempts[0].span.attributes, "flowhost.attempt"), "2");
    let ids: Vec<_> = all.iter().map(|told| &told.span.span_id).collect();
    assert!((0..ids.len()).all(|at| !ids[..at].contains(&ids[at])), "{all:#?}");
    // It is a part of the trace in which it began, and what it was resumed within is told beside that.
    let run = after.iter().find(|told| told.span.name == "run").unwrap();
    assert!(run.span.parent_span_id.is_empty(), "{run:#?}");
    assert_eq!(run.span.links.iter().map(|link| hex(&link.trace_id)).collect::<Vec<_>>(), [TRACE]);
}

#[test]
fn what_is_not_sampled_is_not_told() {
    let (collector, place) = (Collector::start(), flaky());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str());
    let unsampled = PARENT.replace("-01", "-00");
    let silent: [&[(&str, &str)]; 4] = [
        &[endpoint, ("TRACEPARENT", &unsampled)],
        &[endpoint, ("OTEL_SDK_DISABLED", "true")],
        &[endpoint, ("OTEL_TRACES_SAMPLER", "always_off"), ("TRACEPARENT", PARENT)],
        &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
    ];
    for variables in silent {
        let ran = run(&place, &["--progress", "none"], variables);
        assert_eq!(ran.code, 100, "{ran}");
        assert_eq!(collector.told().len(), 0, "{variables:?}");
    }
    let told = run(
        &place,
        &["--progress", "none"],
        &[endpoint, ("OTEL_TRACES_SAMPLER", "always_on"), ("TRACEPARENT", &unsampled)],
    );
    assert_eq!(told.code, 100, "{told}");
    assert_eq!(collector.told().len(), 5);
}

#[test]
fn what_makes_no_sense_is_said_and_changes_nothing() {
    let place = flaky();
    let wrong = [
        ("TRACEPARENT", "00-0000-00", "is no traceparent"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER is `zipkin`"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url", "no spans are exported"),
    ];
    for (name, value, said) in wrong {
        let ran = run(&place, &["--progress", "none"], &[(name, value)]);
        assert_eq!(ran.code, 100, "{ran}");
        let warnings = ran.stderr.lines().filter(|line| line.starts_with("warning: "));
        assert_eq!(warnings.filter(|line| line.contains(said)).count(), 1, "{name}: {ran}");
    }
}

#[test]
fn a_collector_that_is_away_or_asleep_changes_nothing() {
    let place = flaky();
    let plain = run(&place, &["--progress", "none"], &[]);
    // It takes connections and says nothing.
    let asleep = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, why) in
        [(closed, "Connection refused"), (asleep.local_addr().unwrap(), "did not take all of them in 5s")]
    {
        let mut command = place.command(["run", "workflow.toml", "--no-cache", "--progress", "none"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://user:pass-word@{address}"));
        let ran = ended_within(&mut command, Duration::from_secs(30)).expect("the collector held the run up");
        assert_eq!((ran.code, &ran.stdout), (plain.code, &plain.stdout), "{ran}");
        let warnings: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(why), "{ran}");
        assert!(!ran.stderr.contains("pass-word"), "{ran}");
    }
    // Few may wait for it: the others are dropped and counted.
    let mut command = place.command(["run", "workflow.toml", "--no-cache", "--progress", "none"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", asleep.local_addr().unwrap()));
    command.env("OTEL_BSP_MAX_QUEUE_SIZE", "1").env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
    let ran = ended_within(&mut command, Duration::from_secs(30)).expect("the collector held the run up");
    assert!(ran.code == 100 && ran.stderr.contains("OTEL_BSP_MAX_QUEUE_SIZE"), "{ran}");
}
