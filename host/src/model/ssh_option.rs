//! Options of ssh that a workflow file may set: those that run no command, load nothing, send nothing and
//! leave alone what flowhost relies on. Knows ssh's names for them, not how ssh is started.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::node_address::{self, NodeAddress};
use super::ssh_refusal::{ELSEWHERE, REFUSED, SshOptionRefusal};

/// The longest value, in bytes.
const LONGEST: usize = 1000;

/// One option, as ssh takes it behind `-o`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SshOption {
    /// As ssh's manual spells it.
    name: &'static str,
    /// One word that ssh takes as it stands.
    value: Arc<str>,
}

/// What an option's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Takes {
    /// One of these.
    Word(&'static [&'static str]),
    /// A name or an address.
    Host,
    /// A network interface.
    Interface,
    /// The path of a file or socket.
    File,
    /// Names of algorithms or methods with commas between them, with `+` or `^` before the first where they are
    /// added to ssh's own.
    List,
    /// Addresses of nodes with ports where need be, with commas between them.
    Jumps,
}

const YES: Takes = Takes::Word(&["yes", "no"]);

/// What may be set, and with what.
const ALLOWED: [(&str, Takes); 24] = [
    ("AddressFamily", Takes::Word(&["any", "inet", "inet6"])),
    ("BindAddress", Takes::Host),
    ("BindInterface", Takes::Interface),
    ("CASignatureAlgorithms", Takes::List),
    ("CertificateFile", Takes::File),
    ("CheckHostIP", YES),
    ("Ciphers", Takes::List),
    ("Compression", YES),
    ("GSSAPIAuthentication", YES),
    ("GlobalKnownHostsFile", Takes::File),
    ("HostKeyAlgorithms", Takes::List),
    ("HostKeyAlias", Takes::Host),
    ("IdentitiesOnly", YES),
    ("IdentityAgent", Takes::File),
    (
        "IPQoS",
        Takes::Word(&[
            "none",
            "ef",
            "lowdelay",
            "throughput",
            "reliability",
            "cs0",
            "cs1",
            "cs2",
            "af11",
            "af21",
            "le",
        ]),
    ),
    ("KexAlgorithms", Takes::List),
    ("MACs", Takes::List),
    ("PreferredAuthentications", Takes::List),
    ("ProxyJump", Takes::Jumps),
    ("PubkeyAcceptedAlgorithms", Takes::List),
    ("PubkeyAuthentication", YES),
    ("RevokedHostKeys", Takes::File),
    ("TCPKeepAlive", YES),
    ("UserKnownHostsFile", Takes::File),
];

/// Why a text is no [`SshOption`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SshOptionError {
    /// It has no name before a `=`.
    #[error("`{0}` is not an option of ssh")]
    Form(String),
    /// Nothing is known of an option of this name.
    #[error("a workflow file may not set `{0}`")]
    Unknown(String),
    /// It is known, and not to be set.
    #[error("a workflow file may not set `{name}`: {}", .why.reason())]
    Refused {
        /// As ssh's manual spells it.
        name: &'static str,
        /// Why.
        why: SshOptionRefusal,
    },
    /// The value is none for this option.
    #[error("`{name}` cannot be `{value}`")]
    Value {
        /// As ssh's manual spells it.
        name: &'static str,
        /// What was written.
        value: String,
        /// What may be written.
        wanted: String,
    },
}

impl SshOptionError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Form(_) => {
                "write NAME=VALUE without spaces, such as \"UserKnownHostsFile=known\"".to_owned()
            }
            Self::Unknown(_) => ELSEWHERE.to_owned(),
            Self::Refused { why, .. } => why.help(),
            Self::Value { wanted, .. } => wanted.clone(),
        }
    }
}

impl SshOption {
    /// The name, as ssh's manual spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value: one word.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The names of all options that may be set.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        ALLOWED.iter().map(|(name, _)| *name)
    }
}

/// As in "Compression=yes".
impl fmt::Display for SshOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl FromStr for SshOption {
    type Err = SshOptionError;

