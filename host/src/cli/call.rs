//! `flowhost call`: one call without a workflow, fit for a shell loop or GNU Parallel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::exit::Exit;
use super::host;
use super::output::{result, stdout_failed};
use super::progress::Style;
use super::run::pair;
use crate::digest::Digest;
use crate::id::NodeId;
use crate::interface;
use crate::manifest::{duration, size};
use crate::model::{
    AddressError, AddressRange, Component, Directory, Entry, EnvironmentValue, Expr, Grants, Kind, Limits,
    Node, Origin, OriginError, Output, Policy, Section, Signature, Source, Task, Type, Value, Workflow,
};

#[derive(clap::Args, Debug)]
pub(super) struct Call {
    /// The component and the function, such as text.wasm#count-words
    #[arg(value_name = "COMPONENT#FUNCTION")]
    target: String,
    /// An argument: a string, or a command's stdin, as it stands, any other type as JSON. Repeatable
    #[arg(long = "with", value_name = "NAME=VALUE", env = "FLOWHOST_WITH", value_parser = pair)]
    with: Vec<(String, String)>,
    /// A file with one JSON object that holds arguments by name; `-` is standard input
    #[arg(long, value_name = "FILE", env = "FLOWHOST_INPUT")]
    input: Option<PathBuf>,
    /// Where the value goes: bytes and strings as they are, all else as JSON [default: standard output, as JSON]
    #[arg(long, value_name = "FILE", env = "FLOWHOST_OUTPUT")]
    output: Option<PathBuf>,
    /// A folder that the function may read. Repeatable
    #[arg(long, value_name = "DIR", env = "FLOWHOST_READ")]
    read: Vec<PathBuf>,
    /// A folder that the function may read and write. Repeatable
    #[arg(long, value_name = "DIR", env = "FLOWHOST_WRITE")]
    write: Vec<PathBuf>,
    /// An environment variable that the function sees. Repeatable
    #[arg(long = "env", value_name = "NAME=VALUE", env = "FLOWHOST_ENV", value_parser = pair)]
    environment: Vec<(String, String)>,
    /// Addresses that the function may connect to, such as 127.0.0.1:6379 or 10.0.0.0/8:1024-2048. Repeatable
    #[arg(long, value_name = "RANGE", env = "FLOWHOST_NET", value_delimiter = ',', value_parser = net)]
    net: Vec<AddressRange>,
    /// An origin that the function may send requests to. Repeatable
    #[arg(long, value_name = "SCHEME://HOST[:PORT]", env = "FLOWHOST_HTTP", value_delimiter = ',', value_parser = http)]
    http: Vec<Origin>,
    /// The most memory
    #[arg(long, value_name = "SIZE", default_value = "256MiB", env = "FLOWHOST_MEMORY", value_parser = size)]
    memory: u64,
    /// The most time, such as 500ms or 2m [default: none]
    #[arg(long, value_name = "DURATION", env = "FLOWHOST_TIMEOUT", value_parser = duration)]
    timeout: Option<Duration>,
    /// The most fuel, about one unit an instruction [default: none]
    #[arg(long, value_name = "UNITS", env = "FLOWHOST_FUEL")]
    fuel: Option<u64>,
    /// The largest result
    #[arg(long, value_name = "SIZE", default_value = "64MiB", env = "FLOWHOST_OUTPUT_LIMIT", value_parser = size)]
    output_limit: u64,
    /// Virtual clock and seeded randomness: equal arguments give equal bytes
    #[arg(long, env = "FLOWHOST_DETERMINISTIC", value_parser = clap::builder::FalseyValueParser::new())]
    deterministic: bool,
    /// The seed of deterministic randomness
    #[arg(long, default_value_t = 0, env = "FLOWHOST_SEED")]
    seed: u64,
    #[command(flatten)]
    compiling: host::Compiling,
    /// How to show what happens
    #[arg(long, value_enum, default_value_t = Style::None, env = "FLOWHOST_PROGRESS")]
    progress: Style,
}

