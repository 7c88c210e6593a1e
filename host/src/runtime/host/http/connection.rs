//! Connections to addresses that were judged: TCP, and TLS on top where the origin says so. Trusts
//! the roots of Mozilla's program; asks nobody for addresses.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::model::{Host, Origin, Scheme};

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Tcp(#[source] io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
}

impl ConnectError {
    /// Whether the server's certificate is at fault.
    pub(super) fn is_certificate(&self) -> bool {
        let Self::Tls(error) = self else { return false };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        matches!(inner, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
    }
}

/// What attempts of all runs share: reading the roots costs more than a request.
static TLS: LazyLock<Result<TlsConnector, rustls::Error>> =
    LazyLock::new(|| connector(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));

/// TLS that trusts `roots`.
pub(super) fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the first of `addresses` that answers.
pub(super) async fn open(origin: &Origin, addresses: &[SocketAddr]) -> Result<Box<dyn Stream>, ConnectError> {
    let stream = tcp(addresses).await.map_err(ConnectError::Tcp)?;
    match origin.scheme {
        Scheme::Http => Ok(Box::new(stream)),
        Scheme::Https => {
            let shared = TLS.as_ref().map_err(|error| ConnectError::Tls(io::Error::other(error.clone())))?;
            tls(shared, &origin.host, stream).await.map_err(ConnectError::Tls)
        }
    }
}

async fn tcp(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Encrypts `stream`, whose other end has to prove that it is `host`.
pub(super) async fn tls(
    connector: &TlsConnector,
    host: &Host,
    stream: TcpStream,
) -> io::Result<Box<dyn Stream>> {
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
        Host::Address(ip) => ServerName::from(*ip),
    };
    Ok(Box::new(connector.connect(name, stream).await?))
}
