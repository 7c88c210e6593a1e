//! Broken workflows, and what people are told. Read the snapshots as somebody would who has never
//! seen the documentation: each has to be enough to mend the file.

use super::{FETCHING, Project, RIGHT, TEXT, component};
use crate::manifest::Trust;

/// Names a broken workflow and shows what is said of it.
pub(super) fn told(name: &str, project: &Project, source: &str) {
    snapshot(name, &project.broken(source));
}

fn snapshot(name: &str, shown: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, shown);
    });
}

/// The components, and then `rest`.
pub(super) fn with(rest: &str) -> String {
    format!("[components]\ntext = \"text.wasm\"\ncommand = \"command.wasm\"\n{rest}")
}

/// [`RIGHT`] with one change.
fn changed(from: &str, to: &str) -> String {
    assert!(RIGHT.contains(from), "{from}");
    RIGHT.replace(from, to)
}

#[test]
fn w1_syntax() {
    let project = Project::new();
    told(
        "syntax",
        &project,
        "name = wordcount\n[components\ntext = \"text.wasm\"\n[tasks.a]\nrun = \"text#split\nwith = {}\n",
    );
    told(
        "duplicate-keys",
        &project,
        &changed("run = \"text#split\"", "run = \"text#split\"\nrun = \"text#split\""),
    );
    told(
        "unknown-keys",
        &project,
        &format!(
            "{}\n[task.x]\nrun = 1\n[defaults]\nretry = {{ max_attempts = 3, dealy = \"1s\" }}\n",
            changed("for-each", "foreach")
        ),
    );
    told(
        "wrong-kinds",
        &project,
        &with(
            "[tasks.a]\nrun = 3\nwith = \"x\"\nafter = \"b\"\nretry = \"3\"\nlimits = { memory = 128, timeout = \"10 seconds\", fuel = 0, log = \"1TB\" }\ndeterministic = \"yes\"\n[tasks]\nb = \"text#split\"\n",
        ),
    );
    told(
        "dates-and-numbers",
        &project,
        &with(
            "[tasks.a]\nrun = \"text#render\"\nwith = { tile = 99999999999999999999, options = 2026-01-01 }\n",
        ),
    );
    told("nothing-to-run", &project, &with(""));
    told("title", &project, "name = \"a\\nb\"\nseed = -1\n");
}

#[test]
fn w1_names() {
    let project = Project::new();
    told(
        "unknown-names",
        &project,
        &RIGHT
            .replace("text#split", "txet#split")
            .replace("text#count-words", "text#count_words")
            .replace("${counts}", "${count}")
            .replace("${total.total}", "${totl}"),
    );
    told(
        "unknown-fields",
        &project,
        &changed("${total.total}", "${total.totl} of ${total.best.x} in ${counts.first}, ${total.total.x}"),
    );
    told("bad-references", &project, &changed("${total.total}", "${total} ${ total } ${total"));
    told(
        "name-clash",
        &project,
        &format!(
            "{RIGHT}\n[groups.total]\ntask = \"count\"\nfor-each = \"${{split}}\"\n[tasks.index]\nrun = \"text#ready\"\n[tasks.\"a b\"]\nrun = \"text#ready\"\n"
        ),
    );
    told(
        "run",
        &project,
        &with(
            "[tasks.a]\nrun = \"text\"\n[tasks.b]\nwith = {}\n[tasks.c]\nrun = \"text#\"\n[tasks.d]\nrun = \"text#stats.ready\"\nstdout = \"bytes\"\n",
        ),
    );
    told(
        "arguments",
        &project,
        &changed(
            "with = { text = \"Alice was beginning\", parts = 4 }",
            "with = { txt = \"Alice was beginning\", part = 4, more = 1 }",
        ),
    );
    told("unused-with", &project, &with("[tasks.a]\nrun = \"text#ready\"\nwith = { x = 1 }\n"));
}

#[test]
fn w1_cycles() {
    let project = Project::new();
    told("cycle", &project, &changed("run = \"text#split\"", "run = \"text#split\"\nafter = [\"total\"]"));
    told(
        "waits-for-itself",
        &project,
        &with("[tasks.a]\nrun = \"text#merge-counts\"\nwith = { parts = [\"${a}\"] }\n"),
    );
}

