//! Servers as they are found in the world: with TLS, users, several databases, as a cluster, behind a Sentinel.

use std::process::{Command, Stdio};

use super::{HANGS, Run, Scene};
use crate::support::{Cluster, Redis, Worker, ended, until};

#[test]
fn tls_works_with_the_authority_that_is_given_and_with_no_other() {
    let redis = Redis::encrypted();
    let (url, authority) = redis.tls();
    let scene = Scene::marking(10, 1);
    // A file's paths stay below its folder.
    scene.place.file("authority.pem", std::fs::read(&authority).unwrap());
    let authority = authority.display().to_string();
    let _worker = scene.worker_at(&url, &redis, "one", &["--ca", &authority]);
    let executor = format!("[executors.fleet]\nkind = \"redis\"\nurl = \"{url}\"\nca = \"authority.pem\"\n");
    let workflow = scene.place.read("workflow.toml");
    scene.place.file("workflow.toml", format!("{executor}{workflow}"));
    let run = |place: &crate::support::Place| {
        Run::start(&mut place.command(["run", "workflow.toml", "--executor", "fleet", "--progress", "json"]))
    };
    run(&scene.place).succeeds(10);
    // Nobody else vouches for it.
    let untrusted = format!("[executors.fleet]\nkind = \"redis\"\nurl = \"{url}\"\n");
    scene.place.file("workflow.toml", format!("{untrusted}{workflow}"));
    let ran = run(&scene.place).end();
    assert_eq!(ran.code, Some(102), "{ran}");
    assert!(ran.lines.join("\n").to_lowercase().contains("certificate"), "{ran}");
    let refused = scene.place.flowhost(["worker", "--redis", &url]);
    assert!(refused.code == 102 && refused.stderr.to_lowercase().contains("certificate"), "{refused}");
}

#[test]
fn user_password_and_database_come_in_the_url_and_the_password_is_never_shown() {
    for user in ["default", "somebody"] {
        let redis = Redis::secured(user, "hunter2");
        let scene = Scene::marking(10, 1);
        let url = format!("{}/3", redis.url());
        let worker = {
            let flags = scene.worker_flags(&[]);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let worker = Worker::spawn(&mut Worker::command(&scene.place, &url, "one", &flags), "one");
            until(HANGS, "the worker", || {
                let mut connection = redis::Client::open(&*url).unwrap().get_connection().unwrap();
                let keys = redis::cmd("KEYS").arg("*:worker:*").query::<Vec<String>>(&mut connection);
                !keys.unwrap().is_empty()
            });
            worker
        };
        let ran = scene.run_at(&url, &[]).succeeds(10);
        assert_eq!(redis.command::<u32>(&["DBSIZE"]), 0, "another database was touched");
        assert!(!ran.to_string().contains("hunter2") && !worker.said().contains("hunter2"), "{ran}");
        // Without it, it is said what is wrong.
        let wrong = url.replace("hunter2", "hunter3");
        let ran = scene.run_at(&wrong, &[]).end();
        let said = ran.lines.join("\n");
        assert_eq!(ran.code, Some(102), "{ran}");
        assert!(said.contains("password in its URL is wrong") && !said.contains("hunter3"), "{said}");
        let refused = scene.place.flowhost(["worker", "--redis", &wrong]);
        assert!(refused.code == 102 && !refused.stderr.contains("hunter3"), "{refused}");
        assert!(refused.stderr.contains("password in its URL is wrong"), "{refused}");
    }
}

#[test]
fn a_cluster_of_three_masters_works_with_queues_on_each() {
    let cluster = Cluster::start();
    let servers: Vec<&Redis> = cluster.masters().iter().collect();
    let url = cluster.url();
    // So many names that they are spread over the masters.
    let queues: Vec<String> = (0..6).map(|queue| format!("queue-{queue}")).collect();
    let scene = Scene::marking(30, 10);
    let workflow = scene.place.read("workflow.toml");
    let mut flags = scene.worker_flags(&["--concurrency", "4", "--lease", "2s"]);
    for queue in &queues {
        flags.extend(["--queue".to_owned(), queue.clone()]);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut worker = Worker::reaching(&scene.place, &url, &servers, "one", &flags);
    let mut served = std::collections::BTreeSet::new();
    for (at, queue) in queues.iter().enumerate() {
        let executor = format!("[executors.fleet]\nkind = \"redis\"\nurl = \"{url}\"\nqueue = \"{queue}\"\n");
        let (first, end) = (at * 100, at * 100 + 30);
        let range = workflow.replace("range = [0, 30]", &format!("range = [{first}, {end}]"));
        scene.place.file("workflow.toml", format!("{executor}{range}"));
        let mut command =
            scene.place.command(["run", "workflow.toml", "--executor", "fleet", "--progress", "json"]);
        let ran = Run::start(&mut command).end();
        assert_eq!(ran.code, Some(0), "{queue}: {ran}");
        let tasks = scene.keys.tasks().replace(":default}", &format!(":{queue}}}"));
        served.extend(servers.iter().position(|server| server.ask::<u32>(&["XLEN", &tasks]).is_ok()));
    }
    assert!(served.len() > 1, "all queues are on one master");
    assert_eq!(scene.executions().len(), 180);
    assert!(scene.executions().values().all(|times| *times == (1, 1)), "{:?}", scene.executions());
    assert!(worker.lives(), "{}", worker.said());
}

#[test]
fn a_sentinel_is_refused_and_it_is_said_what_to_give_instead() {
    let main = Redis::start(&[]);
    let scene = Scene::marking(1, 1);
    let port = crate::support::free_port();
    let watched = format!("port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n", main.port());
    scene.place.file("sentinel.conf", watched);
    let mut command = Command::new("redis-server");
    command.args(["sentinel.conf", "--sentinel"]).current_dir(scene.place.path());
    let mut sentinel = command.stdout(Stdio::null()).spawn().unwrap();
    until(HANGS, "the Sentinel", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("redis://127.0.0.1:{port}");
    let ran = scene.run_at(&url, &[]).end();
    let refused = ended(&mut Worker::command(&scene.place, &url, "one", &[]));
    sentinel.kill().unwrap();
    sentinel.wait().unwrap();
    assert_eq!(ran.code, Some(102), "{ran}");
    assert!(ran.lines.join("\n").contains("it is a Sentinel"), "{ran}");
    assert!(refused.code == 102 && refused.stderr.contains("it is a Sentinel"), "{refused}");
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_address() {
    let scene = Scene::marking(1, 1);
    let url = format!("redis://somebody:hunter2@127.0.0.1:{}", crate::support::free_port());
    let ran = scene.run_at(&url, &[]).end();
    assert_eq!(ran.code, Some(102), "{ran}");
    let said = ran.lines.join("\n");
    assert!(said.contains("is it running?") && !said.contains("hunter2"), "{said}");
    let refused = scene.place.flowhost(["worker", "--redis", &url]);
    assert!(refused.code == 102 && refused.stderr.contains("is it running?"), "{refused}");
    assert!(!refused.stderr.contains("hunter2"), "{refused}");
}
