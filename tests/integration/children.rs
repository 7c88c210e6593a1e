//! `executor = "process"`: children of the run do what it would do itself, and one that ends takes
//! nothing with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Ended, Gate, Place, Server, ended, ended_within, program};

pub(crate) fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

/// The children of a process.
fn children(of: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else { return Vec::new() };
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let all: String = threads.flatten().filter_map(of_thread).collect();
    all.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Those children that execute attempts.
pub(crate) fn workers(of: u32) -> Vec<u32> {
    let works = |id: &u32| {
        fs::read(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == b"execute-attempts"))
    };
    children(of).into_iter().filter(works).collect()
}

fn is_there(id: u32) -> bool {
    // What ended and was not waited for is a zombie.
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits for something that has to happen soon.
pub(crate) fn soon(within: Duration, what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < within, "{what} took longer than {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is said of every branch's end, without what differs from run to run.
fn ends(ended: &Ended) -> BTreeMap<String, (String, String)> {
    let mut ends = BTreeMap::new();
    for line in ended.stderr.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key: &str| event.get(key).unwrap_or(&Value::Null).to_string();
        if text("event") == "\"attempt-ended\"" {
            let name = format!("{}[{}]", text("task"), text("index"));
            let before = ends.insert(name.clone(), (text("outcome"), text("error")));
            assert!(before.is_none(), "{name} ended twice");
        }
    }
    ends
}

#[test]
fn values_and_failures_are_those_of_the_same_process() {
    let place = Place::new();
    place.guest("echo").guest("failing").guest("sharing").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        failing = "failing.wasm"
        sharing = "sharing.wasm"
        [defaults]
        limits = { timeout = "1m", memory = "8MiB", output = "64KiB" }
        [tasks]
        person = { run = "echo#echo-person", with = { value = { full-name = "Ada", age = 36, home = { x = 1, y = -2 }, nicknames = ["a", "b"] } } }
        floats = { run = "echo#echo-f64", with = { value = nan } }
        shapes = { run = "echo#echo-results", with = { value = [{ ok = 1 }, { err = "e" }] } }
        fail = { run = "failing#fail", with = { message = "no" } }
        record = { run = "failing#fail-record", with = { code = 3, message = "m" } }
        bare = { run = "failing#fail-bare" }
        permanent = { run = "failing#fail-permanent", with = { message = "never" } }
        trap = { run = "failing#trap" }
        exit = { run = "failing#exit", with = { code = 3 } }
        stack = { run = "failing#overflow-stack" }
        memory = { run = "failing#take-memory", with = { bytes = 100_000_000 } }
        big = { run = "failing#big-string", with = { bytes = 100_000 } }
        spin = { run = "failing#spin", limits = { timeout = "300ms" } }
        nap = { run = "failing#sleep", with = { ms = 60_000 }, limits = { timeout = "300ms" } }
        place = { run = "failing#place" }
        add = { run = "sharing#add", with = { key = "k", by = 5 } }
        [outputs]
        person = "${person}"
        floats = "${floats}"
        shapes = "${shapes}"
        add = "${add}"
        "#,
    );
    let run = |executor: &str| {
        let ended = place.run(["--executor", executor, "--progress", "json"]);
        assert_eq!(ended.code, 100, "{ended}");
        ended
    };
    let (here, there) = (run("in-process"), run("process"));
    assert_eq!(here.stdout, there.stdout);
    let (mut here, mut there) = (ends(&here), ends(&there));
    assert_eq!(here.len(), 16);
    // Where in a loop a guest is stopped is chance.
    for name in ["\"spin\"[null]", "\"stack\"[null]"] {
        let (one, other) = (here.remove(name).unwrap(), there.remove(name).unwrap());
        assert_eq!(one.0, other.0, "{name}");
    }
    assert_eq!(here, there);
}

#[test]
fn large_values_travel_both_ways() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 253) as u8).collect();
    place.guest("echo").file("big.bin", &bytes).file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.one]
        run = "echo#echo-bytes"
        with = { value = { file = "big.bin" } }
        [groups.all]
        task = "one"
        for-each = { range = [0, 5] }
        executor = "process"
        [tasks.two]
        run = "echo#echo-blobs"
        with = { value = "${all}" }
        executor = "process"
        limits = { output = "512MiB", memory = "1GiB" }
        when = false
        [outputs]
        first = { value = "${all.3}", file = "out.bin" }
        "#,
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 0, "{ended}");
    assert!(fs::read(place.path().join("out.bin")).unwrap() == bytes, "other bytes came back");
}

/// A run that was started, with its events.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Option<std::io::Lines<BufReader<std::process::ChildStderr>>>,
}

