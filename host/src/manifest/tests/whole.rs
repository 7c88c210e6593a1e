//! Right workflows, and the model that comes of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Project, RIGHT};
use crate::digest::Digest;
use crate::id::NodeId;
use crate::manifest::{Access, Loaded, Options, builds};
use crate::model::{
    Base, Directory, Entry, EnvironmentValue, Executor, Expr, Form, Grants, Group, Items, Kind, Limits,
    Merge, Node, OnFailure, Part, Policy, Retry, RetryOn, Source, Task, Type, Value,
};

/// Every key that this version knows.
const EVERYTHING: &str = r#"
name = "everything"
seed = "18446744073709551615"

[inputs]
book = { type = "string", default = "data/alice.txt" }
parts = { type = "u32", default = 16 }
mode = { type = "text#mode", default = "exact" }
names = { type = "list<string>", default = ["a", "b"] }
note = { type = "option<string>" }

[components]
text = "text.wasm"
command = { path = "command.wasm", digest = "DIGEST", build = "cargo build --manifest-path 'guest/Cargo.toml'" }

[defaults]
executor = "auto"
retry = { max-attempts = 3, delay = "200ms", factor = 3, max-delay = "2m", jitter = 0.25, on = ["failed", "trapped"] }
limits = { memory = "128MiB", timeout = "10s", output = "1MB" }
grants = { read = ["data"] }

[tasks.split]
run = "text#test:text/stats@0.1.0.split"
with = { text = { file = "${inputs.book}" }, parts = "${inputs.parts}" }
grants = { read = [{ path = "data", as = "/in" }], write = ["out"], env = { LANG = "C", KEY = { env = "TOKEN" } }, net = ["10.0.0.0/8:5432", "[::1]:80-81"], http = ["https://api.example.com", "http://127.0.0.1:8080"] }
limits = { fuel = 1000000, timeout = "none" }

[tasks.count]
run = "text#count-words"
with = { text = "${item}" }
retry = { max-attempts = 5 }
limits = { log = "64KiB" }
deterministic = true
cache = true
grants = {}

[groups.counts]
task = "count"
for-each = "${split}"
concurrency = 4
on-failure = "cancel"
require = { at-least = 2 }
timeout = "1h"
breaker = { failures = 5, cooldown = "30s" }
rate-limit = "50/s"
merge = "collect"
max-branches = 1000
executor = "in-process"
retry = { max-attempts = 7 }
limits = { memory = "64MiB", fuel = "none" }
grants = { env = {} }
after = ["total"]
when = true
deterministic = false
cache = false

[tasks.total]
run = "text#merge-counts"
with = { parts = [] }

[groups.again]
task = "count"
for-each = { lines = "data/alice.txt" }

[tasks.ready]
run = "text#ready"
when = "${wc.ready-too}"

[groups.wc]
tasks = ["shell", "ready-too", "maybe"]
[tasks.shell]
run = "command#run"
stdout = "bytes"
after = ["split"]
with = { args = ["-l", "n=${inputs.parts}"], stdin = "words of ${split.0}", env = { A = "1", B = { env = "TOKEN" } } }
[tasks.ready-too]
run = "text#ready"
[tasks.maybe]
run = "text#ready"
when = false

[outputs]
total = "${total}"
first = { value = "${counts.0.total}", file = "out/first.json" }
text = "${inputs.book} has ${total.total} words, $${really}"
both = { value = [1, "${ready}"] }
"#;

fn everything(project: &Project) -> String {
    let digest = Digest::of(&std::fs::read(project.folder.join("command.wasm")).unwrap()).to_string();
    EVERYTHING.replace("DIGEST", &digest)
}

pub(super) fn right(project: &Project, source: &str, change: impl FnOnce(&mut Options<'static>)) -> Loaded {
    project.load_with(source, change).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(super) fn node<'l>(loaded: &'l Loaded, name: &str) -> &'l Node {
    loaded.workflow.nodes.iter().find(|node| &*node.name == name).unwrap()
}

fn task<'l>(loaded: &'l Loaded, name: &str) -> &'l Task {
    match &node(loaded, name).kind {
        Kind::Task(task) | Kind::Started(task) => task,
        Kind::Group(group) => match &group.form {
            Form::ForEach { task, .. } => task,
            Form::Tasks(members) => members[0].task().unwrap(),
        },
        Kind::Best(_) => panic!("{name} runs nothing"),
    }
}

