//! Workers on nodes, which the system's `ssh` reaches: one connection a node, and many attempts over it. Puts flowhost
//! there where it is missing. Knows nothing of what the workers are given to do.

mod client;
mod deploy;
mod look;
mod mend;
mod scripts;
mod survey;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, BufReader};

use self::client::{Client, OWN_FAILURE, SSH};
use self::deploy::{Deployed, Programs};
pub use self::survey::{FoundMachine, FoundNode, Plan, look_at_nodes};
use super::components::component;
use super::pool::{Component, End, Gone, Launch, Link, Place, Pool, Reach, Side, Staff, Unmet};
use super::{BoxFuture, Capacity, Executor, Port, Report, Unreachable};
use crate::digest::Digest;
use crate::id::{AttemptId, NodeId};
use crate::model::{Attempt, Breaker, Cause, Deploy, SshNode, SshSettings, Warning};
use crate::runtime::RuntimeError;
use crate::wire::{Hello, Wants, WireError};

/// How long a node that took the connection may take beyond the connect timeout to say anything.
const SILENCE: Duration = Duration::from_secs(20);

/// Bytes that a node's shell may say before it does what it is told.
const TALK: usize = 64 << 10;

/// What an executor of nodes needs.
#[derive(Clone, Debug)]
pub struct SshExecutorSettings {
    /// The executor's name in the workflow.
    pub name: Arc<str>,
    /// The nodes.
    pub ssh: SshSettings,
    /// Where the components' files are.
    pub components: Vec<(Digest, PathBuf)>,
    /// Groups whose attempts each node's own breaker holds back.
    pub breakers: HashMap<NodeId, Breaker>,
    /// The flowhost program, which is put on nodes of this machine's kind. None looks for it as
    /// [`runtime::Settings::program`](crate::runtime::Settings::program) does.
    pub program: Option<PathBuf>,
}

/// Executes attempts on nodes.
pub struct Ssh {
    pool: Pool,
    nodes: Arc<Nodes>,
}

impl Ssh {
    /// Nothing is reached before it is opened.
    ///
    /// # Errors
    /// Fails when the system starts no thread.
    pub fn new(settings: SshExecutorSettings) -> Result<Self, RuntimeError> {
        let SshExecutorSettings { name, ssh, components, breakers, program } = settings;
        let programs = Programs::new(program, ssh.binaries.clone());
        let deployed = ssh.nodes.iter().map(|_| Mutex::default()).collect();
        let port = OnceLock::new();
        let nodes = Arc::new(Nodes { name, ssh, components, breakers, programs, deployed, port });
        Ok(Self { pool: Pool::new(Arc::clone(&nodes))?, nodes })
    }
}

impl Executor for Ssh {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        // Opened a second time it answers with an error.
        let _ = self.nodes.port.set(port.clone());
        self.pool.open(port)
    }

    fn submit(&self, batch: Vec<Attempt>) {
        self.pool.submit(batch);
    }

    fn cancel(&self, ids: &[AttemptId], cause: Cause) {
        self.pool.cancel(ids, cause);
    }

    fn announce_cancel(&self) {
        self.pool.announce_cancel();
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        self.pool.drain()
    }
}

/// Starts a worker on each node.
struct Nodes {
    name: Arc<str>,
    ssh: SshSettings,
    components: Vec<(Digest, PathBuf)>,
    breakers: HashMap<NodeId, Breaker>,
    programs: Programs,
    /// What was put on each node, by its position.
    deployed: Vec<Mutex<Option<Digest>>>,
    /// Who is told what takes long, once somebody is.
    port: OnceLock<Port>,
}

impl Launch for Arc<Nodes> {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn staff(&self) -> Staff {
        let place = |node: &SshNode| Place {
            name: node.to_string().into(),
            concurrency: node.concurrency.map(|most| most as usize),
        };
        Staff::Nodes(self.ssh.nodes.iter().map(place).collect(), self.breakers.clone())
    }

