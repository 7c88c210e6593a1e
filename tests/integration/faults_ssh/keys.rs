//! S3: hosts that are not known, or not those that are known, and users that are not admitted.

use std::process::{Command, Stdio};

use super::{SECONDS, Scene, ended_on, installed, shared};
use crate::support::{Sshd, ended};

/// What stands in `text` between two parts of it.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no `{before}`: {text}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no `{after}`: {rest}")).0
}

/// Does what was said, as somebody who compared the key and answers with yes.
fn does(command: &str) {
    let mut command = command.to_owned();
    if let Some(rest) = command.strip_prefix("ssh ") {
        command = format!("ssh -n -o StrictHostKeyChecking=accept-new {rest} true");
    }
    let done = ended(Command::new("sh").args(["-c", &command]).stdin(Stdio::null()));
    assert_eq!(done.code, 0, "{command}: {done}");
}

fn scene(sshd: &Sshd) -> Scene {
    let scene = Scene::napping(4, 1);
    scene.at(sshd, &shared());
    scene
}

#[test]
fn s3_an_unknown_host_key_is_refused_with_the_command_that_mends_it() {
    let sshd = installed();
    let scene = scene(&sshd);
    sshd.forget_host_key();
    let said = scene.unreachable(SECONDS);
    let name = format!("node `root@127.0.0.1:{}`: its host key is not known here: compare it", sshd.port());
    assert!(said.contains(&name), "{said}");
    does(between(&said, "when this asks: ", " (ssh ended"));
    scene.run().succeeds(4);
}

#[test]
fn s3_a_changed_host_key_is_refused_with_the_commands_that_mend_it() {
    let sshd = installed();
    let scene = scene(&sshd);
    scene.run().succeeds(4);
    sshd.replace_host_key();
    let said = scene.unreachable(SECONDS);
    assert!(said.contains("somebody may be between here and there"), "{said}");
    does(between(&said, "it has a new one: ", ", then "));
    does(between(&said, ", then ", ", and compare"));
    scene.run().succeeds(4);
}

#[test]
fn s3_a_key_that_the_node_does_not_know_is_refused_with_the_command_that_mends_it() {
    let sshd = installed();
    let scene = scene(&sshd);
    sshd.forget_client_key();
    let said = scene.unreachable(SECONDS);
    let command = format!("ssh-copy-id -i {} -p {} root@127.0.0.1", sshd.identity().display(), sshd.port());
    assert!(said.contains("it admits none of the keys") && said.contains(&command), "{said}");
}

#[test]
fn s3_a_node_that_wants_a_password_is_refused_and_nobody_is_asked_for_it() {
    let sshd = installed();
    let scene = scene(&sshd);
    sshd.ask_for_passwords();
    let said = scene.unreachable(SECONDS);
    assert!(said.contains("nobody is asked for a password: ssh-copy-id"), "{said}");
    assert!(said.contains("Permission denied (password)"), "{said}");
}

#[test]
fn s3_a_bad_node_beside_a_good_one_is_named_and_left_out() {
    let (bad, good) = (installed(), installed());
    bad.forget_host_key();
    let scene = Scene::napping(40, 10);
    scene.on(&[bad.node_toml(""), good.node_toml("")], &shared());
    let mut run = scene.run();
    run.until("\"node-left-out\"");
    run.until_so("all by the good one", |run| ended_on(run, &good) == 40);
    let ran = run.succeeds(40);
    let said = ran.warnings("node-left-out");
    let name = format!("node `root@127.0.0.1:{}`: its host key is not known here", bad.port());
    assert!(said.len() == 1 && said[0].starts_with(&name), "{said:?}");
    assert!(said[0].ends_with("; it is left out"), "{said:?}");
}
