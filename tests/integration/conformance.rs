//! One table of cases against every executor there is: the same components on the same inputs give the
//! same values, outcomes, errors and lines, byte for byte. It knows executors by their names alone.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};

use crate::executors::EXECUTORS;
use crate::recorded::ends;
use crate::resume::attempts;
use crate::support::{Cluster, Ended, Place, Server, ended_within, files_below};

use rows::{ROWS, Row};

/// A row takes seconds where others use the machine as well. One that takes so long hangs.
const HANGS: Duration = Duration::from_secs(120);

/// Fields of events that differ between two runs on one executor already, and so between two.
const DIFFERS: [(&str, &str); 8] = [
    ("seq", "tasks that do not wait for each other are told of in any order"),
    ("time", "the clock goes on"),
    ("run", "every run has an id of its own"),
    ("trace", "every run has a trace of its own"),
    ("executor", "each attempt is asked for its name instead"),
    ("worker", "not every executor has any, and each of them has a name of its own"),
    ("seconds", "time that passed"),
    ("guest-seconds", "time that passed"),
];

/// What is said of a run and can be compared: lines by what they are about, in their order.
#[derive(Default)]
struct Account {
    stdout: String,
    /// By branch, group or run.
    told: BTreeMap<String, Vec<String>>,
    /// What tasks wrote and the run yielded, by path.
    files: BTreeMap<String, Vec<u8>>,
}

impl Account {
    /// Reads what a run printed and wrote. Every attempt has to be told of as `executor`'s.
    fn of(row: &Row, executor: &str, place: &Place, ended: &Ended) -> Result<Self, String> {
        let mut account = Self::default();
        let mut run = "no run has this id".to_owned();
        if ended.code == 2 {
            // What is wrong before a run begins is told as text.
            account.told.insert("refused".to_owned(), vec![ended.stderr.clone()]);
        } else {
            for line in ended.stderr.lines() {
                let event: Map<String, Value> =
                    serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
                run = text(&event, "run");
                if text(&event, "event") == "attempt-ended" && text(&event, "executor") != executor {
                    return Err(format!("it was not `{executor}` that executed: {line}"));
                }
                account.tell(row, event, &run);
            }
        }
        account.stdout = ended.stdout.replace(&run, "RUN");
        let out = place.path().join("out");
        for path in if out.is_dir() { files_below(&out) } else { Vec::new() } {
            let name = path.strip_prefix(&out).unwrap_or(&path).display().to_string();
            account.files.insert(name, fs::read(&path).map_err(|error| error.to_string())?);
        }
        for part in row.holds {
            let said = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
            if !account.stdout.contains(part) && !account.told.values().any(said) {
                return Err(format!("`{part}` is nowhere in {}", short(&ended.to_string())));
            }
        }
        if ended.code != row.code {
            return Err(format!("its exit code should be {}: {}", row.code, short(&ended.to_string())));
        }
        Ok(account)
    }

    fn tell(&mut self, row: &Row, mut event: Map<String, Value>, run: &str) {
        let kind = text(&event, "event");
        if ["compiling", "deploying", "pool-too-small", "large-values"].contains(&&*text(&event, "kind")) {
            // Whether code is in the cache, how the machine's memory stands, and how far away it is, are not the row's
            // matter.
            return;
        }
        let node = if event.contains_key("group") { text(&event, "group") } else { text(&event, "task") };
        let branch = match event.get("index") {
            Some(index) => format!("{node}[{index}]"),
            None if kind == "warning" => "warnings".to_owned(),
            None if node.is_empty() => "run".to_owned(),
            // A lone task is told of as a branch and as a group of one.
            None if kind.starts_with("group-") => format!("all of {node}"),
            None => node.clone(),
        };
        for (field, _) in DIFFERS {
            event.shift_remove(field);
        }
        if kind == "run-started" {
            // The file says where the nodes are.
            event.shift_remove("workflow");
        }
        if text(&event, "kind").starts_with("breaker-") {
            // Of nodes each has its own, which is named.
            event.shift_remove("message");
        }
        for (of, field, _) in row.chance {
            if *of != node {
                continue;
            }
            event.shift_remove(*field);
            if *field == "attempts" && kind == "task-ended" {
                event.shift_remove("attempt");
                self.told.entry(branch.clone()).or_default().retain(|line| !line.contains("\"attempt-"));
            }
        }
        let lines = self.told.entry(branch).or_default();
        if kind == "progress" && lines.last().is_some_and(|line| line.contains("\"progress\"")) {
            // At most ten a second are told, so only the last one of a row is certain.
            lines.pop();
        }
        lines.push(Value::Object(event).to_string().replace(run, "RUN"));
    }

