//! Executors of the kind `ssh`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::broken::{told, with};
use super::executors::{SECRET, right_on};
use super::{Project, RIGHT};
use crate::manifest::{Loaded, Options, Problems, Purpose, Trust};
use crate::model::{Deploy, ExecutorKind, SshNode, SshSettings};

/// The only executor of a workflow.
fn only(loaded: Result<Loaded, Problems>) -> SshSettings {
    let workflow = loaded.unwrap_or_else(|problems| panic!("{problems}")).workflow;
    let [executor] = &*workflow.executors else { panic!("{:?}", workflow.executors) };
    match &executor.kind {
        ExecutorKind::Ssh(ssh) => ssh.clone(),
        ExecutorKind::Redis(redis) => panic!("{redis:?}"),
    }
}

/// What a section says of the executor that the group runs on.
fn lab(project: &Project, section: &str) -> SshSettings {
    only(project.load(&right_on("lab", &format!("[executors.lab]\nkind = \"ssh\"\n{section}\n"))))
}

/// A node in one line.
fn line(node: &SshNode) -> String {
    let options: Vec<String> = node.options.iter().map(ToString::to_string).collect();
    let workdir = node.workdir.as_ref().map_or("-", |folder| folder.as_str());
    let file = node.identity_file.as_deref().unwrap_or("-");
    format!("{node} x{} {workdir} {file} [{}]", node.concurrency.unwrap_or(0), options.join(" "))
}