#[test]
fn w1_types() {
    let project = Project::new();
    told(
        "types-of-references",
        &project,
        &changed("${counts}", "${split}")
            .replace("${item}", "${index}")
            .replace("for-each = \"${split}\"", "for-each = \"${total}\""),
    );
    told(
        "literals",
        &project,
        &with(
            r#"
[tasks.a]
run = "text#render"
with = { tile = -1, options = { mode = "quick", scale = "1.5", shape = "circle", marks = ["bald"], colour = 1 } }
[tasks.b]
run = "text#place"
with = { index = "12x", name = 7, pair = [256, 1, 2], letter = "ab" }
[tasks.c]
run = "text#join"
with = { tiles = ["plain", { base64 = "!" }, { txt = "x" }, [1, 300]] }
[tasks.d]
run = "text#split"
with = { text = { file = "data/alice.txt", text = "x" }, parts = 4294967296 }
"#,
        ),
    );
    told(
        "text",
        &project,
        &with(
            "[tasks.a]\nrun = \"text#split\"\nwith = { text = \"about ${b}\", parts = \"number ${b.total}\" }\n[tasks.b]\nrun = \"text#merge-counts\"\nwith = { parts = [] }\n",
        ),
    );
    told(
        "when",
        &project,
        &changed("run = \"text#count-words\"", "run = \"text#count-words\"\nwhen = true")
            .replace("run = \"text#split\"", "run = \"text#split\"\nwhen = \"${total.total}\""),
    );
    told(
        "item-outside",
        &project,
        &with(
            "[tasks.a]\nrun = \"text#count-words\"\nwith = { text = \"${item}\" }\n[tasks.b]\nrun = \"text#count-words\"\nwith = { text = \"${index}\" }\n[groups.g]\ntasks = [\"b\"]\n",
        ),
    );
}

#[test]
fn groups_that_make_no_sense() {
    let project = Project::new();
    told(
        "group-forms",
        &project,
        &with(
            r#"
[tasks.a]
run = "text#ready"
[groups.none]
[groups.empty]
tasks = []
[groups.both]
task = "a"
tasks = ["a"]
[groups.half]
task = "a"
[groups.other-half]
for-each = [1]
[groups.strangers]
tasks = ["a", "a", "aa", "empty"]
[groups.numbers]
task = "a"
for-each = []
concurrency = 0
max-branches = 100000000
on-failure = "stop"
executor = "local"
"#,
        ),
    );
    told(
        "item-literals",
        &project,
        &with(
            r#"
[tasks.a]
run = "text#place"
with = { index = "${index}", name = "tile ${item.name}", pair = [1, "${item.offset}"], letter = "${item.letter}" }
[groups.g]
task = "a"
for-each = [
  { name = "x", offset = 3, letter = "x" },
  { name = [1], offset = 40000, letter = "x" },
  { nmae = "x", offset = 3, letter = "xy" },
]
[groups.m]
task = "a"
for-each = { matrix = { name = ["a"], offset = [1, "2"] } }
[groups.r]
task = "b"
for-each = { range = [-1, 5] }
[tasks.b]
run = "text#split"
with = { text = "${item.x}", parts = "${item}" }
"#,
        ),
    );
    told(
        "for-each-forms",
        &project,
        &with(
            r#"
[tasks.a]
run = "text#ready"
[groups.b]
task = "a"
for-each = { ranges = [0, 1] }
[groups.c]
task = "a"
for-each = { range = [5, 1] }
[groups.d]
task = "a"
for-each = { matrix = [1] }
[groups.e]
task = "a"
for-each = "every ${a}"
[groups.f]
task = "a"
for-each = { files = "data/[", lines = "x" }
[groups.g]
task = "a"
for-each = { files = "data/[" }
[groups.h]
task = "a"
for-each = { lines = "${a}" }
[groups.i]
task = "a"
for-each = ["${a}", 1979-05-27]
"#,
        ),
    );
}

