//! The components that a file names: where their bytes are, whether they are the pinned ones, and
//! what they offer. Reads each once; runs and compiles nothing.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Recorded;
use super::diagnostics::Findings;
use super::paths::Folders;
use super::raw;
use super::span::At;
use crate::digest::Digest;
use crate::interface::{self, Interface};
use crate::model::Component;

/// What is known of the file's components.
#[derive(Default)]
pub(super) struct Components<'t> {
    /// Those that could be read, in the file's order.
    pub(super) read: Vec<(Component, Interface)>,
    /// Positions in `read` by alias; none where a problem keeps a component unknown.
    pub(super) aliases: HashMap<&'t str, Option<usize>>,
    /// Where components are or would be, and what builds name, each with what it is: nothing in the
    /// file may overwrite it.
    pub(super) protected: Vec<(PathBuf, String)>,
}

/// A component's `build` command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// The component's alias.
    pub alias: String,
    /// The program and its arguments. At least one.
    pub words: Vec<String>,
    /// Where it runs: the workflow file's folder, absolute.
    pub folder: PathBuf,
}

/// Reads all components.
pub(super) fn read<'t>(
    components: &[raw::Component<'t>],
    folders: &Folders,
    recorded: Option<&Recorded>,
    findings: &Findings,
) -> Components<'t> {
    let mut all = Components::default();
    for component in components {
        let kept = recorded.and_then(|recorded| recorded.components.get(component.alias.value));
        let path = match folders.below_root(component.path.value) {
            Ok(path) => Some(kept.cloned().unwrap_or(path)),
            Err(error) => {
                findings.at_with_help(component.path.span, error.to_string(), error.help());
                None
            }
        };
        let alias = component.alias.value;
        all.protected.extend(path.clone().map(|path| (path, format!("component `{alias}`"))));
        if let Some(build) = build_of(component, &folders.workflow, findings) {
            let sources = build.words.iter().filter_map(|word| sources(word, &folders.workflow));
            all.protected
                .extend(sources.map(|path| (path, format!("what component `{alias}` is built from"))));
        }
        let read = path.and_then(|path| read_one(component, path, findings));
        let position = read.map(|read| {
            all.read.push(read);
            all.read.len() - 1
        });
        all.aliases.insert(component.alias.value, position);
    }
    all
}

fn read_one(
    component: &raw::Component<'_>,
    path: PathBuf,
    findings: &Findings,
) -> Option<(Component, Interface)> {
    let At { value: alias, .. } = component.alias;
    let At { value: written, span } = component.path;
    let bytes = match interface::read_file(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let message = match missing {
                true => format!("there is no file `{written}`"),
                false => format!("`{written}` cannot be read: {error}"),
            };
            let help = match (missing, component.build.is_some()) {
                (true, true) => format!(
                    "`--build` builds component `{alias}` first; its `build` command is to leave the file there"
                ),
                (true, false) => {
                    "build the component, or mend the path: it is relative to the workflow file's folder"
                        .to_owned()
                }
                (false, _) => "give the path of a component's .wasm file that you can read".to_owned(),
            };
            findings.at_with_help(span, message, help);
            return None;
        }
    };
    let digest = Digest::of(&bytes);
    if let Some(pin) = component.digest {
        match pin.value.parse::<Digest>() {
            Ok(pinned) if pinned == digest => {}
            Ok(pinned) => findings.at_with_help(
                pin.span,
                format!("component `{alias}` is not the pinned one: the file `{written}` has the digest {digest}, not {pinned}"),
                "bring back the file that was pinned, or pin the new digest if you trust the new file",
            ),
            Err(error) => findings.at(pin.span, error.to_string()),
        }
    }
    let interface = match interface::read(&bytes) {
        Ok(interface) => interface,
        Err(error) => {
            findings.at(span, format!("component `{alias}`: {error}"));
            return None;
        }
    };
    for import in interface.unprovided() {
        findings.at_with_help(
            span,
            format!("component `{alias}`: {import}"),
            "build the component without it, or compose it with a component that provides it (`wac plug`)",
        );
    }
    let component = Component { alias: alias.into(), path, digest };
    Some((component, interface))
}

/// A component's `build`, split into words.
pub(super) fn build_of(component: &raw::Component<'_>, folder: &Path, findings: &Findings) -> Option<Build> {
    let build = component.build?;
    let help = "words are separated by spaces; put one that holds spaces in single or double quotes. No shell is involved";
    match words(build.value) {
        Some(words) if !words.is_empty() => {
            Some(Build { alias: component.alias.value.to_owned(), words, folder: folder.to_owned() })
        }
        Some(_) => {
            findings.at_with_help(
                build.span,
                "`build` is empty",
                "give the command that builds the component, or leave `build` out",
            );
            None
        }
        None => {
            findings.at_with_help(build.span, "`build` opens a quote that it does not close", help);
            None
        }
    }
}

/// Words as a shell would split them, with quotes but without anything else that a shell does.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in command.chars() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, char) if char.is_whitespace() => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// What a word of a `build` command names, if that exists below the workflow file's folder: a
/// folder, or a file's folder unless that is the workflow file's own.
fn sources(word: &str, folder: &Path) -> Option<PathBuf> {
    let path = word.rsplit_once('=').map_or(word, |(_, path)| path);
    if path.is_empty() || path.contains('\0') {
        return None;
    }
    let path = folder.join(path).canonicalize().ok()?;
    if !path.starts_with(folder) || path == folder {
        return None;
    }
    match path.parent() {
        Some(parent) if path.is_file() && parent != folder => Some(parent.to_owned()),
        _ => Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_split_without_a_shell() {
        let split = |text: &str| words(text).map(|words| words.join("|"));
        assert_eq!(split("cargo build  --release").unwrap(), "cargo|build|--release");
        assert_eq!(split("a 'b c' \"d e\"f '' $X;`y`").unwrap(), "a|b c|d ef||$X;`y`");
        assert_eq!(split("  ").unwrap(), "");
        assert_eq!(split("a 'b"), None);
    }
}
