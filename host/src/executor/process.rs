//! Workers that are children of this process and its own program: they get their code from here, and end
//! with it. Knows nothing of what they are given to do.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;

use super::descriptors;
use super::pool::{Component, End, Gone, Launch, Life, Link, Pool, Reach, Side, Staff, cores};
use super::words::Words;
use super::{BoxFuture, Capacity, Executor, InProcessSettings, Port, Report, Unreachable};
use crate::digest::Digest;
use crate::id::AttemptId;
use crate::model::{Attempt, Cause};
use crate::runtime::{CompileError, ENGINE, Runtime, RuntimeError, Source};
use crate::wire::{Hello, Layer};

/// The hidden subcommand by which a flowhost program executes attempts for its parent.
pub const CHILD_SUBCOMMAND: &str = "execute-attempts";

/// Children at most, where there are not many cores.
const MOST: usize = 64;

/// How long a child may take to end by itself, before it is asked, and after that before it is forced.
const PATIENCE: Duration = Duration::from_millis(250);

/// Executes attempts in children of this process.
pub struct Process {
    pool: Pool,
    code: Arc<Code>,
}

impl Process {
    /// Children are started when there is something for them. `settings` are those of an in-process
    /// executor: its runtime says which program the children are, and compiles for them.
    ///
    /// # Errors
    /// Fails when the system starts no thread.
    pub fn new(settings: InProcessSettings) -> Result<Self, RuntimeError> {
        let InProcessSettings { runtime, root, components } = settings;
        let components = components.into_iter().map(|(digest, path)| (digest, Source::File(path)));
        let code = Code {
            runtime,
            components: components.collect(),
            known: Mutex::default(),
            port: OnceLock::new(),
        };
        let code = Arc::new(code);
        let children = Children { code: Arc::clone(&code), root, most: most() };
        Ok(Self { pool: Pool::new(children)?, code })
    }

    /// What this machine has beneath the sandbox of children, as one that is started for it finds it.
    /// `settings` are as for [`Process::new`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// Fails when no child starts.
    pub async fn beneath(settings: InProcessSettings) -> Result<Beneath, Unreachable> {
        let unreachable = |reason: String| Unreachable { executor: "process".into(), reason };
        let InProcessSettings { runtime, root, .. } = settings;
        let code =
            Code { runtime, components: HashMap::new(), known: Mutex::default(), port: OnceLock::new() };
        let most = most();
        let children = Children { code: Arc::new(code), root, most };
        let link = children.launch(&Reach::default(), 0, &Hello::of(ENGINE)).await;
        let Link { hello, to, life, .. } = link.map_err(|gone| unreachable(gone.to_string()))?;
        drop(to);
        life.end(true).await;
        let mut layers = hello.beneath;
        layers.push(descriptors::sealing());
        Ok(Beneath { cores: cores(), children: most, layers })
    }
}

/// What a machine has beneath the sandbox of children.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beneath {
    /// So many children compute at once.
    pub cores: usize,
    /// So many there are at most, where their tasks wait for something.
    pub children: usize,
    /// What stands between them and the machine.
    pub layers: Vec<Layer>,
}

fn most() -> usize {
    MOST.max(cores() * 4)
}

impl Executor for Process {
    fn open(&self, port: Port) -> BoxFuture<'_, Result<Capacity, Unreachable>> {
        Box::pin(async move {
            if let Err(error) = self.code.runtime.open_cache().await {
                return Err(Unreachable { executor: "process".into(), reason: error.to_string() });
            }
            // A second time is refused by the pool.
            let _ = self.code.port.set(port.clone());
            self.pool.open(port).await
        })
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

/// A file that is made once.
type Once = Arc<OnceCell<Arc<File>>>;

/// Compiled code, for all children.
struct Code {
    runtime: Arc<Runtime>,
    components: HashMap<Digest, Source>,
    known: Mutex<HashMap<(Digest, Arc<str>), Once>>,
    /// Where warnings go.
    port: OnceLock<Port>,
}

impl Code {
    async fn get(&self, component: Digest, settings: Arc<str>) -> Result<Arc<File>, String> {
        let unknown = || format!("the executor was not given the component {component}");
        let source = self.components.get(&component).ok_or_else(unknown)?;
        let cell = {
            // Nothing in there panics halfway.
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry((component, Arc::clone(&settings))).or_default())
        };
        let make = || async {
            let mut code = std::pin::pin!(self.runtime.code(component, &settings, source));
            let code = loop {
                tokio::select! {
                    code = &mut code => break code,
                    // While it is being compiled, people want to know what they wait for.
                    () = self.runtime.warned() => self.tell_warnings(),
                }
            };
            self.tell_warnings();
            // A child cannot open files of the code cache, and must not change what others map.
            let code = code.map_err(|error| error.to_string())?;
            let sealed = tokio::task::spawn_blocking(move || descriptors::sealed(code)).await;
            let sealed = sealed.unwrap_or_else(|error| Err(io::Error::other(error)));
            sealed.map(Arc::new).map_err(|error| format!("cannot hand code over: {error}"))
        };
        cell.get_or_try_init(make).await.cloned()
    }

    fn tell_warnings(&self) {
        if let Some(port) = self.port.get() {
            let warnings = self.runtime.take_warnings().into_iter();
            port.report(warnings.map(|(kind, message)| Report::Warning { kind, message }));
            port.flush();
        }
    }
}

/// A child that was started and has not said anything.
struct Started {
    from: ChildStdout,
    to: ChildStdin,
    side: Beside,
    life: Living,
}

