//! S5: what there is of flowhost on a node: nothing, an old one, one of another protocol, or one for another machine.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use flowhost::wire::PROTOCOL;

use super::{SECONDS, Scene, cache, deployed, names};
use crate::support::{ANOTHER, ANOTHERS_VERSION, Sshd, program};

/// What is said where flowhost may not be put there.
const NEVER: &str = "`deploy` is \"never\": install this version there";

/// Puts a script on a node, below its home.
fn script(sshd: &Sshd, name: &str, text: &str) {
    let path = sshd.home().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Whether this flowhost was put there, and nothing beside it in its folder.
fn is_deployed(sshd: &Sshd) -> bool {
    let there = names(&cache(sshd));
    let (program, bin) = (deployed(), |name: &&String| name.starts_with("bin/"));
    there.iter().filter(bin).eq([&program])
}

#[test]
fn s5_flowhost_is_put_where_there_is_none_and_found_there_the_next_time() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    scene.at(&sshd, "").run().succeeds(4);
    assert!(is_deployed(&sshd), "{:?}", names(&cache(&sshd)));
    let there = cache(&sshd).join(deployed());
    let about = there.metadata().unwrap();
    assert_eq!((about.mode() & 0o7777, about.len()), (0o700, program().metadata().unwrap().len()));
    scene.run().succeeds(4);
    scene.at(&sshd, "deploy = \"never\"").run().succeeds(4);
    assert_eq!(there.metadata().unwrap().ino(), about.ino());
    // It may be put there each time.
    scene.at(&sshd, "deploy = \"always\"").run().succeeds(4);
    assert_ne!(there.metadata().unwrap().ino(), about.ino());
    assert!(is_deployed(&sshd), "{:?}", names(&cache(&sshd)));
}

#[test]
fn s5_without_flowhost_and_without_leave_to_put_it_there_the_next_step_is_said() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    let said = scene.at(&sshd, "deploy = \"never\"").unreachable(SECONDS);
    assert!(
        said.contains("no flowhost is there that this one can talk to") && said.contains(NEVER),
        "{said}"
    );
    assert_eq!(names(&sshd.home()), Vec::<String>::new());
}

#[test]
fn s5_an_old_flowhost_gives_way_to_this_one_and_stays_where_it_is() {
    let sshd = Sshd::start();
    let old = "for word; do case $word in --workdir) echo \"error: unexpected argument '--workdir' found\" >&2; exit 2;; esac; done";
    script(&sshd, ".local/bin/flowhost", old);
    let scene = Scene::napping(4, 1);
    let said = scene.at(&sshd, "deploy = \"never\"").unreachable(SECONDS);
    assert!(said.contains("the flowhost there does not work: ssh ended with exit code 2"), "{said}");
    assert!(said.contains("unexpected argument '--workdir' found") && said.contains(NEVER), "{said}");
    scene.at(&sshd, "").run().succeeds(4);
    assert!(is_deployed(&sshd), "{:?}", names(&cache(&sshd)));
    assert!(fs::read_to_string(sshd.home().join(".local/bin/flowhost")).unwrap().contains(old));
}

#[test]
fn s5_a_flowhost_of_another_protocol_is_refused_with_both_versions_or_gives_way_to_this_one() {
    let sshd = Sshd::start();
    script(&sshd, ".local/bin/flowhost", &format!("exec ~/.local/bin/{ANOTHER} \"$@\""));
    symlink(program(), sshd.home().join(".local/bin").join(ANOTHER)).unwrap();
    let scene = Scene::napping(4, 1);
    let said = scene.at(&sshd, "deploy = \"never\"").unreachable(SECONDS);
    let (ours, theirs) = (format!("(protocol {PROTOCOL})"), format!("(protocol {})", PROTOCOL + 1));
    let ours =
        said.contains(&format!("here is flowhost {} ", env!("CARGO_PKG_VERSION"))) && said.contains(&ours);
    let theirs = said.contains(&format!("there is flowhost {ANOTHERS_VERSION} ")) && said.contains(&theirs);
    assert!(ours && theirs && said.contains(NEVER), "{said}");
    scene.at(&sshd, "").run().succeeds(4);
    assert!(is_deployed(&sshd), "{:?}", names(&cache(&sshd)));
}

#[test]
fn s5_a_machine_that_no_program_is_named_for_is_refused_with_the_key_to_name_one() {
    let sshd = Sshd::start();
    script(&sshd, "bin/uname", "case $1 in -m) echo aarch64;; *) exec /usr/bin/uname \"$@\";; esac");
    sshd.shell_file("PATH=~/bin:$PATH\n");
    let scene = Scene::napping(4, 1);
    let said = scene.at(&sshd, "").unreachable(SECONDS);
    assert!(
        said.contains("its machine is aarch64 with Linux, and this flowhost is built for x86_64-"),
        "{said}"
    );
    // As the message stands in a JSON string or not.
    let said = said.replace('\\', "");
    assert!(said.contains("binary = { \"aarch64-unknown-linux-gnu\" = \"PATH\" }"), "{said}");
    assert_eq!(names(&cache(&sshd)), Vec::<String>::new());
}

/// The head of a program for aarch64 and Linux, as far as a kernel looks before it says no.
fn aarch64() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    // An executable for machine 183, in version 1.
    elf.extend([2, 0, 183, 0, 1, 0, 0, 0]);
    // Entered at 0x400078; one program header behind this one.
    elf.extend(0x0040_0078_u64.to_le_bytes());
    elf.extend(64_u64.to_le_bytes());
    elf.extend([0; 12]);
    elf.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // To be loaded as a whole, to be read and executed.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, 0x0040_0000, 0x0040_0000, 124_u64, 124, 0x1000] {
        elf.extend(field.to_le_bytes());
    }
    // A return.
    elf.extend([0xc0, 0x03, 0x5f, 0xd6]);
    elf
}

#[test]
fn s5_a_program_for_another_machine_is_put_nowhere() {
    let sshd = Sshd::start();
    let scene = Scene::napping(4, 1);
    scene.place.file("arm", aarch64());
    let said = scene.at(&sshd, "binary = { \"x86_64-unknown-linux-gnu\" = \"arm\" }").unreachable(SECONDS);
    let path = scene.place.path().join("arm");
    assert!(said.contains(&format!("`{}` was put there and does not run", path.display())), "{said}");
    assert!(said.contains("Exec format error") && said.contains("name it in `binary`"), "{said}");
    assert_eq!(names(&cache(&sshd)), Vec::<String>::new());
}

/// A node in memory forgets all when it is restarted.
#[test]
fn s5_a_program_that_is_gone_since_it_was_put_there_is_put_there_again() {
    let mut sshd = Sshd::with_mounts(&[("~", "")]);
    let scene = Scene::napping(40, 200);
    let mut run = scene.on(&[sshd.node_toml("concurrency = 2")], "").run();
    run.until_count("\"attempt-ended\"", 4);
    sshd.kill();
    run.until("\"node-unreachable\"");
    sshd.restart();
    assert_eq!(names(Path::new(&cache(&sshd))), Vec::<String>::new());
    run.succeeds(40);
    assert!(is_deployed(&sshd), "{:?}", names(&cache(&sshd)));
}
