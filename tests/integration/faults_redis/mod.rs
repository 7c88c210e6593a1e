//! The fault catalogue of the executor `redis`: a real server that is killed, stopped, flushed, full or cut off,
//! real workers that are killed and stopped, and the real command beside them. Each test bears the id of its
//! fault.

mod cancelled;
mod fleets;
mod garbage;
mod killed;
mod leases;
mod lost;
mod persistence;
mod refused;
mod replies;
mod resumed;
mod servers;
mod staff;

use std::collections::BTreeMap;

use flowhost::id::RunId;
use flowhost::queue::{Keys, RunKeys};
use flowhost::wire::PROTOCOL;

use crate::recorded::runs;
use crate::running::{HANGS, Run, executions, has_one_outcome_each, lost, marking};
use crate::support::{Place, Redis, Worker};

/// A folder with a workflow, and the keys of the queue that it uses.
struct Scene {
    place: Place,
    keys: Keys,
}

impl Scene {
    /// A group `all` of so many branches that leave marks, and wait for so long in between, in milliseconds.
    fn marking(branches: u32, ms: u64) -> Self {
        Self::marking_with(branches, ms, "")
    }

    /// The same, with more TOML for the group.
    fn marking_with(branches: u32, ms: u64, group: &str) -> Self {
        Self::of(&marking(branches, ms, group))
    }

    /// A workflow without its components, which are the guests `marking`, `failing` and `echo`.
    fn of(workflow: &str) -> Self {
        let place = Place::new();
        place.guest("marking").guest("failing").guest("echo").file("marks/.keep", "");
        place.file(
            "workflow.toml",
            format!(
                "[components]\nmarking = \"marking.wasm\"\nfailing = \"failing.wasm\"\necho = \"echo.wasm\"\n{workflow}"
            ),
        );
        Self { place, keys: Keys::new("flowhost", PROTOCOL, "default").unwrap() }
    }

    /// Starts the run on a server.
    fn run(&self, redis: &Redis) -> Run {
        self.run_at(&redis.url(), &[])
    }

    /// Starts the run on the server at `url`, with more flags.
    fn run_at(&self, url: &str, flags: &[&str]) -> Run {
        let mut command = self.place.command(["run", "workflow.toml", "--executor", "redis", "--redis", url]);
        Run::start(command.args(["--progress", "json"]).args(flags))
    }

    /// Starts a worker that may grant the folder of marks.
    fn worker(&self, redis: &Redis, id: &str, flags: &[&str]) -> Worker {
        self.worker_at(&redis.url(), redis, id, flags)
    }

    fn worker_at(&self, url: &str, redis: &Redis, id: &str, flags: &[&str]) -> Worker {
        let flags = self.worker_flags(flags);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Worker::reaching(&self.place, url, &[redis], id, &flags)
    }

    fn worker_flags(&self, flags: &[&str]) -> Vec<String> {
        let marks = format!("write=marks={}", self.place.path().join("marks").display());
        let all = ["--allow".to_owned(), marks].into_iter();
        all.chain(flags.iter().map(|flag| (*flag).to_owned())).collect()
    }

    /// How often each branch began, and how often it came to its end.
    fn executions(&self) -> BTreeMap<u64, (usize, usize)> {
        executions(&self.place)
    }

    /// How many executions began.
    fn begun(&self) -> usize {
        self.executions().values().map(|(begun, _)| begun).sum()
    }

    /// How many executions came to their end.
    fn ended(&self) -> usize {
        self.executions().values().map(|(_, ended)| ended).sum()
    }

    /// The keys of the newest run here.
    fn run_keys(&self) -> RunKeys {
        self.keys.run(&RunId(runs(&self.place).first().expect("a run was begun").as_str().into()))
    }

    /// How many attempts wait or execute.
    fn queued(&self, redis: &Redis) -> usize {
        redis.command(&["XLEN", &self.keys.tasks()])
    }

    /// The entries that wait or execute, each with its fields.
    fn entries(&self, redis: &Redis) -> Vec<(String, BTreeMap<String, String>)> {
        let entries: Vec<(String, Vec<Vec<u8>>)> = redis.command(&["XRANGE", &self.keys.tasks(), "-", "+"]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = |all: &[Vec<u8>]| all.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        entries.iter().map(|(entry, all)| (entry.clone(), fields(all))).collect()
    }

    /// What workers hold: for each entry its holder, how long it was not renewed, and its deliveries.
    fn held(&self, redis: &Redis) -> Vec<(String, String, u64, u64)> {
        redis.ask(&["XPENDING", &self.keys.tasks(), "workers", "-", "+", "10000"]).unwrap_or_default()
    }

    /// Every branch of `all` has one outcome in the journal, which was read and makes sense.
    fn has_one_outcome_each(&self, branches: u32) {
        has_one_outcome_each(&self.place, branches);
    }

    /// How many attempts of `all` were lost.
    fn lost(&self) -> u32 {
        lost(&self.place)
    }
}

/// Numbers that look random, the same each time.
fn next(seed: &mut u64) -> usize {
    usize::try_from(crate::faults::next(seed) >> 33).unwrap()
}
