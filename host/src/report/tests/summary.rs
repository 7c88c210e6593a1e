//! The summary.

use std::sync::Arc;

use super::events::{Page, Teller, branch, counts, group, task, task_attempt};
use crate::model::{Ending, Place, Status};
use crate::report::{Reporter, Summary};

fn shown(teller: &Teller) -> Vec<String> {
    let page = Page::default();
    let mut summary = Summary::new(page.writer(), false);
    teller.to(&mut summary);
    assert_eq!(page.text(), "", "nothing before the end");
    summary.finish().unwrap();
    page.lines()
}

#[test]
fn a_run_that_went_well_is_one_line() {
    let mut teller = Teller::default();
    teller.run_started().prints(branch(0, 1), "hello").ended(branch(0, 1), Ending::Succeeded, None);
    teller.run_ended(Status::Succeeded, counts(17, 0, 0));
    assert_eq!(shown(&teller), ["wordcount: succeeded in 1.2 s: 17 succeeded; 1.1 s in guests"]);
}

#[test]
fn a_failure_is_told_with_its_cause_and_the_guests_last_lines() {
    let mut teller = Teller::default();
    teller.run_started().prints(branch(3, 1), "from an attempt before");
    teller.attempt_ended(branch(3, 1), Ending::Failed, Some("first"), Some(200));
    for line in 1..=7 {
        teller.prints(branch(3, 2), &format!("line {line}"));
        teller.prints(branch(4, 1), "of another branch");
    }
    teller.ended(branch(3, 2), Ending::Trapped, Some("unreachable\n  0: main\n  1: start"));
    teller.prints(task_attempt("split", 1), "only one");
    teller.ended(task_attempt("split", 1), Ending::TimedOut, Some("the timeout of 10s passed"));
    teller.group_ended(group(), Status::Failed, counts(15, 1, 1));
    teller.group_ended_because(task("render"), Status::Failed, "`tiles.txt` is not there");
    teller.group_ended_because(task("total"), Status::Skipped, "`counts` has no value");
    teller.run_ended(Status::Failed, counts(15, 2, 1));
    assert_eq!(
        shown(&teller),
        [
            "counts[3] (task count): trapped in attempt 2: unreachable",
            "    its last lines:",
            "    | line 3",
            "    | line 4",
            "    | line 5",
            "    | line 6",
            "    | line 7",
            "      0: main",
            "      1: start",
            "split: timed-out in attempt 1: the timeout of 10s passed",
            "    its last line:",
            "    | only one",
            "render: failed: `tiles.txt` is not there",
            "skipped: total",
            "wordcount: failed in 1.2 s: 15 succeeded, 2 failed, 1 cancelled (83.3%); 1.1 s in guests",
        ]
    );
}

#[test]
fn figures_are_told_by_group_and_in_total() {
    let mut teller = Teller::default();
    teller.run_started().group_ended_with(group(), &[("tokens", 1_200.0), ("price-usd", 0.25)]);
    teller.run_ended_with(&[("tokens", 1_200.0), ("price-usd", 0.25)]);
    let only = shown(&teller);
    assert_eq!(
        only,
        [
            "wordcount: succeeded in 1.2 s: 3 succeeded; 1.1 s in guests; 5,000 fuel",
            "    total: price-usd 0.25, tokens 1,200",
        ]
    );
    let mut teller = Teller::default();
    teller.run_started().group_ended_with(group(), &[("tokens", 1_200.0)]);
    for number in 0..12 {
        teller.group_ended_with(task(&format!("t{number}")), &[("tokens", 1.0)]);
    }
    teller.run_ended_with(&[("tokens", 1_212.0)]);
    let many = shown(&teller);
    assert_eq!(many[1..3], ["    counts: tokens 1,200", "    t0: tokens 1"]);
    assert_eq!(
        many[10..],
        ["    t8: tokens 1", "    3 more tasks and groups have figures", "    total: tokens 1,212"]
    );
}

#[test]
fn beyond_ten_failures_causes_are_counted() {
    let mut teller = Teller::default();
    for index in 0..1_010 {
        let (ending, error) = match index % 10 {
            0 => (Ending::Lost, "gone"),
            _ => (Ending::Failed, "boom\nmore"),
        };
        teller.ended(branch(index, 1), ending, Some(error));
    }
    teller.run_ended(Status::Failed, counts(0, 1_010, 0));
    let shown = shown(&teller);
    assert_eq!(shown.iter().filter(|line| line.starts_with("counts[")).count(), 10);
    assert_eq!(
        shown[shown.len() - 4..],
        [
            "and 1,000 more failures:",
            "    900 failed: boom …",
            "    100 lost: gone",
            "run: failed in 1.2 s: 1,010 failed (0%); 1.1 s in guests",
        ]
    );
}

