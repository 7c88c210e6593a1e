//! Ranges of addresses with ports, as people write them in `net`. Resolves and connects nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Addresses and ports, such as `10.0.0.0/8:5432`, `127.0.0.1:1024-2048` or `[fd00::/8]:443`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct AddressRange {
    /// The first address; all bits after the prefix are 0. Never an IPv4 address mapped to IPv6.
    network: IpAddr,
    /// How many leading bits all addresses share: at most 32 of IPv4, 128 of IPv6.
    prefix: u8,
    /// From 1.
    first_port: u16,
    /// At least the first.
    last_port: u16,
}

/// Why a text is no [`AddressRange`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// It has a name, or nothing that could be an address.
    #[error("`{0}` is not an IP address")]
    NoAddress(String),
    /// An IPv6 address is not in brackets.
    #[error("`{0}` has an IPv6 address without brackets")]
    Brackets(String),
    /// There is no port, or none that exists.
    #[error("`{0}` does not end in a port from 1 to 65535, or a range of them")]
    Port(String),
    /// The prefix is longer than the address, or no number.
    #[error("`/{prefix}` is no prefix of `{network}`, whose length is 0 to {longest}")]
    Prefix {
        /// What was written.
        prefix: String,
        /// The address before it.
        network: IpAddr,
        /// The length of such an address in bits.
        longest: u8,
    },
    /// The address has bits after the prefix.
    #[error("`{written}` has bits after its prefix")]
    Bits {
        /// What was written.
        written: String,
        /// The range without those bits.
        meant: String,
    },
    /// It is an IPv4 address in the form of IPv6.
    #[error("`{written}` is the IPv4 address {meant} in the form of IPv6")]
    Mapped {
        /// What was written.
        written: String,
        /// The address.
        meant: Ipv4Addr,
    },
}

impl AddressError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoAddress(_) => "names are not looked up for tasks: write the address, such as \
                 \"10.0.0.0/8:5432\"; to reach a name over HTTP, grant http = [\"https://NAME\"]"
                .to_owned(),
            Self::Brackets(_) => "write \"[fd00::/8]:443\"".to_owned(),
            Self::Port(_) => "write \"127.0.0.1:6379\" or \"127.0.0.1:1024-2048\"".to_owned(),
            Self::Prefix { network, .. } => format!("leave it out for {network} alone"),
            Self::Bits { meant, .. } => format!("did you mean \"{meant}\"?"),
            Self::Mapped { meant, .. } => format!("write {meant}"),
        }
    }
}

impl AddressRange {
    /// Whether `address` is in the range. An IPv4 address in the form of IPv6 counts as IPv4, and
    /// the unspecified address, which systems take for themselves, is in none.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let ports = self.first_port..=self.last_port;
        !ip.is_unspecified() && masked(ip, self.prefix) == self.network && ports.contains(&address.port())
    }

    /// Whether all of `other` is in the range.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix
            && masked(other.network, self.prefix) == self.network
            && self.first_port <= other.first_port
            && other.last_port <= self.last_port
    }
}

/// The length of an address in bits.
fn length(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits after the prefix 0.
fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

/// A port from 1, in digits.
pub(super) fn port(text: &str) -> Option<u16> {
    // `parse` takes a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

impl FromStr for AddressRange {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let no_port = || AddressError::Port(text.to_owned());
        let (network, ports) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or_else(no_port)?,
            None => {
                let (network, ports) = match text.rsplit_once(':') {
                    Some(split) => split,
                    None if is_address(text) => return Err(no_port()),
                    None => return Err(AddressError::NoAddress(text.to_owned())),
                };
                if network.contains(':') {
                    return Err(AddressError::Brackets(text.to_owned()));
                }
                (network, ports)
            }
        };
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (network, None),
        };
        let no_address = || AddressError::NoAddress(address.to_owned());
        let ip: IpAddr = address.parse().map_err(|_| no_address())?;
        if ip.is_ipv6() != text.starts_with('[') {
            return Err(no_address());
        }
        if let IpAddr::V4(meant) = ip.to_canonical()
            && ip.is_ipv6()
        {
            return Err(AddressError::Mapped { written: address.to_owned(), meant });
        }
        let longest = length(ip);
        let prefix = match prefix {
            None => longest,
            Some(prefix) => {
                let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
                let length = prefix.parse().ok().filter(|length| digits && *length <= longest);
                let problem = || AddressError::Prefix { prefix: prefix.to_owned(), network: ip, longest };
                length.ok_or_else(problem)?
            }
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first_port, last_port) = port(first).zip(port(last)).ok_or_else(no_port)?;
        if first_port > last_port {
            return Err(no_port());
        }
        let range = Self { network: masked(ip, prefix), prefix, first_port, last_port };
        if range.network != ip {
            return Err(AddressError::Bits { written: text.to_owned(), meant: range.to_string() });
        }
        Ok(range)
    }
}

