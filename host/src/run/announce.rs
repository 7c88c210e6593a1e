//! Orders and stamps events, and hands them to every reporter. Nothing that is secret passes.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use super::secrets::Secrets;
use crate::model::{Event, Fact, Place, Warning};
use crate::report::{Interest, Reporter};

/// Orders and stamps events, and hands them to every reporter in turn.
pub(crate) struct Announcer {
    reporters: Vec<Box<dyn Reporter>>,
    interest: Interest,
    waiting: Vec<Event>,
    /// Events that are told once the journal has written so many facts.
    held: VecDeque<(u64, Vec<Event>)>,
    sequence: u64,
    secrets: Secrets,
}

impl Announcer {
    pub(crate) fn new(reporters: Vec<Box<dyn Reporter>>, secrets: Secrets) -> Self {
        let interest = reporters.iter().fold(Interest::default(), |all, reporter| {
            let one = reporter.interest();
            Interest {
                starts: all.starts || one.starts,
                successes: all.successes || one.successes,
                logs: all.logs || one.logs,
                progress: all.progress || one.progress,
                writes: all.writes || one.writes,
            }
        });
        Self { reporters, interest, waiting: Vec::new(), held: VecDeque::new(), sequence: 0, secrets }
    }

    /// What any reporter wants.
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    /// Whether anyone listens.
    pub(crate) fn is_heard(&self) -> bool {
        !self.reporters.is_empty()
    }

    /// Adds an event to those that the next [`Announcer::flush`] hands over.
    pub(crate) fn announce(&mut self, place: Option<Place>, fact: Fact) {
        if !self.is_heard() {
            return;
        }
        let fact = if self.secrets.is_empty() { fact } else { self.redacted(fact) };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.waiting.push(Event { sequence: self.sequence, time, place, fact });
        self.sequence += 1;
    }

    /// Hands the waiting events over that the journal's facts up to `recorded` lead to, once so many are
    /// `written`. A reporter that fails is left out from here on, and the others are told.
    pub(crate) fn flush(&mut self, recorded: u64, written: u64) {
        loop {
            if !self.waiting.is_empty() {
                self.held.push_back((recorded, std::mem::take(&mut self.waiting)));
            }
            if self.held.front().is_none_or(|(due, _)| *due > written) {
                return;
            }
            let Some((_, events)) = self.held.pop_front() else { return };
            self.each(|reporter| reporter.report(&events));
        }
    }

    /// Forgets what waits for a journal that has failed.
    pub(crate) fn forget_held(&mut self) {
        self.held.clear();
        self.waiting.clear();
    }

    /// Lets displays move.
    pub(crate) fn tick(&mut self) {
        self.each(|reporter| reporter.tick());
    }

    /// Hands over what waits and takes leave.
    pub(crate) fn finish(&mut self) {
        self.flush(0, u64::MAX);
        self.each(|reporter| reporter.finish());
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Reporter) -> std::io::Result<()>) {
        let mut failures = Vec::new();
        self.reporters.retain_mut(|reporter| match act(&mut **reporter) {
            Ok(()) => true,
            Err(error) => {
                failures.push(error);
                false
            }
        });
        for error in failures {
            let message = format!("a reporter failed and is left out: {error}").into();
            self.announce(None, Fact::Warning { kind: Warning::ReporterFailed, message });
        }
    }

    fn redacted(&self, fact: Fact) -> Fact {
        let text = |text| self.secrets.redact(text);
        let maybe = |error: Option<_>| error.map(text);
        match fact {
            Fact::AttemptEnded { ending, elapsed, usage, cached, error, retry_in } => {
                Fact::AttemptEnded { ending, elapsed, usage, cached, error: maybe(error), retry_in }
            }
            Fact::TaskEnded { ending, attempts, error } => {
                Fact::TaskEnded { ending, attempts, error: maybe(error) }
            }
            Fact::GroupEnded { status, counts, within, elapsed, totals, reason } => {
                Fact::GroupEnded { status, counts, within, elapsed, totals, reason: maybe(reason) }
            }
            Fact::Log { level, stream, message, cut } => {
                Fact::Log { level, stream, message: text(message), cut }
            }
            Fact::Progress { done, total, message } => {
                Fact::Progress { done, total, message: maybe(message) }
            }
            Fact::Warning { kind, message } => Fact::Warning { kind, message: text(message) },
            Fact::RunStarted(_)
            | Fact::GroupStarted { .. }
            | Fact::Recorded { .. }
            | Fact::AttemptStarted
            | Fact::Metric { .. }
            | Fact::Flow { .. }
            | Fact::ChannelWrite(_)
            | Fact::RunEnded { .. } => fact,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::{Level, Stream};

    struct Keep(Arc<Mutex<Vec<Event>>>);

    impl Reporter for Keep {
        fn report(&mut self, events: &[Event]) -> io::Result<()> {
            self.0.lock().unwrap().extend_from_slice(events);
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Reporter for Broken {
        fn report(&mut self, _: &[Event]) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_not_written_is_not_told() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(Keep(Arc::clone(&kept)))];
        let mut announcer = Announcer::new(reporters, Secrets::default());
        let told = || kept.lock().unwrap().len();
        announcer.announce(None, log("one"));
        announcer.flush(0, 0);
        assert_eq!(told(), 1, "nothing recorded leads to it");
        announcer.announce(None, log("two"));
        announcer.flush(5, 4);
        announcer.announce(None, log("three"));
        announcer.flush(6, 4);
        assert_eq!(told(), 1);
        announcer.flush(6, 5);
        assert_eq!(told(), 2);
        announcer.flush(6, 6);
        assert_eq!(told(), 3);
        announcer.announce(None, log("four"));
        announcer.flush(7, 6);
        announcer.forget_held();
        announcer.finish();
        assert_eq!(told(), 3);
    }

    fn log(message: &str) -> Fact {
        Fact::Log { level: Level::Info, stream: Stream::Stdout, message: message.into(), cut: false }
    }

    #[test]
    fn a_reporter_that_fails_is_left_out_and_the_others_are_told() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(Broken), Box::new(Keep(Arc::clone(&kept)))];
        let mut announcer = Announcer::new(reporters, Secrets::default());
        announcer.announce(None, log("one"));
        announcer.flush(0, u64::MAX);
        announcer.announce(None, log("two"));
        announcer.finish();
        let kept = kept.lock().unwrap();
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(matches!(kept[1].fact, Fact::Warning { kind: Warning::ReporterFailed, .. }));
        assert!(kept.iter().enumerate().all(|(at, event)| event.sequence == at as u64));
    }
}
