//! One request and its response, over a connection of its own. Every wait and every size is bounded
//! here; where it may go was decided by `destination`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::super::super::limiter::bytes;
use super::body::{Download, Upload};
use super::connection::{self, ConnectError, Stream};
use super::destination::{self, Denied};
use crate::model::{AddressRange, Origin};

/// Bytes that a connection reads ahead, and so the most that a response's header can have.
const READ_AHEAD: usize = 64 << 10;

/// What is handed to the guest: the response, and what has to be driven while its body is read.
pub(super) type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// How long a request waits. An attempt's timeout ends all of it besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a connection, with the lookup of the name and TLS.
    pub(super) connect: Duration,
    /// For the response's header, from the moment that the last of the request was taken.
    pub(super) first_byte: Duration,
    /// Between two pieces of the response's body.
    pub(super) between_bytes: Duration,
}

impl Patience {
    /// What the guest asks for, within bounds.
    pub(super) fn new(options: Option<RequestOptions>) -> Self {
        let seconds = Duration::from_secs;
        let options = options.unwrap_or_default();
        let bounded = |asked: Option<Duration>, default, most| asked.unwrap_or(default).min(most);
        Self {
            connect: bounded(options.connect_timeout, seconds(10), seconds(60)),
            first_byte: bounded(options.first_byte_timeout, seconds(120), seconds(600)),
            between_bytes: bounded(options.between_bytes_timeout, seconds(60), seconds(600)),
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("denied: a task cannot make a tunnel with CONNECT")]
    Tunnel,
    #[error("no connection to {origin} within {after:?}")]
    ConnectTimeout { origin: Origin, after: Duration },
    #[error(
        "no connection to {origin} within {after:?}, because the attempt holds all that it may have at once"
    )]
    Busy { origin: Origin, after: Duration },
    #[error("no connection to {origin}: {cause}")]
    Connect { origin: Origin, cause: ConnectError },
    #[error("{origin} did not answer within {after:?}")]
    Unanswered { origin: Origin, after: Duration },
    #[error("a request to {origin} has a body above {}, the attempt's memory limit", bytes(*limit))]
    RequestBody { origin: Origin, limit: u64 },
    #[error("{origin} answers with a body of {}, above {}, the attempt's memory limit", bytes(*size), bytes(*limit))]
    ResponseBody { origin: Origin, size: u64, limit: u64 },
    #[error("{origin} did not answer as it should: {cause}")]
    Broken { origin: Origin, cause: hyper::Error },
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(denied) => denied.into(),
            Failure::Tunnel => Self::HttpRequestMethodInvalid,
            Failure::ConnectTimeout { .. } => Self::ConnectionTimeout,
            Failure::Busy { .. } => Self::ConnectionLimitReached,
            Failure::Connect { cause, .. } if cause.is_certificate() => Self::TlsCertificateError,
            Failure::Connect { cause: ConnectError::Tcp(error), .. } => Self::Connect(error),
            Failure::Connect { cause: ConnectError::Tls(_), .. } => Self::TlsProtocolError,
            Failure::Unanswered { .. } => Self::ConnectionReadTimeout,
            Failure::RequestBody { limit, .. } => Self::HttpRequestBodySize(Some(limit)),
            Failure::ResponseBody { size, .. } => Self::HttpResponseBodySize(Some(size)),
            Failure::Broken { cause, .. } => Self::Hyper(cause),
        }
    }
}

/// A request's way, decided.
pub(super) struct Exchange {
    /// Granted.
    pub(super) origin: Origin,
    /// Addresses that the task may reach besides public ones.
    pub(super) net: Arc<[AddressRange]>,
    pub(super) patience: Patience,
    /// Bytes, of the request's body and of the response's.
    pub(super) largest_body: u64,
    /// How many connections the attempt may have yet.
    pub(super) connections: Arc<Semaphore>,
}

