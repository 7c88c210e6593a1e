//! Children that end where nobody expects it: by signals, by the kernel, before they began. What they had in
//! hand is done by others, once.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flowhost::wire::{HEARTBEAT, LOST};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::bytes::next;
use crate::children::{Running, moved, pid, sleepers, soon, status, workers};
use crate::control_group::Group;
use crate::recorded::history;
use crate::support::{Gate, Place, ended};

/// What `burn` returns after so many rounds, and after each of the next `count`.
fn burnt(rounds: usize, count: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let after = std::iter::from_fn(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state)
    });
    after.skip(rounds - 1).take(count).collect()
}

/// Kills a random child of a run every 50 ms until the run ends, as long as what it `ended` grows: on a slow machine
/// children need longer to start, and a run that gets none to work gives up. How many, and how many of these had not
/// begun to work.
fn kill_children(running: &mut Running, ended: &AtomicUsize, mut seed: u64) -> (usize, usize) {
    /// Fewer in a row keep no run from going on.
    const IN_VAIN: usize = 5;
    let run = running.child.id();
    let (mut killed, mut starting) = (0, 0);
    let (mut seen, mut in_vain) = (0, 0);
    while running.child.try_wait().unwrap().is_none() {
        let now = ended.load(Ordering::Relaxed);
        in_vain = if now > seen { 0 } else { in_vain };
        seen = now;
        let all = if in_vain < IN_VAIN { workers(run) } else { Vec::new() };
        let one = usize::try_from(next(&mut seed) >> 33).unwrap() % all.len().max(1);
        if let Some(worker) = all.get(one) {
            let threads = fs::read_dir(format!("/proc/{worker}/task")).map_or(0, Iterator::count);
            // It may have ended by itself.
            let hit = kill_process(pid(*worker), Signal::KILL).is_ok();
            killed += usize::from(hit);
            in_vain += usize::from(hit);
            starting += usize::from(hit && threads <= 3);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    (killed, starting)
}

#[test]
fn c1_ten_thousand_branches_have_one_outcome_each_while_children_are_killed() {
    const BRANCHES: usize = 10_000;
    const ROUNDS: usize = 100_000;
    let place = Place::new();
    place.guest("bench").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            bench = "bench.wasm"
            [tasks.burn]
            run = "bench#burn"
            with = {{ iterations = "${{item}}" }}
            [groups.burns]
            task = "burn"
            for-each = {{ range = [{ROUNDS}, {}] }}
            executor = "process"
            [outputs]
            burns = {{ value = "${{burns}}", file = "burns.json" }}
            "#,
            ROUNDS + BRANCHES
        ),
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("\"task-ended\"");
    let ended = Arc::<AtomicUsize>::default();
    let events = running.lines_aside(Arc::clone(&ended));
    let (killed, starting) = kill_children(&mut running, &ended, 7);
    let status = running.child.wait().unwrap();
    let said = events.join().unwrap();
    let last = said.last().map_or("", String::as_str);
    assert_eq!(status.code(), Some(0), "{killed} were killed, {starting} before they worked: {last}");
    assert!(killed > 10, "only {killed} children were killed");
    println!("{killed} children were killed, {starting} of them before they worked");
    let ends = said.iter().filter(|line| line.contains("\"task-ended\"")).count();
    assert_eq!(ends, BRANCHES - 1, "the first was read before");
    let values: Value = serde_json::from_str(&place.read("burns.json")).unwrap();
    let values: Vec<u64> = values.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect();
    assert!(values == burnt(ROUNDS, BRANCHES), "a value is not the one of its branch");
    // Reading it refuses a second outcome of a branch.
    let history = history(&place);
    let branches = &history.nodes["burns"].branches;
    assert_eq!(branches.len(), BRANCHES);
    assert!((0..BRANCHES).all(|index| branches.contains_key(&u32::try_from(index).unwrap())));
    let lost: u32 = branches.values().map(|branch| branch.lost).sum();
    assert!(lost as usize <= killed, "{lost} attempts were lost, and {killed} children killed");
    assert!(
        branches.values().all(|branch| branch.attempts == 1 + branch.lost),
        "more than what was lost ran again"
    );
}

#[test]
fn c1_children_that_are_killed_before_they_work_are_none_that_cannot_start() {
    let place = Place::new();
    sleepers(&place, 4, 300);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    let run = running.child.id();
    // Every child, as soon as it is there, and more of them than may fail by themselves.
    let mut killed = std::collections::BTreeSet::new();
    soon(Duration::from_secs(60), "killing children that start", || {
        for worker in workers(run) {
            if kill_process(pid(worker), Signal::KILL).is_ok() {
                killed.insert(worker);
            }
        }
        killed.len() >= 25
    });
    let ended = running.until("\"run-ended\"");
    assert!(ended.contains("\"succeeded\":4"), "{ended}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

/// A task `large` on `process` that begins when `nap` is let go on, beside `other`. Each has a child, and all have the same
/// kind of children.
fn beside_others(large: &str) -> (Place, [Gate; 2]) {
    let (place, [nap, other]) = (Place::new(), [(); 2].map(|()| Gate::closed()));
    place.guest("reach").guest("failing").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = "reach.wasm"
            failing = "failing.wasm"
            [defaults]
            executor = "process"
            grants = {{ net = ["{}", "{}"] }}
            [tasks.nap]
            {}
            [tasks.other]
            {}
            [tasks.large]
            {large}
            after = ["nap"]
            "#,
            nap.address(),
            other.address(),
            nap.waits(),
            other.waits()
        ),
    );
    (place, [nap, other])
}

#[test]
fn c1_a_child_that_the_kernel_kills_for_its_memory_is_lost_alone() {
    let (place, [nap, other]) =
        beside_others("run = \"failing#take-memory\"\nwith = { bytes = 200_000_000 }");
    let group = Group::of_at_most(64 << 20);
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    running.until("attempt-started");
    // Those that are there share 64 MiB from here on. One that is started later does not.
    let there = workers(running.child.id());
    there.iter().for_each(|worker| group.take(*worker));
    nap.open();
    let lost = running.until("\"lost\"");
    assert!(lost.contains("\"large\"") && lost.contains("was killed by signal 9"), "{lost}");
    let again = running.until("\"attempt-ended\"");
    assert!(again.contains("\"large\"") && again.contains("\"succeeded\""), "{again}");
    other.open();
    let ended = running.until("\"run-ended\"");
    assert!(ended.contains("\"succeeded\":3"), "{ended}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert_eq!(group.killed(), 1, "it was not the kernel");
    let history = history(&place);
    let lost = |name: &str| history.nodes[name].branches[&0].lost;
    assert_eq!((lost("large"), lost("other"), lost("nap")), (1, 0, 0));
}

#[test]
fn g3_a_child_that_takes_more_memory_than_it_may_is_lost_alone() {
    let (place, [nap, other]) = beside_others("run = \"failing#big-output\"\nwith = { bytes = 60_000_000 }");
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    running.until("attempt-started");
    // What the limit would have to be for the process itself to exceed it: the guest's own is kept.
    for worker in workers(running.child.id()) {
        let allocated = status(worker, "VmData");
        let allocated: u64 = allocated.split(' ').next().unwrap().parse().unwrap();
        let limit = allocated * 1024 + (68 << 20);
        let limit = rustix::process::Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::prlimit(Some(pid(worker)), rustix::process::Resource::Data, limit).unwrap();
    }
    nap.open();
    let lost = running.until("\"lost\"");
    assert!(lost.contains("memory allocation of") && lost.contains("\"large\""), "{lost}");
    let again = running.until("\"attempt-ended\"");
    assert!(again.contains("\"succeeded\"") && again.contains("\"large\""), "{again}");
    other.open();
    let ended = running.until("\"run-ended\"");
    assert!(ended.contains("\"succeeded\":3"), "{ended}");
}

#[test]
fn a_run_that_is_stopped_for_a_while_goes_on_with_its_children() {
    let place = Place::new();
    sleepers(&place, 4, 1_000);
    // Each takes less, though nobody hears of it in time.
    place.file("workflow.toml", place.read("workflow.toml") + "limits = { timeout = \"3s\" }");
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    let run = pid(running.child.id());
    kill_process(run, Signal::STOP).unwrap();
    // Longer than workers elsewhere wait for a client that says nothing.
    std::thread::sleep(LOST + HEARTBEAT);
    kill_process(run, Signal::CONT).unwrap();
    let events = std::iter::from_fn(|| running.next()).collect::<Vec<_>>();
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "{events:#?}");
    let ends = events.iter().filter(|event| event.contains("\"attempt-ended\"")).count();
    assert_eq!(ends, 4, "{events:#?}");
}

#[test]
fn children_that_are_there_go_on_where_no_more_can_be_started() {
    let place = Place::new();
    sleepers(&place, 40, 100);
    let (mut command, program) = moved(&place);
    let mut running = Running::start(&mut command);
    running.until("attempt-started");
    // Others would be started beside those that wait.
    fs::remove_file(program).unwrap();
    let began = Instant::now();
    let ended = running.until("\"run-ended\"");
    assert!(ended.contains("\"succeeded\":40"), "{ended}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
}

#[test]
fn what_was_handed_over_behind_a_long_attempt_is_done_by_another() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.wait]
        run = "failing#sleep"
        with = { ms = "${item}" }
        [groups.waiting]
        task = "wait"
        # The first ones show that they take no time, so that many are handed over together.
        for-each = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        concurrency = 16
        executor = "process"
        limits = { timeout = "4s" }
        on-failure = "continue"
        "#,
    );
    let began = Instant::now();
    let ended = ended(place.command(["run", "workflow.toml", "--progress", "json"]).arg("--no-journal"));
    let ends =
        crate::groups::events(&ended.stderr).into_iter().filter(|event| event["event"] == "task-ended");
    let outcomes: Vec<_> = ends.map(|event| event["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes.len(), 32, "{ended}");
    assert_eq!(outcomes.last().map(String::as_str), Some("timed-out"), "others waited for it: {ended}");
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
}

#[test]
fn children_hear_of_a_run_whose_disk_takes_long_to_make_code_durable() {
    let (place, elsewhere) = (Place::new(), Place::new());
    sleepers(&place, 3, 1);
    let run = place.command(["run", "workflow.toml", "--progress", "json", "--no-journal"]);
    // Every `fsync` takes longer than anybody is waited for who says nothing.
    let mut slow = Command::new("strace");
    slow.args(["--follow-forks", "--seccomp-bpf", "--quiet=attach", "--output=calls"]);
    slow.args(["--trace=fsync", "--inject=fsync:delay_enter=8s"]);
    slow.arg(run.get_program()).args(run.get_args()).current_dir(place.path()).stdin(Stdio::null());
    slow.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Nothing is compiled there yet.
    let ended = ended(slow.env("XDG_CACHE_HOME", elsewhere.path()));
    assert_eq!(ended.code, 0, "{ended}");
    let calls = place.read("calls");
    assert!(calls.contains("(DELAYED)"), "{calls}");
    // As children do whose run is silent.
    assert!(!calls.contains("exited with 1"), "{calls}");
}
