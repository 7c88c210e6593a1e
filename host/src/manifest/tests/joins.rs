//! `merge` and `split`: the nodes that groups become, their types, and what people are told of those
//! that make no sense.

use super::Project;
use super::broken::{told, with};
use crate::id::NodeId;
use crate::model::{Best, Expr, Form, Group, Items, Kind, LONGEST_LIST, Merge, Node, Source, Split, Type};

/// A group over `count-words`, and more.
fn counts(keys: &str, rest: &str) -> String {
    with(&format!(
        r#"
[tasks.split]
run = "text#split"
with = {{ text = "Alice", parts = 4 }}
[tasks.count]
run = "text#count-words"
with = {{ text = "${{item}}" }}
[groups.counts]
task = "count"
for-each = "${{split}}"
{keys}
{rest}
"#
    ))
}

fn nodes(source: &str) -> Vec<Node> {
    let project = Project::new();
    let loaded = project.load(source).unwrap_or_else(|problems| panic!("{problems}"));
    loaded.workflow.nodes
}

fn value_of(keys: &str) -> String {
    let nodes = nodes(&counts(keys, "[tasks.fold]\nrun = \"text#merge-counts\"\n"));
    let last = nodes.iter().rfind(|node| &*node.name == "counts").unwrap();
    last.value.definition()
}

#[test]
fn a_merge_says_the_type_of_the_groups_value() {
    let counts = "record { total: u64, words: list<tuple<string, u32>>, best: option<string> }";
    // A fold that no group names is a lone task that lacks an argument.
    let fold = "[groups.other]\ntask = \"count\"\nfor-each = \"${split}\"\nmerge = { task = \"fold\" }";
    assert_eq!(value_of(fold), "list<counts>");
    let value = |merge: &str| value_of(&format!("merge = {merge}\n{fold}"));
    assert_eq!(value("\"collect\""), "list<counts>");
    assert_eq!(value("\"results\""), "list<result<counts, string>>");
    assert_eq!(value("{ best = \"total\" }"), counts);
    assert_eq!(value("{ task = \"fold\" }"), counts);
}

