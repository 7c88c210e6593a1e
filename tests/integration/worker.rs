//! `flowhost worker --stdio`, as anybody's client finds it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use flowhost::digest::Digest;
use flowhost::id::{AttemptId, BranchId, NodeId, RunId};
use flowhost::model::{
    Call, Cause, Directory, Entry, Limits, MIB, Outcome, Signature, Trace, TraceParent, Type, Value,
};
use flowhost::wire::{
    FromWorker, Hello, Outbox, Payload, Place as At, Receiver, Said, Shared, Start, ToWorker, answer, encode,
    pump,
};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Place, guest};
use crate::tracing::Collector;

fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

fn id(index: u32) -> AttemptId {
    AttemptId { branch: BranchId { node: NodeId(0), index }, number: 1 }
}

/// A call of a function of a guest.
fn call(guest: &[u8], function: &str, parameters: &[Type], result: Type) -> Call {
    let parameters = parameters.iter().map(|ty| ("p".into(), ty.clone())).collect();
    Call {
        component: Digest::of(guest),
        entry: match function.rsplit_once('.') {
            Some((interface, name)) => {
                Entry::Function { interface: Some(interface.into()), name: name.into() }
            }
            None => Entry::Function { interface: None, name: function.into() },
        },
        signature: Arc::new(Signature { parameters, result }),
        limits: Limits::default(),
        directories: Vec::new(),
        environment: Vec::new(),
        net: [].into(),
        http: [].into(),
        deterministic: None,
        run: RunId("run".into()),
        task: "task".into(),
        group: None,
        count: 1,
        allowed: None,
        trace: None,
    }
}

/// A client with its worker.
struct Client {
    worker: Child,
    receiver: Receiver<ChildStdout>,
    outbox: Arc<Outbox>,
    hello: Hello,
    wasm: Vec<u8>,
}

impl Client {
    async fn start(place: &Place, name: &str, arguments: &[&str]) -> Self {
        Self::within(place, name, arguments, &[]).await
    }

    /// The same, with variables in its environment.
    async fn within(place: &Place, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::from(place.command(["worker", "--stdio"]));
        command.envs(variables.iter().copied());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut worker = command.spawn().unwrap();
        let mut to = worker.stdin.take().unwrap();
        let ours = Hello::of("any");
        let (receiver, hello) = answer(worker.stdout.take().unwrap(), &mut to, &ours).await.unwrap();
        let outbox = Arc::new(Outbox::default());
        let sent = Arc::clone(&outbox);
        tokio::spawn(async move { pump(to, &sent).await });
        Self { worker, receiver, outbox, hello, wasm: std::fs::read(guest(name)).unwrap() }
    }

    fn start_attempt(&self, index: u32, call: &Call, arguments: &[Value]) {
        let types = call.signature.parameters.iter().map(|(_, ty)| ty);
        let arguments = encode(arguments, types).unwrap();
        self.outbox.to_worker(ToWorker::Call { number: index, call: Arc::new(call.clone()) }).unwrap();
        let attempts =
            vec![Start { id: id(index), call: index, iteration: 1, arguments, shared: Vec::new() }];
        self.outbox.to_worker(ToWorker::Start { attempts }).unwrap();
    }

