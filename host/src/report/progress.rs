//! The display for terminals: one line a group or lone task that runs, redrawn in place, and above
//! them what scrolls by. Events only change numbers; drawing happens at ticks.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::{Board, Row};
use super::figures::{count, duration, rate};
use super::narrator::Narrator;
use super::{Interest, Reporter, text};
use crate::model::Event;

/// Lines above the bars are printed at the next tick, or when so many bytes wait.
const PENDING: usize = 64 * 1024;

/// Rates are taken over so many microseconds at most.
const WINDOW: u64 = 10_000_000;

/// Draws bars.
pub struct Progress {
    multi: MultiProgress,
    color: bool,
    board: Board,
    narrator: Narrator,
    pending: String,
    /// One for each row of the board, in its order.
    bars: Vec<Bar>,
    changed: bool,
}

/// The line of one group or lone task.
#[derive(Default)]
struct Bar {
    shown: Option<ProgressBar>,
    /// Times in microseconds, and how many branches had ended by then.
    samples: VecDeque<(u64, u64)>,
}

impl Progress {
    /// Draws on standard error, in colour if `color`. It must be a terminal: elsewhere nothing is
    /// shown.
    #[must_use]
    pub fn stderr(color: bool) -> Self {
        // Ticks draw in any case, and nothing else should.
        Self::new(ProgressDrawTarget::stderr_with_hz(1), color)
    }

    /// Draws on `target`, in colour if `color`.
    #[must_use]
    pub fn new(target: ProgressDrawTarget, color: bool) -> Self {
        Self {
            multi: MultiProgress::with_draw_target(target),
            color,
            board: Board::default(),
            narrator: Narrator::new(color, false),
            pending: String::new(),
            bars: Vec::new(),
            changed: false,
        }
    }

    fn print_pending(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // The width of a tab depends on where it stands, which would break the layout.
        let lines = self.pending.replace('\t', "    ");
        self.pending.clear();
        self.multi.println(lines)
    }

    fn draw(&mut self) {
        if !self.changed {
            return;
        }
        self.changed = false;
        let rows = self.board.rows();
        self.bars.resize_with(rows.len(), Bar::default);
        let mut last = None;
        for (row, bar) in rows.iter().zip(&mut self.bars) {
            if row.ended {
                if let Some(shown) = bar.shown.take() {
                    self.multi.remove(&shown);
                }
                continue;
            }
            let shown = bar.shown.get_or_insert_with(|| self.multi.add(new_bar(row, self.color)));
            let message = message(row, bar.samples.make_contiguous(), self.board.now());
            sample(&mut bar.samples, self.board.now(), row.counts.ended());
            let (done, total) = position(row);
            if shown.length() != total
                && let Some(total) = total
            {
                if shown.length().is_none() {
                    shown.set_style(style(true, self.color));
                }
                shown.set_length(total);
            }
            // Unlike the setters, these do not draw, so that the lines change together.
            last = Some(shown.clone().with_position(done).with_message(message));
            shown.tick();
        }
        if let Some(bar) = last {
            bar.force_draw();
        }
    }
}

impl Reporter for Progress {
    fn interest(&self) -> Interest {
        Interest { starts: true, successes: true, logs: true, progress: true, writes: false }
    }

    fn report(&mut self, events: &[Event]) -> io::Result<()> {
        for event in events {
            self.board.apply(event);
            self.narrator.tell(event, &self.board, &mut self.pending);
            if self.pending.len() >= PENDING {
                self.print_pending()?;
            }
        }
        self.changed |= !events.is_empty();
        Ok(())
    }

    fn tick(&mut self) -> io::Result<()> {
        self.print_pending()?;
        self.draw();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.print_pending()?;
        for bar in self.bars.drain(..).filter_map(|bar| bar.shown) {
            self.multi.remove(&bar);
        }
        self.multi.clear()
    }
}

/// How a bar looks, by whether its length is known.
fn style(known: bool, color: bool) -> ProgressStyle {
    let template = match (known, color) {
        (false, _) => "{prefix:20!} {wide_msg}",
        (true, true) => "{prefix:20!} [{wide_bar:.cyan/dim}] {msg}",
        (true, false) => "{prefix:20!} [{wide_bar}] {msg}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn new_bar(row: &Row, color: bool) -> ProgressBar {
    let bar = match position(row).1 {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    let style = style(bar.length().is_some(), color);
    bar.with_style(style).with_prefix(text::line(&row.name).into_owned())
}

/// How much is done, and of how much: the guest's own word in a lone task that gives it.
fn position(row: &Row) -> (u64, Option<u64>) {
    match &row.progress {
        Some(progress) if progress.total.is_some() => (progress.done, progress.total),
        Some(_) | None => (row.counts.ended(), row.branches),
    }
}

fn sample(samples: &mut VecDeque<(u64, u64)>, now: u64, ended: u64) {
    samples.push_back((now, ended));
    // The oldest one that is kept is the last before the window.
    while samples.get(1).is_some_and(|(time, _)| now.saturating_sub(*time) >= WINDOW) {
        samples.pop_front();
    }
}

/// `12/16, 4 running, 1 failed, 3.2/s, 2 s left`, as far as each is known and worth a word.
fn message(row: &Row, samples: &[(u64, u64)], now: u64) -> String {
    let mut parts = Vec::new();
    if row.group {
        let ended = row.counts.ended();
        parts.push(match row.branches {
            Some(total) => format!("{}/{}", count(ended), count(total)),
            None => format!("{} ended", count(ended)),
        });
        parts.push(format!("{} running", count(row.running)));
        if row.counts.failed > 0 {
            parts.push(format!("{} failed", count(row.counts.failed)));
        }
        let (since, before) = samples.first().copied().unwrap_or((row.started, 0));
        let seconds = now.saturating_sub(since) as f64 / 1e6;
        let per_second = ended.saturating_sub(before) as f64 / seconds;
        if per_second > 0.0 && per_second.is_finite() {
            parts.push(rate(per_second));
            if let Some(left) = row.branches.map(|total| total.saturating_sub(ended)).filter(|left| *left > 0)
                && let Ok(left) = Duration::try_from_secs_f64(left as f64 / per_second)
            {
                parts.push(format!("{} left", duration(left)));
            }
        }
    } else if let Some(progress) = &row.progress {
        parts.push(match progress.total {
            Some(total) => format!("{}/{}", count(progress.done), count(total)),
            None => count(progress.done),
        });
        parts.extend(progress.message.as_ref().map(|message| text::first_line(message).into_owned()));
    } else {
        parts.push(if row.running > 0 { "running" } else { "waiting" }.to_owned());
    }
    parts.join(", ").replace('\t', " ")
}
