//! The run's shared store of small values, which tasks reach by `flowhost:task/channel`: the trait
//! that whatever serves it has, and the one in memory. Knows nothing of guests, executors and files.

mod memory;
mod table;
#[cfg(test)]
mod tests;

use std::pin::Pin;

pub use memory::Memory;
pub use table::RestoreError;

use crate::id::AttemptId;
use crate::model::{ChannelAnswer, ChannelAsk, ChannelError, ChannelWrite};

/// What a question is on its way to.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<ChannelAnswer, ChannelError>> + Send + 'a>>;

/// A run's channel, wherever it is.
pub trait Channel: Send + Sync {
    /// Answers a question of the attempt `from`. Questions are answered as if one after the other.
    /// Dropping the future withdraws the question where that is still possible.
    fn ask(&self, from: AttemptId, ask: ChannelAsk) -> Answering<'_>;
}

/// Who is told of every change of a channel, in order.
pub trait Sink: Send + Sync {
    /// A change took place. Called in the order of the sequence, while the channel stands still: it
    /// must be quick, and must not ask the channel.
    fn write(&self, from: AttemptId, write: ChannelWrite);

    /// Waits until another change may come: guests write faster than disks.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
