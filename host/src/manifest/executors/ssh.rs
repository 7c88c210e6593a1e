//! Executors of the kind `ssh`: which nodes they have, and how ssh and flowhost get there.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::manifest::diagnostics::Findings;
use crate::manifest::fields::{Fields, Keys, string, wrong_kind};
use crate::manifest::scope::Scope;
use crate::manifest::settings::duration;
use crate::manifest::span::At;
use crate::manifest::suggest;
use crate::manifest::tree::{Data, Tree};
use crate::model::{
    Deploy, NodeAddress, NodeAddressError, NodeUser, SshNode, SshOption, SshOptionError, SshSettings,
    WorkDir, WorkDirError,
};

const OF_REDIS: &str = "is for executors of the kind `redis`";
const OF_SECTION: &str = "stands in the executor's section, for all its nodes";
pub(in crate::manifest) const SSH: Keys = Keys {
    known: &[
        "kind",
        "nodes",
        "user",
        "port",
        "concurrency",
        "workdir",
        "identity-file",
        "options",
        "deploy",
        "cleanup",
        "connect-timeout",
        "binary",
    ],
    elsewhere: &[
        ("url", OF_REDIS),
        ("queue", OF_REDIS),
        ("prefix", OF_REDIS),
        ("ca", OF_REDIS),
        ("key", OF_REDIS),
        ("address", "is for a node: nodes = [{ address = \"user@host\" }]"),
    ],
};
pub(in crate::manifest) const NODE: Keys = Keys {
    known: &["address", "port", "user", "concurrency", "workdir", "identity-file", "options"],
    elsewhere: &[
        ("deploy", OF_SECTION),
        ("cleanup", OF_SECTION),
        ("connect-timeout", OF_SECTION),
        ("binary", OF_SECTION),
    ],
};
/// So many nodes an executor may have.
pub(in crate::manifest) const MOST_NODES: usize = 1000;
/// So many attempts a node may execute at once.
pub(in crate::manifest) const MOST_AT_ONCE: u32 = 4096;
const CONNECT_TIMEOUTS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(600)];
/// The longest path of a file that ssh is told of, in bytes.
const LONGEST_FILE: usize = 4096;

/// A section. What of it could not be read was reported, and is as if it was not written.
pub(super) struct Section<'t> {
    nodes: Vec<SshNode>,
    deploy: Deploy,
    cleanup: bool,
    connect_timeout: Duration,
    /// Targets and paths.
    binaries: Vec<(&'t str, At<&'t str>)>,
}

impl<'t> Section<'t> {
    /// None where it has no nodes, which was reported.
    pub(super) fn read(fields: &Fields<'t>, name: &str, findings: &'t Findings) -> Option<Self> {
        let shared = Shared::read(fields, findings);
        let words = [("if-missing", Deploy::IfMissing), ("never", Deploy::Never), ("always", Deploy::Always)];
        let section = Section {
            nodes: nodes(fields, name, &shared, findings),
            deploy: fields.word("deploy", &words).unwrap_or_default(),
            cleanup: fields.boolean("cleanup").unwrap_or(false),
            connect_timeout: fields
                .tree("connect-timeout")
                .and_then(|tree| connect_timeout(tree, findings))
                .unwrap_or(SshSettings::CONNECT_TIMEOUT),
            binaries: binaries(fields, findings),
        };
        (!section.nodes.is_empty()).then_some(section)
    }

    /// Reports what is wrong with it, whether a task runs there or not.
    pub(super) fn check(&self, name: At<&str>, scope: &Scope<'_>) {
        scope.need_trust_for_ssh(name.span);
        for (target, written) in &self.binaries {
            if !scope.folders.workflow.join(written.value).is_file() {
                let help = format!(
                    "it is flowhost built for {target}, relative to the workflow file's folder or from the root on"
                );
                let message = format!("there is no file `{}`", written.value);
                scope.findings.at_with_help(written.span, message, help);
            }
        }
    }

