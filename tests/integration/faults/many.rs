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
