//! From a `workflow.toml` to a [`Workflow`]: every name and type checked against the components,
//! all problems at once. Runs and compiles nothing, and knows nothing of how workflows are run.

mod asks;
mod calls;
mod components;
mod diagnostics;
mod excerpt;
mod executors;
mod expr;
mod fields;
mod flow;
mod grants;
mod graph;
mod groups;
mod handed;
mod inputs;
mod item_uses;
mod items;
mod literal;
mod merge;
mod nesting;
mod network;
mod outputs;
mod paths;
mod policies;
mod raw;
mod resolve;
mod schema;
mod scope;
mod settings;
mod span;
mod suggest;
mod template;
mod tree;
mod trust;
mod units;
mod veil;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use asks::{Access, Ask};
pub use components::Build;
pub use diagnostics::{Diagnostic, Place, Problems};
pub use schema::schema;
pub use span::Span;
pub use trust::{Allow, AllowError, Trust};
pub use units::{UnitError, duration, rate, size};

use crate::digest::Digest;
use crate::interface::Interface;
use crate::model::{Input, Workflow};
use diagnostics::Findings;
use executors::Executors;
use grants::{Protected, reason};
use paths::Folders;
use resolve::Overrides;
use scope::{Item, Names, Scope};

#[cfg(test)]
mod tests;

/// A workflow file larger than this many bytes is refused.
pub const LARGEST_FILE: u64 = 8 << 20;

/// What the command line and the surroundings say.
pub struct Options<'o> {
    /// What no path of the file leads out of; none is the file's folder. Relative to `current`.
    pub root: Option<PathBuf>,
    /// Inputs by name, as text: a `string` is the text itself, all else is JSON.
    pub inputs: Vec<(String, String)>,
    /// Executors by name, for one task or group, or where that is none for all; the former wins.
    pub executors: Vec<(Option<String>, String)>,
    /// How many attempts every group may hand over at once; none leaves it to the file.
    pub concurrency: Option<u32>,
    /// What paths of the command line start from, absolute.
    pub current: PathBuf,
    /// flowhost's own environment.
    pub environment: &'o dyn Fn(&str) -> Option<String>,
    /// How far the file is trusted.
    pub trust: Trust,
    /// Where runs are kept, if not in `.flowhost` beside the file. Relative to `current`.
    pub state_dir: Option<PathBuf>,
    /// Where redis executors are for which the file gives no URL.
    pub redis: Option<String>,
    /// Whether secrets may go to executors that are reached unencrypted.
    pub plain_secrets: bool,
    /// What becomes of the workflow.
    pub purpose: Purpose,
    /// What is taken instead of the file's text and its components; none takes those that are there.
    pub recorded: Option<&'o Recorded>,
}

/// What becomes of a workflow, and so what has to be known here of the executors that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Purpose {
    /// It runs: all of it.
    #[default]
    Run,
    /// It is checked: what is empty in the environment may be set where it runs.
    Check,
    /// Single calls of it are made again on this machine: nothing. [`Workflow::executors`] is empty.
    Replay,
}

/// A workflow file and its components as a run had them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recorded {
    /// The file's text.
    pub text: Vec<u8>,
    /// Where the components' bytes are, by alias.
    pub components: HashMap<Arc<str>, PathBuf>,
}

/// A workflow file that was found right.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The workflow.
    pub workflow: Workflow,
    /// The file's text.
    pub source: Arc<str>,
    /// What each of the workflow's components offers, in their order.
    pub interfaces: Vec<Interface>,
    /// What the file asks to reach.
    pub asks: Vec<Ask>,
}

/// Reads and checks a workflow file, and the components that it names.
///
/// # Errors
/// Fails with everything that is wrong with the file, its components and the command line's inputs.
pub fn load(path: &Path, options: &Options<'_>) -> Result<Loaded, Problems> {
    let findings = Findings::default();
    let source = match options.recorded {
        None => read(path, &findings),
        Some(recorded) => text(recorded.text.clone(), &findings),
    };
    let loaded = source.as_deref().and_then(|source| load_text(path, source, options, &findings));
    finish(path, source.as_deref(), findings, loaded)
}

