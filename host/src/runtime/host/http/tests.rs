//! Exchanges with servers of the test's own: what is slow, large or not who it says it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connection::{self, ConnectError};
use super::exchange::{Exchange, Failure, Patience};
use crate::model::{Host, Origin};

const SOON: Duration = Duration::from_millis(100);

/// Reads one request's header, says `answer` and keeps the connection.
async fn server(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        (String::from_utf8(request).unwrap(), stream)
    });
    (address, serving)
}

fn exchange(address: SocketAddr, largest_body: u64) -> Exchange {
    Exchange {
        origin: format!("http://{address}").parse().unwrap(),
        net: Arc::new([]),
        patience: Patience { connect: SOON * 50, first_byte: SOON, between_bytes: SOON },
        largest_body,
        connections: Arc::new(Semaphore::new(1)),
    }
}

fn request(address: SocketAddr, path: &str, body: &'static [u8]) -> Request<WasiBody> {
    let body = Full::new(Bytes::from_static(body)).map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder().method("POST").uri(format!("http://{address}{path}"));
    request.header("host", address.to_string()).body(body).unwrap()
}

/// Sends a request, and reads the body of the response while its connection is driven.
async fn fetch(exchange: Exchange, request: Request<WasiBody>) -> Result<Result<Bytes, Error>, Failure> {
    let (response, driven) = exchange.send(request).await?;
    let driving = tokio::spawn(Box::into_pin(driven));
    let body = response.into_body().collect().await.map(|body| body.to_bytes());
    driving.abort();
    Ok(body)
}

#[tokio::test]
async fn a_request_is_written_with_its_path_alone() {
    for (uri, written) in
        [("/a/b?c=d", "POST /a/b?c=d HTTP/1.1"), ("", "POST / HTTP/1.1"), ("?c=d", "POST /?c=d HTTP/1.1")]
    {
        let (address, serving) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        let body = fetch(exchange(address, 100), request(address, uri, b"")).await.unwrap();
        assert_eq!(body.unwrap(), "hi");
        let (told, _) = serving.await.unwrap();
        assert!(told.starts_with(written), "{uri}: {told}");
        assert!(told.contains("connection: close") && told.contains(&format!("host: {address}")), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (address, _serving) = server("").await;
    let failure = fetch(exchange(address, 100), request(address, "/", b"")).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("http://{address} did not answer within 100ms"));
    assert!(matches!(Error::from(failure), Error::ConnectionReadTimeout));
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let (address, _serving) = server("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi").await;
    let body = fetch(exchange(address, 100), request(address, "/", b"")).await.unwrap();
    assert!(matches!(body, Err(Error::ConnectionReadTimeout)), "{body:?}");
}

#[tokio::test]
async fn bodies_are_bounded_both_ways() {
    let (address, _serving) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let failure = fetch(exchange(address, 4), request(address, "/", b"")).await.unwrap_err();
    assert!(matches!(failure, Failure::ResponseBody { size: 5, limit: 4, .. }), "{failure}");
    // Without a length, it is the bytes that count.
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let (address, _serving) = server(chunked).await;
    let body = fetch(exchange(address, 4), request(address, "/", b"")).await.unwrap();
    assert!(matches!(body, Err(Error::HttpResponseBodySize(Some(4)))), "{body:?}");
    let (address, _serving) = server(chunked).await;
    let body = fetch(exchange(address, 5), request(address, "/", b"hello")).await.unwrap();
    assert_eq!(body.unwrap(), "hello");
    let (address, _serving) = server("").await;
    let failure = fetch(exchange(address, 4), request(address, "/", b"hello")).await.unwrap_err();
    assert!(matches!(failure, Failure::RequestBody { limit: 4, .. }), "{failure}");
}

#[tokio::test]
async fn headers_are_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
        // The other end hangs up on the way.
        let _ = stream.write_all(header.as_bytes()).await;
    });
    let failure = fetch(exchange(address, 100), request(address, "/", b"")).await.unwrap_err();
    assert!(matches!(&failure, Failure::Broken { cause, .. } if cause.is_parse_too_large()), "{failure}");
}

#[tokio::test]
async fn who_waits_for_a_connection_gets_one_or_the_reason() {
    let (address, _serving) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut exchange = exchange(address, 100);
    exchange.patience.connect = SOON;
    let turn = Arc::clone(&exchange.connections).acquire_owned().await.unwrap();
    let waiting = Exchange {
        connections: Arc::clone(&exchange.connections),
        origin: exchange.origin.clone(),
        net: Arc::new([]),
        ..exchange
    };
    let failure = fetch(waiting, request(address, "/", b"")).await.unwrap_err();
    assert!(matches!(failure, Failure::Busy { .. }), "{failure}");
    drop(turn);
    exchange.patience.connect = SOON * 50;
    assert!(fetch(exchange, request(address, "/", b"")).await.unwrap().is_ok());
}

#[test]
fn guests_shorten_waits_and_cannot_make_them_endless() {
    let patience = |asked: Option<Duration>| {
        let options = RequestOptions {
            connect_timeout: asked,
            first_byte_timeout: asked,
            between_bytes_timeout: asked,
        };
        let Patience { connect, first_byte, between_bytes } = Patience::new(Some(options));
        [connect.as_secs(), first_byte.as_secs(), between_bytes.as_secs()]
    };
    assert_eq!(patience(None), [10, 120, 60]);
    assert_eq!(patience(Some(Duration::from_secs(1))), [1, 1, 1]);
    assert_eq!(patience(Some(Duration::MAX)), [60, 600, 600]);
}

/// A server that proves to be `name`, and roots that vouch for it.
async fn encrypted(name: &str) -> (SocketAddr, RootCertStore) {
    let identity = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = identity.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    });
    (address, roots)
}

#[tokio::test]
async fn tls_speaks_to_who_proves_to_be_the_host_and_to_nobody_else() {
    let (address, roots) = encrypted("a.example").await;
    let connector = connection::connector(roots).unwrap();
    let open = async |host: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        connection::tls(&connector, &host.parse::<Host>().unwrap(), stream).await
    };
    let exchange = exchange(address, 100);
    let turn = Arc::clone(&exchange.connections).acquire_owned().await.unwrap();
    let stream = open("a.example").await.unwrap();
    let (response, driven) = exchange.converse(request(address, "/", b""), stream, turn).await.unwrap();
    let driving = tokio::spawn(Box::into_pin(driven));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "secret");
    driving.abort();
    for other in ["b.example", "127.0.0.1"] {
        let error = ConnectError::Tls(open(other).await.err().unwrap());
        assert!(error.is_certificate(), "{other}: {error}");
    }
}

#[tokio::test]
async fn tls_trusts_no_certificate_that_nobody_vouches_for() {
    let (address, _) = encrypted("localhost").await;
    let origin: Origin = format!("https://localhost:{}", address.port()).parse().unwrap();
    let failure = connection::open(&origin, &[address]).await.err().unwrap();
    assert!(failure.is_certificate(), "{failure}");
    let failure = Failure::Connect { origin, cause: failure };
    assert!(matches!(Error::from(failure), Error::TlsCertificateError));
}
