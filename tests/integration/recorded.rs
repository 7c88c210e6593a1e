//! What is kept of runs, and the commands about it: `runs`, `logs`, `cancel`, `prune`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use flowhost::journal::{History, Record, Run, State, Writer};

use crate::support::{Place, files_below};

/// The ids of the runs here, the newest first.
pub(crate) fn runs(place: &Place) -> Vec<String> {
    let state = State::find(&place.path().join(".flowhost")).unwrap();
    let runs = state.map(|state| state.runs().unwrap()).unwrap_or_default();
    runs.iter().map(ToString::to_string).collect()
}

/// The newest run here.
fn newest(place: &Place) -> Run {
    let state = State::find(&place.path().join(".flowhost")).unwrap().unwrap();
    state.run(state.runs().unwrap().first().unwrap()).unwrap().unwrap()
}

/// Where the newest run's journal is.
pub(crate) fn journal(place: &Place) -> PathBuf {
    place.path().join(format!(".flowhost/runs/{}/journal.jsonl", newest(place).id()))
}

/// What the journal of the newest run comes to. Reading it refuses a second outcome of a branch.
pub(crate) fn history(place: &Place) -> History {
    newest(place).history().unwrap().0
}

/// Writes the newest run's journal anew, sealed as it should be, with its records changed.
pub(crate) fn rewritten(place: &Place, mut change: impl FnMut(&mut Record)) {
    let mut records = Vec::new();
    newest(place)
        .read(|mut stamped| {
            change(&mut stamped.record);
            records.push(stamped);
            Ok(())
        })
        .unwrap();
    let mut writer = Writer::new(std::fs::File::create(journal(place)).unwrap());
    for stamped in records {
        writer.add(stamped, None).unwrap();
    }
    writer.write().unwrap();
}

/// How often each branch ended, by the newest run's journal, with what was discarded taken away.
pub(crate) fn ends(place: &Place) -> BTreeMap<(String, u32), usize> {
    let run = newest(place);
    let mut ends: BTreeMap<(String, u32), usize> = BTreeMap::new();
    run.read(|stamped| {
        match stamped.record {
            Record::TaskEnded(attempted) => {
                *ends.entry((attempted.node.to_string(), attempted.index)).or_default() += 1;
            }
            Record::Unstarted { node, from, to } => {
                for index in from..to {
                    *ends.entry((node.to_string(), index)).or_default() += 1;
                }
            }
            Record::Discarded(again) => ends.retain(|(node, index), _| {
                let all = again.branches.is_empty();
                let among = again.branches.iter().any(|(first, last)| (first..=last).contains(&index));
                **node != *again.node || !(all || among)
            }),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    ends
}

const FAILING: &str = r#"
    [components]
    failing = "failing.wasm"
    [tasks.one]
    run = "failing#fail-odd"
    with = { number = "${item}" }
    [groups.all]
    task = "one"
    for-each = { range = [0, 4] }
    [tasks.talk]
    run = "failing#panic"
    with = { message = "the last words" }
    [outputs]
    all = "${all}"
"#;

#[test]
fn a_run_is_kept_where_only_we_can_see_it() {
    let place = Place::new();
    place.guest("failing").file("workflow.toml", FAILING);
    assert_eq!(place.run(["--progress", "none"]).code, 100);
    let kept = place.path().join(".flowhost");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept), 0o700);
    assert_eq!(std::fs::read_to_string(kept.join(".gitignore")).unwrap(), "*\n");
    for file in files_below(&kept) {
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700), "{}", file.display());
    }
    let run = &runs(&place)[0];
    assert_eq!(place.read(&format!(".flowhost/runs/{run}/workflow.toml")), place.read("workflow.toml"));
    let journal = place.read(&format!(".flowhost/runs/{run}/journal.jsonl"));
    for line in journal.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["version"], 1, "{line}");
    }
    // One line a branch and no more, beside those of the run and its two nodes.
    assert_eq!(journal.lines().count(), 5 + 2 + 2 * 2, "{journal}");
    assert!(ends(&place).values().all(|ends| *ends == 1));
}

#[test]
fn nothing_is_kept_where_that_is_asked_for() {
    let place = Place::new();
    place.guest("failing").file("workflow.toml", FAILING).file("elsewhere/keep", "");
    assert_eq!(place.run(["--progress", "none", "--no-journal"]).code, 100);
    assert!(!place.path().join(".flowhost").exists());
    assert_eq!(place.run(["--progress", "none", "--state-dir", "elsewhere/state"]).code, 100);
    assert!(!place.path().join(".flowhost").exists());
    let listed = place.flowhost(["runs", "--state-dir", "elsewhere/state"]);
    assert_eq!(listed.stdout.lines().count(), 1, "{listed}");
    let ended = place.run(["--no-journal", "--resume"]);
    assert!(ended.code == 2 && ended.stderr.contains("leave --no-journal out"), "{ended}");
}