/// Why no child starts.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// There is nothing to start.
    #[error(transparent)]
    Program(#[from] CompileError),
    /// The system does not start it.
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
}

/// Starts children.
struct Children {
    code: Arc<Code>,
    root: PathBuf,
    most: usize,
}

impl Launch for Children {
    fn name(&self) -> Arc<str> {
        "process".into()
    }

    fn staff(&self) -> Staff {
        Staff::Children(self.most)
    }

    fn launch(&self, reach: &Reach, _: usize, ours: &Hello) -> BoxFuture<'_, Result<Link, Gone>> {
        let (started, ours) = (self.start(reach), ours.clone());
        Box::pin(async move {
            let Started { from, to, side, life } =
                started.map_err(|error| Gone::Unstarted(error.to_string()))?;
            Ok(Link::meet(from, to, side, Box::new(life), &ours).await?)
        })
    }

    fn component(&self, _: Digest) -> BoxFuture<'_, Result<Component, String>> {
        Box::pin(std::future::ready(Err("children of this process are handed code".to_owned())))
    }
}

impl Children {
    fn start(&self, reach: &Reach) -> Result<Started, StartError> {
        let program = self.code.runtime.program()?;
        let failed = |source| StartError::Start { program: program.display().to_string(), source };
        let (here, there) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        here.set_nonblocking(true).map_err(failed)?;
        let here = UnixStream::from_std(here).map_err(failed)?;
        let directories = reach.directories.iter().flat_map(|(path, write)| {
            let access = if *write { "write" } else { "read" };
            [OsStr::new(access), path.as_os_str()]
        });
        let mut child = Command::new(&program)
            .arg0("flowhost")
            .arg(CHILD_SUBCOMMAND)
            .arg(std::process::id().to_string())
            .arg(&self.root)
            .arg(reach.memory.to_string())
            .arg(if reach.network { "network" } else { "alone" })
            .args(directories)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Files travel to it on the socket that its last words come by.
            .stderr(Stdio::from(std::os::fd::OwnedFd::from(there)))
            .spawn()
            .map_err(failed)?;
        let missing = || failed(io::ErrorKind::BrokenPipe.into());
        let to = child.stdin.take().ok_or_else(missing)?;
        let from = child.stdout.take().ok_or_else(missing)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let socket = Arc::new(here);
        let name = child.id().map_or_else(|| "child".into(), |id| format!("child {id}").into());
        let side = Beside { name, code: Arc::clone(&self.code), socket: Arc::clone(&socket), group };
        let words = Words::default();
        let listening = tokio::spawn(listen(socket, words.clone()));
        let life = Living { child, group, words, listening };
        Ok(Started { from, to, side, life })
    }
}

/// Keeps the last words of a child.
async fn listen(socket: Arc<UnixStream>, words: Words) {
    let mut buffer = [0; 1024];
    loop {
        match socket.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => words.add(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if socket.readable().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

struct Beside {
    name: Arc<str>,
    code: Arc<Code>,
    socket: Arc<UnixStream>,
    group: Option<Pid>,
}

impl Side for Beside {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn code(&self, component: Digest, settings: Arc<str>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let file = self.code.get(component, Arc::clone(&settings)).await?;
            let label = format!("{component} {settings}");
            loop {
                self.socket.writable().await.map_err(|error| error.to_string())?;
                let sent = self.socket.try_io(Interest::WRITABLE, || {
                    match descriptors::send(&*self.socket, &file, &label)? {
                        true => Ok(()),
                        false => Err(io::ErrorKind::WouldBlock.into()),
                    }
                });
                match sent {
                    Ok(()) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(format!("cannot hand code to the child: {error}")),
                }
            }
        })
    }

    fn waits(&self) -> bool {
        let Some(group) = self.group else { return false };
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", group.as_raw_nonzero())) else {
            return false;
        };
        // The name, in parentheses, may hold anything. The state follows it.
        let sleeps = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        threads.flatten().all(|thread| std::fs::read_to_string(thread.path().join("stat")).is_ok_and(sleeps))
    }
}

/// A child, which ends when this is dropped.
struct Living {
    child: Child,
    group: Option<Pid>,
    words: Words,
    listening: tokio::task::JoinHandle<()>,
}

impl Living {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        // Not waited for: then the number may be another's.
        if self.child.id().is_some() {
            self.signal(Signal::KILL);
        }
    }
}

impl Life for Living {
    fn end(mut self: Box<Self>, now: bool) -> BoxFuture<'static, End> {
        Box::pin(async move {
            let mut status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
            let killed = matches!(&status, Ok(Ok(status)) if by_others(*status));
            for signal in [Signal::TERM, Signal::KILL].into_iter().filter(|_| now) {
                if status.is_ok() {
                    break;
                }
                self.signal(signal);
                status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
            }
            let status = match status {
                Ok(status) => status,
                Err(_) => self.child.wait().await,
            };
            // What it said last may still be on its way.
            let _ = tokio::time::timeout(PATIENCE, &mut self.listening).await;
            self.listening.abort();
            let said = self.words.text();
            let words = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
            let code = status.as_ref().ok().and_then(ExitStatus::code);
            let how = match status {
                Ok(status) => format!("the child process {}{words}", ended(status)),
                Err(error) => format!("the child process is gone: {error}{words}"),
            };
            End { how, killed, code, said }
        })
    }
}

/// Whether a signal ended it that a process does not send itself by what it does wrong: the kernel without
/// memory, or somebody at a keyboard.
fn by_others(status: ExitStatus) -> bool {
    let signals = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];
    status.signal().is_some_and(|signal| signals.iter().any(|other| other.as_raw() == signal))
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
