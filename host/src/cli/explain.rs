//! `flowhost explain`: what became of one branch, and why the cache did or did not have its outcome.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};

use super::branch::{Branch, branch, standing};
use super::exit::Exit;
use super::kept::Kept;
use super::output::told;
use super::recording::refused;
use super::runs::time;
use crate::journal::{Asked, Attempted, Chapter, Compared, KeyChange, LogLine, Run, Story};
use crate::model::{Ending, Then};
use crate::report::{count, duration, harmless, harmless_json, metrics};

#[derive(clap::Args, Debug)]
pub(super) struct Explain {
    /// The run's id, or the beginning of it
    run: String,
    /// A lone task, or one branch of a group
    #[arg(value_name = "TASK[i]", value_parser = branch)]
    branch: Branch,
    /// As one JSON object
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
    #[command(flatten)]
    kept: Kept,
}

/// So many figures of an attempt are shown.
const FIGURES: usize = 32;

impl Explain {
    pub(super) fn execute(self) -> Exit {
        match self.explained() {
            Ok(text) => told(&text),
            Err(exit) => exit,
        }
    }

    fn explained(&self) -> Result<String, Exit> {
        let run = self.kept.run(&self.run)?;
        let story = self.branch.story(&run)?;
        let state = self.kept.state()?;
        let compared = state.map(|state| state.compare(run.id(), &self.branch.name, &story)).transpose();
        let compared = compared.map_err(|failure| refused(&failure))?.flatten();
        let process = run.process().map_err(|failure| refused(&failure))?;
        if self.json {
            return Ok(harmless_json(&self.object(&run, &story, compared.as_ref())));
        }
        let text = self.text(&run, &story, compared.as_ref(), process.is_some());
        Ok(harmless(text.trim_end()).into_owned())
    }

    fn text(&self, run: &Run, story: &Story, compared: Option<&Compared>, at_work: bool) -> String {
        let mut text = format!(
            "{}[{}] of run {} ({}): {}\n",
            self.branch.name,
            story.index,
            run.id(),
            story.start.name,
            standing(story)
        );
        for chapter in &story.chapters {
            match chapter {
                Chapter::Attempt { time, attempted, .. } => tell(*time, attempted, &mut text),
                Chapter::Unstarted => {}
                Chapter::Again(reason) => {
                    // A string takes all that is written to it.
                    let _ = writeln!(text, "  runs again: {reason}");
                }
            }
        }
        if let Some((attempted, _)) = story.keyed() {
            let _ = writeln!(text, "  cache: {}", why(attempted, compared));
        } else if let Some(Chapter::Attempt { .. }) = story.chapters.last() {
            text.push_str("  cache: not asked, because the task has no `cache` or the run had --no-cache\n");
        }
        let ended =
            matches!(story.chapters.last(), Some(Chapter::Attempt { last: true, .. } | Chapter::Unstarted));
        if !ended && story.status.is_none() && !at_work {
            text.push_str("  the run is not at work: `flowhost run FILE --resume` goes on with it\n");
        }
        text
    }

    fn object(&self, run: &Run, story: &Story, compared: Option<&Compared>) -> Value {
        let mut attempts = Vec::new();
        let mut again = Vec::new();
        for chapter in &story.chapters {
            match chapter {
                Chapter::Attempt { time, attempted, last } => attempts.push(object(*time, attempted, *last)),
                Chapter::Unstarted => {}
                Chapter::Again(reason) => {
                    again.push(json!({ "reason": reason, "after-attempts": attempts.len() }));
                }
            }
        }
        let outcome = match story.chapters.last() {
            Some(Chapter::Attempt { attempted, last: true, .. }) => Some(attempted.ending.name()),
            Some(Chapter::Unstarted) => Some(Ending::Cancelled.name()),
            Some(Chapter::Attempt { .. } | Chapter::Again(_)) | None => None,
        };
        let cache = story.keyed().map(|(attempted, _)| {
            let changed = compared.map(|compared| compared.changes.iter().map(name).collect::<Vec<_>>());
            json!({
                "cached": attempted.cached,
                "compared-with": compared.map(|compared| compared.run.to_string()),
                "changed": changed,
                "why": why(attempted, compared),
            })
        });
        json!({
            "run": run.id().to_string(), "task": self.branch.name, "index": story.index,
            "branches": story.branches, "status": story.status.map(|status| status.name()),
            "outcome": outcome, "standing": standing(story), "attempts": attempts, "again": again,
            "cache": cache,
        })
    }
}

fn tell(ended: u64, attempted: &Attempted, text: &mut String) {
    let Attempted { number, ending, elapsed, guest, peak_memory, fuel, .. } = attempted;
    let began = time(ended.saturating_sub(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)));
    // A string takes all that is written to it.
    let _ = write!(text, "  attempt {number}, {began}, {}", attempted.executor.name());
    if let Some(worker) = &attempted.worker {
        let _ = write!(text, " ({worker})");
    }
    let _ = write!(text, ": {}", ending.name());
    if attempted.cached {
        text.push_str(", from the cache");
    } else {
        let _ = write!(text, " after {}", duration(*elapsed));
        // What a worker took of it that is gone, nobody knows.
        if *ending != Ending::Lost {
            let _ = write!(text, ", {} of it in the guest", duration(*guest));
            let _ = write!(text, "; {} of memory at most", memory(*peak_memory));
        }
        if let Some(fuel) = fuel {
            let _ = write!(text, "; {} fuel", count(*fuel));
        }
    }
    text.push('\n');
    if let Some(figures) = metrics(&attempted.metrics, FIGURES) {
        let _ = writeln!(text, "    figures: {figures}");
    }
    push_error(attempted.error.as_deref(), text);
    push_asked(&attempted.asked, text);
    for file in &attempted.files {
        let _ = writeln!(text, "    read {} ({})", file.path, file.digest);
    }
    push_lines(&attempted.log, text);
}

