//! Origins of HTTP, as people write them in `http`. Resolves and connects nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address_range::port;

/// An origin of HTTP (RFC 6454): scheme, host and port, such as `https://api.example.com`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// How to talk.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host,
    /// From 1.
    pub port: u16,
}

/// The schemes of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Scheme {
    /// In the open.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it is written before `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is written.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host of an [`Origin`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Host {
    /// A name in small letters, to be looked up.
    Name(Arc<str>),
    /// An address, never an IPv4 address mapped to IPv6, and never the unspecified one.
    Address(IpAddr),
}

/// Why a text is no [`Origin`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OriginError {
    /// It does not begin with a scheme of HTTP.
    #[error("`{0}` does not begin with http:// or https://")]
    Scheme(String),
    /// Something follows the host and port, or a user stands before them.
    #[error("`{0}` has more than a scheme, a host and a port")]
    More(String),
    /// The host is no name and no address.
    #[error("`{0}` cannot be a host")]
    Host(String),
    /// The port does not exist.
    #[error("`{0}` cannot be a port, which is 1 to 65535")]
    Port(String),
}

impl OriginError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Scheme(_) => "write \"https://api.example.com\"",
            Self::More(_) => {
                "an origin is granted as a whole: write \"https://api.example.com\" or \"http://127.0.0.1:8080\""
            }
            Self::Host(_) => {
                "write one host by its name in ASCII (xn--… where it has other letters) or its address, IPv6 in \
                 brackets; patterns are not supported"
            }
            Self::Port(_) => "write \"http://127.0.0.1:8080\", or no port for 80 and 443",
        }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let no_scheme = || OriginError::Scheme(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(no_scheme)?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(scheme))
            .ok_or_else(no_scheme)?;
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(OriginError::More(text.to_owned()));
        }
        // The colons of an IPv6 address are in brackets.
        let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
        let colon = authority.get(end..).and_then(|rest| rest.find(':')).map(|at| end + at);
        let (host, port) = match colon.and_then(|at| authority.split_at_checked(at)) {
            Some((host, written)) => {
                let written = written.trim_start_matches(':');
                (host, port(written).ok_or_else(|| OriginError::Port(written.to_owned()))?)
            }
            None => (authority, scheme.port()),
        };
        Ok(Self { scheme, host: host.parse()?, port })
    }
}

impl FromStr for Host {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refused = || OriginError::Host(text.to_owned());
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address = match bracketed {
            Some(inside) => Some(IpAddr::from(inside.parse::<Ipv6Addr>().map_err(|_| refused())?)),
            None => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        };
        if let Some(address) = address.map(|address| address.to_canonical()) {
            return if address.is_unspecified() { Err(refused()) } else { Ok(Self::Address(address)) };
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        // Systems read `2130706433` and `0x7f.1` as addresses.
        let number = |label: &str| {
            label.bytes().all(|byte| byte.is_ascii_digit())
                || label.starts_with("0x")
                || label.starts_with("0X")
        };
        if text.len() > 253 || !text.split('.').all(label) || text.rsplit('.').next().is_none_or(number) {
            return Err(refused());
        }
        Ok(Self::Name(Arc::from(text.to_ascii_lowercase())))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_and_compared() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("HTTPS://API.Example.com:443", "https://api.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]", "http://[::1]"),
            ("http://[::ffff:127.0.0.1]:1", "http://127.0.0.1:1"),
            ("https://localhost:80", "https://localhost:80"),
        ] {
            let origin: Origin = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(origin.to_string(), shown);
            assert_eq!(shown.parse::<Origin>().unwrap(), origin);
        }
        let error = |text: &str| text.parse::<Origin>().unwrap_err();
        for text in ["api.example.com", "ftp://a.example", "//a.example"] {
            assert!(matches!(error(text), OriginError::Scheme(_)), "{text}");
        }
        for text in [
            "https://a.example/",
            "https://a.example/path",
            "https://me@a.example",
            "https://a.example?x",
            "https://a.example\\b",
        ] {
            assert!(matches!(error(text), OriginError::More(_)), "{text}");
        }
        for text in [
            "https://",
            "https://*.example.com",
            "https://a..b",
            "http://2130706433",
            "http://0x7f000001",
            "http://127.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://[::1",
            "https://exämple.com",
            "https://a.example.",
        ] {
            assert!(matches!(error(text), OriginError::Host(_)), "{text}: {:?}", error(text));
        }
        for text in [
            "http://a.example:",
            "http://a.example:0",
            "http://a.example:70000",
            "http://a:1:2",
            "http://[::1]:+1",
        ] {
            assert!(matches!(error(text), OriginError::Port(_)), "{text}: {:?}", error(text));
        }
    }
}