    fn launch(&self, _: &Reach, node: usize, ours: &Hello) -> BoxFuture<'_, Result<Link, Gone>> {
        let ours = ours.clone();
        Box::pin(async move {
            let (Some(of), Some(deployed)) = (self.ssh.nodes.get(node), self.deployed.get(node)) else {
                return Err(Gone::Unstarted(format!("there is no node {node}")));
            };
            let wants = ours.wants.unwrap_or_default();
            let wants = Wants { slots: of.concurrency, cleanup: self.ssh.cleanup, ..wants };
            self.reach(of, deployed, &Hello { wants: Some(wants), ..ours }).await
        })
    }

    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Component, String>> {
        let nodes = Self::clone(self);
        Box::pin(async move {
            let read =
                tokio::task::spawn_blocking(move || component(&nodes.components, digest).map(packed)).await;
            read.unwrap_or_else(|_| Err("flowhost is shutting down".to_owned()))
        })
    }
}

/// The exit code of a flowhost that is not set up as it should be.
const MISUSED: i32 = 2;

/// Why no worker answered.
enum Failure {
    /// There is no flowhost that we could talk to. This is what came instead.
    Missing(Unmet),
    /// Otherwise.
    Gone(Gone),
}

impl Nodes {
    /// Starts a node's worker, and puts flowhost there if need be.
    async fn reach(
        &self,
        node: &SshNode,
        deployed: &Mutex<Option<Digest>>,
        ours: &Hello,
    ) -> Result<Link, Gone> {
        // Nothing in there panics halfway.
        let known = *deployed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ssh.deploy != Deploy::Always || known.is_some() {
            match self.connect(node, known.as_ref(), ours).await {
                Ok(link) => return Ok(link),
                Err(Failure::Gone(gone)) => return Err(gone),
                Err(Failure::Missing(unmet)) if self.ssh.deploy == Deploy::Never || is_misused(&unmet) => {
                    return Err(unusable(unmet, self.ssh.deploy));
                }
                // What was put there does not work, and another time would not help.
                Err(Failure::Missing(unmet))
                    if known.is_some() && unmet.end.code != Some(scripts::MISSING) =>
                {
                    return Err(unusable(unmet, self.ssh.deploy));
                }
                // Or it is gone, as after a restart of the node.
                Err(Failure::Missing(_)) => {}
            }
        }
        let tell = |bytes: u64| self.tell_of_deploying(node, bytes);
        let Deployed(program) = deploy::deploy(&self.ssh, node, &self.programs, tell).await?;
        *deployed.lock().unwrap_or_else(PoisonError::into_inner) = Some(program);
        match self.connect(node, Some(&program), ours).await {
            Ok(link) => Ok(link),
            Err(Failure::Gone(gone)) => Err(gone),
            Err(Failure::Missing(unmet)) => Err(unusable(unmet, self.ssh.deploy)),
        }
    }

    /// Says that so many bytes are on their way.
    fn tell_of_deploying(&self, node: &SshNode, bytes: u64) {
        if let Some(port) = self.port.get() {
            let message = format!("flowhost ({} MiB) is being put on node `{node}`", bytes.div_ceil(1 << 20));
            port.report([Report::Warning { kind: Warning::Deploying, message: message.into() }]);
            port.flush();
        }
    }

