//! S5: folders on nodes that flowhost cannot be put in: from which nothing can be executed, which are full, fixed, or
//! somebody else's.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::{SECONDS, Scene, deployed, names};
use crate::support::{Sshd, program};

const NEXT: &str = "a folder of its user's own, with room, that programs can be executed from, as `workdir`";

/// What is below a folder of the node.
fn there(sshd: &Sshd, folder: &str) -> Vec<String> {
    names(Path::new(&sshd.path(folder)))
}

#[test]
fn s5_where_nothing_in_the_cache_folder_can_be_executed_the_next_one_is_used() {
    let sshd = Sshd::with_mounts(&[("~", "noexec"), ("/var/tmp", ""), ("/tmp", "noexec")]);
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, "").run().succeeds(4);
    assert!(there(&sshd, "/var/tmp/flowhost-0").contains(&deployed()), "{:?}", there(&sshd, "/var/tmp"));
    assert_eq!([there(&sshd, "/root/.cache"), there(&sshd, "/tmp")], [(); 2].map(|()| Vec::<String>::new()));
    scene.at(&sshd, "deploy = \"never\"").run().succeeds(4);
}

#[test]
fn s5_where_no_cache_folder_can_be_made_the_last_one_is_used() {
    let sshd = Sshd::with_mounts(&[("~", "ro"), ("/var/tmp", "ro"), ("/tmp", "")]);
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, "").run().succeeds(4);
    assert!(there(&sshd, "/tmp/flowhost-0").contains(&deployed()), "{:?}", there(&sshd, "/tmp"));
    scene.at(&sshd, "deploy = \"never\"").run().succeeds(4);
}

#[test]
fn s5_an_installed_flowhost_works_in_the_first_folder_that_it_can_use() {
    let bin = ("/usr/local/bin", "");
    let sshd = Sshd::with_mounts(&[bin, ("~", "ro"), ("/var/tmp", ""), ("/tmp", "")]);
    symlink(program(), sshd.path("/usr/local/bin/flowhost")).unwrap();
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, "deploy = \"never\"").run().succeeds(4);
    // The component, and its code.
    assert_eq!(there(&sshd, "/var/tmp/flowhost-0").len(), 2, "{:?}", there(&sshd, "/var/tmp"));
    let said = scene.at(&sshd, "workdir = \"~/.cache/flowhost\"\ndeploy = \"never\"").unreachable(SECONDS);
    assert!(
        said.contains("the flowhost there does not work: ") && said.contains("Read-only file system"),
        "{said}"
    );
}

#[test]
fn s5_where_nothing_can_be_executed_anywhere_each_folder_is_named() {
    let sshd = Sshd::with_mounts(&[("~", "noexec"), ("/var/tmp", "noexec"), ("/tmp", "noexec")]);
    let said = Scene::napping(4, 1).at(&sshd, "").unreachable(SECONDS);
    let why = "programs cannot be executed there, as on a file system that is mounted noexec";
    for folder in ["/root/.cache/flowhost", "/var/tmp/flowhost-0", "/tmp/flowhost-0"] {
        assert!(said.contains(&format!("{folder}: {why}")), "{folder}: {said}");
    }
    assert!(said.contains(NEXT), "{said}");
    for folder in ["/root", "/var/tmp", "/tmp"] {
        assert_eq!(there(&sshd, folder), Vec::<String>::new());
    }
}

/// What is refused where `workdir` is this folder; nothing is left in there.
fn refused(sshd: &Sshd, workdir: &str) -> String {
    let said = Scene::napping(4, 1).at(sshd, &format!("workdir = \"{workdir}\"")).unreachable(SECONDS);
    assert_eq!(there(sshd, &workdir.replace('~', "/root")), Vec::<String>::new());
    assert!(said.contains("flowhost cannot be put there (") && said.contains("`workdir`"), "{said}");
    said
}

#[test]
fn s5_a_full_folder_is_refused_and_left_as_it_was() {
    let sshd = Sshd::with_mounts(&[("~/small", "size=1m"), ("~/tiny", "size=64k")]);
    let said = refused(&sshd, "~/small");
    assert!(said.contains("No space left on device") && said.contains("make room"), "{said}");
    // Not even the shell with which it is tried fits.
    let said = refused(&sshd, "~/tiny");
    assert!(said.contains("/root/tiny: ") && said.contains("No space left on device"), "{said}");
    assert!(said.contains(NEXT), "{said}");
}

#[test]
fn s5_a_folder_that_cannot_be_written_is_refused() {
    let sshd = Sshd::with_mounts(&[("~/fixed", "ro"), ("~/quiet", "noexec")]);
    let said = refused(&sshd, "~/fixed");
    assert!(said.contains("Read-only file system") && said.contains(NEXT), "{said}");
    let said = refused(&sshd, "~/quiet");
    assert!(said.contains("/root/quiet: programs cannot be executed there") && said.contains(NEXT), "{said}");
}

#[test]
fn s5_a_folder_of_another_user_is_refused_and_nothing_is_made_in_it() {
    let sshd = Sshd::start();
    let made = sshd.console("mkdir /root/theirs && chown 1234 /root/theirs");
    assert_eq!(made.code, 0, "{made}");
    let said = refused(&sshd, "~/theirs");
    assert!(said.contains("/root/theirs: it belongs to another user") && said.contains(NEXT), "{said}");
    assert_eq!(sshd.home().join("theirs").read_dir().unwrap().count(), 0);
}
