//! `flowhost nodes`: what it says of real nodes is what a run then finds, and it puts nothing there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use flowhost::wire::{Hello, MAGIC, PROTOCOL};
use flowhost_tests::{Sshd, free_port, program};
use serde_json::Value;

use crate::support::{Ended, Place, ended, files_below};

/// A folder with a workflow whose only task runs on these nodes.
fn on(nodes: &[&str], keys: &str) -> Place {
    let place = Place::on("lab");
    place.guest("echo").file(
        "workflow.toml",
        format!(
            r#"
[components]
echo = "echo.wasm"
[executors.lab]
kind = "ssh"
nodes = [{}]
{keys}
[tasks.one]
run = "echo#answer"
[outputs]
one = "${{one}}"
"#,
            nodes.join(", ")
        ),
    );
    place
}

fn looked(place: &Place) -> (Ended, Vec<Value>) {
    let ended = place.flowhost(["nodes", "workflow.toml", "--json"]);
    let Value::Array(nodes) = ended.json() else { panic!("{ended}") };
    (ended, nodes)
}

/// Puts this flowhost where people put it.
fn install(sshd: &Sshd) {
    let folder = sshd.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    symlink(program(), folder.join("flowhost")).unwrap();
}

/// Puts a program there that says it speaks another protocol.
fn install_other(sshd: &Sshd) {
    let hello = Hello { protocol: PROTOCOL + 7, flowhost: "9.9.9".to_owned(), ..Hello::of("other") };
    let json = serde_json::to_vec(&hello).unwrap();
    let length = u32::try_from(json.len()).unwrap().to_le_bytes();
    let folder = sshd.home().join(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hello"), [&MAGIC[..], &length, &json].concat()).unwrap();
    let script = folder.join("flowhost");
    fs::write(&script, "#!/bin/sh\ncat ~/.local/bin/hello\ncat >/dev/null\n").unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
}

fn reason(node: &Value) -> &str {
    node["reason"].as_str().unwrap_or_else(|| panic!("{node}"))
}

#[test]
fn nodes_that_can_be_used_are_told_with_what_a_run_would_do_and_then_does() {
    let (with, without) = (Sshd::start(), Sshd::start());
    install(&with);
    let ceiling = with.home().join(".config/flowhost");
    fs::create_dir_all(&ceiling).unwrap();
    fs::write(
        ceiling.join("worker.toml"),
        "allow = [\"read=data=/srv\", \"env=LANG\"]\nmax-memory = \"2GiB\"\n",
    )
    .unwrap();
    let place = on(&[&with.node_toml("concurrency = 3"), &without.node_toml("")], "");
    let (ended, nodes) = looked(&place);
    assert_eq!((ended.code, nodes.len()), (0, 2), "{ended}");

    let (used, bare) = (&nodes[0], &nodes[1]);
    assert_eq!(used["node"], format!("root@127.0.0.1:{}", with.port()));
    assert_eq!((&used["executor"], &used["usable"]), (&"lab".into(), &true.into()));
    assert_eq!(used["deploy"], serde_json::json!({ "does": "nothing" }));
    let flowhost = &used["flowhost"];
    assert_eq!((flowhost["version"].as_str(), &used["slots"]), (Some(env!("CARGO_PKG_VERSION")), &3.into()));
    assert_eq!((&flowhost["protocol"], &flowhost["same_protocol"]), (&PROTOCOL.into(), &true.into()));
    assert_eq!(flowhost["target"], Hello::of("").target);
    assert_eq!(flowhost["ceiling"]["directories"], serde_json::json!(["data"]));
    assert_eq!(flowhost["ceiling"]["memory"], 2_u64 << 30);

    assert_eq!((&bare["usable"], &bare["flowhost"]), (&true.into(), &Value::Null));
    let bytes = program().metadata().unwrap().len();
    assert_eq!(bare["deploy"], serde_json::json!({ "does": "put", "program": null, "bytes": bytes }));
    for machine in [&used["machine"], &bare["machine"]] {
        assert_eq!(
            (&machine["system"], machine["machine"].as_str()),
            (&"Linux".into(), Some(std::env::consts::ARCH))
        );
        assert_eq!(machine["folder"], "/root/.cache/flowhost");
        assert!(machine["free_bytes"].as_u64().unwrap() > 0, "{machine}");
        assert_eq!(machine["cores"], std::thread::available_parallelism().unwrap().get());
        let (trip, connect) =
            (machine["round_trip_ms"].as_f64().unwrap(), machine["connect_ms"].as_f64().unwrap());
        assert!(trip > 0.0 && trip < connect, "a line takes less than a connection: {machine}");
    }
    assert_eq!(files_below(&without.home()), Vec::<std::path::PathBuf>::new(), "it was only looked at");
    crate::support::until(Duration::from_secs(10), "no worker stays", || {
        with.processes().is_empty() && without.processes().is_empty()
    });

    let told = place.flowhost(["nodes", "workflow.toml"]);
    assert_eq!(told.code, 0, "{told}");
    for part in [
        "use what is there",
        "put this flowhost there",
        ": grants the directories data, the variables LANG, no addresses, no origins; to each attempt 2.0 GiB of memory",
        "all 2 nodes can be used",
    ] {
        assert!(told.stdout.contains(part), "{part}: {told}");
    }

    // A run does what was told, and then there is nothing left to do.
    let place = on(&[&without.node_toml("")], "");
    let run = place.run(["--progress", "plain"]);
    let notice = format!("MiB) is being put on node `root@127.0.0.1:{}`", without.port());
    assert!(run.code == 0 && run.stderr.contains(&notice), "{run}");
    let (ended, nodes) = looked(&place);
    assert_eq!((ended.code, &nodes[0]["deploy"]["does"]), (0, &"nothing".into()), "{ended}");
    // But where it is to be put there in any case.
    let place = on(&[&without.node_toml("")], "deploy = \"always\"");
    let (ended, nodes) = looked(&place);
    assert_eq!((ended.code, &nodes[0]["deploy"]["does"]), (0, &"put".into()), "{ended}");
    assert_eq!(nodes[0]["flowhost"]["same_protocol"], true);
}

/// What is wrong with a node is told as a run tells it, whatever the others are.
#[test]
fn nodes_that_cannot_be_used_are_told_with_what_a_run_says_of_them() {
    let (good, strange, bare, other) = (Sshd::start(), Sshd::start(), Sshd::start(), Sshd::start());
    let misused = Sshd::start();
    install(&misused);
    let config = misused.home().join(".config/flowhost");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("worker.toml"), "alow = []\n").unwrap();
    install(&good);
    strange.forget_host_key();
    install_other(&other);
    let nobody =
        bare.node_toml("").replace(&format!("port = {}", bare.port()), &format!("port = {}", free_port()));
    let cases = [
        (nobody.clone(), "", "Connection refused"),
        (strange.node_toml(""), "", "its host key is not known here: compare it once"),
        (bare.node_toml(""), "deploy = \"never\"", "`deploy` is \"never\": install this version there"),
        (other.node_toml(""), "deploy = \"never\"", "flowhost 9.9.9 with other"),
        (bare.node_toml("").replace("/key\"", "/gone\""), "", "/gone`, which its `identity-file` names"),
        // Another flowhost would not work there either.
        (misused.node_toml(""), "", "unknown field `alow`"),
        (misused.node_toml(""), "deploy = \"never\"", "unknown field `alow`"),
    ];
    for (node, keys, says) in &cases {
        let place = on(&[node], keys);
        let (ended, nodes) = looked(&place);
        assert_eq!((ended.code, &nodes[0]["usable"]), (102, &false.into()), "{ended}");
        assert_eq!(nodes[0]["deploy"]["does"], "refuse", "{ended}");
        assert!(reason(&nodes[0]).contains(says), "{says}: {ended}");
        let run = place.run(["--progress", "none"]);
        assert!(run.code == 102 && run.stderr.contains(reason(&nodes[0])), "{ended}\n{run}");
    }
    // All are named, those first that are not tried again, and then what helps.
    let run = on(&[&nobody, &strange.node_toml("")], "").run(["--progress", "none"]);
    let (_, last) = run.stderr.split_once("error: ").unwrap_or_else(|| panic!("{run}"));
    let places =
        ["its host key is not known here", "Connection refused", "`flowhost nodes FILE`", "--resume"]
            .map(|part| last.find(part).unwrap_or_else(|| panic!("{part}: {run}")));
    assert!(run.code == 102 && places.is_sorted(), "{run}");
    // Of another protocol is no hindrance where one of ours may be put beside it.
    let (ended, nodes) = looked(&on(&[&other.node_toml("")], ""));
    assert_eq!((ended.code, &nodes[0]["deploy"]["does"]), (0, &"put".into()), "{ended}");
    assert_eq!(
        (&nodes[0]["flowhost"]["version"], &nodes[0]["flowhost"]["same_protocol"]),
        (&"9.9.9".into(), &false.into())
    );

    let place = on(&[&nobody, &good.node_toml(""), &strange.node_toml("")], "");
    let (ended, nodes) = looked(&place);
    let usable: Vec<_> = nodes.iter().map(|node| node["usable"].as_bool().unwrap()).collect();
    assert_eq!((ended.code, usable), (102, vec![false, true, false]), "{ended}");
    let told = place.flowhost(["nodes", "workflow.toml"]);
    assert_eq!(told.code, 102, "{told}");
    for part in [reason(&nodes[0]), reason(&nodes[2]), "2 of 3 nodes cannot be used", "use what is there"] {
        assert!(told.stdout.contains(part), "{part}: {told}");
    }
}

