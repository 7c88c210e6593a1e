//! What a run tells of its channel, with an executor whose attempts add to a number and end.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use super::{Settings, Stopper, run};
use crate::channel::Memory;
use crate::digest::Digest;
use crate::executor::{BoxFuture, Capacity, Executor, Port, Report, Unreachable};
use crate::id::{AttemptId, BranchId, NodeId};
use crate::model::{
    Attempt, Cause, ChannelAnswer, ChannelAsk, Component, Entry, Event, Fact, Form, Group, Items, Kind,
    Merge, Node, Outcome, Policy, Signature, Split, Status, Task, Type, Usage, Value, Workflow,
};
use crate::report::{Interest, Reporter};

#[derive(Default)]
struct Adds(OnceLock<Port>);

impl Executor for Adds {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        assert!(self.0.set(port).is_ok());
        Box::pin(async { Ok(Capacity { slots: 4, ahead: 4 }) })
    }

    fn submit(&self, batch: Vec<Attempt>) {
        for attempt in batch {
            let port = self.0.get().unwrap().clone();
            tokio::spawn(async move {
                let id = attempt.id;
                let ask = ChannelAsk::Increment { key: "n".into(), by: 1 };
                port.channel().ask(id, ask).await.unwrap();
                let outcome = Outcome::Succeeded(Value::string(""));
                port.report([Report::Finished { id, outcome, usage: Usage::default(), worker: None }]);
                port.flush();
            });
        }
    }

    fn cancel(&self, _: &[AttemptId], _: Cause) {}
    fn announce_cancel(&self) {}
    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

pub(super) struct Keep(pub(super) Arc<Mutex<Vec<Event>>>, pub(super) Interest);

impl Reporter for Keep {
    fn interest(&self) -> Interest {
        self.1
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(events);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A group of so many branches.
pub(super) fn workflow(branches: i64) -> Workflow {
    let task = Task {
        name: "add".into(),
        component: 0,
        entry: Entry::Command { bytes: false },
        signature: Arc::new(Signature::command(false)),
        arguments: Vec::new(),
        policy: Policy::default(),
        flow: Default::default(),
    };
    let group = Group {
        form: Form::ForEach {
            task: Box::new(task),
            items: Items::Range { start: 0, end: branches },
            split: Split::Item,
        },
        concurrency: None,
        on_failure: Default::default(),
        policy: Default::default(),
        merge: Merge::Collect,
        max_branches: 1_000,
    };
    Workflow {
        executors: Vec::new(),
        name: "w".into(),
        digest: Digest::of(b""),
        folder: PathBuf::from("/"),
        root: PathBuf::from("/"),
        seed: 0,
        inputs: Vec::new(),
        components: vec![Component { alias: "c".into(), digest: Digest::of(b""), path: PathBuf::new() }],
        nodes: vec![Node {
            inside: None,
            name: "all".into(),
            section: Default::default(),
            after: [].into(),
            when: None,
            kind: Kind::Group(group),
            value: Type::list(Type::String),
        }],
        outputs: Vec::new(),
    }
}

async fn told(interest: Interest) -> Vec<Event> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let settings = Settings {
        executors: Adds::default().into(),
        reporters: vec![Box::new(Keep(Arc::clone(&events), interest))],
        environment: Arc::new(|_| None),
        caching: None,
        journal: None,
        stops: Stopper::new().1,
        trace: None,
    };
    let ended = run(Arc::new(workflow(100)), settings).await.unwrap();
    assert_eq!(ended.status, Status::Succeeded);
    std::mem::take(&mut *events.lock().unwrap())
}

#[tokio::test]
async fn changes_are_told_in_order_before_the_ends_of_those_who_made_them() {
    let events = told(Interest { writes: true, successes: true, ..Interest::default() }).await;
    let mut writes = Vec::new();
    let mut written = [false; 100];
    for event in &events {
        let index = event.place.as_ref().and_then(|place| place.index).unwrap_or_default() as usize;
        match &event.fact {
            Fact::ChannelWrite(write) => {
                writes.push((**write).clone());
                written[index] = true;
            }
            Fact::AttemptEnded { .. } => assert!(written[index], "{index} ended before its change was told"),
            _ => {}
        }
    }
    assert_eq!(writes.len(), 100);
    let again = Memory::restore(writes).unwrap().telling(None);
    let id = AttemptId { branch: BranchId { node: NodeId(0), index: 0 }, number: 1 };
    let number = again.ask(id, ChannelAsk::Get { key: "n".into() }).await;
    assert_eq!(number, Ok(ChannelAnswer::Value(Some("100".into()))));
}

#[tokio::test]
async fn changes_that_no_reporter_wants_are_not_told() {
    let events = told(Interest { successes: true, ..Interest::default() }).await;
    assert!(!events.iter().any(|event| matches!(event.fact, Fact::ChannelWrite(_))));
}