    fn from_str(text: &str) -> Result<Self, SshOptionError> {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| SshOptionError::Form(text.to_owned()))?;
        if let Some((name, why)) = REFUSED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(SshOptionError::Refused { name, why: *why });
        }
        let (name, takes) = ALLOWED
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .ok_or_else(|| SshOptionError::Unknown(name.to_owned()))?;
        if takes.fits(value) {
            return Ok(Self { name, value: value.into() });
        }
        Err(SshOptionError::Value { name, value: value.to_owned(), wanted: takes.wanted() })
    }
}

impl Takes {
    fn fits(self, value: &str) -> bool {
        if value.is_empty() || value.len() > LONGEST || value.starts_with('-') {
            return false;
        }
        match self {
            Self::Word(words) => words.contains(&value),
            // With brackets ssh would look for a name that has them.
            Self::Host => !value.starts_with('[') && node_address::host(value).is_some(),
            Self::Interface => node_address::is_interface(value),
            // ssh splits at spaces, and has meanings for `$`, quotation marks and `\`.
            Self::File => value.chars().all(|char| char.is_alphanumeric() || "._-/~%@:,+=^".contains(char)),
            Self::List => value.strip_prefix(['+', '^']).unwrap_or(value).split(',').all(|name| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
            }),
            Self::Jumps => value.split(',').all(is_jump),
        }
    }

    fn wanted(self) -> String {
        match self {
            Self::Word(words) => format!("it takes one of: {}", words.join(", ")),
            Self::Host => "it takes one host: a name or an address, without brackets".to_owned(),
            Self::Interface => "it takes the name of a network interface, such as eth0".to_owned(),
            Self::File => {
                "it takes one path of letters, digits and `._-/~%@:,+=^`, relative to the workflow file's folder, or \
                 with ~/; any other belongs into ~/.ssh/config"
                    .to_owned()
            }
            Self::List => "it takes names with commas between them, such as ssh-ed25519,rsa-sha2-512".to_owned(),
            Self::Jumps => "it takes [USER@]HOST[:PORT], IPv6 in brackets, several with commas between them; or none".to_owned(),
        }
    }
}

