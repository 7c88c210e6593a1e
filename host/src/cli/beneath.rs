//! `flowhost inspect --host`: what this machine has beneath the sandbox of children, which one that is
//! started for it finds out.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::executor::{Beneath, InProcessSettings, Process, Unreachable};
use crate::runtime::{Runtime, RuntimeError, Settings};
use crate::wire::LayerState;

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeneathError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("flowhost cannot start its threads: {0}")]
    Threads(std::io::Error),
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// Starts a child and asks it.
pub(super) fn found() -> Result<Beneath, BeneathError> {
    let runtime = Runtime::new(Settings { program: super::host::program(), ..Settings::default() })?;
    let settings = InProcessSettings { runtime, root: PathBuf::from("/"), components: Vec::new() };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads = threads.map_err(BeneathError::Threads)?;
    Ok(threads.block_on(Process::beneath(settings))?)
}

/// The kernel's version, as it says it.
fn kernel() -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {} {}", release.trim(), std::env::consts::ARCH))
}

pub(super) fn as_text(found: &Beneath) -> String {
    let Beneath { cores, children, layers } = found;
    let mut lines = vec![
        format!("kernel    {}", kernel().unwrap_or_else(|| "not known: there is no /proc".to_owned())),
        format!("children  {cores} at once while tasks compute, {children} at most while they wait"),
        "beneath the sandbox of a task with `executor = \"process\"`, for the child that it runs in:"
            .to_owned(),
    ];
    for layer in layers {
        lines.push(format!("{:<9} {}: {}", layer.state.name(), layer.name, layer.detail));
        if layer.state == LayerState::Missing {
            lines.push(format!("{:<9} without it, {}", "", layer.without));
        }
    }
    lines.join("\n")
}

pub(super) fn as_json(found: &Beneath) -> Value {
    let Beneath { cores, children, layers } = found;
    json!({ "kernel": kernel(), "cores": cores, "children": children, "layers": layers })
}
