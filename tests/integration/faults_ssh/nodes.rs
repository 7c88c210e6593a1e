//! S7: a node that dies while others work; and what holds for each node by itself.

use super::{Scene, deserted, ended_on, install, installed, names, shared};
use crate::groups::events;
use crate::support::Sshd;

#[test]
fn s7_what_a_dead_node_had_the_rest_finishes() {
    let (mut dying, other) = (installed(), installed());
    let scene = Scene::marking(100, 200);
    scene.allowed_by(&dying).allowed_by(&other);
    scene.on(&[dying.node_toml("concurrency = 4"), other.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_so("both at work", |run| ended_on(run, &dying) > 0 && ended_on(run, &other) > 0);
    dying.kill();
    let ran = run.succeeds(100);
    let said = ran.warnings("node-unreachable");
    let name = format!("node `root@127.0.0.1:{}`: ", dying.port());
    assert!(!said.is_empty() && said.iter().all(|said| said.starts_with(&name)), "{said:?}");
    scene.has_one_outcome_each(100);
    assert!((1..=4).contains(&scene.lost()), "{} were lost", scene.lost());
}

#[test]
fn s7_a_node_that_comes_back_is_used_again() {
    let (mut dying, other) = (installed(), installed());
    let scene = Scene::marking(400, 250);
    scene.allowed_by(&dying).allowed_by(&other);
    scene.on(&[dying.node_toml("concurrency = 4"), other.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_so("both at work", |run| ended_on(run, &dying) > 0 && ended_on(run, &other) > 0);
    dying.kill();
    run.until("\"node-unreachable\"");
    let before = ended_on(&run, &dying);
    dying.restart();
    run.until_so("it is back", |run| ended_on(run, &dying) > before);
    run.succeeds(400);
    scene.has_one_outcome_each(400);
    deserted(&dying);
}

#[test]
fn a_node_executes_no_more_at_once_than_was_said() {
    let sshd = installed();
    let scene = Scene::marking(12, 500);
    scene.allowed_by(&sshd).on(&[sshd.node_toml("concurrency = 3")], &shared());
    scene.run().succeeds(12);
    let marks = scene.place.path().join("marks");
    let mut changes = Vec::new();
    for name in names(&marks) {
        // One that was taken back when it had just begun leaves no end.
        let Some(branch) = name.strip_suffix(".ended") else { continue };
        for (name, change) in [(format!("{branch}.begun"), 1), (name.clone(), -1)] {
            changes.push((marks.join(name).metadata().unwrap().modified().unwrap(), change));
        }
    }
    assert_eq!(changes.len(), 2 * 12);
    // What ended comes before what began at the same tick of the kernel's clock.
    changes.sort_unstable();
    let at_once = changes.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    assert_eq!(at_once.max(), Some(3), "{changes:?}");
}

/// All that is executed on one of them fails there, since it finds a folder that cannot be written to.
#[test]
fn a_breaker_counts_for_each_node_and_the_others_get_the_rest() {
    let (bad, good) = (Sshd::with_mounts(&[("/mnt", "ro")]), installed());
    install(&bad);
    let group = r#"
        retry = { max-attempts = 10, delay = "10ms" }
        breaker = { failures = 3, cooldown = "1h" }
    "#;
    let scene = Scene::marking_with(200, 50, group);
    scene.allowed_at(&bad, "/mnt".as_ref()).allowed_by(&good);
    scene.on(&[bad.node_toml("concurrency = 1"), good.node_toml("concurrency = 2")], &shared());
    let ran = scene.run().succeeds(200);
    scene.has_one_outcome_each(200);
    let said = ran.warnings("breaker-opened");
    let name = format!("breaker of node `root@127.0.0.1:{}` opened after 3 failures in a row", bad.port());
    assert!(said.len() == 1 && said[0].starts_with(&name), "{said:?}");
    // Those that it had in hand already, and no more.
    let events = events(&ran.lines.join("\n"));
    let failed =
        |event: &&serde_json::Value| event["event"] == "attempt-ended" && event["outcome"] == "failed";
    let failed: Vec<_> = events.iter().filter(failed).collect();
    let node = format!("root@127.0.0.1:{}", bad.port());
    assert!(failed.iter().all(|event| event["worker"] == *node), "{failed:?}");
    assert!((3..=40).contains(&failed.len()), "{} failed there", failed.len());
}
