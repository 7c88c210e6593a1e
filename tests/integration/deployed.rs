//! flowhost as it is built to be put on nodes: it runs where there is nothing but a kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use flowhost::digest::Digest;
use flowhost_tests::{DEPLOYABLE, Sshd, deployable};

use crate::support::{Ended, Place, Server, ended, repository};

/// So many MiB may it grow or shrink until docs/executors.md has to say so.
const OFF: u64 = 3;

/// Whether a program asks for another that loads it, by its program headers (ELF-64).
fn has_interpreter(program: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    assert_eq!(&program[..5], b"\x7fELF\x02");
    let number = |at: usize| usize::from(u16::from_le_bytes(program[at..at + 2].try_into().unwrap()));
    let first = u64::from_le_bytes(program[0x20..0x28].try_into().unwrap()) as usize;
    let (size, count) = (number(0x36), number(0x38));
    let kind = |at: usize| u32::from_le_bytes(program[first + at * size..][..4].try_into().unwrap());
    (0..count).any(|at| kind(at) == INTERPRETER)
}

/// Runs it with nothing in its environment but a folder for what it compiles.
fn alone(program: &Path, place: &Place, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program);
    ended(command.args(arguments).env_clear().env("XDG_CACHE_HOME", place.path()).current_dir(place.path()))
}

#[test]
fn it_is_whole_in_itself_and_is_put_where_the_file_says() {
    let program = deployable();
    let bytes = fs::read(&program).unwrap();
    assert!(!has_interpreter(&bytes));
    assert!(has_interpreter(&fs::read("/bin/sh").unwrap()), "or the reader of headers is broken");
    let documented = fs::read_to_string(repository().join("docs/executors.md")).unwrap();
    assert!(documented.contains(DEPLOYABLE), "docs/executors.md says how it is built");
    let (_, said) = documented.split_once("It has some ").unwrap();
    let said: u64 = said.split(' ').next().unwrap().parse().unwrap();
    let size = bytes.len() as u64 >> 20;
    assert!(size.abs_diff(said) <= OFF, "docs/executors.md says {said} MiB, it has {size} MiB");

    let (sshd, server) = (Sshd::start(), Server::http());
    let place = Place::on("ssh");
    let origin = server.origin();
    place.guest("fetch").file(
        "workflow.toml",
        format!(
            r#"
[components]
fetch = "fetch.wasm"
[executors.ssh]
nodes = [{}]
binary = {{ "x86_64-unknown-linux-gnu" = "{}" }}
[tasks.one]
run = "fetch#get"
with = {{ url = "{origin}/hello" }}
grants = {{ http = ["{origin}"] }}
[outputs]
one = "${{one}}"
"#,
            sshd.node_toml(""),
            program.display()
        ),
    );
    let ceiling = sshd.home().join(".config/flowhost");
    fs::create_dir_all(&ceiling).unwrap();
    fs::write(ceiling.join("worker.toml"), format!("allow = [\"http={origin}\"]\n")).unwrap();
    let looked = place.flowhost(["nodes", "workflow.toml"]);
    assert!(
        looked.code == 0 && looked.stdout.contains(&format!("put {} there", program.display())),
        "{looked}"
    );
    let run = place.run(["--progress", "none"]);
    assert_eq!((run.code, server.came()), (0, 1), "{run}");
    assert!(run.json()["one"].to_string().contains("hello"), "{run}");

    let there = fs::read_dir(sshd.home().join(".cache/flowhost/bin")).unwrap();
    let there: Vec<_> = there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let digest = Digest::of(&bytes);
    assert!(matches!(&there[..], [name] if name.ends_with(&digest.beginning())), "{there:?}");

    // Where nothing else is, not even a C library.
    let console = format!(
        "cd /root/.cache/flowhost && mkdir -p nothing/proc nothing/dev && mount --bind /proc nothing/proc && \
         cp bin/{0} nothing/{0} && chroot nothing /{0} --version; umount nothing/proc",
        there[0]
    );
    let console = sshd.console(&console);
    assert_eq!((console.code, console.stdout.contains(env!("CARGO_PKG_VERSION"))), (0, true), "{console}");
}

/// Lookups of names need the very C library that a program was built with.
#[test]
fn it_looks_up_no_names_and_says_so() {
    let (program, place, server) = (deployable(), Place::new(), Server::http());
    place.guest("fetch");
    let get = |origin: &str| {
        let (url, grant) = (format!("url={origin}/hello"), format!("--http={origin}"));
        alone(&program, &place, &["call", "fetch.wasm#get", "--progress=plain", "--with", &url, &grant])
    };
    let by_address = get(&server.origin());
    assert_eq!((by_address.code, server.came()), (0, 1), "{by_address}");
    let by_name = get(&format!("http://localhost:{}", server.port()));
    assert_eq!((by_name.code, server.came()), (100, 1), "{by_name}");
    let says = "this flowhost looks up no names: it is linked statically, to run on every Linux";
    assert!(by_name.stderr.contains(&format!("`localhost` cannot be looked up: {says}")), "{by_name}");

    let by_name = alone(&program, &place, &["worker", "--redis", "redis://localhost:1"]);
    assert!(by_name.code != 0 && by_name.stderr.contains(says), "{by_name}");
    let flags = ["worker", "--redis", "redis://127.0.0.1:1", "--metrics", "localhost:0"];
    let by_name = alone(&program, &place, &flags);
    assert!(by_name.code == 2 && by_name.stderr.contains(says), "{by_name}");
    let by_address = alone(&program, &place, &["workers", "--redis", "redis://127.0.0.1:1"]);
    assert!(by_address.code != 0 && by_address.stderr.contains("cannot be reached"), "{by_address}");
}
