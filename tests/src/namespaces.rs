//! Programs in namespaces of their own: of processes, of mounts and, where it is asked for, of the network. They
//! end with their owner, and all that they started with them, however the owner ends.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Ended, ended};

/// A script, and all that runs below it.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// `unshare`, which waits for the script. Its standard input is open as long as the owner lives.
    outer: Child,
    /// The first process inside. The kernel kills all others with it.
    first: u32,
    network: bool,
}

/// A process that runs in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    /// As it is numbered outside.
    pub(crate) id: u32,
    /// The name of its program, at most 15 bytes.
    pub(crate) name: String,
    /// Its command line, with blanks between the arguments.
    pub(crate) command: String,
    parent: u32,
    state: char,
    space: PathBuf,
}

/// How long processes may take to start, stop or end that are told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asked for in vain where the kernel or a container refuses.
pub(crate) const RIGHTS: &str =
    "this test needs the right to make namespaces, mounts and network links of its own: run it as root";

impl Namespaces {
    /// Starts a script of bash, whose standard input ends when the owner does. What it says on standard error comes
    /// through the pipe.
    pub(crate) fn start(script: &str, arguments: &[&str], network: bool) -> (Self, ChildStderr) {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]);
        if network {
            command.arg("--net");
        }
        command.args(["bash", "-c", script, "node"]).args(arguments);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).current_dir("/");
        let mut outer = command.spawn().unwrap();
        let mut said = outer.stderr.take().unwrap();
        let mut first = None;
        crate::until(PATIENCE, "namespaces", || {
            first = processes()
                .into_iter()
                .find(|process| process.parent == outer.id())
                .map(|process| process.id);
            first.is_some() || outer.try_wait().unwrap().is_some()
        });
        let Some(first) = first else {
            let mut why = String::new();
            said.read_to_string(&mut why).unwrap();
            panic!("{RIGHTS}: {why}");
        };
        (Self { outer, first, network }, said)
    }

    /// Whether the script goes on.
    pub(crate) fn live(&mut self) -> bool {
        self.outer.try_wait().unwrap().is_none()
    }

    /// Where a path leads inside. Good until they end.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first))
    }

    /// All that runs inside, the script among them.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut all = processes();
        let first = all.iter().find(|process| process.id == self.first);
        let space = first.map(|first| first.space.clone());
        all.retain(|process| Some(&process.space) == space.as_ref());
        all
    }

    /// Whether a process is the script itself.
    pub(crate) fn script(&self, process: &Process) -> bool {
        process.id == self.first
    }

    /// Stops all of them that `which` says, in the middle of whatever they do.
    pub(crate) fn stop(&self, which: impl Fn(&Process) -> bool) {
        crate::until(PATIENCE, "processes stop", || {
            let mut running = self.processes();
            running.retain(|process| which(process) && !matches!(process.state, 'T' | 'Z' | 'X'));
            running.iter().for_each(|process| process.signal(Signal::STOP));
            running.is_empty()
        });
    }

    /// Ends all of them that `which` says at once, and waits until they have ended. Says how many there were.
    pub(crate) fn kill(&self, which: impl Fn(&Process) -> bool) -> usize {
        let mut doomed = self.processes();
        doomed.retain(which);
        doomed.iter().for_each(|process| process.signal(Signal::KILL));
        crate::until(PATIENCE, "processes end", || {
            let left = self.processes();
            !left.iter().any(|left| left.state != 'Z' && doomed.iter().any(|doomed| doomed.id == left.id))
        });
        doomed.len()
    }

    /// Runs a script of the shell inside, to its end.
    pub(crate) fn run(&self, script: &str) -> Ended {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--mount", "--pid"]);
        if self.network {
            command.arg("--net");
        }
        ended(command.args(["sh", "-ec", script]).stdin(Stdio::null()))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        if self.outer.try_wait().is_ok_and(|status| status.is_none()) {
            // It may end at this moment.
            let _ = kill_process(pid(self.first), Signal::KILL);
        }
        // The kernel lets go of the first process when it has killed all others.
        let _ = self.outer.wait();
    }
}

impl Process {
    /// Sends it a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(pid(self.id), signal);
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// All processes of this machine that can be looked at.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(process).collect()
}

/// None of one that has ended.
fn process(id: u32) -> Option<Process> {
    let folder = PathBuf::from(format!("/proc/{id}"));
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name between the parentheses may hold anything.
    let (start, rest) = stat.rsplit_once(") ")?;
    let (_, name) = start.split_once(" (")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let command = fs::read(folder.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    let space = fs::read_link(folder.join("ns/pid")).ok()?;
    Some(Process { id, name: name.to_owned(), command, parent, state, space })
}

/// A link between this machine and namespaces that have a network of their own.
#[derive(Debug)]
pub(crate) struct Link {
    name: String,
    /// The address at the far end.
    address: String,
}

impl Link {
    /// Makes one.
    pub(crate) fn to(far: &Namespaces) -> Self {
        // The name is the claim to the addresses, which are those that nobody uses but to test networks.
        for number in 0..16_384 {
            let name = format!("flowhost{number}");
            let made = ended(Command::new("ip").args(["link", "add", &name]).args([
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                &far.first.to_string(),
            ]));
            if made.stderr.contains("File exists") {
                continue;
            }
            assert_eq!(made.code, 0, "{RIGHTS}: {made}");
            let addresses = |last| format!("198.18.{}.{}", number / 64, number % 64 * 4 + last);
            let link = Self { name, address: addresses(2) };
            link.configure(far, &addresses(1));
            return link;
        }
        panic!("there are 16,384 links already");
    }

    /// Gives both ends an address. They know of each other beforehand: otherwise a network that is dead would be
    /// noticed by a question for the other's address that stays unanswered.
    fn configure(&self, far: &Namespaces, here: &str) {
        let (name, there) = (&self.name, &self.address);
        let hardware = |address: &str| address.trim().to_owned();
        let near_hardware = hardware(&fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap());
        let far_hardware = done(far.run("ip -oneline link show eth0 | sed 's/.*ether //; s/ .*//'"));
        done(far.run(&format!(
            "ip link set lo up; ip address add {there}/30 dev eth0; ip link set eth0 up; \
             ip neighbour replace {here} lladdr {near_hardware} dev eth0 nud permanent"
        )));
        done(near(&format!(
            "ip address add {here}/30 dev {name}; ip link set {name} up; \
             ip neighbour replace {there} lladdr {} dev {name} nud permanent",
            hardware(&far_hardware)
        )));
    }

    /// The address at the far end.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Loses all that is sent from now on, both ways, and tells nobody.
    pub(crate) fn sever(&self, far: &Namespaces) {
        done(near(&format!("tc qdisc replace dev {} root blackhole", self.name)));
        done(far.run("tc qdisc replace dev eth0 root blackhole"));
    }

    /// Passes on what is sent after [`Self::sever`].
    pub(crate) fn mend(&self, far: &Namespaces) {
        done(far.run("tc qdisc delete dev eth0 root"));
        done(near(&format!("tc qdisc delete dev {} root", self.name)));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It is gone when its far end is.
        near(&format!("ip link delete {}", self.name));
    }
}

/// Runs a script of the shell on this machine, to its end.
fn near(script: &str) -> Ended {
    ended(Command::new("sh").args(["-ec", script]).stdin(Stdio::null()))
}

/// What a command printed that must not fail.
fn done(ended: Ended) -> String {
    assert_eq!(ended.code, 0, "{RIGHTS}: {ended}");
    ended.stdout
}
