//! The progress display, on a terminal that is emulated.

use std::sync::Arc;

use indicatif::{InMemoryTerm, ProgressDrawTarget};

use super::events::{Teller, branch, counts, group, task, task_attempt};
use crate::model::{Ending, Fact, Place, Status};
use crate::report::{Progress, Reporter};

struct Screen {
    terminal: InMemoryTerm,
    progress: Progress,
    teller: Teller,
}

impl Screen {
    fn new() -> Self {
        let terminal = InMemoryTerm::new(20, 100);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 1);
        Self { terminal, progress: Progress::new(target, false), teller: Teller::default() }
    }

    /// Reports what was told since the last time.
    fn report(&mut self) {
        self.progress.report(&self.teller.events).unwrap();
        self.teller.events.clear();
    }

    /// What stands there after the next tick.
    fn lines(&mut self) -> Vec<String> {
        self.report();
        self.progress.tick().unwrap();
        self.terminal.contents().lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

#[test]
fn a_group_is_a_line_with_what_is_done_running_and_left() {
    let mut screen = Screen::new();
    screen.teller.group_started(group(), 1_000);
    for index in 0..200 {
        screen.teller.started(branch(index, 1));
    }
    for index in 0..100 {
        let ending = if index == 7 { Ending::Failed } else { Ending::Succeeded };
        screen.teller.ended(branch(index, 1), ending, Some("boom").filter(|_| index == 7));
    }
    // 401 events, 10 milliseconds apart: 100 branches in 4 seconds.
    assert_eq!(
        screen.lines(),
        [
            "counts[7]: attempt 1 failed after 12 ms: boom",
            "counts               [=>            ] 100/1,000, 100 running, 1 failed, 25/s, 36.0 s left",
        ]
        .map(|line| widen(line, 100))
    );
}

/// The bar of a line takes what the rest leaves.
fn widen(line: &str, width: usize) -> String {
    let (Some(open), Some(close)) = (line.find('[').filter(|_| line.contains("] ")), line.find(']')) else {
        return line.to_owned();
    };
    let inner = width - (line.len() - (close - open - 1));
    let filled = inner / 10;
    format!("{}{}>{}{}", &line[..=open], "=".repeat(filled), " ".repeat(inner - filled - 1), &line[close..])
}

#[test]
fn a_group_that_a_task_splits_and_another_merges_is_one_line() {
    let mut screen = Screen::new();
    let section =
        |name: &str| Place { task: Some(Arc::from(name)), index: None, attempt: Some(1), ..branch(0, 1) };
    let unknown = Fact::GroupStarted { branches: None, concurrency: None };
    screen.teller.tell(Some(group()), unknown).started(section("cut"));
    assert_eq!(screen.lines(), ["counts               0 ended, 1 running"]);
    screen.teller.ended(section("cut"), Ending::Succeeded, None).group_started(group(), 2);
    screen.teller.started(branch(0, 1)).ended(branch(0, 1), Ending::Succeeded, None);
    let lines = screen.lines();
    assert!(
        lines[0].starts_with("counts               [==") && lines[0].contains("] 1/2, 0 running"),
        "{lines:?}"
    );
    screen.teller.started(branch(1, 1)).ended(branch(1, 1), Ending::Succeeded, None);
    screen.teller.started(section("fold")).ended(section("fold"), Ending::Failed, Some("boom"));
    let lines = screen.lines();
    assert_eq!(lines[0], "counts (fold): attempt 1 failed after 12 ms: boom");
    assert!(lines[1].contains("] 2/2, 0 running"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_ended_scrolls_up_and_the_rest_stays_below() {
    let mut screen = Screen::new();
    screen.teller.group_started(task("split"), 1).started(task_attempt("split", 1));
    let progress =
        |done, message: &str| Fact::Progress { done, total: Some(4), message: Some(Arc::from(message)) };
    screen.teller.tell(Some(task_attempt("split", 1)), progress(2, "reading"));
    let lines = screen.lines();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("split                [=====") && lines[0].ends_with("] 2/4, reading"),
        "{lines:?}"
    );

    screen.teller.prints(task_attempt("split", 1), "a\tline\x1b[2J");
    screen.teller.ended(task_attempt("split", 1), Ending::Succeeded, None);
    screen.teller.group_ended(task("split"), Status::Succeeded, counts(1, 0, 0));
    screen.teller.group_started(group(), 2);
    let lines = screen.lines();
    assert_eq!(lines[..2], ["split: a    line\\u{1b}[2J", "split: succeeded in 1.2 s"]);
    assert!(lines[2].starts_with("counts ") && lines[2].ends_with("] 0/2, 0 running"), "{lines:?}");
    assert_eq!(lines.len(), 3);

    screen.teller.group_ended(group(), Status::Cancelled, counts(0, 0, 2));
    screen.report();
    screen.progress.finish().unwrap();
    let lines = screen.terminal.contents();
    let lines: Vec<_> = lines.lines().map(str::trim_end).collect();
    assert_eq!(lines[1..], ["split: succeeded in 1.2 s", "counts: cancelled in 1.2 s: 2 cancelled"]);
}

#[test]
fn events_do_not_draw() {
    let mut screen = Screen::new();
    screen.teller.group_started(group(), 100_000);
    for index in 0..10_000 {
        screen.teller.started(branch(index, 1)).ended(branch(index, 1), Ending::Succeeded, None);
    }
    screen.report();
    assert_eq!(screen.terminal.contents(), "");
    assert_eq!(screen.lines().len(), 1);
    // Nor does a tick that follows none.
    screen.terminal.moves_since_last_check();
    screen.progress.tick().unwrap();
    assert_eq!(screen.terminal.moves_since_last_check(), "");
}