pub(super) fn group<'l>(loaded: &'l Loaded, name: &str) -> &'l Group {
    match &node(loaded, name).kind {
        Kind::Group(group) => group,
        Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => panic!("{name} is no group"),
    }
}

fn items<'l>(loaded: &'l Loaded, name: &str) -> &'l Items {
    match &group(loaded, name).form {
        Form::ForEach { items, .. } => items,
        Form::Tasks(_) => panic!("{name} has tasks"),
    }
}

fn after(loaded: &Loaded, name: &str) -> Vec<String> {
    let name_of = |id: &NodeId| loaded.workflow.nodes[id.index()].name.to_string();
    node(loaded, name).after.iter().map(name_of).collect()
}

fn string(text: &str) -> Expr {
    Expr::Literal(Value::string(text))
}

fn node_part(loaded: &Loaded, name: &str, path: &[u32]) -> Expr {
    let at = loaded.workflow.nodes.iter().position(|node| &*node.name == name).unwrap();
    Expr::Reference { source: Source::Node(NodeId(u32::try_from(at).unwrap())), path: path.to_vec() }
}

#[test]
fn the_workflow_is_what_the_file_says() {
    let project = Project::new();
    let source = everything(&project);
    let loaded = right(&project, &source, |_| {});
    let workflow = &loaded.workflow;
    assert_eq!(&*workflow.name, "everything");
    assert_eq!(workflow.seed, u64::MAX);
    assert_eq!(workflow.digest, Digest::of(source.as_bytes()));
    assert_eq!((&workflow.folder, &workflow.root), (&project.folder, &project.folder));
    let inputs: Vec<_> = workflow.inputs.iter().map(|input| (&*input.name, input.value.clone())).collect();
    assert_eq!(
        inputs,
        [
            ("book", Value::string("data/alice.txt")),
            ("parts", Value::U32(16)),
            ("mode", Value::Enum(1)),
            ("names", Value::List(Arc::new([Value::string("a"), Value::string("b")]))),
            ("note", Value::Option(None)),
        ]
    );
    let components: Vec<_> = workflow.components.iter().map(|one| (&*one.alias, one.path.clone())).collect();
    let path = |name: &str| project.folder.join(name);
    assert_eq!(components, [("text", path("text.wasm")), ("command", path("command.wasm"))]);
    assert_eq!(loaded.interfaces.len(), 2);
    let names: Vec<_> = workflow.nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["split", "counts", "total", "again", "ready", "wc"]);
}

#[test]
fn the_nearer_wins_key_by_key() {
    let project = Project::new();
    let loaded = right(&project, &everything(&project), |_| {});
    let retry = Retry {
        max_attempts: 3,
        delay: Duration::from_millis(200),
        factor: 3.0,
        max_delay: Duration::from_secs(120),
        jitter: 0.25,
        on: RetryOn { failed: true, trapped: true, timed_out: false },
    };
    let limits = Limits {
        memory: 128 << 20,
        timeout: Some(Duration::from_secs(10)),
        fuel: None,
        output: 1_000_000,
        log: 1 << 20,
    };
    let directory = |path: &str, guest: &str, write| Directory {
        path: PathBuf::from(path),
        guest: Arc::from(guest),
        write,
    };
    let defaults = Policy {
        executor: Executor::InProcess,
        retry: retry.clone(),
        limits: limits.clone(),
        grants: Grants { directories: vec![directory("data", "data", false)], ..Grants::default() },
        deterministic: false,
        cache: false,
    };
    assert_eq!(task(&loaded, "total").policy, defaults);
    let split = Policy {
        limits: Limits { fuel: Some(1_000_000), timeout: None, ..limits.clone() },
        grants: Grants {
            directories: vec![directory("data", "/in", false), directory("out", "out", true)],
            environment: vec![
                ("LANG".into(), EnvironmentValue::Literal("C".into())),
                ("KEY".into(), EnvironmentValue::Secret { name: "TOKEN".into() }),
            ],
            net: vec!["10.0.0.0/8:5432".parse().unwrap(), "[::1]:80-81".parse().unwrap()],
            http: vec!["https://api.example.com".parse().unwrap(), "http://127.0.0.1:8080".parse().unwrap()],
        },
        ..defaults.clone()
    };
    assert_eq!(task(&loaded, "split").policy, split);
    let counts = Policy {
        retry: Retry { max_attempts: 7, ..retry.clone() },
        limits: Limits { memory: 64 << 20, log: 64 << 10, ..limits.clone() },
        grants: Grants::default(),
        ..defaults.clone()
    };
    assert_eq!(task(&loaded, "counts").policy, counts);
    // The same task in another group.
    let again = Policy {
        retry: Retry { max_attempts: 5, ..retry },
        limits: Limits { log: 64 << 10, ..limits },
        grants: Grants::default(),
        deterministic: true,
        cache: true,
        ..defaults
    };
    assert_eq!(task(&loaded, "again").policy, again);

    let asked: Vec<String> = loaded.asks.iter().map(ToString::to_string).collect();
    assert_eq!(
        asked,
        [
            "read data: tasks split, total, ready, shell, ready-too, maybe",
            "write out: task split",
            "environment LANG: task split",
            "secret TOKEN: tasks split, shell",
            "net 10.0.0.0/8:5432: task split",
            "net [::1]:80-81: task split",
            "http https://api.example.com: task split",
            "http http://127.0.0.1:8080: task split",
        ]
    );
    assert_eq!(loaded.asks[1].what, Access::Write(PathBuf::from("out")));
}