/// Why there is nothing to call.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("`{0}` names no function: write COMPONENT#FUNCTION, such as text.wasm#count-words")]
    Target(String),
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("`{path}`: {source}")]
    Component { path: PathBuf, source: interface::InterfaceError },
    #[error("`{path}`: {source}")]
    Find { path: PathBuf, source: interface::FindError },
    #[error("`{path}` imports `{import}`, which flowhost does not provide")]
    Import { path: PathBuf, import: Arc<str> },
    #[error("`{path}` is not a JSON object of arguments: {reason}")]
    Input { path: PathBuf, reason: String },
    #[error("`{name}` is no parameter of the function, which takes {takes}")]
    Unknown { name: String, takes: String },
    #[error("the argument `{name}` is given twice")]
    Twice { name: String },
    #[error("the parameter `{name}`, of type {ty}, needs a value: --with {name}={example}")]
    Missing { name: Arc<str>, ty: Type, example: String },
    #[error("the argument `{name}` is no {ty}: {reason}")]
    Argument { name: Arc<str>, ty: Type, reason: String },
    #[error("cannot grant `{path}`: {source}; name a folder that is there")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(
        "a deterministic call reaches no directories and no network: leave --read, --write, --net and --http out"
    )]
    Reaches,
    #[error("`{path}` imports `{import}`, which no deterministic call may: leave --deterministic out")]
    Nondeterministic { path: PathBuf, import: Arc<str> },
}

/// For a flag.
fn net(text: &str) -> Result<AddressRange, String> {
    text.parse().map_err(|error: AddressError| format!("{error}; {}", error.help()))
}

/// For a flag.
fn http(text: &str) -> Result<Origin, String> {
    text.parse().map_err(|error: OriginError| format!("{error}; {}", error.help()))
}

impl Call {
    pub(super) fn execute(self) -> Exit {
        let workflow = match self.workflow() {
            Ok(workflow) => workflow,
            Err(failure) => {
                super::output::error(&failure);
                return Exit::Usage;
            }
        };
        if let Err(exit) = host::allowed(&workflow) {
            return exit;
        }
        let (mut ended, exit) = match host::run(workflow, self.progress, &self.compiling, None, None) {
            Ok(ended) => ended,
            Err(failure) => return host::failed(&failure),
        };
        match ended.outputs.values.remove("value").map(|value| result(&value.to_string())) {
            Some(Err(failure)) => stdout_failed(&failure),
            Some(Ok(())) | None => exit,
        }
    }

    /// A workflow of the one task.
    fn workflow(&self) -> Result<Workflow, CallError> {
        let (path, function) =
            self.target.rsplit_once('#').ok_or_else(|| CallError::Target(self.target.clone()))?;
        let path = absolute(Path::new(path))?;
        let bytes =
            interface::read_file(&path).map_err(|source| CallError::File { path: path.clone(), source })?;
        let interface =
            interface::read(&bytes).map_err(|source| CallError::Component { path: path.clone(), source })?;
        let found =
            interface.find(function).map_err(|source| CallError::Find { path: path.clone(), source })?;
        if let Some(unprovided) = interface.unprovided().into_iter().next() {
            return Err(CallError::Import { path, import: unprovided.name });
        }
        if let Some(import) = interface.nondeterministic().first().filter(|_| self.deterministic) {
            return Err(CallError::Nondeterministic { path, import: Arc::clone(&import.name) });
        }
        let arguments = self.arguments(&found.entry, &found.signature)?;
        let name: Arc<str> = function.into();
        let value = found.signature.result.task_value();
        let task = Task {
            flow: crate::model::Flow::default(),
            name: Arc::clone(&name),
            component: 0,
            entry: found.entry,
            signature: found.signature,
            arguments,
            policy: self.policy()?,
        };
        // What the command line names is allowed wherever it is.
        let root = PathBuf::from("/");
        Ok(Workflow {
            name: Arc::clone(&name),
            digest: Digest::of(self.target.as_bytes()),
            folder: absolute(Path::new("."))?,
            root,
            seed: self.seed,
            inputs: Vec::new(),
            components: vec![Component { alias: "component".into(), digest: Digest::of(&bytes), path }],
            executors: Vec::new(),
            outputs: vec![Output {
                name: "value".into(),
                value: Expr::Reference { source: Source::Node(NodeId(0)), path: Vec::new() },
                ty: value.clone(),
                needs: [NodeId(0)].into(),
                file: self.output.as_deref().map(absolute).transpose()?,
            }],
            nodes: vec![Node {
                inside: None,
                name,
                section: Section::default(),
                after: [].into(),
                when: None,
                kind: Kind::Task(Box::new(task)),
                value,
            }],
        })
    }

