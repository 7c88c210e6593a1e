//! The journal as a whole: what is written is read, wherever it is cut, and damage is named.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::writer::Sink;
use super::*;
use crate::digest::Digest;
use crate::id::RunId;
use crate::model::{
    self, ChannelChange, ChannelWrite, Counts, Ending, Executor, Level, Metrics, Requests, Status, Stream,
    Then, Trace, TraceId,
};

/// A disk that takes so many bytes and no more.
#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    room: usize,
    /// Whether what was begun can be taken back.
    cuts: bool,
}

impl io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= taken;
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        if !self.cuts {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.truncate(usize::try_from(length).unwrap());
        Ok(())
    }
}

pub(super) fn start() -> Start {
    Start {
        run: RunId("20260101-000000-abcdef".into()),
        flowhost_version: "0.1.0".into(),
        name: "name".into(),
        file: "/somewhere/workflow.toml".into(),
        workflow: Digest::of(b"file"),
        inside: String::new(),
        current: "/somewhere".into(),
        components: vec![("c".into(), Digest::of(b"component"))],
        given: vec![("text".into(), "\u{1b}\"\n".into())],
        inputs: vec![Given { name: "text".into(), value: "\u{1b}\"\n".into() }],
        environment: vec!["KEY".into()],
        nodes: vec![NodePrint { name: "n".into(), print: Digest::of(b"n") }],
        trace: TraceId::from_bytes([7; 16]).map(|id| Trace { id, sampled: true }),
    }
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![Just(Ending::Succeeded), Just(Ending::Failed), Just(Ending::Lost), Just(Ending::Cancelled)]
}

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![
        Just(Kept::None),
        Just(Kept::Inline(serde_json::Value::Null)),
        any::<String>().prop_map(|text| Kept::Inline(serde_json::json!({ "a": [text, 1.5, true] }))),
        any::<u8>().prop_map(|byte| Kept::Stored(Digest::of(&[byte]))),
        Just(Kept::Withheld),
        any::<u8>().prop_map(|byte| Kept::Digested(Digest::of(&[byte]))),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let text = || any::<String>().prop_map(Arc::<str>::from);
    let start = (text(), text()).prop_map(|(task, arguments)| model::Start { task, arguments });
    let then = prop_oneof![
        Just(Then::Ends),
        text().prop_map(Then::Iterates),
        text().prop_map(Then::GoesTo),
        Just(Then::Finishes),
        text().prop_map(Then::Aborts),
    ];
    let requests = (proptest::collection::vec(start, 0..3), then)
        .prop_map(|(next, then)| Asked::For(Box::new(Requests { next, then })));
    prop_oneof![4 => Just(Asked::Nothing), 4 => requests, 1 => Just(Asked::Withheld)]
}

fn figures(some: bool) -> Metrics {
    let mut metrics = Metrics::default();
    if some {
        metrics.add("tokens", 1.5).unwrap();
    }
    metrics
}

fn attempted() -> impl Strategy<Value = Attempted> {
    let text = || proptest::option::of(any::<String>().prop_map(Arc::<str>::from));
    let log = proptest::collection::vec(any::<String>(), 0..3);
    (any::<(u32, u32, u64)>(), endings(), text(), kept(), log, any::<bool>(), asked()).prop_map(
        |((index, number, small), ending, error, value, log, read, asked)| Attempted {
            node: "n\n".into(),
            index,
            number,
            ending,
            elapsed: Duration::from_micros(small),
            guest: Duration::from_micros(small / 2),
            peak_memory: small,
            fuel: read.then_some(small),
            metrics: figures(read),
            executor: if read { Executor::Process } else { Executor::default() },
            worker: read.then(|| "child 7".into()),
            cached: read,
            key: read.then(|| Box::new(KeyPrint::new([("seed", &Digest::of(b"0"))], []))),
            error,
            value,
            asked,
            files: if read {
                vec![FileRead { path: "a/b".into(), given: true, digest: Digest::of(b"x") }]
            } else {
                vec![]
            },
            log: log
                .into_iter()
                .map(|line| LogLine {
                    level: Level::Warn,
                    stream: Stream::Stderr,
                    message: line.into(),
                    cut: read,
                })
                .collect(),
        },
    )
}