#[test]
fn values_come_from_where_the_file_says() {
    let project = Project::new();
    let loaded = right(&project, &everything(&project), |_| {});
    let file = Expr::File { path: Box::new(string("data/alice.txt")), base: Base::Workflow, text: true };
    assert_eq!(task(&loaded, "split").arguments, [file, Expr::Literal(Value::U32(16))]);
    let function =
        |name: &str| Entry::Function { interface: Some("test:text/stats@0.1.0".into()), name: name.into() };
    assert_eq!(task(&loaded, "split").entry, function("split"));
    assert_eq!(task(&loaded, "total").arguments, [Expr::Literal(Value::List(Arc::new([])))]);

    // A command, its text made of parts, and what it waits for handed on to the group.
    let shell = task(&loaded, "wc");
    assert_eq!(shell.entry, Entry::Command { bytes: true });
    let words = vec![Part::Text("words of ".into()), Part::Value(node_part(&loaded, "split", &[0]))];
    let pair = |name: &str, value| Expr::Tuple(vec![string(name), value]);
    assert_eq!(
        shell.arguments,
        [
            Expr::Literal(Value::List(Arc::new([Value::string("-l"), Value::string("n=16")]))),
            Expr::Bytes(Box::new(Expr::Text(words))),
            Expr::List(vec![
                Expr::Literal(Value::Tuple(Arc::new([Value::string("A"), Value::string("1")]))),
                pair("B", Expr::Secret { name: "TOKEN".into() }),
            ]),
        ]
    );
    assert_eq!(after(&loaded, "wc"), ["split"]);
    let wc = Type::record([
        ("shell".into(), Type::bytes()),
        ("ready-too".into(), Type::Bool),
        ("maybe".into(), Type::option(Type::Bool)),
    ]);
    assert_eq!(node(&loaded, "wc").value, wc);
    let Form::Tasks(members) = &group(&loaded, "wc").form else { panic!() };
    assert_eq!(members[2].when, Some(Expr::Literal(Value::Bool(false))));

    assert_eq!(node(&loaded, "ready").when, Some(node_part(&loaded, "wc", &[1])));
    assert_eq!(after(&loaded, "ready"), ["wc"]);

    let counts = group(&loaded, "counts");
    assert_eq!(items(&loaded, "counts"), &Items::List(node_part(&loaded, "split", &[])));
    assert_eq!(task(&loaded, "counts").arguments, [Expr::Reference { source: Source::Item, path: vec![] }]);
    assert_eq!(
        (counts.concurrency, counts.on_failure, counts.merge),
        (Some(4), OnFailure::Cancel, Merge::Collect)
    );
    assert_eq!(counts.max_branches, 1000);
    assert_eq!(after(&loaded, "counts"), ["split", "total"]);
    assert_eq!(node(&loaded, "counts").value, Type::list(node(&loaded, "total").value.clone()));
    let lines = Items::Lines { path: PathBuf::from("data/alice.txt"), base: Base::Workflow };
    assert_eq!(items(&loaded, "again"), &lines);

    let outputs = &loaded.workflow.outputs;
    assert_eq!(outputs[0].value, node_part(&loaded, "total", &[]));
    assert_eq!(
        (&outputs[1].ty, &outputs[1].file),
        (&Type::U64, &Some(project.folder.join("out/first.json")))
    );
    assert_eq!(
        outputs[2].value,
        Expr::Text(vec![
            Part::Text("data/alice.txt has ".into()),
            Part::Value(node_part(&loaded, "total", &[0])),
            Part::Text(" words, ${really}".into()),
        ])
    );
    assert_eq!(outputs[3].ty, Type::Tuple(Arc::new([Type::S64, Type::Bool])));
    assert_eq!(outputs[3].needs.len(), 1);
}

