//! The JSON Schema of workflow files, with a validator that is not ours.

use std::collections::BTreeSet;
use std::process::Command;

use flowhost::model::SshOption;
use serde_json::Value;

use crate::support::{Ended, Place, ended, repository};

/// One of everything.
const SOUND: &str = r#"
    name = "everything"
    seed = 7
    [inputs]
    words = { type = "list<string>", default = ["a"] }
    [components]
    echo = "echo.wasm"
    [executors.fleet]
    kind = "redis"
    url = "redis://127.0.0.1:6379"
    queue = "night"
    prefix = "mine"
    key = { env = "HOME" }
    [executors.redis]
    url = { env = "HOME" }
    ca = "ca.pem"
    [executors.lab]
    kind = "ssh"
    nodes = ["me@a", "10.0.0.1", "[fd00::1%eth0]", "me@fd00::2", { address = "b", port = 2222, user = "me", identity-file = "my id", options = ["Compression=yes"] }]
    concurrency = 8
    workdir = "~/.cache/flowhost-1"
    deploy = "never"
    cleanup = true
    connect-timeout = "1m"
    binary = { aarch64-unknown-linux-gnu = "ca.pem" }
    [executors.ssh]
    nodes = ["c"]
    user = "you"
    port = 22
    identity-file = "~/.ssh/id"
    options = ["UserKnownHostsFile=known", "ProxyJump=me@jump:22"]
    [defaults]
    executor = "auto"
    retry = { max-attempts = 2, delay = "200ms", factor = 1.5, max-delay = "1m", jitter = 0, on = ["failed", "trapped"] }
    limits = { memory = "64MiB", timeout = "none", fuel = 1000000, output = "1.5 MiB", log = "4KiB" }
    grants = { read = ["data", { path = "data", as = "d" }], env = { A = "1", B = { env = "HOME" } }, net = ["127.0.0.1:80"], http = ["https://example.com"] }
    [tasks.shout]
    run = "echo#example:echo/extra.shout"
    with = { text = "${item}" }
    [tasks.shout-all]
    run = "echo#join"
    with = { separator = "" }
    [groups.sums]
    task = "sum"
    for-each = { range = [0, 9] }
    split = { chunk = 2 }
    merge = "results"
    [tasks.sum]
    run = "echo#sum"
    with = { values = "${item}" }
    [tasks.answer]
    run = "echo#answer"
    deterministic = true
    cache = true
    grants = {}
    limits = { timeout = "1m", fuel = "none" }
    after = ["shouts"]
    when = true
    [groups.shouts]
    task = "shout"
    for-each = "${inputs.words}"
    concurrency = 2
    on-failure = "cancel"
    require = { at-least = 1 }
    timeout = "1h"
    rate-limit = "50/s"
    breaker = { failures = 5, cooldown = "30s" }
    merge = { task = "shout-all" }
    split = "item"
    max-branches = 10
    [outputs]
    answer = "${answer}"
    shouts = { value = "${shouts}", file = "shouts.json" }
"#;

fn validate(place: &Place, files: &[&str]) -> Ended {
    place.file("schema.json", place.flowhost(["schema"]).stdout);
    let environment = repository().join("tests/guests/target/schema");
    let mut command = Command::new("sh");
    command.arg(repository().join("tests/schema/validate.sh")).arg(environment).arg("schema.json");
    ended(command.args(files).current_dir(place.path()))
}

#[test]
fn a_sound_file_fits_the_schema() {
    let place = Place::new();
    place.guest("echo").file("workflow.toml", SOUND).file("data/file", "").file("ca.pem", "");
    let checked = place.flowhost(["check", "workflow.toml"]);
    assert_eq!(checked.code, 0, "{checked}");
    let examples = ["wordcount", "mandelbrot", "batch", "compare", "review", "fleet"];
    let examples = examples
        .map(|name| repository().join(format!("examples/{name}/workflow.toml")).display().to_string());
    let files: Vec<&str> = std::iter::once("workflow.toml").chain(examples.iter().map(|it| &**it)).collect();
    let fits = validate(&place, &files);
    assert_eq!((fits.code, &*fits.stdout), (0, ""), "{fits}");
}