/// Whether a text is a node to jump over as ssh reads it, which makes a command of it.
fn is_jump(text: &str) -> bool {
    // In a command `%` has a meaning, and a bare IPv6 address is cut at its colons.
    let plain = |address: &NodeAddress| !address.host().contains(':') || text.contains('[');
    !text.contains('%') && node_address::with_port(text).is_ok_and(|(address, _)| plain(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SshOption, SshOptionError> {
        text.parse()
    }

    #[test]
    fn options_that_may_be_set_are_read_whatever_their_case() {
        for text in [
            "UserKnownHostsFile=known",
            "UserKnownHostsFile=~/.ssh/known_%h",
            "GlobalKnownHostsFile=/etc/ssh/gefährten",
            "RevokedHostKeys=none",
            "IdentityAgent=SSH_AUTH_SOCK",
            "HostKeyAlias=lab.example.com",
            "BindAddress=fd00::1",
            "BindInterface=eth0.2",
            "ProxyJump=jump",
            "ProxyJump=me@jump:2222,[fd00::1]:22,[fd00::2]",
            "ProxyJump=none",
            "Compression=yes",
            "AddressFamily=inet6",
            "IPQoS=throughput",
            "Ciphers=^aes256-gcm@openssh.com,aes256-ctr",
            "HostKeyAlgorithms=+ssh-rsa",
        ] {
            let option = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(option.to_string(), text);
        }
        let option = read("proxyJUMP=jump").unwrap();
        assert_eq!((option.name(), option.value()), ("ProxyJump", "jump"));
    }

    #[test]
    fn an_option_is_either_allowed_or_refused_and_spelt_once() {
        let mut names: Vec<String> = SshOption::names().map(str::to_lowercase).collect();
        names.extend(REFUSED.iter().map(|(name, _)| name.to_lowercase()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        // Each of them has a value that fits, and none that does not.
        for (name, takes) in ALLOWED {
            assert!(["yes", "any", "a"].iter().any(|value| takes.fits(value)) || name == "IPQoS", "{name}");
        }
    }

    #[test]
    fn what_may_not_be_set_is_refused_with_the_reason() {
        for (text, says, help) in [
            ("Port=22", "key of its own", "write it as `port`"),
            ("user=me", "key of its own", "write it as `user`"),
            ("IdentityFile=id", "key of its own", "write it as `identity-file`"),
            ("ConnectTimeout=1", "key of its own", "write it as `connect-timeout`"),
            ("HostName=a", "key of its own", "write the host in `address`"),
            ("PROXYCOMMAND=nc a 22", "commands that ssh runs", "ProxyJump=USER@HOST"),
            ("Match=exec x", "commands that ssh runs", "~/.ssh/config"),
            ("PKCS11Provider=/x.so", "load code", "~/.ssh/config"),
            ("Include=x", "what configuration ssh reads", "~/.ssh/config"),
            ("SendEnv=*", "hands on variables", "grants.env"),
            ("StrictHostKeyChecking=no", "flowhost relies on it as it is", "leave it out"),
            ("BatchMode=no", "flowhost relies on it as it is", "leave it out"),
            ("ServerAliveInterval=0", "flowhost relies on it as it is", "leave it out"),
            ("ForwardAgent=yes", "flowhost relies on it as it is", "leave it out"),
            ("VerifyHostKeyDNS=yes", "flowhost relies on it as it is", "leave it out"),
            ("ControlPath=/tmp/x", "flowhost relies on it as it is", "leave it out"),
            ("CanonicalizeHostname=yes", "may not set `CanonicalizeHostname`", "~/.ssh/config"),
            ("Kompression=yes", "may not set `Kompression`", "~/.ssh/config"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.to_string().contains(says) && error.help().contains(help),
                "{text}: {error}: {}",
                error.help()
            );
        }
    }

    #[test]
    fn what_ssh_would_take_for_something_else_is_no_value() {
        for text in [
            "HostKeyAlias=[fd00::1]",
            "BindAddress=[fd00::1]",
            "BindInterface=sixteen-letters-x",
            "Ciphers=aes256-ctr,,aes128-ctr",
            "Ciphers=aes256-ctr,+aes128-ctr",
            "Ciphers=*-ctr",
            "MACs=+",
            "Compression=Yes",
            "AddressFamily=ipv6",
        ] {
            assert!(matches!(read(text), Err(SshOptionError::Value { .. })), "{text}");
        }
    }

    #[test]
    fn w4_what_is_no_plain_name_and_value_is_no_option() {
        for text in [
            "",
            "=",
            "=yes",
            "Compression",
            "Compression yes",
            "Compression =yes",
            " Compression=yes",
            "-oCompression=yes",
            "-oProxyCommand=x",
            "Compression\n=yes",
            "\"Compression\"=yes",
            "$(id)=yes",
        ] {
            assert!(matches!(read(text), Err(SshOptionError::Form(_))), "{text:?}: {:?}", read(text));
        }
        let values = [
            "",
            "-oProxyCommand=x",
            "-x",
            " yes",
            "yes no",
            "yes\n",
            "yes\nProxyCommand=x",
            "yes\tno",
            "yes\0",
            "'yes'",
            "\"yes\"",
            "$(id)",
            "${HOME}",
            "$HOME",
            "`id`",
            "a;id",
            "a|id",
            "a&id",
            "a>b",
            "a#b",
            "a\\b",
            "a\u{202e}b",
        ];
        for (name, _) in ALLOWED {
            for value in values {
                let option = read(&format!("{name}={value}"));
                assert!(matches!(option, Err(SshOptionError::Value { .. })), "{name}: {value:?}: {option:?}");
            }
            read(&format!("{name}={}", "a".repeat(LONGEST + 1))).unwrap_err();
        }
        for jumps in [
            "a,",
            ",a",
            "a,,b",
            "a, b",
            "ssh://a",
            "a:0",
            "a:22:22",
            "a,-oProxyCommand=x",
            "-x@a",
            "a/b",
            "a,b;id",
            "%h",
            "fd00::1",
            "[fe80::1%eth0]",
        ] {
            let option = read(&format!("ProxyJump={jumps}"));
            assert!(matches!(option, Err(SshOptionError::Value { .. })), "{jumps:?}: {option:?}");
        }
    }
}
