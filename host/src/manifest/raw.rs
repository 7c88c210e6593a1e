//! The workflow file as it is typed: sections and keys of the right kinds, nothing unknown. Names
//! are not followed and values are not read by type here.

use super::diagnostics::Findings;
use super::executors;
use super::fields::{Fields, Keys, string, table, wrong_kind};
use super::flow;
use super::merge::{Merge, Split};
use super::policies::Policies;
use super::settings::Settings;
use super::span::{At, Span};
use super::tree::{Data, Entry, Tree};
use crate::model::{MAX_BRANCHES, OnFailure};

/// A whole file.
pub(super) struct File<'t> {
    pub(super) name: Option<At<&'t str>>,
    pub(super) seed: u64,
    pub(super) inputs: Vec<Input<'t>>,
    pub(super) components: Vec<Component<'t>>,
    pub(super) executors: Vec<executors::Section<'t>>,
    pub(super) defaults: Settings<'t>,
    pub(super) tasks: Vec<Task<'t>>,
    pub(super) groups: Vec<Group<'t>>,
    /// None where the file has no such section.
    pub(super) outputs: Option<Vec<Output<'t>>>,
}

pub(super) struct Input<'t> {
    pub(super) name: At<&'t str>,
    pub(super) ty: At<&'t str>,
    pub(super) default: Option<&'t Tree>,
}

pub(super) struct Component<'t> {
    pub(super) alias: At<&'t str>,
    pub(super) path: At<&'t str>,
    pub(super) digest: Option<At<&'t str>>,
    pub(super) build: Option<At<&'t str>>,
}

pub(super) struct Task<'t> {
    pub(super) name: At<&'t str>,
    pub(super) run: Option<At<&'t str>>,
    pub(super) with: &'t [Entry],
    /// Whether stdout is bytes, where the file says.
    pub(super) stdout: Option<At<bool>>,
    pub(super) settings: Settings<'t>,
    pub(super) after: Vec<At<&'t str>>,
    pub(super) when: Option<&'t Tree>,
    pub(super) flow: flow::Keys<'t>,
}

pub(super) struct Group<'t> {
    pub(super) name: At<&'t str>,
    /// None where it is neither, which was reported.
    pub(super) form: Option<Form<'t>>,
    pub(super) settings: Settings<'t>,
    pub(super) concurrency: Option<u32>,
    pub(super) on_failure: OnFailure,
    pub(super) policies: Policies<'t>,
    /// None where there was a problem.
    pub(super) merge: Option<At<Merge<'t>>>,
    pub(super) split: Split<'t>,
    pub(super) max_branches: u32,
    pub(super) after: Vec<At<&'t str>>,
    pub(super) when: Option<&'t Tree>,
}

pub(super) enum Form<'t> {
    /// Either is none where it is missing, which was reported.
    ForEach {
        task: Option<At<&'t str>>,
        items: Option<&'t Tree>,
    },
    Tasks(Vec<At<&'t str>>),
}

pub(super) struct Output<'t> {
    pub(super) name: At<&'t str>,
    pub(super) value: &'t Tree,
    pub(super) file: Option<&'t Tree>,
}

pub(super) const FILE: Keys = Keys {
    known: &["name", "seed", "inputs", "components", "executors", "defaults", "tasks", "groups", "outputs"],
    elsewhere: &[],
};
pub(super) const INPUT: Keys = Keys { known: &["type", "default"], elsewhere: &[] };
pub(super) const COMPONENT: Keys = Keys { known: &["path", "digest", "build"], elsewhere: &[] };
pub(super) const DEFAULTS: Keys =
    Keys { known: &["executor", "retry", "limits", "grants", "deterministic", "cache"], elsewhere: &[] };
pub(super) const TASK: Keys = Keys {
    known: &[
        "run",
        "with",
        "stdout",
        "executor",
        "retry",
        "limits",
        "grants",
        "deterministic",
        "cache",
        "after",
        "when",
        "may-start",
        "max-iterations",
        "may-end",
    ],
    elsewhere: &[],
};
pub(super) const GROUP: Keys = Keys {
    known: &[
        "task",
        "for-each",
        "split",
        "tasks",
        "executor",
        "concurrency",
        "on-failure",
        "require",
        "timeout",
        "breaker",
        "rate-limit",
        "merge",
        "max-branches",
        "retry",
        "limits",
        "grants",
        "deterministic",
        "cache",
        "after",
        "when",
        "fallback",
    ],
    elsewhere: &[],
};
pub(super) const OUTPUT: Keys = Keys { known: &["value", "file"], elsewhere: &[] };