#[test]
fn w2_too_many_branches() {
    let project = Project::new();
    let axis = format!("[{}]", "1,".repeat(1000));
    told(
        "too-many-branches",
        &project,
        &with(&format!(
            r#"
[tasks.a]
run = "text#ready"
[groups.range]
task = "a"
for-each = {{ range = [0, 1000000000] }}
[groups.widest]
task = "a"
for-each = {{ range = [-9223372036854775808, 9223372036854775807] }}
[groups.matrix]
task = "a"
for-each = {{ matrix = {{ a = {axis}, b = {axis}, c = {axis}, d = {axis}, e = {axis}, f = {axis}, g = {axis} }} }}
[groups.few]
task = "a"
for-each = ["a", "b", "c"]
max-branches = 2
"#
        )),
    );
}

#[test]
fn w3_paths_that_lead_out() {
    let project = Project::new();
    std::os::unix::fs::symlink("..", project.folder.join("up")).unwrap();
    told(
        "paths-that-lead-out",
        &project,
        &with(
            r#"
more = "../text.wasm"
[inputs]
book = { type = "string", default = "/etc/passwd" }
[tasks.a]
run = "text#split"
with = { text = { file = "../secret.txt" }, parts = 1 }
grants = { read = ["up", "/"], write = ["data/../.."] }
[tasks.b]
run = "text#split"
with = { text = { file = "${inputs.book}" }, parts = 1 }
[tasks.c]
run = "text#ready"
[groups.files]
task = "c"
for-each = { files = "up/*/x" }
[groups.climbs]
task = "c"
for-each = { files = "*/../../x" }
[groups.lines]
task = "c"
for-each = { lines = "/etc/passwd" }
[outputs]
out = { value = "${a}", file = "up/out.json" }
"#,
        ),
    );
}

