//! The least that a task over Redis can cost: the commands and scripts of the queue and nothing else. No
//! scheduler, no sandbox, no outcomes.

use std::time::{Duration, Instant};

use flowhost::id::RunId;
use flowhost::queue::{Begun, Entry, Finished, GROUP, Held, Keys, RunKeys, Scripts};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};

use super::server::Server;

/// So many are queued together, as in flowhost.
const QUEUED: usize = 128;

/// So many are taken, finished or forgotten together.
const BATCH: usize = 64;

/// About the bytes of an attempt that does nothing with 64 bytes, of its outcome, and of what attempts share.
const BODY: usize = 96;
const OUTCOME: usize = 96;
const SHARED: usize = 256;

/// A digest.
const CALL: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Queues, takes, finishes and forgets so many tasks: a producer, a worker and a reader, each with a
/// connection of its own.
pub(crate) fn run(server: &Server, tasks: usize) -> Duration {
    server.flush();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let keys = Keys::new("floor", 1, "default").unwrap();
        let id = RunId("20261121-094119-no0abl".into());
        let run = keys.run(&id);
        let mut connection = server.connect().await;
        let _: () = connection.xgroup_create_mkstream(keys.tasks(), GROUP, "0").await.unwrap();
        let begun = Scripts::default().begin(&mut connection, &run, "epoch", None, "{}").await.unwrap();
        assert_eq!(begun, Begun::Known("epoch".to_owned()));
        let (worker, reader) = (server.connect().await, server.connect().await);
        let began = Instant::now();
        let all = [
            tokio::spawn(produce(connection, keys.clone(), id, tasks)),
            tokio::spawn(work(worker, keys, run.clone(), tasks)),
            tokio::spawn(read(reader, run, tasks)),
        ];
        for one in all {
            one.await.unwrap();
        }
        began.elapsed()
    })
}

async fn produce(mut connection: MultiplexedConnection, keys: Keys, run: RunId, tasks: usize) {
    let scripts = Scripts::default();
    let mut next = 0;
    while next < tasks {
        let end = tasks.min(next + QUEUED);
        let entry = |at: usize| Entry {
            attempt: format!("0.{at}.1.0123456789abcdef"),
            call: CALL.to_owned(),
            body: vec![b'x'; BODY],
            traceparent: None,
        };
        let entries: Vec<Entry> = (next..end).map(entry).collect();
        // What they share comes once, as it does in flowhost.
        let calls = Vec::from_iter((next == 0).then(|| (CALL.to_owned(), vec![b'x'; SHARED])));
        let queued = scripts.enqueue(&mut connection, &keys, &run, "epoch", &calls, &entries).await.unwrap();
        assert_eq!(queued, Some(end - next));
        next = end;
    }
}

async fn work(mut connection: MultiplexedConnection, keys: Keys, run: RunKeys, tasks: usize) {
    let scripts = Scripts::default();
    let options = StreamReadOptions::default().group(GROUP, "worker").count(BATCH).block(5_000);
    let (stream, mut done) = (keys.tasks(), 0);
    while done < tasks {
        let read: Option<StreamReadReply> =
            connection.xread_options(&[&stream], &[">"], &options).await.unwrap();
        let entries = read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids);
        let finished = entries.map(|entry| {
            let attempt = entry.get("attempt").unwrap();
            let held = Held { entry: entry.id, delivery: 1, attempt, run: run.clone() };
            Finished { held, outcome: vec![b'x'; OUTCOME] }
        });
        let finished: Vec<Finished> = finished.collect();
        done += scripts.finish(&mut connection, &keys, "worker", &finished).await.unwrap().len();
    }
}

async fn read(mut connection: MultiplexedConnection, run: RunKeys, tasks: usize) {
    let scripts = Scripts::default();
    let options = StreamReadOptions::default().count(BATCH).block(5_000);
    let (mut last, mut done) = ("0".to_owned(), 0);
    while done < tasks {
        let read: Option<StreamReadReply> =
            connection.xread_options(&[&run.results], &[&last], &options).await.unwrap();
        let entries = read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids);
        let written: Vec<(String, String)> =
            entries.map(|entry| (entry.get("attempt").unwrap(), entry.id)).collect();
        let Some((_, end)) = written.last() else { continue };
        last.clone_from(end);
        scripts.forget(&mut connection, &run, &written).await.unwrap();
        done += written.len();
    }
}
