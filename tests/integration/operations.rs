//! What is there to run workers with: images, services, and what scales them. What cannot be run here is
//! held to what flowhost knows of itself; docs/operations.md says what that is.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use flowhost::id::RunId;
use flowhost::manifest::duration;
use flowhost::queue::look;
use flowhost::queue::{Entry, Finish, Finished, GROUP, Held, Keys, Scripts};
use flowhost::wire::PROTOCOL;
use flowhost_tests::Redis;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, cmd};
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::{Place, ended, program, repository};

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn yaml(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is set in a unit, in order.
fn settings(unit: &str) -> Vec<(String, String)> {
    let lines = unit.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn setting<'s>(settings: &'s [(String, String)], name: &str) -> &'s str {
    let mut found = settings.iter().filter(|(known, _)| known == name);
    let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}="));
    assert!(found.next().is_none(), "{name}= is there twice");
    value
}

/// The variables that a worker knows.
fn variables() -> BTreeSet<String> {
    let help = Place::new().flowhost(["worker", "--help"]).stdout;
    help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap().to_owned()).collect()
}

#[test]
fn every_yaml_file_parses() {
    let mut git = Command::new("git");
    git.args(["ls-files", "-co", "--exclude-standard", "*.yaml", "*.yml"]).current_dir(repository());
    let listed = ended(&mut git);
    let files: Vec<&str> = listed.stdout.lines().collect();
    assert!(files.contains(&"compose.yaml") && files.contains(&"packaging/keda.yaml"), "{files:?}");
    for file in files {
        assert!(yaml(file).iter().all(|document| document.as_hash().is_some()), "{file}");
    }
}

#[test]
fn compose_has_redis_that_keeps_what_it_has_a_producer_and_three_workers() {
    let compose = &yaml("compose.yaml")[0];
    let services = &compose["services"];
    let redis = &services["redis"];
    let command: Vec<&str> =
        redis["command"].as_vec().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(command[..3], ["redis-server", "--appendonly", "yes"]);
    assert_eq!(redis["volumes"][0].as_str(), Some("redis:/data"));
    assert!(!compose["volumes"]["redis"].is_badvalue());
    assert_eq!(redis["healthcheck"]["test"][1].as_str(), Some("redis-cli"));
    // The server knows these words.
    let settings: Vec<&str> = command[1..].to_vec();
    drop(Redis::start(&settings));
    let worker = &services["worker"];
    assert_eq!(worker["deploy"]["replicas"].as_i64(), Some(3));
    let set = worker["environment"].as_hash().unwrap();
    let set: Vec<(&str, &str)> =
        set.iter().map(|(name, value)| (name.as_str().unwrap(), value.as_str().unwrap())).collect();
    assert!(set.contains(&("FLOWHOST_CONCURRENCY", "4")), "{set:?}");
    let known = variables();
    for (name, value) in &set {
        assert!(known.contains(*name), "a worker knows no {name}={value}");
    }
    let of = |name: &str| set.iter().find(|(known, _)| *known == name).unwrap().1;
    let grace = worker["stop_grace_period"].as_str().unwrap();
    assert!(duration(grace).unwrap() > duration(of("FLOWHOST_DRAIN")).unwrap());
    for service in ["worker", "producer"] {
        let target = services[service]["build"]["target"].as_str().unwrap();
        assert!(text("Dockerfile").contains(&format!(" AS {target}\n")), "{target}");
        let condition = &services[service]["depends_on"]["redis"]["condition"];
        assert_eq!(condition.as_str(), Some("service_healthy"));
    }
    // Whoever starts the producer starts the workers.
    assert!(!services["producer"]["depends_on"]["worker"].is_badvalue());
}

