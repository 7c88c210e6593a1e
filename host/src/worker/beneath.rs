//! What stands between a child's guests and its machine beneath their sandbox, told for people: as the
//! kernel says it after the child gave up what it can. Knows nothing of how that is done.

use std::io;

use rustix::process::{Resource, Signal, getrlimit, parent_process_death_signal};
use rustix::thread::no_new_privs;

use super::confine::Confined;
use crate::wire::{Layer, LayerState};

/// What each version of Landlock brought, and the kernel that it came with.
const TRUNCATING: i32 = 3;
const CONNECTIONS: i32 = 4;
const DEVICES: i32 = 5;
const SIGNALS: i32 = 6;

/// Whether the engine of this process clears what guests wrote to by the kernel's table of written pages:
/// it holds the table open then. To be asked while there still is `/proc`.
pub(super) fn resets_quickly() -> bool {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return false };
    let mut links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link.ends_with("pagemap"))
}

/// All layers of this process.
///
/// # Errors
/// Fails when the kernel does not say how it treats this process.
pub(super) fn layers(confined: &Confined, resets: bool) -> io::Result<Vec<Layer>> {
    let follows = parent_process_death_signal()? == Some(Signal::KILL);
    let mut layers = vec![
        layer(
            "parent",
            if follows { Ok("it is killed when flowhost ends") } else { Err("the kernel does not do it") },
            "a child could outlive a flowhost that was killed",
        ),
        layer(
            "privileges",
            match no_new_privs()? {
                true => Ok("it cannot gain rights by starting programs (no_new_privs)"),
                false => Err("the kernel lets it gain rights"),
            },
            "whatever left the sandbox could gain rights by programs that give some",
        ),
        bound(
            "memory",
            Resource::Data,
            |most| format!("it allocates at most {} MiB (RLIMIT_DATA)", most >> 20),
            "whatever left the sandbox could take all memory",
        ),
        bound(
            "open-files",
            Resource::Nofile,
            |most| format!("it opens at most {most} files at once (RLIMIT_NOFILE)"),
            "whatever left the sandbox could open files without end",
        ),
        bound(
            "core-dumps",
            Resource::Core,
            |most| format!("it leaves a core file of at most {most} bytes (RLIMIT_CORE)"),
            "a crash could leave what tasks had in memory on the disk",
        ),
    ];
    layers.extend(by_landlock(confined));
    layers.push(layer(
        "fast-resets",
        match resets {
            true => Ok("the engine clears only what a guest wrote to (PAGEMAP_SCAN)"),
            false => Err(
                "the kernel has no PAGEMAP_SCAN (Linux 6.7), there is no /proc, or address space is scarce",
            ),
        },
        "attempts are as safe, and cost several times as much",
    ));
    Ok(layers)
}

fn layer(name: &str, state: Result<impl Into<String>, impl Into<String>>, without: &str) -> Layer {
    let (state, detail) = match state {
        Ok(detail) => (LayerState::There, detail.into()),
        Err(detail) => (LayerState::Missing, detail.into()),
    };
    Layer { name: name.to_owned(), state, detail, without: without.to_owned() }
}

/// A limit that this process cannot raise.
fn bound(name: &str, resource: Resource, does: fn(u64) -> String, without: &str) -> Layer {
    let limit = getrlimit(resource);
    let state = match limit.maximum {
        Some(most) if limit.current == limit.maximum => Ok(does(most)),
        Some(_) | None => Err("the kernel does not bound it".to_owned()),
    };
    layer(name, state, without)
}

fn by_landlock(confined: &Confined) -> [Layer; 3] {
    let (version, why) = (confined.version(), format!("the kernel {}", confined.why()));
    let since = |needed: i32, linux: &str, does: &str| match version >= needed {
        true => Ok(format!("{does} (Landlock, version {version})")),
        false => Err(format!("{why}; this takes version {needed}, Linux {linux}")),
    };
    let mut files = layer(
        "files",
        since(1, "5.13", "it opens what is below granted directories, and nothing else"),
        "whatever left the sandbox could open what this user can",
    );
    let lacks = [
        (TRUNCATING, "files elsewhere can be cut short until Linux 6.2"),
        (DEVICES, "devices in granted directories can be configured until Linux 6.10"),
    ];
    let lacks: Vec<_> =
        lacks.into_iter().filter(|(since, _)| version < *since).map(|(_, lack)| lack).collect();
    if files.state == LayerState::There && !lacks.is_empty() {
        files.state = LayerState::Partly;
        files.detail = format!("{}, but {}", files.detail, lacks.join(", and "));
    }
    [
        files,
        layer(
            "connections",
            since(CONNECTIONS, "6.7", "without network grants it connects to nothing by TCP"),
            "whatever left the sandbox could connect to what this machine can",
        ),
        layer(
            "signals",
            since(SIGNALS, "6.12", "it reaches no process outside by signals or abstract sockets"),
            "whatever left the sandbox could end this user's processes",
        ),
    ]
}
