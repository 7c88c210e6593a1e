//! One recorded call, made again in this process from what the state folder has of its run.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Compiling, at_home, environment};
use crate::digest::Digest;
use crate::folder::FolderError;
use crate::journal::{JournalError, Run, Start, State, Story};
use crate::manifest::{self, Loaded, Problems, Recorded, Trust};
use crate::model::Task;
use crate::run::{self, Replayed, Replaying};
use crate::runtime::RuntimeError;
use crate::store::{Store, StoreError};

/// A recorded call that can be made again.
#[derive(Debug)]
pub struct Replay<'r> {
    state: &'r State,
    run: &'r Run,
    node: &'r str,
    story: &'r Story,
    loaded: Loaded,
}

/// Something besides its arguments that a task may read, so that it need not do the same again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// The run's channel.
    Channel,
    /// Granted directories.
    Directories,
    /// The network.
    Network,
    /// The clock and random bytes.
    Clock,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Channel => "the run's channel",
            Self::Directories => "directories",
            Self::Network => "the network",
            Self::Clock => "the clock and random bytes",
        })
    }
}

/// Why a recorded call is not made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal fails.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The workflow of then is not right now.
    #[error("the workflow as it was run: {0}")]
    Problems(#[from] Problems),
    /// A component is neither in the store nor where it was.
    #[error(
        "component `{alias}` of the run, {digest}, is not in the store any more, and its file is another now: bring that file back"
    )]
    Gone {
        /// Which.
        alias: Arc<str>,
        /// What it was.
        digest: Digest,
    },
    /// What runs guests cannot be set up.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The call itself.
    #[error(transparent)]
    Call(#[from] run::ReplayError),
}

impl From<FolderError> for ReplayError {
    fn from(error: FolderError) -> Self {
        Self::Journal(error.into())
    }
}

impl<'r> Replay<'r> {
    /// Gets ready the call of a branch: `story` is what the run's journal tells of the task or group that
    /// it has as `node`. Components come from the store, whatever their files hold now.
    ///
    /// # Errors
    /// Fails when the workflow cannot be had as it was run.
    pub fn new(state: &'r State, run: &'r Run, node: &'r str, story: &'r Story) -> Result<Self, ReplayError> {
        let loaded = as_run(state, run, &story.start)?;
        Ok(Self { state, run, node, story, loaded })
    }

    /// What the task may read besides its arguments. None for a deterministic one.
    #[must_use]
    pub fn reaches(&self) -> Vec<Reach> {
        let Some(task) = self.task().filter(|task| !task.policy.deterministic) else { return Vec::new() };
        let interface = self.loaded.interfaces.get(task.component);
        let imports = interface.into_iter().flat_map(|interface| &interface.imports);
        let channel = imports.into_iter().any(|import| import.name.starts_with("flowhost:task/channel"));
        let grants = &task.policy.grants;
        let network = !grants.net.is_empty() || !grants.http.is_empty();
        let all = [
            (channel, Reach::Channel),
            (!grants.directories.is_empty(), Reach::Directories),
            (network, Reach::Network),
            (true, Reach::Clock),
        ];
        all.into_iter().filter(|(reaches, _)| *reaches).map(|(_, reach)| reach).collect()
    }

    /// Directories that the task may write to, as the guest sees them. It does so again.
    #[must_use]
    pub fn writes(&self) -> Vec<Arc<str>> {
        let granted = self.task().into_iter().flat_map(|task| &task.policy.grants.directories);
        granted.filter(|directory| directory.write).map(|directory| Arc::clone(&directory.guest)).collect()
    }

    /// The workflow, as it was run.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Makes the call. Needs a tokio runtime. `program` compiles the component: see
    /// [`Run::program`](super::Run::program).
    ///
    /// # Errors
    /// Fails when what the call needs is not there any more, or guests cannot run here.
    pub async fn call(self, program: Option<PathBuf>) -> Result<Replayed, ReplayError> {
        let workflow = &self.loaded.workflow;
        let compiling = Compiling { program, ..Compiling::default() };
        let (history, _) = self.run.history()?;
        let store = Store::new(self.state.store()?);
        let replaying = Replaying {
            workflow,
            run: self.run.id().clone(),
            history,
            story: self.story,
            node: self.node,
            store: &store,
            executor: Arc::new(at_home(workflow, compiling)?),
            environment: &environment,
        };
        Ok(run::replay(replaying).await?)
    }

    fn task(&self) -> Option<&Task> {
        let mut nodes = self.loaded.workflow.nodes.iter();
        nodes.find(|node| *node.recorded_as() == *self.node)?.task(self.story.index)
    }
}

/// The workflow of a run as it was: the file's text from the run's folder, components from the store,
/// inputs as they were given.
fn as_run(state: &State, run: &Run, start: &Start) -> Result<Loaded, ReplayError> {
    let store = Store::new(state.store()?);
    let mut components = HashMap::new();
    for (alias, digest) in &start.components {
        if let Some(file) = store.file(digest)? {
            components.insert(Arc::clone(alias), file);
        }
    }
    let recorded = Recorded { text: run.workflow()?, components };
    let mut file = PathBuf::from(&start.file);
    if !file.parent().is_some_and(Path::is_dir) {
        // Moved, together with what is kept beside it.
        let name = file.file_name().unwrap_or_default().to_owned();
        file = state.path().parent().unwrap_or(Path::new(".")).join(name);
    }
    let here = Path::new(&start.current);
    let options = manifest::Options {
        root: root_of(&file, start),
        inputs: start.given.clone(),
        executors: Vec::new(),
        concurrency: None,
        current: here.to_owned(),
        environment: &environment,
        // What the run was allowed is what the file asked for.
        trust: Trust::Full,
        state_dir: None,
        redis: None,
        plain_secrets: false,
        purpose: manifest::Purpose::Replay,
        recorded: Some(&recorded),
    };
    let loaded = manifest::load(&file, &options)?;
    for component in &loaded.workflow.components {
        let was = start.components.iter().find(|(alias, _)| *alias == component.alias);
        if let Some((alias, digest)) = was.filter(|(_, digest)| *digest != component.digest) {
            return Err(ReplayError::Gone { alias: Arc::clone(alias), digest: *digest });
        }
    }
    Ok(loaded)
}

/// The root of a recorded run: as far above the workflow file's folder as it was.
pub(crate) fn root_of(file: &Path, start: &Start) -> Option<PathBuf> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let folder = folder.canonicalize().ok()?;
    let inside = Path::new(&start.inside);
    // A folder of another name is another root, which is seen and said later.
    folder
        .ends_with(inside)
        .then(|| folder.ancestors().nth(inside.components().count()).map(Path::to_owned))?
}
