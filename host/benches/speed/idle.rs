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
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap();
    let all: String = threads.map(|thread| of(thread.unwrap())).collect();
    let executes = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap();
        line.split(|byte| *byte == 0).any(|word| word == flowhost::executor::CHILD_SUBCOMMAND.as_bytes())
    };
    all.split_whitespace().map(|id| id.parse().unwrap()).filter(executes).collect()
}

pub(crate) fn measure(table: &Table) {
    let (mut fresh, mut used, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut crew = Crew::new();
        let only = || match children()[..] {
            [child] => memory(child),
            ref others => panic!("there are {} children", others.len()),
        };
        let [private, _] = only();
        fresh.push(private);
        crew.call(&Bytes::from_static(&[b'x'; 64]));
        let [private, share] = only();
        used.push(private);
        shares.push(share);
    }
    table.row("a child that waits: memory of its own before its first attempt", fresh, "MiB", Bound::None);
    table.row("a child that waits: memory of its own after it", used, "MiB", Bound::None);
    table.row("a child that waits: its part of all memory after it", shares, "MiB", Bound::None);
}