impl Running {
    pub(crate) fn start(command: &mut std::process::Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A process that another test starts holds what we wrote it with until it is another program.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now()
                }
                child => break child.unwrap(),
            }
        };
        let lines = Some(BufReader::new(child.stderr.take().unwrap()).lines());
        Self { child, lines }
    }

    /// The next event; none at the run's end.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.lines.as_mut().unwrap().next().map(Result::unwrap)
    }

    /// Reads events up to the first that holds `part`.
    pub(crate) fn until(&mut self, part: &str) -> String {
        let lines = self.lines.as_mut().unwrap().by_ref().map(Result::unwrap);
        let mut seen = Vec::new();
        for line in lines {
            if line.contains(part) {
                return line;
            }
            seen.push(line);
        }
        panic!("the run ended without `{part}`: {seen:#?}");
    }

    /// Reads the rest of the events beside what the test does, and counts the ends among them.
    pub(crate) fn lines_aside(&mut self, ended: Arc<AtomicUsize>) -> JoinHandle<Vec<String>> {
        let lines = self.lines.take().unwrap();
        let count = move |line: String| {
            ended.fetch_add(usize::from(line.contains("\"task-ended\"")), Ordering::Relaxed);
            line
        };
        std::thread::spawn(move || lines.map(Result::unwrap).map(count).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn sleepers(place: &Place, branches: u32, ms: u32) {
    place.guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            failing = "failing.wasm"
            [tasks.wait]
            run = "failing#sleep"
            with = {{ ms = {ms} }}
            [groups.waiting]
            task = "wait"
            for-each = {{ range = [0, {branches}] }}
            executor = "process"
            "#
        ),
    );
}

