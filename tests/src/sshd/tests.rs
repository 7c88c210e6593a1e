use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Child;

use crate::ended_within;

use super::*;

/// A command on the node that is still running. It speaks over pipes.
struct Session(Child);

impl Session {
    fn start(sshd: &Sshd, options: &[&str], command: &str) -> Self {
        let words = sshd.client();
        let mut ssh = Command::new(&words[0]);
        ssh.args(options).args(&words[1..]).arg(format!("root@{}", sshd.address())).arg(command);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(ssh.spawn().unwrap())
    }

    /// What it says next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    }

    /// What comes back of a line.
    fn echo(&mut self, line: &str) -> String {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.line()
    }

    /// How `ssh` ends, and what it says then.
    fn end(mut self) -> (Option<i32>, String) {
        let said = std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap();
        (self.0.wait().unwrap().code(), said)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn printed(sshd: &Sshd, command: &str) -> String {
    let ended = sshd.run(command);
    assert_eq!(ended.code, 0, "{ended}");
    ended.stdout
}

fn refused(sshd: &Sshd, says: &str) {
    let ended = sshd.run("echo let in");
    assert_eq!((ended.code, &*ended.stdout), (255, ""), "{ended}");
    assert!(ended.stderr.contains(says), "{says}: {ended}");
}

#[test]
fn root_finds_an_empty_home_and_no_variables_of_the_test() {
    let sshd = Sshd::start();
    assert_eq!(printed(&sshd, "pwd; echo $HOME; echo ~; echo ~root; ls -A"), "/root\n".repeat(4));
    let mut ssh = sshd.ssh();
    let ended =
        ended(ssh.arg("env").env("XDG_CACHE_HOME", "/elsewhere").env("FLOWHOST_REDIS", "redis://elsewhere"));
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.stdout.contains("HOME=/root\n") && !ended.stdout.contains("elsewhere"), "{ended}");
    assert!(!ended.stdout.contains("XDG_"), "{ended}");
    fs::write(sshd.home().join("here"), "from here").unwrap();
    assert_eq!(printed(&sshd, "cat here; echo from there > there"), "from here");
    assert_eq!(fs::read_to_string(sshd.path("/root/there")).unwrap(), "from there\n");
    assert_eq!(fs::read_to_string(sshd.home().join("there")).unwrap(), "from there\n");
}

#[test]
fn the_table_for_a_workflow_file_names_what_ssh_needs() {
    let sshd = Sshd::start();
    let table = sshd.node_toml("concurrency = 2");
    let (identity, known) = (sshd.identity(), sshd.known_hosts());
    let expected = format!(
        r#"{{ address = "root@127.0.0.1", port = {}, identity-file = "{}", options = ["UserKnownHostsFile={}", "IdentitiesOnly=yes"], concurrency = 2 }}"#,
        sshd.port(),
        identity.display(),
        known.display()
    );
    assert_eq!(table, expected);
    assert!(sshd.node_toml("").ends_with("\"IdentitiesOnly=yes\"] }"));
    assert!(identity.is_file() && known.is_file());
}

#[test]
fn bash_reads_its_file_before_each_command() {
    let sshd = Sshd::start();
    assert_eq!(printed(&sshd, "echo said"), "said\n");
    sshd.shell_file("echo talkative; echo so it is >&2\n");
    let ended = sshd.run("echo said");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("talkative\nsaid\n", "so it is\n"));
    assert_eq!(printed(&sshd, "bash --login -c 'echo said'"), "talkative\ntalkative\nsaid\n");
}

#[test]
fn connections_are_cut_and_what_does_not_mind_goes_on() {
    let sshd = Sshd::start();
    assert_eq!(sshd.processes(), Vec::<String>::new());
    let detached = "setsid sleep 1000 >/dev/null 2>&1 </dev/null & cat";
    let mut sessions = [(); 3].map(|()| Session::start(&sshd, &[], detached));
    for session in &mut sessions {
        assert_eq!(session.echo("there"), "there\n");
    }
    sshd.cut();
    for session in sessions {
        let (code, said) = session.end();
        assert_eq!(code, Some(255), "{said}");
    }
    // Who reads sees the end; who does not read sees nothing.
    let left = ["sleep 1000"; 3];
    crate::until(PATIENCE, "the readers end", || sshd.processes() == left);
    assert_eq!(printed(&sshd, "echo others are let in"), "others are let in\n");
    assert_eq!(sshd.kill_process("sleep"), 3);
    assert_eq!(sshd.processes(), Vec::<String>::new());
}

