//! Reads a table's keys by kind and refuses those that nobody knows. Knows kinds of TOML values, not
//! what the keys mean.

use super::diagnostics::Findings;
use super::span::{At, Span};
use super::suggest;
use super::tree::{Data, Entry, Tree};

/// A table whose keys are known.
pub(super) struct Fields<'t> {
    entries: &'t [Entry],
    findings: &'t Findings,
    /// What the table is, such as "task `count`".
    what: String,
    /// Where to point for a key that is missing.
    span: Span,
    /// The keys that unknown ones were most likely meant to be.
    meant: Vec<&'static str>,
}

/// The keys that a table may have.
pub(super) struct Keys {
    pub(super) known: &'static [&'static str],
    /// Keys of tables that are easily taken for this one, each with where it belongs, as in "is for executors of
    /// the kind `redis`".
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

impl<'t> Fields<'t> {
    /// Checks that all keys of `entries` are among `keys`.
    pub(super) fn new(
        entries: &'t [Entry],
        what: impl Into<String>,
        span: Span,
        keys: &Keys,
        findings: &'t Findings,
    ) -> Self {
        let what = what.into();
        let mut meant = Vec::new();
        for Entry { key, span, .. } in entries {
            if keys.known.contains(&key.as_str()) {
                continue;
            }
            if findings.full() {
                break;
            }
            let help = match keys.elsewhere.iter().find(|(elsewhere, _)| elsewhere == key) {
                Some((_, belongs)) => format!("`{key}` {belongs}"),
                None => {
                    meant.extend(suggest::closest(key, keys.known.iter().copied()));
                    suggest::or_list(key, keys.known.iter().copied(), "it takes no keys")
                }
            };
            findings.at_with_help(*span, format!("{what} has no key `{key}`"), help);
        }
        Self { entries, findings, what, span, meant }
    }

    /// The entry of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of `key`.
    pub(super) fn tree(&self, key: &str) -> Option<&'t Tree> {
        self.get(key).map(|entry| &entry.value)
    }

    /// A problem of the table as a whole.
    pub(super) fn problem(&self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.at_with_help(self.span, message, help);
    }

    /// Whether one of `keys` is there and misspelt, which was reported.
    pub(super) fn meant(&self, keys: &[&str]) -> bool {
        self.meant.iter().any(|meant| keys.contains(meant))
    }

    /// Reports that `key` is missing, unless it is there and misspelt, which was reported.
    pub(super) fn missing(&self, key: &str, help: impl Into<String>) {
        if self.meant(&[key]) {
            return;
        }
        self.problem(format!("{} has no `{key}`", self.what), help);
    }

    pub(super) fn string(&self, key: &str) -> Option<At<&'t str>> {
        let tree = self.tree(key)?;
        string(tree, &format!("`{key}`"), self.findings)
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let tree = self.tree(key)?;
        match &tree.data {
            Data::Bool(value) => Some(*value),
            _ => wrong_kind(tree, &format!("`{key}`"), "`true` or `false`", self.findings),
        }
    }

    /// An integer from `least` to `most`.
    pub(super) fn integer(&self, key: &str, least: u32, most: u32) -> Option<u32> {
        let tree = self.tree(key)?;
        match &tree.data {
            Data::Integer(number) => match u32::try_from(*number) {
                Ok(number) if (least..=most).contains(&number) => Some(number),
                _ => {
                    let bounds = format!("`{key}` is an integer from {least} to {most}, not {number}");
                    self.findings.at(tree.span, bounds);
                    None
                }
            },
            _ => wrong_kind(tree, &format!("`{key}`"), "an integer", self.findings),
        }
    }

    /// A number from `least` to `most`.
    pub(super) fn number(&self, key: &str, least: f64, most: f64) -> Option<f64> {
        let tree = self.tree(key)?;
        let number = match &tree.data {
            Data::Float(number) => *number,
            Data::Integer(number) => *number as f64,
            _ => return wrong_kind(tree, &format!("`{key}`"), "a number", self.findings),
        };
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.findings.at(tree.span, format!("`{key}` is a number from {least} to {most}, not {number}"));
        None
    }

    pub(super) fn strings(&self, key: &str) -> Vec<At<&'t str>> {
        let Some(tree) = self.tree(key) else { return Vec::new() };
        match &tree.data {
            Data::Array(items) => items
                .iter()
                .filter_map(|item| string(item, &format!("each item of `{key}`"), self.findings))
                .collect(),
            _ => wrong_kind(tree, &format!("`{key}`"), "an array of strings", self.findings)
                .unwrap_or_default(),
        }
    }

    pub(super) fn table(&self, key: &str) -> Option<&'t [Entry]> {
        let tree = self.tree(key)?;
        table(tree, &format!("`{key}`"), self.findings)
    }

    /// One of `words`, each with what it means.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string(key)?;
        word(text, &format!("`{key}`"), words, self.findings)
    }
}

/// One of `words`, each with what it means.
pub(super) fn word<T: Copy>(
    text: At<&str>,
    what: &str,
    words: &[(&'static str, T)],
    findings: &Findings,
) -> Option<T> {
    let At { span, value } = text;
    let meant = words.iter().find(|(word, _)| *word == value);
    if meant.is_none() {
        let known = suggest::or_list(value, words.iter().map(|(word, _)| *word), "");
        findings.at_with_help(span, format!("{what} cannot be `{value}`"), known);
    }
    meant.map(|(_, meaning)| *meaning)
}

pub(super) fn string<'t>(tree: &'t Tree, what: &str, findings: &Findings) -> Option<At<&'t str>> {
    match &tree.data {
        Data::String(text) => Some(At::new(tree.span, text)),
        _ => wrong_kind(tree, what, "a string", findings),
    }
}

pub(super) fn table<'t>(tree: &'t Tree, what: &str, findings: &Findings) -> Option<&'t [Entry]> {
    match &tree.data {
        Data::Table(entries) => Some(entries),
        _ => wrong_kind(tree, what, "a table", findings),
    }
}

/// Reports that `tree` is of the wrong kind. Nothing is said of what was refused already.
pub(super) fn wrong_kind<T>(tree: &Tree, what: &str, wanted: &str, findings: &Findings) -> Option<T> {
    if tree.data != Data::Refused {
        findings.at(tree.span, format!("{what} takes {wanted}, not {}", tree.kind()));
    }
    None
}
