//! flowhost as people run it: `flowhost run` with the executor `redis`, and `flowhost worker` beside it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flowhost::wire::PROTOCOL;

use super::component::component;
use super::server::Server;

/// A folder with a workflow, and a worker of two slots.
pub(crate) struct Product {
    folder: tempfile::TempDir,
    cache: tempfile::TempDir,
    url: String,
}

/// It ends with its owner.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The queue of those who do not say otherwise.
pub(crate) fn stream() -> String {
    format!("{{flowhost:{PROTOCOL}:default}}:tasks")
}

impl Product {
    /// A group of so many branches that do nothing.
    pub(crate) fn new(server: &Server, branches: u32) -> Self {
        let [folder, cache] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::copy(component(), folder.path().join("bench.wasm")).unwrap();
        let product = Self { folder, cache, url: server.url() };
        product.branches(branches);
        product
    }

    /// From now on so many branches.
    pub(crate) fn branches(&self, branches: u32) {
        let file = self.folder.path().join("workflow.toml");
        let text = "x".repeat(64);
        let workflow = format!(
            r#"
            [components]
            bench = "bench.wasm"
            [tasks.noop]
            run = "bench#noop"
            with = {{ argument = {{ text = "{text}" }} }}
            executor = "redis"
            [groups.many]
            task = "noop"
            for-each = {{ range = [0, {branches}] }}
            max-branches = {branches}
            [outputs]
            "#
        );
        std::fs::write(file, workflow).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowhost"));
        command.args(words).args(["--redis", &self.url]).current_dir(&self.folder);
        command.env("XDG_CACHE_HOME", self.cache.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts a worker with two slots, and waits until it has announced itself.
    pub(crate) fn worker(&self, server: &Server) -> Running {
        let mut command = self.command(&["worker", "--concurrency", "2"]);
        let worker = Running(command.stderr(Stdio::null()).spawn().unwrap());
        let pattern = format!("{{flowhost:{PROTOCOL}:default}}:worker:*");
        while server.ask::<Vec<String>>(&["KEYS", &pattern]).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        worker
    }

    /// Runs the workflow to its end, and says how long the whole process took.
    pub(crate) fn run(&self) -> Duration {
        let began = Instant::now();
        let status = self.command(&["run", "--progress", "none", "workflow.toml"]).status().unwrap();
        let elapsed = began.elapsed();
        assert!(status.success(), "{status}");
        elapsed
    }

    /// Starts the run, and leaves it alone.
    pub(crate) fn begin(&self) -> Running {
        let mut command = self.command(&["run", "--progress", "none", "workflow.toml"]);
        Running(command.stderr(Stdio::null()).spawn().unwrap())
    }
}
