//! An executor of nodes that ssh reaches: which they are, and how flowhost gets there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::{NodeAddress, SshOption};

/// Nodes, and what flowhost does to have workers on them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SshSettings {
    /// From 1 to 1,000, no two with the same user, host and port.
    pub nodes: Vec<SshNode>,
    /// Whether flowhost is put on the nodes.
    pub deploy: Deploy,
    /// Programs for nodes that are other machines than this one, absolute, by target such as
    /// `aarch64-unknown-linux-gnu`.
    pub binaries: BTreeMap<Arc<str>, PathBuf>,
    /// Whether what a run put on a node is removed when it ends.
    pub cleanup: bool,
    /// The most time that one attempt to connect may take: from 1 s to 10 minutes.
    pub connect_timeout: Duration,
    /// Where ssh runs, and so what files that it is told of are relative to: the workflow file's folder,
    /// absolute.
    pub folder: PathBuf,
}

impl SshSettings {
    /// How long one attempt to connect may take where nothing else is said.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
}

/// Whether flowhost is put on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deploy {
    /// Unless one is there that this one can talk to.
    #[default]
    IfMissing,
    /// Never: one has to be there.
    Never,
    /// Whatever is there.
    Always,
}

/// A node. What is none is left to ssh's own configuration, or to what the node says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SshNode {
    /// User and host.
    pub address: NodeAddress,
    /// From 1.
    pub port: Option<u16>,
    /// How many attempts may execute there at once: from 1 to 4,096.
    pub concurrency: Option<u32>,
    /// Where flowhost keeps what it needs there.
    pub workdir: Option<WorkDir>,
    /// A private key, as ssh takes it behind `-i`: not empty, without control characters and `"`, not
    /// beginning with `-`.
    pub identity_file: Option<Arc<str>>,
    /// Each name once.
    pub options: Vec<SshOption>,
}

/// As in `user@host`, `user@host:2222` or `user@[fd00::1]:2222`.
impl fmt::Display for SshNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.write(self.port, f)
    }
}

/// As in "2 nodes: user@a, user@b:2222".
impl fmt::Display for SshSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let count = self.nodes.len();
        write!(f, "{count} {}", if count == 1 { "node" } else { "nodes" })?;
        for (at, node) in self.nodes.iter().take(SHOWN).enumerate() {
            write!(f, "{} {node}", if at == 0 { ":" } else { "," })?;
        }
        match count.saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A folder of a node: letters of ASCII, digits, `.`, `_`, `/`, `-` and at its begin `~`, so that a shell there
/// takes it as it stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WorkDir(Arc<str>);

/// The longest path of a folder of a node, in bytes.
const LONGEST: usize = 200;

/// Why a text is no [`WorkDir`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WorkDirError {
    /// It does not say where it begins.
    #[error("`{0}` does not begin with `/` or `~/`")]
    Begin(String),
    /// It has something else than letters of paths.
    #[error("`{0}` has other characters than letters of ASCII, digits, `.`, `_`, `/` and `-`")]
    Character(String),
    /// It climbs.
    #[error("`{0}` has a part `..`")]
    Climbs(String),
    /// It is too long.
    #[error("the path is longer than {LONGEST} bytes")]
    TooLong,
}

impl WorkDirError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "give the path of a folder on the node, such as /var/tmp/flowhost or ~/flowhost; its home is ~/"
    }
}

impl WorkDir {
    /// The path, from the root of the node's file system or its user's home.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkDir {
    type Err = WorkDirError;

    fn from_str(text: &str) -> Result<Self, WorkDirError> {
        if text.len() > LONGEST {
            return Err(WorkDirError::TooLong);
        }
        let path = text.strip_prefix('~').unwrap_or(text);
        if !path.starts_with('/') {
            return Err(WorkDirError::Begin(text.to_owned()));
        }
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte)) {
            return Err(WorkDirError::Character(text.to_owned()));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(WorkDirError::Climbs(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(address: &str, port: Option<u16>) -> SshNode {
        let address = address.parse().unwrap();
        SshNode { address, port, concurrency: None, workdir: None, identity_file: None, options: Vec::new() }
    }

    #[test]
    fn nodes_are_shown_as_people_write_them_and_not_too_many() {
        let shown = |nodes: Vec<SshNode>| {
            let settings = SshSettings {
                nodes,
                deploy: Deploy::default(),
                binaries: BTreeMap::new(),
                cleanup: false,
                connect_timeout: SshSettings::CONNECT_TIMEOUT,
                folder: PathBuf::from("/"),
            };
            settings.to_string()
        };
        let two = vec![node("user@a", None), node("user@b", Some(2222))];
        assert_eq!(shown(two), "2 nodes: user@a, user@b:2222");
        assert_eq!(shown(vec![node("u@fd00::1", Some(22))]), "1 node: u@[fd00::1]:22");
        assert_eq!(shown(vec![node("[fd00::1]", None)]), "1 node: fd00::1");
        let many = |count: usize| shown((1..=count).map(|at| node(&format!("n{at}"), None)).collect());
        assert_eq!(many(8), "8 nodes: n1, n2, n3, n4, n5, n6, n7, n8");
        assert_eq!(many(20), "20 nodes: n1, n2, n3, n4, n5, n6, n7, n8 and 12 more");
    }

    #[test]
    fn folders_of_nodes_are_paths_that_a_shell_takes_as_they_stand() {
        for text in ["/", "~/", "/var/tmp/flowhost", "~/.cache/flow_host-1", "/a/..b/c..", "//a/./-x"] {
            assert_eq!(text.parse::<WorkDir>().unwrap().as_str(), text);
        }
        format!("/{}", "a".repeat(LONGEST - 1)).parse::<WorkDir>().unwrap();
        assert_eq!(format!("/{}", "a".repeat(LONGEST)).parse::<WorkDir>(), Err(WorkDirError::TooLong));
        for text in ["/..", "/a/../b", "~/..", "/a/.."] {
            assert_eq!(text.parse::<WorkDir>(), Err(WorkDirError::Climbs(text.to_owned())));
        }
    }

    #[test]
    fn w4_what_a_shell_could_take_for_more_is_no_folder() {
        for text in
            ["", "a", "./a", "~", "~me/a", "-oProxyCommand=x", "$HOME/a", "`id`", "\"/a\"", "'/a'", " /a"]
        {
            assert_eq!(text.parse::<WorkDir>(), Err(WorkDirError::Begin(text.to_owned())), "{text:?}");
        }
        for part in [
            "a b",
            "a\n",
            "a\nid",
            "a\tb",
            "a\0",
            "a'",
            "a\"",
            "$(id)",
            "$HOME",
            "`id`",
            "a;id",
            "a|id",
            "a&",
            "a>b",
            "a\\b",
            "a*",
            "a?",
            "{a,b}",
            "~",
            "a~",
            "a=b",
            "a:b",
            "%h",
            "!1",
            "#",
            "é",
            "a\u{202e}b",
        ] {
            for text in [format!("/{part}"), format!("~/{part}"), format!("/a/{part}/b")] {
                assert_eq!(text.parse::<WorkDir>(), Err(WorkDirError::Character(text.clone())), "{text:?}");
            }
        }
    }
}
