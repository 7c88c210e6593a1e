//! What the commands that reach a queue on Redis share: where it is, and the way there.

use std::path::PathBuf;
use std::sync::Arc;

use redis::{IntoConnectionInfo as _, RedisError, RedisResult};

use super::exit::Exit;
use super::output::{error, say};
use crate::queue::look::{self, Depth};
use crate::queue::{self, Keys, Link, NameError};
use crate::wire::PROTOCOL;
use crate::worker::without_passwords;

/// Where the queue is.
#[derive(clap::Args, Debug)]
pub(super) struct Server {
    /// The PEM file with the certificates that vouch for a rediss:// server, in place of those that the system trusts
    #[arg(long, value_name = "FILE", env = "FLOWHOST_CA")]
    pub(super) ca: Option<PathBuf>,
    /// What the names of all keys in Redis begin with
    #[arg(long, value_name = "NAME", default_value = "flowhost", env = "FLOWHOST_PREFIX", value_parser = name)]
    pub(super) prefix: String,
}

/// Which queues are looked at, and where.
#[derive(clap::Args, Debug)]
pub(super) struct Place {
    /// The server: redis://USER:PASSWORD@HOST:PORT/DATABASE, all but HOST optional, or rediss:// with TLS
    #[arg(long, value_name = "URL", required = true, env = "FLOWHOST_REDIS", hide_env_values = true)]
    redis: String,
    /// Only this queue. Repeatable [default: all that workers serve or served]
    #[arg(long, value_name = "NAME", env = "FLOWHOST_QUEUE", value_delimiter = ',', value_parser = name)]
    queue: Vec<String>,
    #[command(flatten)]
    server: Server,
}

impl Place {
    pub(super) async fn connect(&self) -> Result<Link, Exit> {
        let url = checked(&self.redis, &self.server)?;
        let opened = queue::Server::open(&url, self.server.ca.as_deref()).await;
        let (server, _) = opened.map_err(|failure| {
            error(&failure);
            Exit::Unreachable
        })?;
        server.link().await.map_err(|failure| self.lost(&failure))
    }

    /// Says that the server stopped answering.
    pub(super) fn lost(&self, failure: &RedisError) -> Exit {
        unreachable(&self.redis, failure)
    }

    /// The queues of all protocols. Those that are named are there for this one, served or not, and so is
    /// the default one where there is no other.
    pub(super) async fn queues(&self, connection: &mut Link) -> RedisResult<Vec<Keys>> {
        // Both are names: they were looked at when the flags were read.
        let ours = |queue: &str| Keys::new(&self.server.prefix, PROTOCOL, queue).ok();
        let Some(any) = ours("default") else { return Ok(Vec::new()) };
        let mut queues = look::served(connection, &any).await?;
        if self.queue.is_empty() {
            if !queues.contains(&any) {
                let used = look::depth(connection, &any).await? != Depth::default();
                if used || queues.is_empty() {
                    queues.push(any);
                }
            }
            return Ok(queues);
        }
        queues.retain(|keys| self.queue.iter().any(|queue| queue == keys.queue()));
        for named in self.queue.iter().filter_map(|queue| ours(queue)) {
            if !queues.contains(&named) {
                queues.push(named);
            }
        }
        Ok(queues)
    }
}

/// Does what waits for a server, in this thread.
pub(super) fn now(work: impl Future<Output = Result<Exit, Exit>>) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(threads) => threads.block_on(work).unwrap_or_else(|exit| exit),
        Err(failure) => {
            say(&format!("error: flowhost cannot start its threads: {failure}"));
            Exit::Internal
        }
    }
}

/// A name that can be part of a key.
pub(super) fn name(text: &str) -> Result<String, NameError> {
    Keys::new(text, 0, text).map(|_| text.to_owned())
}

/// The URL, if it is one. clap would show it when it complains, with its password.
pub(super) fn checked(url: &str, server: &Server) -> Result<Arc<str>, Exit> {
    if let Err(wrong) = url.into_connection_info() {
        say(&format!("error: --redis (FLOWHOST_REDIS): {}", why(&wrong)));
        say("it is written redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], and rediss:// with TLS");
        return Err(Exit::Usage);
    }
    if let Some(ca) = &server.ca {
        if !url.starts_with("rediss://") {
            say(
                "error: --ca (FLOWHOST_CA) vouches for a rediss:// server, and --redis names one without TLS",
            );
            return Err(Exit::Usage);
        }
        if let Err(failure) = std::fs::read(ca) {
            say(&format!("error: --ca (FLOWHOST_CA): cannot read `{}`: {failure}", ca.display()));
            return Err(Exit::Usage);
        }
    }
    Ok(url.into())
}

/// Says that Redis at `url` stopped answering.
fn unreachable(url: &str, failure: &RedisError) -> Exit {
    say(&format!("error: Redis at `{}`: {}", without_passwords(url), why(failure)));
    Exit::Unreachable
}

/// What went wrong, without the words that are for programs.
fn why(failure: &RedisError) -> String {
    without_passwords(&failure.to_string())
}
