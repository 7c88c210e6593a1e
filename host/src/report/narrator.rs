//! Tells events as lines for people. Used by the plain display for all that happens, and by the
//! progress display for what scrolls by above the bars.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::board::{Board, Row};
use super::figures::{count, counted, duration, endings, metrics};
use super::paint::{Paint, Tone};
use super::text;
use crate::model::{Ending, Event, Fact, Level, Place, Status, Stream, Usage};

/// The branches of a group of at most so many are told one by one, those of a larger group by the
/// tenth.
const LISTED: u64 = 100;

/// So many of a group's figures are told.
const FIGURES: usize = 4;

/// Tells events as lines.
#[derive(Debug)]
pub(super) struct Narrator {
    paint: Paint,
    /// Whether starts, successes and tenths are told, which bars show otherwise.
    steps: bool,
    /// What was last told of an attempt's end, so that its branch's end need not repeat it.
    told: Option<(String, Arc<str>)>,
}

/// Where something happens, as people write it: `group[index]`, `group (task)` for one that splits or
/// merges, or the name of a group or lone task.
pub(super) fn label(place: &Place) -> String {
    let name = |name: &Arc<str>| text::line(name).into_owned();
    match (&place.group, &place.task, place.index) {
        (Some(group), _, Some(index)) => format!("{}[{index}]", name(group)),
        (Some(group), Some(task), None) => format!("{} ({})", name(group), name(task)),
        (Some(group), None, None) => name(group),
        (None, Some(task), _) => name(task),
        (None, None, _) => "run".to_owned(),
    }
}

impl Narrator {
    pub(super) fn new(color: bool, steps: bool) -> Self {
        Self { paint: Paint { color }, steps, told: None }
    }

    /// Appends the lines of an event, if it has any, to `out`. `board` has taken it into account.
    pub(super) fn tell(&mut self, event: &Event, board: &Board, out: &mut String) {
        let place = event.place.as_ref();
        match &event.fact {
            Fact::RunStarted(run) if self.steps => {
                let name = text::line(&run.name);
                self.say(out, &name, Tone::Faint, &format!("run {} started", text::line(&run.run.0)));
            }
            Fact::RunStarted(_)
            | Fact::RunEnded { .. }
            | Fact::Progress { .. }
            | Fact::Metric { .. }
            | Fact::ChannelWrite(_) => {}
            Fact::Warning { kind, message } if kind.is_a_notice() => {
                self.say_lines(out, "run", Tone::Faint, message);
            }
            Fact::Warning { message, .. } => {
                let subject =
                    place.map_or_else(|| "warning".to_owned(), |at| format!("{}: warning", label(at)));
                self.say_lines(out, &subject, Tone::Caution, message);
            }
            Fact::GroupStarted { .. }
            | Fact::Recorded { .. }
            | Fact::AttemptStarted
            | Fact::AttemptEnded { .. }
            | Fact::TaskEnded { .. }
            | Fact::GroupEnded { .. }
            | Fact::Flow { .. }
            | Fact::Log { .. } => {
                if let Some(place) = place {
                    self.tell_at(place, &event.fact, board.row(place), out);
                }
            }
        }
    }

    fn tell_at(&mut self, place: &Place, fact: &Fact, row: Option<&Row>, out: &mut String) {
        match fact {
            Fact::GroupStarted { branches, concurrency } => {
                if self.steps {
                    self.tell_group_start(place, *branches, *concurrency, out);
                }
            }
            Fact::Flow { request, target } => {
                let said = match (*request, target) {
                    ("finish", _) => "finishes the run".to_owned(),
                    ("abort", _) => "aborts the run".to_owned(),
                    ("goto", Some(target)) => format!("goes on to {}", text::line(target)),
                    (_, Some(target)) => format!("starts {}", text::line(target)),
                    (_, None) => "runs again".to_owned(),
                };
                let ends = matches!(*request, "finish" | "abort");
                if ends || self.steps {
                    self.say(out, &label(place), if ends { Tone::Caution } else { Tone::Faint }, &said);
                }
            }
            Fact::Recorded { succeeded } => {
                if self.steps {
                    let said = match place.group {
                        Some(_) => {
                            format!("{} had succeeded before", counted(*succeeded, "branch", "branches"))
                        }
                        None => "had succeeded before".to_owned(),
                    };
                    self.say(out, &label(place), Tone::Faint, &said);
                }
            }
            Fact::AttemptStarted => {
                if self.steps && place.attempt.unwrap_or(1) == 1 && is_listed(row) {
                    self.say(out, &label(place), Tone::Faint, "started");
                }
            }
            Fact::AttemptEnded { ending: Ending::Succeeded, elapsed, usage, .. } => {
                if self.steps && is_listed(row) {
                    let attempt = match place.attempt {
                        Some(number @ 2..) => format!(", attempt {number}"),
                        Some(_) | None => String::new(),
                    };
                    let said = format!("succeeded in {}{attempt}", duration(took(*elapsed, usage)));
                    self.say(out, &label(place), Tone::Good, &said);
                }
            }
            Fact::AttemptEnded { ending: Ending::Cancelled, .. } => {}
            Fact::AttemptEnded { ending, elapsed, usage, error, retry_in, .. } => {
                let mut said = format!("attempt {} {}", place.attempt.unwrap_or(1), ending.name());
                let _infallible = write!(said, " after {}", duration(took(*elapsed, usage)));
                if let Some(error) = error {
                    let _infallible = write!(said, ": {}", text::first_line(error));
                    self.told = Some((label(place), Arc::clone(error)));
                }
                match retry_in {
                    Some(delay) if delay.is_zero() => said.push_str("; again"),
                    Some(delay) => {
                        let _infallible = write!(said, "; again in {}", duration(*delay));
                    }
                    None => {}
                }
                let tone = if retry_in.is_some() { Tone::Caution } else { Tone::Bad };
                self.say(out, &label(place), tone, &said);
            }
            Fact::TaskEnded { ending, attempts, error } => {
                self.tell_end(place, *ending, *attempts, error.as_ref(), row, out);
            }
            Fact::GroupEnded { status, counts, elapsed, totals, reason, .. } => {
                let mut said = status.name().to_owned();
                if *status != Status::Skipped {
                    let _infallible = write!(said, " in {}", duration(*elapsed));
                    if place.group.is_some() {
                        let _infallible = write!(said, ": {}", endings(counts));
                        if *status == Status::Succeeded && counts.failed > 0 {
                            said.push_str(" (tolerated)");
                        }
                    }
                    if let Some(figures) = metrics(&totals.metrics, FIGURES) {
                        let _infallible = write!(said, "; {figures}");
                    }
                }
                if let Some(reason) = reason {
                    let _infallible = write!(said, ": {}", text::first_line(reason));
                }
                self.say(out, &label(place), tone_of(*status), &said);
            }
            Fact::Log { level, stream, message, cut } => {
                let mut subject = label(place);
                if *stream == Stream::Log && *level != Level::Info {
                    let _infallible = write!(subject, ": {}", level.name());
                }
                let tone = match level {
                    _ if *cut => Tone::Faint,
                    Level::Trace | Level::Debug => Tone::Faint,
                    Level::Info => Tone::Plain,
                    Level::Warn => Tone::Caution,
                    Level::Error => Tone::Bad,
                };
                self.say_lines(out, &subject, tone, message);
            }
            Fact::RunStarted(_)
            | Fact::Progress { .. }
            | Fact::Metric { .. }
            | Fact::ChannelWrite(_)
            | Fact::Warning { .. }
            | Fact::RunEnded { .. } => {}
        }
    }

