//! What all nodes of an executor are, and what a run would do to have workers on them. Does none of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;

use super::deploy::{Programs, no_folder, no_room};
use super::look::{Look, Place, ask};
use super::{Failure, Nodes, SILENCE, is_misused, unusable};
use crate::executor::pool::Gone;
use crate::model::{Deploy, SshNode, SshSettings};
use crate::runtime::ENGINE;
use crate::wire::{Hello, Wants, WireError};

/// How long a worker may take from the start of ssh until it said who it is, beyond what connecting and its silence may
/// take.
const GREETING: Duration = Duration::from_secs(10);

/// A node, and what was found out.
#[derive(Clone, Debug)]
pub struct FoundNode {
    /// As it is called in reports.
    pub node: String,
    /// Attempts that it may execute at once, where that was said.
    pub concurrency: Option<u32>,
    /// What it is, where ssh reached it.
    pub machine: Option<FoundMachine>,
    /// What a flowhost on it says of itself, where there is one, of whichever protocol.
    pub worker: Option<Hello>,
    /// What a run would do to have a worker there, or why it would have none, and what to do.
    pub plan: Result<Plan, String>,
}

/// What a node's shell says of it.
#[derive(Clone, Debug)]
pub struct FoundMachine {
    /// What `uname` calls its system.
    pub system: String,
    /// What `uname` calls its machine.
    pub machine: String,
    /// Its processors.
    pub cores: Option<u32>,
    /// Where flowhost's files are there, or would be.
    pub folder: Option<String>,
    /// Bytes that are free there.
    pub free: Option<u64>,
    /// From the start of ssh until the node said something.
    pub connected: Duration,
    /// What a line took there and back over the connection that stood, at the best of several times.
    pub round_trip: Option<Duration>,
}

/// What a run would do to have a worker on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// It would use the flowhost that is there.
    Use,
    /// It would put a program there.
    Put {
        /// The one that was named for the node's kind of machine. None is the program of this process.
        program: Option<PathBuf>,
        /// Its bytes.
        bytes: u64,
    },
}

/// Looks at all nodes at the same time, at each for no longer than three times the time to connect and a minute. Puts
/// nothing on them. `program` is as in [`SshExecutorSettings`](super::SshExecutorSettings).
pub async fn look_at_nodes(ssh: SshSettings, program: Option<PathBuf>) -> Vec<FoundNode> {
    let nodes = Arc::new(Nodes {
        name: "ssh".into(),
        programs: Programs::new(program, ssh.binaries.clone()),
        deployed: ssh.nodes.iter().map(|_| Mutex::default()).collect(),
        components: Vec::new(),
        breakers: HashMap::new(),
        port: OnceLock::new(),
        ssh,
    });
    let mut looks = JoinSet::new();
    for (at, node) in nodes.ssh.nodes.iter().cloned().enumerate() {
        let nodes = Arc::clone(&nodes);
        looks.spawn(async move { (at, nodes.find_out(&node).await) });
    }
    let mut found = looks.join_all().await;
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

impl Nodes {
    async fn find_out(&self, node: &SshNode) -> FoundNode {
        let mut found = FoundNode {
            node: node.to_string(),
            concurrency: node.concurrency,
            machine: None,
            worker: None,
            plan: Ok(Plan::Use),
        };
        found.plan = match ask(&self.ssh, node, self.ssh.connect_timeout + SILENCE).await {
            Ok(look) => {
                found.machine = machine(&look);
                let (worker, plan) = self.plan(node, &look).await;
                found.worker = worker;
                plan.map_err(|gone| gone.to_string())
            }
            Err(gone) => Err(gone.to_string()),
        };
        found
    }

    /// The worker that is there, and what would be done where none is that could be used.
    async fn plan(&self, node: &SshNode, look: &Look) -> (Option<Hello>, Result<Plan, Gone>) {
        let (worker, unmet) = match self.greeted(node).await {
            Ok(worker) => (Some(worker), None),
            Err(Failure::Gone(gone)) => return (None, Err(gone)),
            Err(Failure::Missing(unmet)) => {
                let other = if let WireError::Refused(refusal) = &unmet.error {
                    Some(refusal.theirs.clone())
                } else {
                    None
                };
                (other, Some(unmet))
            }
        };
        let plan = match (self.ssh.deploy, unmet) {
            (Deploy::IfMissing | Deploy::Never, None) => Ok(Plan::Use),
            (Deploy::Never, Some(unmet)) => Err(unusable(unmet, Deploy::Never)),
            (Deploy::IfMissing, Some(unmet)) if is_misused(&unmet) => Err(unusable(unmet, Deploy::IfMissing)),
            (Deploy::Always, _) | (Deploy::IfMissing, Some(_)) => self.put(look),
        };
        (worker, plan)
    }

    /// What a worker there says of itself. It ends.
    async fn greeted(&self, node: &SshNode) -> Result<Hello, Failure> {
        let wants = Wants { slots: node.concurrency, ..Wants::default() };
        let ours = Hello { wants: Some(wants), ..Hello::of(ENGINE) };
        let patience = self.ssh.connect_timeout + SILENCE + GREETING;
        let Ok(met) = tokio::time::timeout(patience, self.connect(node, None, &ours)).await else {
            let seconds = patience.as_secs();
            return Err(Failure::Gone(Gone::Unstarted(format!(
                "a flowhost is there, and did not say who it is within {seconds} s"
            ))));
        };
        let link = met?;
        drop(link.to);
        link.life.end(true).await;
        Ok(link.hello)
    }

    /// What would be put on a node, as far as that can be said without doing it.
    fn put(&self, look: &Look) -> Result<Plan, Gone> {
        let (system, machine) = look.system().ok_or_else(|| Gone::Unstarted(look.disobeyed()))?;
        let path = self.programs.find(system, machine).map_err(Gone::Unstarted)?;
        let bytes = std::fs::metadata(&path).map(|about| about.len()).map_err(|error| {
            Gone::Unstarted(format!("cannot read the program `{}`: {error}", path.display()))
        })?;
        match fit(look) {
            None => {
                let reasons = look.places().filter_map(|place| {
                    let unfit = place.unfit?;
                    Some(format!("{}: {unfit}", place.path))
                });
                Err(Gone::Unstarted(no_folder(&reasons.collect::<Vec<_>>().join("; "))))
            }
            Some(Place { path, free: Some(free), .. }) if free < bytes => Err(Gone::Unstarted(no_room(
                &format!("of {path}, {} MiB are free, and it has {}", free >> 20, bytes.div_ceil(1 << 20)),
            ))),
            Some(_) => {
                let named = self.ssh.binaries.values().any(|named| *named == path);
                Ok(Plan::Put { program: named.then_some(path), bytes })
            }
        }
    }
}

/// The first folder that flowhost can be put in.
fn fit(look: &Look) -> Option<Place<'_>> {
    look.places().find(|place| place.unfit.is_none())
}

/// What a node's shell said of it.
fn machine(look: &Look) -> Option<FoundMachine> {
    let (system, machine) = look.system()?;
    // That of a program which was put there.
    let used = look.places().find(|place| {
        look.programs()
            .filter_map(|program| program.strip_prefix(place.path))
            .any(|rest| rest.starts_with("/bin/"))
    });
    let place = used.or_else(|| fit(look)).or_else(|| look.places().next());
    Some(FoundMachine {
        system: system.to_owned(),
        machine: machine.to_owned(),
        cores: look.cores(),
        folder: place.as_ref().map(|place| place.path.to_owned()),
        free: place.and_then(|place| place.free),
        connected: look.connected,
        round_trip: look.round_trip,
    })
}
