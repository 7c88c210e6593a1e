//! Compiling in a child process, bounded in time and memory: one hostile function can keep a
//! compiler busy for minutes. The parent's half and the child's half live here side by side; neither
//! knows where the code is kept.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::engine::{self, Flavour};
use super::limiter::bytes;
use super::space::Space;

/// The hidden subcommand by which a flowhost program compiles for its parent.
pub const COMPILE_SUBCOMMAND: &str = "compile-component";

/// The variable that names the program that compiles.
pub(super) const PROGRAM_VARIABLE: &str = "FLOWHOST_PROGRAM";

/// The child's exit code for bytes that are no valid component (`EX_DATAERR` of sysexits).
const INVALID: u8 = 65;

/// Bytes of a child's complaint that are passed on.
const COMPLAINT: u64 = 16 << 10;

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// There is no flowhost program to start.
    #[error(
        "no program to compile components with: set `program` in the runtime's settings or \
         {PROGRAM_VARIABLE} to a flowhost program, or put `flowhost` on the PATH"
    )]
    NoProgram,
    /// The program does not start.
    #[error("cannot start `{}` to compile components ({PROGRAM_VARIABLE} or the runtime's setting `program` names another): {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are no valid component, or use what is switched off.
    #[error("invalid component: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// It took too long.
    #[error(
        "compiling took longer than {after:?}, the bound that `--compile-timeout` or the runtime's setting `compile_timeout` gives, and was stopped"
    )]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The compiler died, for want of memory as a rule.
    #[error("the compiler ended with {status}: it may use {}, the runtime's setting `compile_memory`{detail}", bytes(*memory))]
    Died {
        /// How.
        status: ExitStatus,
        /// Bytes that it may use.
        memory: u64,
        /// What it said, after `: `, if anything.
        detail: String,
    },
    /// Talking to it failed.
    #[error("cannot talk to the compiler: {0}")]
    Io(#[from] io::Error),
}

/// How components are compiled.
#[derive(Clone, Debug)]
pub(super) struct Compiler {
    pub(super) program: Option<PathBuf>,
    pub(super) timeout: Duration,
    pub(super) memory: u64,
}

impl Compiler {
    /// Compiles `wasm` for `flavour` and `space` into `output`.
    pub(super) async fn compile(
        &self,
        wasm: &[u8],
        flavour: Flavour,
        space: Space,
        output: File,
    ) -> Result<(), CompileError> {
        let program = self.program()?;
        let mut child = Command::new(&program)
            .arg0("flowhost")
            .arg(COMPILE_SUBCOMMAND)
            .arg(flavour.name())
            .arg(space.name())
            .arg(self.memory.to_string())
            .arg(self.timeout.as_secs().saturating_add(1).to_string())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CompileError::Start { program, source })?;
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A child that ended early closes its end; its exit code says why.
                let _ = stdin.write_all(wasm).await;
            }
        };
        let listen = async {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                let _ = stderr.take(COMPLAINT).read_to_end(&mut said).await;
            }
            String::from_utf8_lossy(&said).trim().to_owned()
        };
        let finish = async {
            let ((), said) = tokio::join!(feed, listen);
            Ok::<_, io::Error>((child.wait().await?, said))
        };
        let (status, said) = match tokio::time::timeout(self.timeout, finish).await {
            Ok(ended) => ended?,
            Err(_) => {
                child.kill().await?;
                return Err(CompileError::Timeout { after: self.timeout });
            }
        };
        if status.success() {
            return Ok(());
        }
        if status.code() == Some(i32::from(INVALID)) {
            return Err(CompileError::Invalid { reason: said });
        }
        let detail = if said.is_empty() { said } else { format!(": {said}") };
        Err(CompileError::Died { status, memory: self.memory, detail })
    }

    /// The program to start: the setting, the variable, or what is on the path.
    pub(super) fn program(&self) -> Result<PathBuf, CompileError> {
        program(self.program.as_deref())
    }
}

/// The flowhost program: the setting, the variable, or what is on the path.
pub(crate) fn program(setting: Option<&Path>) -> Result<PathBuf, CompileError> {
    if let Some(program) = setting.map(Path::to_owned).or_else(named_program) {
        return Ok(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("flowhost"));
    candidates.find(|candidate| is_program(candidate)).ok_or(CompileError::NoProgram)
}

/// The program that the environment names, if it names one.
pub(crate) fn named_program() -> Option<PathBuf> {
    std::env::var_os(PROGRAM_VARIABLE).filter(|program| !program.is_empty()).map(PathBuf::from)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What the child makes of what it was asked.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error(
        "`{COMPILE_SUBCOMMAND}` is for flowhost itself and takes a flavour, a kind of space, bytes of \
         memory and seconds of processor time"
    )]
    Usage,
    #[error("{0:#}")]
    Invalid(wasmtime::Error),
    #[error("{0:#}")]
    Engine(wasmtime::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("cannot limit the compiler: {0}")]
    Limit(#[from] rustix::io::Errno),
}

/// The child's half: what the command line's hidden subcommand [`COMPILE_SUBCOMMAND`] does.
/// `arguments` are those after the subcommand. Reads a component from stdin, writes its code to
/// stdout, and says on stderr what went wrong.
#[must_use]
pub fn compile_child(arguments: &[OsString]) -> ExitCode {
    let (code, error) = match child(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error @ ChildError::Invalid(_)) => (INVALID, error),
        Err(error) => (1, error),
    };
    // A parent that is gone does not read this, and nobody else would.
    let _ = writeln!(io::stderr(), "{error}");
    ExitCode::from(code)
}

fn child(arguments: &[OsString]) -> Result<(), ChildError> {
    let [flavour, space, memory, seconds] = arguments else { return Err(ChildError::Usage) };
    let flavour = Flavour::ALL.into_iter().find(|known| known.name() == flavour).ok_or(ChildError::Usage)?;
    let space = Space::ALL.into_iter().find(|known| known.name() == space).ok_or(ChildError::Usage)?;
    let memory = number(memory)?;
    let seconds = number(seconds)?;

    // The parent keeps the time. Should it be gone, processor time on all cores is the bound.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    bound(Resource::Data, memory)?;
    bound(Resource::Cpu, seconds.saturating_mul(cores))?;
    bound(Resource::Core, 0)?;

    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm)?;
    let engine = engine::on_demand(flavour, space).map_err(ChildError::Engine)?;
    let code = engine.precompile_component(&wasm).map_err(ChildError::Invalid)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code)?;
    Ok(stdout.flush()?)
}

fn number(argument: &OsString) -> Result<u64, ChildError> {
    argument.to_str().and_then(|text| text.parse().ok()).ok_or(ChildError::Usage)
}

/// Lowers a limit, never raises it.
fn bound(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })
}
