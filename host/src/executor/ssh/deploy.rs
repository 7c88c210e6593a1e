//! Puts flowhost on a node: the program of this process, or the one that was named for the node's kind of machine.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, Ended, OWN_FAILURE};
use super::{failed, scripts, unstarted};
use crate::digest::Digest;
use crate::executor::pool::{End, Gone};
use crate::model::{SshNode, SshSettings};
use crate::report::harmless;
use crate::runtime::program;
use crate::wire::Hello;

/// How long a node may take to say what it is, beyond the time to connect.
const LOOK: Duration = Duration::from_secs(60);

/// How long a node may take to look at a program that it was sent.
const CHECK: Duration = Duration::from_secs(60);

/// Bytes of what a node says of itself.
const SAID: u64 = 64 << 10;

/// Letters of it that are quoted.
const QUOTE: usize = 400;

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
    fn find(&self, system: &str, machine: &str) -> Result<PathBuf, String> {
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

/// Puts the program for a node there.
pub(super) async fn deploy(
    settings: &SshSettings,
    node: &SshNode,
    programs: &Programs,
) -> Result<Deployed, Gone> {
    let look = look(settings, node).await?;
    let (system, machine) = look.system().ok_or_else(|| Gone::Unstarted(look.disobeyed()))?;
    let path = programs.find(system, machine).map_err(Gone::Unstarted)?;
    let program = programs.read(&path).await.map_err(Gone::Unstarted)?;
    let Client { mut from, mut to, life } =
        Client::start(settings, node, &scripts::put(node.workdir.as_ref(), &program.digest))
            .map_err(|error| unstarted(&error))?;
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

/// Why a program was not put on a node.
fn refused(ended: Ended, node: &SshNode, path: &Path) -> Gone {
    let said = &ended.said;
    let what = path.display();
    Gone::Unstarted(match ended.code {
        Some(scripts::NO_FOLDER) => format!(
            "flowhost cannot be put there ({said}): name a folder of its user's own, with room, that programs can be executed from, as `workdir`"
        ),
        Some(scripts::NOT_WRITTEN) => {
            format!("flowhost cannot be put there ({said}): make room, or name another folder as `workdir`")
        }
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

/// What a node says of itself.
pub(super) struct Look {
    said: String,
    /// How that ended.
    how: String,
}

impl Look {
    /// Its system and its machine, as `uname` calls them.
    fn system(&self) -> Option<(&str, &str)> {
        // What its shell says by itself comes before.
        self.lines("system ").last()?.split_once(' ').filter(|(system, _)| !system.is_empty())
    }

    /// Why it does not say what it is.
    fn disobeyed(&self) -> String {
        let letters: Vec<char> = self.said.trim().chars().collect();
        let end: String =
            letters.get(letters.len().saturating_sub(QUOTE)..).unwrap_or_default().iter().collect();
        let instead = match &*end {
            "" => String::new(),
            end => format!("instead came {} bytes: {}; ", self.said.len(), harmless(end)),
        };
        format!(
            "its shell does not do what it is told: {instead}{}; look at what it reads before, such as ~/.bashrc",
            self.how
        )
    }

    /// What follows `key` on each line that begins with it.
    fn lines<'l>(&'l self, key: &'l str) -> impl Iterator<Item = &'l str> {
        self.said.lines().filter_map(move |line| line.strip_prefix(key))
    }
}

/// Asks a node what it is.
pub(super) async fn look(settings: &SshSettings, node: &SshNode) -> Result<Look, Gone> {
    let Client { mut from, to, life } = Client::start(settings, node, &scripts::look(node.workdir.as_ref()))
        .map_err(|error| unstarted(&error))?;
    drop(to);
    let mut said = Vec::new();
    let mut limited = (&mut from).take(SAID);
    let read = limited.read_to_end(&mut said);
    // What did not come in time is missing below.
    let _ = tokio::time::timeout(settings.connect_timeout + LOOK, read).await;
    let ended = life.ended(Duration::from_secs(1)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    if ended.code == Some(OWN_FAILURE) {
        let end = End { how: ended.text(), killed: false, code: ended.code, said: ended.said };
        return Err(failed(end, node));
    }
    Ok(Look { said, how: ended.text() })
}
