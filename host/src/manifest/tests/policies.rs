//! What governs a group as a whole: the model of right files, and what people are told of wrong ones.

use std::time::Duration;

use super::broken::{told, with};
use super::whole::{group, node, right};
use super::{Project, RIGHT};
use crate::model::{Breaker, GroupPolicy, Merge, RateLimit, Require};

/// Three tasks of one type and one of another, and then `rest`.
fn members(rest: &str) -> String {
    with(&format!(
        r#"
[tasks.a]
run = "text#ready"
[tasks.b]
run = "text#ready"
when = "${{other.a}}"
[tasks.c]
run = "text#ready"
[tasks.parts]
run = "text#split"
with = {{ text = "x", parts = 1 }}
[tasks.free]
run = "text#ready"
[groups.other]
tasks = ["a"]
{rest}
"#
    ))
}

/// The policy and the type of the value of a group with these lines.
fn read(lines: &str) -> (GroupPolicy, Merge, String) {
    let loaded = right(&Project::new(), &members(&format!("[groups.g]\n{lines}")), |_| {});
    let group = group(&loaded, "g");
    (group.policy.clone(), group.merge, node(&loaded, "g").value.to_string())
}

fn requiring(require: Require) -> GroupPolicy {
    GroupPolicy { require, ..GroupPolicy::default() }
}

#[test]
fn every_policy_is_read() {
    let (policy, ..) = read(
        "task = \"a\"\nfor-each = [1, 2]\nrequire = { at-least = 2 }\ntimeout = \"1.5s\"\nrate-limit = \"100/m\"\nbreaker = { failures = 5, cooldown = \"30s\" }",
    );
    let expected = GroupPolicy {
        require: Require::AtLeast(2),
        timeout: Some(Duration::from_millis(1_500)),
        breaker: Some(Breaker { failures: 5, cooldown: Duration::from_secs(30) }),
        rate_limit: Some(RateLimit { attempts: 100, per: Duration::from_secs(60) }),
        fallback: None,
    };
    assert_eq!(policy, expected);
    let (policy, ..) = read("tasks = [\"a\"]\nrequire = \"all\"\ntimeout = \"none\"\nmerge = \"collect\"");
    assert_eq!(policy, GroupPolicy::default());
}

#[test]
fn members_that_need_not_succeed_are_options() {
    let cases = [
        ("", Require::All, "record { a: bool, b: option<bool>, c: bool }"),
        ("require = \"any\"", Require::Any, "record { a: option<bool>, b: option<bool>, c: option<bool> }"),
        (
            "require = { at-least = 2 }",
            Require::AtLeast(2),
            "record { a: option<bool>, b: option<bool>, c: option<bool> }",
        ),
        ("require = { at-least = 3 }", Require::AtLeast(3), "record { a: bool, b: option<bool>, c: bool }"),
        (
            "require = { critical = [\"c\", \"b\"] }",
            Require::Critical(vec![1, 2]),
            "record { a: option<bool>, b: option<bool>, c: bool }",
        ),
    ];
    for (line, require, value) in cases {
        let expected = (requiring(require), Merge::Collect, value.to_owned());
        assert_eq!(read(&format!("tasks = [\"a\", \"b\", \"c\"]\n{line}")), expected, "{line}");
    }
}

#[test]
fn what_a_group_yields_follows_its_merge() {
    let each = "task = \"a\"\nfor-each = [1, 2]";
    let any = || requiring(Require::Any);
    let cases = [
        (format!("{each}\nrequire = \"any\""), any(), Merge::Collect, "list<bool>"),
        (format!("{each}\nmerge = \"first-success\""), any(), Merge::FirstSuccess, "bool"),
        (format!("{each}\nmerge = \"first-success\"\nrequire = \"any\""), any(), Merge::FirstSuccess, "bool"),
        ("tasks = [\"a\", \"b\"]\nmerge = \"first-success\"".to_owned(), any(), Merge::FirstSuccess, "bool"),
        (
            format!("{each}\nsplit = {{ chunk = 2 }}\nmerge = \"first-success\""),
            any(),
            Merge::FirstSuccess,
            "bool",
        ),
        (
            format!("{each}\nmerge = \"results\"\nrequire = \"any\""),
            any(),
            Merge::Results,
            "list<result<bool, string>>",
        ),
    ];
    for (lines, policy, merge, value) in cases {
        assert_eq!(read(&lines), (policy, merge, value.to_owned()), "{lines}");
    }
}