    fn tell_group_start(
        &self,
        place: &Place,
        branches: Option<u64>,
        concurrency: Option<u32>,
        out: &mut String,
    ) {
        let mut said = "started".to_owned();
        if place.group.is_some() {
            if let Some(branches) = branches {
                let _infallible = write!(said, ", {}", counted(branches, "branch", "branches"));
            }
            if let Some(concurrency) = concurrency {
                let _infallible = write!(said, ", at most {} at once", count(u64::from(concurrency)));
            }
        }
        self.say(out, &label(place), Tone::Faint, &said);
    }

    fn tell_end(
        &mut self,
        place: &Place,
        ending: Ending,
        attempts: u32,
        error: Option<&Arc<str>>,
        row: Option<&Row>,
        out: &mut String,
    ) {
        match ending {
            Ending::Succeeded => {}
            Ending::Cancelled if !self.steps || !is_listed(row) => {}
            Ending::Cancelled
            | Ending::Failed
            | Ending::Trapped
            | Ending::TimedOut
            | Ending::Rejected
            | Ending::Lost => {
                let subject = label(place);
                let mut said = ending.name().to_owned();
                if attempts > 0 {
                    let _infallible =
                        write!(said, " after {}", counted(u64::from(attempts), "attempt", "attempts"));
                }
                let told = self.told.take();
                let repeated = told.is_some_and(|(at, told)| at == subject && Some(&told) == error);
                if let Some(error) = error.filter(|_| !repeated) {
                    let _infallible = write!(said, ": {}", text::first_line(error));
                }
                // That the only attempt failed was said when it ended.
                if !(repeated && attempts == 1) {
                    let tone = if ending == Ending::Cancelled { Tone::Caution } else { Tone::Bad };
                    self.say(out, &subject, tone, &said);
                }
            }
        }
        if let Some(row) = row
            && self.steps
            && row.group
            && let Some(said) = tenth(row)
        {
            self.say(out, &text::line(&row.name), Tone::Faint, &said);
        }
    }

    fn say_lines(&self, out: &mut String, subject: &str, tone: Tone, message: &str) {
        for line in text::lines(message) {
            self.say(out, subject, tone, &line);
        }
    }

    fn say(&self, out: &mut String, subject: &str, tone: Tone, said: &str) {
        out.push_str(subject);
        out.push_str(": ");
        self.paint.push(out, tone, said);
        out.push('\n');
    }
}

/// How long an attempt took: its guest, where one ran. Before that it may have waited for its turn.
fn took(elapsed: Duration, usage: &Usage) -> Duration {
    if usage.wall.is_zero() { elapsed } else { usage.wall }
}

/// Whether the branches are told one by one. A lone task's start and end are its group's.
fn is_listed(row: Option<&Row>) -> bool {
    row.is_some_and(|row| row.group && row.branches.is_some_and(|branches| branches <= LISTED))
}

/// How far a group has come that is not listed, whenever another tenth of it has ended.
fn tenth(row: &Row) -> Option<String> {
    let ended = row.counts.ended();
    let total = row.branches.filter(|branches| *branches > LISTED);
    let due = match total {
        // Reached by this branch: one less had not reached it.
        Some(total) => ended < total && ended * 10 / total > (ended - 1) * 10 / total,
        None => row.branches.is_none() && ended.is_multiple_of(1_000),
    };
    let of = total.map_or_else(String::new, |total| format!(" of {}", count(total)));
    due.then(|| format!("{}{of} ended: {}", count(ended), endings(&row.counts)))
}

/// How a status sounds.
pub(super) fn tone_of(status: Status) -> Tone {
    match status {
        Status::Succeeded => Tone::Good,
        Status::Failed => Tone::Bad,
        Status::Cancelled | Status::Skipped => Tone::Caution,
        Status::Pending | Status::Running => Tone::Plain,
    }
}
