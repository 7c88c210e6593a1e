//! What a worker says of itself while it works, one line each, for people or for programs. Nothing that
//! comes from outside makes a second line, moves a terminal or gives a password away.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::report::{harmless, harmless_json};

/// Characters of a message or field at most.
const LONGEST: usize = 4_000;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// How much a line matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// As it should be.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where a worker's lines go.
pub struct Log {
    format: Format,
    to: Mutex<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Log").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Log {
    /// To standard error.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self::to(format, Box::new(io::stderr()))
    }

    /// To somewhere else.
    #[must_use]
    pub fn to(format: Format, to: Box<dyn Write + Send>) -> Self {
        Self { format, to: Mutex::new(to) }
    }

    /// Says one thing. `event` is for programs and stays the same, `message` is for people, and `fields` are
    /// what it is about; one called like a key of every line is left out.
    pub fn say(&self, level: Level, event: &'static str, message: &str, fields: &[(&str, String)]) {
        let time = jiff::Timestamp::now();
        let fields = fields.iter().map(|(name, text)| (*name, bounded(text)));
        let mut line = match self.format {
            Format::Plain => {
                let mut line = format!("{time:.3} {}: {}", level.name(), bounded(message));
                for (name, text) in fields {
                    let _infallible = match text.contains([' ', '"', '=']) || text.is_empty() {
                        true => write!(line, " {name}={text:?}"),
                        false => write!(line, " {name}={text}"),
                    };
                }
                harmless(&line.replace('\n', "\\n")).into_owned()
            }
            Format::Json => {
                let own = [
                    ("time", format!("{time:.3}")),
                    ("level", level.name().to_owned()),
                    ("event", event.to_owned()),
                    ("message", bounded(message)),
                ];
                let mut object = Map::new();
                for (name, text) in own.into_iter().chain(fields) {
                    object.entry(name).or_insert(Value::String(text));
                }
                harmless_json(&Value::Object(object))
            }
        };
        line.push('\n');
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can be told that nobody listens.
        let _ = to.write_all(line.as_bytes()).and_then(|()| to.flush());
    }
}

/// A text without passwords, cut where it is long.
fn bounded(text: &str) -> String {
    let text = without_passwords(text);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// A text whose URLs say nothing of who logs in: what stands between `://` and an `@` is `***`.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let ends = |char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '`' | '<' | '>');
        let url = after.find(ends).and_then(|at| after.get(..at)).unwrap_or(after);
        rest = after;
        // The last one: a password may hold others.
        if let Some((_, host)) = url.rsplit_once('@') {
            shown.push_str("***@");
            rest = after.get(url.len() - host.len()..).unwrap_or_default();
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(format: Format, message: &str, fields: &[(&str, String)]) -> String {
        let kept = Kept::default();
        Log::to(format, Box::new(kept.clone())).say(Level::Warning, "redis-lost", message, fields);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_says_when_how_bad_and_what() {
        let fields = [("queue", "default".to_owned()), ("reason", "it said \"no\"".to_owned())];
        let plain = say(Format::Plain, "Redis is gone", &fields);
        let (time, rest) = plain.split_once(' ').unwrap();
        let parsed: jiff::Timestamp = time.parse().unwrap();
        assert!(time.ends_with('Z') && time.len() == 24 && parsed > jiff::Timestamp::UNIX_EPOCH, "{time}");
        assert_eq!(rest, "warning: Redis is gone queue=default reason=\"it said \\\"no\\\"\"\n");
        let json: Value = serde_json::from_str(&say(Format::Json, "Redis is gone", &fields)).unwrap();
        assert_eq!(json["level"], "warning");
        assert_eq!(json["event"], "redis-lost");
        assert_eq!(json["message"], "Redis is gone");
        assert_eq!(json["reason"], "it said \"no\"");
        assert_eq!(json["time"].as_str().unwrap().len(), 24);
    }

    #[test]
    fn p5_what_comes_from_outside_stays_in_its_line() {
        let evil = "\u{1b}[2J\r\nlevel=error\u{202e}";
        for format in [Format::Plain, Format::Json] {
            let line = say(format, evil, &[("worker", evil.to_owned()), ("level", "info".to_owned())]);
            assert_eq!(line.lines().count(), 1, "{line}");
            let text = line.trim_end_matches('\n');
            assert!(!text.chars().any(|char| char.is_control() || char == '\u{202e}'), "{line}");
        }
        let line = say(Format::Json, "x", &[("level", "info".to_owned())]);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["level"], "warning");
        assert!(say(Format::Plain, &"a".repeat(100_000), &[]).len() < 5_000);
    }

    #[test]
    fn no_password_is_told() {
        for (text, shown) in [
            ("redis://host:6379/2", "redis://host:6379/2"),
            ("at rediss://user:se@cret@host/0, and", "at rediss://***@host/0, and"),
            ("`redis://:secret@host` and redis://u:p@h", "`redis://***@host` and redis://***@h"),
            ("a@b is no URL", "a@b is no URL"),
            ("://", "://"),
            ("redis://host then a@b", "redis://host then a@b"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
        let line = say(Format::Plain, "x", &[("url", "redis://user:secret@host".to_owned())]);
        assert!(!line.contains("secret") && line.contains("url=redis://***@host"), "{line}");
    }
}
