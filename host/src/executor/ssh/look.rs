//! What a node's shell says of the node: nothing is put there for that.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::Instant;

use super::client::{Client, OWN_FAILURE};
use super::{failed, scripts, unstarted};
use crate::executor::pool::{End, Gone};
use crate::model::{SshNode, SshSettings};
use crate::report::harmless;

/// How long a node may take to say what it is, beyond the time to connect, before flowhost is put there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of what a node says of itself.
const SAID: u64 = 64 << 10;

/// Letters of it that are quoted.
const QUOTE: usize = 400;

/// Bytes without which not even a shell could be tried in a folder.
const LEAST: u64 = 1 << 20;

/// Lines that are sent to a node and back to see how long that takes.
const ROUNDS: u32 = 5;

/// What a node says of itself.
pub(super) struct Look {
    said: String,
    /// How that ended.
    how: String,
    /// From the start of ssh until the node said something.
    pub(super) connected: Duration,
    /// What a line took at least, there and back.
    pub(super) round_trip: Option<Duration>,
}

/// A folder in which flowhost may be.
pub(super) struct Place<'l> {
    pub(super) path: &'l str,
    /// Bytes that are free there.
    pub(super) free: Option<u64>,
    /// Why programs can be neither put nor executed there.
    pub(super) unfit: Option<&'static str>,
}

impl Look {
    /// Its system and its machine, as `uname` calls them.
    pub(super) fn system(&self) -> Option<(&str, &str)> {
        // What its shell says by itself comes before.
        self.lines("system ").last()?.split_once(' ').filter(|(system, _)| !system.is_empty())
    }

    /// Why it does not say what it is.
    pub(super) fn disobeyed(&self) -> String {
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

    /// Its processors.
    pub(super) fn cores(&self) -> Option<u32> {
        self.lines("cores ").next()?.parse().ok()
    }

    /// Where flowhost may be: the first that is fit for it counts.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.lines("folder ").filter_map(|line| {
            let mut parts = line.splitn(3, ' ');
            let (free, state, path) = (parts.next()?, parts.next()?, parts.next()?);
            let free = free.parse::<u64>().ok().and_then(|kib| kib.checked_mul(1024));
            let unfit = match state {
                "fits" if free.is_some_and(|free| free < LEAST) => Some("nothing is free there"),
                "fits" => None,
                "foreign" => Some("it belongs to another user"),
                "file" => Some("a file is in its way"),
                "closed" => Some("it cannot be written to"),
                "noexec" => Some(scripts::NOEXEC),
                _ => return None,
            };
            Some(Place { path, free, unfit })
        })
    }

    /// Programs of ours that are there, and one that somebody installed.
    pub(super) fn programs(&self) -> impl Iterator<Item = &str> {
        self.lines("program ")
    }

    /// What follows `key` on each line that begins with it.
    fn lines<'l>(&'l self, key: &'l str) -> impl Iterator<Item = &'l str> {
        self.said.lines().filter_map(move |line| line.strip_prefix(key))
    }
}

/// Asks a node what it is.
pub(super) async fn look(settings: &SshSettings, node: &SshNode) -> Result<Look, Gone> {
    ask(settings, node, settings.connect_timeout + PATIENCE).await
}

/// Asks a node what it is. It may take so long to answer.
pub(super) async fn ask(settings: &SshSettings, node: &SshNode, patience: Duration) -> Result<Look, Gone> {
    let Client { from, mut to, life } = Client::start(settings, node, &scripts::look(node.workdir.as_ref()))
        .map_err(|error| unstarted(&error))?;
    let mut heard = Heard { from: BufReader::new(from.take(SAID)), said: String::new(), connected: None };
    let talk = heard.talk(&mut to);
    // What did not come in time is missing below.
    let talked = tokio::time::timeout(patience, talk).await;
    drop(to);
    let ended = life.ended(Duration::from_secs(1)).await;
    if ended.code == Some(OWN_FAILURE) {
        let end = End { how: ended.text(), killed: false, code: ended.code, said: ended.said };
        return Err(failed(end, node));
    }
    let how = ended.text();
    let Ok(round_trip) = talked else {
        let how = format!("it took more than {} s to say what it is; {how}", patience.as_secs());
        return Err(Gone::Lost(End { how, killed: false, code: ended.code, said: ended.said }));
    };
    Ok(Look { said: heard.said, how, connected: heard.connected.unwrap_or_default(), round_trip })
}

/// What is heard of a node.
struct Heard {
    from: BufReader<tokio::io::Take<ChildStdout>>,
    said: String,
    connected: Option<Duration>,
}

impl Heard {
    /// Hears all that the node says of itself, then sends lines to and fro. Returns what one took at least.
    async fn talk(&mut self, to: &mut ChildStdin) -> Option<Duration> {
        let began = Instant::now();
        loop {
            let line = self.line().await?;
            self.connected.get_or_insert(began.elapsed());
            if line == scripts::READY {
                break;
            }
            self.said.push_str(&line);
            self.said.push('\n');
        }
        let mut least: Option<Duration> = None;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            to.write_all(b"there\n").await.ok()?;
            self.line().await?;
            let took = began.elapsed();
            least = Some(least.map_or(took, |least| least.min(took)));
        }
        least
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.from.read_until(b'\n', &mut line).await {
            Ok(1..) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Ok(0) | Err(_) => None,
        }
    }
}
