//! An attack with a well-behaved group beside it: what both came to, whether the well-behaved one was
//! on time, and the most memory that the process took.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;
use serde_json::Value;

use crate::children::workers;
use crate::groups::events;
use crate::support::{Ended, Place, ended};

/// What a process may take beyond what is asked of it, in bytes: buffers, code, fragments.
const SLACK: u64 = 16 << 20;

/// How long each of the well-behaved attempts takes alone, in seconds.
const NAP: f64 = 0.1;

/// How an attack ended.
pub(crate) struct Attack {
    executor: Option<String>,
    pub(crate) ended: Ended,
    pub(crate) events: Vec<Value>,
    pub(crate) peak: Peak,
    /// The longest that one of its threads was ready to run and had no core, in seconds: other programs
    /// had them.
    waited: f64,
}

/// The most memory that was taken, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak {
    /// By the process itself.
    pub(crate) own: u64,
    /// By the largest of its children, as far as it was seen. 0 where there are none.
    pub(crate) child: u64,
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB, a child {} MiB", self.own >> 20, self.child >> 20)
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\npeak {}", self.ended, self.peak)
    }
}

/// Runs `hostile`, which is TOML without `[components]`, beside a group of naps. `components` are
/// lines of that table.
pub(crate) fn attack(place: &Place, components: &str, hostile: &str) -> Attack {
    attack_with(place, components, hostile, &[])
}

/// The same with more flags.
pub(crate) fn attack_with(place: &Place, components: &str, hostile: &str, flags: &[&str]) -> Attack {
    place.guest("reach").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            {components}
            [tasks.nap]
            run = "reach#sleep"
            with = {{ ms = 100 }}
            limits = {{ timeout = "20s" }}
            [groups.naps]
            task = "nap"
            for-each = {{ range = [0, 6] }}
            concurrency = 2
            {hostile}
            [outputs]
            naps = "${{naps}}"
            "#
        ),
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let Measured { ended, peak, waited } = measured(command.args(flags));
    let events = events(&ended.stderr);
    let executor = place.executor().map(str::to_owned);
    let attack = Attack { executor, ended, events, peak, waited };
    assert_eq!(
        attack.ended.json().get("naps").and_then(serde_json::Value::as_array).map(Vec::len),
        Some(6),
        "{attack}"
    );
    attack
}

impl Attack {
    /// Every end of a branch or lone task of `name`.
    pub(crate) fn ends(&self, name: &str) -> Vec<&Value> {
        let of = |event: &&Value| event["event"] == "task-ended" && event["task"] == name;
        self.events.iter().filter(of).collect()
    }

    /// The one outcome of the lone task `name`, and its error.
    pub(crate) fn outcome(&self, name: &str) -> (&str, &str) {
        let ends = self.ends(name);
        let [end] = ends.as_slice() else { panic!("{} ends of {name}: {self}", ends.len()) };
        (end["outcome"].as_str().unwrap(), end["error"].as_str().unwrap_or_default())
    }

    /// Asserts how the lone task `name` ended, and that its error begins with `says`.
    pub(crate) fn ended_so(&self, name: &str, outcome: &str, says: &str) {
        let (found, error) = self.outcome(name);
        assert_eq!(found, outcome, "{name}: {self}");
        assert!(error.contains(says), "{name} does not say `{says}`: {self}");
    }

    /// Asserts that the process took no more than `bytes` beyond what it takes without an attack. Where
    /// guests are in children, that holds for each of these, and the process itself takes nothing.
    pub(crate) fn stays_within(&self, bytes: u64) {
        let quiet = quiet(self.executor.as_deref()).peak;
        let in_children = quiet.child > 0;
        let own = if in_children { 0 } else { bytes };
        let bound = Peak { own: quiet.own + own + SLACK, child: quiet.child + bytes + SLACK };
        assert!(self.peak.own <= bound.own && self.peak.child <= bound.child, "more than {bound}: {self}");
    }

    /// How long the guests of `task` ran, in seconds.
    pub(crate) fn guest_seconds(&self, task: &str) -> Vec<f64> {
        let of = |event: &&Value| event["event"] == "attempt-ended" && event["task"] == task;
        self.events.iter().filter(of).map(|event| event["guest-seconds"].as_f64().unwrap()).collect()
    }

    /// Whether the attempts of `task` ended within a tenth and 100 ms of `seconds`.
    pub(crate) fn on_time(&self, task: &str, seconds: f64) -> Result<(), String> {
        let bound = late(seconds) + self.waited;
        match self.guest_seconds(task).into_iter().find(|took| *took > bound) {
            Some(took) => Err(format!("{task} took {took} s and not {bound} s at most")),
            None => Ok(()),
        }
    }