/// Reads a document's sections.
pub(super) fn read<'t>(document: &'t [Entry], findings: &'t Findings) -> File<'t> {
    let file = Fields::new(document, "the file", Span::default(), &FILE, findings);
    let section = |key| file.table(key).unwrap_or_default().iter().filter(|entry| named(entry, findings));
    let defaults = Fields::new(
        file.table("defaults").unwrap_or_default(),
        "`defaults`",
        file.get("defaults").map(|entry| entry.span).unwrap_or_default(),
        &DEFAULTS,
        findings,
    );
    let executors: Vec<_> =
        section("executors").map(|entry| executors::Section::read(entry, findings)).collect();
    let named: Vec<&str> = executors.iter().map(|section| section.name.value).collect();
    File {
        name: file.string("name").filter(|name| titled(*name, findings)),
        seed: file.tree("seed").and_then(|tree| seed(tree, findings)).unwrap_or(0),
        inputs: section("inputs").filter_map(|entry| input(entry, findings)).collect(),
        components: section("components").filter_map(|entry| component(entry, findings)).collect(),
        defaults: Settings::read(&defaults, &named, findings),
        tasks: section("tasks").filter_map(|entry| task(entry, &named, findings)).collect(),
        groups: section("groups").filter_map(|entry| group(entry, &named, findings)).collect(),
        outputs: file
            .get("outputs")
            .map(|_| section("outputs").filter_map(|entry| output(entry, findings)).collect()),
        executors,
    }
}

/// The longest name, in bytes. Names become file names and parts of ids.
const LONGEST_NAME: usize = 100;

/// Whether an entry's key is fit for a name: it has to stand in `${…}`, where `.` separates.
fn named(entry: &Entry, findings: &Findings) -> bool {
    let name = entry.key.as_str();
    let fit = name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && name.len() <= LONGEST_NAME;
    if !fit {
        findings.at_with_help(
            entry.span,
            format!("`{name}` cannot be a name"),
            "a name is a letter, then letters, digits, `-` and `_`, at most 100 in all",
        );
    }
    fit
}

/// Whether the workflow's own name can be shown on one line.
fn titled(name: At<&str>, findings: &Findings) -> bool {
    let fit = !name.value.trim().is_empty()
        && name.value.len() <= LONGEST_NAME
        && !name.value.contains(char::is_control);
    if !fit {
        let message = format!("`name` is 1 to {LONGEST_NAME} bytes of text on one line");
        findings.at_with_help(name.span, message, "leave it out to use the file's own name");
    }
    fit
}

fn name(entry: &Entry) -> At<&str> {
    At::new(entry.span, &entry.key)
}

fn seed(tree: &Tree, findings: &Findings) -> Option<u64> {
    let seed = match &tree.data {
        Data::Integer(seed) => u64::try_from(*seed).ok(),
        Data::String(text) => text.parse().ok(),
        _ => return wrong_kind(tree, "`seed`", "an integer", findings),
    };
    if seed.is_none() {
        findings.at_with_help(
            tree.span,
            format!("`seed` is an integer from 0 to {}", u64::MAX),
            format!("above {} write it as a string of digits", i64::MAX),
        );
    }
    seed
}

fn input<'t>(entry: &'t Entry, findings: &'t Findings) -> Option<Input<'t>> {
    let what = format!("input `{}`", entry.key);
    let help = "write { type = \"string\", default = \"…\" }; without `default` the input has to be given";
    let Data::Table(entries) = &entry.value.data else {
        if entry.value.data != Data::Refused {
            findings.at_with_help(
                entry.value.span,
                format!("{what} takes a table with its `type`, not {}", entry.value.kind()),
                help,
            );
        }
        return None;
    };
    let fields = Fields::new(entries, what, entry.span, &INPUT, findings);
    if fields.get("type").is_none() {
        fields.missing("type", help);
    }
    Some(Input { name: name(entry), ty: fields.string("type")?, default: fields.tree("default") })
}

fn component<'t>(entry: &'t Entry, findings: &'t Findings) -> Option<Component<'t>> {
    let alias = name(entry);
    if let Data::String(path) = &entry.value.data {
        let path = At::new(entry.value.span, path.as_str());
        return Some(Component { alias, path, digest: None, build: None });
    }
    let what = format!("component `{}`", entry.key);
    let entries = match &entry.value.data {
        Data::Table(entries) => entries,
        _ => return wrong_kind(&entry.value, &what, "a path or a table with its `path`", findings),
    };
    let fields = Fields::new(entries, what, entry.span, &COMPONENT, findings);
    if fields.get("path").is_none() {
        fields.missing("path", "`path` says where the component's .wasm file is");
    }
    Some(Component {
        alias,
        path: fields.string("path")?,
        digest: fields.string("digest"),
        build: fields.string("build"),
    })
}

