//! Executors with names of the file's own.

use std::sync::Arc;

use super::broken::{told, with};
use super::{Project, RIGHT};
use crate::manifest::{Options, Purpose, Trust};
use crate::model::{ExecutorKind, NamedExecutor, Node, RedisSettings};

/// [`RIGHT`], with its group on `executor`, and `sections`.
pub(super) fn right_on(executor: &str, sections: &str) -> String {
    RIGHT.replace("for-each", &format!("executor = \"{executor}\"\nfor-each")) + sections
}

/// Two tasks of which one is given a secret.
pub(super) const SECRET: &str = "
[tasks.hush]
run = \"text#split\"
with = { text = { env = \"TOKEN\" }, parts = 2 }
executor = \"fleet\"
[tasks.granted]
run = \"text#ready\"
grants = { env = { A = \"a\", B = { env = \"TOKEN\" } } }
executor = \"fleet\"
[tasks.plain]
run = \"text#ready\"
executor = \"fleet\"
";

fn fleet(url: &str) -> String {
    with(&format!("{SECRET}[executors.fleet]\nkind = \"redis\"\nurl = \"{url}\"\n"))
}

fn redis(executor: &NamedExecutor) -> &RedisSettings {
    match &executor.kind {
        ExecutorKind::Redis(redis) => redis,
        ExecutorKind::Ssh(ssh) => panic!("{ssh}"),
    }
}

#[test]
fn an_executor_has_what_the_file_says_and_else_the_defaults() {
    let project = Project::shared();
    project.write("ca.pem", "");
    let sections = "
[executors.fleet]
kind = \"redis\"
url = { env = \"TOKEN\" }
queue = \"night.1\"
prefix = \"me\"
ca = \"ca.pem\"
key = { env = \"TOKEN\" }
[executors.idle]
kind = \"redis\"
";
    let load = |executor: &str, change: fn(&mut Options<'static>)| {
        let loaded = project.load_with(&right_on(executor, sections), |options| {
            options.environment = &|_| Some("rediss://me:hush@host:1/2".to_owned());
            change(options);
        });
        loaded.unwrap_or_else(|problems| panic!("{problems}")).workflow
    };
    let workflow = load("fleet", |_| {});
    let [executor] = &*workflow.executors else { panic!("{:?}", workflow.executors) };
    assert_eq!(&*executor.name, "fleet");
    let url: Arc<str> = "rediss://me:hush@host:1/2".into();
    let wanted = RedisSettings {
        url: Arc::clone(&url),
        queue: "night.1".into(),
        prefix: "me".into(),
        ca: Some(project.folder.join("ca.pem")),
        key: Some(url),
    };
    assert_eq!(*redis(executor), wanted);
    let tasks = workflow.nodes.iter().flat_map(Node::tasks);
    let names: Vec<_> = tasks.map(|task| task.policy.executor.name().to_owned()).collect();
    assert_eq!(names, ["in-process", "fleet", "in-process"]);

    // What nobody runs on needs no URL; what the command line names is as if the file did.
    let workflow = load("fleet", |options| {
        options.redis = Some("redis://other".to_owned());
        options.executors = vec![(None, "redis".to_owned()), (Some("counts".to_owned()), "idle".to_owned())];
    });
    let all: Vec<_> = workflow.executors.iter().map(|one| (&*one.name, &*redis(one).url)).collect();
    assert_eq!(all, [("idle", "redis://other"), ("redis", "redis://other")]);
    let of_redis = redis(&workflow.executors[1]);
    assert_eq!((&*of_redis.queue, &*of_redis.prefix, &of_redis.key), ("default", "flowhost", &None));
    // The file's own URL stays.
    let workflow = load("fleet", |options| options.redis = Some("redis://other".to_owned()));
    assert_eq!(&*redis(&workflow.executors[0]).url, "rediss://me:hush@host:1/2");
    // Nothing is needed where nothing is reached.
    let workflow = load("idle", |options| options.purpose = Purpose::Replay);
    assert_eq!(workflow.executors, []);
}

#[test]
fn the_built_in_name_needs_no_section_and_its_section_no_kind() {
    let project = Project::shared();
    for (sections, url) in [("", None), ("[executors.redis]\nurl = \"unix:///run/r.sock\"\n", Some(()))] {
        let loaded = project.load_with(&right_on("redis", sections), |options| {
            options.redis = url.is_none().then(|| "redis://127.0.0.1:7000".to_owned());
        });
        let executors = loaded.unwrap_or_else(|problems| panic!("{problems}")).workflow.executors;
        assert_eq!((executors.len(), &*executors[0].name), (1, "redis"));
    }
}

#[test]
fn w1_an_executor_without_a_url() {
    let project = Project::shared();
    told("executor-without-url", &project, &right_on("redis", ""));
    let source = right_on("auto", "[executors.fleet]\nkind = \"redis\"\n");
    let problems = project
        .load_with(&source, |options| options.executors = vec![(None, "fleet".to_owned())])
        .unwrap_err()
        .to_string();
    assert!(problems.starts_with("--executor fleet: executor `fleet` has no URL"), "{problems}");
    assert!(problems.contains("[executors.fleet]"), "{problems}");
}

#[test]
fn w1_executor_sections() {
    let project = Project::shared();
    project.write("command.wasm", super::component(super::COMMAND));
    told(
        "executor-sections",
        &project,
        &with(
            "
[executors]
two = \"redis\"
process = { kind = \"redis\" }
auto = {}
redis = { kind = \"rediss\" }
none = { url = \"redis://host\" }
far = { kind = \"ssh\", nodes = [\"a\"] }
odd = { kind = \"kafka\" }
typo = { kind = \"redis\", uri = \"redis://host\" }
names = { kind = \"redis\", queue = \"a b\", prefix = \"\" }
key = { kind = \"redis\", key = \"hush\" }
secrets = { kind = \"redis\", url = { var = \"A\" }, key = { env = 3 } }
ca = { kind = \"redis\", ca = \"../ca.pem\" }
gone = { kind = \"redis\", ca = \"gone.pem\" }
[tasks.a]
run = \"text#ready\"
executor = \"fa\"
[tasks.b]
run = \"text#ready\"
executor = \"reddis\"
[tasks.c]
run = \"text#ready\"
executor = \"typo\"
",
        ),
    );
}

#[test]
fn w1_urls_that_are_none_of_redis_and_whose_passwords_nobody_sees() {
    let project = Project::shared();
    let section = |url: &str| format!("[executors.fleet]\nkind = \"redis\"\nurl = \"{url}\"\n");
    let urls = [
        "http://me:hush@host",
        "me:hush@host:6379",
        "REDIS://me:hush@host",
        "redis://me:hush@host:port",
        "redis://me:hush@host/first",
        "redis://",
        "rediss://me:hush@host#insecure",
        "unix://",
        "unix://relative?pass=hush",
        "://me:hush@host",
        "",
    ];
    for url in urls {
        let problems = project.broken(&right_on("auto", &section(url)));
        assert!(problems.contains("workflow.toml:26:7: "), "{url}: {problems}");
        assert!(problems.contains("rediss://HOST:PORT") && !problems.contains("hush"), "{url}: {problems}");
        let problems = project
            .load_with(&right_on("redis", ""), |options| options.redis = Some(url.to_owned()))
            .unwrap_err()
            .to_string();
        assert!(problems.starts_with("--redis: ") && !problems.contains("hush"), "{url}: {problems}");
    }
    told("executor-url", &project, &right_on("auto", &section("http://me:hush@host")));
}

#[test]
fn w1_what_the_environment_has_of_an_executor() {
    let project = Project::shared();
    let of = |section: &str, purpose: Purpose, value: Option<&'static str>| {
        let source = right_on("fleet", &format!("[executors.fleet]\nkind = \"redis\"\n{section}\n"));
        project.load_with(&source, |options| {
            options.environment = match value {
                None => &|_| None,
                Some("") => &|_| Some(String::new()),
                Some("http") => &|_| Some("http://me:hush@host".to_owned()),
                Some(_) => &|_| Some("redis://me:hush@host".to_owned()),
            };
            options.purpose = purpose;
        })
    };
    let url = "url = { env = \"AT\" }";
    let refused = |section: &str, value| project.shown(&of(section, Purpose::Run, value).unwrap_err());
    for (value, says) in [
        (None, "variable `AT` is not set"),
        (Some(""), "variable `AT` is empty"),
        (Some("http"), "`http://` is not one of a Redis server"),
    ] {
        let problems = refused(url, value);
        assert!(problems.contains(says) && !problems.contains("hush"), "{problems}");
    }
    let problems = refused("url = \"redis://host\"\nkey = { env = \"KEY\" }", Some(""));
    assert!(problems.contains("variable `KEY` is empty, and `key` cannot be"), "{problems}");
    let problems = refused("url = { env = \"AT\" }\nca = \"text.wasm\"", Some("redis"));
    assert!(problems.contains("its URL is not a rediss:// one"), "{problems}");
    // Elsewhere it may be set.
    of(url, Purpose::Check, Some("")).unwrap();
    of(url, Purpose::Check, Some("http")).unwrap_err();

    let source = right_on("fleet", &format!("[executors.fleet]\nkind = \"redis\"\n{url}\n"));
    let untrusted = |options: &mut Options<'static>| options.trust = Trust::Only(Vec::new());
    let problems = project.load_with(&source, untrusted).unwrap_err().to_string();
    assert!(problems.contains("--allow env=AT"), "{problems}");
}

#[test]
fn w1_secrets_go_nowhere_unencrypted() {
    let project = Project::shared();
    project.write("command.wasm", super::component(super::COMMAND));
    told("plain-secrets", &project, &fleet("redis://me:hush@host"));
    for url in ["rediss://host", "unix:///run/redis.sock", "redis+unix:///run/redis.sock"] {
        project.load(&fleet(url)).unwrap_or_else(|problems| panic!("{problems}"));
    }
    let allowed = |options: &mut Options<'static>| options.plain_secrets = true;
    project.load_with(&fleet("redis://host"), allowed).unwrap();
    // On this machine nobody is on the way.
    let moved = |options: &mut Options<'static>| options.executors = vec![(None, "process".to_owned())];
    project.load_with(&fleet("redis://host"), moved).unwrap();
}