fn records() -> impl Strategy<Value = Record> {
    let node = || Just(Arc::<str>::from("n"));
    let counts = any::<(u32, u32, u32)>().prop_map(|(succeeded, failed, cancelled)| Counts {
        succeeded: succeeded.into(),
        failed: failed.into(),
        cancelled: cancelled.into(),
        cached: 0,
    });
    prop_oneof![
        8 => attempted().prop_map(|attempted| Record::TaskEnded(Box::new(attempted))),
        2 => attempted().prop_map(|attempted| Record::AttemptEnded(Box::new(attempted))),
        1 => Just(Record::RunResumed(Box::new(start()))),
        1 => (node(), any::<u32>(), any::<bool>()).prop_map(|(node, branches, list)| Record::GroupStarted {
            node,
            branches,
            items: list.then(|| Digest::of(b"items"))
        }),
        1 => (node(), 0_u32..9, 10_u32..20).prop_map(|(node, from, to)| Record::Unstarted { node, from, to }),
        1 => (node(), counts.clone()).prop_map(|(node, counts)| Record::GroupEnded {
            node,
            status: Status::Failed,
            counts
        }),
        1 => (counts, any::<bool>())
            .prop_map(|(counts, stopped)| Record::RunEnded(RunEnd { status: Status::Cancelled, counts, stopped })),
        1 => (any::<u64>(), any::<Option<Vec<u8>>>(), any::<Option<u64>>()).prop_map(|(sequence, value, expires)| {
            let change = match value {
                Some(value) => ChannelChange::Set { value: value.into(), expires },
                None => ChannelChange::Delete,
            };
            let write = ChannelWrite { sequence, key: "k".into(), change };
            Record::ChannelWritten { sequence, write: Some(Box::new(write)) }
        }),
        1 => any::<u64>().prop_map(|sequence| Record::ChannelWritten { sequence, write: None }),
        1 => any::<Vec<u8>>().prop_map(|value| {
            let change = ChannelChange::Append { value: value.into() };
            let write = ChannelWrite { sequence: 3, key: "".into(), change };
            Record::ChannelWritten { sequence: 3, write: Some(Box::new(write)) }
        }),
        1 => node().prop_map(|node| Record::Discarded(Again {
            node,
            branches: vec![(1, 2), (5, 5)],
            reason: "a reason".into()
        })),
    ]
}

fn journals() -> impl Strategy<Value = Vec<Stamped>> {
    proptest::collection::vec((records(), any::<u64>()), 0..8).prop_map(|records| {
        let first = Stamped { time: 1, record: Record::RunStarted(Box::new(start())) };
        let rest = records.into_iter().map(|(record, time)| Stamped { time, record });
        std::iter::once(first).chain(rest).collect()
    })
}

fn written(records: &[Stamped]) -> Vec<u8> {
    let mut writer = Writer::new(Disk { room: usize::MAX, ..Disk::default() });
    for stamped in records {
        writer.add(stamped.clone(), None).unwrap();
    }
    writer.write().unwrap();
    writer.sink().bytes.clone()
}

fn read_all(bytes: &[u8]) -> (Vec<Stamped>, Result<Tail, JournalError>) {
    let mut records = Vec::new();
    let tail = read(bytes, |stamped| {
        records.push(stamped);
        Ok(())
    });
    (records, tail)
}