/// The guest's lines, one below the other.
pub(super) fn push_lines(log: &[LogLine], text: &mut String) {
    for line in log {
        // A string takes all that is written to it.
        let _ = writeln!(text, "    | {} {}: {}", line.stream.name(), line.level.name(), line.message);
    }
}

/// What is said of an ending, below it.
pub(super) fn push_error(error: Option<&str>, text: &mut String) {
    for line in error.into_iter().flat_map(str::lines) {
        // As above.
        let _ = writeln!(text, "    {line}");
    }
}

/// What an attempt asked for.
fn push_asked(asked: &Asked, text: &mut String) {
    let requests = match asked {
        Asked::Nothing => return,
        Asked::Withheld => {
            return text.push_str("    asked for something with a secret, which is not written down\n");
        }
        Asked::For(requests) => requests,
    };
    let starts =
        requests.next.iter().map(|start| format!("starts `{}` with {}", start.task, brief(&start.arguments)));
    let then = match &requests.then {
        // An abort is told as the failure that it is.
        Then::Ends | Then::Aborts(_) => None,
        Then::Iterates(arguments) => Some(format!("runs again with {}", brief(arguments))),
        Then::GoesTo(task) => Some(format!("goes on to `{task}`")),
        Then::Finishes => Some("finishes the run".to_owned()),
    };
    for said in starts.chain(then) {
        // As above.
        let _ = writeln!(text, "    {said}");
    }
}

/// At most the first 400 characters; `--json` has all.
fn brief(arguments: &impl fmt::Display) -> String {
    const SHOWN: usize = 400;
    let text = arguments.to_string();
    match text.char_indices().nth(SHOWN).and_then(|(end, _)| text.get(..end)) {
        Some(beginning) => format!("{beginning}…"),
        None => text,
    }
}

/// `3.1 MiB`
pub(super) fn memory(bytes: u64) -> String {
    // A cast loses digits that are not shown.
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn object(ended: u64, attempted: &Attempted, last: bool) -> Value {
    let figures = attempted.metrics.iter().map(|(name, amount)| (name.to_string(), json!(amount)));
    let files = attempted.files.iter().map(|file| json!({ "path": file.path, "digest": file.digest }));
    json!({
        "attempt": attempted.number, "last": last, "ended": time(ended),
        "executor": attempted.executor.name(), "worker": attempted.worker, "outcome": attempted.ending.name(),
        "seconds": attempted.elapsed.as_secs_f64(), "guest-seconds": attempted.guest.as_secs_f64(),
        "peak-memory": attempted.peak_memory, "fuel": attempted.fuel, "cached": attempted.cached,
        "metrics": figures.collect::<Map<_, _>>(), "error": attempted.error,
        "files": files.collect::<Vec<_>>(), "log": lines(&attempted.log),
        "starts": attempted.asked.starts().collect::<Vec<_>>(),
        "asked": match &attempted.asked {
            Asked::For(requests) => json!(requests),
            Asked::Nothing | Asked::Withheld => Value::Null,
        },
    })
}

/// The guest's lines, for programs.
pub(super) fn lines(log: &[LogLine]) -> Vec<Value> {
    let line = |line: &LogLine| {
        json!({
            "level": line.level.name(), "stream": line.stream.name(), "message": line.message,
            "cut": line.cut,
        })
    };
    log.iter().map(line).collect()
}

/// Why the cache had the outcome, or had it not.
fn why(attempted: &Attempted, compared: Option<&Compared>) -> String {
    let Some(Compared { run, ending, changes }) = compared else {
        return match attempted.cached {
            true => "nothing executed: the outcome was kept by a run that is not here any more, or elsewhere",
            false => "it executed: no earlier run of this file here asked the cache for this branch",
        }
        .to_owned();
    };
    match (attempted.cached, changes.is_empty()) {
        (true, true) => format!("nothing executed: the call is the same as in run {run}"),
        (true, false) => format!(
            "nothing executed: {} from run {run}, but a run before that made the same call",
            differing(changes)
        ),
        (false, false) => format!("it executed because {} from run {run}", differing(changes)),
        (false, true) if *ending == Ending::Succeeded => format!(
            "it executed although the call is the same as in run {run}: what that run kept was not in the cache any more"
        ),
        (false, true) => format!(
            "it executed although the call is the same as in run {run}: there it {}, and only what succeeded is kept",
            match ending {
                Ending::Failed => "failed",
                Ending::Trapped => "trapped",
                Ending::TimedOut => "timed out",
                Ending::Cancelled => "was cancelled",
                Ending::Rejected => "was rejected",
                Ending::Lost => "was lost",
                Ending::Succeeded => "succeeded",
            }
        ),
    }
}

/// `the component and the argument `text` differ`
fn differing(changes: &[KeyChange]) -> String {
    let names: Vec<String> = changes.iter().map(|change| format!("the {}", name(change))).collect();
    match &names[..] {
        [] => "nothing differs".to_owned(),
        [one] if one.ends_with('s') => format!("{one} differ"),
        [one] => format!("{one} differs"),
        [front @ .., last] => format!("{} and {last} differ", front.join(", ")),
    }
}

fn name(change: &KeyChange) -> String {
    match change {
        KeyChange::Part(part) => part.to_string(),
        KeyChange::Argument(name) => format!("argument `{name}`"),
    }
}
