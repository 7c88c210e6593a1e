//! A Redis server with one worker, for tests that run on every executor: whatever the workflows of a folder may
//! be granted, the worker may grant.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::worker::announced;
use crate::{Cluster, Redis, program};

/// The executor's name.
pub(crate) const EXECUTOR: &str = "redis";

/// A server and a worker of it. Both end with their owner.
#[derive(Debug)]
pub struct Fleet {
    site: Site,
    worker: Child,
    /// What the worker was told of its bounds.
    allowed: Vec<String>,
}

/// Where a fleet's queue is.
#[derive(Debug)]
enum Site {
    Own(Redis),
    Shared(Arc<Cluster>),
}

impl Site {
    fn url(&self) -> String {
        match self {
            // Secrets travel over no socket that others may read.
            Self::Own(server) => server.socket(),
            Self::Shared(cluster) => cluster.url(),
        }
    }

    fn servers(&self) -> &[Redis] {
        match self {
            Self::Own(server) => std::slice::from_ref(server),
            Self::Shared(cluster) => cluster.masters(),
        }
    }
}

impl Fleet {
    /// Has a fleet ready that may grant all that is in `folder` now, and whose worker is bound by `bounds`
    /// besides, its flags. It is on `cluster`, or on a server of its own. Returns where that is.
    pub(crate) fn ready(
        fleet: &mut Option<Self>,
        folder: &Path,
        bounds: &[String],
        cluster: Option<&Arc<Cluster>>,
    ) -> String {
        let mut allowed = allowed(folder);
        allowed.extend(bounds.iter().cloned());
        let now = match fleet.take() {
            Some(mut now) => {
                if now.allowed != allowed || now.worker.try_wait().unwrap().is_some() {
                    // It may have ended by itself.
                    let _ = now.worker.kill();
                    let _ = now.worker.wait();
                    now.worker = work(&now.site, &allowed);
                    now.allowed = allowed;
                }
                now
            }
            None => {
                let own = || Site::Own(Redis::private());
                let site = cluster.map_or_else(own, |cluster| Site::Shared(Arc::clone(cluster)));
                let worker = work(&site, &allowed);
                Self { site, worker, allowed }
            }
        };
        fleet.insert(now).site.url()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// What tasks of the workflows in a folder may be granted: its folders, any address, and the origins and
/// variables that they name.
pub(crate) fn allowed(folder: &Path) -> Vec<String> {
    let mut allowed: Vec<String> = ["0.0.0.0/0", "[::/0]"].map(|all| format!("net={all}:1-65535")).into();
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && !name.starts_with('.') {
            allowed.push(format!("write={name}={}", path.display()));
        }
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let words = |text: &str, of: fn(char) -> bool| -> Vec<String> {
                text.split(|one| !of(one)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
            };
            for line in text.lines().filter(|line| line.contains("env")) {
                let names = words(line, |one| one.is_ascii_alphanumeric() || one == '_');
                let names =
                    names.into_iter().filter(|name| !name.starts_with(|one: char| one.is_ascii_digit()));
                allowed.extend(names.map(|name| format!("env={name}")));
            }
            let origins = words(&text, |one| !one.is_whitespace() && !"\"',[]{}".contains(one));
            let origins = origins.into_iter().filter(|word| word.starts_with("http"));
            // Only what is an origin and no more.
            let origin =
                |word: &String| word.matches('/').count() == 2 && !word.ends_with('/') && !word.contains('@');
            let origins = origins.filter(origin);
            allowed.extend(origins.map(|origin| format!("http={origin}")));
        }
    }
    allowed.sort();
    allowed.dedup();
    allowed.into_iter().flat_map(|one| ["--allow".to_owned(), one]).collect()
}

fn work(site: &Site, allowed: &[String]) -> Child {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let id = format!("fleet-{}-", STARTED.fetch_add(1, Ordering::Relaxed));
    let mut command = Command::new(program());
    command.args(["worker", "--redis", &site.url(), "--id", &id, "--max-memory", "8GiB"]);
    // As many at once as in-process: some workflows have tasks that wait for others of them.
    command.args(["--concurrency", "16"]);
    command.args(allowed);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"FLOWHOST_") {
            command.env_remove(name);
        }
    }
    command.current_dir("/").env("XDG_CACHE_HOME", crate::cache());
    let mut worker = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    crate::until(Duration::from_secs(60), "the fleet's worker", || {
        assert_eq!(worker.try_wait().unwrap(), None, "the worker ended");
        site.servers().iter().any(|server| announced(server, &id))
    });
    worker
}
