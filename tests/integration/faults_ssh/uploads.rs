//! S6: uploads that are cut off, and many at once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use flowhost::digest::Digest;

use super::{HANGS, Scene, cache, clients, deployed, deserted, names};
use crate::running::Run;
use crate::support::{Sshd, program, until};

/// What there is of uploads that are under way.
fn uploads(sshd: &Sshd) -> Vec<PathBuf> {
    let bin = cache(sshd).join("bin");
    let begun = |name: &String| name.starts_with(".upload-");
    names(&bin).iter().filter(|name| begun(name)).map(|name| bin.join(name)).collect()
}

/// A run in the middle of putting flowhost on a node, which stands still. Its half program.
fn halfway(sshd: &Sshd, scene: &Scene) -> (Run, PathBuf) {
    let run = scene.at(sshd, "").run();
    let length = |path: &PathBuf| path.metadata().map_or(0, |about| about.len());
    until(HANGS, "an upload", || uploads(sshd).first().is_some_and(|upload| length(upload) > 0));
    sshd.stop();
    let half = uploads(sshd).remove(0);
    let whole = program().metadata().unwrap().len();
    assert!((1..whole).contains(&length(&half)), "{} of {whole} bytes", length(&half));
    (run, half)
}

/// The program is there as a whole, under its name, with nothing else beside it.
fn whole(sshd: &Sshd) {
    let there = cache(sshd).join(deployed());
    assert_eq!(names(&cache(sshd).join("bin")), [there.file_name().unwrap().to_str().unwrap()]);
    let found = Digest::of_reader(fs::File::open(there).unwrap()).unwrap();
    assert_eq!(found, Digest::of_reader(fs::File::open(program()).unwrap()).unwrap());
}

/// What arrived goes away, and nothing has the program's name.
fn nothing_stays(sshd: &Sshd) {
    deserted(sshd);
    assert_eq!(names(&cache(sshd).join("bin")), Vec::<String>::new());
}

#[test]
fn s6_an_upload_whose_connection_is_cut_is_thrown_away_and_made_anew_by_the_same_run() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    let (mut run, half) = halfway(&sshd, &scene);
    sshd.cut();
    sshd.resume();
    run.until_so("what arrived goes away", |_| !half.exists());
    run.succeeds(4);
    whole(&sshd);
}

#[test]
fn s6_an_upload_whose_client_is_killed_is_thrown_away_and_made_anew_by_the_same_run() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    let (mut run, half) = halfway(&sshd, &scene);
    let [client] = &clients(&run)[..] else { panic!("one connection") };
    client.kill();
    sshd.resume();
    run.until_so("what arrived goes away", |_| !half.exists());
    run.succeeds(4);
    whole(&sshd);
}

#[test]
fn s6_an_upload_whose_run_is_killed_is_thrown_away_and_made_anew_by_the_next_run() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    let (run, _) = halfway(&sshd, &scene);
    run.kill();
    sshd.resume();
    nothing_stays(&sshd);
    scene.run().succeeds(4);
    whole(&sshd);
}

#[test]
fn s6_what_a_node_without_power_was_sent_is_never_executed_and_goes_away_with_a_later_upload() {
    let mut sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    let (run, half) = halfway(&sshd, &scene);
    run.kill();
    sshd.kill();
    assert!(half.exists());
    sshd.restart();
    // Another upload may be at work on it: it is old before it is anybody's.
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    fs::File::options().write(true).open(&half).unwrap().set_modified(long_ago).unwrap();
    scene.run().succeeds(4);
    whole(&sshd);
}

#[test]
fn s6_eight_at_once_put_one_whole_program_there_and_all_succeed() {
    let sshd = Sshd::start();
    let scenes = [(); 8].map(|()| Scene::napping(4, 1));
    let runs: Vec<Run> = scenes.iter().map(|scene| scene.at(&sshd, "").run()).collect();
    for run in runs {
        run.succeeds(4);
    }
    whole(&sshd);
}