#[test]
fn a_lost_attempt_says_how_its_child_ended_and_runs_again() {
    let place = Place::new();
    sleepers(&place, 1, 5_000);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    let workers = workers(running.child.id());
    assert_eq!(workers.len(), 1);
    kill_process(pid(workers[0]), Signal::KILL).unwrap();
    let lost = running.until("attempt-ended");
    assert!(lost.contains("\"lost\"") && lost.contains("was killed by signal 9"), "{lost}");
    let ended = running.until("task-ended");
    assert!(ended.contains("\"succeeded\"") && ended.contains("\"attempts\":2"), "{ended}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn c2_no_child_outlives_a_run_that_is_killed() {
    let place = Place::new();
    sleepers(&place, 8, 60_000);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    running.until("attempt-started");
    let children = children(running.child.id());
    assert!(children.len() >= 2, "{children:?}");
    // One that is stopped reads no end of its input.
    kill_process(pid(children[0]), Signal::STOP).unwrap();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    soon(Duration::from_secs(30), "the children's end", || !children.iter().any(|id| is_there(*id)));
}

#[test]
fn c3_a_child_that_hears_nothing_is_killed_when_its_attempt_is_cancelled() {
    let place = Place::new();
    sleepers(&place, 1, 60_000);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    let workers = workers(running.child.id());
    kill_process(pid(workers[0]), Signal::STOP).unwrap();
    // At once, and not only when it is taken for lost.
    let began = Instant::now();
    kill_process(pid(running.child.id()), Signal::TERM).unwrap();
    let status = running.child.wait().unwrap();
    assert_eq!(status.code(), Some(143), "{status}");
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    assert!(!is_there(workers[0]));
}

#[test]
fn c4_children_inherit_neither_environment_nor_descriptors() {
    let place = Place::new();
    sleepers(&place, 2, 60_000);
    place.file("secret.txt", "secret");
    let mut inner = place.command(["run", "workflow.toml", "--progress", "json"]);
    inner.env("SECRET", "s3cret");
    let mut shell = std::process::Command::new("sh");
    // The descriptor is left open for all that come after.
    shell.arg("-c").arg("exec 9<secret.txt && exec \"$0\" \"$@\"").arg(inner.get_program());
    shell.args(inner.get_args()).current_dir(place.path()).stdin(Stdio::null());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut running = Running::start(&mut shell);
    // Both of them, so that both children have begun to work.
    running.until("attempt-started");
    running.until("attempt-started");
    let run = running.child.id();
    let open = |id: u32| -> Vec<String> {
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap().flatten();
        let link = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
        descriptors.filter_map(link).map(|path| path.display().to_string()).collect()
    };
    assert!(open(run).iter().any(|path| path.ends_with("secret.txt")), "the test is no test");
    for worker in workers(run) {
        assert_eq!(fs::read(format!("/proc/{worker}/environ")).unwrap(), b"");
        let open = open(worker);
        let files = open.iter().filter(|path| {
            // Code that was handed over, and the table by which the engine sees what a guest wrote to.
            path.starts_with('/') && !path.starts_with("/memfd:flowhost-code") && !path.ends_with("/pagemap")
        });
        assert_eq!(files.collect::<Vec<_>>(), Vec::<&String>::new(), "{open:?}");
        // In a group of its own, so that a signal to the run's does not reach it.
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        let group = stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().to_owned();
        assert_eq!(group, worker.to_string());
    }
}

/// What the system says of a process under `key`.
pub(crate) fn status(id: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
}

#[test]
fn c2_children_are_started_by_the_thread_that_outlives_them() {
    let place = Place::new();
    sleepers(&place, 8, 60_000);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    running.until("attempt-started");
    let run = running.child.id();
    let workers = workers(run);
    // The signal by which they follow their parent is sent at the end of the thread that started them.
    let threads = fs::read_dir(format!("/proc/{run}/task")).unwrap().flatten().map(|thread| thread.path());
    let mut pools = threads
        .filter(|at| fs::read_to_string(at.join("comm")).is_ok_and(|name| name.trim() == "flowhost-pool"));
    let pool = pools.next().unwrap();
    let began = fs::read_to_string(pool.join("children")).unwrap();
    let began: Vec<u32> = began.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert!(began.len() >= 2, "{began:?}");
    assert!(workers.iter().all(|id| began.contains(id) || !is_there(*id)), "{workers:?}, {began:?}");
}

#[test]
fn children_gain_no_rights_and_their_engine_sees_what_guests_wrote() {
    let place = Place::new();
    sleepers(&place, 1, 60_000);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    for worker in workers(running.child.id()) {
        for thread in fs::read_dir(format!("/proc/{worker}/task")).unwrap().flatten() {
            let thread = thread.file_name().to_str().unwrap().parse().unwrap();
            assert_eq!(status(thread, "NoNewPrivs"), "1");
        }
        let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        let limit = |name: &str| -> (String, String) {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        };
        assert_eq!(limit("Max core file size"), ("0".to_owned(), "0".to_owned()));
        let (files, most) = limit("Max open files");
        assert_eq!(files, most);
        assert!(files.parse::<u64>().unwrap() <= 11_000, "{files}");
        let (data, most) = limit("Max data size");
        assert_eq!(data, most);
        let data: u64 = data.parse().unwrap();
        assert!(((1 << 30)..(2_u64 << 30)).contains(&data), "{data}");
        // Without it every attempt costs four times as much, and nothing says so.
        let open = fs::read_dir(format!("/proc/{worker}/fd")).unwrap().flatten();
        let mut links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        assert!(links.any(|link| link.ends_with("pagemap")), "the engine has no page map");
    }
}

#[test]
fn g10_a_child_reaches_the_directories_that_there_were_when_it_started() {
    crate::beneath::needs_landlock();
    let (place, gate) = (Place::new(), Gate::closed());
    place.guest("reach").file("data/file", "this").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            [defaults]
            executor = "process"
            grants = {{ write = ["data"] }}
            [tasks.first]
            run = "reach#read"
            with = {{ path = "data/file" }}
            [tasks.nap]
            {}
            executor = "in-process"
            after = ["first"]
            [tasks.second]
            run = "reach#read"
            with = {{ path = "data/file" }}
            after = ["nap"]
            "#,
            gate.task()
        ),
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    let first = running.until("attempt-ended");
    assert!(first.contains("\"succeeded\""), "{first}");
    running.until("attempt-started");
    // The sandbox would open what has the name now. The kernel knows the directory itself.
    fs::rename(place.path().join("data"), place.path().join("moved")).unwrap();
    place.file("data/file", "that");
    gate.open();
    let ended = running.until("PermissionDenied");
    assert!(ended.contains("\"second\"") && ended.contains("\"failed\""), "{ended}");
}

/// A run whose children are started from a copy of the program, and where that is.
pub(crate) fn moved(place: &Place) -> (std::process::Command, PathBuf) {
    let own = place.path().join("flowhost");
    fs::copy(program(), &own).unwrap();
    let command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut moved = std::process::Command::new(&own);
    moved.args(command.get_args()).current_dir(place.path()).stdin(Stdio::null());
    moved.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    moved.env("FLOWHOST_PROGRAM", &own);
    (moved, own)
}