/// The `build` commands of a file's components, in the file's order, for the caller to run before
/// [`load`].
///
/// # Errors
/// Fails with what is wrong with the file as it stands, without looking at its components.
pub fn builds(path: &Path) -> Result<Vec<Build>, Problems> {
    let findings = Findings::default();
    let source = read(path, &findings);
    let builds = source.as_deref().and_then(|source| {
        let folder = folder_of(path, &findings)?;
        let document = tree::parse(source, &findings)?;
        let file = raw::read(&document, &findings);
        let build = |component| components::build_of(component, &folder, &findings);
        Some(file.components.iter().filter_map(build).collect())
    });
    finish(path, source.as_deref(), findings, builds)
}

fn finish<T>(
    path: &Path,
    source: Option<&str>,
    findings: Findings,
    result: Option<T>,
) -> Result<T, Problems> {
    match result {
        Some(result) if findings.is_empty() => return Ok(result),
        // Whoever gives up says why; this keeps a slip there from looking like success.
        None if findings.is_empty() => findings.add(Place::File, "could not be understood", None),
        Some(_) | None => {}
    }
    // Lines of the file are shown with what is wrong in them.
    let source = veil::veiled(source.unwrap_or_default());
    Err(findings.into_problems(path.display().to_string(), Arc::from(source)))
}

/// The file's text.
fn read(path: &Path, findings: &Findings) -> Option<String> {
    let problem = |message: String, help: &str| {
        findings.add(Place::File, message, Some(help.to_owned()));
        None
    };
    let file = match crate::interface::open_regular(path) {
        Ok(file) => file,
        Err(error) => {
            return problem(
                format!("cannot be read: {}", reason(&error)),
                "give the path of a workflow.toml",
            );
        }
    };
    let mut bytes = Vec::new();
    let too_large = |length: u64| length > LARGEST_FILE;
    if file.metadata().is_ok_and(|metadata| too_large(metadata.len())) {
        return problem(
            format!("is larger than {} MiB", LARGEST_FILE >> 20),
            "put long lists into files of their own: { jsonl = \"items.jsonl\" }",
        );
    }
    if let Err(error) = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes) {
        return problem(format!("cannot be read: {}", reason(&error)), "give the path of a workflow.toml");
    }
    if u64::try_from(bytes.len()).is_ok_and(too_large) {
        return problem(
            format!("is larger than {} MiB", LARGEST_FILE >> 20),
            "put long lists into files of their own: { jsonl = \"items.jsonl\" }",
        );
    }
    text(bytes, findings)
}

fn text(bytes: Vec<u8>, findings: &Findings) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let message =
                format!("is not text in UTF-8: byte {at} (counted from 0) is the first that is not");
            findings.add(Place::File, message, Some("save the file as UTF-8".to_owned()));
            None
        }
    }
}

/// The folder that holds the file, absolute and without symlinks.
fn folder_of(path: &Path, findings: &Findings) -> Option<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match folder.canonicalize() {
        Ok(folder) => Some(folder),
        Err(error) => {
            findings.add(Place::File, format!("its folder cannot be read: {}", reason(&error)), None);
            None
        }
    }
}

fn folders(path: &Path, options: &Options<'_>, findings: &Findings) -> Option<Folders> {
    let workflow = folder_of(path, findings)?;
    let root = match &options.root {
        None => workflow.clone(),
        Some(root) => match options.current.join(root).canonicalize() {
            Ok(root) if root.is_dir() => root,
            Ok(_) => {
                let place = Place::CommandLine(format!("--root {}", root.display()));
                findings.add(place, "it is not a directory", None);
                return None;
            }
            Err(error) => {
                let place = Place::CommandLine(format!("--root {}", root.display()));
                findings.add(place, reason(&error), None);
                return None;
            }
        },
    };
    Some(Folders { workflow, root, current: options.current.clone() })
}

