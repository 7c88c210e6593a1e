//! S2: networks that die without a word.

use super::{Scene, deserted, ended_on, install, installed, shared};
use crate::support::Sshd;

const SILENT: &str = "nothing was heard for 6 s, so it was ended; it is tried again";

#[test]
fn s2_both_ends_notice_a_dead_network_and_the_run_goes_on_when_it_is_mended() {
    let sshd = Sshd::in_namespace();
    install(&sshd);
    let scene = Scene::marking(12, 1000);
    scene.allowed_by(&sshd).on(&[sshd.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_so("attempts at work", |_| scene.begun() >= 4);
    sshd.sever();
    deserted(&sshd);
    run.until("\"node-unreachable\"");
    sshd.mend();
    let ran = run.succeeds(12);
    let said = ran.warnings("node-unreachable");
    assert!(said[0].ends_with(SILENT), "{said:?}");
    scene.has_one_outcome_each(12);
    assert!((1..=4).contains(&scene.lost()), "{} were lost", scene.lost());
}

#[test]
fn s2_what_a_node_had_whose_network_died_is_executed_elsewhere() {
    let (lonely, other) = (Sshd::in_namespace(), installed());
    install(&lonely);
    let scene = Scene::marking(60, 1000);
    scene.allowed_by(&lonely).allowed_by(&other);
    scene.on(&[lonely.node_toml("concurrency = 2"), other.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_so("both at work", |run| ended_on(run, &lonely) > 0 && ended_on(run, &other) > 0);
    lonely.sever();
    // It never comes back, and nobody waits for it.
    let ran = run.succeeds(60);
    let said = ran.warnings("node-unreachable");
    assert!(said[0].contains(&format!("root@{}", lonely.address())) && said[0].ends_with(SILENT), "{said:?}");
    scene.has_one_outcome_each(60);
    deserted(&lonely);
    deserted(&other);
}
