//! Carries requests to a collector: a connection for each, since there is one every few seconds.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Uri, Version};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::report::ExportError;
use crate::streams::Io;

/// Bytes of an answer at most: it says little.
const ANSWER: usize = 1 << 20;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Sends requests.
pub(super) struct Client {
    tls: TlsConnector,
    timeout: Duration,
    failure: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// One that trusts the certificates in a PEM file, or without it those that Mozilla trusts. A request may take
    /// `timeout`.
    pub(super) fn new(certificate: Option<&Path>, timeout: Duration) -> Result<Self, ExportError> {
        let mut roots = RootCertStore::empty();
        match certificate {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let unfit = |reason: String| ExportError::Certificate { path: path.to_owned(), reason };
                let all = CertificateDer::pem_file_iter(path).map_err(|error| unfit(error.to_string()))?;
                for one in all {
                    let one = one.map_err(|error| unfit(error.to_string()))?;
                    roots.add(one).map_err(|error| unfit(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(unfit("no certificate is in it".to_owned()));
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ExportError::Exporter(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), timeout, failure: Arc::default() })
    }

    /// Where it says why the last request failed.
    pub(super) fn failure(&self) -> Arc<Mutex<Option<String>>> {
        Arc::clone(&self.failure)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut head, body) = request.into_parts();
        let host = head.uri.host().ok_or("the endpoint has no host")?.to_owned();
        let stream = self.connect(&head.uri, &host).await?;
        let authority = head.uri.authority().map_or(host.as_str(), |authority| {
            let whole = authority.as_str();
            whole.rsplit_once('@').map_or(whole, |(_, place)| place)
        });
        head.headers.insert(HOST, HeaderValue::from_str(authority)?);
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse()?;
        head.version = Version::HTTP_11;
        let (mut sender, connection) = http1::handshake(Io(stream)).await?;
        let request = Request::from_parts(head, Full::new(body));
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                // Whatever it was answered is there.
                exchange.await
            }
        }
    }

    async fn connect(&self, uri: &Uri, host: &str) -> Result<Box<dyn Stream>, HttpError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        crate::names::may_use(bare)?;
        match uri.scheme_str() {
            Some("http") => {
                let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(80))).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Some("https") => {
                let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(bare.to_owned())?;
                Ok(Box::new(self.tls.connect(name, stream).await?))
            }
            _ => Err("the endpoint begins neither with http:// nor with https://".into()),
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Without who logs in, whom it may name.
        let place = request.uri().host().unwrap_or_default().to_owned();
        let port = request.uri().port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let answer = match tokio::time::timeout(self.timeout, self.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer in {:?}", self.timeout).into()),
        };
        let why = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let why = why.map(|why| format!("collector at {place}{port}: {why}"));
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
        answer
    }
}
