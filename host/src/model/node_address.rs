//! Where a node is: a user and a host as people write them for ssh, of letters that neither ssh nor a shell
//! takes for anything else. Resolves and connects nothing.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

use super::address_range;

/// The longest user, in bytes.
const LONGEST_USER: usize = 100;
/// The longest host, in bytes: that of a name in DNS.
const LONGEST_HOST: usize = 253;
/// The longest name of a network interface, in bytes.
const LONGEST_INTERFACE: usize = 15;

/// A machine that ssh reaches, written `[USER@]HOST`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeAddress {
    user: Option<NodeUser>,
    /// A name of letters, digits, `.`, `_` and `-`, or an IPv6 address without brackets.
    host: Arc<str>,
}

/// Whom ssh logs in as: letters, digits, `.`, `_` and `-`, the first no `.` and no `-`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeUser(Arc<str>);

/// Why a text is no [`NodeAddress`] or [`NodeUser`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodeAddressError {
    /// There is nothing.
    #[error("the address is empty")]
    Empty,
    /// It begins with a scheme. Not shown, since URLs may hold passwords.
    #[error("an address is not a URL")]
    Url {
        /// What stands for it, where that can be said.
        meant: Option<(NodeAddress, Option<u16>)>,
    },
    /// A port follows.
    #[error("the address `{address}` has a port")]
    Port {
        /// The address without it.
        address: NodeAddress,
        /// The port.
        port: u16,
    },
    /// What stands before the `@` is no user.
    #[error("`{0}` cannot be a user")]
    User(String),
    /// What stands there is no host.
    #[error("`{0}` cannot be a host")]
    Host(String),
}

impl NodeAddressError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let written = |address: &NodeAddress, port: &Option<u16>| match port {
            None => format!("write \"{address}\""),
            Some(port) => format!("write {{ address = \"{address}\", port = {port} }}"),
        };
        match self {
            Self::Url { meant: Some((address, port)) } => written(address, port),
            Self::Port { address, port } => written(address, &Some(*port)),
            Self::Empty | Self::Url { meant: None } => {
                "write \"USER@HOST\" or \"HOST\", and with a port { address = \"HOST\", port = 2222 }".to_owned()
            }
            Self::User(_) => format!(
                "a user is at most {LONGEST_USER} letters of ASCII, digits, `.`, `_` and `-`, and begins with a letter, a digit or `_`"
            ),
            Self::Host(_) => {
                "a host is a name, an alias of ~/.ssh/config or an address: letters of ASCII, digits, `.`, `_` and `-`, \
                 the first a letter, a digit or `_`; or an IPv6 address such as fe80::1%eth0"
                    .to_owned()
            }
        }
    }
}

impl NodeAddress {
    /// Whom ssh logs in as; none leaves it to ssh.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(NodeUser::as_str)
    }

    /// The host: a name, an alias of ssh's configuration, or an address, that of IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same host with this user instead.
    #[must_use]
    pub fn with_user(self, user: NodeUser) -> Self {
        Self { user: Some(user), ..self }
    }

    /// Writes `user@host:port`, with brackets where they keep host and port apart.
    pub(super) fn write(&self, port: Option<u16>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match port {
            None => write!(f, "{self}"),
            Some(port) => {
                if let Some(user) = &self.user {
                    write!(f, "{}@", user.as_str())?;
                }
                let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{open}{}{close}:{port}", self.host)
            }
        }
    }
}

impl NodeUser {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As in "user@host", an IPv6 address without brackets.
impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{}@", user.as_str())?;
        }
        f.write_str(&self.host)
    }
}

impl FromStr for NodeUser {
    type Err = NodeAddressError;

    fn from_str(text: &str) -> Result<Self, NodeAddressError> {
        if is_word(text, LONGEST_USER) {
            Ok(Self(text.into()))
        } else {
            Err(NodeAddressError::User(text.to_owned()))
        }
    }
}

impl FromStr for NodeAddress {
    type Err = NodeAddressError;

    fn from_str(text: &str) -> Result<Self, NodeAddressError> {
        match text.split_once("://") {
            Some((_, rest)) => {
                let meant = with_port(rest.trim_end_matches('/')).ok();
                Err(NodeAddressError::Url { meant })
            }
            None => match with_port(text)? {
                (address, None) => Ok(address),
                (address, Some(port)) => Err(NodeAddressError::Port { address, port }),
            },
        }
    }
}

/// An address and the port behind it: `[USER@]HOST[:PORT]`.
pub(super) fn with_port(text: &str) -> Result<(NodeAddress, Option<u16>), NodeAddressError> {
    if text.is_empty() {
        return Err(NodeAddressError::Empty);
    }
    // As ssh does: the last of several.
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.parse()?), rest),
        None => (None, text),
    };
    let refused = || NodeAddressError::Host(rest.to_owned());
    // An IPv6 address may end like one with a port, so it comes first.
    if let Some(host) = host(rest) {
        return Ok((NodeAddress { user, host }, None));
    }
    let (before, digits) = rest.rsplit_once(':').ok_or_else(refused)?;
    let port = address_range::port(digits).ok_or_else(refused)?;
    // Without brackets it would not be plain where the host ends.
    let bracketed = before.starts_with('[');
    let host = host(before).filter(|host| bracketed || !host.contains(':')).ok_or_else(refused)?;
    Ok((NodeAddress { user, host }, Some(port)))
}

