//! flowhost as people run it: `flowhost run`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::component::component;

/// A folder with a workflow over `bench.wasm`.
pub(crate) struct Product {
    folder: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Product {
    pub(crate) fn new(workflow: &str) -> Self {
        let [folder, cache] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::copy(component(), folder.path().join("bench.wasm")).unwrap();
        let workflow = format!("[components]\nbench = \"bench.wasm\"\n{workflow}");
        std::fs::write(folder.path().join("workflow.toml"), workflow).unwrap();
        Self { folder, cache }
    }

    /// Another file beside it.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// Runs the workflow to its end, and says how long the whole process took.
    pub(crate) fn run(&self) -> Duration {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowhost"));
        command.args(["run", "--progress", "none", "--no-journal", "workflow.toml"]);
        command.current_dir(&self.folder).env("XDG_CACHE_HOME", self.cache.path());
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        let elapsed = began.elapsed();
        assert!(status.success(), "{status}");
        elapsed
    }
}
