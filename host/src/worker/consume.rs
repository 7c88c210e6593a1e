//! Reaches Redis and waits there to be stopped.

use tokio::sync::watch;

use super::settings::{ConsumerSettings, Stopping};

/// Why a worker stopped working.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// Redis is not there, or does not want the worker.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(#[from] redis::RedisError),
}

impl ConsumeError {
    /// Whether it never began, because Redis cannot be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// Works until it is asked to stop.
///
/// # Errors
/// Fails when Redis cannot be reached.
pub async fn consume(
    settings: ConsumerSettings,
    mut stops: watch::Receiver<Stopping>,
) -> Result<(), ConsumeError> {
    let client = redis::Client::open(&*settings.url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async::<String>(&mut connection).await?;
    settings.figures.set_capacity(settings.concurrency);
    settings.figures.set_connected(true);
    // Whoever could ask is gone: that is being asked, too.
    let _ = stops.wait_for(|stopping| *stopping != Stopping::No).await;
    Ok(())
}