fn task<'t>(entry: &'t Entry, named: &[&str], findings: &'t Findings) -> Option<Task<'t>> {
    let what = format!("task `{}`", entry.key);
    let entries = table(&entry.value, &what, findings)?;
    let fields = Fields::new(entries, what, entry.span, &TASK, findings);
    if fields.get("run").is_none() {
        fields.missing("run", "`run` says what it calls: run = \"component#function\"");
    }
    let stdout = fields.tree("stdout").map(|tree| tree.span);
    let words = [("string", false), ("bytes", true)];
    Some(Task {
        name: name(entry),
        run: fields.string("run"),
        with: fields.table("with").unwrap_or_default(),
        stdout: stdout.zip(fields.word("stdout", &words)).map(|(span, bytes)| At::new(span, bytes)),
        settings: Settings::read(&fields, named, findings),
        after: fields.strings("after"),
        when: fields.tree("when"),
        flow: flow::Keys::read(&fields),
    })
}

fn group<'t>(entry: &'t Entry, named: &[&str], findings: &'t Findings) -> Option<Group<'t>> {
    let what = format!("group `{}`", entry.key);
    let entries = table(&entry.value, &what, findings)?;
    let fields = Fields::new(entries, what, entry.span, &GROUP, findings);
    if let (Some(split), Some(_)) = (fields.get("split"), fields.get("tasks")) {
        findings.at_with_help(
            split.span,
            "`split` is for the items of `for-each`, and this group has `tasks`",
            "leave it out: what several tasks refer to reaches all of them",
        );
    }
    let words = [("continue", OnFailure::Continue), ("cancel", OnFailure::Cancel)];
    Some(Group {
        name: name(entry),
        form: form(&fields, &entry.key),
        settings: Settings::read(&fields, named, findings),
        concurrency: fields.integer("concurrency", 1, MAX_BRANCHES),
        on_failure: fields.word("on-failure", &words).unwrap_or_default(),
        policies: Policies::read(&fields, findings),
        merge: match fields.tree("merge") {
            None => Some(At::new(entry.span, Merge::Collect)),
            Some(tree) => Merge::read(tree, findings),
        },
        split: fields.tree("split").and_then(|tree| Split::read(tree, findings)).unwrap_or(Split::Item),
        max_branches: fields.integer("max-branches", 1, MAX_BRANCHES).unwrap_or(MAX_BRANCHES),
        after: fields.strings("after"),
        when: fields.tree("when"),
    })
}

fn form<'t>(fields: &Fields<'t>, name: &str) -> Option<Form<'t>> {
    let both = |one: &str, other: &str| {
        fields.problem(
            format!("group `{name}` has `{one}` and `{other}`"),
            "a group is either `task` with `for-each`, or `tasks`",
        );
    };
    match (fields.get("task"), fields.get("for-each"), fields.get("tasks")) {
        (None, None, None) if fields.meant(&["task", "tasks", "for-each"]) => None,
        (None, None, None) => {
            fields.problem(
                format!("group `{name}` runs nothing"),
                "give it `task` with `for-each` (one task over many items), or `tasks` (several side by side)",
            );
            None
        }
        (Some(_), _, Some(_)) => {
            both("task", "tasks");
            None
        }
        (None, Some(_), Some(_)) => {
            both("for-each", "tasks");
            None
        }
        (_, Some(items), None) => {
            if fields.get("task").is_none() {
                fields.missing("task", "`task` names the task that runs once for each item");
            }
            Some(Form::ForEach { task: fields.string("task"), items: Some(&items.value) })
        }
        (Some(_), None, None) => {
            fields.missing(
                "for-each",
                "`for-each` says what the task runs over, such as \"${list}\" or { range = [0, 100] }",
            );
            Some(Form::ForEach { task: fields.string("task"), items: None })
        }
        (None, None, Some(tasks)) => {
            let names = fields.strings("tasks");
            if matches!(&tasks.value.data, Data::Array(items) if items.is_empty()) {
                fields.problem(format!("group `{name}` is empty"), "name the tasks that run side by side");
                return None;
            }
            Some(Form::Tasks(names))
        }
    }
}

fn output<'t>(entry: &'t Entry, findings: &'t Findings) -> Option<Output<'t>> {
    let name = name(entry);
    let Data::Table(entries) = &entry.value.data else {
        return Some(Output { name, value: &entry.value, file: None });
    };
    let what = format!("output `{}`", entry.key);
    let fields = Fields::new(entries, what, entry.span, &OUTPUT, findings);
    if fields.get("value").is_none() {
        fields.missing("value", "write { value = \"${name}\", file = \"path\" }");
    }
    if let Some(file) = fields.tree("file") {
        string(file, "`file`", findings);
    }
    Some(Output { name, value: fields.tree("value")?, file: fields.tree("file") })
}
