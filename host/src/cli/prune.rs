//! `flowhost prune`: removes old runs, values and components that no run names any more, and old compiled
//! code. Runs that are not finished stay unless that is asked for.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::exit::Exit;
use super::kept::Kept;
use super::output::say;
use super::recording::{failed, refused};
use crate::digest::Digest;
use crate::folder::Size;
use crate::journal::{History, Kept as Value, Record, Run, Standing, State, StateError};
use crate::manifest::duration;
use crate::store::Store;
use crate::{cache, runtime};

#[derive(clap::Args, Debug)]
pub(super) struct Prune {
    /// Remove what was last written longer ago: 30d, 12h
    #[arg(long, value_name = "AGE", env = "FLOWHOST_OLDER_THAN", value_parser = age)]
    older_than: Duration,
    /// Remove runs too that are not finished, and could be gone on with
    #[arg(long, env = "FLOWHOST_UNFINISHED", value_parser = clap::builder::FalseyValueParser::new())]
    unfinished: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long, env = "FLOWHOST_DRY_RUN", value_parser = clap::builder::FalseyValueParser::new())]
    dry_run: bool,
    #[command(flatten)]
    kept: Kept,
}

/// A duration as in workflow files, or days.
fn age(text: &str) -> Result<Duration, String> {
    let hours = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()).map(u64::from);
    match hours {
        Some(days) => Ok(Duration::from_secs(days * 24 * 3600)),
        None => duration(text).map_err(|wrong| format!("{wrong}; days are written 30d")),
    }
}

impl Prune {
    pub(super) fn execute(self) -> Exit {
        // An age from before all clocks began leaves nothing that is older.
        let before = SystemTime::now().checked_sub(self.older_than).unwrap_or(SystemTime::UNIX_EPOCH);
        match self.runs(before).and_then(|()| self.shared(before)) {
            Ok(()) => Exit::Succeeded,
            Err(exit) => exit,
        }
    }

    fn said(&self, what: &str, Size { entries, bytes }: Size) {
        let done = if self.dry_run { "would be removed" } else { "removed" };
        say(&format!("{what}: {entries} {done}, {bytes} bytes"));
    }

    fn runs(&self, before: SystemTime) -> Result<(), Exit> {
        let Some(state) = self.kept.state()? else { return Ok(()) };
        if !self.dry_run {
            state.remove_remains().map_err(|failure| refused(&failure))?;
        }
        let (mut gone, mut named) = (Size::default(), HashSet::new());
        let mut unfinished = Vec::new();
        let mut whole = true;
        for id in state.runs().map_err(|failure| failed(&failure))? {
            let Some(run) = state.run(&id).map_err(|failure| failed(&failure))? else { continue };
            let (written, bytes) = run.written().map_err(|failure| failed(&failure))?;
            let old = written < before;
            let busy = run.process().map_err(|failure| refused(&failure))?.is_some();
            let goes_on = old && !busy && !self.unfinished && is_unfinished(&run);
            if goes_on {
                unfinished.push(id.to_string());
            }
            if old && !busy && !goes_on {
                let removed = if self.dry_run { Ok(()) } else { state.remove(&run) };
                match removed {
                    Ok(()) => {
                        gone.entries += 1;
                        gone.bytes += bytes;
                        continue;
                    }
                    // Somebody goes on with it at this moment.
                    Err(StateError::Busy { .. }) => {}
                    Err(failure) => return Err(refused(&failure)),
                }
            }
            let read = run.read(|stamped| {
                match stamped.record {
                    Record::RunStarted(start) | Record::RunResumed(start) => {
                        named.extend(start.components.iter().map(|(_, digest)| *digest));
                    }
                    Record::TaskEnded(attempted) | Record::AttemptEnded(attempted) => {
                        if let Value::Stored(digest) = attempted.value {
                            named.insert(digest);
                        }
                    }
                    Record::Discarded(_)
                    | Record::ChannelWritten { .. }
                    | Record::GroupStarted { .. }
                    | Record::Unstarted { .. }
                    | Record::GroupEnded { .. }
                    | Record::RunEnded(_) => {}
                }
                Ok(())
            });
            if let Err(damage) = read {
                say(&format!("warning: run {id}: {damage}"));
                whole = false;
            }
        }
        self.said("runs", gone);
        if let Some(last) = unfinished.last() {
            let (kept, them) = match unfinished.len() {
                1 => (format!("run {last} is not finished and stays"), "it"),
                many => (format!("{many} runs are not finished and stay, the oldest {last}"), "them"),
            };
            say(&format!("{kept}: `flowhost run FILE --resume` goes on, --unfinished removes {them}"));
        }
        if whole {
            return self.values(&state, before, &named);
        }
        say("large values and components stay, because not all runs can say which of them they need");
        Ok(())
    }

    fn values(&self, state: &State, before: SystemTime, named: &HashSet<Digest>) -> Result<(), Exit> {
        let store = Store::new(state.store().map_err(|failure| failed(&failure))?);
        let pruned = store.prune(before, !self.dry_run, |digest| named.contains(digest));
        self.said("large values and components", pruned.map_err(|failure| failed(&failure))?);
        Ok(())
    }

    /// What all workflows share.
    fn shared(&self, before: SystemTime) -> Result<(), Exit> {
        let code = runtime::prune_compiled(before, !self.dry_run).map_err(|failure| failed(&failure))?;
        self.said("compiled code", code);
        let outcomes = cache::Cache::open(None, &[]).and_then(|cache| cache.prune(before, !self.dry_run));
        self.said("kept outcomes", outcomes.map_err(|failure| failed(&failure))?);
        Ok(())
    }
}

/// Whether the run could be gone on with. One whose journal cannot be read could not.
fn is_unfinished(run: &Run) -> bool {
    run.history().is_ok_and(|(history, _): (History, _)| match history.standing() {
        Standing::Unfinished => true,
        Standing::Ended(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_take_days() {
        assert_eq!(age("30d").unwrap(), Duration::from_secs(30 * 24 * 3600));
        assert_eq!(age("12h").unwrap(), Duration::from_secs(12 * 3600));
        for wrong in ["d", "-1d", "x", "1.5d"] {
            assert!(age(wrong).unwrap_err().contains("30d"), "{wrong}");
        }
    }
}