fn load_text(path: &Path, source: &str, options: &Options<'_>, findings: &Findings) -> Option<Loaded> {
    let folders = folders(path, options, findings)?;
    let document = tree::parse(source, findings)?;
    let mut file = raw::read(&document, findings);
    settings::override_executors(&mut file, &options.executors, findings);
    if file.tasks.is_empty() && file.groups.is_empty() && findings.is_empty() {
        let help = "declare one: [tasks.NAME] with run = \"component#function\"";
        findings.add(Place::File, "has no tasks, so there is nothing to run", Some(help.to_owned()));
    }
    let components = components::read(&file.components, &folders, options.recorded, findings);
    let mut protected = protected(path, &folders, &components);
    if let Some(state_dir) = &options.state_dir {
        // It need not be there yet, but what is above it may be a link.
        let state_dir = folders.current.join(state_dir);
        let real = state_dir.parent().and_then(|parent| parent.canonicalize().ok());
        let real =
            real.zip(state_dir.file_name()).map_or(state_dir.clone(), |(parent, name)| parent.join(name));
        protected.add(real, "the folder of `--state-dir`, where runs are kept");
    }

    let nameless = Names::default();
    let scope = |names| Scope {
        names,
        folders: &folders,
        environment: options.environment,
        trust: &options.trust,
        findings,
        source,
        item: Item::None("this is outside of all tasks"),
        needs: Default::default(),
        secrets: Default::default(),
    };
    let (plan, mut names) = resolve::plan(&file, &components, findings);
    let types = inputs::types(&file.inputs, &components, findings);
    names.inputs = inputs::values(&file.inputs, &types, &options.inputs, &scope(&nameless));
    if options.concurrency == Some(0) {
        let place = Place::CommandLine("--concurrency 0".to_owned());
        findings.add(place, "nothing could run", Some("give at least 1".to_owned()));
    }
    let named = Executors::new(&file.executors, options);
    named.check(&scope(&nameless));
    let overrides = Overrides { concurrency: options.concurrency };
    let resolved = plan.resolve(&scope(&names), &components, &protected, &named, &overrides);
    // What could not be read was reported, and a workflow without it is another workflow.
    if !findings.is_empty()
        || resolved.nodes.len() != plan.len()
        || file.outputs.as_ref().is_some_and(|outputs| resolved.outputs.len() != outputs.len())
    {
        return None;
    }

    let given = |input: &raw::Input<'_>| {
        let given = names.inputs.get(input.name.value)?.clone()?;
        Some(Input { name: Arc::from(input.name.value), ty: given.ty, value: given.value })
    };
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (components, interfaces) = components.read.into_iter().unzip();
    let workflow = Workflow {
        name: Arc::from(file.name.map_or_else(stem, |name| name.value.to_owned())),
        digest: Digest::of(source.as_bytes()),
        root: folders.root,
        folder: folders.workflow,
        seed: file.seed,
        inputs: file.inputs.iter().map(given).collect::<Option<_>>()?,
        components,
        executors: named.into_used(),
        nodes: resolved.nodes,
        outputs: resolved.outputs,
    };
    Some(Loaded { workflow, source: Arc::from(source), interfaces, asks: resolved.asks })
}

/// What nothing in the file may overwrite.
fn protected(path: &Path, folders: &Folders, components: &components::Components<'_>) -> Protected {
    let mut protected = Protected::new();
    if let Ok(path) = path.canonicalize() {
        protected.add(path, "the workflow file");
    }
    for folder in [&folders.workflow, &folders.root, &folders.current] {
        protected.add(folder.join(".flowhost"), "`.flowhost`, where runs are kept");
    }
    for (path, what) in &components.protected {
        protected.add(path.clone(), what.clone());
    }
    protected
}
