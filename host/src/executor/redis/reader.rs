//! Reads a run's results as they come, on a connection of its own.

use std::time::Duration;

use redis::streams::{StreamId, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, RedisError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::queue::{BLOCK, Server};

/// Entries that are read at once.
const TOGETHER: usize = 512;

/// Between two tries while Redis does not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// What was read.
pub(super) enum Read {
    Entries(Vec<StreamId>),
    Failed(RedisError),
}

/// A reader at work. It ends when this is dropped.
pub(super) struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reader {
    /// Reads `results` from their beginning.
    pub(super) fn start(server: Server, results: String, to: mpsc::Sender<Read>) -> Self {
        Self(tokio::spawn(read(server, results, to)))
    }
}

async fn read(server: Server, results: String, to: mpsc::Sender<Read>) {
    let mut link = None;
    let mut last = "0".to_owned();
    let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let options = StreamReadOptions::default().count(TOGETHER).block(block);
    loop {
        let read = async {
            let mut open = match link.take() {
                Some(open) => open,
                None => server.waiting_link().await?,
            };
            let read: Option<StreamReadReply> = open.xread_options(&[&results], &[&last], &options).await?;
            link = Some(open);
            Ok::<_, RedisError>(read)
        };
        let read = match read.await {
            Ok(read) => read,
            Err(error) => {
                if to.send(Read::Failed(error)).await.is_err() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let entries: Vec<StreamId> =
            read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids).collect();
        if let Some(entry) = entries.last() {
            last.clone_from(&entry.id);
            if to.send(Read::Entries(entries)).await.is_err() {
                return;
            }
        }
    }
}