/// Where lines end.
fn ends(bytes: &[u8]) -> Vec<usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read(records in journals()) {
        let bytes = written(&records);
        let (back, tail) = read_all(&bytes);
        prop_assert_eq!(back, records);
        let tail = tail.unwrap();
        prop_assert_eq!((tail.length, tail.torn), (bytes.len() as u64, 0));
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let json: serde_json::Value = serde_json::from_slice(line).unwrap();
            prop_assert_eq!(&json["version"], 1);
        }
    }

    /// Killed at any byte: what is whole is read, and what is written after it joins on.
    #[test]
    fn h1_a_journal_cut_at_any_byte_goes_on(records in journals()) {
        let bytes = written(&records);
        let ends = ends(&bytes);
        for at in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= at).count();
            let (back, tail) = read_all(&bytes[..at]);
            let tail = tail.unwrap();
            prop_assert_eq!(&back[..], &records[..whole]);
            prop_assert_eq!(tail.length + tail.torn, at as u64);
            if at % 7 == 0 && whole > 0 {
                let disk = Disk { bytes: bytes[..at].to_vec(), room: usize::MAX, cuts: true };
                let mut writer = Writer::resume(disk, &tail).unwrap();
                for stamped in &records[whole..] {
                    writer.add(stamped.clone(), None).unwrap();
                }
                writer.write().unwrap();
                prop_assert_eq!(&writer.sink().bytes, &bytes);
            }
        }
    }

    /// A byte that is not what was written is named, or was an end of line that made the tail torn.
    #[test]
    fn h5_a_flipped_byte_is_named(records in journals(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = written(&records);
        let at = at.index(bytes.len());
        let ends = ends(&bytes);
        let line = ends.iter().filter(|end| **end <= at).count();
        let begins = if line == 0 { 0 } else { ends[line - 1] };
        bytes[at] ^= 1 << bit;
        match read_all(&bytes).1 {
            Err(JournalError::Damaged { line: named, offset, .. }) => {
                prop_assert_eq!((named, offset), (line as u64 + 1, begins as u64));
            }
            Ok(tail) => {
                prop_assert_eq!(at + 1, bytes.len(), "only the last end of line");
                prop_assert_eq!(tail.length, begins as u64);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// Lines that were taken away, moved or repeated are named.
    #[test]
    fn h5_lines_cannot_be_taken_away_or_moved(records in journals(), which: prop::sample::Index) {
        let bytes = written(&records);
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        prop_assume!(lines.len() > 2);
        let at = which.index(lines.len() - 1);
        let taken = lines.remove(at);
        prop_assert!(read_all(&lines.concat()).1.is_err());
        lines.insert(at + 1, taken);
        prop_assert!(read_all(&lines.concat()).1.is_err());
        lines.insert(at, taken);
        prop_assert!(read_all(&lines.concat()).1.is_err());
    }

    #[test]
    fn garbage_is_an_error_or_torn(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (records, _) = read_all(&bytes);
        prop_assert_eq!(records, vec![]);
    }

    /// Whatever the order of records, folding them never panics, and a second end is refused.
    #[test]
    fn a_history_has_one_end_for_each_branch(records in journals()) {
        let mut history = History::default();
        for stamped in records {
            let twice = match &stamped.record {
                Record::TaskEnded(attempted) => history
                    .nodes
                    .get(&attempted.node)
                    .and_then(|node| node.branches.get(&attempted.index))
                    .is_some_and(|branch| branch.ended.is_some()),
                _ => false,
            };
            if let Record::Unstarted { from, to, .. } = stamped.record {
                prop_assume!(to - from < 100);
            }
            let taken = history.take(stamped);
            prop_assert!(!twice || taken.is_err());
        }
    }
}

#[test]
fn h2_a_full_disk_leaves_whole_lines() {
    let records: Vec<Stamped> = (0..20)
        .map(|time| match time {
            0 => Stamped { time, record: Record::RunStarted(Box::new(start())) },
            _ => {
                Stamped { time, record: Record::GroupStarted { node: "n".into(), branches: 1, items: None } }
            }
        })
        .collect();
    let all = written(&records);
    for (room, cuts) in (0..all.len()).flat_map(|room| [(room, false), (room, true)]) {
        let mut writer = Writer::new(Disk { room, cuts, ..Disk::default() });
        let mut failed = false;
        for batch in records.chunks(3) {
            for stamped in batch {
                writer.add(stamped.clone(), None).unwrap();
            }
            if let Err(error) = writer.write() {
                assert!(matches!(error, JournalError::Write(_)), "{error}");
                failed = true;
                break;
            }
        }
        assert!(failed);
        let bytes = &writer.sink().bytes;
        let (back, tail) = read_all(bytes);
        assert_eq!(back, records[..back.len()]);
        assert!(!cuts || tail.unwrap().torn == 0, "something half-written stays");
    }
}

#[test]
fn a_newer_version_is_named() {
    for content in [
        r#"{"version":2,"event":"run-started""#,
        r#"{"version":3,"event":7,"time":"noon""#,
        r#"{"version":18446744073709551615,"event":"x""#,
    ] {
        let mut bytes = content.as_bytes().to_vec();
        line::seal(&mut bytes, 0, 0);
        let error = read_all(&bytes).1.unwrap_err();
        assert!(matches!(error, JournalError::Version { line: 1, .. }), "{error}");
        assert!(error.to_string().contains("the flowhost that wrote it"), "{error}");
    }
    let mut bytes = br#"{"version":1,"event":"invented","time":1"#.to_vec();
    line::seal(&mut bytes, 0, 0);
    let error = read_all(&bytes).1.unwrap_err();
    assert!(error.to_string().contains("`invented`, which this flowhost (journal version 1)"), "{error}");
}

#[test]
fn attempts_of_a_discarded_branch_go_on() {
    let attempt = |number, ending| Attempted {
        node: "n".into(),
        index: 3,
        number,
        ending,
        elapsed: Duration::ZERO,
        guest: Duration::ZERO,
        peak_memory: 0,
        fuel: None,
        metrics: figures(true),
        executor: Default::default(),
        worker: None,
        cached: false,
        key: None,
        error: None,
        value: Kept::None,
        asked: Asked::Nothing,
        files: vec![],
        log: vec![],
    };
    let mut history = History::default();
    let mut take = |record| history.take(Stamped { time: 1, record });
    take(Record::RunStarted(Box::new(start()))).unwrap();
    take(Record::AttemptEnded(Box::new(attempt(1, Ending::Lost)))).unwrap();
    take(Record::TaskEnded(Box::new(attempt(2, Ending::Failed)))).unwrap();
    take(Record::TaskEnded(Box::new(attempt(3, Ending::Succeeded)))).unwrap_err();
    let again = Again { node: "n".into(), branches: vec![(0, 3)], reason: "--retry-failed".into() };
    take(Record::Discarded(again)).unwrap();
    take(Record::TaskEnded(Box::new(attempt(2, Ending::Succeeded)))).unwrap_err();
    take(Record::TaskEnded(Box::new(attempt(3, Ending::Succeeded)))).unwrap();
    let branch = &history.nodes["n"].branches[&3];
    assert_eq!((branch.attempts, branch.before, branch.lost), (3, 2, 0));
    assert_eq!(history.counts(), Counts { succeeded: 1, ..Counts::default() });
}

#[test]
fn h5_two_processes_do_not_share_a_run() {
    let temporary = tempfile::tempdir().unwrap();
    let state = State::make(&temporary.path().join(".flowhost")).unwrap();
    let (lock, _) = state.create(&start(), 1, b"file").unwrap();
    let run = state.run(&start().run).unwrap().unwrap();
    let error = run.lock().unwrap_err();
    assert!(matches!(&error, StateError::Busy { process, .. } if *process == std::process::id().to_string()));
    assert!(error.to_string().contains("flowhost cancel"), "{error}");
    assert!(matches!(state.remove(&run), Err(StateError::Busy { .. })));
    drop(lock);
    assert!(matches!(run.stop(false), Err(StateError::Idle { .. })));
    drop(run.lock().unwrap());
    assert_eq!(run.workflow().unwrap(), b"file");
    assert_eq!(std::fs::read_to_string(temporary.path().join(".flowhost/.gitignore")).unwrap(), "*\n");
    assert_eq!(state.runs().unwrap(), [start().run]);
    state.remove(&run).unwrap();
    assert_eq!(state.runs().unwrap(), []);
    for id in ["", "..", ".", "../runs", "a/b", "nothing"] {
        assert!(state.run(&RunId(id.into())).unwrap().is_none(), "{id}");
    }
}