/// What a node's disks do not let be put there is told before it is tried.
#[test]
fn nodes_without_room_for_flowhost_are_told() {
    let noexec = Sshd::with_mounts(&[("~", "noexec"), ("/var/tmp", "noexec"), ("/tmp", "noexec")]);
    let small = Sshd::with_mounts(&[("~", "size=4m")]);
    let blocked = Sshd::start();
    fs::write(blocked.home().join("file"), "").unwrap();
    for (sshd, more, says) in [
        (&blocked, "workdir = \"~/file/below\"", "/root/file/below: a file is in its way"),
        (
            &noexec,
            "",
            "/root/.cache/flowhost: programs cannot be executed there, as on a file system that is mounted noexec",
        ),
        (&small, "", "of /root/.cache/flowhost, "),
    ] {
        let place = on(&[&sshd.node_toml(more)], "");
        let (ended, nodes) = looked(&place);
        assert!(ended.code == 102 && reason(&nodes[0]).contains(says), "{says}: {ended}");
        assert!(reason(&nodes[0]).contains("as `workdir`"), "{ended}");
        let run = place.run(["--progress", "none"]);
        assert!(run.code == 102 && run.stderr.contains("flowhost cannot be put there ("), "{run}");
    }
    // What is kept from one folder goes to the next.
    let place = on(&[&small.node_toml("workdir = \"/var/tmp/flowhost\"")], "");
    let (ended, nodes) = looked(&place);
    assert_eq!((ended.code, &nodes[0]["machine"]["folder"]), (0, &"/var/tmp/flowhost".into()), "{ended}");
}

