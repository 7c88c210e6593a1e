//! `flowhost replay`: one recorded call, made again from the journal and the store.

use flowhost::journal::{Kept, Record};
use serde_json::{Value, json};

use crate::faults::beside::written;
use crate::recorded::runs;
use crate::support::{Ended, Place, ended};

const WORKFLOW: &str = r#"
    seed = 7
    [inputs]
    more = { type = "u32", default = 1 }
    [components]
    echo = "echo.wasm"
    failing = "failing.wasm"
    sharing = "sharing.wasm"
    [defaults]
    deterministic = true
    [tasks.add]
    run = "echo#add"
    with = { a = "${item}", b = "${inputs.more}" }
    [groups.sums]
    task = "add"
    for-each = { jsonl = "numbers.jsonl" }
    [tasks.total]
    run = "echo#sum"
    with = { values = "${sums}" }
    [tasks.large]
    run = "failing#big-string"
    with = { bytes = 100_000 }
    [tasks.text]
    run = "echo#echo-string"
    with = { value = { file = "text.txt" } }
    [tasks.odd]
    run = "failing#fail-odd"
    with = { number = 1 }
    [tasks.put]
    run = "sharing#write"
    with = { key = "a", text = "kept" }
    deterministic = false
    [tasks.read]
    run = "sharing#read"
    with = { key = "a" }
    after = ["put"]
    deterministic = false
    [tasks.secret]
    run = "echo#echo-string"
    with = { value = { env = "SECRET" } }
    [tasks.waits]
    run = "echo#answer"
    after = ["odd"]
    [outputs]
    total = "${total}"
    large = { value = "${large}", file = "out/large" }
    read = "${read}"
    secret = "${secret}"
"#;

fn command(place: &Place, words: &[&str]) -> Ended {
    ended(place.command(words).env("SECRET", "hunter2"))
}

/// A run that ended, in a folder where all that it was run from is gone or changed since.
fn ran() -> (Place, String) {
    let place = Place::new();
    place.guest("echo").guest("failing").guest("sharing").file("workflow.toml", WORKFLOW);
    place.file("numbers.jsonl", "1\n2\n3\n").file("text.txt", "text");
    let ended = command(&place, &["run", "workflow.toml", "--progress", "none", "--input", "more=10"]);
    assert_eq!((ended.code, ended.json().get("total")), (100, Some(&json!(36))), "{ended}");
    let run = runs(&place).first().unwrap().clone();
    (place, run)
}

fn replayed(place: &Place, run: &str, branch: &str) -> Value {
    let ended = command(place, &["replay", run, branch, "--json"]);
    assert_eq!(ended.code, 0, "{branch}: {ended}");
    ended.json()
}

#[test]
fn deterministic_calls_come_to_the_same_bytes() {
    let (place, run) = ran();
    // Neither the file nor the components are needed any more.
    place.file("workflow.toml", "nonsense").file("echo.wasm", "nonsense");
    std::fs::remove_file(place.path().join("failing.wasm")).unwrap();
    for (branch, value) in [
        ("sums[2]", json!(13)),
        // Of the values of a group.
        ("total", json!(36)),
        // Nobody needs its value, and its digest was kept.
        ("text", json!("text")),
        ("large", json!("x".repeat(100_000))),
    ] {
        let told = replayed(&place, &run, branch);
        assert_eq!(
            (&told["verdict"], &told["deterministic"]),
            (&json!("same"), &json!(true)),
            "{branch}: {told}"
        );
        assert_eq!(told["value"].to_string().len(), value.to_string().len(), "{branch}: {told}");
        if branch != "large" {
            assert_eq!(told["value"], value, "{branch}");
        }
        assert_eq!(
            (&told["recorded"]["digest"], &told["reads"]),
            (&told["here"]["digest"], &json!([])),
            "{told}"
        );
    }
    // A failure is compared by its words.
    let told = replayed(&place, &run, "odd");
    assert_eq!((&told["verdict"], &told["here"]["error"]), (&json!("same"), &json!("1 is odd")), "{told}");
    let ended = command(&place, &["replay", &run, "sums[2]"]);
    assert!(
        ended.code == 0 && ended.stdout.contains("\nsame: the value has the same bytes, sha256:"),
        "{ended}"
    );
}

#[test]
fn what_cannot_be_compared_is_said() {
    let (place, run) = ran();
    let told = replayed(&place, &run, "read");
    assert_eq!(
        (&told["verdict"], &told["value"]),
        (&json!("same"), &json!("kept")),
        "the channel is there: {told}"
    );
    assert_eq!(told["reads"], json!(["the run's channel", "the clock and random bytes"]));
    let ended = command(&place, &["replay", &run, "put"]);
    assert!(
        ended.code == 0
            && ended.stdout.contains("not comparable: it ended alike, and the recorded value was not kept")
            && ended.stdout.contains(
                "not repeatable exactly: the task is not deterministic, and may read the run's channel"
            ),
        "{ended}"
    );
    let told = replayed(&place, &run, "secret");
    assert_eq!(told["verdict"], "not-comparable", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("holds a secret"), "{told}");
    let ended = place.flowhost(["replay", &run, "secret"]);
    assert!(ended.code == 2 && ended.stderr.contains("`SECRET`"), "{ended}");
}

