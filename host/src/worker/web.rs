//! A worker's figures over HTTP, for those who watch it. Whoever reaches the address may read them: it
//! takes no requests but these, keeps none of them for long, and has little room for any.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::figures::Figures;
use crate::streams::Io;

/// Connections at once. Others wait to be taken.
const CONNECTIONS: usize = 64;

/// A connection is there for one request, and so long at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a request's head at most: what hyper reads ahead, which it does not let be less.
const HEAD: usize = 8 << 10;

/// Headers of a request at most.
const HEADERS: usize = 64;

/// What Prometheus' text format is called.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers `GET` and `HEAD` of `/metrics` and `/healthz` until it is dropped, or the listener fails for good.
pub async fn serve(listener: TcpListener, figures: Arc<Figures>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Somebody who is gone, or no descriptor to be had: the next may be.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let figures = Arc::clone(&figures);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                ready(Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &figures)))
            });
            let mut http = http1::Builder::new();
            http.keep_alive(false).max_buf_size(HEAD).max_headers(HEADERS);
            // Whoever sends nothing that makes sense, or does not listen, is told no more.
            let _ = tokio::time::timeout(PATIENCE, http.serve_connection(Io(stream), service)).await;
            drop(place);
        });
    }
}

fn answer(method: &Method, path: &str, figures: &Figures) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (path, method) {
        ("/metrics" | "/healthz", method) if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD are answered\n".to_owned())
        }
        ("/metrics", _) => (StatusCode::OK, METRICS, figures.render()),
        ("/healthz", _) => match figures.healthy() {
            Ok(()) if figures.draining() => (StatusCode::OK, PLAIN, "draining\n".to_owned()),
            Ok(()) => (StatusCode::OK, PLAIN, "healthy\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".to_owned()),
    };
    // hyper leaves the body out of answers to HEAD.
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn served(figures: &Arc<Figures>) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::clone(figures)));
        address
    }

    /// All that is answered until the connection is closed.
    async fn ask(address: std::net::SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be closed before all was sent.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn figures_and_health_are_told() {
        let figures = Arc::new(Figures::new(Duration::from_secs(30)));
        let address = served(&figures).await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").into_bytes();
        let sick = ask(address, &get("/healthz")).await;
        assert!(sick.starts_with("HTTP/1.1 503 ") && sick.ends_with("not been reached yet\n"), "{sick}");
        figures.set_connected(true);
        let well = ask(address, &get("/healthz")).await;
        assert!(well.starts_with("HTTP/1.1 200 ") && well.ends_with("\r\n\r\nhealthy\n"), "{well}");
        figures.set_draining(true);
        assert!(ask(address, &get("/healthz")).await.ends_with("\r\n\r\ndraining\n"));
        let metrics = ask(address, &get("/metrics?ignored")).await;
        assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.ends_with(&format!("\r\n\r\n{}", figures.render())), "{metrics}");
        let head = ask(address, b"HEAD /metrics HTTP/1.1\r\nhost: here\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask(address, &get("/")).await.starts_with("HTTP/1.1 404 "));
        let post =
            ask(address, b"POST /metrics HTTP/1.1\r\nhost: here\r\ncontent-length: 3\r\n\r\nabc").await;
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    }

    #[tokio::test]
    async fn p1_what_is_no_request_or_too_large_is_turned_away() {
        let address = served(&Arc::new(Figures::new(Duration::from_secs(30)))).await;
        let garbage = ask(address, b"\0\x01\x02 nonsense\r\n\r\n").await;
        assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
        let mut long = b"GET /metrics HTTP/1.1\r\nx: ".to_vec();
        long.resize(HEAD * 4, b'a');
        let refused = ask(address, &long).await;
        assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431 "), "{refused}");
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert!(ask(address, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test]
    async fn those_who_say_nothing_make_room() {
        let address = served(&Arc::new(Figures::new(Duration::from_secs(30)))).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metr").await.unwrap();
            silent.push(stream);
        }
        // It is answered once the first of those were sent away.
        let answer = ask(address, b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        for mut stream in silent {
            let mut rest = Vec::new();
            assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
        }
    }
}
