//! What a child costs that does nothing.

use bytes::Bytes;

use super::product::Crew;
use super::table::{Bound, Table};

const ROUNDS: usize = 5;

/// What the system says of a process's memory: bytes that no other process shares, and its part of all.
fn memory(child: u32) -> [f64; 2] {
    let rollup = std::fs::read_to_string(format!("/proc/{child}/smaps_rollup")).unwrap();
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap()
    };
    [kib("Private_Clean:") + kib("Private_Dirty:"), kib("Pss:")].map(|kib| kib / 1024.0)
}

/// This process's children that execute attempts.
fn children() -> Vec<u32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end meanwhile, and a child.
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let all: String = threads.flatten().filter_map(of).collect();
    let executes = |id: &u32| {
        let is_it = |word: &[u8]| word == flowhost::executor::CHILD_SUBCOMMAND.as_bytes();
        let line = std::fs::read(format!("/proc/{id}/cmdline"));
        line.is_ok_and(|line| line.split(|byte| *byte == 0).any(is_it))
    };
    all.split_whitespace().map(|id| id.parse().unwrap()).filter(executes).collect()
}

pub(crate) fn measure(table: &Table) {
    // Another one has the program in memory as well, as the parent has where flowhost runs.
    let mut other = Crew::new();
    let call = |crew: &mut Crew| crew.call(&Bytes::from_static(&[b'x'; 64]));
    call(&mut other);
    let others = children();
    let (mut fresh, mut used, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut crew = Crew::new();
        let of_crew = || {
            let mut started = children();
            started.retain(|id| !others.contains(id));
            assert_eq!(started.len(), 1, "children that were started");
            memory(started[0])
        };
        let [private, _] = of_crew();
        fresh.push(private);
        call(&mut crew);
        let [private, share] = of_crew();
        used.push(private);
        shares.push(share);
    }
    table.row("a child that waits: memory of its own before its first attempt", fresh, "MiB", Bound::None);
    table.row("a child that waits: memory of its own after it", used, "MiB", Bound::None);
    table.row("a child that waits: with its part of what two of them share", shares, "MiB", Bound::None);
}
