//! The executors that a file configures under names of its own: what each is, and where it is reached.
//! Reaches nothing itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostics::{Findings, Place};
use super::fields::{Fields, Keys, string, wrong_kind};
use super::scope::{Item, Scope};
use super::settings::Chosen;
use super::span::{At, Span};
use super::tree::{Data, Entry, Tree};
use super::{Options, Purpose};
use crate::model::{Executor, ExecutorKind, NamedExecutor, RedisSettings};
use crate::queue::Keys as QueueKeys;

pub(super) const EXECUTOR: Keys = Keys {
    known: &["kind", "url", "queue", "prefix", "ca", "key"],
    later: &["nodes", "workdir", "deploy", "cleanup", "binary"],
};
pub(super) const KINDS: [&str; 1] = ["redis"];
/// Where a section says nothing else.
pub(super) const QUEUE: &str = "default";
pub(super) const PREFIX: &str = "flowhost";
/// Names that mean something without a section.
const BUILT_IN: [&str; 5] = ["auto", "in-process", "process", "redis", "ssh"];
const URL_FORMS: &str = "write redis://HOST:PORT, rediss://HOST:PORT (with TLS) or unix:///PATH, with user, password and database if need be";

/// `[executors.NAME]` as it is typed.
pub(super) struct Section<'t> {
    pub(super) name: At<&'t str>,
    /// Whether its kind is one that there is, and no URL was meant that is not read. If not, that was
    /// reported, and nothing more is said of it.
    sound: bool,
    url: Option<&'t Tree>,
    queue: Option<At<&'t str>>,
    prefix: Option<At<&'t str>>,
    ca: Option<At<&'t str>>,
    key: Option<&'t Tree>,
}

impl<'t> Section<'t> {
    pub(super) fn read(entry: &'t Entry, findings: &'t Findings) -> Self {
        let name = At::new(entry.span, entry.key.as_str());
        let unsound =
            Section { name, sound: false, url: None, queue: None, prefix: None, ca: None, key: None };
        let what = format!("executor `{}`", entry.key);
        let Data::Table(entries) = &entry.value.data else {
            let wanted = "a table with its `kind`";
            return wrong_kind(&entry.value, &what, wanted, findings).unwrap_or(unsound);
        };
        let fields = Fields::new(entries, what, entry.span, &EXECUTOR, findings);
        let sound = kind(&fields, entry, findings).is_some() && !fields.meant(&["url"]);
        let (url, key) = (fields.tree("url"), fields.tree("key"));
        let (queue, prefix, ca) = (fields.string("queue"), fields.string("prefix"), fields.string("ca"));
        Section { name, sound, url, queue, prefix, ca, key }
    }
}

/// Whether a section is of a kind that there is.
fn kind(fields: &Fields<'_>, entry: &Entry, findings: &Findings) -> Option<()> {
    let name = entry.key.as_str();
    let built_in = BUILT_IN.contains(&name);
    if built_in && !KINDS.contains(&name) && name != "ssh" {
        findings.at_with_help(
            entry.span,
            format!("`{name}` means something without a section, and takes none"),
            "give the executor a name of its own",
        );
        return None;
    }
    let written = match fields.tree("kind") {
        None if built_in => At::new(entry.span, name),
        None => {
            fields.missing("kind", "`kind` says what it is: kind = \"redis\"");
            return None;
        }
        Some(_) => fields.string("kind")?,
    };
    if built_in && written.value != name {
        findings.at_with_help(
            written.span,
            format!("executor `{name}` is of the kind `{name}`, so it cannot be `{}`", written.value),
            "give an executor of another kind a name of its own",
        );
        return None;
    }
    let words = KINDS.map(|kind| (kind, ()));
    super::fields::word(written, "`kind`", &words, &["ssh"], findings)
}

/// What is known of an executor that some task runs on.
struct Found {
    executor: NamedExecutor,
    /// Whether its URL is that of the run; else it is in another environment.
    known: bool,
}

/// The executors of a file, and which of them tasks use.
pub(super) struct Executors<'r, 't> {
    sections: &'r [Section<'t>],
    redis: Option<&'r str>,
    plain_secrets: bool,
    purpose: Purpose,
    /// Those that tasks run on, by name; none where a problem keeps one unknown.
    used: RefCell<BTreeMap<Arc<str>, Option<Found>>>,
}

