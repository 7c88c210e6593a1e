//! Runs of many branches.

use super::beside::{Measured, measured};
use crate::support::Place;

/// The most memory of a run of so many branches, in bytes.
fn peak(branches: u64) -> u64 {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            [tasks.one]
            run = "echo#answer"
            [groups.all]
            task = "one"
            for-each = {{ range = [0, {branches}] }}
            [tasks.last]
            run = "echo#answer"
            after = ["all"]
            [outputs]
            last = "${{last}}"
            "#
        ),
    );
    let Measured { ended, peak, .. } =
        measured(&mut place.command(["run", "workflow.toml", "--progress", "plain"]));
    assert_eq!(ended.code, 0, "{ended}");
    peak.own
}

#[test]
fn h4_a_million_branches_take_at_most_200_bytes_each() {
    // Compiled and read once, so that both do the same.
    peak(10);
    let (few, many) = (peak(1_000), peak(1_000_000));
    let each = many.saturating_sub(few) / 999_000;
    println!("{each} bytes a branch: {} and {} KiB", few >> 10, many >> 10);
    assert!(each <= 200, "{each} bytes a branch: {} and {} MiB", few >> 20, many >> 20);
}

#[test]
fn files_are_read_little_further_ahead_than_they_are_used() {
    let place = Place::new();
    place.guest("bench").file(
        "workflow.toml",
        r#"
        [components]
        bench = "bench.wasm"
        [tasks.one]
        run = "bench#noop"
        with = { argument = { file = "${item.path}" } }
        [groups.all]
        task = "one"
        for-each = { files = "large-*" }
        [outputs]
        "#,
    );
    // Four times as many as execute at once.
    let at_once =
        std::thread::available_parallelism().map_or(1, usize::from).saturating_mul(4).max(16) as u64;
    let (files, length) = (4 * at_once, 16 << 20);
    for file in 0..files {
        let name = place.path().join(format!("large-{file}"));
        std::fs::File::create(name).unwrap().set_len(length).unwrap();
    }
    let Measured { ended, peak, .. } =
        measured(&mut place.command(["run", "workflow.toml", "--progress", "plain"]));
    assert_eq!(ended.code, 0, "{ended}");
    println!("{peak}");
    assert!(peak.own < files * length / 2, "{peak}");
}
