//! Where attempts run: in this process, in children of it, or on what a workflow file configures and names.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SshSettings;

/// Where attempts run. Journals and events have its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Executor {
    /// Instances in this process.
    #[default]
    InProcess,
    /// Children of this process.
    Process,
    /// What the workflow has under this name: see [`NamedExecutor`].
    Named(Arc<str>),
}

impl Executor {
    /// Those that need nothing but this machine, and execute by themselves.
    pub const HERE: [Self; 2] = [Self::InProcess, Self::Process];

    /// The name in workflow files, journals and events.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::InProcess => "in-process",
            Self::Process => "process",
            Self::Named(name) => name,
        }
    }
}

impl From<&str> for Executor {
    fn from(name: &str) -> Self {
        let here = Self::HERE.into_iter().find(|executor| executor.name() == name);
        here.unwrap_or_else(|| Self::Named(name.into()))
    }
}

impl fmt::Display for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Executor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Executor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl serde::de::Visitor<'_> for Name {
            type Value = Executor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an executor")
            }

            fn visit_str<E>(self, name: &str) -> Result<Executor, E> {
                Ok(Executor::from(name))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// An executor that some task or group of a workflow names, with what it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedExecutor {
    /// As tasks and groups name it.
    pub name: Arc<str>,
    /// What it is.
    pub kind: ExecutorKind,
}

/// As in "fleet: redis at rediss://example.com, queue default" or "lab: ssh on 2 nodes: user@a, user@b:2222".
impl fmt::Display for NamedExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.name, self.kind.name())?;
        match &self.kind {
            ExecutorKind::Redis(redis) => {
                let address = redis.address();
                let address = if address.is_empty() { "a place that is not known here" } else { &address };
                write!(f, "at {address}, queue {}", redis.queue)
            }
            ExecutorKind::Ssh(ssh) => write!(f, "on {ssh}"),
        }
    }
}

/// What a named executor is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecutorKind {
    /// Workers that take attempts from a queue in Redis.
    Redis(RedisSettings),
    /// Workers on nodes that ssh reaches.
    Ssh(SshSettings),
}

impl ExecutorKind {
    /// The kind's name, which is also that of an executor without a section of its own.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis",
            Self::Ssh(_) => "ssh",
        }
    }
}

/// A queue in Redis, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// The server, with user, password and database where it takes any: not to be shown. See
    /// [`RedisSettings::address`].
    pub url: Arc<str>,
    /// The queue's name: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub queue: Arc<str>,
    /// What every key begins with. Of the same letters.
    pub prefix: Arc<str>,
    /// The certificate authority of the server's certificate, an absolute path of a PEM file; none is the
    /// system's.
    pub ca: Option<PathBuf>,
    /// The secret that attempts and outcomes are authenticated with; none leaves them as they are. Not to
    /// be shown.
    pub key: Option<Arc<str>>,
}

impl RedisSettings {
    /// The URL as it may be shown: without user and password, and without what follows the database.
    #[must_use]
    pub fn address(&self) -> String {
        shown_url(&self.url)
    }

    /// Whether nobody between this machine and the server can read along: by TLS, or over a socket of this
    /// machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        ["rediss://", "unix://", "redis+unix://"].iter().any(|scheme| self.url.starts_with(scheme))
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, queue, prefix, ca, key } = self;
        f.debug_struct("RedisSettings")
            .field("url", &self.address())
            .field("queue", queue)
            .field("prefix", prefix)
            .field("ca", ca)
            .field("key", &key.as_ref().map(|_| "a secret"))
            .finish()
    }
}

/// A URL as it may be shown: without user, password and query.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // A password may hold whatever stands before the last of these.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executors_are_written_as_their_names() {
        let fleet = Executor::Named("fleet".into());
        for (executor, name) in
            [(Executor::InProcess, "in-process"), (Executor::Process, "process"), (fleet, "fleet")]
        {
            let json = serde_json::to_string(&executor).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Executor>(&json).unwrap(), executor);
        }
        serde_json::from_str::<Executor>("3").unwrap_err();
    }

    fn redis(url: &str) -> RedisSettings {
        let key = Some("hush-key".into());
        RedisSettings { url: url.into(), queue: "default".into(), prefix: "flowhost".into(), ca: None, key }
    }

    #[test]
    fn nothing_that_is_secret_is_shown() {
        for (url, address) in [
            ("redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/2"),
            ("rediss://me:hush@example.com", "rediss://example.com"),
            ("redis://:hush/p@hush@example.com:1/0", "redis://example.com:1/0"),
            ("redis://example.com?password=hush", "redis://example.com"),
            ("unix:///run/redis.sock?user=me&pass=hush", "unix:///run/redis.sock"),
        ] {
            let settings = redis(url);
            assert_eq!(settings.address(), address);
            let debug = format!("{settings:?}");
            assert!(!debug.contains("hush") && debug.contains(address), "{debug}");
        }
        assert!(redis("rediss://a").is_private() && redis("unix:///a").is_private());
        assert!(redis("redis+unix:///a").is_private() && !redis("redis://a").is_private());
    }
}
