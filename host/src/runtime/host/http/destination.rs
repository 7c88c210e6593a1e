//! Where a request may go: the granted origin that it is for, and the addresses that this origin may
//! have. A name is looked up once, and only what was judged here is connected to, so that no second
//! answer can lead elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;
use wasmtime_wasi_http::Error;

use crate::model::{AddressRange, Host, Origin};
use crate::names;

/// Why a request goes nowhere.
#[derive(Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error("denied: the request's URI has no origin that could be granted")]
    Uri,
    #[error("denied: the task's `http` grant does not name {0}")]
    Origin(Origin),
    #[error("`{0}` cannot be looked up: {1}")]
    Lookup(Box<str>, std::io::Error),
    #[error("`{0}` has no address")]
    Nowhere(Box<str>),
    #[error(
        "denied: `{name}` leads to {address}, which is no public address; to reach it, grant net = \
         [\"{range}\"] as well"
    )]
    Address { name: Box<str>, address: IpAddr, range: String },
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Uri => Self::HttpRequestUriInvalid,
            Denied::Origin(_) => Self::HttpRequestDenied,
            Denied::Lookup(..) => Self::DnsError { rcode: None, info_code: None },
            Denied::Nowhere(_) => Self::DestinationNotFound,
            Denied::Address { .. } => Self::DestinationIpProhibited,
        }
    }
}

/// The granted origin that a request for `uri` goes to.
pub(super) fn granted<'o>(uri: &Uri, grants: &'o [Origin]) -> Result<&'o Origin, Denied> {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Denied::Uri);
    };
    // Users, empty ports and everything else that an origin has not are refused here.
    let origin: Origin = format!("{scheme}://{authority}").parse().map_err(|_| Denied::Uri)?;
    grants.iter().find(|granted| **granted == origin).ok_or(Denied::Origin(origin))
}

/// The addresses of `origin` that may be connected to, at least one, in the order to try them.
pub(super) async fn addresses(origin: &Origin, net: &[AddressRange]) -> Result<Vec<SocketAddr>, Denied> {
    match &origin.host {
        Host::Address(ip) => Ok(vec![SocketAddr::new(*ip, origin.port)]),
        Host::Name(name) => {
            let lookup = |error| Denied::Lookup((&**name).into(), error);
            names::may_use(name).map_err(|error| lookup(std::io::Error::other(error)))?;
            let found = tokio::net::lookup_host((&**name, origin.port)).await;
            permitted(name, found.map_err(lookup)?, net)
        }
    }
}

/// Those of `found` that a request for `name` may go to. A public name that leads to a private
/// address is how a server on the same network is reached by those who may not.
fn permitted(
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
    net: &[AddressRange],
) -> Result<Vec<SocketAddr>, Denied> {
    let may = |address: &SocketAddr| {
        let ip = address.ip().to_canonical();
        let named = if name == "localhost" { ip.is_loopback() } else { is_public(ip) };
        named || net.iter().any(|range| range.contains(*address))
    };
    let (permitted, refused): (Vec<_>, Vec<_>) = found.partition(may);
    match (permitted.is_empty(), refused.first()) {
        (false, _) => Ok(permitted),
        (true, None) => Err(Denied::Nowhere(name.into())),
        (true, Some(address)) => {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            Err(Denied::Address { name: name.into(), address: address.ip(), range: address.to_string() })
        }
    }
}

/// Whether an address is one of the public internet, by the registries of special addresses of IANA
/// (RFC 6890). IPv6 addresses that lead to IPv4 ones are judged by those, or not public at all.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        // This network, private, shared, loopback, link-local with the metadata of clouds.
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            // Protocol assignments, relays of 6to4, measurements, examples.
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // Multicast and reserved.
            | [224..=255, ..]
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // The well-known prefix of NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        // Protocol assignments with Teredo, examples, 6to4, examples.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_only_granted_origins_are_requested() {
        let grants: Vec<Origin> =
            ["https://api.example.com", "http://127.0.0.1:8080"].map(|text| text.parse().unwrap()).into();
        let granted = |uri: &str| granted(&uri.parse().unwrap(), &grants);
        for uri in ["https://api.example.com/a?b", "https://API.example.com:443", "http://127.0.0.1:8080/"] {
            assert!(granted(uri).is_ok(), "{uri}");
        }
        for uri in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.example/",
            "https://evil.example/",
            "http://localhost:8080/",
            "http://[::1]:8080/",
        ] {
            assert!(matches!(granted(uri), Err(Denied::Origin(_))), "{uri}");
        }
        for uri in [
            "https://api.example.com@evil.example/",
            "https://evil.example@api.example.com/",
            "http://2130706433:8080/",
            "/path",
        ] {
            assert!(matches!(granted(uri), Err(Denied::Uri)), "{uri}");
        }
    }

    #[test]
    fn g13_names_lead_to_public_addresses_alone() {
        let permitted = |name: &str, found: &[&str], net: &[&str]| {
            let found: Vec<SocketAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
            let net: Vec<AddressRange> = net.iter().map(|text| text.parse().unwrap()).collect();
            permitted(name, found.into_iter(), &net)
                .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        for private in [
            "127.0.0.1:80",
            "10.1.2.3:80",
            "172.31.0.1:80",
            "192.168.1.1:80",
            "169.254.169.254:80",
            "100.100.100.200:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::1]:80",
            "[::]:80",
            "[::ffff:169.254.169.254]:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[2001:0:1::1]:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "[ff02::1]:80",
        ] {
            let refused = permitted("evil.example", &[private], &[]);
            assert!(matches!(refused, Err(Denied::Address { .. })), "{private}: {refused:?}");
        }
        let public = ["93.184.216.34:80", "[2606:2800:220::1]:80", "[64:ff9b::5db8:d822]:80"];
        assert_eq!(permitted("a.example", &public, &[]).unwrap(), public);
        let mixed = ["10.0.0.1:80", "93.184.216.34:80"];
        assert_eq!(permitted("a.example", &mixed, &[]).unwrap(), ["93.184.216.34:80"]);
        assert_eq!(permitted("a.example", &["10.0.0.1:80"], &["10.0.0.1:80"]).unwrap(), ["10.0.0.1:80"]);
        assert_eq!(permitted("localhost", &["127.0.0.1:80", "[::1]:80"], &[]).unwrap().len(), 2);
        assert!(permitted("localhost", &["93.184.216.34:80"], &[]).is_err(), "localhost is this machine");
        assert!(matches!(permitted("a.example", &[], &[]), Err(Denied::Nowhere(_))));
        let told = permitted("a.example", &["10.0.0.1:80"], &[]).unwrap_err().to_string();
        assert!(told.contains(r#"net = ["10.0.0.1:80"]"#), "{told}");
    }
}
