//! What people see of a queue: who serves it, what waits in it, and what nobody could finish. Reads, and
//! changes nothing but dead letters. What it reads was written by others, and may be anything.

use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::streams::{StreamId, StreamRangeReply};
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Script, Value, cmd};

use super::{Announcement, GROUP, Keys};
use crate::id::RunId;

/// Workers are asked for so many at a time.
const TOGETHER: usize = 200;

/// How a queue stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// Attempts that wait or are held by a worker.
    pub length: u64,
    /// Attempts that no worker has taken yet.
    pub waiting: u64,
    /// Attempts that a worker holds: they execute, or are next there.
    pub held: u64,
    /// How long the first of those that wait does so already, by the server's clock.
    pub oldest: Option<Duration>,
    /// Dead letters.
    pub letters: u64,
}

/// Something that nobody could finish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// Its id in the stream of dead letters.
    pub id: String,
    /// Why nobody could.
    pub reason: String,
    /// How often it was tried.
    pub deliveries: String,
    /// The run that it was for, where it says so.
    pub run: Option<String>,
    /// The attempt's id within that run, where it says so.
    pub attempt: Option<String>,
}

/// What became of a dead letter that is to be queued again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requeued {
    /// It is, and the run does not know of the loss: it takes what comes of it.
    Queued,
    /// There is no such letter any more.
    Missing,
    /// There is no attempt in it.
    Broken,
    /// The attempt waits or executes anyway.
    Waits,
    /// Nothing is known of its run any more.
    Gone,
    /// The run knows that the attempt is lost, or how it ended: what comes of it would count for nothing.
    Told,
}

impl Letter {
    /// When it was written, in milliseconds since 1970 by the server's clock.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        milliseconds(&self.id)
    }
}

fn milliseconds(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

/// The queues that workers served so far, by prefix, of all protocols, in order. Those with names that cannot
/// be are left out.
///
/// # Errors
/// Fails when Redis does.
pub async fn served(connection: &mut impl ConnectionLike, keys: &Keys) -> RedisResult<Vec<Keys>> {
    let members: Vec<String> = cmd("SMEMBERS").arg(keys.queues()).query_async(connection).await?;
    let mut served: Vec<(u32, &str)> = members
        .iter()
        .filter_map(|member| member.split_once(':'))
        .filter_map(|(protocol, queue)| Some((protocol.parse().ok()?, queue)))
        .collect();
    served.sort_unstable();
    let keys = served.into_iter().filter_map(|(protocol, queue)| keys.beside(protocol, queue).ok());
    Ok(keys.collect())
}

/// The workers that serve a queue and have said so lately, in order. Those that say what makes no sense are
/// left out.
///
/// # Errors
/// Fails when Redis does.
pub async fn workers(connection: &mut impl ConnectionLike, keys: &Keys) -> RedisResult<Vec<Announcement>> {
    let ids: Vec<String> = cmd("ZRANGE").arg(keys.workers()).arg(0).arg(-1).query_async(connection).await?;
    let mut workers: Vec<Announcement> = Vec::new();
    for ids in ids.chunks(TOGETHER) {
        let mut all = redis::pipe();
        for id in ids {
            all.get(keys.worker(id));
        }
        let said: Vec<Option<Vec<u8>>> = all.query_async(connection).await?;
        workers.extend(said.into_iter().flatten().filter_map(|said| serde_json::from_slice(&said).ok()));
    }
    workers.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(workers)
}

/// How a queue stands. One that nobody has used is empty.
///
/// # Errors
/// Fails when Redis does.
pub async fn depth(connection: &mut impl ConnectionLike, keys: &Keys) -> RedisResult<Depth> {
    let length: u64 = cmd("XLEN").arg(keys.tasks()).query_async(connection).await?;
    let letters: u64 = cmd("XLEN").arg(keys.letters()).query_async(connection).await?;
    let Some(group) = group(connection, keys).await? else {
        return Ok(Depth { length, waiting: length, letters, ..Depth::default() });
    };
    // Entries that somebody deleted may be held, and are in no stream.
    let waiting = group.lag.unwrap_or_else(|| length.saturating_sub(group.pending));
    let mut next = cmd("XRANGE");
    next.arg(keys.tasks()).arg(format!("({}", group.last)).arg("+").arg("COUNT").arg(1);
    let next: StreamRangeReply = next.query_async(connection).await?;
    let mut oldest = None;
    if let Some(since) = next.ids.first().and_then(|entry| milliseconds(&entry.id)) {
        let (seconds, micros): (u64, u64) = cmd("TIME").query_async(connection).await?;
        let now = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        oldest = Some(Duration::from_millis(now.saturating_sub(since)));
    }
    Ok(Depth { length, waiting, held: group.pending, oldest, letters })
}

/// What Redis says of the workers' group.
struct Group {
    pending: u64,
    last: String,
    /// None where entries were deleted before anybody had them.
    lag: Option<u64>,
}

async fn group(connection: &mut impl ConnectionLike, keys: &Keys) -> RedisResult<Option<Group>> {
    let groups: Vec<std::collections::HashMap<String, Value>> =
        match cmd("XINFO").arg("GROUPS").arg(keys.tasks()).query_async(connection).await {
            Err(error) if is_no_key(&error) => return Ok(None),
            groups => groups?,
        };
    fn field<T: FromRedisValue>(
        group: &std::collections::HashMap<String, Value>,
        name: &str,
    ) -> RedisResult<Option<T>> {
        let value = group.get(name).cloned().unwrap_or(Value::Nil);
        Ok(redis::from_redis_value(value)?)
    }
    for group in &groups {
        if field::<String>(group, "name")?.as_deref() == Some(GROUP) {
            return Ok(Some(Group {
                pending: field(group, "pending")?.unwrap_or(0),
                last: field(group, "last-delivered-id")?.unwrap_or_else(|| "0-0".to_owned()),
                lag: field(group, "lag")?,
            }));
        }
    }
    Ok(None)
}

fn is_no_key(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_)) && error.to_string().contains("no such key")
}