impl<'r, 't> Executors<'r, 't> {
    pub(super) fn new(sections: &'r [Section<'t>], options: &'r Options<'_>) -> Self {
        Self {
            sections,
            redis: options.redis.as_deref(),
            plain_secrets: options.plain_secrets,
            purpose: options.purpose,
            used: RefCell::default(),
        }
    }

    /// Reports what is wrong with any of them, whether a task runs on it or not.
    pub(super) fn check(&self, scope: &Scope<'_>) {
        if self.purpose == Purpose::Replay {
            return;
        }
        for section in self.sections.iter().filter(|section| section.sound) {
            queue_of(section, scope.findings);
            authority(section, scope);
            match section.url.map(|url| (url, &url.data)) {
                Some((url, Data::String(text))) => drop(url_at(text, &Place::At(url.span), scope.findings)),
                Some((url, _)) => drop(variable_in(url, "`url`", "a URL or { env = \"NAME\" }", scope)),
                None => {}
            }
            if let Some(key) = section.key {
                variable_in(key, "`key`", KEY_FORM, scope);
            }
        }
    }

    /// Tells of the executor that a task runs on. `secret` says that the task is given one.
    pub(super) fn used_by(
        &self,
        task: At<&str>,
        chosen: Option<&Chosen>,
        secret: impl FnOnce() -> bool,
        scope: &Scope<'_>,
    ) {
        let Some(Chosen { executor: Executor::Named(name), place }) = chosen else { return };
        if self.purpose == Purpose::Replay {
            return;
        }
        let mut used = self.used.borrow_mut();
        let found = used.entry(Arc::clone(name)).or_insert_with(|| {
            // Its secrets are flowhost's own, and no task asks for them.
            self.find(name, place, &scope.with_item(Item::None("this is an executor")))
        });
        let Some(Found { executor: NamedExecutor { kind: ExecutorKind::Redis(redis), .. }, known: true }) =
            found
        else {
            return;
        };
        if !redis.is_private() && !self.plain_secrets && secret() {
            scope.findings.at_with_help(
                task.span,
                format!(
                    "task `{}` is given a secret and runs on executor `{name}`, which is reached by `{}`: anybody on the way can read it",
                    task.value,
                    redis.address()
                ),
                "use a rediss:// URL or a unix socket; if nobody else is on that way: --allow-plain-secrets",
            );
        }
    }

    /// Those that tasks run on.
    pub(super) fn into_used(self) -> Vec<NamedExecutor> {
        self.used.into_inner().into_values().flatten().map(|found| found.executor).collect()
    }

    fn find(&self, name: &Arc<str>, place: &Place, scope: &Scope<'_>) -> Option<Found> {
        let section = self.sections.iter().find(|section| section.name.value == &**name);
        if section.is_some_and(|section| !section.sound) {
            return None;
        }
        let url = match (section.and_then(|section| section.url), self.redis) {
            (Some(tree), _) => match &tree.data {
                Data::String(text) => url_at(text, &Place::At(tree.span), scope.findings),
                _ => {
                    let (text, span) = self.secret(tree, "`url`", "a URL or { env = \"NAME\" }", scope)?;
                    match text.is_empty() {
                        true => Some(text),
                        false => url_at(&text, &Place::At(span), scope.findings),
                    }
                }
            },
            (None, Some(url)) => url_at(url, &Place::CommandLine("--redis".to_owned()), scope.findings),
            (None, None) => {
                let message = format!("executor `{name}` has no URL, so nothing says where its queue is");
                let help = format!(
                    "give one in [executors.{name}], as url = \"rediss://…\" or as url = {{ env = \"NAME\" }}, or with --redis URL (FLOWHOST_REDIS)"
                );
                scope.findings.add(place.clone(), message, Some(help));
                None
            }
        };
        let key = match section.and_then(|section| section.key) {
            None => None,
            Some(tree) => Some(self.secret(tree, "`key`", KEY_FORM, scope)?.0),
        };
        let ca = match section.filter(|section| section.ca.is_some()) {
            None => None,
            Some(section) => Some(authority(section, scope)?),
        };
        let (queue, prefix) = match section {
            None => (QUEUE, PREFIX),
            Some(section) => queue_of(section, scope.findings)?,
        };
        let url = url?;
        if let (Some(ca), false, false) =
            (section.and_then(|section| section.ca), url.is_empty(), url.starts_with("rediss://"))
        {
            scope.findings.at_with_help(
                ca.span,
                format!("executor `{name}` has a `ca`, and its URL is not a rediss:// one"),
                "only such a server has a certificate: write rediss://, or leave `ca` out",
            );
        }
        let known = !url.is_empty();
        let redis = RedisSettings { url, queue: queue.into(), prefix: prefix.into(), ca, key };
        let executor = NamedExecutor { name: Arc::clone(name), kind: ExecutorKind::Redis(redis) };
        Some(Found { executor, known })
    }

    /// The value of a variable of flowhost's environment. Empty only where that is not known here.
    fn secret(&self, tree: &Tree, what: &str, wanted: &str, scope: &Scope<'_>) -> Option<(Arc<str>, Span)> {
        let name = variable_in(tree, what, wanted, scope)?;
        let variable = scope.variable(name)?;
        let value = (scope.environment)(&variable).unwrap_or_default();
        if value.is_empty() && self.purpose == Purpose::Run {
            scope.findings.at_with_help(
                name.span,
                format!("the environment variable `{variable}` is empty, and {what} cannot be"),
                format!("set it where you start flowhost: export {variable}=…"),
            );
            return None;
        }
        Some((value.into(), name.span))
    }
}