#[test]
fn the_image_is_the_worker_alone_and_not_roots() {
    let file = text("Dockerfile");
    let last = file.rsplit_once("\nFROM ").unwrap().1;
    assert_eq!(last.lines().next(), Some("base AS worker"));
    let (_, base) = file.split_once(" AS base\n").unwrap();
    let users: Vec<&str> = base.lines().filter(|line| line.starts_with("USER ")).collect();
    assert_eq!(users, ["USER nonroot"], "whoever stands on it is nobody else");
    let copied: Vec<&str> = last.lines().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(copied, ["COPY --from=build /src/target/release/flowhost /usr/local/bin/flowhost"]);
    assert!(last.contains("ENTRYPOINT [\"/usr/local/bin/flowhost\", \"worker\"]"), "{last}");
    // What it is built from is what everything else is built from.
    let toolchain = text("rust-toolchain.toml");
    let channel = toolchain.split_once("channel = \"").unwrap().1.split('"').next().unwrap();
    let from = file.split_once("FROM rust:").unwrap().1.split('-').next().unwrap();
    assert!(channel.starts_with(from), "{channel} is used, {from} is in the image");
    // What the producer takes from the repository is there.
    for path in ["examples/batch/penguins.csv", "examples/fleet/workflow.toml"] {
        assert!(file.contains(&format!("/src/{path} ")) && repository().join(path).is_file(), "{path}");
    }
}

/// Exactly what KEDA asks where a trigger names no consumer group: `XLEN` of its stream.
#[tokio::test]
async fn the_autoscalers_query_sees_what_waits_and_what_runs() {
    let documents = yaml("packaging/keda.yaml");
    let scaled = documents.iter().find(|it| it["kind"].as_str() == Some("ScaledObject")).unwrap();
    let trigger = &scaled["spec"]["triggers"][0];
    assert_eq!(trigger["type"].as_str(), Some("redis-streams"));
    let trigger = &trigger["metadata"];
    for other in ["consumerGroup", "pendingEntriesCount", "lagCount"] {
        assert!(trigger[other].is_badvalue(), "with {other}, KEDA asks something else");
    }
    assert!(trigger["streamLength"].as_str().unwrap().parse::<u32>().unwrap() > 0);
    let stream = trigger["stream"].as_str().unwrap();
    let keys = Keys::new("flowhost", PROTOCOL, "default").unwrap();
    assert_eq!(stream, keys.tasks(), "the protocol has another number now");

    let server = Redis::start(&[]);
    let mut connection = server.connect_async().await.unwrap();
    let scripts = Scripts::default();
    let run = RunId("20261121-094119-no0abl".into());
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    // As another program asks it.
    let asked = || {
        let answer = ended(Command::new("redis-cli").args(["-p", &port, "XLEN", stream]));
        answer.stdout.trim().parse::<u64>().unwrap_or_else(|_| panic!("{answer}"))
    };
    assert_eq!(asked(), 0);
    let _: () = connection.xgroup_create_mkstream(keys.tasks(), GROUP, "0").await.unwrap();
    scripts.begin(&mut connection, &keys.run(&run), "first", None, "{}").await.unwrap();
    let entries = ["a", "b", "c", "d", "e"].map(|it| Entry {
        attempt: it.to_owned(),
        call: "call".to_owned(),
        body: b"body".to_vec(),
        traceparent: None,
    });
    scripts.enqueue(&mut connection, &keys, &run, "first", &[], &entries).await.unwrap();
    assert_eq!(asked(), 5);
    let options = StreamReadOptions::default().group(GROUP, "one").count(2);
    let read: Option<StreamReadReply> =
        connection.xread_options(&[keys.tasks()], &[">"], &options).await.unwrap();
    let taken = read.unwrap().keys.remove(0).ids;
    // What runs counts, while the group's lag counts only what waits: it would scale down too early.
    assert_eq!(asked(), 5);
    let depth = look::depth(&mut connection, &keys).await.unwrap();
    assert_eq!((depth.length, depth.waiting, depth.held), (5, 3, 2));
    for (done, entry) in taken.into_iter().enumerate() {
        let attempt = entry.get("attempt").unwrap();
        let held = Held { entry: entry.id, delivery: 1, attempt, run: keys.run(&run) };
        let finished = [Finished { held, outcome: b"outcome".to_vec() }];
        let answer = scripts.finish(&mut connection, &keys, "one", &finished).await.unwrap();
        assert_eq!(answer, [Finish::Recorded]);
        assert_eq!(asked(), 4 - done as u64);
    }
    // An empty queue is no length at all: there, the last worker may go.
    let rest = StreamReadOptions::default().group(GROUP, "one").count(9);
    let read: Option<StreamReadReply> =
        connection.xread_options(&[keys.tasks()], &[">"], &rest).await.unwrap();
    for entry in read.unwrap().keys.remove(0).ids {
        let attempt = entry.get("attempt").unwrap();
        let held = Held { entry: entry.id, delivery: 1, attempt, run: keys.run(&run) };
        let finished = [Finished { held, outcome: b"outcome".to_vec() }];
        scripts.finish(&mut connection, &keys, "one", &finished).await.unwrap();
    }
    assert_eq!(asked(), 0);
    let kind: String = cmd("TYPE").arg(stream).query_async(&mut connection).await.unwrap();
    assert_eq!(kind, "stream");
}

