//! Branches in children, against GNU Parallel, which starts a process for each: what people use who have a
//! program and ten thousand arguments.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cores;
use super::groups::{BRANCHES, no_ops};
use super::product::Product;
use super::table::{Bound, Table};

const ROUNDS: usize = 3;

/// Enough that the start of GNU Parallel, a fifth of a second, is little beside them.
const JOBS: u32 = 2_000;

/// Runs `true` for so many arguments. Its fastest form: arguments from a file, as many jobs at once as there
/// are cores, output that goes straight through instead of into a file for each job, and the shell that
/// starts quickest.
fn parallel(file: &std::path::Path) -> std::io::Result<Duration> {
    let began = Instant::now();
    let status = Command::new("parallel")
        .args(["--will-cite", "--ungroup", "--jobs", &cores().to_string(), "true", "::::"])
        .arg(file)
        .env("PARALLEL_SHELL", "/bin/sh")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    assert!(status.success(), "parallel {status}");
    Ok(began.elapsed())
}

/// Whether `parallel` is GNU's: moreutils has another of that name.
fn is_there() -> bool {
    let said = Command::new("parallel").args(["--will-cite", "--version"]).stderr(Stdio::null()).output();
    said.is_ok_and(|said| said.stdout.starts_with(b"GNU parallel"))
}

pub(crate) fn measure(table: &Table) {
    const AGAINST: &str = "no-op in children: branches a second, against GNU Parallel";
    if !is_there() {
        return table.lacks(AGAINST, "there is no GNU Parallel: install the apt package `parallel`");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arguments");
    std::fs::write(&file, (0..JOBS).map(|job| format!("{job}\n")).collect::<String>()).unwrap();
    let product = Product::new(&no_ops(BRANCHES, "executor = \"process\""));
    parallel(&file).unwrap();
    product.run();
    let (mut jobs, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let job = parallel(&file).unwrap().as_secs_f64() / f64::from(JOBS);
        let branch = product.run().as_secs_f64() / f64::from(BRANCHES);
        jobs.push(job * 1e3);
        ratios.push(job / branch);
    }
    table.row("GNU Parallel running `true`: a job", jobs, "ms", Bound::None);
    table.row(AGAINST, ratios, "times as many", Bound::AtLeast(100.0));
}
