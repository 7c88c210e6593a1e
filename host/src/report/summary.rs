//! What stands at the end of a run: what failed, with the guest's last words, and one line that
//! says how it all went. It keeps a bounded amount, however much fails and however much is logged.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::figures::{count, counted, duration, endings, metrics};
use super::narrator::{label, tone_of};
use super::paint::{Paint, Tone};
use super::tolerance::Tolerance;
use super::{Interest, Reporter, text};
use crate::model::{Counts, Ending, Event, Fact, Place, Status, Totals};

/// So many failures are told in full.
const IN_FULL: usize = 10;

/// So many causes of the other failures are told apart.
const CAUSES: usize = 20;

/// So many of a branch's last lines are kept.
const LAST_LINES: usize = 5;

/// So many lines of an error after the first, mostly frames of a backtrace, are told.
const REST: usize = 8;

/// Of so many branches at once. The longest known is forgotten first.
const BRANCHES: usize = 1_024;

/// So many bytes of a kept line at most.
const LINE: usize = 4_096;

/// So many skipped tasks and groups are named.
const SKIPPED: usize = 10;

/// So many figures of a group are shown, and of so many groups and lone tasks.
const FIGURES: usize = 6;
const NODES: usize = 10;

/// So many figures of the run are shown.
const FIGURES_OF_RUN: usize = 20;

/// Prints, when the run has ended, what failed and how it went.
pub struct Summary {
    out: Box<dyn Write + Send>,
    paint: Paint,
    name: Arc<str>,
    tails: Tails,
    failures: Vec<Failure>,
    /// Those beyond the bound, by their groups.
    causes: BTreeMap<(Option<Arc<str>>, Ending, String), u64>,
    tolerance: Tolerance,
    skipped: Vec<Arc<str>>,
    skipped_more: u64,
    ended: Option<(Status, Counts, Duration, Totals)>,
    /// Figures of groups and lone tasks.
    figures: Vec<String>,
    figures_more: u64,
    quiet: bool,
}