    /// What the executor needs.
    pub(super) fn settings(&self, scope: &Scope<'_>) -> SshSettings {
        let folder = &scope.folders.workflow;
        let binary = |(target, path): &(&str, At<&str>)| (Arc::from(*target), folder.join(path.value));
        SshSettings {
            nodes: self.nodes.clone(),
            deploy: self.deploy,
            binaries: self.binaries.iter().map(binary).collect::<BTreeMap<Arc<str>, PathBuf>>(),
            cleanup: self.cleanup,
            connect_timeout: self.connect_timeout,
            folder: folder.clone(),
        }
    }
}

/// What a node has, or the section for all its nodes.
#[derive(Default)]
struct Shared {
    user: Option<NodeUser>,
    port: Option<u16>,
    concurrency: Option<u32>,
    workdir: Option<WorkDir>,
    identity_file: Option<Arc<str>>,
    options: Vec<SshOption>,
}

impl Shared {
    fn read(fields: &Fields<'_>, findings: &Findings) -> Self {
        Self {
            user: parsed(fields, "user", NodeAddressError::help, findings),
            port: fields.integer("port", 1, u16::MAX.into()).and_then(|port| port.try_into().ok()),
            concurrency: fields.integer("concurrency", 1, MOST_AT_ONCE),
            workdir: parsed(fields, "workdir", |error: &WorkDirError| error.help().to_owned(), findings),
            identity_file: fields
                .string("identity-file")
                .and_then(|written| identity_file(written, findings)),
            options: options(fields, findings),
        }
    }

    /// A node with what it has itself, and else what the section says.
    fn node(self, address: NodeAddress, section: &Self) -> SshNode {
        let user = self.user.or_else(|| match address.user() {
            Some(_) => None,
            None => section.user.clone(),
        });
        let mut options = self.options;
        for option in &section.options {
            if options.iter().all(|own| own.name() != option.name()) {
                options.push(option.clone());
            }
        }
        SshNode {
            address: match user {
                Some(user) => address.with_user(user),
                None => address,
            },
            port: self.port.or(section.port),
            concurrency: self.concurrency.or(section.concurrency),
            workdir: self.workdir.or_else(|| section.workdir.clone()),
            identity_file: self.identity_file.or_else(|| section.identity_file.clone()),
            options,
        }
    }
}

/// The value of `key`, of a type that says what does not fit.
fn parsed<T: FromStr<Err: Display>>(
    fields: &Fields<'_>,
    key: &str,
    help: impl Fn(&T::Err) -> String,
    findings: &Findings,
) -> Option<T> {
    let At { span, value } = fields.string(key)?;
    let parsed = value.parse();
    parsed.map_err(|error| findings.at_with_help(span, format!("`{key}`: {error}"), help(&error))).ok()
}

/// The nodes; empty where none could be read.
fn nodes<'t>(fields: &Fields<'t>, name: &str, section: &Shared, findings: &'t Findings) -> Vec<SshNode> {
    let Some(tree) = fields.tree("nodes") else {
        fields.missing("nodes", "`nodes` says where it is: nodes = [\"user@host\"]");
        return Vec::new();
    };
    let Data::Array(items) = &tree.data else {
        return wrong_kind(tree, "`nodes`", "an array of nodes", findings).unwrap_or_default();
    };
    if items.is_empty() || items.len() > MOST_NODES {
        let message = format!("executor `{name}` has {} nodes, and may have 1 to {MOST_NODES}", items.len());
        findings.at_with_help(tree.span, message, "name nodes as nodes = [\"user@host\"]");
        return Vec::new();
    }
    let mut nodes = Vec::with_capacity(items.len());
    let mut seen = HashSet::new();
    for item in items {
        let Some(node) = node(item, section, findings) else { continue };
        // Names of hosts are the same in small and capital letters.
        let same = (node.address.user().map(str::to_owned), node.address.host().to_lowercase(), node.port);
        if seen.insert(same) {
            nodes.push(node);
        } else {
            let help = "name each node once; `concurrency` says how many attempts execute there at once";
            findings.at_with_help(item.span, format!("node `{node}` is there twice"), help);
        }
    }
    nodes
}