#[test]
fn values_are_joined_to_their_type() {
    let all = |run: &str, argument: &str, merge: &str| {
        let nodes = nodes(&with(&format!(
            "[tasks.one]\nrun = \"text#{run}\"\nwith = {argument}\n[groups.all]\ntask = \"one\"\nfor-each = [1]\nmerge = {merge}\n"
        )));
        nodes[0].value.to_string()
    };
    assert_eq!(all("split", r#"{ text = "x", parts = 1 }"#, "\"concat\""), "list<string>");
    assert_eq!(all("join", "{ tiles = [] }", "\"concat\""), "list<u8>");
    let place = r#"{ index = 0, name = "", pair = [1, 1], letter = "x" }"#;
    assert_eq!(all("place", place, "\"concat\""), "string");
    assert_eq!(all("place", place, "\"results\""), "list<result<string, string>>");
}

#[test]
fn a_group_with_tasks_of_its_own_is_a_chain_of_nodes() {
    let source = counts(
        "merge = { task = \"fold\" }\nsplit = { task = \"cut\" }\nwhen = true\nafter = [\"one\"]",
        r#"
[tasks.cut]
run = "text#split"
with = { parts = 9 }
limits = { memory = "64MiB" }
[tasks.fold]
run = "text#merge-counts"
after = ["two"]
[tasks.one]
run = "text#ready"
[tasks.two]
run = "text#ready"
[tasks.then]
run = "text#merge-counts"
with = { parts = ["${counts}"] }
"#,
    )
    .replace("for-each = \"${split}\"", "for-each = \"${split.0}\"\nlimits = { memory = \"1MiB\" }");
    let nodes = nodes(&source);
    let names: Vec<_> = nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["split", "counts", "counts", "counts", "one", "two", "then"]);
    let after = |at: usize| nodes[at].after.iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!((after(1), after(2), after(3), after(6)), (vec![0, 4, 5], vec![1], vec![2], vec![3]));
    let sections: Vec<_> =
        nodes[1..4].iter().map(|node| (node.section.follows, node.section.goes_on)).collect();
    assert_eq!(sections, [(false, true), (true, true), (true, false)]);
    let whens: Vec<_> = nodes[1..4].iter().map(|node| node.when.is_some()).collect();
    assert_eq!(whens, [true, false, false]);
    assert!(nodes[..4].iter().skip(1).all(|node| node.group().is_some_and(|name| &**name == "counts")));
    assert!(nodes[0].group().is_none());

    let reference =
        |node: u32, path: &[u32]| Expr::Reference { source: Source::Node(NodeId(node)), path: path.to_vec() };
    let Kind::Task(cut) = &nodes[1].kind else { panic!() };
    assert_eq!(cut.arguments[0], reference(0, &[0]));
    assert_eq!(cut.policy.limits.memory, 64 << 20);
    let Kind::Group(Group { form: Form::ForEach { task, items, split }, merge, .. }) = &nodes[2].kind else {
        panic!()
    };
    assert_eq!((items, *split, *merge), (&Items::List(reference(1, &[])), Split::Item, Merge::List));
    assert_eq!(task.policy.limits.memory, 1 << 20);
    let Kind::Task(fold) = &nodes[3].kind else { panic!() };
    assert_eq!(fold.arguments, [reference(2, &[])]);
    assert_eq!(nodes[2].value, Type::list(nodes[3].value.clone()));
}

#[test]
fn the_best_is_chosen_by_the_position_of_its_field() {
    let nodes = nodes(&counts("merge = { best = \"total\" }", ""));
    let from = Expr::Reference { source: Source::Node(NodeId(1)), path: vec![] };
    assert_eq!(nodes[2].kind, Kind::Best(Best { from, field: 0, name: "total".into() }));
    let Kind::Group(group) = &nodes[1].kind else { panic!() };
    assert_eq!(group.merge, Merge::List);
}

#[test]
fn a_split_into_lists_counts_branches_and_not_items() {
    let split = |keys: &str| {
        let nodes = nodes(&with(&format!(
            "[tasks.one]\nrun = \"text#place\"\nwith = {{ index = \"${{item.0}}\", name = \"\", pair = [1, 1], letter = \"x\" }}\n[groups.all]\ntask = \"one\"\n{keys}\n"
        )));
        match &nodes[0].kind {
            Kind::Group(Group { form: Form::ForEach { split, .. }, .. }) => *split,
            kind => panic!("{kind:?}"),
        }
    };
    let many = format!("for-each = {{ range = [0, {}] }}", LONGEST_LIST * LONGEST_LIST);
    assert_eq!(split(&format!("{many}\nsplit = {{ chunk = 10000000 }}")), Split::Chunk(10_000_000));
    let parts = format!("{many}\nsplit = {{ round-robin = 10000000 }}");
    assert_eq!(split(&parts), Split::RoundRobin(10_000_000));
}

#[test]
fn merges_that_make_no_sense() {
    let project = Project::new();
    told(
        "merge-forms",
        &project,
        &counts(
            "merge = \"best\"",
            r#"
[groups.b]
task = "count"
for-each = "${split}"
merge = "colect"
[groups.c]
task = "count"
for-each = "${split}"
merge = { bets = "total" }
[groups.d]
task = "count"
for-each = "${split}"
merge = { best = "total", task = "fold" }
[groups.e]
task = "count"
for-each = "${split}"
merge = { best = 1 }
[groups.f]
task = "count"
for-each = "${split}"
merge = 3
[tasks.fold]
run = "text#ready"
"#,
        ),
    );
    told(
        "merge-types",
        &project,
        &counts(
            "merge = { best = \"totl\" }",
            r#"
[groups.b]
task = "count"
for-each = "${split}"
merge = { best = "words" }
[groups.c]
task = "count"
for-each = "${split}"
merge = "concat"
[groups.d]
tasks = ["ready", "list", "ready-too"]
merge = "results"
[groups.e]
tasks = ["ready", "ready-too"]
merge = { best = "x" }
[tasks.ready]
run = "text#ready"
[tasks.ready-too]
run = "text#ready"
[tasks.list]
run = "text#split"
with = { text = "", parts = 1 }
[tasks.uses]
run = "text#merge-counts"
with = { parts = "${results}" }
[groups.results]
task = "count"
for-each = "${split}"
merge = "results"
"#,
        ),
    );
}

#[test]
fn folds_that_do_not_fit() {
    let project = Project::new();
    told(
        "folds",
        &project,
        &counts(
            "merge = { task = \"fodl\" }",
            r#"
[groups.a]
task = "count"
for-each = "${split}"
merge = { task = "counts" }
[groups.b]
task = "count"
for-each = "${split}"
merge = { task = "joins" }
[groups.c]
task = "count"
for-each = "${split}"
merge = { task = "ready" }
[groups.d]
task = "count"
for-each = "${split}"
merge = { task = "place" }
[groups.e]
task = "count"
for-each = "${split}"
merge = { task = "full" }
[groups.f]
task = "count"
for-each = "${split}"
merge = { task = "shell" }
[groups.g]
task = "count"
for-each = "${split}"
merge = { task = "fold" }
[tasks.fold]
run = "text#merge-counts"
when = true
[tasks.joins]
run = "text#join"
[tasks.ready]
run = "text#ready"
[tasks.place]
run = "text#place"
with = { index = 1, letter = "${item}" }
[tasks.full]
run = "text#merge-counts"
with = { parts = [] }
[tasks.shell]
run = "command#run"
[tasks.uses]
run = "text#merge-counts"
with = { parts = ["${fold}"] }
"#,
        ),
    );
    told(
        "fold-waits-for-itself",
        &project,
        &counts(
            "merge = { task = \"once\" }",
            r#"
[tasks.once]
run = "text#merge-counts"
after = ["counts"]
[groups.more]
task = "count"
for-each = "${more}"
merge = { task = "fold" }
[tasks.fold]
run = "text#merge-counts"
"#,
        ),
    );
}

#[test]
fn splits_that_make_no_sense() {
    let project = Project::new();
    told(
        "split-forms",
        &project,
        &counts(
            "split = { chunk = 0 }",
            r#"
[groups.b]
task = "count"
for-each = "${split}"
split = "chunk"
[groups.c]
task = "count"
for-each = "${split}"
split = { robin-round = 2 }
[groups.d]
tasks = ["ready"]
split = { chunk = 2 }
[groups.e]
task = "joins"
for-each = { range = [0, 9000000000000000000] }
split = { round-robin = 8 }
[groups.f]
task = "joins"
for-each = { range = [0, 100] }
split = { chunk = 9 }
max-branches = 11
[tasks.joins]
run = "text#join"
with = { tiles = "${item}" }
[tasks.ready]
run = "text#ready"
"#,
        ),
    );
    told(
        "split-types",
        &project,
        &with(
            r#"
[tasks.place]
run = "text#place"
with = { index = "${item}", name = "${item} ${item.3} ${item.name}", pair = "${item}", letter = "x" }
[groups.chunks]
task = "place"
for-each = { jsonl = "data/lines.jsonl" }
split = { chunk = 3 }
[tasks.count]
run = "text#count-words"
with = { text = "${item}" }
[groups.counts]
task = "count"
for-each = { lines = "data/alice.txt" }
split = { round-robin = 3 }
[groups.by-cut]
task = "count"
for-each = { lines = "data/alice.txt" }
split = { task = "cut" }
[groups.by-ready]
task = "count"
for-each = [1]
split = { task = "ready" }
[groups.by-total]
task = "count"
for-each = "${by-ready.0}"
split = { task = "total" }
[groups.numbers]
task = "count"
for-each = { range = [0, 3] }
split = { task = "total" }
[tasks.cut]
run = "text#split"
with = { parts = 1 }
[tasks.ready]
run = "text#ready"
[tasks.total]
run = "text#merge-counts"
"#,
        ),
    );
}
