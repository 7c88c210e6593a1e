//! Measures that need a process of their own, because a peak of memory is the process's. The
//! benchmark starts itself again and reads the child's figures from its standard output. And what the
//! system says that a process used.

use std::process::Command;

const CHILD: &str = "FLOWHOST_BENCH_CHILD";

/// Runs what this process was started for, if it is a child, and says whether it was.
pub(crate) fn is_one() -> bool {
    let Ok(what) = std::env::var(CHILD) else { return false };
    if let Some(("echo", size)) = what.split_once(' ') {
        super::payloads::echo(size.parse().unwrap());
        return true;
    }
    let figures = match what.split_once(' ') {
        Some(("branches", count)) => super::million::in_child(count.parse().unwrap()),
        Some(("bytes", count)) => super::values::in_child(count.parse().unwrap()),
        _ => panic!("no child does {what}"),
    };
    println!("{}", figures.map(|figure| figure.to_string()).join(" "));
    true
}

/// A child that does `what`, to be started.
pub(crate) fn command(what: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD, what);
    command
}

/// The figures of a child that does `what`.
pub(crate) fn figures(what: &str) -> [f64; 2] {
    let child = command(what).output().unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{what}: {}", String::from_utf8_lossy(&child.stderr));
    let figures: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
    figures.try_into().unwrap()
}

/// The most memory that this process had resident, or has now, in bytes.
pub(crate) fn memory(peak: bool) -> f64 {
    let name = if peak { "VmHWM:" } else { "VmRSS:" };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

/// Processor time that this process used so far, all threads together, in seconds. Unlike the clock on
/// the wall it does not care what else the machine does.
pub(crate) fn processor() -> f64 {
    // utime and stime of proc(5), in ticks of which Linux counts 100 a second on every platform.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}
