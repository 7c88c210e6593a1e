//! Makes requests over HTTP, and says what became of them.

wit_bindgen::generate!({ world: "fetch", generate_all });

use exports::example::fetch::fetching::{Answer, Guest};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::{InputStream, StreamError};

const PIECE: u64 = 64 << 10;

/// A field that leaves little of what the host takes.
const FIELD: usize = 15_000;

struct Component;

impl Guest for Component {
    fn get(url: String) -> Result<Answer, String> {
        answered(&send(request(&url, Method::Get), None)?)
    }

    fn refused_at_once(url: String) -> bool {
        let options = RequestOptions::new();
        handle(request(&url, Method::Get), Some(options)).is_err()
    }

    fn request(method: String, url: String) -> Result<Answer, String> {
        answered(&send(request(&url, Method::Other(method)), None)?)
    }

    fn follow(url: String) -> Vec<Result<Answer, String>> {
        let mut answers = Vec::new();
        let mut next = Some(url);
        while let Some(url) = next.take()
            && answers.len() < 10
        {
            let answer = Self::get(url);
            next = answer.as_ref().ok().and_then(|answer| answer.location.clone());
            answers.push(answer);
        }
        answers
    }

    fn post(url: String, bytes: u64) -> Result<String, String> {
        let request = request(&url, Method::Post);
        let body = request.body().unwrap();
        let future = handle(request, None).map_err(|error| format!("{error:?}"))?;
        let stream = body.write().unwrap();
        let piece = [b'x'; 4096];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(piece.len() as u64);
            // The host closes the stream when it gives up; the answer says why.
            if stream.blocking_write_and_flush(&piece[..now as usize]).is_err() {
                break;
            }
            left -= now;
        }
        drop(stream);
        let finished = OutgoingBody::finish(body, None);
        let answer = answered(&wait(&future)?)?;
        finished.map_err(|error| format!("{error:?}"))?;
        Ok(answer.body)
    }

    fn drain(url: String) -> Result<u64, String> {
        read(&send(request(&url, Method::Get), None)?, |_| {})
    }

    fn impatient(url: String, ms: u64) -> Result<u64, String> {
        let options = RequestOptions::new();
        let wait = Some(ms * 1_000_000);
        options.set_connect_timeout(wait).unwrap();
        options.set_first_byte_timeout(wait).unwrap();
        options.set_between_bytes_timeout(wait).unwrap();
        read(&send(request(&url, Method::Get), Some(options))?, |_| {})
    }

    fn at_once(url: String, n: u32) -> u32 {
        let futures: Vec<_> = (0..n).map(|_| handle(request(&url, Method::Get), None)).collect();
        let answers =
            futures.into_iter().map(|future| answered(&wait(&future.map_err(|error| error.to_string())?)?));
        answers.filter(Result::is_ok).count() as u32
    }

    fn hoard(n: u32) -> u64 {
        let mut taken = 0;
        let mut kept = Vec::new();
        for _ in 0..n {
            let fields = Fields::new();
            fields.append("x", &[b'x'; FIELD]).unwrap();
            taken += FIELD as u64;
            let request = OutgoingRequest::new(fields);
            let body = request.body().unwrap();
            let stream = body.write().unwrap();
            while let Ok(permit @ 1..) = stream.check_write() {
                stream.write(&vec![0; permit as usize]).unwrap();
                taken += permit;
            }
            kept.push((stream, body, request));
        }
        taken
    }
}

/// A request for a URL without fields.
fn request(url: &str, method: Method) -> OutgoingRequest {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&method).unwrap();
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    request.set_scheme(Some(&scheme)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    request
}

fn send(request: OutgoingRequest, options: Option<RequestOptions>) -> Result<IncomingResponse, String> {
    let future = handle(request, options).map_err(|error| format!("{error:?}"))?;
    wait(&future)
}

fn wait(future: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    future.subscribe().block();
    future.get().unwrap().unwrap().map_err(|error| format!("{error:?}"))
}

fn answered(response: &IncomingResponse) -> Result<Answer, String> {
    let location = response.headers().get("location").into_iter().next();
    let mut body = Vec::new();
    read(response, |piece| body.extend_from_slice(piece))?;
    Ok(Answer {
        status: response.status(),
        location: location.map(|value| String::from_utf8_lossy(&value).into_owned()),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Reads a response's body to its end. How long it was.
fn read(response: &IncomingResponse, mut each: impl FnMut(&[u8])) -> Result<u64, String> {
    let body: IncomingBody = response.consume().unwrap();
    let stream: InputStream = body.stream().unwrap();
    let mut length = 0;
    loop {
        match stream.blocking_read(PIECE) {
            Ok(piece) => {
                length += piece.len() as u64;
                each(&piece);
            }
            Err(StreamError::Closed) => return Ok(length),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match http_error_code(&error) {
                    Some(code) => format!("{code:?}"),
                    None => error.to_debug_string(),
                });
            }
        }
    }
}

export!(Component);
