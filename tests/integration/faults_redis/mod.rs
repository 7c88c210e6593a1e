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
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use flowhost::id::RunId;
use flowhost::queue::{Keys, RunKeys};
use flowhost::wire::PROTOCOL;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::recorded::{ends, history, runs};
use crate::support::{Place, Redis, Worker, until};

/// What takes longer hangs.
const HANGS: Duration = Duration::from_secs(120);

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
        Self::of(&format!(
            r#"
            [tasks.mark]
            run = "marking#mark"
            with = {{ folder = "marks", name = "${{item}}", ms = {ms} }}
            grants = {{ write = ["marks"] }}
            [groups.all]
            task = "mark"
            for-each = {{ range = [0, {branches}] }}
            {group}
            [outputs]
            all = "${{all}}"
            "#
        ))
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

    /// How often each branch began, and how often it came to its end, by the marks that it left.
    fn executions(&self) -> BTreeMap<u64, (usize, usize)> {
        let mut executions: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
        for entry in fs::read_dir(self.place.path().join("marks")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some((branch, rest)) = name.split_once('.') else { continue };
            let Ok(branch) = branch.parse() else { continue };
            let (begun, ended) = executions.entry(branch).or_default();
            *(if rest.ends_with("begun") { begun } else { ended }) += 1;
        }
        executions
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
        let all = ends(&self.place);
        let all: Vec<_> = all.iter().filter(|((node, _), _)| node == "all").collect();
        assert_eq!(all.len(), branches as usize, "branches that ended");
        for (branch, ends) in all {
            assert_eq!(*ends, 1, "{branch:?}");
        }
        // Reading it refuses a second outcome of a branch.
        let history = history(&self.place);
        let known = &history.nodes["all"].branches;
        assert!((0..branches).all(|index| known.contains_key(&index)), "a branch is missing");
    }

    /// How many attempts of `all` were lost.
    fn lost(&self) -> u32 {
        history(&self.place).nodes["all"].branches.values().map(|branch| branch.lost).sum()
    }
}

/// A run at work. What it says is read all the time.
struct Run {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    stdout: Option<thread::JoinHandle<String>>,
    stderr: Option<thread::JoinHandle<()>>,
}

/// How a run ended.
struct Ran {
    code: Option<i32>,
    stdout: String,
    lines: Vec<String>,
}

impl Run {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stdout = thread::spawn(move || std::io::read_to_string(stdout).unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let stderr = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines, stdout: Some(stdout), stderr: Some(stderr) }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines hold `part`.
    fn count(&self, part: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line that holds `part`.
    fn until(&mut self, part: &str) -> String {
        self.until_so(part, |run| run.count(part) > 0);
        self.lines().into_iter().find(|line| line.contains(part)).unwrap()
    }

    /// Waits until so many lines hold `part`.
    fn until_count(&mut self, part: &str, count: usize) {
        self.until_so(part, |run| run.count(part) >= count);
    }

    fn until_so(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        until(HANGS, what, || {
            // It may say it with its last breath, so it is looked for once more after the end.
            let ended =
                self.child.try_wait().unwrap().is_some() && self.stderr.as_ref().unwrap().is_finished();
            so(self) || {
                assert!(!ended, "the run ended without {what}: {:#?}", self.lines());
                false
            }
        });
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it at once.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    fn end(mut self) -> Ran {
        until(HANGS, "the run's end", || self.child.try_wait().unwrap().is_some());
        self.stderr.take().unwrap().join().unwrap();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        Ran { code: self.child.wait().unwrap().code(), stdout, lines: self.lines() }
    }

    /// Waits for its end, which has to be a success with `all` the numbers of its branches.
    fn succeeds(self, branches: u32) -> Ran {
        let ran = self.end();
        assert_eq!(ran.code, Some(0), "{ran}");
        let expected = json!({ "all": (0..branches).collect::<Vec<_>>() });
        let found: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
        assert!(found == expected, "other values: {}", ran.stdout);
        ran
    }
}

impl Drop for Run {
    #[expect(clippy::print_stdout, reason = "tests show what they print where they fail")]
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("--- the run\n{}", short(&self.lines()));
        }
    }
}

impl Ran {
    /// The messages of warnings of a kind.
    fn warnings(&self, kind: &str) -> Vec<String> {
        let events = crate::groups::events(&self.lines.join("\n")).into_iter();
        let of = events.filter(|event| event["event"] == "warning" && event["kind"] == kind);
        of.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\n{}\n{}", self.code, short(&self.lines), self.stdout)
    }
}

/// As many lines as anyone reads: the last ones.
fn short(lines: &[String]) -> String {
    lines.iter().skip(lines.len().saturating_sub(40)).map(|line| format!("{line}\n")).collect()
}

/// Numbers that look random, the same each time.
fn next(seed: &mut u64) -> usize {
    usize::try_from(crate::faults::next(seed) >> 33).unwrap()
}