#[test]
fn what_is_not_there_any_more_is_named() {
    let (place, run) = ran();
    let refused = |branch: &str, says: &str| {
        let ended = command(&place, &["replay", &run, branch]);
        assert!(ended.code == 2 && ended.stderr.contains(says), "{says}: {ended}");
    };
    refused("waits", "`waits[0]` was never attempted");
    refused("sums[3]", "has no branch 3");
    refused("sum", "did you mean `sums`?");
    place.file("text.txt", "another");
    refused("text", "the file `text.txt` is not what it was");
    std::fs::remove_file(place.path().join("text.txt")).unwrap();
    refused("text", "`text.txt`");
    place.file("numbers.jsonl", "1\n2\n4\n");
    refused("sums[0]", "the list of items of `sums` is not what it was");
    // What was made of it then is recorded.
    assert_eq!(replayed(&place, &run, "total")["verdict"], "same");
    std::fs::remove_dir_all(place.path().join(".flowhost/store")).unwrap();
    assert_eq!(replayed(&place, &run, "odd")["verdict"], "same", "the files are there yet");
    std::fs::copy(place.path().join("echo.wasm"), place.path().join("failing.wasm")).unwrap();
    let ended = command(&place, &["replay", &run, "odd"]);
    assert_eq!(ended.code, 2, "{ended}");
}

#[test]
fn an_outcome_that_differs_is_told() {
    let place = Place::new();
    let wat = r#"(component
        (core module $M (func (export "run") (param $n i32) (result i32)
            (i32.add (local.get $n) (i32.const 1))))
        (core instance $m (instantiate $M))
        (func (export "run") (param "n" u32) (result u32) (canon lift (core func $m "run"))))"#;
    written(&place, "add", wat);
    place.file(
        "workflow.toml",
        "[components]\nadd = \"add.wasm\"\n[tasks.t]\nrun = \"add#run\"\nwith = { n = 1 }\ndeterministic = true\n[outputs]\nt = \"${t}\"\n",
    );
    assert_eq!(place.run(["--progress", "none"]).json(), json!({ "t": 2 }));
    let run = runs(&place)[0].clone();
    assert_eq!(place.flowhost(["replay", &run, "t"]).code, 0);
    // A journal as a machine would have written it that adds wrongly.
    crate::recorded::rewritten(&place, |record| {
        if let Record::TaskEnded(attempted) = record {
            assert_eq!(attempted.value, Kept::Inline(json!(2)));
            attempted.value = Kept::Inline(json!(3));
        }
    });
    let ended = place.flowhost(["replay", &run, "t"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stdout.contains("different: the value has other bytes"), "{ended}");
    let told = place.flowhost(["replay", &run, "t", "--json"]);
    assert_eq!((told.code, &told.json()["verdict"]), (100, &json!("different")), "{told}");
}

#[test]
fn what_a_group_inside_another_came_to_is_made_again() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.add]
        run = "echo#add"
        with = { a = "${item}", b = 1 }
        [groups.inner]
        task = "add"
        for-each = { range = [0, 3] }
        [tasks.text]
        run = "echo#echo-string"
        with = { value = "beside" }
        [groups.outer]
        tasks = ["inner", "text"]
        [tasks.total]
        run = "echo#sum"
        with = { values = "${outer.inner}" }
        deterministic = true
        [outputs]
        total = "${total}"
        "#,
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "total": 6 })), "{ended}");
    let run = runs(&place)[0].to_string();
    assert_eq!(replayed(&place, &run, "total")["verdict"], "same");
}

/// It runs in flowhost's own process, wherever the branch ran: what forbids that forbids it.
#[test]
fn where_nothing_may_run_in_process_nothing_is_replayed() {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        "[components]\necho = \"echo.wasm\"\n[tasks.one]\nrun = \"echo#answer\"\nexecutor = \"process\"\n",
    );
    let allowed = |words: &[&str], executors: &str| {
        ended(place.command(words).env("FLOWHOST_ALLOW_EXECUTORS", executors))
    };
    let ran = allowed(&["run", "workflow.toml", "--progress", "none"], "process");
    assert_eq!(ran.code, 0, "{ran}");
    let run = &runs(&place)[0];
    let refused = allowed(&["replay", run, "one"], "process");
    assert!(refused.code == 2 && refused.stderr.contains("`in-process`, which"), "{refused}");
    let replayed = allowed(&["replay", run, "one"], "in-process");
    assert_eq!(replayed.code, 0, "{replayed}");
}