/// Whether a text without a port is an address or a range of them.
fn is_address(text: &str) -> bool {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse::<IpAddr>().is_ok()
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.prefix == length(self.network);
        match (self.network, whole) {
            (IpAddr::V4(ip), true) => write!(f, "{ip}")?,
            (IpAddr::V4(ip), false) => write!(f, "{ip}/{}", self.prefix)?,
            (IpAddr::V6(ip), true) => write!(f, "[{ip}]")?,
            (IpAddr::V6(ip), false) => write!(f, "[{ip}/{}]", self.prefix)?,
        }
        write!(f, ":{}", self.first_port)?;
        if self.last_port == self.first_port { Ok(()) } else { write!(f, "-{}", self.last_port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn ranges_are_read_and_shown_alike() {
        for text in [
            "127.0.0.1:6379",
            "10.0.0.0/8:5432",
            "192.168.0.0/16:1024-2048",
            "0.0.0.0/0:443",
            "[::1]:80",
            "[fd00::/8]:443",
            "[::/0]:1-65535",
        ] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("10.0.0.1/32:1-1").to_string(), "10.0.0.1:1");
    }

    #[test]
    fn what_is_no_range_is_told_apart() {
        let error = |text: &str| text.parse::<AddressRange>().unwrap_err();
        for text in
            ["db.example.com:5432", "localhost:80", "", "db", "127.1:80", "[127.0.0.1]:80", "[fe80::1%1]:80"]
        {
            assert!(matches!(error(text), AddressError::NoAddress(_)), "{text}: {}", error(text));
        }
        for text in [
            "10.0.0.1",
            "10.0.0.0/8",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1:9-8",
            "10.0.0.1:+5",
            "[::1]",
        ] {
            assert!(matches!(error(text), AddressError::Port(_)), "{text}: {}", error(text));
        }
        assert!(matches!(error("::1:80"), AddressError::Brackets(_)));
        assert!(matches!(error("10.0.0.0/33:80"), AddressError::Prefix { longest: 32, .. }));
        assert!(matches!(error("10.0.0.0/+8:80"), AddressError::Prefix { .. }));
        assert!(matches!(error("[::ffff:127.0.0.1]:80"), AddressError::Mapped { .. }));
        assert_eq!(error("10.1.2.3/8:80").help(), "did you mean \"10.0.0.0/8:80\"?");
    }

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        let holds = |text: &str, address: &str| range(text).contains(address.parse().unwrap());
        for (text, address) in [
            ("10.0.0.0/8:5432", "10.255.0.1:5432"),
            ("10.0.0.0/8:5432", "[::ffff:10.1.2.3]:5432"),
            ("0.0.0.0/0:1-65535", "8.8.8.8:53"),
            ("[::/0]:80", "[2001:db8::1]:80"),
            ("[fd00::/8]:80", "[fdff::1]:80"),
        ] {
            assert!(holds(text, address), "{text} {address}");
        }
        for (text, address) in [
            ("10.0.0.0/8:5432", "11.0.0.0:5432"),
            ("10.0.0.0/8:5432", "10.0.0.1:5433"),
            ("10.0.0.0/8:5432", "[::a00:1]:5432"),
            ("127.0.0.1:80", "127.0.0.2:80"),
            ("[::/0]:80", "127.0.0.1:80"),
            ("[::/0]:80", "[::ffff:127.0.0.1]:80"),
            ("0.0.0.0/8:80", "0.0.0.0:80"),
            ("[::/0]:80", "[::]:80"),
        ] {
            assert!(!holds(text, address), "{text} {address}");
        }
    }

    #[test]
    fn ranges_cover_what_is_inside() {
        let covers = |text: &str, other: &str| range(text).covers(&range(other));
        assert!(covers("10.0.0.0/8:1-100", "10.1.0.0/16:5-100"));
        assert!(covers("10.0.0.1:80", "10.0.0.1:80"));
        assert!(!covers("10.1.0.0/16:80", "10.0.0.0/8:80"));
        assert!(!covers("10.0.0.0/8:80", "10.0.0.0/8:80-81"));
        assert!(!covers("0.0.0.0/0:80", "[::1]:80"));
    }
}