const KEY_FORM: &str = "{ env = \"NAME\" }, since it is a secret";

/// The name in `{ env = "NAME" }`.
fn variable_in<'t>(tree: &'t Tree, what: &str, wanted: &str, scope: &Scope<'_>) -> Option<&'t Tree> {
    match &tree.data {
        Data::Table(entries) => match entries.as_slice() {
            [Entry { key, value, .. }] if key == "env" => {
                string(value, "`env`", scope.findings)?;
                Some(value)
            }
            _ => wrong_kind(tree, what, wanted, scope.findings),
        },
        _ => wrong_kind(tree, what, wanted, scope.findings),
    }
}

/// A URL of a Redis server. What is reported of others holds neither user nor password.
fn url_at(url: &str, place: &Place, findings: &Findings) -> Option<Arc<str>> {
    let refuse = |message: String| {
        findings.add(place.clone(), message, Some(URL_FORMS.to_owned()));
        None
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let scheme = scheme.filter(|scheme| scheme.len() <= 20 && scheme.bytes().all(letter));
    match scheme {
        Some("redis" | "rediss" | "unix" | "redis+unix") => {}
        Some(scheme) => {
            return refuse(format!("a URL with `{scheme}://` is not one of a Redis server"));
        }
        None => return refuse("this is not a URL of a Redis server".to_owned()),
    }
    if url.contains('#') {
        return refuse("the URL of a Redis server has no `#`".to_owned());
    }
    match redis::IntoConnectionInfo::into_connection_info(url) {
        Ok(_) => Some(url.into()),
        Err(_) => {
            refuse("this URL has no host or path, or a port or database that is not a number".to_owned())
        }
    }
}

/// The queue and the prefix.
fn queue_of<'t>(section: &Section<'t>, findings: &Findings) -> Option<(&'t str, &'t str)> {
    let fit = |key: &str, written: Option<At<&'t str>>, default: &'static str| {
        let Some(At { span, value }) = written else { return Some(default) };
        match QueueKeys::new(value, 0, value) {
            Ok(_) => Some(value),
            Err(error) => {
                let help = format!("leave `{key}` out for `{default}`");
                findings.at_with_help(span, format!("`{key}`: {error}"), help);
                None
            }
        }
    };
    let queue = fit("queue", section.queue, QUEUE);
    let prefix = fit("prefix", section.prefix, PREFIX);
    Some((queue?, prefix?))
}

/// The file of the certificate authority.
fn authority(section: &Section<'_>, scope: &Scope<'_>) -> Option<PathBuf> {
    let At { span, value } = section.ca?;
    let path = scope.below_root(value, span)?;
    if !path.is_file() {
        let help = "`ca` is a PEM file with the certificate of the authority, relative to the workflow file";
        scope.findings.at_with_help(span, format!("there is no file `{value}`"), help);
        return None;
    }
    Some(path)
}