/// A host: a name, or an IPv6 address with or without brackets, which it loses.
pub(super) fn host(text: &str) -> Option<Arc<str>> {
    if is_word(text, LONGEST_HOST) {
        return Some(text.into());
    }
    let inside = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None => text,
    };
    let (address, scope) = match inside.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (inside, None),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    match scope {
        None => Some(address.to_string().into()),
        Some(scope) => is_interface(scope).then(|| format!("{address}%{scope}").into()),
    }
}

/// Whether a text can name a network interface.
pub(super) fn is_interface(text: &str) -> bool {
    is_word(text, LONGEST_INTERFACE)
}

/// Letters, digits, `.`, `_` and `-`, at least one and at most `longest`, of which the first is no `.` and no
/// `-`: nothing that could be an option, a path or more than one word.
fn is_word(text: &str, longest: usize) -> bool {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(fit) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NodeAddress, NodeAddressError> {
        text.parse()
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, user, host) in [
            ("a", None, "a"),
            ("me@a", Some("me"), "a"),
            ("_svc.1-x@Node_1.example.com", Some("_svc.1-x"), "Node_1.example.com"),
            ("me@10.0.0.1", Some("me"), "10.0.0.1"),
            ("me@fd00::1", Some("me"), "fd00::1"),
            ("me@[fd00::1]", Some("me"), "fd00::1"),
            ("[FE80:0::1%eth0.2]", None, "fe80::1%eth0.2"),
            ("::1", None, "::1"),
            // The last group, not a port.
            ("fd00::1:2222", None, "fd00::1:2222"),
            ("none", None, "none"),
        ] {
            let address = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.user(), address.host()), (user, host), "{text}");
            assert_eq!(read(&address.to_string()).unwrap(), address, "{text}");
        }
        let long = "a".repeat(LONGEST_HOST);
        read(&format!("{}@{long}", "u".repeat(LONGEST_USER))).unwrap();
        read(&format!("{long}a")).unwrap_err();
        read(&format!("{}@a", "u".repeat(LONGEST_USER + 1))).unwrap_err();
        let other = read("me@a").unwrap().with_user("you".parse().unwrap());
        assert_eq!(other.to_string(), "you@a");
    }

    #[test]
    fn a_port_and_a_scheme_are_refused_with_the_way_to_write_them() {
        for (text, help) in [
            ("me@a:2222", "write { address = \"me@a\", port = 2222 }"),
            ("[::1]:22", "write { address = \"::1\", port = 22 }"),
            ("ssh://me@a:2222/", "write { address = \"me@a\", port = 2222 }"),
            ("ssh://a", "write \"a\""),
            ("scp://[fd00::1]", "write \"fd00::1\""),
        ] {
            assert_eq!(read(text).unwrap_err().help(), help, "{text}");
        }
        // What may be a password is in no message.
        let error = read("ssh://me:hush@a").unwrap_err();
        assert!(!format!("{error} {}", error.help()).contains("hush"), "{error}");
        for text in
            ["a:", "a:0", "a:65536", "a:+22", "a:ssh", "a:22:22", "fd00::1::22", "[a]:22", "[::1", "::1]"]
        {
            assert!(matches!(read(text), Err(NodeAddressError::Host(_))), "{text}");
        }
    }

    #[test]
    fn w4_what_ssh_or_a_shell_could_take_for_more_is_no_address() {
        assert_eq!(read(""), Err(NodeAddressError::Empty));
        for text in [
            "-oProxyCommand=touch x",
            "-oProxyCommand=x",
            "-l",
            ".a",
            "a b",
            " a",
            "a ",
            "a\n",
            "a\nb",
            "a\tb",
            "a\0",
            "a'b",
            "a\"b",
            "$(id)",
            "a$IFS",
            "`id`",
            "a;id",
            "a|b",
            "a&b",
            "a>b",
            "a\\b",
            "a/b",
            "a,b",
            "a*",
            "~a",
            "a=b",
            "%h",
            "fe80::1%",
            "fe80::1%-x",
            "fe80::1%e th",
            "fe80::1%$(id)",
            "a%eth0",
            "é",
            "a\u{202e}b",
        ] {
            assert!(matches!(read(text), Err(NodeAddressError::Host(_))), "{text:?}: {:?}", read(text));
            let user = read(&format!("{text}@a"));
            assert!(matches!(user, Err(NodeAddressError::User(_))), "{text:?}: {user:?}");
            assert!(matches!(text.parse::<NodeUser>(), Err(NodeAddressError::User(_))), "{text:?}");
            assert!(matches!(read(&format!("me@{text}")), Err(NodeAddressError::Host(_))), "{text:?}");
        }
        for text in ["@a", "a@", "@", "me@you@a", "me:hush@a"] {
            read(text).unwrap_err();
        }
    }
}