    fn policy(&self) -> Result<Policy, CallError> {
        let reaches = !(self.read.is_empty() && self.write.is_empty());
        let connects = !(self.net.is_empty() && self.http.is_empty());
        if self.deterministic && (reaches || connects) {
            return Err(CallError::Reaches);
        }
        let directory = |(path, write): (&PathBuf, bool)| {
            // Asked here, so that the answer comes before anything is compiled.
            std::fs::read_dir(path).map_err(|source| CallError::Directory { path: path.clone(), source })?;
            let absolute = absolute(path)?;
            Ok(Directory {
                path: absolute.strip_prefix("/").unwrap_or(&absolute).to_owned(),
                guest: path.to_string_lossy().into(),
                write,
            })
        };
        let read = self.read.iter().map(|path| (path, false));
        let write = self.write.iter().map(|path| (path, true));
        let environment = self.environment.iter().map(|(name, value)| {
            (Arc::from(name.as_str()), EnvironmentValue::Literal(Arc::from(value.as_str())))
        });
        Ok(Policy {
            limits: Limits {
                memory: self.memory,
                timeout: self.timeout,
                fuel: self.fuel,
                output: self.output_limit,
                ..Limits::default()
            },
            grants: Grants {
                directories: read.chain(write).map(directory).collect::<Result<_, _>>()?,
                environment: environment.collect(),
                net: self.net.clone(),
                http: self.http.clone(),
            },
            deterministic: self.deterministic,
            ..Policy::default()
        })
    }

    /// Every parameter's argument, by its type.
    fn arguments(&self, entry: &Entry, signature: &Signature) -> Result<Vec<Expr>, CallError> {
        let mut given = self.given(entry, signature)?;
        let arguments = signature.parameters.iter().map(|(name, ty)| {
            let value = match given.remove(&**name) {
                Some(json) => interface::from_json(&json, ty).map_err(|error| CallError::Argument {
                    name: Arc::clone(name),
                    ty: ty.clone(),
                    reason: error.to_string(),
                })?,
                None => absent(entry, ty).ok_or_else(|| CallError::Missing {
                    name: Arc::clone(name),
                    ty: ty.clone(),
                    example: interface::skeleton(ty),
                })?,
            };
            Ok(Expr::Literal(value))
        });
        let arguments = arguments.collect::<Result<_, _>>()?;
        match given.into_iter().next() {
            None => Ok(arguments),
            Some((name, _)) => {
                let takes: Vec<String> =
                    signature.parameters.iter().map(|(name, ty)| format!("`{name}: {ty}`")).collect();
                let takes = if takes.is_empty() { "nothing".to_owned() } else { takes.join(", ") };
                Err(CallError::Unknown { name, takes })
            }
        }
    }

    /// Arguments by name, as JSON.
    fn given(
        &self,
        entry: &Entry,
        signature: &Signature,
    ) -> Result<serde_json::Map<String, serde_json::Value>, CallError> {
        let mut given = match &self.input {
            None => serde_json::Map::new(),
            Some(path) => {
                let text = if path == Path::new("-") {
                    std::io::read_to_string(std::io::stdin())
                } else {
                    std::fs::read_to_string(path)
                };
                let text = text.map_err(|source| CallError::File { path: path.clone(), source })?;
                serde_json::from_str(&text)
                    .map_err(|error| CallError::Input { path: path.clone(), reason: error.to_string() })?
            }
        };
        for (name, text) in &self.with {
            let parameter = signature.parameters.iter().find(|(known, _)| **known == **name);
            let json = match parameter {
                Some((_, Type::String)) | None => serde_json::Value::from(text.as_str()),
                Some((_, ty)) if ty.is_bytes() && matches!(entry, Entry::Command { .. }) => {
                    interface::to_json(&Value::Bytes(text.clone().into()), ty)
                }
                // Where the text is no JSON it may be an enum's case or a digit string, as JSON has it.
                Some(_) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            };
            if given.insert(name.clone(), json).is_some() {
                return Err(CallError::Twice { name: name.clone() });
            }
        }
        Ok(given)
    }
}

/// The value of a parameter that may be left out.
fn absent(entry: &Entry, ty: &Type) -> Option<Value> {
    match (entry, ty) {
        (Entry::Command { .. }, ty) if ty.is_bytes() => Some(Value::Bytes(bytes::Bytes::new())),
        (Entry::Command { .. }, Type::List(_)) => Some(Value::List(Arc::new([]))),
        (_, Type::Option(_)) => Some(Value::Option(None)),
        _ => None,
    }
}

fn absolute(path: &Path) -> Result<PathBuf, CallError> {
    std::path::absolute(path).map_err(|source| CallError::File { path: path.to_owned(), source })
}