#[test]
fn a_node_that_hangs_delays_nobody_for_long() {
    let (good, hangs) = (Sshd::start(), Sshd::start());
    install(&good);
    let place = on(&[&hangs.node_toml(""), &good.node_toml("")], "connect-timeout = \"5s\"");
    hangs.stop();
    let began = Instant::now();
    let (ended, nodes) = looked(&place);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(
        (ended.code, &nodes[0]["usable"], &nodes[1]["usable"]),
        (102, &false.into(), &true.into()),
        "{ended}"
    );
    hangs.resume();
}

#[test]
fn a_workflow_without_nodes_has_none_to_look_at() {
    let place = Place::on("in-process");
    place.guest("echo").file(
        "workflow.toml",
        "[components]\necho = \"echo.wasm\"\n[executors.lab]\nkind = \"ssh\"\nnodes = [\"a\"]\n\
         [tasks.one]\nrun = \"echo#answer\"\n",
    );
    let told = ended(&mut place.command(["nodes", "workflow.toml"]));
    assert!(told.code == 0 && told.stderr.contains("--executor NAME moves it"), "{told}");
    let (told, nodes) = looked(&place);
    assert_eq!((told.code, nodes.len()), (0, 0), "{told}");
    let wrong = place.flowhost(["nodes", "absent.toml"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("absent.toml"), "{wrong}");
}
