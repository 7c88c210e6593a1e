//! Runs a workflow: ties scheduler, executor and reporters together, makes the values that tasks
//! are called with, and joins those that they return. Knows nothing of the command line.

mod announce;
mod branches;
mod cached;
#[cfg(test)]
mod channel_tests;
mod dispatcher;
mod evaluate;
mod files;
mod items;
mod join;
mod journaling;
mod outputs;
mod placement;
#[cfg(test)]
mod placement_tests;
mod reading;
mod reasons;
mod recorder;
mod replay;
mod resume;
mod root;
mod secrets;
mod sections;
mod split;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use cached::Caching;
pub use journaling::{Journaling, JournalingError, Resume};
pub use outputs::Outputs;
pub use placement::Executors;
pub use recorder::RecordError;
pub use replay::{ReplayError, Replayed, Replaying, Verdict, replay};
pub use resume::{ResumeError, ResumeOptions};
pub use root::RootError;

use crate::executor::Unreachable;
use crate::id::RunId;
use crate::model::{Counts, Status, Trace, Workflow};
use crate::report::Reporter;

/// What a run needs besides its workflow.
pub struct Settings {
    /// Where attempts run.
    pub executors: Executors,
    /// Who is told of events, in this order.
    pub reporters: Vec<Box<dyn Reporter>>,
    /// flowhost's environment, from which secrets are read when the run begins.
    pub environment: Arc<Environment>,
    /// Where tasks with `cache` find and keep their outcomes; without, they execute.
    pub caching: Option<Caching>,
    /// Asks the run to stop. [`Stopper::new`] makes both ends.
    pub stops: Stops,
    /// Where the run is recorded, so that it can be resumed; none keeps nothing.
    pub journal: Option<Journaling>,
    /// The trace that the run belongs to, unless it goes on with one that is recorded.
    pub trace: Option<Trace>,
}

/// Looks a variable up by its name; none where it is not set.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Asks a run to stop, from anywhere and any number of times.
#[derive(Clone, Debug)]
pub struct Stopper(mpsc::UnboundedSender<Stop>);

/// The run's end of a [`Stopper`].
#[derive(Debug)]
pub struct Stops(mpsc::UnboundedReceiver<Stop>);

/// How a run is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Start nothing more, and let running attempts finish.
    Starting,
    /// Cancel running attempts too.
    Now,
}

impl Stopper {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, Stops) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Stops(receiver))
    }

    /// Asks the run to stop. A run that is over does not hear it.
    pub fn stop(&self, how: Stop) {
        // An error means that the run is over, which is what was asked for.
        let _ = self.0.send(how);
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its id.
    pub run: RunId,
    /// Succeeded, failed or cancelled.
    pub status: Status,
    /// Branches and lone tasks by their ending.
    pub counts: Counts,
    /// What it yields.
    pub outputs: Outputs,
}

/// Why a run could not begin or not be completed, other than by its tasks.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The executor cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A secret is not in flowhost's environment.
    #[error(
        "the environment variable `{0}`, which the workflow names as a secret, is not set or is not UTF-8"
    )]
    Secret(Arc<str>),
    /// The root folder cannot be opened.
    #[error("the root `{path}`: {source}")]
    Root {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        source: RootError,
    },
    /// An output could not be made or written. The run's other outputs exist.
    #[error("output `{name}`: {reason}")]
    Output {
        /// The output's name.
        name: Arc<str>,
        /// Why.
        reason: String,
    },
    /// A thread that the run needs does not start.
    #[error("the system starts no thread: {0}")]
    Threads(std::io::Error),
    /// The journal cannot be begun, or the recorded run does not go on.
    #[error(transparent)]
    Journaling(#[from] JournalingError),
    /// The journal failed while the run went on. What was written before stays, and the run can be
    /// resumed from there.
    #[error("the run stopped because its journal failed, and can be resumed from what was written: {0}")]
    Journal(#[source] RecordError),
    /// The system gave no random bytes for the run's id.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Runs a workflow to its end.
///
/// # Errors
/// Fails when the run cannot begin, or when an output cannot be written. What becomes of tasks is
/// no error; see [`Ended::status`].
pub async fn run(workflow: Arc<Workflow>, settings: Settings) -> Result<Ended, RunError> {
    dispatcher::Dispatcher::new(workflow, settings).await?.run().await
}

/// An id for a run that begins now. Ids sort in the order in which runs began: behind the second stand
/// three letters of how far it has gone, and three that are random.
fn new_id() -> Result<RunId, RunError> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(RunError::Random)?;
    let now = jiff::Timestamp::now();
    let gone = u64::from(now.subsec_nanosecond().unsigned_abs()) * LETTERS_3 / 1_000_000_000;
    let random = u64::from(u32::from_le_bytes(random)) % LETTERS_3;
    let second = now.strftime("%Y%m%d-%H%M%S");
    Ok(RunId(format!("{second}-{}{}", letters(gone), letters(random)).into()))
}

/// How many words three letters make.
const LETTERS_3: u64 = 36 * 36 * 36;

/// Three letters for a number below [`LETTERS_3`], in the order of the numbers.
fn letters(number: u64) -> String {
    let letters = [number / (36 * 36), number / 36, number].map(|digit| {
        let digit = u32::try_from(digit % 36).unwrap_or_default();
        char::from_digit(digit, 36).unwrap_or('0')
    });
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_runs_began() {
        assert_eq!((letters(0), letters(35), letters(36)), ("000".into(), "00z".into(), "010".into()));
        assert_eq!(letters(LETTERS_3 - 1), "zzz");
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(new_id().unwrap().to_string());
            // Longer than a word of three letters lasts.
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        assert!(
            ids.is_sorted() && ids.iter().all(|id| id.len() == "20260101-000000-abcdef".len()),
            "{ids:?}"
        );
    }
}
