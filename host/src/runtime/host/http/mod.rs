//! Outgoing `wasi:http`: always there, so that guests which import it load, and denied unless the
//! `http` grant names the request's origin. Each request is judged by itself, so one that follows a
//! redirect is as well.

mod body;
mod connection;
mod destination;
mod exchange;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use hyper::Request;
use tokio::sync::Semaphore;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::super::sandbox::State;
use super::super::stdio::Speech;
use crate::model::{Call, Level};
use exchange::{Exchange, Patience, Sent};

/// Connections that an attempt may have at once. More wait for one to end.
const CONNECTIONS: usize = 32;

/// Bytes of all header fields of one message, with what each costs in memory.
const FIELDS: usize = 16 << 10;

/// Bytes of a request's body that wait in the host, times two. As much as guests may write at once
/// without asking; and they may make thousands of bodies.
const CHUNK: usize = 4 << 10;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// Denies requests at once. What [`add_to_linker`] gives answers a moment later, and how long that
/// takes is no business of a deterministic task.
pub(super) fn deny(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Parameters = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, State>, (request, options): Parameters| {
            let table = &mut store.data_mut().table;
            table.delete(request)?;
            if let Some(options) = options {
                table.delete(options)?;
            }
            let denied: Result<Resource<HostFutureIncomingResponse>, ErrorCode> =
                Err(ErrorCode::HttpRequestDenied);
            Ok((denied,))
        },
    )
}

/// One attempt's HTTP.
pub(in super::super) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    call: Arc<Call>,
    speech: Speech,
    connections: Arc<Semaphore>,
}

impl Http {
    pub(in super::super) fn new(call: &Arc<Call>, speech: Speech) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS);
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        Self { context, hooks: Hooks { call: Arc::clone(call), speech, connections } }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (http, table) = self.http_and_table();
        WasiHttpCtxView { hooks: &mut http.hooks, table, ctx: &mut http.context }
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let granted = destination::granted(request.uri(), &self.call.http);
        let speech = self.speech.clone();
        let origin = match granted {
            Ok(origin) => origin.clone(),
            Err(denied) => {
                speech.say(Level::Warn, &denied.to_string());
                return Box::new(std::future::ready(Err(denied.into())));
            }
        };
        let exchange = Exchange {
            origin,
            net: Arc::clone(&self.call.net),
            patience: Patience::new(options),
            largest_body: self.call.limits.memory,
            connections: Arc::clone(&self.connections),
        };
        Box::new(async move {
            exchange.send(request).await.map_err(|failure| {
                // What the guest is told is one of a few codes.
                speech.say(Level::Warn, &failure.to_string());
                failure.into()
            })
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p2_error_from_connect(&mut self, error: &io::Error) -> ErrorCode {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
            io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                ErrorCode::DestinationUnavailable
            }
            _ => ErrorCode::ConnectionTerminated,
        }
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        if error.is_parse_too_large() {
            ErrorCode::HttpResponseHeaderSectionSize(None)
        } else if error.is_incomplete_message() {
            ErrorCode::HttpResponseIncomplete
        } else if error.is_closed() || error.is_canceled() {
            ErrorCode::ConnectionTerminated
        } else {
            ErrorCode::HttpProtocolError
        }
    }
}
