//! Bodies that are bounded on their way, in bytes and in time. Nothing is gathered here: a piece
//! passes, or the body ends with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

type Polled = Poll<Option<Result<Frame<Bytes>, Error>>>;

/// Bytes that a body may still have.
struct Allowance {
    limit: u64,
    left: u64,
}

impl Allowance {
    fn new(limit: u64) -> Self {
        Self { limit, left: limit }
    }

    /// Takes a piece; fails with the limit when that is more than may come.
    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), u64> {
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self.left.checked_sub(size).ok_or(self.limit)?;
        Ok(())
    }
}

/// A request's body on its way from the guest.
pub(super) struct Upload {
    body: WasiBody,
    allowance: Allowance,
    pieces: Arc<AtomicU64>,
}

impl Upload {
    /// At most `limit` bytes. `pieces` counts what was taken, so that others see whether it moves.
    pub(super) fn new(body: WasiBody, limit: u64, pieces: Arc<AtomicU64>) -> Self {
        Self { body, allowance: Allowance::new(limit), pieces }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.pieces.fetch_add(1, Ordering::Relaxed);
        if let Some(Ok(frame)) = &polled
            && let Err(limit) = self.allowance.take(frame)
        {
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(limit)))));
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body on its way to the guest.
pub(super) struct Download {
    body: Incoming,
    allowance: Allowance,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    failed: bool,
}

impl Download {
    /// At most `limit` bytes, with at most `patience` between two pieces. Needs a tokio runtime.
    pub(super) fn new(body: Incoming, limit: u64, patience: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(patience));
        Self { body, allowance: Allowance::new(limit), patience, timer, failed: false }
    }

    fn fail(&mut self, error: Error) -> Polled {
        self.failed = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        if self.failed {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => self.fail(error.into()),
            Poll::Ready(Some(Ok(frame))) => {
                if let Err(limit) = self.allowance.take(&frame) {
                    return self.fail(Error::HttpResponseBodySize(Some(limit)));
                }
                let next = Instant::now().checked_add(self.patience);
                if let Some(next) = next {
                    self.timer.as_mut().reset(next);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(context));
                self.fail(Error::ConnectionReadTimeout)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
