//! `flowhost worker`: executes attempts for another flowhost, held to a ceiling.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::consumer::{Consumer, Machine};
use super::exit::Exit;
use super::output::{error, say};
use super::tracing::{exporter, finish};
use crate::manifest::{duration, size};
use crate::runtime::{Runtime, Settings};
use crate::wire::WireError;
use crate::worker::{Allow, Ceiling, CeilingError, Kept, Limits, ServeError, hold_program, serve, standard};

/// What bounds every worker on this machine.
const MACHINE: &str = "/etc/flowhost/worker.toml";

#[derive(clap::Args, Debug)]
pub(super) struct Worker {
    /// Take attempts from standard input and answer on standard output, in the protocol of docs/protocol.md
    #[arg(long, env = "FLOWHOST_STDIO", value_parser = clap::builder::FalseyValueParser::new())]
    stdio: bool,
    /// What tasks may be granted: read=NAME=DIR, write=NAME=DIR, env=NAME, net=ADDRESS:PORT or http=ORIGIN.
    /// Repeatable
    #[arg(long, value_name = "KIND=VALUE", env = "FLOWHOST_ALLOW", value_delimiter = ',')]
    allow: Vec<Allow>,
    /// The most memory that an attempt may use
    #[arg(long, value_name = "SIZE", default_value = "1GiB", env = "FLOWHOST_MAX_MEMORY", value_parser = size)]
    max_memory: u64,
    /// The most time that an attempt may take
    #[arg(long, value_name = "DURATION", default_value = "24h", env = "FLOWHOST_MAX_TIMEOUT", value_parser = duration)]
    max_timeout: Duration,
    /// The folder for components and compiled code [default: flowhost in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "FLOWHOST_WORKDIR")]
    workdir: Option<PathBuf>,
    /// The most that components and values kept on this machine take
    #[arg(long, value_name = "SIZE", default_value = "10GiB", env = "FLOWHOST_STORE_MAX", value_parser = size)]
    store_max: u64,
    #[command(flatten)]
    compiling: super::host::Compiling,
    #[command(flatten)]
    consumer: Consumer,
}

impl Worker {
    pub(super) fn execute(self) -> Exit {
        match (self.stdio, self.consumer.redis.clone()) {
            (false, Some(url)) => match self.ceiling() {
                Ok(ceiling) => {
                    let machine = Machine {
                        ceiling,
                        workdir: self.workdir,
                        store_max: self.store_max,
                        compile_timeout: self.compiling.compile_timeout,
                    };
                    self.consumer.execute(&url, machine)
                }
                Err(failure) => {
                    error(&failure);
                    Exit::Usage
                }
            },
            (true, None) => self.at_stdio(),
            (true, Some(_)) => {
                say(
                    "error: --stdio and --redis, or their variables FLOWHOST_STDIO and FLOWHOST_REDIS, are both given: a worker takes attempts from one of them",
                );
                Exit::Usage
            }
            (false, None) => {
                say(
                    "error: a worker takes attempts from somewhere: --redis URL (FLOWHOST_REDIS) from a queue, --stdio from whoever starts it",
                );
                Exit::Usage
            }
        }
    }

    fn at_stdio(&self) -> Exit {
        if std::io::stdin().is_terminal() {
            say(
                "error: standard input is a terminal: another flowhost starts `flowhost worker --stdio`, and speaks to it there",
            );
            return Exit::Usage;
        }
        let ceiling = match self.ceiling() {
            Ok(ceiling) => ceiling,
            Err(failure) => {
                error(&failure);
                return Exit::Usage;
            }
        };
        match self.work(ceiling) {
            Ok(()) => Exit::Succeeded,
            Err(failure) => {
                error(&failure);
                match failure {
                    ServeError::Wire(WireError::Refused(_)) => Exit::Unreachable,
                    ServeError::Wire(_)
                    | ServeError::NoCall(_)
                    | ServeError::NoPart(_)
                    | ServeError::Arguments(_)
                    | ServeError::Runtime(_)
                    | ServeError::Folder(_)
                    | ServeError::Executor(_) => Exit::Internal,
                }
            }
        }
    }

    /// What the machine's owner or the user wrote down, before what whoever starts the worker says.
    fn ceiling(&self) -> Result<Ceiling, CeilingError> {
        let said = Ceiling {
            allow: self.allow.clone(),
            limits: Limits { memory: self.max_memory, timeout: self.max_timeout },
        };
        let ceiling = match Ceiling::read(files())? {
            Some((ceiling, path)) => {
                let default = Ceiling { allow: Vec::new(), limits: Limits::default() };
                if said != default {
                    let path = path.display();
                    say(&format!(
                        "warning: `{path}` bounds this worker; what its flags allow counts for nothing"
                    ));
                }
                ceiling
            }
            None => said,
        };
        ceiling.check()?;
        Ok(ceiling)
    }

    fn work(&self, ceiling: Ceiling) -> Result<(), ServeError> {
        let io = |error| ServeError::Wire(WireError::Io(error));
        let runtime = Runtime::new(Settings {
            program: super::host::program(),
            cache_dir: self.workdir.as_ref().map(|workdir| workdir.join("code")),
            compile_timeout: self.compiling.compile_timeout,
            ..Settings::default()
        })?;
        hold_program();
        let kept = Arc::new(Kept::open(self.workdir.as_deref(), self.store_max)?);
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        // Its standard error goes to whoever started it, with the client's own.
        let exporter = exporter(true);
        let served = threads.block_on(async {
            let (stdin, stdout) = standard().map_err(io)?;
            let worker = crate::worker::Worker::Bounded { ceiling, exporter: exporter.clone(), kept };
            serve(stdin, stdout, runtime, worker).await
        });
        if let Some(trouble) = exporter.as_deref().and_then(finish) {
            say(&format!("warning: {trouble}"));
        }
        served
    }
}

/// Where a ceiling may be written down, the first that exists counts.
fn files() -> Vec<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    let own = own.map(|folder| folder.join("flowhost/worker.toml"));
    std::iter::once(Path::new(MACHINE).to_owned()).chain(own).collect()
}