#[test]
fn causes_that_are_all_different_are_counted_by_their_ending() {
    let mut teller = Teller::default();
    for index in 0..100_u32 {
        teller.ended(branch(index, 1), Ending::Failed, Some(&format!("cause {index}")));
    }
    let shown = shown(&teller);
    assert!(shown.len() < 40, "{shown:#?}");
    assert!(shown.contains(&"    70 failed".to_owned()), "{shown:#?}");
}

#[test]
fn lines_of_branches_whose_success_is_not_told_are_forgotten_in_time() {
    let mut teller = Teller::default();
    for index in 0..10_000 {
        teller.prints(branch(index, 1), &"x".repeat(10_000));
    }
    teller.ended(branch(9_999, 1), Ending::Failed, Some("late"));
    teller.ended(branch(0, 1), Ending::Failed, Some("early"));
    let page = Page::default();
    let mut summary = Summary::new(page.writer(), false);
    teller.to(&mut summary);
    assert!(summary.kept_bytes() < 6 * 1024 * 1024, "{}", summary.kept_bytes());
    summary.finish().unwrap();
    let lines = page.lines();
    assert_eq!(lines[0], "counts[9999] (task count): failed in attempt 1: late");
    assert!(lines[2].starts_with("    | xxx"));
    assert_eq!(lines[3], "counts[0] (task count): failed in attempt 1: early");
    assert_eq!(lines.len(), 4);
}

#[test]
fn p5_a_guests_text_is_harmless() {
    let evil = "a\x1b[2J\u{202e}";
    let mut teller = Teller::default();
    teller.prints(branch(0, 1), evil).ended(branch(0, 1), Ending::Failed, Some(evil));
    teller.group_ended_because(task(evil), Status::Skipped, evil);
    let text = shown(&teller).join("");
    assert!(!text.chars().any(|char| char.is_control() || char == '\u{202e}'), "{text:?}");
}

#[test]
fn failures_of_a_group_that_succeeded_are_tolerated() {
    let mut teller = Teller::default();
    teller.run_started();
    for index in 0..12 {
        teller.ended(branch(index, 1), Ending::Failed, Some("odd"));
    }
    teller.ended(task_attempt("split", 1), Ending::Failed, Some("its own"));
    teller.group_ended(group(), Status::Succeeded, counts(20, 12, 3));
    teller.run_ended(Status::Failed, counts(27, 13, 3));
    let shown = shown(&teller);
    assert_eq!(shown[0], "tolerated: counts[0] (task count): failed in attempt 1: odd");
    assert_eq!(
        shown[10..],
        [
            "and 1 more failure:",
            "    1 failed: its own",
            "and 2 more failures, tolerated:",
            "    2 failed: odd",
            // 27 of 28: what was tolerated or not needed counts neither way.
            "wordcount: failed in 1.2 s: 27 succeeded, 13 failed, 3 cancelled (12 failed tolerated) (96.4%); 1.1 s in guests",
        ]
    );
    let mut teller = Teller::default();
    teller.run_started().ended(branch(1, 1), Ending::Failed, Some("odd"));
    teller.group_ended(group(), Status::Succeeded, counts(1, 1, 0));
    teller.run_ended(Status::Succeeded, counts(1, 1, 0));
    assert_eq!(
        self::shown(&teller),
        [
            "tolerated: counts[1] (task count): failed in attempt 1: odd",
            "wordcount: succeeded in 1.2 s: 1 succeeded, 1 failed (tolerated); 1.1 s in guests",
        ]
    );
}

#[test]
fn failures_in_a_group_that_another_can_do_without_are_tolerated() {
    let named = |name: &str| Place { group: Some(Arc::from(name)), ..Place::default() };
    let shown = |outer: Status| {
        let mut teller = Teller::default();
        teller.run_started().ended(branch(0, 1), Ending::Failed, Some("odd"));
        let join = Place { group: group().group, ..task_attempt("join", 1) };
        teller.ended(join, Ending::Failed, Some("its own"));
        teller.member_ended(group(), "outer", Status::Failed, counts(2, 1, 0));
        teller.member_ended(named("other"), "outer", Status::Cancelled, counts(0, 0, 4));
        teller.group_ended(named("outer"), outer, counts(1, 1, 1));
        teller.run_ended(outer, counts(3, 2, 4));
        self::shown(&teller)
    };
    assert_eq!(
        shown(Status::Succeeded),
        [
            "tolerated: counts[0] (task count): failed in attempt 1: odd",
            "tolerated: counts (join): failed in attempt 1: its own",
            "wordcount: succeeded in 1.2 s: 3 succeeded, 2 failed, 4 cancelled (tolerated); 1.1 s in guests",
        ]
    );
    assert_eq!(
        shown(Status::Failed),
        [
            "counts[0] (task count): failed in attempt 1: odd",
            "counts (join): failed in attempt 1: its own",
            "wordcount: failed in 1.2 s: 3 succeeded, 2 failed, 4 cancelled (33.3%); 1.1 s in guests",
        ]
    );
}