impl Summary {
    /// Prints to `out`, in colour if `color`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, color: bool) -> Self {
        Self {
            out,
            paint: Paint { color },
            name: Arc::from("run"),
            tails: Tails::default(),
            failures: Vec::new(),
            causes: BTreeMap::new(),
            tolerance: Tolerance::default(),
            skipped: Vec::new(),
            skipped_more: 0,
            ended: None,
            figures: Vec::new(),
            figures_more: 0,
            quiet: false,
        }
    }

    /// Says nothing of a run in which all went well: one that succeeded without a failure.
    #[must_use]
    pub fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// How many bytes of guests' lines are kept.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.tails.known.values().flat_map(|tail| &tail.lines).map(|line| line.len()).sum()
    }

    fn take(&mut self, event: &Event) {
        let place = event.place.as_ref();
        match (&event.fact, place) {
            (Fact::RunStarted(run), _) => self.name = Arc::clone(&run.name),
            (Fact::RunEnded { status, counts, elapsed, totals }, _) => {
                self.ended = Some((*status, *counts, *elapsed, (**totals).clone()));
            }
            (Fact::Log { message, .. }, Some(place)) => self.tails.push(place, message),
            (Fact::TaskEnded { ending, attempts, error }, Some(place)) => {
                let tail = self.tails.take(place);
                self.task_ended(place, *ending, *attempts, error.as_deref(), tail);
            }
            (Fact::GroupEnded { status, counts, within, reason, totals, .. }, Some(place)) => {
                self.group_ended(place, *status, reason.as_deref());
                if let Some(group) = &place.group {
                    self.tolerance.group_ended(group, *status, counts, within.as_ref());
                }
                self.take_figures(place, totals);
            }
            (
                Fact::GroupStarted { .. }
                | Fact::Recorded { .. }
                | Fact::AttemptStarted
                | Fact::AttemptEnded { .. }
                | Fact::TaskEnded { .. }
                | Fact::GroupEnded { .. }
                | Fact::Log { .. }
                | Fact::Progress { .. }
                | Fact::Metric { .. }
                | Fact::Flow { .. }
                | Fact::ChannelWrite(_)
                | Fact::Warning { .. },
                _,
            ) => {}
        }
    }

    fn task_ended(
        &mut self,
        place: &Place,
        ending: Ending,
        attempts: u32,
        error: Option<&str>,
        tail: VecDeque<Arc<str>>,
    ) {
        match ending {
            Ending::Succeeded | Ending::Cancelled => return,
            Ending::Failed | Ending::Trapped | Ending::TimedOut | Ending::Rejected | Ending::Lost => {}
        }
        if let (Some(group), None) = (&place.group, place.index) {
            self.tolerance.join_failed(group);
        }
        if self.failures.len() >= IN_FULL {
            self.count_cause(place, ending, error);
            return;
        }
        let mut told = label(place);
        if let (Some(_), Some(task), Some(_)) = (&place.group, &place.task, place.index) {
            let _infallible = write!(told, " (task {})", text::line(task));
        }
        let _infallible = write!(told, ": {}", ending.name());
        if let Some(attempt) = place.attempt.or(Some(attempts)).filter(|number| *number > 0) {
            let _infallible = write!(told, " in attempt {attempt}");
        }
        self.push_failure(place, told, error, tail);
    }

    fn group_ended(&mut self, place: &Place, status: Status, reason: Option<&str>) {
        match status {
            // A group that failed by its branches has no reason of its own.
            Status::Failed if reason.is_some() => {
                if self.failures.len() >= IN_FULL {
                    self.count_cause(place, Ending::Rejected, reason);
                } else {
                    self.push_failure(place, format!("{}: failed", label(place)), reason, VecDeque::new());
                }
            }
            Status::Skipped => match place.group.as_ref().or(place.task.as_ref()) {
                Some(name) if self.skipped.len() < SKIPPED => self.skipped.push(Arc::clone(name)),
                Some(_) | None => self.skipped_more += 1,
            },
            Status::Pending | Status::Running | Status::Succeeded | Status::Failed | Status::Cancelled => {}
        }
    }

    fn take_figures(&mut self, place: &Place, totals: &Totals) {
        match metrics(&totals.metrics, FIGURES) {
            None => {}
            Some(_) if self.figures.len() >= NODES => self.figures_more += 1,
            Some(figures) => self.figures.push(format!("{}: {figures}", label(place))),
        }
    }

    /// What the run used, behind how it ended, and a line for each figure's owner.
    fn tell_totals(&self, counts: &Counts, totals: &Totals, out: &mut String) {
        let not_needed = self.tolerance.counts();
        match not_needed.failed {
            0 => {}
            // What is cancelled stands between the failed and this.
            tolerated if tolerated == counts.failed && not_needed.cancelled == counts.cancelled => {
                out.push_str(" (tolerated)");
            }
            tolerated => {
                let _infallible = write!(out, " ({} failed tolerated)", count(tolerated));
            }
        }
        let needed = Counts {
            failed: counts.failed.saturating_sub(not_needed.failed),
            cancelled: counts.cancelled.saturating_sub(not_needed.cancelled),
            ..*counts
        };
        if let Some(rate) = needed.success_rate().filter(|rate| *rate < 1.0) {
            // Never 100 where something is missing.
            let _infallible = write!(out, " ({}%)", (rate * 1_000.0).floor() / 10.0);
        }
        if counts.ended() > 1 {
            let _infallible = write!(out, "; {} in guests", duration(totals.guest));
        }
        if let Some(fuel) = totals.fuel {
            let _infallible = write!(out, "; {} fuel", count(fuel));
        }
        out.push('\n');
        // One group's figures are the run's.
        if self.figures.len() > 1 {
            for figures in &self.figures {
                let _infallible = writeln!(out, "    {figures}");
            }
        }
        if self.figures_more > 0 {
            let more = counted(self.figures_more, "more task or group has", "more tasks and groups have");
            let _infallible = writeln!(out, "    {more} figures");
        }
        if let Some(figures) = metrics(&totals.metrics, FIGURES_OF_RUN) {
            let _infallible = writeln!(out, "    total: {figures}");
        }
    }

    fn push_failure(
        &mut self,
        place: &Place,
        headline: String,
        error: Option<&str>,
        tail: VecDeque<Arc<str>>,
    ) {
        let mut told = String::new();
        let mut error = error.map(text::lines).into_iter().flatten();
        let headline = match error.next() {
            Some(first) => format!("{headline}: {first}"),
            None => headline,
        };
        if !tail.is_empty() {
            let said = if tail.len() == 1 { "    its last line:" } else { "    its last lines:" };
            self.paint.push(&mut told, Tone::Faint, said);
            told.push('\n');
        }
        for line in tail.iter().flat_map(|message| text::lines(message)) {
            let _infallible = writeln!(told, "    | {line}");
        }
        // What the guest said tells people more than where in its code it stopped.
        for line in error.by_ref().take(REST) {
            let _infallible = writeln!(told, "    {line}");
        }
        let left = error.count() as u64;
        if left > 0 {
            let _infallible = writeln!(told, "    and {}", counted(left, "more line", "more lines"));
        }
        self.failures.push(Failure { group: place.group.clone(), headline, told });
    }

    fn count_cause(&mut self, place: &Place, ending: Ending, error: Option<&str>) {
        let mut cause: String = error.map(text::first_line).unwrap_or_default().chars().take(160).collect();
        // Beyond the bound, all of an ending are one cause.
        let key = |cause| (place.group.clone(), ending, cause);
        if self.causes.len() >= CAUSES && !self.causes.contains_key(&key(cause.clone())) {
            cause = String::new();
        }
        *self.causes.entry(key(cause)).or_default() += 1;
    }

    fn tell(&self) -> String {
        let mut out = String::new();
        for Failure { group, headline, told } in &self.failures {
            match self.tolerance.covers(group.as_ref()) {
                true => self.paint.push(&mut out, Tone::Caution, &format!("tolerated: {headline}")),
                false => self.paint.push(&mut out, Tone::Bad, headline),
            }
            out.push('\n');
            out.push_str(told);
        }
        self.tell_causes(false, &mut out);
        self.tell_causes(true, &mut out);
        if !self.skipped.is_empty() {
            let mut names = self.skipped.iter().map(|name| text::line(name)).collect::<Vec<_>>().join(", ");
            if self.skipped_more > 0 {
                let _infallible = write!(names, " and {} more", count(self.skipped_more));
            }
            let _infallible = writeln!(out, "skipped: {names}");
        }
        if let Some((status, counts, elapsed, totals)) = &self.ended {
            let _infallible = write!(out, "{}: ", text::line(&self.name));
            self.paint.push(&mut out, tone_of(*status), status.name());
            let _infallible = write!(out, " in {}: {}", duration(*elapsed), endings(counts));
            self.tell_totals(counts, totals, &mut out);
        }
        out
    }
}

