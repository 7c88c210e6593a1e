//! R2, R3, R4, R12: workers that are stopped, slow, stuck or cut off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{HANGS, Scene};
use crate::support::{Proxy, Redis, Worker, until};

/// A figure of a worker that serves its figures, by the address that it said.
fn figure(worker: &Worker, name: &str) -> f64 {
    let said = worker.said();
    let address = said.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("no address of its figures: {said}"));
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let value =
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name}: {answer}"))
}

#[test]
fn r2_a_worker_stopped_past_its_lease_is_fenced_and_counted() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(1, 1_500);
    let flags = ["--lease", "2s", "--metrics", "127.0.0.1:0"];
    let mut stale = scene.worker(&redis, "stale", &flags);
    let run = scene.run(&redis);
    until(HANGS, "the first execution", || scene.begun() == 1);
    stale.stop();
    let fresh = scene.worker(&redis, "fresh", &flags);
    until(HANGS, "the second execution", || scene.begun() == 2);
    stale.cont();
    run.succeeds(1);
    scene.has_one_outcome_each(1);
    until(HANGS, "the count of what was fenced", || figure(&stale, "flowhost_fenced_total") >= 1.0);
    assert_eq!(figure(&fresh, "flowhost_fenced_total"), 0.0);
    assert_eq!(figure(&stale, "flowhost_fenced_total"), 1.0);
    assert!(stale.lives(), "{}", stale.said());
    // It is of use again.
    drop(fresh);
    let again = Scene::marking(2, 1);
    let worker = again.worker(&redis, "another", &["--lease", "2s"]);
    again.run(&redis).succeeds(2);
    drop(worker);
}

#[test]
fn r3_a_task_ten_times_longer_than_its_lease_is_delivered_once() {
    let redis = Redis::start(&[]);
    let scene = Scene::marking(3, 20_000);
    let _one = scene.worker(&redis, "one", &["--lease", "2s", "--concurrency", "3"]);
    let run = scene.run(&redis);
    until(HANGS, "the executions", || scene.begun() == 3);
    // It would take whatever seems to be abandoned.
    let _two = scene.worker(&redis, "two", &["--lease", "2s"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let cores = thread::available_parallelism().unwrap().get();
        for _ in 0..2 * cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        run.succeeds(3);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
    assert_eq!(scene.lost(), 0);
}

#[test]
fn r4_a_stuck_task_times_out_and_its_worker_holds_it_no_longer() {
    let redis = Redis::start(&[]);
    for (function, with) in [("spin", ""), ("sleep", "with = { ms = 600_000 }")] {
        let scene = Scene::of(&format!(
            r#"
            [tasks.stuck]
            run = "failing#{function}"
            {with}
            limits = {{ timeout = "3s" }}
            [tasks.next]
            run = "echo#answer"
            [outputs]
            next = "${{next}}"
            "#
        ));
        let _worker = scene.worker(&redis, function, &["--lease", "1s"]);
        let ran = scene.run(&redis).end();
        assert_eq!((ran.code, ran.stdout.trim()), (Some(100), "{\"next\":42}"), "{function}: {ran}");
        let ended = |line: &&String| line.contains("\"attempt-ended\"") && line.contains("\"stuck\"");
        let ended: Vec<&String> = ran.lines.iter().filter(ended).collect();
        assert!(ended.len() == 1 && ended[0].contains("\"timed-out\""), "{function}: {ended:?}");
        assert_eq!(scene.held(&redis), [], "{function}: it is still held");
        assert_eq!(scene.queued(&redis), 0, "{function}");
    }
}

#[test]
fn r12_a_worker_cut_off_from_redis_stops_and_another_finishes() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::to(redis.port());
    let scene = Scene::marking(1, 8_000);
    let mut cut = scene.worker_at(&proxy.url(), &redis, "cut", &["--lease", "2s"]);
    let run = scene.run(&redis);
    until(HANGS, "the first execution", || scene.begun() == 1);
    proxy.freeze();
    let fresh = scene.worker(&redis, "fresh", &["--lease", "2s"]);
    until(HANGS, "the second execution", || scene.begun() == 2);
    run.succeeds(1);
    scene.has_one_outcome_each(1);
    // The one that was cut off began first, and gave it up.
    assert_eq!(scene.executions()[&0], (2, 1));
    assert!(cut.lives(), "{}", cut.said());
    drop(fresh);
    proxy.restore();
    fs_clear(&scene);
    let again = scene.run(&redis);
    until(HANGS, "the execution by the one that is back", || scene.begun() == 1);
    again.succeeds(1);
}

fn fs_clear(scene: &Scene) {
    for entry in std::fs::read_dir(scene.place.path().join("marks")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

/// Connections that end, again and again, cost nothing but time.
#[test]
fn r12_connections_that_break_are_made_anew() {
    let redis = Redis::start(&[]);
    let proxies = [(); 2].map(|()| Proxy::to(redis.port()));
    let scene = Scene::marking(60, 100);
    let [to_worker, to_run] = &proxies;
    let _worker = scene.worker_at(&to_worker.url(), &redis, "one", &["--concurrency", "2"]);
    let mut run = scene.run_at(&to_run.url(), &[]);
    for round in 1..6 {
        run.until_count("\"task-ended\"", round * 8);
        for proxy in &proxies {
            proxy.cut();
        }
        thread::sleep(Duration::from_millis(300));
        for proxy in &proxies {
            proxy.restore();
        }
    }
    run.succeeds(60);
    scene.has_one_outcome_each(60);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
}
