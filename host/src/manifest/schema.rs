//! The JSON Schema of workflow files, for editors that complete and check TOML. What it cannot say, such
//! as what a name refers to, is `check`'s.

mod executors;

use serde_json::{Map, Value, json};

use crate::model::MAX_BRANCHES;

const TITLE: &str = "flowhost workflow";
const DURATION: &str = r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h)$";
const SIZE: &str = r"^[0-9]+(\.[0-9]+)? ?(B|kB|KB|KiB|MB|MiB|GB|GiB)$";
const RATE: &str = r"^0*[1-9][0-9]*/(s|m|h)$";
const REFERENCE: &str = r"^\$\{.+\}$";
const NAME: &str = "^[A-Za-z0-9_-]+$";

/// The JSON Schema (draft 2020-12) of workflow files.
#[must_use]
pub fn schema() -> Value {
    let shared = |more: &[(&str, Value)]| object(&[more, &policies()].concat());
    let mut schema = object(&[
        ("name", text("The workflow's name. The file's stem where it is left out.")),
        ("seed", integer(0, "The seed of deterministic randomness and of the jitter of retries.", 0)),
        ("inputs", table(input(), "Values that are set from outside, with --input NAME=VALUE.")),
        ("components", table(component(), "Where the components are, by alias.")),
        ("executors", table(executors::executor(), "Where attempts run besides this machine, by name.")),
        ("defaults", shared(&[])),
        ("tasks", table(shared(&task()), "Calls of exports, by name.")),
        ("groups", table(shared(&group()), "Fan-outs, by name.")),
        (
            "outputs",
            table(output(), "What the run yields. All values that nothing else uses where it is left out."),
        ),
    ]);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".to_owned(), TITLE.into());
    }
    schema
}

/// A table of exactly these keys.
fn object(properties: &[(&str, Value)]) -> Value {
    let properties: Map<_, _> =
        properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn required(mut object: Value, keys: &[&str]) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.insert("required".to_owned(), keys.into());
    }
    object
}

/// A table of things by name.
fn table(of: Value, description: &str) -> Value {
    json!({
        "type": "object", "description": description,
        "propertyNames": { "pattern": NAME }, "additionalProperties": of,
    })
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), description.into());
    }
    schema
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn boolean(description: &str, default: bool) -> Value {
    json!({ "type": "boolean", "description": description, "default": default })
}

fn integer(least: u64, description: &str, default: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "description": description, "default": default })
}

fn number(least: f64, most: f64, description: &str, default: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most, "description": description, "default": default })
}

fn matching(pattern: &str, description: &str, default: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "description": description, "default": default })
}

/// One of these words.
fn word(words: &[&str], description: &str) -> Value {
    json!({ "enum": words, "description": description, "default": words.first() })
}

fn one_of(forms: &[Value], description: &str) -> Value {
    json!({ "anyOf": forms, "description": description })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn anything(description: &str) -> Value {
    json!({ "description": description })
}

fn input() -> Value {
    let keys = object(&[
        (
            "type",
            text(
                "A WIT primitive, a list, option, result or tuple of such, or a component's type: text#counts.",
            ),
        ),
        ("default", anything("The value where --input gives none.")),
    ]);
    required(keys, &["type"])
}

fn component() -> Value {
    let keys = object(&[
        ("path", text("The .wasm file, relative to the workflow file.")),
        (
            "digest",
            json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "A digest that the file must have." }),
        ),
        ("build", text("The command that makes it, without a shell, run with --build alone.")),
    ]);
    one_of(&[text("The .wasm file."), required(keys, &["path"])], "Where a component's bytes are.")
}

fn output() -> Value {
    let file = text("The file that takes it, instead of standard output.");
    let keys = object(&[("value", anything("The value.")), ("file", file)]);
    one_of(&[json!({ "type": "string" }), required(keys, &["value"])], "A value that the run yields.")
}

/// What defaults, tasks and groups share.
fn policies() -> Vec<(&'static str, Value)> {
    let duration = |description: &str, default: &str| matching(DURATION, description, default);
    let outcomes = json!({ "enum": ["failed", "trapped", "timed-out"] });
    let retry = object(&[
        ("max-attempts", integer(1, "Attempts at most, the first included.", 1)),
        ("delay", duration("Before the second attempt.", "1s")),
        ("factor", number(1.0, 1000.0, "By how much each further delay grows.", 2.0)),
        ("max-delay", duration("The longest delay.", "60s")),
        ("jitter", number(0.0, 1.0, "The share of a delay that is random.", 0.5)),
        ("on", described(list(&outcomes), "Which outcomes are retried.")),
    ]);
    let or_none = |form: Value, description: &str| one_of(&[form, json!({ "const": "none" })], description);
    let size = |description: &str, default: &str| matching(SIZE, description, default);
    let limits = object(&[
        ("memory", size("Linear memory, summed over all memories of an attempt.", "256MiB")),
        (
            "timeout",
            or_none(duration("", "1m"), "Time from the moment the guest starts. None where it is left out."),
        ),
        (
            "fuel",
            or_none(json!({ "type": "integer", "minimum": 1 }), "Units of fuel, about one an instruction."),
        ),
        ("output", size("The encoded result.", "64MiB")),
        ("log", size("Captured lines. What is beyond is cut, with a mark.", "1MiB")),
    ]);
    vec![
        (
            "executor",
            matching(
                NAME,
                "Where attempts run: auto, in-process, process, redis, ssh or one of `executors`.",
                "auto",
            ),
        ),
        ("retry", described(retry, "Whether and when another attempt is made.")),
        ("limits", described(limits, "What one attempt may use.")),
        ("grants", grants()),
        (
            "deterministic",
            boolean(
                "Equal arguments give equal bytes: virtual clock, seeded randomness, no network and directories.",
                false,
            ),
        ),
        (
            "cache",
            boolean("Of a deterministic task: succeeded outcomes are kept, and found by later runs.", false),
        ),
    ]
}