#[test]
fn partial_values_are_checked_where_they_are_used() {
    let project = Project::new();
    let source = RIGHT.replace("for-each = \"${split}\"", "for-each = \"${split}\"\nrequire = \"any\"");
    right(&project, &source, |_| {});
    told(
        "partial-values",
        &project,
        &members(
            r#"
[groups.g]
tasks = ["a", "c"]
require = { critical = ["a"] }
[groups.first]
tasks = ["parts"]
merge = "first-success"
[tasks.use]
run = "text#ready"
when = "${g.c}"
[tasks.fine]
run = "text#ready"
when = "${g.a}"
[tasks.whole]
run = "text#merge-counts"
with = { parts = "${first}" }
"#,
        ),
    );
}

#[test]
fn requirements_that_make_no_sense() {
    told(
        "requirements",
        &Project::new(),
        &members(
            r#"
[groups.word]
tasks = ["a"]
require = "most"
[groups.kind]
tasks = ["a"]
require = 2
[groups.none]
tasks = ["a"]
require = { at-least = 0 }
[groups.many]
tasks = ["a", "b"]
require = { at-least = 3 }
[groups.range]
task = "a"
for-each = { range = [0, 4] }
require = { at-least = 5 }
[groups.matrix]
task = "a"
for-each = { matrix = { x = [1], y = [1] } }
require = { at-least = 2 }
[groups.chunks]
task = "a"
for-each = { range = [0, 4] }
split = { chunk = 2 }
require = { at-least = 3 }
[groups.both]
tasks = ["a"]
require = { at-least = 1, critical = ["a"] }
[groups.neither]
tasks = ["a"]
require = {}
[groups.misspelt]
tasks = ["a"]
require = { at_least = 1 }
[groups.strangers]
tasks = ["a", "parts"]
require = { critical = ["pasts", "a", "a", "free"] }
[groups.empty]
tasks = ["a"]
require = { critical = [] }
[groups.numbers]
tasks = ["a"]
require = { critical = [1] }
[groups.items]
task = "a"
for-each = [1, 2]
require = { critical = ["a"] }
"#,
        ),
    );
}

#[test]
fn first_successes_that_make_no_sense() {
    told(
        "first-success",
        &Project::new(),
        &members(
            r#"
[groups.all]
tasks = ["a", "c"]
merge = "first-success"
require = "all"
[groups.some]
task = "a"
for-each = [1, 2]
merge = "first-success"
require = { at-least = 2 }
[groups.unlike]
tasks = ["a", "parts", "c"]
merge = "first-success"
[groups.critical]
tasks = ["a", "parts"]
merge = "first-success"
require = { critical = ["a"] }
"#,
        ),
    );
}

#[test]
fn paces_that_make_no_sense() {
    told(
        "paces",
        &Project::new(),
        &members(
            r#"
[groups.zero]
tasks = ["a"]
timeout = "0s"
rate-limit = "0/s"
breaker = { failures = 0, cooldown = "0s" }
[groups.kinds]
tasks = ["a"]
timeout = 5
rate-limit = 50
breaker = 5
[groups.units]
tasks = ["a"]
timeout = "5 minutes"
rate-limit = "50 per second"
breaker = { failure = 5, cooldown = "soon" }
[groups.half]
tasks = ["a"]
breaker = { failures = 5 }
"#,
        ),
    );
}

/// A wrong argument hides nothing of what is wrong beside it.
#[test]
fn wrong_arguments_hide_nothing() {
    told(
        "wrong-arguments-hide-nothing",
        &Project::new(),
        &with(
            r#"
[tasks.split]
run = "text#split"
with = { text = "x", part = 1, texts = "y" }
cache = true
[groups.all]
task = "split"
for-each = { range = [0, 4] }
require = { at-least = 9 }
[tasks.unknown]
run = "text#spilt"
cache = true
retry = { delay = "90s" }
[tasks.full]
run = "text#split"
with = { text = "x", parts = 1, texts = "y" }
retry = { delay = "2s", max-delay = "1s" }
[tasks.short]
run = "text#ready"
retry = { max-delay = "100ms" }
[tasks.list]
run = "text#merge-counts"
with = { parts = "${item}" }
[groups.lists]
task = "list"
for-each = { range = [0, 4] }
"#,
        ),
    );
}