#[test]
fn a_file_that_check_refuses_for_its_form_does_not_fit_the_schema() {
    let place = Place::new();
    place.guest("echo").file("data/file", "").file("ca.pem", "");
    for (from, to) in [
        ("seed = 7", "sede = 7"),
        ("seed = 7", "seed = -7"),
        ("max-attempts = 2", "max-attempts = 0"),
        ("\"200ms\"", "\"200 years\""),
        ("\"64MiB\"", "64"),
        ("[\"failed\", \"trapped\"]", "[\"fallen\"]"),
        ("executor = \"auto\"", "executor = \"in process\""),
        ("kind = \"redis\"", "kind = \"rabbit\""),
        ("\"redis://127.0.0.1:6379\"", "\"http://127.0.0.1:6379\""),
        ("queue = \"night\"", "queue = \"every night\""),
        ("key = { env = \"HOME\" }", "key = \"hush\""),
        ("key = { env = \"HOME\" }", "nodes = [\"a\"]"),
        ("nodes = [\"c\"]", ""),
        ("nodes = [\"c\"]", "nodes = []"),
        ("nodes = [\"c\"]", "nodes = [\"c\"]\nurl = \"redis://a\""),
        ("nodes = [\"c\"]", "nodes = [\"c:22\"]"),
        ("nodes = [\"c\"]", "nodes = [\"-oProxyCommand=x\"]"),
        ("nodes = [\"c\"]", "nodes = [{ host = \"c\" }]"),
        ("port = 2222", "port = 0"),
        ("port = 2222", "deploy = \"never\""),
        ("user = \"you\"", "user = \"-l\""),
        ("concurrency = 8", "concurrency = 5000"),
        ("\"~/.cache/flowhost-1\"", "\"$HOME\""),
        ("\"~/.ssh/id\"", "\"-i\""),
        ("\"ProxyJump=me@jump:22\"", "\"ProxyJump me@jump\""),
        ("deploy = \"never\"", "deploy = \"sometimes\""),
        ("connect-timeout = \"1m\"", "connect-timeout = \"soon\""),
        ("aarch64-unknown-linux-gnu =", "aarch64 ="),
        ("on-failure = \"cancel\"", "on-failure = \"stop\""),
        ("concurrency = 2", "concurrency = 0"),
        ("{ at-least = 1 }", "{ at-least = 0 }"),
        ("{ at-least = 1 }", "{ critical = [] }"),
        ("{ at-least = 1 }", "\"most\""),
        ("timeout = \"1h\"", "timeout = \"an hour\""),
        ("50/s", "50 per second"),
        ("failures = 5, ", ""),
        ("{ task = \"shout-all\" }", "\"task\""),
        ("{ task = \"shout-all\" }", "{ best = \"x\", task = \"shout-all\" }"),
        ("{ chunk = 2 }", "{ chunk = 0 }"),
        ("{ chunk = 2 }", "{ chunk = 2, round-robin = 2 }"),
        ("{ type = \"list<string>\", default", "{ tpye = \"list<string>\", default"),
        ("echo = \"echo.wasm\"", "echo = { file = \"echo.wasm\" }"),
        ("deterministic = true", "deterministic = \"yes\""),
        ("when = true", "when = \"true\""),
    ] {
        assert!(SOUND.contains(from), "{from}");
        place.file("workflow.toml", SOUND.replace(from, to));
        let checked = place.flowhost(["check", "workflow.toml"]);
        assert_eq!(checked.code, 2, "{to}: {checked}");
        let fits = validate(&place, &["workflow.toml"]);
        assert_eq!(fits.code, 1, "{to}: {fits}");
    }
}

/// The names of all properties.
fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(own)) = fields.get("properties") {
                names.extend(own.keys().cloned());
            }
            fields.values().for_each(|inner| properties(inner, names));
        }
        Value::Array(items) => items.iter().for_each(|inner| properties(inner, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_reference_and_the_parser_know_the_same_keys() {
    let mut known = BTreeSet::new();
    // A unit test holds the schema to the parser.
    properties(&Place::new().flowhost(["schema"]).json(), &mut known);
    let reference = std::fs::read_to_string(repository().join("docs/workflow-reference.md")).unwrap();
    let written = |key: &str| {
        let forms = [format!("`{key}`"), format!("{key} ="), format!("`{key} ="), format!("`[{key}")];
        forms.iter().any(|form| reference.contains(form))
    };
    let missing: Vec<_> = known.iter().filter(|key| !written(key)).collect();
    assert!(missing.is_empty(), "docs/workflow-reference.md does not tell of {missing:?}");

    for option in SshOption::names() {
        assert!(written(option), "docs/workflow-reference.md does not tell of ssh's option {option}");
    }

    // The other way round: the first column of the tables that list keys.
    let tables = reference.lines().scan(false, |inside, line| {
        *inside = line.starts_with("| key |") || (*inside && line.starts_with('|'));
        Some((*inside, line))
    });
    let rows = tables.filter(|(inside, line)| *inside && line.starts_with("| `")).map(|(_, line)| line);
    let mut listed = Vec::new();
    for row in rows {
        let names = row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2);
        listed.extend(names.map(|name| name.trim_matches(['[', ']']).trim_end_matches(".NAME").to_owned()));
    }
    assert!(listed.len() > 20, "{listed:?}");
    let unknown: Vec<_> = listed.iter().filter(|key| !known.contains(*key)).collect();
    assert!(unknown.is_empty(), "the parser does not know {unknown:?}");
}