#[test]
fn who_is_stopped_is_silent_until_it_goes_on() {
    let sshd = Sshd::start();
    let mut lasting = Session::start(&sshd, &[], "cat");
    let mut asking =
        Session::start(&sshd, &["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"], "cat");
    assert_eq!(
        (lasting.echo("before"), asking.echo("before")),
        ("before\n".to_owned(), "before\n".to_owned())
    );
    sshd.stop();
    let (code, said) = asking.end();
    assert_eq!(code, Some(255), "{said}");
    assert!(said.contains("not responding"), "{said}");
    let words = sshd.client();
    let mut late = Command::new(&words[0]);
    // The first that is said of an option counts.
    late.args(["-o", "ConnectTimeout=1"]).args(&words[1..]).args(["root@127.0.0.1", "true"]);
    let late = ended(&mut late);
    assert_eq!(late.code, 255, "{late}");
    assert!(late.stderr.contains("timed out"), "{late}");
    sshd.resume();
    assert_eq!(lasting.echo("after"), "after\n");
    assert_eq!(printed(&sshd, "echo again"), "again\n");
}

#[test]
fn keys_are_replaced_and_forgotten_on_both_sides() {
    let sshd = Sshd::start();
    let mut lasting = Session::start(&sshd, &[], "cat");
    assert_eq!(lasting.echo("before"), "before\n");
    sshd.replace_host_key();
    refused(&sshd, "REMOTE HOST IDENTIFICATION HAS CHANGED");
    assert_eq!(lasting.echo("after"), "after\n", "who is connected stays so");
    sshd.know_host_key();
    assert_eq!(printed(&sshd, "echo known"), "known\n");
    sshd.forget_host_key();
    refused(&sshd, "Host key verification failed");
    sshd.know_host_key();
    sshd.forget_client_key();
    refused(&sshd, "Permission denied (publickey)");
}

#[test]
fn folders_refuse_to_execute_or_are_full() {
    let sshd = Sshd::with_mounts(&[("~", "noexec"), ("~/small", "size=64k"), ("/var/tmp", "noexec")]);
    for folder in ["/root", "/var/tmp"] {
        let ended = sshd.run(&format!("cp /bin/true {folder}/program; {folder}/program"));
        assert_eq!(ended.code, 126, "{ended}");
        assert!(ended.stderr.contains("Permission denied"), "{ended}");
    }
    assert_eq!(fs::read(sshd.home().join("program")).unwrap(), fs::read("/bin/true").unwrap());
    assert!(!Path::new("/var/tmp/program").exists());
    let ended = sshd.run("head --bytes 100000 /dev/zero > small/file");
    assert!(ended.code == 1 && ended.stderr.contains("No space left"), "{ended}");
    assert_eq!(sshd.home().join("small/file").metadata().unwrap().len(), 65_536);
    sshd.shell_file("echo talkative");
    assert_eq!(printed(&sshd, "true"), "talkative\n");
    // There can be room.
    let ended = sshd.console("mount -o remount,size=1m /root/small");
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(sshd.run("head --bytes 100000 /dev/zero > small/file").code, 0);
}

#[test]
fn a_network_dies_silently_and_is_mended() {
    let sshds = [Sshd::in_namespace(), Sshd::in_namespace()];
    let [sshd, other] = &sshds;
    let alive = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"];
    let mut asking = Session::start(sshd, &alive, "cat");
    let mut lasting = Session::start(sshd, &[], "cat");
    assert_eq!(
        (asking.echo("before"), lasting.echo("before")),
        ("before\n".to_owned(), "before\n".to_owned())
    );
    sshd.sever();
    let (code, said) = asking.end();
    assert!(code == Some(255) && said.contains("not responding"), "{said}");
    let mut late = sshd.ssh();
    let late = ended_within(late.arg("true"), Duration::from_secs(60)).unwrap();
    // Not "no route", which somebody would have told.
    assert!(late.code == 255 && late.stderr.contains("Connection timed out"), "{late}");
    // Neither end was told of anything.
    assert_eq!(sshd.processes(), ["cat", "cat"]);
    assert_eq!(printed(other, "echo alive"), "alive\n");
    sshd.mend();
    assert_eq!(lasting.echo("after"), "after\n");
    assert_eq!(printed(sshd, "echo again"), "again\n");
}

