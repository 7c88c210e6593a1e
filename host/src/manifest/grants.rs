//! What a task may reach: directories below the root, environment variables, and what `network` reads.
//! Decides what may be asked for; opens and hands out nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::{Fields, Keys, table, wrong_kind};
use super::scope::Scope;
use super::span::Span;
use super::tree::{Data, Entry, Tree};
use super::trust::is_variable;
use crate::model::{Directory, EnvironmentValue, Grants};

pub(super) const GRANTS: Keys = Keys { known: &["read", "write", "env", "net", "http"], elsewhere: &[] };
/// Each is opened once a run; more are a mistake.
const MOST_DIRECTORIES: usize = 1000;
pub(super) const DIRECTORY: Keys = Keys { known: &["path", "as"], elsewhere: &[] };

impl Scope<'_> {
    /// Reads `grants`. What is in `protected` may not be written.
    pub(super) fn grants(&self, tree: &Tree, protected: &Protected) -> Option<Grants> {
        let entries = table(tree, "`grants`", self.findings)?;
        let fields = Fields::new(entries, "`grants`", tree.span, &GRANTS, self.findings);
        let mut grants = Grants::default();
        let mut whole = true;
        for (key, write) in [("read", false), ("write", true)] {
            let Some(tree) = fields.tree(key) else { continue };
            let Data::Array(items) = &tree.data else {
                whole = false;
                wrong_kind::<()>(tree, &format!("`{key}`"), "an array of directories", self.findings);
                continue;
            };
            if items.len() > MOST_DIRECTORIES {
                let help = "grant a directory that holds them";
                self.findings.at_with_help(
                    tree.span,
                    format!("`{key}` has more than {MOST_DIRECTORIES} directories"),
                    help,
                );
                whole = false;
                continue;
            }
            for item in items {
                let Some(directory) = self.directory(item, write, protected) else {
                    whole = false;
                    continue;
                };
                if grants.directories.iter().any(|other| other.guest == directory.guest) {
                    self.findings.at_with_help(
                        item.span,
                        format!("two directories would be `{}` to the guest", directory.guest),
                        "leave one out (write includes read), or rename it: { path = \"…\", as = \"…\" }",
                    );
                    whole = false;
                    continue;
                }
                grants.directories.push(directory);
            }
        }
        for entry in fields.table("env").unwrap_or_default() {
            match self.environment_value(entry) {
                Some(value) => grants.environment.push((Arc::from(entry.key.as_str()), value)),
                None => whole = false,
            }
        }
        let (net, http) = (self.net(&fields), self.http(&fields));
        grants.net = net?;
        grants.http = http?;
        whole.then_some(grants)
    }

    fn directory(&self, tree: &Tree, write: bool, protected: &Protected) -> Option<Directory> {
        let (path_tree, guest) = match &tree.data {
            Data::Table(entries) => {
                let fields = Fields::new(entries, "the directory", tree.span, &DIRECTORY, self.findings);
                let Some(path) = fields.tree("path") else {
                    fields.missing("path", "write { path = \"data\", as = \"/data\" }");
                    return None;
                };
                (path, fields.tree("as"))
            }
            _ => (tree, None),
        };
        let written = self.fixed_text(path_tree, "a directory")?;
        let span = path_tree.span;
        let from = match self.is_given(path_tree) {
            true => self.folders.current.join(&written).to_string_lossy().into_owned(),
            false => written.clone(),
        };
        let path = self.below_root(&from, span)?;
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let help = "grants are for directories; name the one that holds it";
                self.findings.at_with_help(span, format!("`{written}` is not a directory"), help);
                return None;
            }
            Err(error) => {
                let help = format!("create it first: mkdir -p {written}");
                self.findings.at_with_help(
                    span,
                    format!("`{written}` cannot be granted: {}", reason(&error)),
                    help,
                );
                return None;
            }
        }
        if write && let Some(covered) = protected.covered_by(&path) {
            self.findings.at_with_help(
                span,
                format!("a task that may write in `{written}` could change {covered}"),
                "grant a directory that holds nothing but what the task writes",
            );
            return None;
        }
        let guest = match guest {
            Some(guest) => self.fixed_text(guest, "`as`")?,
            None => written,
        };
        if guest.is_empty() || guest.contains('\0') {
            self.findings.at(tree.span, "the guest's name for a directory cannot be empty or hold a NUL");
            return None;
        }
        let path = match path.strip_prefix(&self.folders.root) {
            Ok(path) if path.as_os_str().is_empty() => PathBuf::from("."),
            Ok(path) => path.to_owned(),
            Err(_) => return None,
        };
        Some(Directory { path, guest: Arc::from(guest), write })
    }

    fn environment_value(&self, entry: &Entry) -> Option<EnvironmentValue> {
        let name = entry.key.as_str();
        if !is_variable(name) {
            self.findings.at(entry.span, format!("`{name}` cannot be the name of an environment variable"));
            return None;
        }
        let value = match &entry.value.data {
            Data::Table(entries) => match entries.as_slice() {
                [Entry { key, value, .. }] if key == "env" => {
                    return self.variable(value).map(|name| EnvironmentValue::Secret { name });
                }
                _ => {
                    return wrong_kind(
                        &entry.value,
                        &format!("`{name}`"),
                        "a string or { env = \"NAME\" }",
                        self.findings,
                    );
                }
            },
            _ => self.fixed_text(&entry.value, &format!("`{name}`"))?,
        };
        if value.contains('\0') {
            self.findings
                .at(entry.value.span, format!("`{name}` holds a NUL, which no environment variable can"));
            return None;
        }
        Some(EnvironmentValue::Literal(Arc::from(value)))
    }
}

/// An I/O error's cause without the system's number for it.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "reading it is not permitted".to_owned(),
        _ => error.to_string(),
    }
}

/// What a run rests on, and nothing in the file may overwrite.
pub(super) struct Protected {
    paths: Vec<(PathBuf, String)>,
}

impl Protected {
    pub(super) fn new() -> Self {
        Self { paths: Vec::new() }
    }

    pub(super) fn add(&mut self, path: PathBuf, what: impl Into<String>) {
        self.paths.push((path, what.into()));
    }

    /// What writing at or below `path` could change.
    pub(super) fn covered_by(&self, path: &Path) -> Option<&str> {
        let covered =
            |(protected, _): &&(PathBuf, String)| protected.starts_with(path) || path.starts_with(protected);
        self.paths.iter().find(covered).map(|(_, what)| what.as_str())
    }
}

/// A problem with a path that would be written.
pub(super) fn refuse_overwrite(scope: &Scope<'_>, span: Span, written: &str, what: &str) {
    scope.findings.at_with_help(
        span,
        format!("writing `{written}` would change {what}"),
        "give it another path",
    );
}
