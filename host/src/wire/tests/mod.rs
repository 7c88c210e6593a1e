//! The protocol as bytes, and what becomes of bytes that are none of it.

mod golden;
mod hostile;
mod round_trip;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::digest::Digest;
use crate::id::{AttemptId, BranchId, NodeId, RunId};
use crate::model::{
    self, Allowed, Call, Case, Cause, ChannelAnswer, ChannelAsk, ChannelError, Directory, Entry, Field, Host,
    Level, Limits, Metrics, Named, Origin, Parameter, Requests, Scheme, Signature, Startable, Stream, Then,
    Trace, TraceId, Type, Usage, Value, Warning,
};

fn id(index: u32, number: u32) -> AttemptId {
    AttemptId { branch: BranchId { node: NodeId(3), index }, number }
}

fn named<M>(members: impl IntoIterator<Item = M>) -> Arc<Named<M>> {
    Arc::new(Named { name: Some("t".into()), members: members.into_iter().collect() })
}

fn call() -> Arc<Call> {
    let parameter = Type::Record(named([
        Field { name: "a".into(), ty: Type::bytes() },
        Field { name: "b".into(), ty: Type::option(Type::F64) },
    ]));
    Arc::new(Call {
        component: Digest::of(b"component"),
        entry: Entry::Function { interface: Some("a:b/c@1.0.0".into()), name: "f".into() },
        signature: Arc::new(Signature {
            parameters: vec![("p".into(), parameter)],
            result: Type::Result { ok: Some(Arc::new(Type::String)), err: None },
        }),
        limits: Limits { timeout: Some(Duration::from_millis(1_500)), fuel: Some(300), ..Limits::default() },
        directories: vec![Directory { path: "data".into(), guest: "/d".into(), write: true }],
        environment: vec![("KEY".into(), "value".into())],
        net: ["10.0.0.0/8:5432".parse().unwrap()].into(),
        http: [Origin {
            scheme: Scheme::Https,
            host: Host::Address(IpAddr::from([127, 0, 0, 1])),
            port: 443,
        }]
        .into(),
        deterministic: Some(7),
        run: RunId("20260101-000000-abcdef".into()),
        task: "task".into(),
        group: None,
        count: 1,
        allowed: Some(Arc::new(Allowed {
            start: vec![Startable {
                task: "next".into(),
                parameters: vec![Parameter { name: "p".into(), ty: Type::U8, known: true }],
            }],
            itself: Vec::new(),
            iterations: 3,
            end: true,
            leave: false,
        })),
        trace: TraceId::from_bytes(*b"0123456789abcdef").map(|id| Trace { id, sampled: true }),
    })
}

fn usage() -> Usage {
    let mut metrics = Metrics::default();
    metrics.add("tokens", 2.5).unwrap();
    let next = vec![model::Start { task: "next".into(), arguments: "{}".into() }];
    let requests = Some(Box::new(Requests { next, then: Then::Iterates("{\"a\":1}".into()) }));
    Usage { wall: Duration::from_micros(1_234), peak_memory: 65_536, fuel: Some(9), metrics, requests }
}

/// One of each message to a worker, with its name.
fn to_worker() -> Vec<(&'static str, ToWorker)> {
    let arguments = encode(&[Value::U32(5)], [&Type::U32]).unwrap();
    vec![
        ("call", ToWorker::Call { number: 4, call: call() }),
        ("forget", ToWorker::Forget { calls: vec![4, 300] }),
        (
            "start",
            ToWorker::Start {
                attempts: vec![Start {
                    id: id(0, 1),
                    call: 4,
                    iteration: 1,
                    arguments,
                    shared: vec![Shared { at: 1, length: 300, number: 2, here: false }],
                }],
            },
        ),
        ("cancel", ToWorker::Cancel { ids: vec![id(0, 1), id(251, 2)], cause: Cause::Sibling }),
        ("drain", ToWorker::Drain),
        ("forget-shared", ToWorker::ForgetShared { numbers: vec![2, 300] }),
        ("give-back", ToWorker::GiveBack { ids: vec![id(0, 1), id(251, 2)] }),
        ("answer value", ToWorker::Answer { number: 0, answer: Ok(ChannelAnswer::Value(Some("v".into()))) }),
        ("answer done", ToWorker::Answer { number: 1, answer: Ok(ChannelAnswer::Done) }),
        ("answer whether", ToWorker::Answer { number: 2, answer: Ok(ChannelAnswer::Whether(true)) }),
        ("answer keys", ToWorker::Answer { number: 3, answer: Ok(ChannelAnswer::Keys(vec!["k".into()])) }),
        ("answer length", ToWorker::Answer { number: 4, answer: Ok(ChannelAnswer::Length(70_000)) }),
        ("answer number", ToWorker::Answer { number: 5, answer: Ok(ChannelAnswer::Number(-2)) }),
        ("answer error", ToWorker::Answer { number: 6, answer: Err(ChannelError::NotANumber) }),
        (
            "answer unavailable",
            ToWorker::Answer { number: 7, answer: Err(ChannelError::Unavailable("gone".to_owned())) },
        ),
        (
            "component",
            ToWorker::Component {
                component: Digest::of(b"component"),
                wasm: Payload::of(vec![Bytes::from_static(b"component")]),
                packed: Some(10),
            },
        ),
        (
            "refused",
            ToWorker::Refused {
                component: Digest::of(b"component"),
                settings: Some("ordinary ample".into()),
                reason: "no".to_owned(),
            },
        ),
    ]
}

