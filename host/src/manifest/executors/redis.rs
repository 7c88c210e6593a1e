//! Executors of the kind `redis`: where their queue is.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Asked, Executors};
use crate::manifest::Purpose;
use crate::manifest::diagnostics::{Findings, Place};
use crate::manifest::fields::{Fields, Keys, string, wrong_kind};
use crate::manifest::scope::Scope;
use crate::manifest::span::{At, Span};
use crate::manifest::tree::{Data, Entry, Tree};
use crate::model::RedisSettings;
use crate::queue::Keys as QueueKeys;

const OF_SSH: &str = "is for executors of the kind `ssh`";
pub(in crate::manifest) const REDIS: Keys = Keys {
    known: &["kind", "url", "queue", "prefix", "ca", "key"],
    elsewhere: &[
        ("nodes", OF_SSH),
        ("user", "stands in the URL: rediss://USER:PASSWORD@HOST"),
        ("port", "stands in the URL: rediss://HOST:PORT"),
        ("concurrency", "is for groups, and for executors of the kind `ssh`"),
        ("workdir", OF_SSH),
        ("identity-file", OF_SSH),
        ("options", OF_SSH),
        ("deploy", OF_SSH),
        ("cleanup", OF_SSH),
        ("connect-timeout", OF_SSH),
        ("binary", OF_SSH),
    ],
};
/// Where a section says nothing else.
pub(in crate::manifest) const QUEUE: &str = "default";
pub(in crate::manifest) const PREFIX: &str = "flowhost";
const URL_FORMS: &str = "write redis://HOST:PORT, rediss://HOST:PORT (with TLS) or unix:///PATH, with user, password and database if need be";

/// A section as it is typed; the default is as if there were none.
#[derive(Default)]
pub(super) struct Section<'t> {
    url: Option<&'t Tree>,
    queue: Option<At<&'t str>>,
    prefix: Option<At<&'t str>>,
    ca: Option<At<&'t str>>,
    key: Option<&'t Tree>,
}

impl<'t> Section<'t> {
    /// None where a URL was meant that is not read, which was reported.
    pub(super) fn read(fields: &Fields<'t>) -> Option<Self> {
        let (url, key) = (fields.tree("url"), fields.tree("key"));
        let (queue, prefix, ca) = (fields.string("queue"), fields.string("prefix"), fields.string("ca"));
        (!fields.meant(&["url"])).then_some(Section { url, queue, prefix, ca, key })
    }

    /// Reports what is wrong with it, whether a task runs there or not.
    pub(super) fn check(&self, scope: &Scope<'_>) {
        queue_of(self, scope.findings);
        authority(self, scope);
        match self.url.map(|url| (url, &url.data)) {
            Some((url, Data::String(text))) => drop(url_at(text, &Place::At(url.span), scope.findings)),
            Some((url, _)) => drop(variable_in(url, "`url`", "a URL or { env = \"NAME\" }", scope)),
            None => {}
        }
        if let Some(key) = self.key {
            variable_in(key, "`key`", KEY_FORM, scope);
        }
    }

    /// What the executor needs. Its URL is empty where it is that of another environment.
    pub(super) fn settings(
        &self,
        executors: &Executors<'_, '_>,
        asked: &Asked<'_>,
        scope: &Scope<'_>,
    ) -> Option<RedisSettings> {
        let url = match (self.url, executors.redis) {
            (Some(tree), _) => match &tree.data {
                Data::String(text) => url_at(text, &Place::At(tree.span), scope.findings),
                _ => {
                    let wanted = "a URL or { env = \"NAME\" }";
                    let (text, span) = secret(tree, "`url`", wanted, executors.purpose, scope)?;
                    match text.is_empty() {
                        true => Some(text),
                        false => url_at(&text, &Place::At(span), scope.findings),
                    }
                }
            },
            (None, Some(url)) => url_at(url, &Place::CommandLine("--redis".to_owned()), scope.findings),
            (None, None) => {
                let Asked { name, place } = asked;
                let message = format!("executor `{name}` has no URL, so nothing says where its queue is");
                let help = format!(
                    "give one in [executors.{name}], as url = \"rediss://…\" or as url = {{ env = \"NAME\" }}, or with --redis URL (FLOWHOST_REDIS)"
                );
                scope.findings.add((*place).clone(), message, Some(help));
                None
            }
        };
        let key = match self.key {
            None => None,
            Some(tree) => Some(secret(tree, "`key`", KEY_FORM, executors.purpose, scope)?.0),
        };
        let ca = match self.ca {
            None => None,
            Some(_) => Some(authority(self, scope)?),
        };
        let (queue, prefix) = queue_of(self, scope.findings)?;
        let url = url?;
        if let (Some(ca), false, false) = (self.ca, url.is_empty(), url.starts_with("rediss://")) {
            scope.findings.at_with_help(
                ca.span,
                format!("executor `{}` has a `ca`, and its URL is not a rediss:// one", asked.name),
                "only such a server has a certificate: write rediss://, or leave `ca` out",
            );
        }
        Some(RedisSettings { url, queue: queue.into(), prefix: prefix.into(), ca, key })
    }
}

/// The value of a variable of flowhost's environment. Empty only where that is not known here.
fn secret(
    tree: &Tree,
    what: &str,
    wanted: &str,
    purpose: Purpose,
    scope: &Scope<'_>,
) -> Option<(Arc<str>, Span)> {
    let name = variable_in(tree, what, wanted, scope)?;
    let variable = scope.variable(name)?;
    let value = (scope.environment)(&variable).unwrap_or_default();
    if value.is_empty() && purpose == Purpose::Run {
        scope.findings.at_with_help(
            name.span,
            format!("the environment variable `{variable}` is empty, and {what} cannot be"),
            format!("set it where you start flowhost: export {variable}=…"),
        );
        return None;
    }
    Some((value.into(), name.span))
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
