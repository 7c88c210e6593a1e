//! Figures that tasks report, and the totals that are made of them.

use serde_json::{Value, json};

use crate::support::{Ended, Place, ended};

fn sharing(workflow: &str) -> Place {
    let place = Place::new();
    let text = format!("[components]\nsharing = \"sharing.wasm\"\n{workflow}");
    place.guest("sharing").file("workflow.toml", text);
    place
}

/// The run's JSON lines.
fn events(ended: &Ended) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{ended}"));
    ended.stderr.lines().map(parse).collect()
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

const FIGURES: &str = r#"
    [tasks.figure]
    run = "sharing#figure"
    with = { name = "pages", amount = 1.5, fails-first = true }
    [groups.all]
    task = "figure"
    for-each = { range = [0, 20] }
    retry = { max-attempts = 2, delay = "1ms" }
    [tasks.price]
    run = "sharing#figure"
    with = { name = "price-usd", amount = 0.25, fails-first = false }
    limits = { fuel = 1000000000 }
    [tasks.lost]
    run = "sharing#figure"
    with = { name = "lost", amount = 1.0, fails-first = true }
"#;

#[test]
fn figures_of_attempts_that_succeeded_are_summed() {
    let ended = sharing(FIGURES).run(["--progress", "json"]);
    assert_eq!(ended.code, 100, "{ended}");
    let events = events(&ended);

    let metrics = of(&events, "metric");
    assert_eq!(metrics.len(), 21, "{ended}");
    let pages = metrics.iter().filter(|event| event["name"] == "pages");
    let mut indices: Vec<u64> = pages
        .inspect(|event| {
            assert_eq!((&event["value"], &event["attempt"]), (&json!(1.5), &json!(2)), "{event}")
        })
        .map(|event| event["index"].as_u64().unwrap())
        .collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..20).collect::<Vec<_>>());

    let ends = of(&events, "group-ended");
    let end = |name: &str| *ends.iter().find(|end| end["group"] == name || end["task"] == name).unwrap();
    assert_eq!((&end("all")["metrics"], &end("all")["success-rate"]), (&json!({"pages": 30.0}), &json!(1.0)));
    assert_eq!(end("price")["metrics"], json!({"price-usd": 0.25}));
    assert!(end("price")["fuel"].as_u64().unwrap() > 0 && end("all")["fuel"].is_null());
    assert_eq!((&end("lost")["metrics"], &end("lost")["success-rate"]), (&Value::Null, &json!(0.0)));

    let run = of(&events, "run-ended")[0];
    assert_eq!(run["metrics"], json!({"pages": 30.0, "price-usd": 0.25}));
    assert_eq!((&run["succeeded"], &run["failed"]), (&json!(21), &json!(1)));
    assert_eq!((&run["success-rate"], &run["fuel"]), (&json!(21.0 / 22.0), &end("price")["fuel"]));
    assert!(run["guest-seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_summary_shows_the_totals() {
    let ended = sharing(FIGURES).run(["--progress", "plain"]);
    assert_eq!(ended.code, 100, "{ended}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines.iter().any(|line| line.starts_with("all: succeeded") && line.ends_with("; pages 30")),
        "{ended}"
    );
    let at = lines.iter().position(|line| line.contains("21 succeeded, 1 failed (95.4%); ")).unwrap();
    assert!(lines[at].contains(" in guests; ") && lines[at].ends_with(" fuel"), "{ended}");
    let mut nodes = lines[at + 1..at + 3].to_vec();
    nodes.sort_unstable();
    assert_eq!(nodes, ["    all: pages 30", "    price: price-usd 0.25"], "{ended}");
    assert_eq!(lines[at + 3], "    total: pages 30, price-usd 0.25", "{ended}");
}

#[test]
fn what_is_no_figure_is_told_to_the_guest() {
    let ended = sharing("[tasks.broken]\nrun = \"sharing#break-figures\"\n").run(["--progress", "none"]);
    assert_eq!(ended.code, 0, "{ended}");
    let said = ended.json()["broken"].clone();
    let kinds = ["invalid-name", "invalid-name", "not-finite", "not-finite", "too-many-names"];
    let said: Vec<&str> = said.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(said.len(), kinds.len(), "{ended}");
    for (text, kind) in said.iter().zip(kinds) {
        assert!(text.contains(kind), "{text} {kind}");
    }
}

#[test]
fn names_beyond_the_bound_are_left_out_and_that_is_said_once() {
    let workflow = r#"
        [tasks.many]
        run = "sharing#many-figures"
        with = { prefix = "p${index}", count = 32 }
        [groups.all]
        task = "many"
        for-each = { range = [0, 20] }
    "#;
    let ended = sharing(workflow).run(["--progress", "json"]);
    assert_eq!(ended.code, 0, "{ended}");
    let events = events(&ended);
    assert_eq!(of(&events, "metric").len(), 640, "each is told of");
    let warnings = of(&events, "warning").into_iter().map(|event| event["kind"].clone());
    // Whoever comes first has its component compiled.
    let warnings: Vec<_> = warnings.filter(|kind| kind != "compiling").collect();
    assert_eq!(warnings, ["metrics-dropped"], "{ended}");
    assert_eq!(of(&events, "run-ended")[0]["metrics"].as_object().unwrap().len(), 256);
}

#[test]
fn a_secret_that_is_a_name_is_redacted() {
    let workflow = r#"
        [tasks.one]
        run = "sharing#figure"
        with = { name = { env = "TOKEN" }, amount = 2.0, fails-first = false }
    "#;
    let place = sharing(workflow);
    let ended =
        ended(place.command(["run", "workflow.toml", "--progress", "json"]).env("TOKEN", "hunter2hunter2"));
    assert_eq!(ended.code, 0, "{ended}");
    assert!(!ended.stderr.contains("hunter2"), "{ended}");
    let events = events(&ended);
    assert_eq!(of(&events, "metric")[0]["name"], "[redacted]");
    assert_eq!(of(&events, "run-ended")[0]["metrics"], json!({"[redacted]": 2.0}));
}

#[test]
fn figures_of_deterministic_tasks_come_from_the_cache_with_their_outcomes() {
    let place = Place::new();
    place.guest("counting").file(
        "workflow.toml",
        r#"
        [components]
        counting = "counting.wasm"
        [tasks.count]
        run = "counting#count"
        with = { text = "${item}" }
        deterministic = true
        cache = true
        [groups.all]
        task = "count"
        for-each = ["one", "two words", "three words here"]
        "#,
    );
    let cache = tempfile::tempdir().unwrap();
    for cached in [0, 3] {
        let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
        let ended = ended(command.env("XDG_CACHE_HOME", cache.path()));
        assert_eq!((ended.code, ended.json()), (0, json!({"all": [1, 2, 3]})), "{ended}");
        let events = events(&ended);
        let run = of(&events, "run-ended")[0];
        assert_eq!((&run["metrics"], &run["cached"]), (&json!({"words": 6.0}), &json!(cached)), "{ended}");
        assert_eq!(of(&events, "metric").len(), 3);
    }
}
