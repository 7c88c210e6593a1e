//! What a flowhost process and its workers say to each other: the opening, frames, messages and values
//! as bytes (docs/protocol.md). Knows nothing of who executes, of processes and of networks.

mod codec;
mod connection;
mod hello;
mod message;
mod opening;
mod outbox;
mod parts;
mod payload;
#[cfg(test)]
mod tests;
mod values;

use std::io;
use std::time::Duration;

pub use connection::{Receiver, pump};
pub use hello::{CeilingSaid, Hello, Layer, LayerState, Refusal, Wants};
pub use message::{Ended, FromWorker, Said, Shared, Start, ToWorker};
pub use opening::{MAGIC, answer, greet};
pub use outbox::Outbox;
pub use payload::Payload;
pub use values::{ValueError, decode, encode};

use crate::compact::CompactError;

/// The protocol's number. It changes with frames and messages, with wasmtime's version, and with what
/// outcomes mean. Only equal numbers talk to each other.
pub const PROTOCOL: u32 = 1;

/// Bytes of a frame's body at most.
pub const FRAME: usize = 64 << 20;

/// A longer message is sent in parts of so many bytes.
pub const PART: usize = 256 << 10;

/// Bytes of a message at most, all its parts together.
pub const MESSAGE: u64 = 4 << 30;

/// Bytes of a message's head at most: what is beside its payloads.
pub const HEAD: usize = 64 << 20;

/// How often either side sends a frame at least.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// Who sends no frame for so long is lost.
pub const LOST: Duration = Duration::from_secs(6);

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// No frame came for so long.
    #[error("nothing was heard for {} s", LOST.as_secs())]
    Silent,
    /// It ended before the other side said who it is.
    #[error("the connection ended before it began")]
    Unbegun,
    /// It ended within a frame or message.
    #[error("the connection ended in the middle of a message")]
    Cut,
    /// A frame's length is above the bound.
    #[error("a frame claims {0} bytes, more than the {FRAME} that one may have")]
    FrameTooLarge(u64),
    /// A message's length is above the bound.
    #[error("a message claims {0} bytes, more than the {MESSAGE} that one may have")]
    MessageTooLarge(u64),
    /// A frame of a kind that does not exist, or out of place.
    #[error("a frame of kind {0} is out of place")]
    Kind(u8),
    /// A message cannot be read.
    #[error("a message cannot be read: {0}")]
    Message(String),
    /// A message's bytes are not those that its head speaks of.
    #[error("a message cannot be read: {0}")]
    Shape(#[from] CompactError),
    /// The other side is not a flowhost worker, or something before it talks too much.
    #[error("no flowhost answered; {}", instead(*bytes, quote))]
    NoMagic {
        /// How many bytes came.
        bytes: usize,
        /// The end of them, made harmless.
        quote: String,
    },
    /// The other side does not say who it is.
    #[error("the other side's greeting cannot be read: {0}")]
    Hello(#[from] serde_json::Error),
    /// The two do not fit each other.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
}

/// What came instead of a worker.
fn instead(bytes: usize, quote: &str) -> String {
    match bytes {
        0 => "it said nothing".to_owned(),
        _ => format!("instead came {bytes} bytes: {quote}"),
    }
}
