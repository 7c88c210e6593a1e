//! `flowhost replay`: makes one recorded call again, and says whether it came to the same.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::branch::{Branch, branch};
use super::exit::Exit;
use super::kept::Kept;
use super::output::{error, say, told};
use super::{explain, host};
use crate::embed::{Reach, Replay as Call, ReplayError};
use crate::journal::{Kept as Recorded, Run};
use crate::report::{count, duration, harmless, harmless_json};
use crate::run::{self, Replayed, RunError, Verdict};

#[derive(clap::Args, Debug)]
pub(super) struct Replay {
    /// The run's id, or the beginning of it
    run: String,
    /// A lone task, or one branch of a group
    #[arg(value_name = "TASK[i]", value_parser = branch)]
    branch: Branch,
    /// As one JSON object, with the value
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
    #[command(flatten)]
    kept: Kept,
}

impl Replay {
    pub(super) fn execute(self) -> Exit {
        match self.replay() {
            Ok(exit) | Err(exit) => exit,
        }
    }

    fn replay(&self) -> Result<Exit, Exit> {
        let run = self.kept.run(&self.run)?;
        let story = self.branch.story(&run)?;
        let Some(state) = self.kept.state()? else { return Err(Exit::Internal) };
        let call = Call::new(&state, &run, &self.branch.name, &story).map_err(|failure| failed(&failure))?;
        host::allowed_here(&self.branch.name)?;
        let (reaches, writes) = (call.reaches(), call.writes());
        if !writes.is_empty() {
            say(&format!("warning: the task may write to {}, and does so again", writes.join(", ")));
        }
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let threads = threads.map_err(|failure| {
            error(&failure);
            Exit::Internal
        })?;
        let replayed = threads.block_on(call.call(host::program()));
        let replayed = replayed.map_err(|failure| failed(&failure))?;
        let text = match self.json {
            true => harmless_json(&self.object(&run, story.index, &replayed, &reaches)),
            false => harmless(self.text(&run, story.index, &replayed, &reaches).trim_end()).into_owned(),
        };
        let exit = match replayed.verdict {
            Verdict::Same | Verdict::NotComparable(_) => Exit::Succeeded,
            Verdict::Differs(_) => Exit::RunFailed,
        };
        Ok(match told(&text) {
            Exit::Succeeded => exit,
            failed => failed,
        })
    }

    fn text(&self, run: &Run, index: u32, replayed: &Replayed, reaches: &[Reach]) -> String {
        let recorded = &replayed.recorded;
        let name = &self.branch.name;
        let mut text = format!("{name}[{index}] of run {}, attempt {}\n", run.id(), recorded.number);
        // A string takes all that is written to it.
        let _ = write!(text, "  recorded: {}", recorded.ending.name());
        if recorded.cached {
            text.push_str(", from the cache");
        } else {
            text.push_str(&used(recorded.elapsed, recorded.peak_memory, recorded.fuel));
        }
        text.push('\n');
        explain::push_error(recorded.error.as_deref(), &mut text);
        let _ = write!(text, "  here:     {}", replayed.ending.name());
        let usage = &replayed.usage;
        text.push_str(&used(replayed.elapsed, usage.peak_memory, usage.fuel));
        text.push('\n');
        explain::push_error(replayed.error.as_deref(), &mut text);
        explain::push_lines(&replayed.log, &mut text);
        match replayed.verdict {
            Verdict::Same => match &replayed.digest {
                Some(digest) => {
                    let _ = writeln!(text, "same: the value has the same bytes, {digest}");
                }
                None => text.push_str("same: it ended alike, with the same words\n"),
            },
            Verdict::Differs(what) => {
                let _ = writeln!(text, "different: {what}");
                if let (Some(here), Some(then)) = (&replayed.digest, recorded_digest(&recorded.value)) {
                    let _ = writeln!(text, "  recorded {then}\n  here     {here}");
                }
            }
            Verdict::NotComparable(why) => {
                let _ = writeln!(text, "not comparable: {why}");
            }
        }
        if !reaches.is_empty() {
            let _ = writeln!(text, "not repeatable exactly: {}", reasons(reaches));
        }
        text
    }

    fn object(&self, run: &Run, index: u32, replayed: &Replayed, reaches: &[Reach]) -> Value {
        let (verdict, why) = match replayed.verdict {
            Verdict::Same => ("same", None),
            Verdict::Differs(what) => ("different", Some(what)),
            Verdict::NotComparable(why) => ("not-comparable", Some(why)),
        };
        let recorded = &replayed.recorded;
        json!({
            "run": run.id().to_string(), "task": self.branch.name, "index": index,
            "attempt": recorded.number, "verdict": verdict, "reason": why,
            "deterministic": replayed.deterministic,
            "reads": reaches.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "recorded": {
                "outcome": recorded.ending.name(), "error": recorded.error, "cached": recorded.cached,
                "seconds": recorded.elapsed.as_secs_f64(), "guest-seconds": recorded.guest.as_secs_f64(),
                "peak-memory": recorded.peak_memory, "fuel": recorded.fuel,
                "digest": recorded_digest(&recorded.value),
            },
            "here": {
                "outcome": replayed.ending.name(), "error": replayed.error,
                "seconds": replayed.elapsed.as_secs_f64(),
                "guest-seconds": replayed.usage.wall.as_secs_f64(),
                "peak-memory": replayed.usage.peak_memory, "fuel": replayed.usage.fuel,
                "digest": replayed.digest, "log": explain::lines(&replayed.log),
            },
            "value": replayed.value,
        })
    }
}

/// ` after 12 ms; 3.1 MiB of memory at most`
fn used(elapsed: std::time::Duration, peak_memory: u64, fuel: Option<u64>) -> String {
    let fuel = fuel.map_or_else(String::new, |fuel| format!("; {} fuel", count(fuel)));
    format!(" after {}; {} of memory at most{fuel}", duration(elapsed), explain::memory(peak_memory))
}

fn recorded_digest(value: &Recorded) -> Option<crate::digest::Digest> {
    match value {
        Recorded::Stored(digest) | Recorded::Digested(digest) => Some(*digest),
        Recorded::Inline(value) => Some(crate::digest::Digest::of(value.to_string().as_bytes())),
        Recorded::None | Recorded::Withheld => None,
    }
}

/// `the task may read directories, the network, the clock and random bytes`
fn reasons(reaches: &[Reach]) -> String {
    let names: Vec<String> = reaches.iter().map(ToString::to_string).collect();
    format!("the task is not deterministic, and may read {}", names.join(", "))
}

/// Says why nothing was replayed.
fn failed(failure: &ReplayError) -> Exit {
    error(failure);
    match failure {
        ReplayError::Call(run::ReplayError::Unreachable(_)) => Exit::Unreachable,
        ReplayError::Problems(_)
        | ReplayError::Gone { .. }
        | ReplayError::Call(
            run::ReplayError::NeverRan(_)
            | run::ReplayError::NoValue(..)
            | run::ReplayError::Changed(_)
            | run::ReplayError::Arguments(_)
            | run::ReplayError::Run(RunError::Secret(_)),
        ) => Exit::Usage,
        ReplayError::Journal(_)
        | ReplayError::Store(_)
        | ReplayError::Runtime(_)
        | ReplayError::Call(
            run::ReplayError::Store(_) | run::ReplayError::Channel(_) | run::ReplayError::Run(_),
        ) => Exit::Internal,
    }
}