#[test]
fn a_node_that_loses_power_keeps_its_home_only() {
    for mut sshd in [Sshd::start(), Sshd::in_namespace(), Sshd::with_mounts(&[("~/memory", "size=1m")])] {
        let detached = "echo kept > kept; mkdir -p memory; echo lost > memory/file; setsid sleep 1000 & cat";
        let mut session =
            Session::start(&sshd, &["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"], detached);
        assert_eq!(session.echo("before"), "before\n");
        let (port, mounted) = (sshd.port(), !sshd.mounts.is_empty());
        sshd.kill();
        assert_eq!(session.end().0, Some(255));
        assert_eq!(sshd.run("true").code, 255);
        sshd.restart();
        assert_eq!(sshd.port(), port);
        // It may have another address, of which nobody knows.
        sshd.know_host_key();
        assert_eq!(printed(&sshd, "cat kept"), "kept\n");
        assert_eq!(sshd.run("cat memory/file").code == 0, !mounted);
        assert_eq!(sshd.processes(), Vec::<String>::new());
    }
}

/// Says to a test that runs once more, in a process of its own, where to write its node's process to.
const ONCE_MORE: &str = "FLOWHOST_TESTS_ONCE_MORE";

/// A test of this module, once more, in a process of its own that `before` starts.
fn once_more(before: &[&str], test: &str, file: &Path) -> Command {
    let program = env::current_exe().unwrap();
    let mut words = before.iter().map(|word| (*word).to_owned());
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(program).args(["--exact", "--nocapture", &format!("sshd::tests::{test}")]);
    command.env(ONCE_MORE, file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn nothing_outlives_an_owner_that_panics_or_is_killed() {
    if let Some(file) = env::var_os(ONCE_MORE) {
        let sshd = Sshd::start();
        assert_eq!(printed(&sshd, "setsid sleep 1000 >/dev/null 2>&1 </dev/null &"), "");
        let home = sshd.home().display().to_string();
        fs::write(&file, format!("{}\n{home}", sshd.node().path("").display())).unwrap();
        if Path::new(&file).ends_with("panics") {
            panic!("on purpose");
        }
        loop {
            thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for end in ["panics", "is killed"] {
        let file = folder.path().join(end);
        let mut owner =
            once_more(&["env"], "nothing_outlives_an_owner_that_panics_or_is_killed", &file).spawn().unwrap();
        crate::until(PATIENCE, "the owner has a node", || {
            fs::read_to_string(&file).is_ok_and(|told| told.contains('\n'))
        });
        let told = fs::read_to_string(&file).unwrap();
        let (first, home) = told.split_once('\n').unwrap();
        if end == "is killed" {
            owner.kill().unwrap();
        }
        assert!(!owner.wait().unwrap().success());
        // The kernel lets go of the node's first process when it has killed all others.
        crate::until(PATIENCE, "the node is gone", || !Path::new(first).exists());
        if end == "panics" {
            assert!(!Path::new(home).exists());
        } else {
            fs::remove_dir_all(Path::new(home).parent().unwrap()).unwrap();
        }
    }
}

#[test]
fn a_kernel_that_refuses_is_named() {
    if env::var_os(ONCE_MORE).is_some() {
        drop(Sshd::start());
        return;
    }
    let powerless = ["setpriv", "--bounding-set", "-sys_admin"];
    let ended = ended(&mut once_more(&powerless, "a_kernel_that_refuses_is_named", Path::new("none")));
    assert_ne!(ended.code, 0, "{ended}");
    assert!(ended.stderr.contains(RIGHTS) && ended.stderr.contains("unshare"), "{ended}");
    assert!(ended.stdout.contains("0 passed; 1 failed"), "{ended}");
}
