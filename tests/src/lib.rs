//! What the integration tests share: guests built from source, and a folder of their own with the
//! command to run in it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on may panic"
)]

mod another;
mod certificates;
mod cluster;
mod fleet;
mod kernels;
mod namespaces;
mod nodes;
mod proxy;
mod redis;
mod servers;
mod sshd;
mod worker;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub use another::{ANOTHER, ANOTHERS_VERSION, another, is_another};
pub use certificates::Certificates;
pub use cluster::Cluster;
pub use fleet::Fleet;
pub use kernels::{Landlock, with_landlock};
use nodes::Node;
pub use proxy::Proxy;
pub use redis::{Redis, free_port};
pub use servers::{Gate, Server};
pub use sshd::Sshd;
pub use worker::{Worker, announced};

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Waits until something is so. Whoever could tell is asked again and again.
pub fn until(within: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < within, "{what}: not so after {within:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Every file below a folder, in name order.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Runs a build to its end, once a process for each `done`.
fn build(done: &'static OnceLock<()>, command: &mut Command) {
    done.get_or_init(|| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} ended with {}:\n{printed}", output.status);
    });
}

/// `cargo build` for components, untouched by what the tests themselves were built with.
fn cargo(manifest: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--target", "wasm32-wasip2", "--manifest-path"]).arg(manifest);
    plain(&mut command);
    command
}

/// Lets a build of a guest see nothing of what the tests themselves were built with: where, and how, such as
/// to measure what they cover.
pub fn plain(command: &mut Command) {
    for variable in [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
    ] {
        command.env_remove(variable);
    }
}

/// A component of `tests/guests`, built from source.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let guests = repository().join("tests/guests");
    build(&BUILT, &mut cargo(&guests.join("Cargo.toml")));
    let path = guests.join("target/wasm32-wasip2/release").join(format!("{name}.wasm"));
    assert!(path.is_file(), "no guest `{name}` at {}", path.display());
    path
}

/// The Python guest, made by componentize-py in an environment of its own under the build folder.
#[must_use]
pub fn python_guest() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let python = repository().join("tests/guests/python");
    let component = repository().join("tests/guests/target/python.wasm");
    build(&BUILT, Command::new("sh").arg(python.join("build.sh")).arg(&component));
    component
}

/// The JavaScript guest, made by componentize-js, which lives under the build folder: as it comes, and
/// without the parts of its runtime that reach for `wasi:http`.
#[must_use]
pub fn javascript_guest(http: bool) -> PathBuf {
    static STOCK: OnceLock<()> = OnceLock::new();
    static OFFLINE: OnceLock<()> = OnceLock::new();
    let script = repository().join("tests/guests/javascript/build.sh");
    let (built, name, options): (_, _, &[&str]) = match http {
        true => (&STOCK, "javascript.wasm", &[]),
        false => (&OFFLINE, "javascript-offline.wasm", &["--disable", "http", "fetch-event"]),
    };
    let component = repository().join("tests/guests/target").join(name);
    build(built, Command::new("sh").arg(script).arg(&component).args(options));
    component
}

/// How flowhost is built to be put on nodes, as docs/executors.md says.
pub const DEPLOYABLE: &str =
    "cargo build --profile deploy --target x86_64-unknown-linux-gnu --package flowhost";

/// flowhost as it is put on nodes, built from source. That takes long, so it has a build folder of its own that stays.
#[must_use]
pub fn deployable() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let folder = program().parent().unwrap().parent().unwrap().join("static");
    let mut words = DEPLOYABLE.split(' ');
    let mut command = Command::new(words.next().unwrap());
    plain(&mut command);
    command.args(words).arg("--target-dir").arg(&folder).current_dir(repository());
    build(&BUILT, command.env("RUSTFLAGS", "-C target-feature=+crt-static"));
    folder.join("x86_64-unknown-linux-gnu/deploy/flowhost")
}