#[test]
fn the_deployment_is_told_what_a_worker_knows() {
    let documents = yaml("packaging/keda.yaml");
    let deployment = documents.iter().find(|it| it["kind"].as_str() == Some("Deployment")).unwrap();
    let spec = &deployment["spec"]["template"]["spec"];
    let known = variables();
    let mut drain = None;
    for variable in spec["containers"][0]["env"].as_vec().unwrap() {
        let (name, value) = (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        assert!(known.contains(name), "a worker knows no {name}={value}");
        if name == "FLOWHOST_DRAIN" {
            drain = Some(duration(value).unwrap());
        }
    }
    let grace = spec["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(Duration::from_secs(grace.unsigned_abs()) > drain.unwrap());
    assert_eq!(spec["containers"][0]["readinessProbe"]["httpGet"]["path"].as_str(), Some("/healthz"));
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = text("packaging/flowhost-worker.service");
    let place = Place::new();
    // The program has to be there: it is another one here.
    let here = unit.replace("/usr/local/bin/flowhost", program().to_str().unwrap());
    place.file("flowhost-worker.service", here);
    let path = place.path().join("flowhost-worker.service");
    let verified = ended(Command::new("systemd-analyze").arg("verify").arg(&path));
    assert_eq!((verified.code, &*verified.stdout, &*verified.stderr), (0, "", ""), "{verified}");
    // It does say so where something is wrong.
    place.file("flowhost-worker.service", unit.replace("Type=notify", "Type=notifies\nNonsense=yes"));
    let wrong = ended(Command::new("systemd-analyze").arg("verify").arg(&path));
    assert!(wrong.stderr.contains("Nonsense") && wrong.stderr.contains("notifies"), "{wrong}");
}

#[test]
fn the_unit_lets_a_worker_drain_and_compile() {
    let settings = settings(&text("packaging/flowhost-worker.service"));
    let start = setting(&settings, "ExecStart");
    let words: Vec<&str> = start.split(' ').collect();
    let drain = words[words.iter().position(|word| *word == "--drain").unwrap() + 1];
    assert!(duration(setting(&settings, "TimeoutStopSec")).unwrap() > duration(drain).unwrap());
    for (name, value) in
        [("Type", "notify"), ("KillSignal", "SIGTERM"), ("KillMode", "mixed"), ("NoNewPrivileges", "yes")]
    {
        assert_eq!(setting(&settings, name), value);
    }
    for (name, value) in [("DynamicUser", "yes"), ("ProtectSystem", "strict"), ("WatchdogSec", "30s")] {
        assert_eq!(setting(&settings, name), value);
    }
    assert!(settings.iter().all(|(name, _)| name != "MemoryDenyWriteExecute" && name != "ProcSubset"));
    // The command line is one that a worker understands: it goes on to look for a server.
    let place = Place::new();
    let mut command = place.command(&words[1..]);
    command.env("FLOWHOST_REDIS", "redis://127.0.0.1:1");
    let worker = ended(&mut command);
    assert_eq!(worker.code, 102, "{worker}");
}