#[test]
fn components_that_cannot_be_used() {
    let project = Project::new();
    project.write("garbage.wasm", b"\0asm\x01\0\0\0garbage");
    project.write("text.txt", "not wasm at all");
    project.write("core.wasm", wat::parse_str("(module)").unwrap());
    project.write("cut.wasm", &component(TEXT)[..200]);
    project.write("fetching.wasm", component(FETCHING));
    told(
        "components",
        &project,
        r#"
[components]
missing = "mising.wasm"
unbuilt = { path = "guest/text.wasm", build = "cargo build" }
garbage = "garbage.wasm"
text-file = "text.txt"
core = "core.wasm"
cut = "cut.wasm"
folder = "data"
fetching = "fetching.wasm"
quoted = { path = "text.wasm", build = "cargo 'build" }
pinned = { path = "text.wasm", digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
mispinned = { path = "text.wasm", digest = "md5:1" }
[tasks.a]
run = "missing#anything"
[tasks.b]
run = "fetching#go"
"#,
    );
}

#[test]
fn grants_and_outputs_that_would_do_harm() {
    let project = Project::new();
    told(
        "grants",
        &project,
        &with(
            r#"
built = { path = "text.wasm", build = "cargo build --manifest-path=guest/Cargo.toml" }
[tasks.a]
run = "text#ready"
grants = { write = [".", "guest/src", "out"], read = ["dta", "text.wasm", { path = "data", as = "out" }], env = { "A=B" = "x", TOKEN = { env = "TOKN" } }, wirte = [] }
[tasks.b]
run = "text#ready"
deterministic = true
grants = { read = ["data"] }
[tasks.c]
run = "text#ready"
cache = true
[tasks.d]
run = "text#ready"
deterministic = true
cache = true
grants = { env = { TOKEN = { env = "TOKEN" } } }
"#,
        ),
    );
    told(
        "network",
        &project,
        &with(
            r#"
[tasks.a]
run = "text#ready"
[tasks.a.grants]
net = [
    "10.0.0.0/8:5432",
    "db.example.com:5432",
    "10.1.2.3/8:5432",
    "[::ffff:10.0.0.1]:5432",
    "::1:80",
    "127.0.0.1",
    5432,
]
http = [
    "https://api.example.com",
    "api.example.com",
    "https://api.example.com/v1",
    "https://*.example.com",
    "http://2130706433",
]
[tasks.b]
run = "text#ready"
deterministic = true
grants = { net = ["127.0.0.1:6379"] }
[tasks.c]
run = "text#ready"
grants = { net = "127.0.0.1:6379", http = {} }
"#,
        ),
    );
    told(
        "outputs",
        &project,
        &with(
            r#"
[tasks.a]
run = "text#ready"
[outputs]
one = { value = "${a}", file = "out/a.json" }
two = { value = "${a}", file = "out/../out/a.json" }
self = { value = "${a}", file = "workflow.toml" }
code = { value = "${a}", file = "text.wasm" }
folder = { value = "${a}", file = "out" }
none = { file = "out/b.json" }
item = "${item}"
"#,
        ),
    );
}

#[test]
fn settings_that_make_no_sense() {
    let project = Project::new();
    told(
        "settings",
        &project,
        &with(
            r#"
[defaults]
executor = "in_process"
retry = { max-attempts = 0, delay = "soon", factor = 0.5, jitter = 2, on = ["fail", "lost", "rejected"] }
limits = { memory = "1B", timeout = "0s", fuel = "much", output = "64mib" }
[tasks.a]
run = "text#ready"
"#,
        ),
    );
}

#[test]
fn inputs_that_do_not_fit() {
    let project = Project::new();
    let source = with(
        r#"
[inputs]
book = { type = "strin" }
parts = { type = "u32" }
mode = { type = "text#mode", default = "quick" }
other = { type = "txt#mode" }
counts = { type = "text#count" }
scale = { type = "f32" }
late = { type = "string", default = "${a} ${inputs.book}" }
bare = "x"
[tasks.a]
run = "text#split"
with = { text = "${inputs.parts} ${inputs.book} ${inputs.page}", parts = "${inputs.scale}" }
"#,
    );
    let problems = project
        .load_with(&source, |options| {
            let pairs = [("parts", "many"), ("mode", "quick"), ("scal", "1"), ("mode", "\"fast\"")];
            options.inputs = pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
            options.executors =
                vec![(None, "proces".to_owned()), (Some("b".to_owned()), "in-process".to_owned())];
            options.concurrency = Some(0);
        })
        .unwrap_err();
    snapshot("inputs", &project.shown(&problems));
}

#[test]
fn p5_nothing_in_a_file_acts_on_a_terminal() {
    let project = Project::new();
    let shown = project.broken("\"a\\u001b[2J\" = 1\nb = \"\u{202e}evil\"\n");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    snapshot("escapes", &shown);
}

#[test]
fn files_that_are_no_files() {
    let project = Project::new();
    let told = |name: &str, file: &str| {
        let problems = super::load(&project.folder.join(file), &project.options()).unwrap_err();
        snapshot(name, &project.shown(&problems));
    };
    told("no-file", "missing.toml");
    told("a-folder", "data");
    project.write("latin.toml", b"name = \"caf\xe9\"\n");
    told("not-utf-8", "latin.toml");
}

#[test]
fn an_untrusted_file_asks_for_more_than_it_may() {
    let project = Project::new();
    let source = with(
        r#"
[tasks.a]
run = "text#split"
with = { text = { env = "TOKEN" }, parts = 1 }
[tasks.a.grants]
read = ["data"]
env = { LANG = "C", KEY = { env = "TOKEN" }, HOME = { env = "HOME" } }
net = ["10.1.0.0/16:5432", "127.0.0.1:80"]
http = ["https://api.example.com", "https://api.example.com:8443"]
"#,
    );
    let allow = |list: &[&str]| Trust::Only(list.iter().map(|text| text.parse().unwrap()).collect());
    let load = |list: &[&str]| {
        project.load_with(&source, |options| {
            options.trust = allow(list);
            options.environment = &|_| Some("secret".to_owned());
        })
    };
    snapshot("untrusted", &project.shown(&load(&[]).unwrap_err()));
    let some = ["env=HOME", "net=10.0.0.0/8:1-9999", "http=https://api.example.com"];
    let problems = load(&some).unwrap_err();
    let told: Vec<&str> = problems.list.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "an untrusted file may not read the environment variable `TOKEN`",
            "an untrusted file may not read the environment variable `TOKEN`",
            "an untrusted file may not connect to `127.0.0.1:80`",
            "an untrusted file may not send requests to `https://api.example.com:8443`",
        ]
    );
    let rest = ["env=TOKEN", "net=127.0.0.1:80", "http=https://api.example.com:8443"];
    let loaded = load(&[&some[..], &rest[..]].concat()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.asks.iter().any(|ask| ask.to_string() == "net 10.1.0.0/16:5432: task a"));
}
