//! Runs at work, beside which tests do something: what they say while they go on, and what they left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::recorded::{ends, history};
use crate::support::{Place, until};

/// What takes longer hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(120);

/// A workflow without its components: a group `all` of so many branches that leave marks, and wait for so long in between,
/// in milliseconds, with more TOML for the group.
pub(crate) fn marking(branches: u32, ms: u64, group: &str) -> String {
    format!(
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
    )
}

/// How often each branch began, and how often it came to its end, by the marks that it left in the folder `marks`.
pub(crate) fn executions(place: &Place) -> BTreeMap<u64, (usize, usize)> {
    let mut executions: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for entry in fs::read_dir(place.path().join("marks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((branch, rest)) = name.split_once('.') else { continue };
        let Ok(branch) = branch.parse() else { continue };
        let (begun, ended) = executions.entry(branch).or_default();
        *(if rest.ends_with("begun") { begun } else { ended }) += 1;
    }
    executions
}

/// Every branch of the group `all` has one outcome in the newest journal, which was read and makes sense.
pub(crate) fn has_one_outcome_each(place: &Place, branches: u32) {
    let all = ends(place);
    let all: Vec<_> = all.iter().filter(|((node, _), _)| node == "all").collect();
    assert_eq!(all.len(), branches as usize, "branches that ended");
    for (branch, ends) in all {
        assert_eq!(*ends, 1, "{branch:?}");
    }
    // Reading it refuses a second outcome of a branch.
    let history = history(place);
    let known = &history.nodes["all"].branches;
    assert!((0..branches).all(|index| known.contains_key(&index)), "a branch is missing");
}

/// How many attempts of the group `all` were lost, by the newest journal.
pub(crate) fn lost(place: &Place) -> u32 {
    history(place).nodes["all"].branches.values().map(|branch| branch.lost).sum()
}

/// A run at work. What it says is read all the time.
pub(crate) struct Run {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    stdout: Option<thread::JoinHandle<String>>,
    stderr: Option<thread::JoinHandle<()>>,
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) lines: Vec<String>,
}

impl Run {
    pub(crate) fn start(command: &mut Command) -> Self {
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

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines hold `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line that holds `part`.
    pub(crate) fn until(&mut self, part: &str) -> String {
        self.until_so(part, |run| run.count(part) > 0);
        self.lines().into_iter().find(|line| line.contains(part)).unwrap()
    }

    /// Waits until so many lines hold `part`.
    pub(crate) fn until_count(&mut self, part: &str, count: usize) {
        self.until_so(part, |run| run.count(part) >= count);
    }

    pub(crate) fn until_so(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
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

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        until(HANGS, "the run's end", || self.child.try_wait().unwrap().is_some());
        self.stderr.take().unwrap().join().unwrap();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        Ran { code: self.child.wait().unwrap().code(), stdout, lines: self.lines() }
    }

    /// Waits for its end, which has to be a success with `all` the numbers of its branches.
    pub(crate) fn succeeds(self, branches: u32) -> Ran {
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
    pub(crate) fn warnings(&self, kind: &str) -> Vec<String> {
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