    /// What another account says otherwise.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = Vec::new();
        if self.stdout != other.stdout {
            all.push(format!("stdout\n      {}\n      {}", short(&self.stdout), short(&other.stdout)));
        }
        for name in self.told.keys().chain(other.told.keys()).collect::<BTreeSet<_>>() {
            let none = Vec::new();
            let lines = |account: &'_ Self| account.told.get(name).unwrap_or(&none).clone();
            let (one, two) = (lines(self), lines(other));
            if let Some(at) = (0..one.len().max(two.len())).find(|at| one.get(*at) != two.get(*at)) {
                let line = |lines: &[String]| lines.get(at).map_or("nothing".to_owned(), |line| short(line));
                all.push(format!("line {at} of {name}\n      {}\n      {}", line(&one), line(&two)));
            }
        }
        for name in self.files.keys().chain(other.files.keys()).collect::<BTreeSet<_>>() {
            if self.files.get(name) != other.files.get(name) {
                all.push(format!("the file out/{name}"));
            }
        }
        all
    }
}

/// As much of a text as anyone reads.
fn short(text: &str) -> String {
    text.chars().take(1_500).collect()
}

fn text(event: &Map<String, Value>, key: &str) -> String {
    event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What is around a run, and the same for all.
struct World {
    tcp: Server,
    http: Server,
    /// A folder that nothing grants.
    outside: Place,
}

impl World {
    fn new() -> Self {
        let outside = Place::new();
        outside.file("file", "not for tasks");
        Self { tcp: Server::echo("127.0.0.1"), http: Server::http(), outside }
    }
}

/// Puts everything into a folder that rows speak of.
fn furnished(toml: &str, world: &World, place: Place) -> Place {
    let toml = toml.replace("{TCP}", &world.tcp.address().to_string());
    let toml = toml.replace("{HTTP}", &world.http.origin());
    let toml = toml.replace("{OUTSIDE}", &world.outside.path().display().to_string());
    let parts = toml.split("run = \"").skip(1).filter_map(|rest| rest.split_once('#'));
    let components: BTreeSet<&str> = parts.map(|(component, _)| component).collect();
    let mut file = toml.clone();
    if !components.is_empty() {
        file.push_str("\n[components]\n");
    }
    for component in components {
        file.push_str(&format!("{component} = \"{component}.wasm\"\n"));
        match component {
            "handles" => place.file("handles.wasm", wat::parse_str(rows::HANDLES).unwrap()),
            component => place.guest(component),
        };
    }
    place.file("workflow.toml", file).file("data/a.txt", "inside").file("data/b/c.txt", "deeper");
    place.file("secret.txt", "not for tasks").file("out/kept.txt", "kept").file("pen/inner/a.txt", "");
    // What leads out of a granted folder is there before the task that tries to follow it.
    let outside = world.outside.path();
    let links = ["planted", "planted-up", "planted-file"].map(|name| place.path().join("pen").join(name));
    for (link, target) in links.iter().zip([outside, Path::new(".."), &outside.join("file")]) {
        symlink(target, link).unwrap();
    }
    place.file("options.jsonl", "null\n{\"some\": null}\n{\"some\": 3}\n");
    if toml.contains("big.bin") {
        place.file("big.bin", (0..16_u32 << 20).map(|at| (at % 253) as u8).collect::<Vec<_>>());
    }
    place
}

/// What becomes of a row on an executor, in a folder made from one that is empty.
fn account(row: &Row, world: &World, executor: &str, place: Place) -> Result<Account, String> {
    let place = furnished(row.toml, world, place);
    let mut command = place.command(["run", "workflow.toml", "--executor", executor]);
    command.args(["--progress", "json"]).env("CONFORMANCE_SECRET", "hunter2");
    // A cluster has no socket on this machine, and nobody else is on the way to this one.
    command.env("FLOWHOST_ALLOW_PLAIN_SECRETS", "1");
    match ended_within(&mut command, HANGS) {
        Some(ended) => Account::of(row, executor, &place, &ended),
        None => Err(format!("it did not end within {} s", HANGS.as_secs())),
    }
}

/// Runs a row on every executor. What is wrong, if anything is.
fn judge(row: &Row, world: &World) -> Vec<String> {
    let [first, others @ ..] = EXECUTORS else { return Vec::new() };
    let first_account = match account(row, world, first, Place::new()) {
        Ok(account) => account,
        Err(wrong) => return vec![format!("on {first}: {wrong}")],
    };
    let judged = others.iter().flat_map(|other| match account(row, world, other, Place::new()) {
        Ok(account) => {
            let differences = first_account.differences(&account).into_iter();
            differences.map(|one| format!("{first} and {other} differ in {one}")).collect()
        }
        Err(wrong) => vec![format!("on {other}: {wrong}")],
    });
    judged.collect()
}

/// The suite on three servers instead of one.
#[test]
fn every_row_is_the_same_on_a_cluster() {
    let (world, cluster) = (World::new(), Arc::new(Cluster::start()));
    let mut wrong = Vec::new();
    for row in ROWS.concat() {
        let one = account(&row, &world, "in-process", Place::new());
        let other = account(&row, &world, "redis", Place::new().on_cluster(&cluster));
        match one.and_then(|one| Ok(one.differences(&other?))) {
            Ok(found) => wrong.extend(found.into_iter().map(|one| format!("{}: {one}", row.name))),
            Err(error) => wrong.push(format!("{}: {error}", row.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_row_is_the_same_on_every_executor() {
    let world = World::new();
    let rows = ROWS.concat();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = judge(row, &world).into_iter().map(|one| format!("{}: {one}", row.name));
                    wrong.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What has no timeout has the one that its worker's operator sets, where there is one.
#[test]
fn time_that_is_left_is_bounded_by_workers_of_others_alone() {
    for executor in EXECUTORS {
        let place = Place::on(executor);
        place.guest("failing").file(
            "workflow.toml",
            "[components]\nfailing = \"failing.wasm\"\n[tasks.left]\nrun = \"failing#time-left\"\n[outputs]\nleft = \"${left}\"\n",
        );
        let ended = place.run(["--progress", "none"]);
        let left = ended.json()["left"].as_u64();
        let day = 86_400_000;
        let bounded = left.is_some_and(|left| (day - 60_000..=day).contains(&left));
        assert!(
            if ["redis", "ssh"].contains(executor) { bounded } else { left.is_none() },
            "{executor}: {ended}"
        );
    }
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_end_wherever() {
    let world = World::new();
    for (executor, next) in EXECUTORS.iter().flat_map(|one| EXECUTORS.iter().map(move |other| (*one, *other)))
    {
        let place = furnished(rows::LONG, &world, Place::new()).with_node();
        let mut command = place.command(["run", "workflow.toml", "--executor", executor]);
        command.args(["--progress", "json"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut killed = command.spawn().unwrap();
        let lines = BufReader::new(killed.stderr.take().unwrap()).lines();
        let ended_first =
            lines.map_while(Result::ok).filter(|line| line.contains("\"attempt-ended\"")).take(40);
        assert_eq!(ended_first.count(), 40, "{executor}");
        kill_process(Pid::from_child(&killed), Signal::KILL).unwrap();
        killed.wait().unwrap();
        let mut resumed = place.command(["run", "workflow.toml", "--executor", next, "--progress", "none"]);
        let ended = ended_within(resumed.arg("--resume"), HANGS);
        let ended = ended.unwrap_or_else(|| panic!("{executor}, then {next}: it did not end"));
        assert_eq!(ended.code, 0, "{executor}, then {next}: {ended}");
        assert_eq!(ended.stdout, "{\"sum\":44850,\"tries\":[2,2,2,2,2,2]}\n", "{executor}, then {next}");
        assert!(
            ends(&place).values().all(|count| *count == 1),
            "{executor}, then {next}: {:?}",
            ends(&place)
        );
        assert_eq!(attempts(&place, "numbers"), [1; 300], "{executor}, then {next}");
        assert_eq!(attempts(&place, "tries"), [2; 6], "{executor}, then {next}");
    }
}
