//! `flowhost runs`: what was run, and how it stands.

use serde_json::json;

use super::exit::Exit;
use super::kept::Kept;
use super::output::{say, told};
use super::recording::failed;
use crate::embed::{self, Listed};
use crate::journal::Standing;
use crate::model::Counts;
use crate::report::harmless_json;

#[derive(clap::Args, Debug)]
pub(super) struct Runs {
    #[command(flatten)]
    kept: Kept,
    /// Print one JSON array
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

/// One run, in a line.
struct Line {
    id: String,
    workflow: String,
    status: String,
    began: String,
    counts: Counts,
    /// The process that works on it.
    process: Option<String>,
}

impl Runs {
    pub(super) fn execute(self) -> Exit {
        match self.lines() {
            Ok(lines) => self.print(&lines),
            Err(exit) => exit,
        }
    }

    fn lines(&self) -> Result<Vec<Line>, Exit> {
        let runs = embed::runs(&self.kept.place()).map_err(|failure| failed(&failure))?;
        Ok(runs.into_iter().map(line).collect())
    }

    fn print(&self, lines: &[Line]) -> Exit {
        let text = if self.json {
            let object = |line: &Line| {
                json!({
                    "run": line.id, "name": line.workflow, "status": line.status, "began": line.began,
                    "succeeded": line.counts.succeeded, "failed": line.counts.failed,
                    "cancelled": line.counts.cancelled, "process": line.process,
                })
            };
            harmless_json(&serde_json::Value::Array(lines.iter().map(object).collect()))
        } else if lines.is_empty() {
            say(&format!("there are no runs in `{}`", self.kept.place().display()));
            return Exit::Succeeded;
        } else {
            let width =
                |of: fn(&Line) -> &str| lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0);
            let (names, stands) = (width(|line| &line.workflow), width(|line| &line.status));
            let text = |line: &Line| {
                let Counts { succeeded, failed, cancelled, .. } = line.counts;
                let process =
                    line.process.as_ref().map_or_else(String::new, |id| format!(", in process {id}"));
                format!(
                    "{}  {:names$}  {:stands$}  {}  {succeeded} succeeded, {failed} failed, {cancelled} cancelled{process}",
                    line.id, line.workflow, line.status, line.began,
                )
            };
            let lines: Vec<String> = lines.iter().map(text).collect();
            crate::report::harmless(&lines.join("\n")).into_owned()
        };
        told(&text)
    }
}

fn line(listed: Listed) -> Line {
    let status = match (&listed.process, listed.standing) {
        (_, Err(damage)) => {
            say(&format!("warning: run {}: {damage}", listed.run));
            "damaged"
        }
        (Some(_), Ok(_)) => "running",
        (None, Ok(Standing::Ended(end))) => end.status.name(),
        (None, Ok(Standing::Unfinished)) => "unfinished",
    };
    Line {
        id: listed.run.to_string(),
        workflow: listed.start.map_or_else(|| "?".to_owned(), |start| start.name.to_string()),
        status: status.to_owned(),
        began: time(listed.began),
        counts: listed.counts,
        process: listed.process,
    }
}

/// RFC 3339 in UTC, to the second, of microseconds since 1970.
pub(super) fn time(micros: u64) -> String {
    let time =
        i64::try_from(micros / 1_000_000).ok().and_then(|since| jiff::Timestamp::from_second(since).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.to_string())
}