#[test]
fn the_command_line_has_the_last_word() {
    let project = Project::new();
    let loaded = right(&project, &everything(&project), |options| {
        let pairs = [
            ("book", "../elsewhere.txt"),
            ("parts", "3"),
            ("mode", "fast"),
            ("names", "[\"x\"]"),
            ("note", "null"),
        ];
        options.inputs = pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
        options.executors =
            vec![(Some("counts".to_owned()), "in-process".to_owned()), (None, "auto".to_owned())];
        options.concurrency = Some(2);
    });
    let file = Expr::File { path: Box::new(string("../elsewhere.txt")), base: Base::CommandLine, text: true };
    assert_eq!(task(&loaded, "split").arguments, [file, Expr::Literal(Value::U32(3))]);
    assert_eq!(loaded.workflow.inputs[2].value, Value::Enum(0));
    assert_eq!(group(&loaded, "counts").concurrency, Some(2));
    assert_eq!(group(&loaded, "wc").concurrency, Some(2));
}

#[test]
fn a_root_above_the_folder_widens_it() {
    let project = Project::new();
    let outside = project.folder.parent().unwrap().to_owned();
    std::fs::write(outside.join("shared.txt"), "x").unwrap();
    let source = RIGHT.replace("\"Alice was beginning\"", "{ file = \"../shared.txt\" }")
        + "[tasks.more]\nrun = \"text#ready\"\ngrants = { read = [\"..\", \"data\"] }\n";
    assert!(project.load(&source).is_err());
    let loaded = right(&project, &source, |options| options.root = Some(PathBuf::from("..")));
    assert_eq!(loaded.workflow.root, outside);
    let paths: Vec<_> =
        task(&loaded, "more").policy.grants.directories.iter().map(|one| one.path.clone()).collect();
    assert_eq!(paths, [PathBuf::from("."), PathBuf::from("project/data")]);
}

