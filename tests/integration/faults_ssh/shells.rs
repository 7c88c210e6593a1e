//! S4: what a shell says or does before it does what it is told.

use super::{SECONDS, Scene, installed, shared};
use crate::support::Sshd;

/// A node with this in the file that its shell reads first, and a run on it.
fn scene(sshd: &Sshd, start_up: &str, executor: &str) -> Scene {
    sshd.shell_file(start_up);
    let scene = Scene::napping(4, 1);
    scene.at(sshd, executor);
    scene
}

#[test]
fn s4_a_shell_that_says_a_few_kib_first_does_not_matter() {
    let sshd = installed();
    let talk =
        "for i in $(seq 200); do echo \"welcome to this machine, number $i\"; done; echo and here >&2\n";
    scene(&sshd, talk, &shared()).run().succeeds(4);
    // Nor does it where flowhost has to be put there.
    let bare = Sshd::start();
    scene(&bare, &format!("{talk}echo system Minix m68k\n"), "").run().succeeds(4);
}

#[test]
fn s4_commands_of_the_start_up_file_that_fail_do_not_matter() {
    let sshd = installed();
    scene(&sshd, "cd /nowhere\nfalse\nno-such-command\nif\n", &shared()).run().succeeds(4);
}

#[test]
fn s4_a_shell_that_says_too_much_first_is_explained_with_a_quote() {
    let sshd = installed();
    let start_up = "head -c 100000 /dev/zero | tr '\\0' x\necho\necho the end of it\n";
    // Whether or not flowhost would be put there.
    for executor in [shared(), String::new()] {
        let said = scene(&sshd, start_up, &executor).unreachable(SECONDS);
        assert!(
            said.contains("no flowhost answered; instead came ") && said.contains(" bytes: xxx"),
            "{said}"
        );
        assert!(said.contains("only 64 KiB are skipped") && said.contains("~/.bashrc"), "{said}");
    }
}

#[test]
fn s4_a_shell_that_never_stops_talking_is_explained_with_a_quote() {
    let sshd = installed();
    let said = scene(&sshd, "yes 'so it goes on'\n", "").unreachable(SECONDS);
    assert!(said.contains("so it goes on\\nso it goes on"), "{said}");
    assert!(said.contains("only 64 KiB are skipped") && said.contains("~/.bashrc"), "{said}");
    super::deserted(&sshd);
}

#[test]
fn s4_a_shell_that_ends_by_itself_is_explained_with_a_quote() {
    let sshd = installed();
    let start_up = "echo this machine is for maintenance alone\nexit 3\n";
    let said = scene(&sshd, start_up, "").unreachable(SECONDS);
    assert!(said.contains("its shell does not do what it is told: instead came 38 bytes"), "{said}");
    assert!(said.contains(": this machine is for maintenance alone; ssh ended with exit code 3; "), "{said}");
    assert!(said.contains("~/.bashrc"), "{said}");
    let said = scene(&sshd, start_up, &shared()).unreachable(SECONDS);
    assert!(said.contains("instead came 38 bytes: this machine is for maintenance alone"), "{said}");
    assert!(said.contains("ssh ended with exit code 3"), "{said}");
}

#[test]
fn s4_a_start_up_file_that_fails_is_explained() {
    let sshd = installed();
    let said = scene(&sshd, "set -e\nmodule load flowhost\n", "").unreachable(SECONDS);
    assert!(said.contains("its shell does not do what it is told: ssh ended with exit code 127"), "{said}");
    assert!(said.contains("module: command not found") && said.contains("~/.bashrc"), "{said}");
}
