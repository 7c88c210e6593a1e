//! The executors that a file configures under names of its own: what each is, and where it is reached.
//! Reaches nothing itself.

mod redis;
mod ssh;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostics::{Findings, Place};
use super::fields::{Fields, Keys, word, wrong_kind};
use super::scope::{Item, Scope};
use super::settings::Chosen;
use super::span::At;
use super::tree::{Data, Entry};
use super::{Options, Purpose};
use crate::model::{Executor, ExecutorKind, NamedExecutor};

pub(super) use redis::{PREFIX, QUEUE, REDIS};
#[cfg(test)]
pub(super) use ssh::NODE;
pub(super) use ssh::{MOST_AT_ONCE, MOST_NODES, SSH};

/// What is taken for a key where the kind is not known.
pub(super) const EXECUTOR: Keys = Keys {
    known: &[
        "kind",
        "url",
        "queue",
        "prefix",
        "ca",
        "key",
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
    elsewhere: &[],
};
pub(super) const KINDS: [&str; 2] = ["redis", "ssh"];
const WORDS: [(&str, Kind); 2] = [("redis", Kind::Redis), ("ssh", Kind::Ssh)];
/// Names that mean something without a section.
const BUILT_IN: [&str; 5] = ["auto", "in-process", "process", "redis", "ssh"];

#[derive(Clone, Copy)]
enum Kind {
    Redis,
    Ssh,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        WORDS.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind)
    }
}

/// `[executors.NAME]` as it is typed.
pub(super) struct Section<'t> {
    pub(super) name: At<&'t str>,
    /// None where what it is or where is not known. That was reported, and nothing more is said of it.
    kind: Option<KindSection<'t>>,
}

enum KindSection<'t> {
    Redis(redis::Section<'t>),
    Ssh(ssh::Section<'t>),
}

impl<'t> Section<'t> {
    pub(super) fn read(entry: &'t Entry, findings: &'t Findings) -> Self {
        let name = At::new(entry.span, entry.key.as_str());
        let what = format!("executor `{}`", entry.key);
        let Data::Table(entries) = &entry.value.data else {
            let wanted = "a table with its `kind`";
            return Section { name, kind: wrong_kind(&entry.value, &what, wanted, findings) };
        };
        let written = match entries.iter().find(|entry| entry.key == "kind").map(|entry| &entry.value.data) {
            Some(Data::String(text)) => Kind::named(text),
            Some(_) => None,
            None => Kind::named(name.value),
        };
        let keys = match written {
            Some(Kind::Redis) => &REDIS,
            Some(Kind::Ssh) => &SSH,
            None => &EXECUTOR,
        };
        let fields = Fields::new(entries, what, entry.span, keys, findings);
        let kind = kind(&fields, entry, findings).and_then(|kind| match kind {
            Kind::Redis => redis::Section::read(&fields).map(KindSection::Redis),
            Kind::Ssh => ssh::Section::read(&fields, name.value, findings).map(KindSection::Ssh),
        });
        Section { name, kind }
    }
}

/// What a section is of, of what there is.
fn kind(fields: &Fields<'_>, entry: &Entry, findings: &Findings) -> Option<Kind> {
    let name = entry.key.as_str();
    let built_in = BUILT_IN.contains(&name);
    if built_in && Kind::named(name).is_none() {
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
            fields.missing("kind", "`kind` says what it is: kind = \"redis\" or kind = \"ssh\"");
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
    word(written, "`kind`", &WORDS, findings)
}

/// An executor that a task runs on.
struct Asked<'a> {
    name: &'a Arc<str>,
    /// Where it is named.
    place: &'a Place,
}

/// The executors of a file, and which of them tasks use.
pub(super) struct Executors<'r, 't> {
    sections: &'r [Section<'t>],
    redis: Option<&'r str>,
    plain_secrets: bool,
    purpose: Purpose,
    /// Those that tasks run on, by name; none where a problem keeps one unknown.
    used: RefCell<BTreeMap<Arc<str>, Option<NamedExecutor>>>,
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
        for section in self.sections {
            match &section.kind {
                Some(KindSection::Redis(redis)) => redis.check(scope),
                Some(KindSection::Ssh(ssh)) => ssh.check(section.name, scope),
                None => {}
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
            self.find(&Asked { name, place }, &scope.with_item(Item::None("this is an executor")))
        });
        let Some(executor) = found else { return };
        let plain = match &executor.kind {
            // Without a URL it is in another environment.
            ExecutorKind::Redis(redis) if redis.url.is_empty() || redis.is_private() => return,
            ExecutorKind::Redis(redis) => redis.address(),
            // ssh encrypts.
            ExecutorKind::Ssh(_) => return,
        };
        if !self.plain_secrets && secret() {
            scope.findings.at_with_help(
                task.span,
                format!(
                    "task `{}` is given a secret and runs on executor `{name}`, which is reached by `{plain}`: anybody on the way can read it",
                    task.value
                ),
                "use a rediss:// URL or a unix socket; if nobody else is on that way: --allow-plain-secrets",
            );
        }
    }

    /// Those that tasks run on.
    pub(super) fn into_used(self) -> Vec<NamedExecutor> {
        self.used.into_inner().into_values().flatten().collect()
    }

    fn find(&self, asked: &Asked<'_>, scope: &Scope<'_>) -> Option<NamedExecutor> {
        let name = asked.name;
        let kind = match self.sections.iter().find(|section| section.name.value == &**name) {
            Some(section) => match section.kind.as_ref()? {
                KindSection::Redis(redis) => ExecutorKind::Redis(redis.settings(self, asked, scope)?),
                KindSection::Ssh(ssh) => ExecutorKind::Ssh(ssh.settings(scope)),
            },
            None => match Kind::named(name)? {
                Kind::Redis => ExecutorKind::Redis(redis::Section::default().settings(self, asked, scope)?),
                Kind::Ssh => {
                    let message = format!("executor `{name}` has no nodes, so nothing says where it is");
                    let help = format!("give them in [executors.{name}]: nodes = [\"user@host\"]");
                    scope.findings.add(asked.place.clone(), message, Some(help));
                    return None;
                }
            },
        };
        Some(NamedExecutor { name: Arc::clone(name), kind })
    }
}
