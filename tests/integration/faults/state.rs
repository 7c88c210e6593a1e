//! H2 and H5: the folder of runs on a full or read-only disk, planted, damaged, or used by two at once.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};

use crate::recorded::{ends, journal};
use crate::support::{Ended, Place, ended};

fn numbers(branches: u32) -> Place {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            echo = "echo.wasm"
            [tasks.number]
            run = "echo#echo-u32"
            with = {{ value = "${{item}}" }}
            [groups.numbers]
            task = "number"
            for-each = {{ range = [0, {branches}] }}
            [tasks.total]
            run = "echo#sum"
            with = {{ values = "${{numbers}}" }}
            [outputs]
            total = "${{total}}"
            "#
        ),
    );
    place
}

/// Runs a script in a mount namespace of its own. `$0 "$@"` is `flowhost run workflow.toml`.
fn mounted(place: &Place, script: &str) -> Ended {
    let run = place.command(["run", "workflow.toml", "--progress", "none"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(place.path());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ended = ended(&mut command);
    assert!(!ended.stderr.contains("unshare failed"), "this test needs the right to mount: {ended}");
    ended
}

#[test]
fn h2_a_full_disk_ends_the_run_which_goes_on_when_there_is_room() {
    let place = numbers(3_000);
    place.file("state/keep", "");
    let ended = mounted(
        &place,
        r#"mount -t tmpfs -o size=128k,mode=700 none state || exit 9
        "$0" "$@" --state-dir state
        echo "first: $?" >&2
        tail -c 1 state/runs/*/journal.jsonl | od -An -c >&2
        mount -o remount,size=8m none state || exit 9
        "$0" "$@" --state-dir state --resume"#,
    );
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.stderr.contains("first: 1\n"), "{ended}");
    assert!(ended.stderr.contains("can be resumed from what was written"), "{ended}");
    assert!(ended.stderr.contains("No space left on device"), "{ended}");
    assert!(ended.stderr.contains("\\n"), "something half-written stays: {ended}");
    assert_eq!(ended.stdout, format!("{{\"total\":{}}}\n", 2_999 * 3_000 / 2));
}

#[test]
fn h2_a_disk_that_is_full_from_the_start_begins_nothing() {
    let place = numbers(3);
    place.file("state/keep", "");
    let ended = mounted(
        &place,
        r#"mount -t tmpfs -o size=16k,mode=700 none state || exit 9
        dd if=/dev/zero of=state/full bs=1k count=64 2>/dev/null
        "$0" "$@" --state-dir state
        echo "code: $?" >&2
        find state -name .gitignore -o -name journal.jsonl -o -name '*.toml' >&2"#,
    );
    assert!(ended.stderr.contains("code: 1\n") && ended.stderr.contains("No space left"), "{ended}");
    assert!(ended.stderr.ends_with("code: 1\n"), "half a run stays: {ended}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn h2_a_read_only_folder_is_named_with_the_way_out() {
    let place = numbers(3);
    let ended = mounted(
        &place,
        r#"mount --bind . . && cd "$PWD" && mount -o remount,bind,ro . || exit 9
        "$0" "$@"
        echo "code: $?" >&2
        "$0" "$@" --no-journal"#,
    );
    assert!(ended.stderr.contains("code: 1\n"), "{ended}");
    assert!(ended.stderr.contains(".flowhost") && ended.stderr.contains("--state-dir"), "{ended}");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "{\"total\":3}\n"), "{ended}");
}

#[test]
fn h5_a_planted_folder_is_refused() {
    let place = numbers(3);
    let kept = place.path().join(".flowhost");
    let refused = |says: &str| {
        let ended = place.run(["--progress", "none"]);
        assert!(ended.code == 1 && ended.stderr.contains(says), "{says}: {ended}");
        assert_eq!(ended.stdout, "", "it ran");
    };
    fs::create_dir(place.path().join("elsewhere")).unwrap();
    symlink("elsewhere", &kept).unwrap();
    refused("it is a link");
    assert_eq!(fs::read_dir(place.path().join("elsewhere")).unwrap().count(), 0);
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, "").unwrap();
    refused("it is not a folder");
    fs::remove_file(&kept).unwrap();

    assert_eq!(place.run(["--progress", "none"]).code, 0);
    for inside in ["", "runs", "store"] {
        let folder = kept.join(inside);
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        refused("others can write to it");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        chown(&folder, Some(12345), None).expect("this test needs the right to give folders away");
        refused("it belongs to user 12345");
        chown(&folder, Some(0), None).unwrap();
    }
    fs::rename(kept.join("runs"), kept.join("moved")).unwrap();
    symlink("moved", kept.join("runs")).unwrap();
    refused("it is a link");
}

/// A run that was stopped half-way: its journal has no end.
fn unfinished() -> (Place, std::path::PathBuf) {
    let place = numbers(20);
    assert_eq!(place.run(["--progress", "none"]).code, 0);
    let journal = journal(&place);
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kept = lines.len() - 4;
    fs::write(&journal, lines.into_iter().take(kept).collect::<String>()).unwrap();
    (place, journal)
}

#[test]
fn h5_an_edited_journal_is_named_by_line_and_byte() {
    let (place, journal) = unfinished();
    let whole = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let starts = |line: usize| lines[..line - 1].concat().len();
    let edited = lines[4].replace("\"outcome\":\"succeeded\"", "\"outcome\":\"failed\"");
    assert_ne!(edited, lines[4]);
    let forged = "{\"version\":1,\"event\":\"task-ended\",\"node\":\"numbers\",\"index\":0,\"attempt\":1,\"outcome\":\"succeeded\",\"value\":7,\"sum\":\"00000000\"}\n";
    let cases = [
        ("edited", [lines[..4].concat(), edited, lines[5..].concat()].concat(), 5),
        ("removed", [lines[..4].concat(), lines[5..].concat()].concat(), 5),
        ("forged", [whole.as_str(), forged].concat(), lines.len() + 1),
        ("from another run", [lines[0], lines[0]].concat(), 2),
    ];
    for (what, text, line) in cases {
        fs::write(&journal, text).unwrap();
        let ended = place.run(["--resume"]);
        let begins = if line > lines.len() { whole.len() } else { starts(line) };
        let place_of = format!("line {line}, which begins at byte {begins},");
        assert!(ended.code == 1 && ended.stderr.contains(&place_of), "{what}: {ended}");
        let listed = place.flowhost(["runs"]);
        assert!(listed.stdout.contains("damaged"), "{what}: {listed}");
    }
    // A line that was not finished is no damage.
    fs::write(&journal, [whole.as_str(), &forged[..40]].concat()).unwrap();
    let ended = place.run(["--resume", "--progress", "none"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "{\"total\":190}\n"), "{ended}");
    assert!(ends(&place).values().all(|ends| *ends == 1));
}

#[test]
fn h5_a_second_process_on_one_run_is_refused() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        "[components]\nfailing = \"failing.wasm\"\n[tasks.wait]\nrun = \"failing#sleep\"\nwith = { ms = 600_000 }\n",
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"attempt-started\"")));
    let before = fs::read(journal(&place)).unwrap();
    let second = place.run(["--resume"]);
    let process = format!("is at work in process {}", child.id());
    assert!(second.code == 2 && second.stderr.contains(&process), "{second}");
    let after = fs::read(journal(&place)).unwrap();
    assert_eq!(before, after);
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock went with the process.
    assert!(place.flowhost(["runs"]).stdout.contains("unfinished"));
}