    /// The end of an attempt whose value has this type. Components that are asked for are sent.
    async fn outcome(&mut self, index: u32, ty: &Type) -> Outcome {
        loop {
            match self.receiver.of_worker().await.unwrap().unwrap() {
                FromWorker::NeedComponent { component } => {
                    let wasm = Payload::of(vec![self.wasm.clone().into()]);
                    self.outbox.to_worker(ToWorker::Component { component, wasm, packed: None }).unwrap();
                }
                FromWorker::Said(said) => {
                    for one in said {
                        if let Said::Finished { id: ended, ended: how, .. } = one
                            && ended == id(index)
                        {
                            return how.into_outcome(ty).unwrap();
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_worker_asks_for_a_component_once_and_executes_it() {
    let place = Place::new();
    now(async {
        let mut client = Client::start(&place, "echo", &[]).await;
        assert!(client.hello.capacity.is_some_and(|(slots, _)| slots >= 16), "{:?}", client.hello);
        let call = call(&client.wasm, "echo-u32", &[Type::U32], Type::U32);
        for index in 0..3 {
            client.start_attempt(index, &call, &[Value::U32(index)]);
            assert_eq!(client.outcome(index, &Type::U32).await, Outcome::Succeeded(Value::U32(index)));
        }
        client.outbox.finish();
        assert!(client.worker.wait().await.unwrap().success());
    });
}

#[test]
fn what_a_worker_executes_it_tells_within_the_attempt() {
    let (place, collector) = (Place::new(), Collector::start());
    now(async {
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
        let mut client = Client::within(&place, "echo", &[], &variables).await;
        let parent: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        let untraced = call(&client.wasm, "echo-u32", &[Type::U32], Type::U32);
        let unsampled = Trace { sampled: false, ..parent.trace };
        for (index, trace) in (0..).zip([None, Some(unsampled), Some(parent.trace)]) {
            let call = Call { trace, ..untraced.clone() };
            client.start_attempt(index, &call, &[Value::U32(index)]);
            assert_eq!(client.outcome(index, &Type::U32).await, Outcome::Succeeded(Value::U32(index)));
        }
        client.outbox.finish();
        assert!(client.worker.wait().await.unwrap().success());
        let (trace, span) = (parent.trace.id.to_string(), parent.trace.of_attempt(id(2)).span.to_string());
        assert_eq!(collector.spans(), [("execute task".to_owned(), 2, trace, span)]);
    });
}

#[test]
fn p3_a_component_under_another_digest_is_refused() {
    let place = Place::new();
    now(async {
        let mut client = Client::start(&place, "echo", &["--workdir", "work"]).await;
        let call = call(&client.wasm, "echo-u32", &[Type::U32], Type::U32);
        // What comes for it are the bytes of the other. The next one who asks is sent them anew.
        let other = Call { component: Digest::of(b"other"), ..call.clone() };
        for index in 0..2 {
            client.start_attempt(index, &other, &[Value::U32(0)]);
            let Outcome::Rejected { reason } = client.outcome(index, &Type::U32).await else {
                panic!("accepted")
            };
            assert!(reason.contains(&format!("{} and not {}", call.component, other.component)), "{reason}");
        }
        // A flipped bit is refused, and what is sent after it is looked at anew.
        let flip = |wasm: &mut Vec<u8>| *wasm.last_mut().unwrap() ^= 1;
        flip(&mut client.wasm);
        client.start_attempt(2, &call, &[Value::U32(2)]);
        assert!(matches!(client.outcome(2, &Type::U32).await, Outcome::Rejected { .. }));
        flip(&mut client.wasm);
        client.start_attempt(3, &call, &[Value::U32(3)]);
        assert_eq!(client.outcome(3, &Type::U32).await, Outcome::Succeeded(Value::U32(3)));
    });
}

#[test]
fn w5_what_is_above_the_ceiling_is_rejected() {
    let place = Place::new();
    place.file("data/inside.txt", "inside").file("outside.txt", "outside");
    std::os::unix::fs::symlink("../outside.txt", place.path().join("data/link.txt")).unwrap();
    let bound = format!("read=shared={}", place.path().join("data").display());
    now(async {
        let arguments = [
            "--allow",
            &bound,
            "--allow",
            "net=10.0.0.0/8:1-100",
            "--max-memory",
            "64MiB",
            "--max-timeout",
            "2s",
        ];
        let mut client = Client::start(&place, "reach", &arguments).await;
        let said = client.hello.ceiling.clone().unwrap();
        assert_eq!(
            (said.directories, said.memory, said.timeout),
            (vec!["shared".to_owned()], 64 * MIB, 2_000)
        );
        let result = Type::Result { ok: Some(Arc::new(Type::String)), err: Some(Arc::new(Type::String)) };
        let limits = Limits { memory: 64 * MIB, ..Limits::default() };
        let read = Call {
            limits: limits.clone(),
            ..call(&client.wasm, "example:reach/reaching@0.1.0.read", &[Type::String], result)
        };
        let directory = |path: &str, write| Directory { path: path.into(), guest: "d".into(), write };
        let refused = [
            ("directory `other`", Call { directories: vec![directory("other", false)], ..read.clone() }),
            (
                "write to the directory `shared`",
                Call { directories: vec![directory("shared", true)], ..read.clone() },
            ),
            ("`10.0.0.0/7:80`", Call { net: ["10.0.0.0/7:80".parse().unwrap()].into(), ..read.clone() }),
            (
                "`https://a.example",
                Call { http: ["https://a.example".parse().unwrap()].into(), ..read.clone() },
            ),
            ("variable `KEY`", Call { environment: vec![("KEY".into(), "v".into())], ..read.clone() }),
            ("memory", Call { limits: Limits { memory: 65 * MIB, ..limits.clone() }, ..read.clone() }),
            (
                "timeout",
                Call {
                    limits: Limits { timeout: Some(Duration::from_secs(3)), ..limits.clone() },
                    ..read.clone()
                },
            ),
        ];
        for (index, (part, call)) in (0..).zip(refused) {
            client.start_attempt(index, &call, &[Value::string("d/inside.txt")]);
            match client.outcome(index, &Type::String).await {
                Outcome::Rejected { reason } => {
                    assert!(reason.contains("ceiling") && reason.contains(part), "{part}: {reason}");
                }
                other => panic!("{part}: {other:?}"),
            }
        }
        let granted = Call { directories: vec![directory("shared", false)], ..read };
        client.start_attempt(100, &granted, &[Value::string("d/inside.txt")]);
        assert_eq!(client.outcome(100, &Type::String).await, Outcome::Succeeded(Value::string("inside")));
        client.start_attempt(101, &granted, &[Value::string("d/link.txt")]);
        assert!(matches!(client.outcome(101, &Type::String).await, Outcome::Failed { .. }));
        // What names no timeout has the ceiling's.
        let nap = Call {
            limits,
            ..call(&client.wasm, "example:reach/reaching@0.1.0.sleep", &[Type::U64], Type::U64)
        };
        client.start_attempt(102, &nap, &[Value::U64(60_000)]);
        let after = Duration::from_secs(2);
        assert_eq!(client.outcome(102, &Type::U64).await, Outcome::TimedOut { after });
    });
}

#[test]
fn a_worker_stops_what_is_cancelled_and_ends_with_its_client() {
    let place = Place::new();
    now(async {
        let mut client = Client::start(&place, "reach", &[]).await;
        let nap = call(&client.wasm, "example:reach/reaching@0.1.0.sleep", &[Type::U64], Type::U64);
        client.start_attempt(0, &nap, &[Value::U64(1)]);
        client.outcome(0, &Type::U64).await;
        client.start_attempt(1, &nap, &[Value::U64(60_000)]);
        client.outbox.to_worker(ToWorker::Cancel { ids: vec![id(1)], cause: Cause::Sibling }).unwrap();
        // It may not have begun: then it is returned, and no outcome comes.
        client.start_attempt(2, &nap, &[Value::U64(60_000)]);
        client.outbox.finish();
        let began = std::time::Instant::now();
        client.worker.wait().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    });
}

#[test]
fn a_worker_says_what_is_wrong_with_how_it_is_started() {
    let place = Place::new();
    let started = |arguments: &[&str]| {
        let mut command = place.command(["worker", "--stdio"]);
        crate::support::ended(command.args(arguments).stdin(Stdio::null()))
    };
    // Its client was gone before it said anything.
    let ended = started(&[]);
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{ended}");
    for (arguments, part) in [
        (&["--allow", "read=data=/nonexistent"][..], "the directory `data` is `/nonexistent`"),
        (&["--allow", "read=a=/tmp", "--allow", "read=a=/etc"], "two directories are called `a`"),
        (&["--max-timeout", "0s"], "no time"),
        (&["--max-memory", "1B"], "1 bytes of memory"),
    ] {
        let ended = started(arguments);
        assert!(ended.code == 2 && ended.stderr.contains(part), "{arguments:?}: {ended}");
    }
    // A file comes before flags, which says so.
    place.file("config/flowhost/worker.toml", "max-memory = \"1MiB\"");
    let mut command = place.command(["worker", "--stdio", "--max-memory", "2MiB"]);
    command.env("XDG_CONFIG_HOME", place.path().join("config")).stdin(Stdio::null());
    let ended = crate::support::ended(&mut command);
    assert!(ended.code == 0 && ended.stderr.contains("worker.toml` bounds this worker"), "{ended}");
}

#[test]
fn p1_what_makes_no_sense_ends_the_worker() {
    let place = Place::new();
    let part = |at, length, place| Shared { at, length, number: 0, place };
    // A call that is not there, and shared parts that are not, or lie elsewhere than in the arguments.
    for (number, shared) in [
        (9, None),
        (0, Some(part(0, 5, At::Kept))),
        (0, Some(part(0, u64::MAX, At::Here))),
        (0, Some(part(u64::MAX, 1, At::Here))),
        (0, Some(part(u64::MAX, 1, At::Kept))),
        (0, Some(part(0, 5, At::Packed(4)))),
        (0, Some(part(0, u64::MAX, At::Packed(u64::MAX)))),
    ] {
        now(async {
            let mut client = Client::start(&place, "echo", &[]).await;
            let call = Arc::new(call(&client.wasm, "echo-u32", &[Type::U32], Type::U32));
            client.outbox.to_worker(ToWorker::Call { number: 0, call }).unwrap();
            let arguments = encode(&[Value::U32(1)], [&Type::U32]).unwrap();
            let shared = shared.into_iter().collect();
            let attempts = vec![Start { id: id(0), call: number, iteration: 1, arguments, shared }];
            client.outbox.to_worker(ToWorker::Start { attempts }).unwrap();
            assert_eq!(client.worker.wait().await.unwrap().code(), Some(1), "{number}");
        });
    }
}

#[test]
fn a_part_that_attempts_have_in_common_is_sent_once() {
    let place = Place::new();
    now(async {
        let mut client = Client::start(&place, "echo", &[]).await;
        let call = call(&client.wasm, "echo-bytes", &[Type::bytes()], Type::bytes());
        client.outbox.to_worker(ToWorker::Call { number: 0, call: Arc::new(call) }).unwrap();
        let large = Value::Bytes(vec![7; 200_000].into());
        let mut pieces = encode(std::slice::from_ref(&large), [&Type::bytes()]).unwrap().into_pieces();
        let (before, part) = (pieces.next().unwrap(), pieces.next().unwrap());
        let shared = |place| Shared { at: before.len() as u64, length: part.len() as u64, number: 4, place };
        let start = |index, arguments, place| ToWorker::Start {
            attempts: vec![Start {
                id: id(index),
                call: 0,
                iteration: 1,
                arguments,
                shared: vec![shared(place)],
            }],
        };
        let first = Payload::of(vec![before.clone(), part.clone()]);
        client.outbox.to_worker(start(0, first, At::Here)).unwrap();
        assert_eq!(client.outcome(0, &Type::bytes()).await, Outcome::Succeeded(large.clone()));
        for index in [1, 2] {
            let rest = Payload::of(vec![before.clone()]);
            client.outbox.to_worker(start(index, rest, At::Kept)).unwrap();
            assert_eq!(client.outcome(index, &Type::bytes()).await, Outcome::Succeeded(large.clone()));
        }
        // The same, packed.
        let packed = zstd::bulk::compress(&part, 1).unwrap();
        let length = packed.len() as u64;
        let rest = Payload::of(vec![before.clone(), packed.into()]);
        client.outbox.to_worker(start(4, rest, At::Packed(length))).unwrap();
        assert_eq!(client.outcome(4, &Type::bytes()).await, Outcome::Succeeded(large.clone()));
        // What was forgotten is not there.
        client.outbox.to_worker(ToWorker::ForgetShared { numbers: vec![4] }).unwrap();
        client.outbox.to_worker(start(3, Payload::of(vec![before.clone()]), At::Kept)).unwrap();
        assert_eq!(client.worker.wait().await.unwrap().code(), Some(1));
    });
}

#[test]
fn p4_a_component_that_came_packed_is_what_it_says_or_refused() {
    let place = Place::new();
    now(async {
        let mut client = Client::start(&place, "echo", &["--workdir", "work"]).await;
        let call = call(&client.wasm, "echo-u32", &[Type::U32], Type::U32);
        let short = zstd::bulk::compress(&client.wasm, 3).unwrap();
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        let length = client.wasm.len() as u64;
        for (index, (bytes, packed, part)) in [
            (b"garbage".to_vec(), length, "cannot be unpacked"),
            (short[..short.len() / 2].to_vec(), length, "cannot be unpacked"),
            (short.clone(), length - 1, "cannot be unpacked"),
            (bomb.clone(), 1 << 20, "cannot be unpacked"),
            (bomb, 64 << 20, "and not sha256:"),
            (short, length, ""),
        ]
        .into_iter()
        .enumerate()
        {
            let index = index as u32;
            client.start_attempt(index, &call, &[Value::U32(index)]);
            let asked = client.receiver.of_worker().await.unwrap().unwrap();
            assert_eq!(asked, FromWorker::NeedComponent { component: call.component });
            let wasm = Payload::of(vec![bytes.into()]);
            let packed = Some(packed);
            client.outbox.to_worker(ToWorker::Component { component: call.component, wasm, packed }).unwrap();
            match client.outcome(index, &Type::U32).await {
                Outcome::Rejected { reason } if !part.is_empty() => {
                    assert!(reason.contains(part), "{reason}");
                }
                outcome => assert_eq!(outcome, Outcome::Succeeded(Value::U32(index)), "{part}"),
            }
        }
        // The next worker has it.
        let mut next = Client::start(&place, "echo", &["--workdir", "work"]).await;
        next.start_attempt(0, &call, &[Value::U32(9)]);
        let said = next.receiver.of_worker().await.unwrap().unwrap();
        assert!(matches!(said, FromWorker::Said(_)), "{said:?}");
    });
}