#[test]
fn children_are_the_running_program_though_its_file_is_another_by_now() {
    let (place, gate) = (Place::new(), Gate::closed());
    place.guest("reach").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            failing = "failing.wasm"
            [tasks.first]
            {}
            [tasks.second]
            run = "failing#sleep"
            with = {{ ms = 1 }}
            executor = "process"
            after = ["first"]
            "#,
            gate.task()
        ),
    );
    let (mut command, own) = moved(&place);
    let mut running = Running::start(command.env_remove("FLOWHOST_PROGRAM"));
    running.until("attempt-started");
    fs::remove_file(&own).unwrap();
    fs::copy("/bin/false", &own).unwrap();
    gate.open();
    running.until("run-ended");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_run_whose_children_cannot_start_ends_with_102_or_falls_back() {
    let workflow = |gate: &Gate, fallback: &str| {
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            failing = "failing.wasm"
            [tasks.first]
            {}
            [tasks.second]
            run = "failing#sleep"
            with = {{ ms = 1 }}
            [groups.all]
            task = "second"
            for-each = {{ range = [0, 3] }}
            executor = "process"
            after = ["first"]
            {fallback}
            "#,
            gate.task()
        )
    };
    for (fallback, code) in [("", 102), ("fallback = \"in-process\"", 0)] {
        let (place, gate) = (Place::new(), Gate::closed());
        place.guest("reach").guest("failing").file("workflow.toml", workflow(&gate, fallback));
        let (mut command, own) = moved(&place);
        let mut running = Running::start(&mut command);
        // It works still, and can start nothing any more.
        running.until("attempt-started");
        fs::remove_file(&own).unwrap();
        gate.open();
        if code == 0 {
            let warned = running.until("\"warning\"");
            assert!(
                warned.contains("\"fallback\"") && warned.contains("`process` cannot be reached"),
                "{warned}"
            );
        } else {
            running.until("executor `process` cannot be reached");
        }
        assert_eq!(running.child.wait().unwrap().code(), Some(code));
        if code == 0 {
            let runs = place.flowhost(["runs", "--json"]).json();
            let told =
                place.flowhost(["explain", runs[0]["run"].as_str().unwrap(), "all[2]", "--json"]).json();
            assert_eq!(told["attempts"][0]["executor"], "in-process", "{told}");
            assert_eq!(told["attempts"][0]["worker"], Value::Null, "{told}");
        }
    }
}

#[test]
fn tasks_and_groups_move_one_by_one() {
    let place = Place::new();
    sleepers(&place, 2, 1);
    let executors = |arguments: &[&str]| {
        let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
        let ended = ended(command.args(arguments));
        assert_eq!(ended.code, 0, "{ended}");
        let events = ended.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ends = events.filter(|event| event["event"] == "attempt-ended");
        ends.map(|event| event["executor"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(executors(&[]), ["process", "process"]);
    assert_eq!(executors(&["--executor", "waiting=in-process"]), ["in-process", "in-process"]);
    let mut command = place.command(["run", "workflow.toml"]);
    let refused = ended(command.env("FLOWHOST_ALLOW_EXECUTORS", "in-process"));
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("`process`, which FLOWHOST_ALLOW_EXECUTORS"), "{refused}");
}

#[test]
fn attempts_that_wait_overlap_in_many_children() {
    let place = Place::new();
    // Nobody is answered unless more are there at once than there are cores.
    let together = std::thread::available_parallelism().unwrap().get() + 14;
    let server = Server::together("127.0.0.1", together);
    place.guest("reach").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            [tasks.meet]
            run = "reach#exchange"
            with = {{ address = "{0}", text = "here" }}
            grants = {{ net = ["{0}"] }}
            [groups.all]
            task = "meet"
            for-each = {{ range = [0, {1}] }}
            concurrency = {together}
            executor = "process"
            "#,
            server.address(),
            3 * together
        ),
    );
    let ended = ended_within(&mut place.command(["run", "workflow.toml"]), Duration::from_secs(120));
    let ended = ended.unwrap_or_else(|| panic!("{} came, and waited for others", server.came()));
    assert_eq!((ended.code, server.came()), (0, 3 * together), "{ended}");
}

#[test]
fn attempts_that_compute_have_no_more_children_than_there_are_cores() {
    let place = Place::new();
    place.guest("bench").file(
        "workflow.toml",
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.burn]
        run = "bench#burn"
        with = { iterations = 100_000_000 }
        [groups.burns]
        task = "burn"
        for-each = { range = [0, 24] }
        concurrency = 24
        executor = "process"
        "#,
    );
    // Compiled beforehand: the compiler is a child as well, and a loaded machine makes it a long one.
    assert_eq!(place.run(["--progress", "none"]).code, 0);
    let mut run = Running::start(&mut place.command(["run", "--progress", "json", "workflow.toml"]));
    run.until("group-started");
    let mut most = 0;
    while run.child.try_wait().unwrap().is_none() {
        most = most.max(workers(run.child.id()).len());
        std::thread::sleep(Duration::from_millis(5));
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((1..=cores).contains(&most), "{most} children beside {cores} cores");
}