/// One of each message from a worker, with its name.
fn from_worker() -> Vec<(&'static str, FromWorker)> {
    let text = |text: &str| Payload::text(text.to_owned());
    let finished = |ended| FromWorker::Said(vec![Said::Finished { id: id(0, 1), ended, usage: usage() }]);
    let ask = |ask| FromWorker::Ask { number: 1, from: id(0, 1), ask };
    let key: Arc<str> = "k".into();
    vec![
        ("need component", FromWorker::NeedComponent { component: Digest::of(b"component") }),
        (
            "need code",
            FromWorker::NeedCode {
                component: Digest::of(b"component"),
                settings: "deterministic scarce".into(),
            },
        ),
        ("started", FromWorker::Said(vec![Said::Started { id: id(0, 1) }])),
        (
            "log",
            FromWorker::Said(vec![Said::Log {
                id: id(0, 1),
                level: Level::Warn,
                stream: Stream::Log,
                message: text("line"),
                cut: false,
            }]),
        ),
        (
            "progress",
            FromWorker::Said(vec![Said::Progress {
                id: id(0, 1),
                done: 3,
                total: Some(9),
                message: Some(text("half")),
            }]),
        ),
        (
            "returned",
            FromWorker::Said(vec![Said::Returned { id: id(0, 1) }, Said::Returned { id: id(1, 1) }]),
        ),
        ("succeeded", finished(Ended::Succeeded(encode(&[Value::string("yes")], [&Type::String]).unwrap()))),
        ("failed", finished(Ended::Failed { message: text("why"), permanent: true })),
        ("trapped", finished(Ended::Trapped { message: text("trap") })),
        ("timed out", finished(Ended::TimedOut { after: Duration::from_millis(10) })),
        ("cancelled", finished(Ended::Cancelled { cause: Cause::Interrupted })),
        ("rejected", finished(Ended::Rejected { reason: "above".to_owned() })),
        ("lost", finished(Ended::Lost { reason: "bug".to_owned() })),
        (
            "warning",
            FromWorker::Said(vec![Said::Warning {
                kind: Warning::PoolTooSmall,
                message: "small".to_owned(),
            }]),
        ),
        ("ask get", ask(ChannelAsk::Get { key: key.clone() })),
        ("ask set", ask(ChannelAsk::Set { key: key.clone(), value: "v".into(), time_to_live: Some(1_000) })),
        ("ask delete", ask(ChannelAsk::Delete { key: key.clone() })),
        ("ask keys", ask(ChannelAsk::Keys { prefix: key.clone(), after: None })),
        ("ask append", ask(ChannelAsk::Append { key: key.clone(), value: "v".into() })),
        ("ask increment", ask(ChannelAsk::Increment { key: key.clone(), by: -3 })),
        (
            "ask compare and swap",
            ask(ChannelAsk::CompareAndSwap {
                key,
                expected: None,
                value: Some("v".into()),
                time_to_live: None,
            }),
        ),
    ]
}

/// The frames of a message.
fn frames<M: message::Message>(message: M) -> Vec<u8> {
    let outbox = Outbox::default();
    outbox.push(message).unwrap();
    let mut frames = Vec::new();
    while let Some(pieces) = outbox.next() {
        pieces.iter().for_each(|piece| frames.extend_from_slice(piece));
    }
    frames
}

/// A type with one of every kind of type in it.
fn every_type() -> Type {
    let named_texts = |texts: &[&str]| named(texts.iter().map(|text| Arc::<str>::from(*text)));
    let members = [
        Type::Bool,
        Type::S8,
        Type::U8,
        Type::S16,
        Type::U16,
        Type::S32,
        Type::U32,
        Type::S64,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::Char,
        Type::String,
        Type::bytes(),
        Type::list(Type::list(Type::U16)),
        Type::option(Type::option(Type::Bool)),
        Type::Result { ok: Some(Arc::new(Type::U8)), err: None },
        Type::Result { ok: None, err: Some(Arc::new(Type::String)) },
        Type::unit(),
        Type::Variant(named([
            Case { name: "with".into(), ty: Some(Type::U32) },
            Case { name: "without".into(), ty: None },
        ])),
        Type::Enum(named_texts(&["a", "b", "c"])),
        Type::Flags(named_texts(&["x", "y"])),
        Type::Flags(named((0..40).map(|at| Arc::from(format!("f{at}"))))),
    ];
    let field = |(at, ty)| Field { name: format!("m{at}").into(), ty };
    Type::Record(named(members.into_iter().enumerate().map(field)))
}