/// Dead letters, the newest first, `count` at most; those older than `before`, if it is one.
///
/// # Errors
/// Fails when Redis does.
pub async fn letters(
    connection: &mut impl ConnectionLike,
    keys: &Keys,
    before: Option<&str>,
    count: usize,
) -> RedisResult<Vec<Letter>> {
    let before = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
    let mut read = cmd("XREVRANGE");
    read.arg(keys.letters()).arg(before).arg("-").arg("COUNT").arg(count);
    let read: StreamRangeReply = read.query_async(connection).await?;
    Ok(read.ids.into_iter().map(letter).collect())
}

/// The dead letter called `id`, if it is there.
///
/// # Errors
/// Fails when Redis does; it wants ids to be two numbers with `-` between them.
pub async fn find_letter(
    connection: &mut impl ConnectionLike,
    keys: &Keys,
    id: &str,
) -> RedisResult<Option<Letter>> {
    let read: StreamRangeReply =
        cmd("XRANGE").arg(keys.letters()).arg(id).arg(id).query_async(connection).await?;
    Ok(read.ids.into_iter().next().map(letter))
}

fn letter(entry: StreamId) -> Letter {
    let text = |name: &str| {
        let bytes: Option<Vec<u8>> = entry.get(name);
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    Letter {
        reason: text("reason").unwrap_or_default(),
        deliveries: text("deliveries").unwrap_or_default(),
        run: text("run"),
        attempt: text("attempt"),
        id: entry.id,
    }
}

/// Queues a dead letter's attempt again, if its run still can make use of it. The letter is gone then.
///
/// # Errors
/// Fails when Redis does.
pub async fn requeue(
    connection: &mut impl ConnectionLike,
    keys: &Keys,
    letter: &Letter,
) -> RedisResult<Requeued> {
    let (Some(run), Some(attempt)) = (&letter.run, &letter.attempt) else { return Ok(Requeued::Broken) };
    let of = keys.run(&RunId(run.as_str().into()));
    let script = Script::new(include_str!("scripts/requeue.lua"));
    let mut call = script.key(keys.tasks());
    call.key(keys.letters()).key(of.record).key(of.results);
    let answer: String = call.arg(&letter.id).arg(run).arg(attempt).invoke_async(connection).await?;
    match &*answer {
        "queued" => Ok(Requeued::Queued),
        "missing" => Ok(Requeued::Missing),
        "broken" => Ok(Requeued::Broken),
        "waits" => Ok(Requeued::Waits),
        "gone" => Ok(Requeued::Gone),
        "told" => Ok(Requeued::Told),
        _ => Err(RedisError::from((
            ErrorKind::UnexpectedReturnType,
            "requeue answers what makes no sense",
            answer,
        ))),
    }
}

/// Removes a dead letter. Returns whether it was there.
///
/// # Errors
/// Fails when Redis does.
pub async fn drop_letter(
    connection: &mut impl ConnectionLike,
    keys: &Keys,
    letter: &Letter,
) -> RedisResult<bool> {
    let script = Script::new(include_str!("scripts/drop.lua"));
    script.key(keys.letters()).arg(&letter.id).invoke_async(connection).await
}