#[test]
fn items_in_all_their_forms() {
    let project = Project::new();
    let source = r#"
[inputs]
photos = { type = "string" }
[components]
text = "text.wasm"
[tasks.place]
run = "text#place"
with = { index = "${index}", name = "at ${item.name}", pair = "${item.pair}", letter = "${item.letters.1}" }
[groups.literal]
task = "place"
for-each = [{ name = 1, pair = [1, -2], letters = ["a", "b"] }, { name = true, pair = [2, 3], letters = ["c", "d"] }]
[groups.matrix]
task = "place"
for-each = { matrix = { name = ["${inputs.photos}", 1.5], pair = [[1, 2]], letters = [["a", "b"]] } }
[groups.jsonl]
task = "place"
for-each = { jsonl = "data/items.jsonl" }
[tasks.split]
run = "text#split"
with = { text = "tile", parts = "${item}" }
[groups.range]
task = "split"
for-each = { range = [0, 4294967] }
[tasks.read]
run = "text#split"
with = { text = { file = "${item.path}" }, parts = 1 }
[groups.files]
task = "read"
for-each = { files = "data/**/*.txt" }
[groups.photos]
task = "read"
for-each = { files = "${inputs.photos}/**/*.txt" }
[groups.same]
task = "read"
for-each = { files = "${inputs.photos}" }
"#;
    let loaded = right(&project, source, |options| {
        options.inputs = vec![("photos".to_owned(), "/somewhere".to_owned())];
    });
    let letter =
        |path: &[&str]| Expr::Item { path: path.iter().map(|&key| key.into()).collect(), ty: Type::Char };
    let arguments = &task(&loaded, "literal").arguments;
    assert_eq!(arguments[0], Expr::Reference { source: Source::Index, path: vec![] });
    assert_eq!(
        arguments[1],
        Expr::Text(vec![Part::Text("at ".into()), Part::Item { path: vec!["name".into()] }])
    );
    assert_eq!(arguments[3], letter(&["letters", "1"]));
    for group in ["matrix", "jsonl"] {
        assert_eq!(&task(&loaded, group).arguments, arguments);
    }
    let Items::Matrix(axes) = items(&loaded, "matrix") else { panic!() };
    assert_eq!(axes[0], ("name".into(), vec!["/somewhere".into(), 1.5.into()]));
    let Items::Literal(literals) = items(&loaded, "literal") else { panic!() };
    assert_eq!(literals[0].to_string(), r#"{"name":1,"pair":[1,-2],"letters":["a","b"]}"#);
    assert_eq!(items(&loaded, "range"), &Items::Range { start: 0, end: 4_294_967 });
    assert_eq!(task(&loaded, "range").arguments[1], Expr::Item { path: vec![], ty: Type::U32 });

    let read = |group: &str| task(&loaded, group).arguments[0].clone();
    let path = Box::new(Expr::Reference { source: Source::Item, path: vec![0] });
    assert_eq!(read("files"), Expr::File { path: path.clone(), base: Base::Workflow, text: true });
    let pattern = Items::Files { pattern: "data/**/*.txt".to_owned(), base: Base::Workflow };
    assert_eq!(items(&loaded, "files"), &pattern);
    for (group, pattern) in [("photos", "/somewhere/**/*.txt"), ("same", "/somewhere")] {
        assert_eq!(read(group), Expr::File { path: path.clone(), base: Base::CommandLine, text: true });
        assert_eq!(
            items(&loaded, group),
            &Items::Files { pattern: pattern.to_owned(), base: Base::CommandLine }
        );
    }
}

#[test]
fn literals_of_every_kind() {
    let project = Project::new();
    let source = r#"
[components]
text = "text.wasm"
[tasks.a]
run = "text#render"
with.tile = 0xff
with.options = { mode = "fast", scale = 2, shape = { circle = 3 }, marks = ["italic", "bold"], note = "n" }
[tasks.b]
run = "text#join"
with.tiles = ["${a}", { text = "é" }, { base64 = "AP8=" }, [1, 2], [], { file = "data/alice.txt" }, { text = "${c}" }]
[tasks.c]
run = "text#place"
with = { index = "18446744073709551615", name = "n", pair = [1, -2], letter = "界" }
"#;
    let loaded = right(&project, source, |_| {});
    let some = |value| Value::Option(Some(Arc::new(value)));
    let options = Value::Record(Arc::new([
        Value::Enum(0),
        Value::F32(2.0),
        Value::Variant(1, Some(Arc::new(Value::U32(3)))),
        Value::Flags(Arc::new([0b11])),
        some(Value::string("n")),
    ]));
    assert_eq!(task(&loaded, "a").arguments, [Expr::Literal(Value::U32(255)), Expr::Literal(options)]);
    let bytes = |bytes: &'static [u8]| Expr::Literal(Value::Bytes(bytes.into()));
    assert_eq!(
        task(&loaded, "b").arguments,
        [Expr::List(vec![
            node_part(&loaded, "a", &[]),
            bytes("é".as_bytes()),
            bytes(&[0, 255]),
            bytes(&[1, 2]),
            bytes(&[]),
            Expr::File { path: Box::new(string("data/alice.txt")), base: Base::Workflow, text: false },
            Expr::Bytes(Box::new(node_part(&loaded, "c", &[]))),
        ])]
    );
    assert_eq!(after(&loaded, "b"), ["a", "c"]);
    let pair = Value::Tuple(Arc::new([Value::U8(1), Value::S16(-2)]));
    let arguments = [Value::U64(u64::MAX), Value::string("n"), pair, Value::Char('界')];
    assert_eq!(task(&loaded, "c").arguments, arguments.map(Expr::Literal));
}

#[test]
fn builds_are_known_before_anything_is_built() {
    let project = Project::new();
    project.write("workflow.toml", everything(&project));
    std::fs::remove_file(project.folder.join("command.wasm")).unwrap();
    let builds = builds(&project.path()).unwrap();
    assert_eq!(builds.len(), 1);
    assert_eq!(builds[0].alias, "command");
    assert_eq!(builds[0].words, ["cargo", "build", "--manifest-path", "guest/Cargo.toml"]);
    assert_eq!(builds[0].folder, project.folder);
}
