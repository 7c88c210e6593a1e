//! The two halves of a connection: one that receives typed messages and notices silence, and one that
//! sends what an outbox holds and heartbeats in between.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::message::{self, Message};
use super::parts::{self, Assembler};
use super::{FromWorker, HEARTBEAT, LOST, Outbox, PART, ToWorker, WireError};

/// How long what came while this process was stopped takes at most to be seen.
const GLANCE: Duration = Duration::from_secs(1);

/// Receives messages.
#[derive(Debug)]
pub struct Receiver<R> {
    from: R,
    buffer: BytesMut,
    assembler: Assembler,
    /// Whether the other side may be silent for any time.
    patient: bool,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// From a connection to somewhere else.
    pub fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new(), assembler: Assembler::default(), patient: false }
    }

    /// From the process that started this one: its end ends the connection, and where it is silent it was stopped, or
    /// the machine has much to do.
    pub fn of_parent(from: R) -> Self {
        Self { patient: true, ..Self::new(from) }
    }

    /// Of a worker, the next message of its client; none where the connection ended. Cancel-safe.
    ///
    /// # Errors
    /// Fails when the connection fails, is silent for too long, or when what comes is no message. It is
    /// of no more use then.
    pub async fn of_client(&mut self) -> Result<Option<ToWorker>, WireError> {
        self.next().await
    }

    /// Of a client, the next message of its worker, as [`Receiver::of_client`].
    ///
    /// # Errors
    /// As [`Receiver::of_client`].
    pub async fn of_worker(&mut self) -> Result<Option<FromWorker>, WireError> {
        self.next().await
    }

    /// The next frame's body, whole; none at the end. For what comes before messages.
    pub(super) async fn frame(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            if let Some(body) = parts::take(&mut self.buffer)? {
                return Ok(Some(body));
            }
            if self.read().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(WireError::Cut) };
            }
        }
    }

    /// Reads what there is, and says how much that was. 0 is the end.
    pub(super) async fn read(&mut self) -> Result<usize, WireError> {
        // Grown as bytes come, and not as they are claimed.
        self.buffer.reserve(parts::missing(&self.buffer).clamp(PART / 4, PART));
        if self.patient {
            return Ok(self.from.read_buf(&mut self.buffer).await?);
        }
        // A process that was stopped finds the time over before it sees what came meanwhile.
        for part in [LOST - GLANCE, GLANCE] {
            if let Ok(read) = timeout(part, self.from.read_buf(&mut self.buffer)).await {
                return Ok(read?);
            }
        }
        Err(WireError::Silent)
    }

    /// What was read and not taken.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    async fn next<M: Message>(&mut self) -> Result<Option<M>, WireError> {
        while let Some(body) = self.frame().await? {
            if let Some(whole) = self.assembler.take(body)? {
                return message::read(whole).map(Some);
            }
        }
        if self.assembler.is_amid() { Err(WireError::Cut) } else { Ok(None) }
    }
}

/// Sends what `outbox` holds, and a heartbeat where nothing was sent for a while, until the outbox is
/// finished. Whatever ends it, the outbox takes nothing more.
///
/// # Errors
/// Fails when the connection does.
pub async fn pump(mut to: impl AsyncWrite + Unpin, outbox: &Outbox) -> Result<(), WireError> {
    let ended = send(&mut to, outbox).await;
    outbox.break_off();
    ended
}

async fn send(to: &mut (impl AsyncWrite + Unpin), outbox: &Outbox) -> Result<(), WireError> {
    loop {
        while let Some(pieces) = outbox.next() {
            for mut piece in pieces {
                to.write_all_buf(&mut piece).await?;
            }
        }
        to.flush().await?;
        if outbox.is_finished() {
            to.shutdown().await?;
            return Ok(());
        }
        let beat = Instant::now() + HEARTBEAT;
        tokio::select! {
            () = outbox.ready.notified() => {}
            () = sleep_until(beat) => to.write_all(&parts::header(parts::HEARTBEAT, 0)).await?,
        }
    }
}
