//! The fault catalogue of the executor `ssh`: real servers whose connections, networks, keys, shells and disks fail,
//! and the real command beside them. Each test bears the id of its fault.

mod addresses;
mod clients;
mod folders;
mod interrupted;
mod keys;
mod nodes;
mod programs;
mod shells;
mod silence;
mod tidy;
mod uploads;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowhost::digest::Digest;
use flowhost::wire::PROTOCOL;
use rustix::process::{Pid, Signal, kill_process};

use crate::running::{HANGS, Run, executions, has_one_outcome_each, lost, marking};
use crate::support::{Place, Sshd, ended_within, program, until};

/// What is to happen in seconds.
const SECONDS: Duration = Duration::from_secs(20);

/// A folder with a workflow.
struct Scene {
    place: Place,
    workflow: String,
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

    /// A group `all` of so many branches that only wait for so long, in milliseconds.
    fn napping(branches: u32, ms: u64) -> Self {
        Self::of(&format!(
            r#"
            [tasks.nap]
            run = "marking#echo-after"
            with = {{ ms = {ms}, number = "${{item}}" }}
            [groups.all]
            task = "nap"
            for-each = {{ range = [0, {branches}] }}
            [outputs]
            all = "${{all}}"
            "#
        ))
    }

    /// A workflow without its components, which are the guests `marking` and `failing`.
    fn of(workflow: &str) -> Self {
        let place = Place::new();
        place.guest("marking").guest("failing").file("marks/.keep", "");
        let components = "[components]\nmarking = \"marking.wasm\"\nfailing = \"failing.wasm\"\n";
        Self { place, workflow: format!("{components}{workflow}") }
    }

    /// Runs on these nodes, as tables of the file, with more TOML for their executor.
    fn on(&self, nodes: &[String], executor: &str) -> &Self {
        let nodes = nodes.join(", ");
        let section = format!("\n[executors.lab]\nkind = \"ssh\"\nnodes = [{nodes}]\n{executor}\n");
        self.place.file("workflow.toml", self.workflow.clone() + &section);
        self
    }

    /// Runs on one node.
    fn at(&self, sshd: &Sshd, executor: &str) -> &Self {
        self.on(&[sshd.node_toml("")], executor)
    }

    /// Starts the run.
    fn run(&self) -> Run {
        let mut command = self.place.command(["run", "workflow.toml", "--executor", "lab"]);
        Run::start(command.args(["--progress", "json"]))
    }

    /// The run is refused within `limit` since none of its nodes can be used: nothing was executed, and nobody was
    /// asked anything. What it says.
    fn unreachable(&self, limit: Duration) -> String {
        let (ask, asked) = (self.place.path().join("ask"), self.place.path().join("asked"));
        fs::write(&ask, format!("#!/bin/sh\necho \"$1\" >>{}\n", asked.display())).unwrap();
        fs::set_permissions(&ask, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = self.place.command(["run", "workflow.toml", "--executor", "lab"]);
        command.args(["--progress", "json"]);
        command.env("DISPLAY", ":0").env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force");
        let Some(ended) = ended_within(&mut command, limit) else { panic!("not refused within {limit:?}") };
        assert_eq!((ended.code, &*ended.stdout), (102, ""), "{ended}");
        assert!(!ended.stderr.contains("attempt-started"), "{ended}");
        assert!(!asked.exists(), "somebody was asked: {}", fs::read_to_string(asked).unwrap());
        ended.stderr
    }

    /// How many executions began.
    fn begun(&self) -> usize {
        executions(&self.place).values().map(|(begun, _)| begun).sum()
    }

    /// Every branch of `all` has one outcome in the journal, which was read and makes sense.
    fn has_one_outcome_each(&self, branches: u32) {
        has_one_outcome_each(&self.place, branches);
    }

    /// How many attempts of `all` were lost.
    fn lost(&self) -> u32 {
        lost(&self.place)
    }

    /// Lets a node grant the folder of marks.
    fn allowed_by(&self, sshd: &Sshd) -> &Self {
        self.allowed_at(sshd, &self.place.path().join("marks"))
    }

    /// Lets a node grant a folder of its own as that of marks.
    fn allowed_at(&self, sshd: &Sshd, marks: &Path) -> &Self {
        let config = sshd.home().join(".config/flowhost");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("worker.toml"), format!("allow = [\"write=marks={}\"]\n", marks.display()))
            .unwrap();
        self
    }
}

/// A node that has this flowhost, as if somebody had installed it there.
fn installed() -> Sshd {
    let sshd = Sshd::start();
    install(&sshd);
    sshd
}

fn install(sshd: &Sshd) {
    let folder = sshd.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    symlink(program(), folder.join("flowhost")).unwrap();
}

/// For nodes where it is of no interest what is kept there: what tests of all executors share, where components are
/// compiled already.
fn shared() -> String {
    let folder = program().parent().unwrap().join("flowhost-test-cache/flowhost");
    format!("workdir = \"{}\"\ndeploy = \"never\"", folder.display())
}

/// Where this flowhost is put below a work folder.
fn deployed() -> String {
    let digest = Digest::of_reader(fs::File::open(program()).unwrap()).unwrap();
    format!("bin/flowhost-{PROTOCOL}-{}-{}", std::env::consts::ARCH, digest.beginning())
}

/// Where a node keeps its files where nothing else was said.
fn cache(sshd: &Sshd) -> PathBuf {
    sshd.home().join(".cache/flowhost")
}

/// The names of the files below a folder, without the folder's own, in order; none where there is no such folder.
fn names(folder: &Path) -> Vec<String> {
    let (mut names, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        // Others are at work in there: it may be gone.
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    names.sort();
    names
}

/// How many attempts a node is known to have ended.
fn ended_on(run: &Run, sshd: &Sshd) -> usize {
    run.count(&format!("\"worker\":\"root@{}:{}\"", sshd.address(), sshd.port()))
}

/// A process of the system's ssh that a run started, and its command line.
struct Client {
    id: Pid,
    command: String,
}

impl Client {
    fn kill(&self) {
        kill_process(self.id, Signal::KILL).unwrap();
    }

    fn lives(&self) -> bool {
        command_line(self.id.as_raw_nonzero().get()).is_some_and(|now| now == self.command)
    }
}

/// None of a process that has ended.
fn command_line(id: i32) -> Option<String> {
    let words = fs::read(format!("/proc/{id}/cmdline")).ok().filter(|words| !words.is_empty())?;
    Some(String::from_utf8_lossy(&words).replace('\0', " "))
}

/// The connections of a run.
fn clients(run: &Run) -> Vec<Client> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let client = |id: i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        let parent: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        let ours = name.ends_with("(ssh") && parent == run.id();
        Some(Client { id: Pid::from_raw(id)?, command: command_line(id)? }).filter(|_| ours)
    };
    ids.filter_map(client).collect()
}

/// Nothing runs on a node any more, soon.
fn deserted(sshd: &Sshd) {
    until(SECONDS, "nobody is there any more", || sshd.processes().is_empty());
}
