//! `cleanup = true`: nothing of a run stays on its nodes, and all that is somebody else's does.

use super::{SECONDS, Scene, cache, deployed, deserted, installed, names};
use crate::running::Run;
use crate::support::{Sshd, until};

const CLEANUP: &str = "cleanup = true";

/// The files that one component comes to on a node: itself, and its code.
const FILES: usize = 2;

fn files(sshd: &Sshd) -> Vec<String> {
    names(&cache(sshd))
}

#[test]
fn with_cleanup_nothing_of_a_run_stays() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, CLEANUP).run().succeeds(4);
    until(SECONDS, "nothing stays", || !cache(&sshd).exists());
    deserted(&sshd);
    // Nor where the run did not get so far as to execute anything, or did not end well.
    let failing = Scene::of("[tasks.all]\nrun = \"failing#fail\"\nwith = { message = \"no\" }\n");
    assert_eq!(failing.at(&sshd, CLEANUP).run().end().code, Some(100));
    until(SECONDS, "nothing stays", || !cache(&sshd).exists());
}

#[test]
fn with_cleanup_nothing_of_a_run_stays_that_was_killed() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 600_000);
    let mut run = scene.at(&sshd, CLEANUP).run();
    run.until_count("\"attempt-started\"", 4);
    assert_eq!(files(&sshd).len(), 1 + FILES);
    run.kill();
    until(SECONDS, "nothing stays", || !cache(&sshd).exists());
}

#[test]
fn with_cleanup_nothing_stays_beside_an_installed_flowhost_which_does() {
    let sshd = installed();
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, CLEANUP).run().succeeds(4);
    until(SECONDS, "nothing stays", || !cache(&sshd).exists());
    assert!(sshd.home().join(".local/bin/flowhost").exists());
}

#[test]
fn with_cleanup_all_stays_that_was_there_before() {
    let sshd = Sshd::start();
    Scene::napping(4, 1).at(&sshd, "").run().succeeds(4);
    let before = files(&sshd);
    assert_eq!(before.len(), 1 + FILES, "{before:?}");
    // One component is there already, another is not.
    let scene = Scene::of(
        r#"
        [tasks.nap]
        run = "marking#echo-after"
        with = { ms = 1, number = 1 }
        [tasks.wait]
        run = "failing#sleep"
        with = { ms = 1 }
        "#,
    );
    let ran = scene.at(&sshd, CLEANUP).run().end();
    assert_eq!(ran.code, Some(0), "{ran}");
    until(SECONDS, "nothing new stays", || files(&sshd) == before);
    deserted(&sshd);
    assert_eq!(files(&sshd), before);
}

/// A run that goes on until it is told to stop.
fn lasting(sshd: &Sshd, executor: &str) -> (Scene, Run) {
    let scene = Scene::napping(4, 600_000);
    let mut run = scene.at(sshd, executor).run();
    run.until_count("\"attempt-started\"", 4);
    (scene, run)
}

#[test]
fn cleanup_leaves_what_a_run_at_the_same_time_brought_and_uses() {
    let sshd = Sshd::start();
    let (_scene, sibling) = lasting(&sshd, "");
    let before = files(&sshd);
    assert_eq!(before.len(), 1 + FILES, "{before:?}");
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, CLEANUP).run().succeeds(4);
    until(SECONDS, "its worker is gone", || workers(&sshd) == 1);
    assert_eq!(files(&sshd), before);
    sibling.kill();
    deserted(&sshd);
    assert_eq!(files(&sshd), before);
}

/// How many workers there are.
fn workers(sshd: &Sshd) -> usize {
    sshd.processes().iter().filter(|process| process.contains(&deployed())).count()
}

#[test]
fn a_run_goes_on_where_another_removes_what_both_used() {
    let sshd = Sshd::start();
    let (_first, tidy) = lasting(&sshd, CLEANUP);
    // It finds all there that it needs at first, and asks for more when the other one is gone.
    let scene = Scene::of(
        r#"
        [tasks.wait]
        run = "marking#mark"
        with = { folder = "marks", name = 1, ms = 0 }
        grants = { write = ["marks"] }
        after = ["held"]
        [tasks.held]
        run = "marking#mark"
        with = { folder = "marks", name = 0, ms = 10000 }
        grants = { write = ["marks"] }
        [tasks.more]
        run = "failing#sleep"
        with = { ms = 1 }
        after = ["wait"]
        "#,
    );
    let mut run = scene.allowed_by(&sshd).at(&sshd, CLEANUP).run();
    run.until_so("it began", |_| scene.begun() == 1);
    tidy.kill();
    until(SECONDS, "the other's worker is gone", || workers(&sshd) == 1);
    assert_eq!(scene.begun(), 1, "it was held for too short a time");
    // The program is in use.
    until(SECONDS, "what it brought is gone", || files(&sshd) == [deployed()]);
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    deserted(&sshd);
    until(SECONDS, "nothing but the program", || files(&sshd) == [deployed()]);
}

/// They come and go while others bring, use and remove the same.
#[test]
fn runs_that_clean_up_at_the_same_time_all_succeed() {
    let sshd = installed();
    let scenes = [(); 6].map(|()| Scene::napping(4, 1));
    for _ in 0..3 {
        let runs: Vec<Run> = scenes.iter().map(|scene| scene.at(&sshd, CLEANUP).run()).collect();
        for run in runs {
            run.succeeds(4);
        }
    }
    deserted(&sshd);
    assert!(!cache(&sshd).exists(), "{:?}", files(&sshd));
}