    /// Executes a worker on a node: the program of this digest, or whichever is there.
    async fn connect(&self, node: &SshNode, program: Option<&Digest>, ours: &Hello) -> Result<Link, Failure> {
        let remote = scripts::run(node.workdir.as_ref(), program);
        let wants = ours.wants.map(|wants| Wants { deployed: program.is_some(), ..wants });
        let ours = &Hello { wants, ..ours.clone() };
        let Client { from, to, life } =
            Client::start(&self.ssh, node, &remote).map_err(|error| Failure::Gone(unstarted(&error)))?;
        let mut from = BufReader::new(from);
        let patience = self.ssh.connect_timeout + SILENCE;
        // From the first byte on, a worker speaks at least every two seconds.
        if tokio::time::timeout(patience, from.fill_buf()).await.is_err() {
            let ended = life.ended(Duration::ZERO).await;
            let how = format!(
                "nothing was heard for {} s after ssh was started; {}",
                patience.as_secs(),
                ended.text()
            );
            return Err(Failure::Gone(Gone::Lost(End { how, killed: false, code: None, said: ended.said })));
        }
        let side = Beside(node.to_string().into());
        match Link::meet(from, to, side, Box::new(life), ours).await {
            Ok(link) => Ok(link),
            Err(Unmet { error: error @ WireError::NoMagic { bytes: TALK.., .. }, .. }) => {
                Err(Failure::Gone(Gone::Unstarted(format!(
                    "{error}; only {} KiB are skipped: have its shell say less where nobody types, in ~/.bashrc or whatever it reads",
                    TALK >> 10
                ))))
            }
            // It is ssh itself that failed, as far as can be told.
            Err(unmet) if unmet.end.code == Some(OWN_FAILURE) => Err(Failure::Gone(failed(unmet.end, node))),
            Err(unmet @ Unmet { error: WireError::Refused(_), .. }) => Err(Failure::Missing(unmet)),
            Err(unmet) if unmet.end.code.is_some() => Err(Failure::Missing(unmet)),
            Err(unmet) => Err(Failure::Gone(unmet.into())),
        }
    }
}

/// A component as it travels: packed where that makes it a good deal shorter.
fn packed(wasm: Bytes) -> Component {
    match zstd::bulk::compress(&wasm, zstd::DEFAULT_COMPRESSION_LEVEL) {
        Ok(short) if short.len() < wasm.len() / 10 * 9 => {
            Component { packed: Some(wasm.len() as u64), wasm: short.into() }
        }
        Ok(_) | Err(_) => Component { wasm, packed: None },
    }
}

/// ssh does not start.
fn unstarted(error: &std::io::Error) -> Gone {
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => ": install OpenSSH's client, openssh-client on Debian",
        _ => "",
    };
    Gone::Unstarted(format!("cannot start `{SSH}`: {error}{help}"))
}

/// ssh failed: for good where trying again does not help.
fn failed(end: End, node: &SshNode) -> Gone {
    match mend::advice(&end.said, node) {
        Some(advice) => Gone::Unstarted(format!("{advice} ({})", end.how)),
        None => {
            let hint = mend::hint(&end.said, node).map(|hint| format!(" ({hint})")).unwrap_or_default();
            Gone::Lost(End { how: end.how + &hint, ..end })
        }
    }
}

/// There is a flowhost that refuses to work as the node has it set up, in words. Another would as well.
fn is_misused(unmet: &Unmet) -> bool {
    // One that does not know how it is started is too old, and gives way to another.
    matches!(unmet.error, WireError::NoMagic { bytes: 0, .. })
        && unmet.end.code == Some(MISUSED)
        && !unmet.end.said.contains("unexpected argument")
}

/// There is no flowhost on the node that can be talked to, and none is put there.
fn unusable(unmet: Unmet, deploy: Deploy) -> Gone {
    let misused = is_misused(&unmet);
    let Unmet { error, end } = unmet;
    let help = match deploy {
        _ if misused => "",
        Deploy::Never => {
            "; `deploy` is \"never\": install this version there, on the PATH of a shell that nobody types at, or let it be put there"
        }
        Deploy::IfMissing | Deploy::Always => "",
    };
    match error {
        WireError::Refused(refusal) if deploy != Deploy::Never => Gone::Refused(refusal),
        WireError::Refused(refusal) => Gone::Unstarted(format!("{refusal}{help}")),
        WireError::NoMagic { .. } if end.code == Some(scripts::MISSING) => {
            Gone::Unstarted(format!("no flowhost is there that this one can talk to{help}"))
        }
        WireError::NoMagic { bytes: 0, .. } => {
            Gone::Unstarted(format!("the flowhost there does not work: {}{help}", end.how))
        }
        error => Gone::Unstarted(format!("{error}; {}{help}", end.how)),
    }
}

/// What there is of a node's worker beside its connection.
struct Beside(Arc<str>);

impl Side for Beside {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    fn code(&self, _: Digest, _: Arc<str>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("workers on nodes compile for themselves".to_owned())))
    }

    fn waits(&self) -> bool {
        false
    }
}