impl Exchange {
    /// Sends `request`, and waits for the header of the response.
    pub(super) async fn send(self, request: Request<WasiBody>) -> Result<Sent, Failure> {
        if request.method() == Method::CONNECT {
            return Err(Failure::Tunnel);
        }
        let (stream, turn) = self.connect().await?;
        self.converse(request, stream, turn).await
    }

    async fn connect(&self) -> Result<(Box<dyn Stream>, OwnedSemaphorePermit), Failure> {
        let origin = || self.origin.clone();
        let after = self.patience.connect;
        let connecting = async {
            let turn = Arc::clone(&self.connections).acquire_owned().await;
            // Nobody closes the semaphore.
            let turn = turn.map_err(|_| Failure::Busy { origin: origin(), after })?;
            let addresses = destination::addresses(&self.origin, &self.net).await?;
            let stream = connection::open(&self.origin, &addresses).await;
            Ok((stream.map_err(|cause| Failure::Connect { origin: origin(), cause })?, turn))
        };
        match tokio::time::timeout(after, connecting).await {
            Ok(connected) => connected,
            Err(_) if self.connections.available_permits() == 0 => {
                Err(Failure::Busy { origin: origin(), after })
            }
            Err(_) => Err(Failure::ConnectTimeout { origin: origin(), after }),
        }
    }

    pub(super) async fn converse(
        self,
        request: Request<WasiBody>,
        stream: Box<dyn Stream>,
        turn: OwnedSemaphorePermit,
    ) -> Result<Sent, Failure> {
        let Self { origin, patience, largest_body: limit, .. } = self;
        let pieces = Arc::new(AtomicU64::new(0));
        let request = relative(request).map(|body| Upload::new(body, limit, Arc::clone(&pieces)));
        let handshake = http1::Builder::new().max_buf_size(READ_AHEAD).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) =
            handshake.map_err(|cause| Failure::Broken { origin: origin.clone(), cause })?;
        let mut connection = Some(connection);
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answered = loop {
            let taken = pieces.load(Ordering::Relaxed);
            let driven = async {
                match connection.as_mut() {
                    Some(connection) => connection.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answered = &mut answer => break answered,
                // It gives its errors to the answer.
                _ = driven => connection = None,
                () = tokio::time::sleep(patience.first_byte) => {
                    // A request that is still on its way is not waited for in vain.
                    if pieces.load(Ordering::Relaxed) == taken {
                        return Err(Failure::Unanswered { origin, after: patience.first_byte });
                    }
                }
            }
        };
        let response = answered.map_err(|cause| broken(&origin, cause))?;
        let size = response.body().size_hint().lower();
        if size > limit {
            return Err(Failure::ResponseBody { origin, size, limit });
        }
        let bound = |body: Incoming| Download::new(body, limit, patience.between_bytes).boxed_unsync();
        let driven = async move {
            // Whoever waits for a connection goes on when this one has ended.
            let _turn = turn;
            match connection {
                Some(connection) => connection.await.map_err(Error::from),
                None => Ok(()),
            }
        };
        Ok((response.map(bound), Box::new(driven)))
    }
}

/// The request as it is written to its own server: its path alone, and that nothing follows.
fn relative(mut request: Request<WasiBody>) -> Request<WasiBody> {
    let path = request.uri().path_and_query().filter(|path| path.as_str().starts_with('/')).cloned();
    let query = request.uri().query().map(|query| format!("/?{query}"));
    *request.uri_mut() = match (path, query) {
        (Some(path), _) => Uri::from(path),
        // A URI may have a query and no path.
        (None, Some(query)) => query.parse().unwrap_or_default(),
        (None, None) => Uri::default(),
    };
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    request
}

/// What ended a conversation: the server, or a body that was too large.
fn broken(origin: &Origin, cause: hyper::Error) -> Failure {
    let own = std::error::Error::source(&cause).and_then(|source| source.downcast_ref());
    match own {
        Some(Error::HttpRequestBodySize(Some(limit))) => {
            Failure::RequestBody { origin: origin.clone(), limit: *limit }
        }
        _ => Failure::Broken { origin: origin.clone(), cause },
    }
}