    /// Whether the naps were on time, each alone and the group as a whole.
    pub(crate) fn naps_on_time(&self) -> Result<(), String> {
        self.on_time("nap", NAP)?;
        let (took, bound) =
            (self.group_seconds(), late(quiet(self.executor.as_deref()).group_seconds()) + self.waited);
        if took > bound { Err(format!("the naps took {took} s and not {bound} s at most")) } else { Ok(()) }
    }

    fn group_seconds(&self) -> f64 {
        let of = |event: &&Value| event["event"] == "group-ended" && event["group"] == "naps";
        self.events.iter().find(of).unwrap()["seconds"].as_f64().unwrap()
    }
}

/// A tenth and 100 ms later than `seconds`.
fn late(seconds: f64) -> f64 {
    seconds * 1.1 + 0.1
}

/// The naps alone on an executor, with code that is compiled.
fn quiet(executor: Option<&str>) -> Arc<Attack> {
    static QUIET: Mutex<BTreeMap<Option<String>, Arc<Attack>>> = Mutex::new(BTreeMap::new());
    let mut quiet = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
    let measure = || {
        let place = executor.map_or_else(Place::new, Place::on);
        attack(&place, "", "");
        Arc::new(attack(&place, "", ""))
    };
    Arc::clone(quiet.entry(executor.map(str::to_owned)).or_insert_with(measure))
}

/// Tries up to five times, one test at a time: what other programs do to the machine's clock is not the
/// fault that is looked for, and it comes and goes.
pub(crate) fn punctual(mut attempt: impl FnMut() -> Result<(), String>) {
    static ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let late: Vec<String> = (0..5).map_while(|_| attempt().err()).collect();
    assert!(late.len() < 5, "late every time: {late:#?}");
}

/// How a process ended, and what it took.
pub(crate) struct Measured {
    pub(crate) ended: Ended,
    pub(crate) peak: Peak,
    waited: f64,
}

/// Runs `command` to its end, and says how much memory it took at most, and how long it had to wait.
///
/// Its standard output is a pipe that is full, so that it waits at its last word, when all else is
/// done, until its memory was looked at.
pub(crate) fn measured(command: &mut Command) -> Measured {
    let (mut out, mut full) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&full).unwrap();
    rustix::fs::fcntl_setfl(&full, flags | OFlags::NONBLOCK).unwrap();
    let mut filled = 0;
    loop {
        match full.write(&[b' '; 4096]) {
            Ok(written) => filled += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    rustix::fs::fcntl_setfl(&full, flags).unwrap();
    let mut child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    // The other end is closed with the command's last copy of it.
    command.stdout(Stdio::null());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    let mut line = Vec::new();
    let (mut of_child, mut waited) = (0, 0.0);
    while err.read_until(b'\n', &mut line).unwrap() > 0 {
        let text = String::from_utf8_lossy(&line).into_owned();
        line.clear();
        stderr.push_str(&text);
        if text.contains("\"attempt-ended\"") {
            // They may be gone with the last of them.
            for worker in workers(child.id()) {
                of_child = most_memory(worker).max(of_child);
                waited = longest_wait(worker).max(waited);
            }
        }
        if text.contains("\"run-ended\"") || text.starts_with("workflow: succeeded in ") {
            break;
        }
    }
    let own = child.id();
    let peak = Peak { own: most_memory(own), child: of_child };
    let waited = longest_wait(own).max(waited);
    let mut stdout = Vec::new();
    out.read_to_end(&mut stdout).unwrap();
    let mut rest = Vec::new();
    err.read_to_end(&mut rest).unwrap();
    stderr.push_str(&String::from_utf8_lossy(&rest));
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let stdout = String::from_utf8_lossy(stdout.get(filled..).unwrap()).into_owned();
    Measured { ended: Ended { code, stdout, stderr }, peak, waited }
}

/// The most memory that a process had, in bytes; 0 where it is gone.
pub(crate) fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |peak| peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}

/// The longest that a thread of the process was ready and did not run, in seconds.
fn longest_wait(process: u32) -> f64 {
    // A process or a thread may end meanwhile.
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let waits = threads.filter_map(|thread| {
        let figures = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        figures.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waits.max().unwrap_or_default()).as_secs_f64()
}

/// Runs one function of a component here, with more lines of its task. Its value is the output `it`.
pub(crate) fn run_one(place: &Place, component: &str, function: &str, lines: &str) -> Ended {
    ended(&mut one(place, component, function, lines))
}

/// The same, not yet started.
pub(crate) fn one(place: &Place, component: &str, function: &str, lines: &str) -> Command {
    place.file(
        "one.toml",
        format!(
            "[components]\n{component} = \"{component}.wasm\"\n[tasks.it]\nrun = \"{component}#{function}\"\n\
             {lines}\n[outputs]\nit = \"${{it}}\"\n"
        ),
    );
    place.command(["run", "one.toml", "--progress", "plain"])
}

/// Puts a component written as text here, as `name.wasm`.
pub(crate) fn written(place: &Place, name: &str, text: &str) {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    place.file(&format!("{name}.wasm"), bytes);
}
