//! Which addresses a guest's sockets may use: outwards to those that `net` grants, and nothing else.
//! Nothing listens: a task has no caller but flowhost.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::super::stdio::Speech;
use crate::model::{AddressRange, Level};

/// Lets sockets reach `net`. What is denied is said on the attempt's log, since the guest only sees
/// that permission is denied.
pub(in super::super) fn grant(builder: &mut WasiCtxBuilder, net: &Arc<[AddressRange]>, speech: &Speech) {
    // Without a grant there are no sockets at all.
    if net.is_empty() {
        return;
    }
    let (net, speech) = (Arc::clone(net), speech.clone());
    builder.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, purpose| {
        let may = may(&net, address, purpose);
        if !may && let Some(denied) = denied(address, purpose) {
            speech.say(Level::Warn, &denied);
        }
        Box::pin(std::future::ready(may))
    });
}

/// Whether a socket may use `address` so.
fn may(net: &[AddressRange], address: SocketAddr, purpose: SocketAddrUse) -> bool {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            net.iter().any(|range| range.contains(address))
        }
        // Sockets are bound before they send or connect: to any port, chosen by the system.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip().is_unspecified() && address.port() == 0
        }
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

/// What to tell of a denial. Nothing of datagrams that others sent.
fn denied(address: SocketAddr, purpose: SocketAddrUse) -> Option<String> {
    match purpose {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            Some(format!("denied: the task's `net` grant does not cover {address}"))
        }
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind | SocketAddrUse::TcpListen => {
            Some(format!("denied: a task cannot listen, as on {address}"))
        }
        SocketAddrUse::TcpAccept | SocketAddrUse::UdpReceive => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_sockets_reach_outwards_and_only_what_is_granted() {
        let net: [AddressRange; 2] = ["10.0.0.0/8:5432".parse().unwrap(), "[::1]:80".parse().unwrap()];
        let may = |address: &str, purpose| may(&net, address.parse().unwrap(), purpose);
        for purpose in [SocketAddrUse::TcpConnect, SocketAddrUse::UdpSend, SocketAddrUse::UdpReceive] {
            assert!(may("10.1.2.3:5432", purpose) && may("[::1]:80", purpose));
            assert!(may("[::ffff:10.1.2.3]:5432", purpose), "a mapped address is the address");
            for address in
                ["10.1.2.3:5433", "127.0.0.1:80", "[::ffff:127.0.0.1]:80", "0.0.0.0:80", "[::2]:80"]
            {
                assert!(!may(address, purpose), "{address}");
            }
        }
        for purpose in [SocketAddrUse::TcpBind, SocketAddrUse::UdpBind] {
            assert!(may("0.0.0.0:0", purpose) && may("[::]:0", purpose));
            for address in ["0.0.0.0:8080", "127.0.0.1:0", "10.0.0.1:5432"] {
                assert!(!may(address, purpose), "{address}");
            }
        }
        for purpose in [SocketAddrUse::TcpListen, SocketAddrUse::TcpAccept] {
            assert!(!may("10.1.2.3:5432", purpose) && !may("0.0.0.0:0", purpose));
        }
    }
}
