//! Who is there to take attempts from a queue.

use std::time::Duration;

use redis::{AsyncCommands, RedisResult};

use super::actor::Actor;
use crate::model::Warning;
use crate::queue::{ABSENT, Keys, Link, Server};

/// How long a group waits for a worker that may run elsewhere instead.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How many workers of the queue are there.
pub(super) async fn present(link: &mut Link, keys: &Keys) -> RedisResult<usize> {
    let (now, _): (u64, u64) = redis::cmd("TIME").query_async(link).await?;
    link.zcount(keys.workers(), now.saturating_sub(ABSENT.as_secs()), "+inf").await
}

/// In words, why attempts wait where nobody of the queue is there.
pub(super) async fn missing(link: &mut Link, keys: &Keys, shown: &str) -> RedisResult<String> {
    let queue = keys.queue();
    let mut others = Vec::new();
    let served: Vec<String> = link.smembers(keys.queues()).await?;
    for served in served {
        let Some((protocol, name)) = served.split_once(':') else { continue };
        let Some(theirs) = protocol.parse().ok().and_then(|protocol| keys.beside(protocol, name).ok()) else {
            continue;
        };
        if name == queue && theirs != *keys {
            let count = present(link, &theirs).await?;
            if count > 0 {
                others.push((protocol.to_owned(), count));
            }
        }
    }
    let mut said = format!(
        "no worker takes from queue `{queue}` of Redis at {shown}: what is queued waits until one is started \
         with `flowhost worker --redis URL --queue {queue}`"
    );
    for (protocol, count) in others {
        let ours = keys.protocol();
        said.push_str(&format!(
            "; {count} of protocol {protocol} are there, and take nothing from this flowhost, whose protocol is \
             {ours}: install the same version on both sides"
        ));
    }
    Ok(said)
}

/// Waits for a worker. Fails with the reason where none comes in time.
pub(super) async fn wait(server: Server, keys: Keys) -> Result<(), String> {
    let look = async {
        let mut link = server.link().await?;
        while present(&mut link, &keys).await? == 0 {
            tokio::time::sleep(PAUSE).await;
        }
        Ok::<_, redis::RedisError>(())
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("Redis at {} does not answer: {error}", server.shown())),
        Err(_) => Err(format!(
            "no worker took from queue `{}` of Redis at {} for {} s",
            keys.queue(),
            server.shown(),
            PATIENCE.as_secs()
        )),
    }
}

impl Actor {
    /// Says so where nobody is there.
    pub(super) async fn look_for_workers(&mut self, link: &mut Link) -> RedisResult<()> {
        if present(link, &self.keys).await? > 0 {
            self.unstaffed = false;
        } else if !self.unstaffed {
            self.unstaffed = true;
            let missing = missing(link, &self.keys, self.server.shown()).await?;
            self.warn(Warning::NoWorkers, missing);
        }
        Ok(())
    }
}