#[test]
fn runs_are_listed_and_their_logs_shown() {
    let place = Place::new();
    place.guest("failing").file("workflow.toml", FAILING);
    let none = place.flowhost(["runs"]);
    assert!(none.code == 0 && none.stderr.contains("there are no runs"), "{none}");
    place.run(["--progress", "none"]);
    let listed = place.flowhost(["runs"]);
    let run = runs(&place)[0].clone();
    assert!(listed.stdout.starts_with(&run) && listed.stdout.contains("workflow  failed"), "{listed}");
    assert!(listed.stdout.contains("2 succeeded, 3 failed, 0 cancelled"), "{listed}");
    let json = place.flowhost(["runs", "--json", "--file", "workflow.toml"]).json();
    assert_eq!((&json[0]["run"], &json[0]["failed"]), (&run.clone().into(), &3.into()), "{json}");

    // The beginning of an id will do.
    let told = place.flowhost(["logs", &run[..15], "talk"]);
    assert!(
        told.stdout.contains("talk[0], attempt 1: trapped") && told.stdout.contains("the last words"),
        "{told}"
    );
    let told = place.flowhost(["logs", &run, "all[3]"]);
    assert!(told.stdout.contains("failed after") && told.stdout.contains("3 is odd"), "{told}");
    assert_eq!(place.flowhost(["logs", &run, "all"]).stdout.lines().count(), 4);
    let told = place.flowhost(["logs", &run, "all[9]"]);
    assert!(told.code == 2 && told.stderr.contains("`all` has no branch 9"), "{told}");
    let told = place.flowhost(["logs", "2001", "all"]);
    assert!(told.code == 2 && told.stderr.contains("there is no run `2001`"), "{told}");
}

#[test]
fn a_run_at_work_is_cancelled_and_its_journal_kept_by_prune() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.wait]
        run = "failing#sleep"
        with = { ms = 600_000 }
        [tasks.large]
        run = "failing#big-string"
        with = { bytes = 100_000 }
        [outputs]
        large = "${large}"
        "#,
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut until = |part: &str| lines.by_ref().any(|line| line.unwrap().contains(part));
    assert!(until("\"task-ended\""));
    let run = runs(&place)[0].clone();
    let listed = place.flowhost(["runs"]);
    assert!(listed.stdout.contains("running") && listed.stdout.contains(&child.id().to_string()), "{listed}");
    let pruned = place.command(["prune", "--older-than", "0s"]).env("XDG_CACHE_HOME", place.path()).status();
    assert!(pruned.unwrap().success());
    assert_eq!(runs(&place), std::slice::from_ref(&run), "a run at work was removed");
    let stored = files_below(&place.path().join(".flowhost/store")).len();
    assert_eq!(stored, 2, "its value or its component was removed");

    let cancelled = place.flowhost(["cancel", &run, "--now"]);
    assert_eq!(cancelled.code, 0, "{cancelled}");
    assert!(until("run-ended"));
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let again = place.flowhost(["cancel", &run]);
    assert!(again.code == 2 && again.stderr.contains("is not at work"), "{again}");
    assert!(place.flowhost(["runs"]).stdout.contains("unfinished"));

    let prune = |age: &str, flag: Option<&str>| {
        let mut command = place.command(["prune", "--older-than", age]);
        crate::support::ended(command.args(flag).env("XDG_CACHE_HOME", place.path()))
    };
    assert_eq!(prune("1d", None).code, 0);
    assert_eq!(runs(&place).len(), 1);
    let told = prune("0s", None);
    assert!(
        told.stderr.contains("runs: 0 removed")
            && told.stderr.contains(&format!("run {run} is not finished and stays")),
        "{told}"
    );
    let mut command = place.command(["prune", "--older-than", "0s", "--unfinished", "--dry-run"]);
    let told = crate::support::ended(command.env("XDG_CACHE_HOME", place.path()));
    assert!(told.stderr.contains("runs: 1 would be removed"), "{told}");
    assert_eq!(runs(&place).len(), 1);
    let told = prune("0s", Some("--unfinished"));
    assert!(
        told.stderr.contains("runs: 1 removed") && told.stderr.contains("components: 2 removed"),
        "{told}"
    );
    assert_eq!(runs(&place), Vec::<String>::new());
    assert!(files_below(&place.path().join(".flowhost/store")).is_empty());
}

#[test]
fn secrets_are_never_written_down() {
    let place = Place::new();
    place.guest("echo").guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        failing = "failing.wasm"
        [tasks.said]
        run = "echo#echo-string"
        with = { value = { env = "SECRET" } }
        [tasks.bytes]
        run = "echo#echo-bytes"
        with = { value = { text = "no secret" } }
        [tasks.failed]
        run = "failing#panic"
        with = { message = { env = "SECRET" } }
        [outputs]
        said = "${said}"
        bytes = "${bytes}"
        "#,
    );
    let run = |arguments: &[&str]| {
        let mut command = place.command(["run", "workflow.toml", "--progress", "none"]);
        crate::support::ended(command.args(arguments).env("SECRET", "hunter2-is-secret"))
    };
    let ended = run(&[]);
    assert_eq!((ended.code, &ended.json()["said"]), (100, &"hunter2-is-secret".into()), "{ended}");
    for file in files_below(&place.path().join(".flowhost")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", file.display());
    }
    let journal = place.read(&format!(".flowhost/runs/{}/journal.jsonl", runs(&place)[0]));
    assert!(journal.contains("\"environment\":[\"SECRET\"]") && journal.contains("[redacted]"), "{journal}");
    // What was not written down runs again.
    let ended = run(&["--resume", "--retry-failed"]);
    assert_eq!(ended.json()["said"], "hunter2-is-secret", "{ended}");
    assert_eq!(history(&place).nodes["said"].branches[&0].attempts, 2);
    assert_eq!(history(&place).nodes["bytes"].branches[&0].attempts, 1);
}
