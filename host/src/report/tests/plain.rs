//! The plain display.

use std::sync::Arc;

use super::events::{Closed, Page, Teller, branch, counts, group, task, task_attempt};
use crate::model::{Ending, Fact, Level, Place, Status, Stream, Warning};
use crate::report::{Plain, Reporter, Warnings};

fn shown(teller: &Teller) -> Vec<String> {
    let page = Page::default();
    let mut plain = Plain::new(page.writer(), false);
    teller.to(&mut plain);
    plain.finish().unwrap();
    page.lines()
}

#[test]
fn a_small_group_is_told_branch_by_branch() {
    let mut teller = Teller::default();
    teller.run_started().group_started(task("split"), 1).started(task_attempt("split", 1));
    teller.prints(task_attempt("split", 1), "splitting");
    teller.ended(task_attempt("split", 1), Ending::Succeeded, None);
    teller.group_ended(task("split"), Status::Succeeded, counts(1, 0, 0));
    teller.tell(Some(group()), Fact::GroupStarted { branches: Some(2), concurrency: Some(1) });
    teller.started(branch(0, 1)).prints(branch(0, 1), "hello");
    teller.attempt_ended(branch(0, 1), Ending::Failed, Some("boom\nat f"), Some(200));
    teller.started(branch(1, 1)).log(branch(1, 1), Level::Warn, Stream::Log, "odd\nvery");
    teller.ended(branch(1, 1), Ending::Succeeded, None);
    teller.started(branch(0, 2)).ended(branch(0, 2), Ending::Failed, Some("boom"));
    teller.group_ended(group(), Status::Failed, counts(1, 1, 0));
    teller.group_ended_because(task("total"), Status::Skipped, "`counts` has no value");
    teller.run_ended(Status::Failed, counts(2, 1, 0));
    assert_eq!(
        shown(&teller),
        [
            "wordcount: run 20260102-030405-abc123 started",
            "split: started",
            "split: splitting",
            "split: succeeded in 1.2 s",
            "counts: started, 2 branches, at most 1 at once",
            "counts[0]: started",
            "counts[0]: hello",
            "counts[0]: attempt 1 failed after 12 ms: boom …; again in 200 ms",
            "counts[1]: started",
            "counts[1]: warn: odd",
            "counts[1]: warn: very",
            "counts[1]: succeeded in 12 ms",
            "counts[0]: attempt 2 failed after 12 ms: boom",
            "counts[0]: failed after 2 attempts",
            "counts: failed in 1.2 s: 1 succeeded, 1 failed",
            "total: skipped: `counts` has no value",
        ]
    );
}

#[test]
fn a_large_group_is_told_by_the_tenth_and_its_failures_one_by_one() {
    let mut teller = Teller::default();
    teller.group_started(group(), 10_000);
    for index in 0..10_000 {
        let failed = index == 1_500;
        let (ending, error) =
            if failed { (Ending::Trapped, Some("oops")) } else { (Ending::Succeeded, None) };
        teller.started(branch(index, 1)).ended(branch(index, 1), ending, error);
    }
    teller.group_ended(group(), Status::Failed, counts(9_999, 1, 0));
    let shown = shown(&teller);
    assert_eq!(
        shown[..5],
        [
            "counts: started, 10,000 branches",
            "counts: 1,000 of 10,000 ended: 1,000 succeeded",
            "counts[1500]: attempt 1 trapped after 12 ms: oops",
            "counts: 2,000 of 10,000 ended: 1,999 succeeded, 1 failed",
            "counts: 3,000 of 10,000 ended: 2,999 succeeded, 1 failed",
        ]
    );
    assert_eq!(shown.last().unwrap(), "counts: failed in 1.2 s: 9,999 succeeded, 1 failed");
    assert_eq!(shown.len(), 12);
}

#[test]
fn what_ends_without_an_attempt_still_says_why() {
    let mut teller = Teller::default();
    teller.group_started(group(), 2);
    let unattempted = |index| Place { attempt: None, ..branch(index, 1) };
    teller.task_ended(unattempted(0), Ending::Rejected, Some("no such file"));
    teller.task_ended(unattempted(1), Ending::Cancelled, Some("the run was interrupted"));
    teller.warning("the run was asked to stop");
    assert_eq!(
        shown(&teller)[1..],
        [
            "counts[0]: rejected: no such file",
            "counts[1]: cancelled: the run was interrupted",
            "warning: the run was asked to stop",
        ]
    );
}

#[test]
fn p5_nothing_that_a_guest_wrote_reaches_the_terminal_as_a_command() {
    let mut teller = Teller::default();
    let evil = "\x1b]0;owned\x07\u{202e}\r";
    let place = Place { task: Some(Arc::from(evil)), ..Place::default() };
    teller.group_started(place.clone(), 1).prints(place.clone(), evil);
    teller.ended(place.clone(), Ending::Failed, Some(evil));
    teller.group_ended_because(place, Status::Failed, evil).warning(evil);
    let text = shown(&teller).join("");
    assert!(!text.chars().any(|char| char.is_control() || char == '\u{202e}'), "{text:?}");
    assert!(text.contains("\\u{1b}]0;owned\\u{7}\\u{202e}"), "{text}");
}

#[test]
fn colour_is_only_for_those_who_want_it() {
    let mut teller = Teller::default();
    teller.group_started(group(), 1).group_ended(group(), Status::Succeeded, counts(1, 0, 0));
    let page = Page::default();
    teller.to(&mut Plain::new(page.writer(), true));
    assert_eq!(page.lines()[1], "counts: \x1b[32msucceeded in 1.2 s: 1 succeeded\x1b[0m");
}

#[test]
fn a_closed_terminal_is_an_error_and_no_panic() {
    let mut teller = Teller::default();
    teller.run_started();
    let mut plain = Plain::new(Box::new(Closed), false);
    assert!(plain.report(&teller.events).is_err());
}

#[test]
fn warnings_alone_are_told_without_steps_and_notices() {
    let mut teller = Teller::default();
    teller.run_started().group_started(task("split"), 1).prints(task_attempt("split", 1), "splitting");
    for (kind, message) in [
        (Warning::Compiling, "a component"),
        (Warning::Deploying, "flowhost"),
        (Warning::NodeLeftOut, "a node"),
    ] {
        teller.tell(None, Fact::Warning { kind, message: message.into() });
    }
    teller.tell(Some(group()), Fact::Warning { kind: Warning::Fallback, message: "elsewhere".into() });
    teller.ended(task_attempt("split", 1), Ending::Failed, Some("boom"));
    let page = Page::default();
    let mut warnings = Warnings::new(page.writer(), false);
    teller.to(&mut warnings);
    warnings.finish().unwrap();
    assert_eq!(page.lines(), ["warning: a node", "counts: warning: elsewhere"]);
}
