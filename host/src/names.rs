//! Whether this program may look up names of machines, which asks the GNU C library. A program with a copy of that
//! library in it runs on any Linux, but may not: lookups load parts of the machine's own, which fit no other copy.

use std::net::{IpAddr, Ipv6Addr};

/// Why a name is not looked up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this flowhost looks up no names: it is linked statically, to run on every Linux, and lookups need the C library \
     that it was built with; give the address of `{0}`, or use a flowhost that is linked dynamically"
)]
pub(crate) struct NoLookups(Box<str>);

/// Whether this program is one that looks up no names.
const STATIC: bool = cfg!(all(target_env = "gnu", target_feature = "crt-static"));

/// Says whether `host` may be connected to or listened at: addresses may always be, with or without brackets.
///
/// # Errors
/// Fails where it is a name, and this program looks up none.
pub(crate) fn may_use(host: &str) -> Result<(), NoLookups> {
    judge(host, STATIC)
}

fn judge(host: &str, without_lookups: bool) -> Result<(), NoLookups> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // Names have no colon, and the scope of an address is a number or the name of an interface.
    let scoped = bare.split_once('%').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    if !without_lookups || scoped || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(NoLookups(host.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_lookup() {
        for address in ["127.0.0.1", "::1", "[::1]", "fe80::1%eth0"] {
            assert_eq!(judge(address, true), Ok(()));
        }
        for name in ["localhost", "example.com", "", "127.0.0.1.example", "[::1"] {
            assert_eq!(judge(name, true), Err(NoLookups(name.into())));
            assert_eq!(judge(name, false), Ok(()));
        }
    }
}
