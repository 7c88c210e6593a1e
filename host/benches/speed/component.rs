//! The component of all benchmarks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Built from source once.
pub(crate) fn component() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
        let status = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--package", "guest-bench"])
            .current_dir(&guests)
            .env_remove("CARGO_TARGET_DIR")
            .status();
        assert!(status.unwrap().success());
        guests.join("target/wasm32-wasip2/release/bench.wasm")
    })
}
