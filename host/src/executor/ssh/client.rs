//! One process of the system's `ssh`: how it is told where to go, and how it ends.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::executor::BoxFuture;
use crate::executor::pool::{End, Life};
use crate::executor::words::Words;
use crate::model::{SshNode, SshSettings};

/// The program.
pub(super) const SSH: &str = "ssh";

/// The exit code with which ssh says that it failed itself. So may what it executed.
pub(super) const OWN_FAILURE: i32 = 255;

/// What holds for every connection (`ssh_config(5)`): nobody is asked anything, unknown hosts are not believed,
/// nothing is forwarded, a dead connection is noticed in 15 seconds, and nothing else runs.
const FIXED: [&str; 16] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "EscapeChar=none",
    "ControlMaster=no",
    "Tunnel=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "LogLevel=ERROR",
];

/// Bytes that the system keeps between this process and ssh, each way, where it grants so much.
const BETWEEN: usize = 1 << 20;

/// How long ssh may take to end by itself before it is ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// An ssh process that was started.
pub(super) struct Client {
    pub(super) from: ChildStdout,
    pub(super) to: ChildStdin,
    pub(super) life: Living,
}

impl Client {
    /// Connects to a node, to execute `remote` there.
    pub(super) fn start(settings: &SshSettings, node: &SshNode, remote: &str) -> std::io::Result<Self> {
        let mut command = Command::new(SSH);
        for option in FIXED {
            command.args(["-o", option]);
        }
        // In whole seconds.
        let timeout = settings.connect_timeout.as_millis().div_ceil(1000);
        command.arg("-o").arg(format!("ConnectTimeout={timeout}"));
        command.args(arguments(node)).arg("--").arg(node.address.to_string()).arg(remote);
        let mut child = command
            .current_dir(&settings.folder)
            // What it says is read here.
            .env("LC_ALL", "C")
            // On the way to a jump host ssh starts another, which these options do not reach and which may ask as
            // well.
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "/bin/false")
            // An interrupt at the keyboard is for us alone.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let to = child.stdin.take().ok_or_else(missing)?;
        let from = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        // What is not granted only costs speed.
        let _ = rustix::pipe::fcntl_setpipe_size(&to, BETWEEN);
        let _ = rustix::pipe::fcntl_setpipe_size(&from, BETWEEN);
        let words = Words::default();
        let listening = tokio::spawn(words.clone().listen(errors));
        Ok(Self { from, to, life: Living { child, words, listening } })
    }
}

/// What ssh is told of a node besides its address.
pub(super) fn arguments(node: &SshNode) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(port) = node.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(identity) = &node.identity_file {
        arguments.extend(["-i".to_owned(), identity.to_string()]);
    }
    for option in &node.options {
        arguments.extend(["-o".to_owned(), format!("{}={}", option.name(), option.value())]);
    }
    arguments
}

/// The process, which ends when this is dropped.
pub(super) struct Living {
    child: Child,
    words: Words,
    listening: JoinHandle<()>,
}

impl Living {
    fn kill(&self) {
        if let Some(group) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may be gone already. With it goes what it started to reach the node.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for its end, and ends it where it takes long.
    pub(super) async fn ended(mut self, patience: Duration) -> Ended {
        let waited = tokio::time::timeout(patience, self.child.wait()).await;
        let status = match waited {
            Ok(status) => status.ok(),
            Err(_) => {
                self.kill();
                self.child.wait().await.ok().and(None)
            }
        };
        // What it said last may still be on its way.
        let _ = tokio::time::timeout(PATIENCE, &mut self.listening).await;
        self.listening.abort();
        Ended {
            code: status.and_then(|status| status.code()),
            how: describe(status),
            said: self.words.text(),
        }
    }
}

/// How ssh ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code, where it ended by itself.
    pub(super) code: Option<i32>,
    /// In words.
    how: String,
    /// What it and the node said last.
    pub(super) said: String,
}

impl Ended {
    /// All of it in words.
    pub(super) fn text(&self) -> String {
        match self.said.is_empty() {
            true => self.how.clone(),
            false => format!("{}; it said: {}", self.how, self.said),
        }
    }
}

impl Life for Living {
    fn end(self: Box<Self>, _: bool) -> BoxFuture<'static, End> {
        Box::pin(async move {
            let ended = self.ended(PATIENCE).await;
            End { how: ended.text(), killed: false, code: ended.code, said: ended.said }
        })
    }
}

fn describe(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("ssh ended with exit code {code}"),
        Some((None, Some(signal))) => format!("ssh was killed by signal {signal}"),
        Some((None, None)) | None => "ssh was ended".to_owned(),
    }
}
