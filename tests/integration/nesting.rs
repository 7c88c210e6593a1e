//! Groups that are members of groups: their values, their ends, and what becomes of them when the group
//! around them is decided, the run is killed, or the file makes no sense.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::groups::events;
use crate::policies::{count, ends, group_ended, place, run};
use crate::recorded::{ends as recorded, history};
use crate::resume::{attempts, resumed};
use crate::support::Ended;

/// Groups of several shapes, for others to contain.
const INNER: &str = r#"
    [tasks.one]
    run = "echo#answer"
    [tasks.next]
    run = "echo#add"
    with = { a = "${item}", b = 1 }
    [groups.list]
    task = "next"
    for-each = { range = [0, 3] }
    [tasks.fold]
    run = "echo#sum"
    [groups.total]
    task = "next"
    for-each = { range = [0, 4] }
    merge = { task = "fold" }
    [tasks.pieces]
    run = "echo#cut"
    [tasks.add-up]
    run = "echo#sum"
    with = { values = "${item}" }
    [groups.pieces-of]
    task = "add-up"
    for-each = [1, 2, 0, 3, 4]
    split = { task = "pieces" }
    merge = { task = "fold" }
    [tasks.sample]
    run = "echo#echo-sample"
    with = { value = { name = "${item.name}", score = "${item.score}", weight = 1, tags = [] } }
    [groups.winner]
    task = "sample"
    for-each = [{ name = "a", score = 1.5 }, { name = "b", score = 2.5 }]
    merge = { best = "score" }
    [tasks.odd]
    run = "failing#fail-odd"
    with = { number = "${item}" }
    [groups.failing]
    task = "odd"
    for-each = { range = [0, 3] }
"#;

/// Runs `rest` beside those groups, of which nobody names some.
fn with(rest: &str) -> Ended {
    run(&format!("{INNER}\n{rest}"))
}

fn run_ended(ended: &Ended) -> Value {
    events(&ended.stderr).into_iter().find(|event| event["event"] == "run-ended").unwrap()
}

#[test]
fn a_groups_value_is_a_field_of_the_group_around_it() {
    let ended = with(
        r#"
        [groups.deepest]
        tasks = ["list", "winner"]
        [groups.middle]
        tasks = ["deepest", "pieces-of"]
        [groups.outer]
        tasks = ["one", "middle", "total", "left-out"]
        [groups.left-out]
        tasks = ["one"]
        when = false
        [tasks.use]
        run = "echo#add"
        with = { a = "${outer.total}", b = "${outer.middle.deepest.list.2}" }
        [outputs]
        outer = "${outer}"
        use = "${use}"
        "#,
    );
    // `failing` is alone, and fails.
    assert_eq!(ended.code, 100, "{ended}");
    let sample = json!({ "name": "b", "score": 2.5, "weight": 1, "tags": [] });
    let deepest = json!({ "list": [1, 2, 3], "winner": sample });
    let middle = json!({ "deepest": deepest, "pieces-of": 10 });
    let outer = json!({ "one": 42, "middle": middle, "total": 10, "left-out": null });
    assert_eq!(ended.json(), json!({ "outer": outer, "use": 13 }));

    let count_of = |group: &str| {
        let ended = group_ended(&ended, group);
        [&ended["status"], &ended["succeeded"], &ended["cancelled"]].map(Clone::clone)
    };
    assert_eq!(count_of("outer"), [json!("succeeded"), json!(3), json!(0)]);
    assert_eq!(count_of("middle"), [json!("succeeded"), json!(2), json!(0)]);
    assert_eq!(count_of("deepest"), [json!("succeeded"), json!(2), json!(0)]);
    assert_eq!(count_of("pieces-of"), [json!("succeeded"), json!(2), json!(0)]);
    assert_eq!(group_ended(&ended, "left-out")["reason"], "its `when` is false");
    // Calls count and groups do not: 3 + 2 in `deepest`, 4 in `pieces-of`, 1 + 5 in `outer`, 3 in `failing`, `use`.
    let run = run_ended(&ended);
    assert_eq!((&run["succeeded"], &run["failed"]), (&json!(18), &json!(1)), "{run}");
}