/// A folder of its own with workflows and components in it, and the command to run there.
///
/// ```no_run
/// let place = flowhost_tests::Place::new();
/// place.file("workflow.toml", "…").guest("echo");
/// let ended = place.flowhost(["run", "workflow.toml"]);
/// assert_eq!(ended.code, 0, "{ended}");
/// ```
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    executor: Option<String>,
    /// Who executes what runs on Redis here, once something does.
    fleet: Mutex<Option<Fleet>>,
    /// Where runs over ssh go, once one does.
    node: Mutex<Option<Node>>,
    bounds: Vec<String>,
    cluster: Option<Arc<Cluster>>,
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Ended {
    /// Standard output as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        let executor = std::env::var("TESTS_EXECUTOR").ok();
        Self {
            folder: tempfile::tempdir().unwrap(),
            executor,
            fleet: Mutex::new(None),
            node: Mutex::new(None),
            bounds: Vec::new(),
            cluster: None,
        }
    }

    /// An empty folder whose workflows run on `executor`, unless the command says otherwise.
    #[must_use]
    pub fn on(executor: &str) -> Self {
        Self { executor: Some(executor.to_owned()), ..Self::new() }
    }

    /// The same, where workers that execute for it are started with these flags.
    #[must_use]
    pub fn bounding(mut self, flags: &[&str]) -> Self {
        self.bounds = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    /// The same, whose workflow files name a node from now on, where they do so only when one is needed otherwise.
    #[must_use]
    pub fn with_node(self) -> Self {
        self.node_ready();
        self
    }

    fn node_ready(&self) {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        Node::ready(&mut node, self.path(), &self.bounds);
    }

    /// The same, where what runs on Redis does so on a cluster.
    #[must_use]
    pub fn on_cluster(mut self, cluster: &Arc<Cluster>) -> Self {
        self.cluster = Some(Arc::clone(cluster));
        self
    }

    /// Where its workflows run, if that is not left to them.
    #[must_use]
    pub fn executor(&self) -> Option<&str> {
        self.executor.as_deref()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, with the folders that it needs.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Puts a guest here, as `name.wasm`.
    pub fn guest(&self, name: &str) -> &Self {
        fs::copy(guest(name), self.path().join(format!("{name}.wasm"))).unwrap();
        self
    }

    /// Puts a component here that was built elsewhere.
    pub fn component(&self, built: &Path) -> &Self {
        fs::copy(built, self.path().join(built.file_name().unwrap())).unwrap();
        self
    }

    /// A file's text.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// The command, not yet started: in this folder, without variables that flowhost reads, and with the
    /// compiled code of all tests in one cache. The variable `TESTS_EXECUTOR` moves all that does not
    /// say otherwise to another executor.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os() {
            let ours = [&b"FLOWHOST_"[..], b"OTEL_", b"TRACEPARENT"];
            if ours.iter().any(|ours| name.as_encoded_bytes().starts_with(ours)) {
                command.env_remove(name);
            }
        }
        if let Some(executor) = self.executor() {
            command.env("FLOWHOST_EXECUTOR", executor);
        }
        let arguments: Vec<A> = arguments.into_iter().collect();
        let says = |word: &str| arguments.iter().any(|argument| argument.as_ref() == word);
        let on_redis = self.executor() == Some(fleet::EXECUTOR) || says(fleet::EXECUTOR);
        if says("run") && on_redis && !says("--redis") {
            let mut fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
            command.env(
                "FLOWHOST_REDIS",
                Fleet::ready(&mut fleet, self.path(), &self.bounds, self.cluster.as_ref()),
            );
        }
        let on_nodes = self.executor() == Some(nodes::EXECUTOR) || says(nodes::EXECUTOR);
        if says("run") && on_nodes {
            self.node_ready();
        }
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", cache()).env("RUST_BACKTRACE", "0").env_remove("NO_COLOR");
        command
    }

    /// The command, not yet started, under a limit in the words of the shell's `ulimit`: `-v 2097152`.
    #[must_use]
    pub fn limited<A: AsRef<OsStr>>(&self, limit: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        let inner = self.command(arguments);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
        shell.arg(inner.get_program()).args(inner.get_args());
        shell.current_dir(self.path()).stdin(Stdio::null());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    }

    /// Runs the command to its end.
    pub fn flowhost<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        ended(&mut self.command(arguments))
    }

    /// Runs `workflow.toml` here to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        let mut command = self.command(["run", "workflow.toml"]);
        ended(command.args(arguments))
    }
}

/// Runs a command to its end.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Runs a command to its end, if that comes within `limit`. None where it had to be killed.
#[must_use]
pub fn ended_within(command: &mut Command, limit: Duration) -> Option<Ended> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (sender, both) = mpsc::channel();
    thread::spawn(move || {
        let text = |pipe: &mut dyn Read| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (stdout, stderr) = thread::scope(|scope| {
            let stdout = scope.spawn(|| text(&mut stdout));
            // Both at once: the command waits where one of the pipes is full.
            let stderr = text(&mut stderr);
            (stdout.join(), stderr)
        });
        // Nobody waits for it any more.
        let _ = sender.send((stdout.unwrap(), stderr));
    });
    let said = both.recv_timeout(limit);
    if said.is_err() {
        // It may end at this moment.
        let _ = child.kill();
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let (stdout, stderr) = said.ok()?;
    Some(Ended { code, stdout, stderr })
}

/// The command as it was built with the tests.
#[must_use]
pub fn program() -> PathBuf {
    // The test binary stands in `deps`, the command beside that folder.
    let deps = std::env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().join("flowhost-under-test")
}

/// A cache that all tests share, so that a component is compiled once.
fn cache() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let cache = deps.parent().unwrap().parent().unwrap().join("flowhost-test-cache");
    fs::create_dir_all(&cache).unwrap();
    cache
}
