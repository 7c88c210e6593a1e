//! The JSON lines.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::events::{Page, Teller, branch, counts, group, task};
use crate::model::{ChannelChange, ChannelWrite, Ending, Fact, Level, Status, Stream};
use crate::report::{JsonLines, Reporter};

fn shown(teller: &Teller) -> Vec<String> {
    let page = Page::default();
    let mut lines = JsonLines::new(page.writer());
    teller.to(&mut lines);
    lines.finish().unwrap();
    page.lines()
}

fn parsed(teller: &Teller) -> Vec<Value> {
    shown(teller).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_is_one_line_with_its_place_first() {
    let mut teller = Teller::default();
    teller.run_started().attempt_ended(branch(3, 2), Ending::TimedOut, Some("slow"), Some(1_500));
    assert_eq!(
        shown(&teller)[1],
        concat!(
            r#"{"version":1,"seq":1,"time":"2026-01-02T03:04:05.010000Z","run":"20260102-030405-abc123","#,
            r#""group":"counts","task":"count","index":3,"attempt":2,"executor":"in-process","#,
            r#""event":"attempt-ended","outcome":"timed-out","seconds":0.04,"guest-seconds":0.0115,"#,
            r#""peak-memory":65536,"cached":false,"error":"slow","retry-in":1.5}"#,
        )
    );
}

#[test]
fn every_fact_has_its_fields() {
    let mut teller = Teller::default();
    teller.run_started().group_started(group(), 2).started(branch(0, 1));
    teller.log(branch(0, 1), Level::Warn, Stream::Log, "odd");
    let progress = Fact::Progress { done: 3, total: Some(9), message: Some(Arc::from("reading")) };
    teller.tell(Some(branch(0, 1)), progress);
    teller.task_ended(branch(0, 1), Ending::Succeeded, None);
    teller.group_ended(group(), Status::Failed, counts(1, 0, 1));
    teller.group_ended_because(task("total"), Status::Skipped, "no value").warning("stopping");
    teller.tell(Some(branch(0, 1)), Fact::Metric { name: Arc::from("tokens"), amount: 1.5 });
    let change = ChannelChange::Set { value: Bytes::from_static(b"secret"), expires: Some(9) };
    let write = ChannelWrite { sequence: 4, key: Arc::from("secret"), change };
    teller.tell(Some(branch(0, 1)), Fact::ChannelWrite(Box::new(write)));
    teller.group_ended_with(group(), &[("tokens", 1.5)]);
    teller.run_ended(Status::Failed, counts(1, 0, 1)).run_ended_with(&[("b", 2.0), ("a", -1.0)]);

    let common = ["version", "seq", "time", "run", "group", "task", "index", "attempt", "executor"];
    let further: Vec<Value> = parsed(&teller)
        .into_iter()
        .map(|mut line| {
            let fields = line.as_object_mut().unwrap();
            fields.retain(|name, _| !common.contains(&&**name));
            line
        })
        .collect();
    let digest = |bytes: &[u8]| crate::digest::Digest::of(bytes).to_string();
    assert_eq!(
        further,
        [
            json!({
                "event": "run-started", "flowhost-version": env!("CARGO_PKG_VERSION"), "name": "wordcount",
                "workflow": digest(b"workflow"), "components": {"text": digest(b"text")},
                "inputs": {"book": {"path": "a.txt"}}, "nodes": ["split", "counts"], "trace": "07".repeat(16),
            }),
            json!({"event": "group-started", "branches": 2}),
            json!({"event": "attempt-started"}),
            json!({"event": "log", "level": "warn", "stream": "log", "message": "odd", "cut": false}),
            json!({"event": "progress", "done": 3, "total": 9, "message": "reading"}),
            json!({"event": "task-ended", "outcome": "succeeded", "attempts": 1}),
            json!({
                "event": "group-ended", "status": "failed", "succeeded": 1, "failed": 0, "cancelled": 1, "cached": 0,
                "success-rate": 0.5, "seconds": 1.2, "guest-seconds": 1.2,
            }),
            json!({
                "event": "group-ended", "status": "skipped", "succeeded": 0, "failed": 0, "cancelled": 0, "cached": 0,
                "seconds": 0.0, "guest-seconds": 0.0, "reason": "no value",
            }),
            json!({"event": "warning", "kind": "interrupted", "message": "stopping"}),
            json!({"event": "metric", "name": "tokens", "value": 1.5}),
            json!({"event": "channel-write", "write": 4, "operation": "set", "bytes": 6, "expires": 9}),
            json!({
                "event": "group-ended", "status": "succeeded", "succeeded": 3, "failed": 0, "cancelled": 0, "cached": 0,
                "success-rate": 1.0, "seconds": 1.2, "guest-seconds": 1.2, "metrics": {"tokens": 1.5},
            }),
            json!({
                "event": "run-ended", "status": "failed", "succeeded": 1, "failed": 0, "cancelled": 1, "cached": 0,
                "success-rate": 0.5, "seconds": 1.23, "guest-seconds": 1.1,
            }),
            json!({
                "event": "run-ended", "status": "succeeded", "succeeded": 3, "failed": 0, "cancelled": 0, "cached": 0,
                "success-rate": 1.0, "seconds": 1.23, "guest-seconds": 1.1, "fuel": 5_000,
                "metrics": {"a": -1.0, "b": 2.0},
            }),
        ]
    );
}

#[test]
fn p5_text_is_escaped_and_comes_back_whole() {
    let evil = "\x1b[2J \u{9b}m \u{7f} \u{202e} \u{e0041} \" \\ \n ok";
    let mut teller = Teller::default();
    teller.prints(branch(0, 1), evil);
    let line = &shown(&teller)[0];
    assert!(line.is_ascii() && !line.chars().any(char::is_control), "{line:?}");
    assert!(line.contains(r#"\u001b[2J \u009bm \u007f \u202e \udb40\udc41 \" \\ \n ok"#), "{line}");
    assert_eq!(parsed(&teller)[0]["message"], evil);
}

#[test]
fn a_time_beyond_the_calendar_is_an_error() {
    let mut teller = Teller::default();
    teller.warning("late");
    teller.events[0].time = u64::MAX;
    assert!(JsonLines::new(Page::default().writer()).report(&teller.events).is_err());
}