fn node(item: &Tree, section: &Shared, findings: &Findings) -> Option<SshNode> {
    let entries = match &item.data {
        Data::String(text) => {
            let address = address(At::new(item.span, text), findings)?;
            return Some(Shared::default().node(address, section));
        }
        Data::Table(entries) => entries,
        _ => {
            return wrong_kind(item, "each of `nodes`", "an address or a table with its `address`", findings);
        }
    };
    let fields = Fields::new(entries, "a node", item.span, &NODE, findings);
    if fields.get("address").is_none() {
        fields.missing("address", "`address` says where it is: { address = \"user@host\" }");
    }
    let own = Shared::read(&fields, findings);
    let address = address(fields.string("address")?, findings)?;
    if let (Some(user), Some(_), Some(_)) = (fields.get("user"), &own.user, address.user()) {
        findings.at_with_help(
            user.span,
            format!("node `{address}` has a user in its address, and another in `user`"),
            "leave one of them out",
        );
    }
    Some(own.node(address, section))
}

fn address(written: At<&str>, findings: &Findings) -> Option<NodeAddress> {
    let address = written.value.parse::<NodeAddress>();
    address.map_err(|error| findings.at_with_help(written.span, error.to_string(), error.help())).ok()
}

/// A file that ssh is told of. Whether it is there, ssh says.
fn identity_file(written: At<&str>, findings: &Findings) -> Option<Arc<str>> {
    let path = written.value;
    let wrong = |char: char| char.is_control() || char == '"';
    if path.is_empty() || path.len() > LONGEST_FILE || path.starts_with('-') || path.contains(wrong) {
        findings.at_with_help(
            written.span,
            format!("`identity-file` cannot be `{path}`"),
            format!(
                "it is the path of a private key, relative to the workflow file's folder or with ~/: 1 to {LONGEST_FILE} bytes, without `\"` and control characters, the first no `-`"
            ),
        );
        return None;
    }
    Some(path.into())
}

fn options(fields: &Fields<'_>, findings: &Findings) -> Vec<SshOption> {
    let mut options: Vec<SshOption> = Vec::new();
    for written in fields.strings("options") {
        if findings.full() {
            break;
        }
        match written.value.parse::<SshOption>() {
            Ok(option) if options.iter().any(|before| before.name() == option.name()) => {
                let message = format!("option `{}` is there twice", option.name());
                findings.at_with_help(written.span, message, "ssh takes one value: leave the others out");
            }
            Ok(option) => options.push(option),
            Err(error) => {
                let meant = match &error {
                    SshOptionError::Unknown(name) => suggest::closest(name, SshOption::names()),
                    SshOptionError::Form(_)
                    | SshOptionError::Refused { .. }
                    | SshOptionError::Value { .. } => None,
                };
                let help = match meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => error.help(),
                };
                findings.at_with_help(written.span, format!("`options`: {error}"), help);
            }
        }
    }
    options
}

fn connect_timeout(tree: &Tree, findings: &Findings) -> Option<Duration> {
    let timeout = duration(tree, "connect-timeout", findings)?;
    let [least, most] = CONNECT_TIMEOUTS;
    if (least..=most).contains(&timeout) {
        return Some(timeout);
    }
    findings.at(tree.span, format!("`connect-timeout` is from 1s to 10m, not {timeout:?}"));
    None
}

fn binaries<'t>(fields: &Fields<'t>, findings: &'t Findings) -> Vec<(&'t str, At<&'t str>)> {
    let entries = fields.table("binary").unwrap_or_default();
    let mut binaries = Vec::with_capacity(entries.len());
    for entry in entries {
        if !is_target(&entry.key) {
            findings.at_with_help(
                entry.span,
                format!("`{}` is not a target", entry.key),
                "a target is written as `rustc -vV` shows it on such a machine: aarch64-unknown-linux-gnu",
            );
            continue;
        }
        let path = string(&entry.value, &format!("`{}`", entry.key), findings);
        binaries.extend(path.map(|path| (entry.key.as_str(), path)));
    }
    binaries
}

/// Whether a text is a target triple: three or four words.
fn is_target(text: &str) -> bool {
    let word = |word: &str| {
        let fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !word.is_empty() && word.bytes().all(fit)
    };
    (3..=4).contains(&text.split('-').count()) && text.split('-').all(word)
}
