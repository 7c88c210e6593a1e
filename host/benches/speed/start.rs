//! Whole processes: what one short run costs when its component is compiled already.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::component::component;
use super::table::{Bound, Table};

const ROUNDS: usize = 300;

pub(crate) fn measure(table: &Table) {
    // Compiled code never lies beside the workflow.
    let [folder, cache] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    std::fs::copy(component(), folder.path().join("bench.wasm")).unwrap();
    let workflow = r#"
        [components]
        bench = "bench.wasm"
        [tasks.one]
        run = "bench#noop"
        with = { argument = { text = "hello" } }
        "#;
    std::fs::write(folder.path().join("workflow.toml"), workflow).unwrap();
    let time = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowhost"));
        command.args(words).current_dir(folder.path()).env("XDG_CACHE_HOME", cache.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        assert!(command.status().unwrap().success(), "{words:?}");
        began.elapsed()
    };
    let version = || time(&["--version"]);
    let check = || time(&["check", "workflow.toml"]);
    let run = || time(&["run", "--progress", "none", "workflow.toml"]);
    let beside = || time(&["run", "--progress", "none", "--executor", "process", "workflow.toml"]);
    run();
    let ms = |elapsed: Duration| elapsed.as_secs_f64() * 1e3;
    let (mut versions, mut checks, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut besides, mut additions) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        versions.push(ms(version()));
        checks.push(ms(check()));
        runs.push(ms(run()));
        besides.push(ms(beside()));
        let last = |times: &[f64]| times[times.len() - 1];
        ratios.push(last(&runs) / last(&versions));
        additions.push((last(&besides) - last(&runs)) / last(&versions));
    }
    table.row("process: flowhost --version", versions, "ms", Bound::None);
    table.row("process: flowhost check, one task", checks, "ms", Bound::None);
    table.row("process: flowhost run, one task, code cached", runs, "ms", Bound::None);
    table.row("process: that run against --version", ratios, "times", Bound::AtMost(8.0));
    table.row("process: the same run with executor = \"process\"", besides, "ms", Bound::None);
    table.row("process: what it takes more, against --version", additions, "times", Bound::AtMost(4.0));
}