#[test]
fn an_executor_has_the_nodes_of_its_section() {
    let project = Project::shared();
    project.write("flowhost-arm", "");
    let there = project.folder.join("flowhost-arm");
    let ssh = lab(
        &project,
        &format!(
            "nodes = [\"user@a\", {{ address = \"user@b\", port = 2222, concurrency = 8, identity-file = \"my id\", options = [\"UserKnownHostsFile=known\"] }}]
workdir = \"/var/tmp/flowhost\"
deploy = \"never\"
cleanup = true
connect-timeout = \"1.5s\"
binary = {{ \"aarch64-unknown-linux-gnu\" = \"flowhost-arm\", x86_64-apple-darwin = \"{}\" }}",
            there.display()
        ),
    );
    let nodes: Vec<String> = ssh.nodes.iter().map(line).collect();
    assert_eq!(
        nodes,
        [
            "user@a x0 /var/tmp/flowhost - []",
            "user@b:2222 x8 /var/tmp/flowhost my id [UserKnownHostsFile=known]"
        ]
    );
    let binaries: BTreeMap<Arc<str>, _> = ["aarch64-unknown-linux-gnu", "x86_64-apple-darwin"]
        .map(|target| (target.into(), there.clone()))
        .into();
    assert_eq!(ssh.binaries, binaries);
    assert_eq!(
        (ssh.deploy, ssh.cleanup, ssh.connect_timeout),
        (Deploy::Never, true, Duration::from_millis(1500))
    );
    assert_eq!(ssh.folder, project.folder);

    // By default.
    let ssh = lab(&project, "nodes = [\"a\"]");
    assert_eq!(line(&ssh.nodes[0]), "a x0 - - []");
    let wanted = SshSettings {
        nodes: ssh.nodes.clone(),
        deploy: Deploy::IfMissing,
        binaries: BTreeMap::new(),
        cleanup: false,
        connect_timeout: Duration::from_secs(10),
        folder: project.folder.clone(),
    };
    assert_eq!(ssh, wanted);
    for (written, deploy) in
        [("if-missing", Deploy::IfMissing), ("never", Deploy::Never), ("always", Deploy::Always)]
    {
        assert_eq!(lab(&project, &format!("nodes = [\"a\"]\ndeploy = \"{written}\"")).deploy, deploy);
    }
    for (written, timeout) in [("1s", 1), ("10m", 600)] {
        let ssh = lab(&project, &format!("nodes = [\"a\"]\nconnect-timeout = \"{written}\""));
        assert_eq!(ssh.connect_timeout, Duration::from_secs(timeout));
    }
}

#[test]
fn what_a_node_says_itself_counts_before_its_section() {
    let project = Project::shared();
    let ssh = lab(
        &project,
        "user = \"all\"
port = 2200
concurrency = 4096
workdir = \"~/all\"
identity-file = \"~/.ssh/all\"
options = [\"Compression=yes\", \"UserKnownHostsFile=all\"]
nodes = [
    \"a\",
    \"own@b\",
    { address = \"c\", user = \"own\", port = 65535, concurrency = 1, workdir = \"/own\", identity-file = \"own\" },
    { address = \"[fd00::1]\", options = [\"userknownhostsfile=own\", \"ProxyJump=jump\"] },
]",
    );
    let nodes: Vec<String> = ssh.nodes.iter().map(line).collect();
    assert_eq!(
        nodes,
        [
            "all@a:2200 x4096 ~/all ~/.ssh/all [Compression=yes UserKnownHostsFile=all]",
            "own@b:2200 x4096 ~/all ~/.ssh/all [Compression=yes UserKnownHostsFile=all]",
            "own@c:65535 x1 /own own [Compression=yes UserKnownHostsFile=all]",
            "all@[fd00::1]:2200 x4096 ~/all ~/.ssh/all [UserKnownHostsFile=own ProxyJump=jump Compression=yes]",
        ]
    );
}

#[test]
fn the_name_ssh_needs_a_section_with_nodes_and_no_kind() {
    let project = Project::shared();
    let ssh = only(project.load(&right_on("ssh", "[executors.ssh]\nnodes = [\"a\"]\n")));
    assert_eq!(ssh.to_string(), "1 node: a");
    let loaded =
        project.load(&right_on("lab", "[executors.lab]\nkind = \"ssh\"\nnodes = [\"me@a\", \"b\"]\n"));
    let workflow = loaded.unwrap_or_else(|problems| panic!("{problems}")).workflow;
    assert_eq!(workflow.executors[0].to_string(), "lab: ssh on 2 nodes: me@a, b");
    assert_eq!(workflow.executors[0].kind.name(), "ssh");
    told("executor-without-nodes", &project, &right_on("ssh", ""));
    let given = |options: &mut Options<'static>| options.executors = vec![(None, "ssh".to_owned())];
    let problems = project.load_with(RIGHT, given).unwrap_err().to_string();
    assert!(problems.starts_with("--executor ssh: executor `ssh` has no nodes"), "{problems}");
    // It is no kind of another executor's name.
    told(
        "executor-of-another-kind",
        &project,
        &right_on("auto", "[executors.ssh]\nkind = \"redis\"\nurl = \"redis://a\"\n"),
    );
}

#[test]
fn w1_ssh_sections() {
    let project = Project::shared();
    project.write("command.wasm", super::component(super::COMMAND));
    told(
        "ssh-sections",
        &project,
        &with(
            "
[executors]
bare = { kind = \"ssh\" }
typo = { kind = \"ssh\", ndoes = [\"a\"] }
kinds = { kind = \"ssh\", nodes = \"a\", deploy = true, cleanup = \"yes\", connect-timeout = 10, binary = \"x\" }
items = { kind = \"ssh\", nodes = [1, {}, { adress = \"a\" }, { address = 3 }] }
empty = { kind = \"ssh\", nodes = [] }
words = { kind = \"ssh\", nodes = [\"a\"], deploy = \"if-mising\", connect-timeout = \"999ms\" }
late = { kind = \"ssh\", nodes = [\"a\"], connect-timeout = \"10.01m\" }
mixed = { kind = \"ssh\", nodes = [\"a\"], url = \"redis://a\", queue = \"q\", prefix = \"p\", ca = \"c\", key = \"k\" }
fleet = { kind = \"redis\", nodes = [\"a\"], deploy = \"always\", port = 22, binary = {} }
deep = { kind = \"ssh\", nodes = [{ address = \"a\", deploy = \"never\", binary = {} }] }
ports = { kind = \"ssh\", nodes = [{ address = \"a\", port = 0 }], port = 65536, concurrency = 0 }
many = { kind = \"ssh\", nodes = [{ address = \"a\", concurrency = 4097 }] }
ssh = { address = \"a\" }
[tasks.a]
run = \"text#ready\"
executor = \"sssh\"
",
        ),
    );
}

#[test]
fn w1_addresses_of_nodes() {
    let project = Project::shared();
    project.write("command.wasm", super::component(super::COMMAND));
    told(
        "ssh-addresses",
        &project,
        &with(
            "
[executors.lab]
kind = \"ssh\"
user = \"a b\"
nodes = [
    \"\",
    \"me@host:2222\",
    \"ssh://me@host:2222\",
    \"[::1]:22\",
    \"host/path\",
    \"me you@host\",
    { address = \"me@host\", user = \"you\" },
    { address = \"host\", user = \"-l\" },
    \"one\",
    \"One\",
    { address = \"me@two\", port = 22 },
    { address = \"two\", user = \"me\", port = 22 },
    \"fd00::1\",
    \"[FD00:0::1]\",
]
",
        ),
    );
    // Another user or port is another node, as far as can be seen here.
    let ssh = lab(
        &project,
        "nodes = [\"a\", \"me@a\", { address = \"a\", port = 22 }, { address = \"a\", port = 23 }, \"a.\"]",
    );
    assert_eq!(ssh.nodes.len(), 5);
    // What the section adds makes them the same.
    let problems = project.broken(&right_on(
        "auto",
        "[executors.lab]\nkind = \"ssh\"\nuser = \"me\"\nnodes = [\"a\", \"me@a\"]\n",
    ));
    assert!(problems.contains("node `me@a` is there twice"), "{problems}");
}

#[test]
fn an_executor_has_a_thousand_nodes_at_most() {
    let project = Project::shared();
    let nodes = |count: usize| {
        let nodes: String = (0..count).map(|at| format!("\"n{at}\", ")).collect();
        right_on("lab", &format!("[executors.lab]\nkind = \"ssh\"\nnodes = [{nodes}]\n"))
    };
    assert_eq!(only(project.load(&nodes(1000))).nodes.len(), 1000);
    let problems = project.broken(&nodes(1001));
    assert!(
        problems.starts_with("workflow.toml:26:9: executor `lab` has 1001 nodes, and may have 1 to 1000\n"),
        "{problems}"
    );
}

#[test]
fn w1_files_and_folders_and_options_of_nodes() {
    let project = Project::shared();
    project.write("command.wasm", super::component(super::COMMAND));
    project.write("there", "");
    told(
        "ssh-settings",
        &project,
        &with(
            "
[executors.lab]
kind = \"ssh\"
workdir = \"tmp\"
identity-file = \"-i\"
options = [\"Port=22\", \"ProxyCommand=nc a 22\", \"Kompression=yes\", \"Compression\", \"Compression=ja\", \"Tunnel=yes\"]
nodes = [
    { address = \"a\", workdir = \"~you/a\" },
    { address = \"b\", workdir = \"/a/../b\" },
    { address = \"c\", workdir = \"/a b\", identity-file = \"\" },
    { address = \"d\", identity-file = 'a\"b' },
    { address = \"e\", identity-file = \"a\\nb\" },
    { address = \"f\", options = [\"Compression=yes\", \"compression=no\", 3] },
    { address = \"g\", options = \"Compression=yes\" },
    { address = \"h\", options = [\"ProxyJump=a b\", \"HostKeyAlias=-a\", \"UserKnownHostsFile=a b\", \"Ciphers=a b\", \"BindInterface=eth 0\"] },
]
[executors.lab.binary]
x86 = \"there\"
x86_64-Unknown-linux-gnu = \"there\"
x86_64-unknown-linux-gnu-x = \"there\"
aarch64-unknown-linux-gnu = \"gone\"
riscv64gc-unknown-linux-gnu = \".\"
i686-unknown-linux-gnu = 3
",
        ),
    );
}

#[test]
fn w4_what_ssh_or_a_shell_could_take_for_more_is_refused_with_its_line() {
    let project = Project::shared();
    // Within what TOML calls a basic string.
    let hostile = [
        "-oProxyCommand=touch${IFS}x",
        "-oProxyCommand=x",
        "a b",
        "a\\nb",
        "a\\n",
        "a\\tb",
        "a\\u0000",
        "a'b",
        "a\\\"b",
        "$(id)",
        "$HOME",
        "`id`",
        "a;id",
        "a|id",
        "a&id",
        "a>b",
        "a\\\\b",
        "a\\u202eb",
    ];
    for text in hostile {
        for key in [
            format!("nodes = [\"{text}\"]"),
            format!("nodes = [\"me@{text}\"]"),
            format!("nodes = [\"{text}@a\"]"),
            format!("nodes = [{{ address = \"{text}\" }}]"),
            format!("nodes = [{{ address = \"a\", user = \"{text}\" }}]"),
            format!("nodes = [{{ address = \"a\", workdir = \"{text}\" }}]"),
            format!("nodes = [{{ address = \"a\", workdir = \"/{text}\" }}]"),
            format!("nodes = [{{ address = \"a\", options = [\"{text}\"] }}]"),
            format!("nodes = [{{ address = \"a\", options = [\"{text}=yes\"] }}]"),
            format!("nodes = [{{ address = \"a\", options = [\"UserKnownHostsFile={text}\"] }}]"),
            format!("nodes = [{{ address = \"a\", options = [\"ProxyJump=a,{text}\"] }}]"),
            format!("nodes = [\"a\"]\nuser = \"{text}\""),
            format!("nodes = [\"a\"]\nworkdir = \"~/{text}\""),
            format!("nodes = [\"a\"]\noptions = [\"HostKeyAlias={text}\"]"),
            format!("nodes = [\"a\"]\nbinary = {{ \"x86_64-unknown-{text}\" = \"text.wasm\" }}"),
        ] {
            let problems =
                project.broken(&right_on("auto", &format!("[executors.lab]\nkind = \"ssh\"\n{key}\n")));
            let line = 26 + key.matches('\n').count();
            assert!(problems.starts_with(&format!("workflow.toml:{line}:")), "{key}: {problems}");
            assert!(
                problems.contains("help: ") && !problems.contains("\nworkflow.toml:"),
                "{key}: {problems}"
            );
        }
    }
    for file in ["-oProxyCommand=x", "a\\nb", "a\\\"b", "a\\u0000", ""] {
        let problems = project.broken(&right_on(
            "auto",
            &format!("[executors.lab]\nkind = \"ssh\"\nnodes = [\"a\"]\nidentity-file = \"{file}\"\n"),
        ));
        assert!(problems.starts_with("workflow.toml:27:17: `identity-file` cannot be"), "{problems}");
    }
}

#[test]
fn an_untrusted_file_has_no_ssh_of_its_own() {
    let project = Project::shared();
    let load = |source: &str, list: &[&str]| {
        let trust = Trust::Only(list.iter().map(|text| text.parse().unwrap()).collect());
        project.load_with(source, |options| options.trust = trust)
    };
    for executor in ["lab", "auto"] {
        let source = right_on(executor, "[executors.lab]\nkind = \"ssh\"\nnodes = [\"a\"]\n");
        let problems = project.shown(&load(&source, &["env=HOME", "net=0.0.0.0/0:1-65535"]).unwrap_err());
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::allow_duplicates! { insta::assert_snapshot!("untrusted-ssh", problems); }
        });
    }
    // Without a section there are no nodes.
    let problems = load(&right_on("ssh", ""), &[]).unwrap_err().to_string();
    assert!(problems.contains("executor `ssh` has no nodes"), "{problems}");
    load(RIGHT, &[]).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn secrets_go_to_nodes_and_replays_need_none() {
    let project = Project::shared();
    project.write("command.wasm", super::component(super::COMMAND));
    let source = with(&format!("{SECRET}[executors.fleet]\nkind = \"ssh\"\nnodes = [\"a\"]\n"));
    project.load(&source).unwrap_or_else(|problems| panic!("{problems}"));
    // A replay looks neither for programs nor for nodes.
    let source = right_on(
        "lab",
        "[executors.lab]\nkind = \"ssh\"\nnodes = [\"a\"]\nbinary = { aarch64-unknown-linux-gnu = \"gone\" }\n",
    );
    project.load(&source).unwrap_err();
    let checked = project.load_with(&source, |options| options.purpose = Purpose::Check);
    assert!(checked.unwrap_err().to_string().contains("there is no file `gone`"));
    for source in [source, right_on("ssh", "")] {
        let loaded = project.load_with(&source, |options| options.purpose = Purpose::Replay);
        assert_eq!(loaded.unwrap_or_else(|problems| panic!("{problems}")).workflow.executors, []);
    }
}