impl Summary {
    /// What is told of failures beyond the bound: those that were tolerated, or the others.
    fn tell_causes(&self, tolerated: bool, out: &mut String) {
        let mut causes: BTreeMap<(Ending, &str), u64> = BTreeMap::new();
        for ((group, ending, cause), number) in &self.causes {
            if self.tolerance.covers(group.as_ref()) == tolerated {
                *causes.entry((*ending, cause)).or_default() += number;
            }
        }
        let more: u64 = causes.values().sum();
        if more == 0 {
            return;
        }
        let (tone, which) = if tolerated { (Tone::Caution, ", tolerated") } else { (Tone::Bad, "") };
        let headline = format!("and {}{which}:", counted(more, "more failure", "more failures"));
        self.paint.push(out, tone, &headline);
        out.push('\n');
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        for ((ending, cause), number) in causes {
            let colon = if cause.is_empty() { "" } else { ": " };
            let _infallible = writeln!(out, "    {} {}{colon}{cause}", count(number), ending.name());
        }
    }
}

impl Reporter for Summary {
    fn interest(&self) -> Interest {
        Interest { logs: true, ..Interest::default() }
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        for event in events {
            self.take(event);
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.quiet && matches!(self.ended, Some((Status::Succeeded, Counts { failed: 0, .. }, ..))) {
            return Ok(());
        }
        let told = self.tell();
        self.out.write_all(told.as_bytes())?;
        self.out.flush()
    }
}

/// What is told of a failure in full.
struct Failure {
    /// Of which group, if of any.
    group: Option<Arc<str>>,
    headline: String,
    /// What stands below it.
    told: String,
}

/// The last lines of branches that have not ended, as far as is known: the ends of successes may not
/// be told, so the oldest make way.
#[derive(Default)]
struct Tails {
    known: HashMap<Key, Tail>,
    /// In the order in which branches first spoke. May name some that have gone.
    order: VecDeque<(Key, u64)>,
    born: u64,
}

/// The group or lone task, and the branch.
type Key = (Option<Arc<str>>, Option<Arc<str>>, Option<u32>);

struct Tail {
    born: u64,
    attempt: Option<u32>,
    lines: VecDeque<Arc<str>>,
}

fn key(place: &Place) -> Key {
    let task = if place.group.is_some() { None } else { place.task.clone() };
    (place.group.clone(), task, place.index)
}

impl Tails {
    fn push(&mut self, place: &Place, message: &Arc<str>) {
        let key = key(place);
        if !self.known.contains_key(&key) {
            self.make_room();
            self.born += 1;
            self.order.push_back((key.clone(), self.born));
        }
        let born = self.born;
        let tail = self.known.entry(key).or_insert_with(|| Tail {
            born,
            attempt: place.attempt,
            lines: VecDeque::new(),
        });
        if tail.attempt != place.attempt {
            tail.attempt = place.attempt;
            tail.lines.clear();
        }
        if tail.lines.len() == LAST_LINES {
            tail.lines.pop_front();
        }
        tail.lines.push_back(cut(message));
    }

    fn take(&mut self, place: &Place) -> VecDeque<Arc<str>> {
        self.known.remove(&key(place)).map(|tail| tail.lines).unwrap_or_default()
    }

    fn make_room(&mut self) {
        if self.order.len() >= 2 * BRANCHES {
            let known = &self.known;
            self.order.retain(|(key, born)| known.get(key).is_some_and(|tail| tail.born == *born));
        }
        while self.known.len() >= BRANCHES
            && let Some((key, born)) = self.order.pop_front()
        {
            if self.known.get(&key).is_some_and(|tail| tail.born == born) {
                self.known.remove(&key);
            }
        }
    }
}

/// The line, or its beginning, so that what is kept is bounded.
fn cut(message: &Arc<str>) -> Arc<str> {
    if message.len() <= LINE {
        return Arc::clone(message);
    }
    let end = (0..=LINE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    Arc::from(format!("{}…", message.get(..end).unwrap_or_default()))
}
