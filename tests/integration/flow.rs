//! What tasks decide while they run: that others start, that they run again, that the run ends.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::recorded::history;
use crate::resume::{attempts, resumed};
use crate::support::{Ended, Place, ended};

/// A place with the guest, and a workflow of `tasks` and the rest.
fn steering(workflow: &str) -> Place {
    let place = Place::new();
    let text = format!("[components]\nsteering = \"steering.wasm\"\n{workflow}");
    place.guest("steering").file("workflow.toml", text);
    place
}

fn run(workflow: &str) -> Ended {
    steering(workflow).run(["--progress", "plain"])
}

fn values(workflow: &str) -> Value {
    let ended = run(workflow);
    assert_eq!(ended.code, 0, "{ended}");
    ended.json()
}

#[test]
fn a_task_starts_others_and_their_values_are_a_list_in_the_order_started() {
    let ended = run(r#"
        [tasks.draft]
        run = "steering#act"
        with = { text = "draft", asks = ['next refine {"text": "one"}', 'next refine {"text": "two", "asks": ["finishes"]}', 'next refine {"text": "three"}'] }
        may-start = ["refine"]
        [tasks.refine]
        run = "steering#act"
        with = { asks = [] }
        [tasks.joined]
        run = "steering#join"
        with = { texts = "${refine}" }
        [outputs]
        draft = "${draft}"
        refined = "${refine}"
        joined = "${joined}"
        "#);
    // The second one panics: nobody asks for that.
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(ended.json(), json!({ "draft": "draft" }));
    assert!(
        ended.stderr.contains("refine[1]") && ended.stderr.contains("nobody asks for finishes"),
        "{ended}"
    );

    let values = values(
        r#"
        [tasks.draft]
        run = "steering#act"
        with = { text = "draft", asks = ['next refine {"text": "one"}', 'hand refine', 'next refine {"text": "three"}'] }
        may-start = ["refine"]
        [tasks.refine]
        run = "steering#act"
        with = { asks = [] }
        [tasks.joined]
        run = "steering#join"
        with = { texts = "${refine}" }
        [outputs]
        refined = "${refine}"
        joined = "${joined}"
        "#,
    );
    assert_eq!(values, json!({ "refined": ["one", "draft", "three"], "joined": "one,draft,three" }));
}

#[test]
fn a_task_that_starts_itself_divides_its_work() {
    let values = values(
        r#"
        [tasks.begin]
        run = "steering#act"
        with = { text = "", asks = ['next split {"low": 0, "high": 500}'] }
        may-start = ["split"]
        [tasks.split]
        run = "steering#split"
        may-start = ["split"]
        [outputs]
        numbers = "${split}"
        "#,
    );
    let numbers: Vec<Option<u32>> = serde_json::from_value(values["numbers"].clone()).unwrap();
    assert_eq!(numbers.len(), 999);
    let mut numbers: Vec<u32> = numbers.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[test]
fn an_iteration_has_a_retry_budget_of_its_own_and_the_last_value_counts() {
    let values = values(
        r#"
        [tasks.down]
        run = "steering#count-down"
        with = { number = "${item}" }
        max-iterations = 4
        retry = { max-attempts = 2, delay = "0s" }
        [groups.all]
        task = "down"
        for-each = { range = [0, 4] }
        [outputs]
        all = "${all}"
        "#,
    );
    assert_eq!(values, json!({ "all": [0, 0, 0, 0] }));
}

#[test]
fn what_the_file_does_not_allow_is_an_error_to_the_guest() {
    let values = values(
        r#"
        [tasks.bold]
        run = "steering#act"
        with = { text = "bold", asks = ['next other {}', 'iterate {}', 'finish', 'abort no', 'goto other'] }
        [tasks.member]
        run = "steering#act"
        with = { text = "member", asks = [
            'goto other', 'next other {"text": 1}', 'next other {"texd": "a"}', 'next other', 'next other []', 'next bold {}',
            'next other {"text": "fine"}', 'iterate {"asks": ["iterate {}"]}', 'goto other', 'iterate {}'] }
        may-start = ["other"]
        max-iterations = 2
        [groups.some]
        tasks = ["member"]
        [tasks.other]
        run = "steering#act"
        with = { asks = [] }
        [outputs]
        bold = "${bold}"
        some = "${some}"
        other = "${other}"
        "#,
    );
    let bold = values["bold"].as_str().unwrap();
    for said in [
        "[not-allowed: `may-start` of task `bold` does not list `other`]",
        "[not-allowed: task `bold` may run again only with `max-iterations`]",
        "[not-allowed: task `bold` may end the run only with `may-end = true`]",
    ] {
        assert!(bold.contains(said), "{bold}");
    }
    // The second iteration asked for a third.
    assert_eq!(values["some"]["member"], "member [too-many-iterations]");
    assert_eq!(values["other"], json!(["fine"]));
}

#[test]
fn what_does_not_fit_is_said_at_the_call() {
    let values = values(
        r#"
        [tasks.draft]
        run = "steering#act"
        with = { text = "draft", asks = [
            'next other {"text": 1}', 'next other {"texd": "a"}', 'next other', 'next other []', 'goto other', 'next bold {}',
            'finish', 'finish', 'next other {"text": "dropped with the run"}'] }
        may-start = ["other"]
        may-end = true
        [tasks.other]
        run = "steering#act"
        with = { asks = [] }
        [outputs]
        draft = "${draft}"
        "#,
    );
    let draft = values["draft"].as_str().unwrap();
    for said in [
        "task `other`: `text`: expected a string, found 1",
        "no parameter `texd`: did you mean `text`?",
        "`text` is missing: it is not in the task's `with` either",
        "not a JSON object of arguments",
        "does not list `bold`",
        "[already-decided]",
    ] {
        assert!(draft.contains(said), "{said} in {draft}");
    }
}

#[test]
fn what_an_attempt_may_ask_for_is_bounded() {
    let values = values(
        r#"
        [tasks.many]
        run = "steering#flood"
        with = { task = "other", arguments = "{}" }
        may-start = ["other"]
        [tasks.much]
        run = "steering#flood"
        with = { task = "wide", arguments = { text = "..." } }
        may-start = ["wide"]
        [tasks.other]
        run = "steering#join"
        with = { texts = [] }
        [tasks.wide]
        run = "steering#join"
        with = { texts = [] }
        [outputs]
        many = "${many}"
        "#
        .replace("{ text = \"...\" }", &format!("'{{\"texts\": [\"{}\"]}}'", "x".repeat(100_000)))
        .as_str(),
    );
    assert_eq!(values["many"], json!([10_000, "too-many-requests"]));
}

#[test]
fn nothing_takes_effect_unless_the_attempt_succeeds() {
    let ended = run(r#"
        [tasks.draft]
        run = "steering#act"
        with = { text = "draft", asks = ['next refine {"text": "one"}', 'finish', 'fails'] }
        may-start = ["refine"]
        may-end = true
        retry = { max-attempts = 2, delay = "0s" }
        [tasks.refine]
        run = "steering#act"
        with = { asks = [] }
        [outputs]
        refined = "${refine}"
        "#);
    assert_eq!((ended.code, &*ended.stdout), (100, ""), "{ended}");
    assert!(ended.stderr.contains("fails after all") && !ended.stderr.contains("starts refine"), "{ended}");
    assert!(
        ended.stderr.contains("`draft`, which might have started more of it, did not succeed"),
        "{ended}"
    );
}

#[test]
fn a_task_goes_on_elsewhere_and_what_waits_for_it_is_skipped() {
    let ended = run(r#"
        [tasks.draft]
        run = "steering#act"
        with = { text = "draft", asks = ['goto publish', 'next publish {"text": "first"}'] }
        may-start = ["publish"]
        [tasks.publish]
        run = "steering#act"
        with = { text = "published: ${draft}", asks = [] }
        [tasks.polish]
        run = "steering#act"
        with = { text = "${draft}", asks = [] }
        [outputs]
        published = "${publish}"
        polished = "${polish}"
        "#);
    assert_eq!(
        (ended.code, ended.json()),
        (0, json!({ "published": ["first", "published: draft"] })),
        "{ended}"
    );
    assert!(ended.stderr.contains("`draft`, which it waits for, went on elsewhere"), "{ended}");
    assert!(ended.stderr.contains("draft: starts publish\ndraft: goes on to publish\n"), "{ended}");
}

#[test]
fn a_task_that_was_started_goes_on_elsewhere_too() {
    let values = values(
        r#"
        [tasks.begin]
        run = "steering#act"
        with = { text = "begin", asks = ['next middle {"text": "middle"}'] }
        may-start = ["middle"]
        [tasks.middle]
        run = "steering#act"
        with = { asks = ['goto last'] }
        may-start = ["last"]
        [tasks.last]
        run = "steering#act"
        with = { text = "last", asks = [] }
        [outputs]
        middle = "${middle}"
        last = "${last}"
        "#,
    );
    assert_eq!(values, json!({ "middle": ["middle"], "last": ["last"] }));
}

#[test]
fn a_task_ends_the_run_and_endless_loops_with_it() {
    for (ask, code, said) in
        [("finish", 0, "finishes the run"), ("abort it is enough", 100, "aborted the run: it is enough")]
    {
        let ended = run(&format!(
            r#"
            [tasks.spin]
            run = "steering#spin"
            [groups.spinning]
            tasks = ["spin"]
            [tasks.early]
            run = "steering#act"
            with = {{ text = "early", asks = [] }}
            [tasks.end]
            run = "steering#act"
            with = {{ text = "end", asks = ['{ask}'] }}
            after = ["early"]
            may-end = true
            retry = {{ max-attempts = 3, delay = "0s" }}
            [outputs]
            early = "${{early}}"
            spinning = "${{spinning}}"
            "#
        ));
        assert_eq!((ended.code, ended.json()), (code, json!({ "early": "early" })), "{ended}");
        assert!(ended.stderr.contains(said), "{ended}");
        assert!(!ended.stderr.contains("attempt 2"), "{ended}");
    }
}

#[test]
fn check_says_what_makes_no_sense() {
    let place = steering(
        r#"
        [tasks.a]
        run = "steering#act"
        with = { text = "a", asks = [] }
        may-start = ["b", "nobody", "some", "b", "c", "a"]
        max-iterations = 0
        deterministic = true
        [tasks.b]
        run = "steering#act"
        with = { text = "b", asks = [] }
        when = true
        [tasks.c]
        run = "steering#act"
        with = { text = "c", asks = [] }
        [groups.some]
        tasks = ["c"]
        [tasks.d]
        run = "steering#join"
        with = { texts = "${e}" }
        may-start = ["e"]
        [tasks.e]
        run = "steering#act"
        with = { asks = [] }
        "#,
    );
    let ended = place.flowhost(["check", "workflow.toml"]);
    assert_eq!(ended.code, 2, "{ended}");
    for said in [
        "6:",
        "there is no task `nobody`",
        "`some` is a group, and only tasks can be started",
        "lists `b` twice",
        "task `c` is run by group `some`, and started by `a`",
        "task `b` runs when `a` starts it, so it cannot have `when`",
        "`max-iterations`",
        "task `a` is deterministic, so it cannot ask for anything while it runs",
        "these wait for each other in a cycle: `d` → `e` → `d`",
    ] {
        assert!(ended.stderr.contains(said), "{said} in {ended}");
    }
}

/// Tasks that start each other, run again and are waited for; all of it is slow enough to be killed in.
const LONG: &str = r#"
    [tasks.begin]
    run = "steering#act"
    with = { text = "", asks = ['next split {"low": 0, "high": 40}', 'next split {"low": 40, "high": 60}'] }
    may-start = ["split"]
    [tasks.split]
    run = "steering#split"
    may-start = ["split"]
    [tasks.down]
    run = "steering#count-down"
    with = { number = 5 }
    max-iterations = 6
    retry = { max-attempts = 2, delay = "5ms" }
    [tasks.then]
    run = "steering#act"
    with = { text = "after ${down}", asks = ['goto last'] }
    may-start = ["last"]
    [tasks.last]
    run = "steering#act"
    with = { text = "last of ${then}", asks = [] }
    [tasks.never]
    run = "steering#act"
    with = { text = "${then}", asks = [] }
    [outputs]
    numbers = "${split}"
    last = "${last}"
"#;

fn check_long(ended: &Ended) {
    assert_eq!(ended.code, 0, "{ended}");
    let (values, last) = (ended.json(), json!(["last of after 0"]));
    assert_eq!(values.get("last"), Some(&last), "{ended}");
    let numbers = values.get("numbers").cloned().unwrap();
    let numbers: Vec<Option<u32>> = serde_json::from_value(numbers).unwrap();
    assert_eq!(numbers.len(), 39 + 40 + 19 + 20, "{ended}");
    let mut numbers: Vec<u32> = numbers.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
}

#[test]
fn h1_a_run_whose_tasks_start_others_goes_on_after_a_kill_anywhere() {
    let place = steering(LONG);
    check_long(&place.run(["--progress", "none"]));
    let all: usize = history(&place).nodes.values().map(|node| node.branches.len()).sum();
    for after in [1, 3, 8, 20, 40, 80, 120] {
        let place = steering(LONG);
        let mut killed = place
            .command(["run", "workflow.toml", "--progress", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(killed.stderr.take().unwrap()).lines();
        // An event is told once it is written.
        let seen = lines.map_while(Result::ok).filter(|line| line.contains("\"attempt-ended\"")).take(after);
        assert_eq!(seen.count(), after);
        let _gone = kill_process(Pid::from_child(&killed), Signal::KILL);
        killed.wait().unwrap();
        let ended = resumed(&place, &[]);
        if ended.stderr.contains("there is no unfinished run") {
            continue;
        }
        check_long(&ended);
        // Each branch that others started was recorded once.
        let history = history(&place);
        assert_eq!(history.nodes.values().map(|node| node.branches.len()).sum::<usize>(), all);
        assert_eq!(history.nodes["split"].starts.len(), 118, "after {after}");
        assert!(history.nodes.values().flat_map(|node| node.branches.values()).all(|b| b.ended.is_some()));
    }
}

#[test]
fn an_interrupted_iteration_goes_on_with_the_next() {
    let place = steering(
        r#"
        [tasks.down]
        run = "steering#count-down"
        with = { number = 30 }
        max-iterations = 31
        retry = { max-attempts = 2, delay = "200ms", jitter = 0.0 }
        [outputs]
        down = "${down}"
        "#,
    );
    let mut running = place
        .command(["run", "workflow.toml", "--progress", "json"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.by_ref().filter(|line| line.contains("\"iterate\"")).take(3).count(), 3);
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    lines.for_each(drop);
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let before = attempts(&place, "down")[0];
    assert!((6..60).contains(&before), "{before}");
    let ended = resumed(&place, &[]);
    assert_eq!((ended.code, ended.json()), (0, json!({ "down": 0 })), "{ended}");
    // Two attempts for each iteration, with none of them made twice.
    assert_eq!(attempts(&place, "down"), [62]);
}

#[test]
fn an_aborted_run_is_over_until_its_failure_is_tried_again() {
    let place = steering(
        r#"
        [inputs]
        ask = "string"
        [tasks.a]
        run = "steering#act"
        with = { text = "a", asks = ["abort once"] }
        may-end = true
        [tasks.b]
        run = "steering#act"
        with = { text = "${a}", asks = [] }
        [outputs]
        b = "${b}"
        "#
        .replace("[inputs]\n        ask = \"string\"\n", "")
        .as_str(),
    );
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 100, "{ended}");
    let ended = resumed(&place, &[]);
    assert!(ended.code == 2 && ended.stderr.contains("there is no unfinished run"), "{ended}");
    let ended = resumed(&place, &["--retry-failed"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert_eq!(attempts(&place, "a"), [2]);
}

#[test]
fn a_secret_that_is_handed_on_is_in_no_journal_and_the_run_does_not_go_on() {
    let place = steering(
        r#"
        [tasks.a]
        run = "steering#act"
        with = { text = { env = "STEERING_SECRET" }, asks = ["hand b", "next c {}"] }
        may-start = ["b", "c"]
        [tasks.b]
        run = "steering#act"
        with = { asks = [] }
        [tasks.c]
        run = "steering#spin"
        limits = { timeout = "100ms" }
        "#,
    );
    let ended = ended(place.command(["run", "workflow.toml"]).env("STEERING_SECRET", "hunter2"));
    assert_eq!(ended.code, 100, "{ended}");
    let run = &crate::recorded::runs(&place)[0];
    let journal = place.read(&format!(".flowhost/runs/{run}/journal.jsonl"));
    assert!(!journal.contains("hunter2") && journal.contains("asked-withheld"), "{journal}");
    let ended = ended_with_secret(&place);
    assert!(ended.code == 2 && ended.stderr.contains("handed a secret on"), "{ended}");
}

fn ended_with_secret(place: &Place) -> Ended {
    let arguments = ["run", "workflow.toml", "--resume", "--retry-failed"];
    ended(place.command(arguments).env("STEERING_SECRET", "hunter2"))
}

#[test]
fn what_was_asked_is_explained_and_its_calls_are_made_again() {
    let place = steering(&LONG.replace(
        "[outputs]",
        r#"
        [tasks.stop]
        run = "steering#act"
        with = { text = "${last.0}", asks = ["abort it is done"] }
        after = ["split"]
        may-end = true
        [outputs]"#,
    ));
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 100, "{ended}");
    let run = &crate::recorded::runs(&place)[0].to_string();
    let told = |command: &str, branch: &str| {
        let ended = place.flowhost([command, run, branch]);
        assert_eq!(ended.code, 0, "{ended}");
        ended.stdout
    };
    let begin = told("explain", "begin");
    assert!(begin.contains(r#"starts `split` with {"low": 0, "high": 40}"#), "{begin}");
    assert!(told("explain", "down").contains(r#"runs again with {"number": 4}"#));
    let begin = place.flowhost(["explain", run, "begin", "--json"]).json();
    assert_eq!(begin["attempts"][0]["asked"]["next"][0]["arguments"], r#"{"low": 0, "high": 40}"#);
    let checked = place.flowhost(["check", "workflow.toml"]).stdout;
    assert!(checked.contains(" lone tasks, 2 tasks that others start, 0 groups, "), "{checked}");
    assert!(told("explain", "then").contains("goes on to `last`"));
    assert!(told("explain", "split[117]").contains("succeeded"));
    let ended = place.flowhost(["explain", run, "split[118]"]);
    assert!(ended.code == 2 && ended.stderr.contains("118"), "{ended}");
    for branch in ["split[0]", "split[117]", "last[0]", "then", "stop"] {
        assert!(told("replay", branch).contains("same"), "{branch}: {}", told("replay", branch));
    }
    // The last iteration is made again, with its own arguments.
    assert!(told("replay", "down").contains("succeeded"), "{}", told("replay", "down"));
}