#[test]
fn groups_are_merged_like_tasks() {
    let merged = |merge: &str, members: &str| {
        let ended = with(&format!(
            "[groups.list-too]\ntask = \"next\"\nfor-each = [7]\n[groups.outer]\ntasks = [{members}]\nmerge = {merge}\n[outputs]\nouter = \"${{outer}}\""
        ));
        assert_eq!(ended.code, 100, "`failing` alone fails: {ended}");
        ended.json()["outer"].clone()
    };
    assert_eq!(merged("\"concat\"", r#""list", "list-too""#), json!([1, 2, 3, 8]));
    assert_eq!(merged("\"first-success\"", r#""total""#), json!(10));
    assert_eq!(merged("{ task = \"fold\" }", r#""total", "one", "pieces-of""#), json!(62));
    assert_eq!(merged("{ best = \"score\" }", r#""winner""#)["name"], "b");
    assert_eq!(merged("\"results\"", r#""total", "one""#), json!([{ "ok": 10 }, { "ok": 42 }]));
}

#[test]
fn a_group_that_fails_is_a_branch_that_failed() {
    let outer = |keys: &str| with(&format!("[groups.outer]\ntasks = [\"one\", \"failing\"]\n{keys}\n"));
    let ended = outer("");
    assert_eq!(ended.code, 100, "{ended}");
    let outer_ended = group_ended(&ended, "outer");
    assert_eq!((&outer_ended["succeeded"], &outer_ended["failed"]), (&json!(1), &json!(1)), "{outer_ended}");
    assert_eq!(outer_ended["reason"], "group `failing` did not succeed");

    // What fails where not all is required is no failure of the run.
    let ended = outer("require = { critical = [\"one\"] }\n[outputs]\nouter = \"${outer}\"");
    assert_eq!(
        (ended.code, ended.json()),
        (0, json!({ "outer": { "one": 42, "failing": null } })),
        "{ended}"
    );
    assert_eq!(group_ended(&ended, "failing")["status"], "failed");
    assert_eq!(group_ended(&ended, "failing")["within"], "outer");
    assert_eq!(group_ended(&ended, "outer").get("within"), None);
    let ended = outer("require = { critical = [\"failing\"] }");
    assert_eq!(group_ended(&ended, "outer")["reason"], "`failing` had to succeed", "{ended}");

    let results = "[groups.outer]\ntasks = [\"race\", \"failing-too\"]\nmerge = \"results\"\n[outputs]\nouter = \"${outer}\"";
    let ended = run(&format!(
        "{INNER}\n[tasks.bad]\nrun = \"failing#fail\"\nwith = {{ message = \"no\" }}\n[groups.failing-too]\ntask = \"bad\"\nfor-each = [1]\n[groups.race]\ntask = \"bad\"\nfor-each = [1]\nmerge = \"collect\"\nrequire = \"any\"\n{results}"
    ));
    let said = [
        "failed: group `race`: no branch succeeded and 1 is required",
        "failed: group `failing-too` did not succeed",
    ];
    assert_eq!(ended.json()["outer"], json!([{ "err": said[0] }, { "err": said[1] }]), "{ended}");
}

#[test]
fn groups_are_tried_one_after_the_other_where_one_may_run() {
    let ended = run(r#"
        [tasks.odd]
        run = "failing#fail-odd"
        with = { number = "${item}" }
        [groups.first]
        task = "odd"
        for-each = [1, 3]
        [groups.second]
        task = "odd"
        for-each = [2, 4]
        [groups.third]
        task = "odd"
        for-each = [6]
        [groups.choice]
        tasks = ["first", "second", "third"]
        merge = "first-success"
        concurrency = 1
        "#);
    assert_eq!((ended.code, ended.json()), (0, json!({ "choice": [2, 4] })), "{ended}");
    let order: Vec<_> = events(&ended.stderr)
        .into_iter()
        .filter(|event| event["event"] == "group-started" || event["event"] == "group-ended")
        .map(|event| event["group"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["choice", "first", "first", "second", "second", "third", "choice"]);
    let third = group_ended(&ended, "third");
    assert_eq!(
        (&third["status"], &third["reason"]),
        (&json!("cancelled"), &json!("the group that it is in was decided"))
    );
    let run = run_ended(&ended);
    assert_eq!((&run["succeeded"], &run["failed"], &run["cancelled"]), (&json!(2), &json!(2), &json!(0)));
}

/// A group of an endless loop, a nap and a group of loops, beside what `rest` says.
fn endless(outer: &str) -> Ended {
    run(&format!(
        r#"
        [tasks.loop]
        run = "failing#spin"
        limits = {{ timeout = "100s" }}
        [groups.loops]
        task = "loop"
        for-each = {{ range = [0, 40] }}
        [tasks.nap]
        run = "failing#sleep"
        with = {{ ms = 3600000 }}
        [groups.deep]
        tasks = ["loop", "nap", "loops"]
        [tasks.quick]
        run = "failing#sleep"
        with = {{ ms = 300 }}
        {outer}
        "#
    ))
}

/// Whether all of `deep` was cancelled, soon.
#[expect(clippy::indexing_slicing, reason = "JSON has null where there is nothing")]
fn assert_cancelled(ended: &Ended) {
    for (group, branches) in [("deep", 3), ("loops", 40)] {
        let end = group_ended(ended, group);
        assert_eq!((&end["status"], &end["cancelled"]), (&json!("cancelled"), &json!(branches)), "{end}");
        assert_eq!(end["reason"], "the group that it is in was decided");
        assert!(end["seconds"].as_f64().unwrap() < 30.0, "{end}");
        let ends = ends(ended, group);
        assert!(
            ends.iter().all(|(_, error)| error == "the group that its group is in was decided"),
            "{ends:?}"
        );
    }
}

#[test]
fn the_first_success_cancels_groups_at_once() {
    let ended = endless(
        r#"
        [groups.fast]
        tasks = ["quick"]
        merge = "first-success"
        [groups.slow]
        tasks = ["deep"]
        merge = "first-success"
        [groups.race]
        tasks = ["fast", "slow-too"]
        merge = "first-success"
        [groups.slow-too]
        tasks = ["nap", "loop"]
        merge = "first-success"
        [groups.around]
        tasks = ["race", "slow"]
        timeout = "8s"
        require = "any"
        [outputs]
        race = "${around.race}"
        "#,
    );
    assert_eq!((ended.code, ended.json()), (0, json!({ "race": { "some": null } })), "{ended}");
    assert_eq!(group_ended(&ended, "slow-too")["status"], "cancelled");
    assert_eq!(group_ended(&ended, "race")["status"], "succeeded");
    assert_cancelled(&ended);
}

#[test]
fn a_group_that_fails_cancels_those_beside_it_at_once() {
    let ended = endless(
        r#"
        [tasks.bad]
        run = "failing#trap-after"
        with = { ms = 300 }
        [groups.bads]
        tasks = ["bad"]
        [groups.all]
        tasks = ["deep", "bads"]
        on-failure = "cancel"
        "#,
    );
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(group_ended(&ended, "all")["reason"], "group `bads` did not succeed");
    assert_cancelled(&ended);
    assert_eq!(run_ended(&ended)["cancelled"], 42, "two tasks of `deep`, and `loops`");
}

#[test]
fn the_timeout_of_the_group_around_ends_all_in_it() {
    let ended = endless(
        r#"
        [groups.all]
        tasks = ["deep", "quick"]
        timeout = "5s"
        require = "any"
        [outputs]
        all = "${all}"
        "#,
    );
    assert_eq!(
        (ended.code, ended.json()),
        (0, json!({ "all": { "deep": null, "quick": { "some": null } } })),
        "{ended}"
    );
    assert_eq!(group_ended(&ended, "all")["reason"], "its timeout of 5s passed");
    assert_cancelled(&ended);
}

#[test]
fn an_inner_group_keeps_its_own_policies_and_waits_for_what_it_needs() {
    let ended = run(r#"
        [tasks.make]
        run = "echo#echo-longs"
        with = { value = [0, 1, 2, 3] }
        [tasks.odd]
        run = "failing#fail-odd"
        with = { number = "${item}" }
        [groups.inner]
        task = "odd"
        for-each = "${make}"
        require = "any"
        concurrency = 1
        [tasks.first]
        run = "echo#answer"
        [groups.outer]
        tasks = ["first", "inner"]
        on-failure = "cancel"
        [outputs]
        inner = "${outer.inner}"
        "#);
    assert_eq!((ended.code, ended.json()), (0, json!({ "inner": [0, 2] })), "{ended}");
    let begun = events(&ended.stderr);
    let at = |event: &str, key: &str, name: &str| {
        begun.iter().position(|one| one["event"] == event && one[key] == name).unwrap()
    };
    assert!(at("task-ended", "task", "make") < at("group-started", "group", "outer"), "{ended}");

    let ended = run(r#"
        [tasks.bad]
        run = "failing#fail"
        with = { message = "no" }
        [tasks.next]
        run = "echo#add"
        with = { a = "${item}", b = 1 }
        [groups.inner]
        task = "next"
        for-each = [1]
        after = ["bad"]
        [tasks.first]
        run = "echo#answer"
        [groups.outer]
        tasks = ["first", "inner"]
        "#);
    assert_eq!(ended.code, 100, "{ended}");
    for group in ["outer", "inner"] {
        let end = group_ended(&ended, group);
        assert_eq!(end["status"], "skipped");
        assert_eq!(end["reason"], "it waits for `bad`, which has no value");
    }
    assert_eq!(
        count(&ended, "task-ended", "outer"),
        0,
        "nothing is done for a group that cannot be completed"
    );
}

#[test]
fn a_killed_run_goes_on_inside_of_its_groups() {
    let place = place(
        r#"
        [tasks.next]
        run = "echo#add"
        with = { a = "${item}", b = 1 }
        [tasks.fold]
        run = "echo#sum"
        [groups.sums]
        task = "next"
        for-each = { range = [0, 3] }
        merge = { task = "fold" }
        [tasks.wait]
        run = "failing#sleep"
        with = { ms = "${item}" }
        [groups.naps]
        task = "wait"
        for-each = [0, 0, 0, 3000]
        [groups.middle]
        tasks = ["sums", "naps"]
        [tasks.one]
        run = "echo#answer"
        [groups.outer]
        tasks = ["one", "middle"]
        [outputs]
        outer = "${outer}"
        "#,
    );
    let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ended = |line: &String| line.contains("\"task-ended\"");
    // All but the nap: one, three and their sum, three naps.
    assert_eq!(lines.map(Result::unwrap).filter(ended).take(8).count(), 8);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = recorded(&place);
    assert_eq!(before.len(), 8, "{before:?}");

    let ended = resumed(&place, &[]);
    let middle = json!({ "sums": 6, "naps": [null, null, null, null] });
    assert_eq!(
        (ended.code, ended.json()),
        (0, json!({ "outer": { "one": 42, "middle": middle } })),
        "{ended}"
    );
    assert_eq!(attempts(&place, "naps"), [1, 1, 1, 1]);
    let names: Vec<String> = {
        let mut names: Vec<_> = history(&place).nodes.into_keys().map(|name| name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names, ["middle", "naps", "outer", "sums", "sums/merge"]);
    assert!(recorded(&place).values().all(|ends| *ends == 1));
    let shown = place.flowhost(["runs"]);
    assert!(shown.stdout.contains("9 succeeded, 0 failed, 0 cancelled"), "{shown}");
}

#[test]
fn what_failed_inside_runs_again_unless_a_group_around_succeeded() {
    let place = place(&format!(
        "{INNER}\n[groups.outer]\ntasks = [\"one\", \"failing\"]\n[groups.enough]\ntasks = [\"one\", \"failing-too\"]\nrequire = \"any\"\n[groups.failing-too]\ntask = \"odd\"\nfor-each = [1]"
    ));
    assert_eq!(place.run(["--progress", "none"]).code, 100);
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(attempts(&place, "failing"), [1, 2, 1]);
    assert_eq!(attempts(&place, "failing-too"), [1]);
}

#[test]
fn a_change_of_what_is_inside_makes_what_waits_for_it_anew() {
    let text = |number: u32| {
        format!(
            r#"
            [tasks.one]
            run = "echo#answer"
            [tasks.next]
            run = "echo#add"
            with = {{ a = "${{item}}", b = {number} }}
            [groups.inner]
            task = "next"
            for-each = [1, 2]
            [groups.middle]
            tasks = ["inner"]
            [groups.outer]
            tasks = ["one", "middle"]
            [tasks.use]
            run = "echo#add"
            with = {{ a = "${{outer.middle.inner.1}}", b = "${{outer.one}}" }}
            [outputs]
            use = "${{use}}"
            "#
        )
    };
    let place = place(&text(1));
    assert_eq!(place.run(["--progress", "none"]).json(), json!({ "use": 45 }));
    let changed = place.read("workflow.toml").replace("b = 1 ", "b = 5 ");
    place.file("workflow.toml", changed);
    let run = format!("--resume={}", crate::recorded::runs(&place)[0]);
    let ended = place.run(["--progress", "none", &run, "--force-changed"]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "use": 49 })), "{ended}");
    assert_eq!((attempts(&place, "inner"), attempts(&place, "use")), (vec![2, 2], vec![2]));
    assert_eq!(attempts(&place, "outer"), [1], "its own task is as it was");
}

#[test]
fn a_first_ctrl_c_stops_groups_inside_groups_and_the_run_goes_on() {
    let place = place(
        r#"
        [tasks.wait]
        run = "failing#wait-for-cancel"
        with = { ms = 600_000 }
        [groups.waiting]
        task = "wait"
        for-each = { range = [0, 2] }
        concurrency = 1
        [groups.outer]
        tasks = ["waiting"]
        [outputs]
        outer = "${outer}"
        "#,
    );
    for branch in 0..2 {
        let resume = if branch == 0 { None } else { Some("--resume") };
        let mut command = place.command(["run", "workflow.toml", "--progress", "json"]);
        let mut child = command.args(resume).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut sent = false;
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            if line.unwrap().contains("\"attempt-started\"") && !sent {
                let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
                rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
                sent = true;
            }
        }
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(if branch == 1 { 0 } else { 130 }), "branch {branch}");
    }
    assert_eq!(attempts(&place, "waiting"), [1, 1]);
}

#[test]
fn people_see_a_group_inside_a_group_as_one_of_its_own() {
    let place = place(&format!("{INNER}\n[groups.outer]\ntasks = [\"one\", \"failing\"]"));
    let dry = place.run(["--dry-run"]);
    assert!(dry.stdout.contains("group outer: one, failing"), "{dry}");
    assert!(dry.stdout.contains("list<u64>, in group outer"), "{dry}");
    let moved = place.run(["--dry-run", "--executor", "one=process"]);
    let outer = moved.stdout.lines().find(|line| line.starts_with("group outer:")).unwrap();
    assert!(outer.ends_with(", on process"), "{moved}");
    let ended = place.run(["--progress", "plain"]);
    for part in ["failing[1] (task odd): failed", "outer: failed: group `failing` did not succeed"] {
        assert!(ended.stderr.contains(part), "`{part}` is not in: {ended}");
    }
    let told = place.flowhost(["logs", &crate::recorded::runs(&place)[0], "failing[1]"]);
    assert!(told.stdout.contains("1 is odd"), "{told}");
    let told = place.flowhost(["explain", &crate::recorded::runs(&place)[0], "outer[1]"]);
    assert!(told.stdout.contains("or it is a group, which goes by its own name"), "{told}");
}

#[test]
fn groups_that_cannot_be_nested_are_refused_with_their_line() {
    let place = place(
        "[tasks.one]\nrun = \"echo#answer\"\n[groups.a]\ntasks = [\"one\", \"b\"]\n[groups.b]\ntasks = [\"a\"]\n[outputs]\nb = \"${b}\"",
    );
    let checked = place.flowhost(["check", "workflow.toml"]);
    assert_eq!(checked.code, 2, "{checked}");
    for part in [
        "workflow.toml:7:17: groups contain each other: `a` → `b` → `a`",
        "workflow.toml:11:6: group `b` runs only in a group, so it has no value of its own",
    ] {
        assert!(checked.stderr.contains(part), "`{part}` is not in: {checked}");
    }
}
