//! S1: the end of a connection's near side: the process of ssh, or flowhost itself.

use rustix::process::Signal;

use super::{SECONDS, Scene, clients, deserted, installed, shared};
use crate::support::until;

#[test]
fn s1_a_client_that_is_killed_takes_its_worker_along_and_the_run_connects_anew() {
    let sshd = installed();
    let scene = Scene::marking(12, 1000);
    scene.allowed_by(&sshd).on(&[sshd.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_so("attempts at work", |_| scene.begun() >= 4);
    // It cannot do anything about it before it was seen that all is gone.
    run.send(Signal::STOP);
    let [client] = &clients(&run)[..] else { panic!("one connection") };
    client.kill();
    deserted(&sshd);
    run.send(Signal::CONT);
    run.until("\"node-unreachable\"");
    let ran = run.succeeds(12);
    let said = ran.warnings("node-unreachable");
    let [lost, back] = &said[..] else { panic!("{said:?}") };
    assert!(lost.ends_with("ssh was killed by signal 9; it is tried again"), "{lost}");
    assert!(back.ends_with("is ready again"), "{back}");
    scene.has_one_outcome_each(12);
    assert!((1..=4).contains(&scene.lost()), "{} were lost", scene.lost());
    deserted(&sshd);
}

/// As by Ctrl-Z. What is left of the connection does not tell its worker why nothing comes.
#[test]
fn s1_a_run_that_is_stopped_for_long_connects_anew_when_it_goes_on() {
    let sshd = installed();
    let scene = Scene::marking(4, 15_000);
    scene.allowed_by(&sshd).on(&[sshd.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_so("attempts at work", |_| scene.begun() == 4);
    run.send(Signal::STOP);
    deserted(&sshd);
    run.send(Signal::CONT);
    let ran = run.succeeds(4);
    assert!(ran.warnings("node-unreachable")[0].contains("nothing was heard for 6 s"), "{ran}");
    scene.has_one_outcome_each(4);
    assert_eq!(scene.lost(), 4);
    deserted(&sshd);
}

/// Guests that compute, that wait, and the worker itself.
#[test]
fn s1_a_run_that_is_killed_leaves_nothing_on_its_node() {
    let sshd = installed();
    let scene = Scene::of(
        r#"
        [tasks.spin]
        run = "failing#spin"
        [tasks.nap]
        run = "marking#echo-after"
        with = { ms = 600000, number = "${item}" }
        [groups.spinning]
        task = "spin"
        for-each = { range = [0, 2] }
        [groups.napping]
        task = "nap"
        for-each = { range = [0, 2] }
        "#,
    );
    scene.on(&[sshd.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_count("\"attempt-started\"", 4);
    let clients = clients(&run);
    assert!(clients.len() == 1 && !sshd.processes().is_empty());
    run.kill();
    deserted(&sshd);
    until(SECONDS, "no ssh is left", || !clients.iter().any(super::Client::lives));
}