fn grants() -> Value {
    let directory = object(&[("path", text("The folder.")), ("as", text("What the guest calls it."))]);
    let directories = list(&json!({ "anyOf": [{ "type": "string" }, required(directory, &["path"])] }));
    let texts = || list(&json!({ "type": "string" }));
    let secret = required(object(&[("env", text("A variable of flowhost's own environment."))]), &["env"]);
    let variable = json!({ "anyOf": [{ "type": "string" }, secret] });
    let keys = object(&[
        ("read", described(directories.clone(), "Folders to read below.")),
        ("write", described(directories, "Folders to read and write below.")),
        (
            "env",
            json!({ "type": "object", "additionalProperties": variable, "description": "Environment variables." }),
        ),
        ("net", described(texts(), "Addresses and ranges with ports: 10.0.0.0/8:5432.")),
        ("http", described(texts(), "Origins: https://api.example.com.")),
    ]);
    described(keys, "What one attempt may reach. Nothing where it is left out.")
}

/// What tasks and groups share.
fn ordering() -> [(&'static str, Value); 2] {
    let when = json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": REFERENCE }] });
    [
        (
            "after",
            described(list(&json!({ "type": "string" })), "Waits for these without using their values."),
        ),
        ("when", described(when, "Skipped unless it holds.")),
    ]
}

fn task() -> Vec<(&'static str, Value)> {
    let mut keys = vec![
        ("run", text("alias#function, alias#ns:pkg/interface.function, or alias#run for a command.")),
        (
            "with",
            json!({ "type": "object", "description": "An argument for each parameter, by its WIT name." }),
        ),
        ("stdout", word(&["string", "bytes"], "Of a command: the type of its value.")),
        (
            "may-start",
            described(list(&json!({ "type": "string" })), "Tasks that it may start while it runs."),
        ),
        ("max-iterations", integer(1, "So often a branch may run, the first time included.", 1_000_000)),
        (
            "may-end",
            json!({ "type": "boolean", "default": false, "description": "Whether it may finish or abort the run." }),
        ),
    ];
    keys.extend(ordering());
    keys
}

fn group() -> Vec<(&'static str, Value)> {
    let mut keys = vec![
        ("task", text("The task that runs for each item.")),
        ("for-each", items()),
        ("tasks", described(list(&json!({ "type": "string" })), "Different tasks and groups side by side.")),
        (
            "concurrency",
            json!({ "type": "integer", "minimum": 1, "description": "Attempts handed over at once, strictly." }),
        ),
        (
            "on-failure",
            word(&["continue", "cancel"], "What becomes of the others when a branch does not succeed."),
        ),
        ("merge", merge()),
        ("split", split()),
        ("max-branches", integer(1, "More branches are refused.", 10_000_000)),
    ];
    keys.extend(governing());
    keys.extend(ordering());
    keys
}

/// What governs a group as a whole.
fn governing() -> [(&'static str, Value); 5] {
    let count = || json!({ "type": "integer", "minimum": 1 });
    let names = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    let least = object(&[("at-least", described(count(), "So many branches."))]);
    let critical = object(&[("critical", described(names, "These members; only with `tasks`."))]);
    let require = [
        word(&["all", "any"], "Every branch, or one at least."),
        required(least, &["at-least"]),
        required(critical, &["critical"]),
    ];
    let cooldown =
        json!({ "type": "string", "pattern": DURATION, "description": "The pause before one probes." });
    let breaker = object(&[
        ("failures", described(count(), "So many failures in a row open it.")),
        ("cooldown", cooldown),
    ]);
    let timeout = [json!({ "type": "string", "pattern": DURATION }), json!({ "const": "none" })];
    [
        ("require", one_of(&require, "Which branches have to succeed.")),
        ("timeout", one_of(&timeout, "For the whole group. None where it is left out.")),
        (
            "rate-limit",
            json!({ "type": "string", "pattern": RATE, "description": "How many attempts are started." }),
        ),
        (
            "breaker",
            described(
                required(breaker, &["failures", "cooldown"]),
                "Holds attempts back while they fail one after the other.",
            ),
        ),
        (
            "fallback",
            json!({ "const": "in-process", "description": "Where it runs if its executor cannot be reached." }),
        ),
    ]
}

/// A table of one of these keys.
fn one_key(properties: &[(&str, Value)]) -> Value {
    let mut table = object(properties);
    if let Some(table) = table.as_object_mut() {
        table.insert("minProperties".to_owned(), 1.into());
        table.insert("maxProperties".to_owned(), 1.into());
    }
    table
}

fn merge() -> Value {
    let own = one_key(&[
        ("best", text("The value with the largest number in this field.")),
        ("task", text("The task whose function takes the list.")),
    ]);
    let words = word(
        &["collect", "first-success", "concat", "results"],
        "A list or record, the first value there is, values joined, or every outcome.",
    );
    one_of(&[words, own], "How the branches' values become the group's.")
}

fn split() -> Value {
    let count = |description: &str| json!({ "type": "integer", "minimum": 1, "maximum": MAX_BRANCHES, "description": description });
    let own = one_key(&[
        ("chunk", count("So many items that follow each other are a branch's list.")),
        ("round-robin", count("Items are dealt out in turn to so many branches.")),
        ("task", text("The task whose function makes the items.")),
    ]);
    one_of(&[word(&["item"], "Each item is a branch's."), own], "How items become those of the branches.")
}

fn items() -> Value {
    let one = |key: &str, form: Value| required(object(&[(key, form)]), &[key]);
    let bounds = json!({ "type": "array", "items": { "type": "integer" }, "minItems": 2, "maxItems": 2 });
    let axes = json!({ "type": "object", "additionalProperties": { "type": "array" } });
    one_of(
        &[
            json!({ "type": "string", "pattern": REFERENCE }),
            json!({ "type": "array" }),
            one("files", text("A pattern: photos/**/*.jpg.")),
            one("lines", text("A file: a string for each line.")),
            one("jsonl", text("A file: a JSON value for each line.")),
            one("range", described(bounds, "From the first up to and without the second.")),
            one("matrix", described(axes, "Every combination.")),
        ],
        "The items.",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::fields::Keys;
    use crate::manifest::{executors, grants, merge, policies, raw, settings};

    fn keys<'a>(schema: &'a Value, path: &str) -> BTreeSet<&'a str> {
        let properties = schema.pointer(path).unwrap_or_else(|| panic!("nothing at {path}"));
        properties.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_schema_knows_the_keys_that_the_parser_knows() {
        let schema = schema();
        let of =
            |table: &str, rest: &str| format!("/properties/{table}/additionalProperties{rest}/properties");
        let tables: [(String, &Keys); 18] = [
            ("/properties".to_owned(), &raw::FILE),
            (of("inputs", ""), &raw::INPUT),
            (of("components", "/anyOf/1"), &raw::COMPONENT),
            (of("executors", "/anyOf/0"), &executors::REDIS),
            (of("executors", "/anyOf/1"), &executors::SSH),
            (of("executors", "/anyOf/1/properties/nodes/items/anyOf/1"), &executors::NODE),
            ("/properties/defaults/properties".to_owned(), &raw::DEFAULTS),
            (of("tasks", ""), &raw::TASK),
            (of("groups", ""), &raw::GROUP),
            (of("outputs", "/anyOf/1"), &raw::OUTPUT),
            ("/properties/defaults/properties/retry/properties".to_owned(), &settings::RETRY),
            ("/properties/defaults/properties/limits/properties".to_owned(), &settings::LIMITS),
            ("/properties/defaults/properties/grants/properties".to_owned(), &grants::GRANTS),
            (
                "/properties/defaults/properties/grants/properties/read/items/anyOf/1/properties".to_owned(),
                &grants::DIRECTORY,
            ),
            (of("groups", "/properties/retry"), &settings::RETRY),
            (of("groups", "/properties/breaker"), &policies::BREAKER),
            (of("groups", "/properties/merge/anyOf/1"), &merge::MERGE),
            (of("groups", "/properties/split/anyOf/1"), &merge::SPLIT),
        ];
        for (path, known) in tables {
            assert_eq!(keys(&schema, &path), known.known.iter().copied().collect(), "{path}");
        }
    }

    #[test]
    fn what_is_known_of_an_executor_of_no_kind_is_known_of_some_kind() {
        let kinds = [&executors::REDIS, &executors::SSH];
        let known: BTreeSet<_> = kinds.iter().flat_map(|keys| keys.known).collect();
        assert_eq!(executors::EXECUTOR.known.iter().collect::<BTreeSet<_>>(), known);
        // And each says of the other's where they belong.
        for (keys, other) in kinds.iter().zip(kinds.iter().rev()) {
            for key in other.known.iter().filter(|key| !keys.known.contains(key)) {
                assert!(keys.elsewhere.iter().any(|(elsewhere, _)| elsewhere == key), "{key}");
            }
        }
    }
}
