//! The channel in this process's memory: the table behind a lock, with a clock. Says every change to
//! whoever keeps them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::table::{Bounds, RestoreError, Table};
use super::{Answering, Channel, Sink};
use crate::id::AttemptId;
use crate::model::{ChannelAsk, ChannelWrite};

/// A channel in memory.
pub struct Memory {
    table: Mutex<Table>,
    clock: Clock,
    sink: Option<Box<dyn Sink>>,
}

impl Memory {
    /// The channel of a run that begins, and who is told of its changes.
    #[must_use]
    pub fn shared(sink: Option<Box<dyn Sink>>) -> Arc<dyn Channel> {
        Self::over(Table::new(Bounds::RUN)).telling(sink)
    }

    /// The channel of a run that goes on, made of all changes that were told of it so far. What has
    /// expired meanwhile is gone.
    ///
    /// # Errors
    /// Fails when the changes are not all those of a run, in their order.
    pub fn restore(writes: impl IntoIterator<Item = ChannelWrite>) -> Result<Self, RestoreError> {
        Ok(Self::over(Table::restore(Bounds::RUN, writes)?))
    }

    /// The same channel, with whom to tell of the changes from here on.
    #[must_use]
    pub fn telling(self, sink: Option<Box<dyn Sink>>) -> Arc<dyn Channel> {
        Arc::new(Self { sink, ..self })
    }

    fn over(table: Table) -> Self {
        Self { table: Mutex::new(table), clock: Clock::start(), sink: None }
    }
}

impl Channel for Memory {
    fn ask(&self, from: AttemptId, ask: ChannelAsk) -> Answering<'_> {
        Box::pin(async move {
            if let Some(sink) = &self.sink
                && ask.may_change()
            {
                sink.room().await;
            }
            // Nothing in there panics halfway.
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            let (answer, write) = table.handle(ask, self.clock.now())?;
            if let (Some(sink), Some(write)) = (&self.sink, write) {
                sink.write(from, write);
            }
            Ok(answer)
        })
    }
}

/// Milliseconds since 1970, so that a run that goes on later knows what expired, which do not jump
/// when somebody sets this machine's time.
struct Clock {
    started: Instant,
    since_epoch: u64,
}

impl Clock {
    fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), since_epoch: milliseconds(since_epoch) }
    }

    fn now(&self) -> u64 {
        self.since_epoch.saturating_add(milliseconds(self.started.elapsed()))
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
