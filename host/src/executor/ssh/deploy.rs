//! Puts flowhost on a node: the program of this process, or the one that was named for the node's kind of machine.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, Ended, OWN_FAILURE};
use super::look::look;
use super::{failed, scripts, unstarted};
use crate::digest::Digest;
use crate::executor::pool::{End, Gone};
use crate::model::{SshNode, SshSettings};
use crate::runtime::program;
use crate::wire::Hello;

/// How long a node may take to look at a program that it was sent.
const CHECK: Duration = Duration::from_secs(60);

/// Bytes of what a node says of a program.
const SAID: u64 = 64 << 10;

/// What was put on a node.
pub(super) struct Deployed(pub(super) Digest);

/// A program as it is sent.
struct Program {
    bytes: Bytes,
    digest: Digest,
}

/// Programs by the machines that they are for.
pub(super) struct Programs {
    /// That of this process, for machines like this one.
    own: Option<PathBuf>,
    /// Those that were named, by target.
    others: BTreeMap<Arc<str>, PathBuf>,
    /// Those that are being sent, so that several nodes share them.
    read: Mutex<HashMap<PathBuf, Weak<Program>>>,
}

impl Programs {
    pub(super) fn new(own: Option<PathBuf>, others: BTreeMap<Arc<str>, PathBuf>) -> Self {
        Self { own, others, read: Mutex::default() }
    }

    /// The program for a system and a machine, as `uname` calls them.
    pub(super) fn find(&self, system: &str, machine: &str) -> Result<PathBuf, String> {
        let machine = match machine {
            "arm64" => "aarch64",
            "amd64" => "x86_64",
            other => other,
        };
        let fits = |target: &str| {
            let mut parts = target.split('-');
            parts.next() == Some(machine) && parts.any(|part| part == system.to_lowercase())
        };
        if let Some((_, path)) = self.others.iter().find(|(target, _)| fits(target)) {
            return Ok(path.clone());
        }
        let ours = Hello::of("").target;
        if fits(&ours) {
            return program(self.own.as_deref()).map_err(|error| error.to_string());
        }
        Err(format!(
            "its machine is {machine} with {system}, and this flowhost is built for {ours}: build one for it, and name it as binary = {{ \"{machine}-unknown-linux-gnu\" = \"PATH\" }}"
        ))
    }

    /// Reads a program, once for all that are sent it at the same time.
    async fn read(&self, path: &Path) -> Result<Arc<Program>, String> {
        // Nothing in there panics halfway.
        let known = |this: &Self| {
            let read = this.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.get(path).and_then(Weak::upgrade)
        };
        if let Some(program) = known(self) {
            return Ok(program);
        }
        let from = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = Bytes::from(std::fs::read(&from)?);
            Ok(Program { digest: Digest::of(&bytes), bytes })
        });
        let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let program =
            Arc::new(read.map_err(|error| format!("cannot read the program `{}`: {error}", path.display()))?);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(path.to_owned(), Arc::downgrade(&program));
        Ok(program)
    }
}

/// Puts the program for a node there. Before its bytes go, `tell` hears how many they are.
pub(super) async fn deploy(
    settings: &SshSettings,
    node: &SshNode,
    programs: &Programs,
    tell: impl FnOnce(u64),
) -> Result<Deployed, Gone> {
    let look = look(settings, node).await?;
    let (system, machine) = look.system().ok_or_else(|| Gone::Unstarted(look.disobeyed()))?;
    let path = programs.find(system, machine).map_err(Gone::Unstarted)?;
    let program = programs.read(&path).await.map_err(Gone::Unstarted)?;
    let Client { mut from, mut to, life } =
        Client::start(settings, node, &scripts::put(node.workdir.as_ref(), &program.digest))
            .map_err(|error| unstarted(&error))?;
    tell(program.bytes.len() as u64);
    // Where this breaks off, how ssh ended says why.
    let sent = async {
        let _ = to.write_all(&program.bytes).await;
        drop(to);
    };
    let mut said = Vec::new();
    let mut limited = (&mut from).take(SAID);
    let (_, _) = tokio::join!(sent, limited.read_to_end(&mut said));
    let ended = life.ended(settings.connect_timeout + CHECK).await;
    match ended.code {
        Some(0) => Ok(Deployed(program.digest)),
        _ => Err(refused(ended, node, &path)),
    }
}

/// There is no folder on the node that flowhost could be in.
pub(super) fn no_folder(said: &str) -> String {
    format!(
        "flowhost cannot be put there ({said}): name a folder of its user's own, with room, that programs can be executed from, as `workdir`"
    )
}

/// The folder on the node is full.
pub(super) fn no_room(said: &str) -> String {
    format!("flowhost cannot be put there ({said}): make room, or name another folder as `workdir`")
}

/// Why a program was not put on a node.
fn refused(ended: Ended, node: &SshNode, path: &Path) -> Gone {
    let said = &ended.said;
    let what = path.display();
    Gone::Unstarted(match ended.code {
        Some(scripts::NO_FOLDER) => no_folder(said),
        Some(scripts::NOT_WRITTEN) => no_room(said),
        Some(scripts::NOT_RUNNING) => format!(
            "`{what}` was put there and does not run ({said}): build one for it, as docs/executors.md says, and name it in `binary`"
        ),
        Some(OWN_FAILURE) => {
            let end = End { how: ended.text(), killed: false, code: ended.code, said: ended.said };
            return failed(end, node);
        }
        // The connection was cut, or what arrived was not whole: it was thrown away.
        _ => {
            let how = format!("flowhost was being put there: {}", ended.text());
            return Gone::Lost(End { how, killed: false, code: ended.code, said: ended.said });
        }
    })
}
