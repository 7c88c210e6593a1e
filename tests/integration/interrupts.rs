//! Signals: who sends which, what becomes of running attempts, and the exit code.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Place;

/// A run of attempts that wait, once the first of them has begun.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    seen: Vec<String>,
}

impl Running {
    fn start(place: &Place, run: &str, ms: u64) -> Self {
        place.guest("failing").file(
            "workflow.toml",
            format!(
                r#"
                [components]
                failing = "failing.wasm"
                [tasks.wait]
                run = "failing#{run}"
                with = {{ ms = {ms} }}
                [groups.waiting]
                task = "wait"
                for-each = {{ range = [0, 4] }}
                concurrency = 2
                [outputs]
                waiting = "${{waiting}}"
                "#
            ),
        );
        let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut running = Self { child, lines, seen: Vec::new() };
        running.until("\"attempt-started\"");
        running
    }

    /// Reads events up to the first that holds `part`.
    fn until(&mut self, part: &str) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let found = line.contains(part);
            self.seen.push(line);
            if found {
                return;
            }
        }
        panic!("the run ended without `{part}`: {:#?}", self.seen);
    }

    fn send(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// The exit code, and how many branches ended which way.
    fn end(mut self) -> (Option<i32>, [usize; 2]) {
        for line in self.lines.by_ref() {
            self.seen.push(line.unwrap());
        }
        let code = self.child.wait().unwrap().code();
        let events = crate::groups::events(&self.seen.join("\n"));
        let ended = |outcome: &str| {
            events.iter().filter(|e| e["event"] == "task-ended" && e["outcome"] == outcome).count()
        };
        assert_eq!(events.last().unwrap()["event"], "run-ended", "{:#?}", self.seen);
        (code, [ended("succeeded"), ended("cancelled")])
    }
}

#[test]
fn h3_the_first_interrupt_lets_running_attempts_finish() {
    let place = Place::new();
    let mut running = Running::start(&place, "wait-for-cancel", 600_000);
    // The second of two that may run at once: what has not begun is handed back.
    running.until("\"attempt-started\"");
    running.send(Signal::INT);
    // The guest returns because it asks whether the run was asked to stop.
    assert_eq!(running.end(), (Some(130), [2, 2]));
}

#[test]
fn h3_the_second_interrupt_stops_them() {
    let place = Place::new();
    let mut running = Running::start(&place, "sleep", 600_000);
    running.send(Signal::INT);
    running.until("interrupted");
    running.send(Signal::INT);
    assert_eq!(running.end(), (Some(130), [0, 4]));
}

#[test]
fn h3_term_and_hup_stop_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let place = Place::new();
        let running = Running::start(&place, "sleep", 600_000);
        running.send(signal);
        assert_eq!(running.end(), (Some(code), [0, 4]));
    }
}

#[test]
fn h3_a_computing_guest_is_stopped_too() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        "[components]\nfailing = \"failing.wasm\"\n[tasks.spin]\nrun = \"failing#spin\"\n[groups.g]\ntask = \"spin\"\nfor-each = { range = [0, 4] }\n",
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut running = Running { child, lines, seen: Vec::new() };
    running.until("\"attempt-started\"");
    running.send(Signal::TERM);
    assert_eq!(running.end().0, Some(143));
}

/// What a person sees: that nothing is lost, how to go on, and how many branches are left.
#[test]
fn h3_a_stopped_run_says_how_it_goes_on() {
    let place = Place::new();
    let mut running = Running::start(&place, "sleep", 600_000);
    running.send(Signal::TERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(143));
    for line in running.lines.by_ref() {
        let line = line.unwrap();
        assert!(line.starts_with('{'), "nothing but events beside events: {line}");
    }
    let listed = place.flowhost(["runs"]).stdout;
    assert!(
        listed.contains("unfinished") && listed.contains("0 succeeded, 0 failed, 4 cancelled"),
        "{listed}"
    );

    let mut command = place.command(["run", "workflow.toml", "--progress", "plain", "--executor", "process"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "waiting[0]: started"));
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let run = &crate::recorded::runs(&place)[0];
    let again = "flowhost run workflow.toml --executor process --resume";
    let says = format!("run {run} was stopped: `{again}` goes on with it");
    assert!(rest.contains(&says), "{rest:#?}");
}
