//! Workers that have nothing to do: what they cost the server. A thousand of them are connections that send
//! what an idle worker sends, as often as it does.

use std::sync::Arc;
use std::time::Duration;

use flowhost::queue::{ABSENT, ANNOUNCE, BLOCK, GROUP, Keys};
use redis::{AsyncCommands, Cmd, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::server::Server;
use super::table::{Bound, Table};

const WORKERS: u32 = 1_000;

/// How long the server is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// The lease, in milliseconds.
const LEASE: u32 = 30_000;

const ANNOUNCE_SCRIPT: &str = include_str!("../../src/queue/scripts/announce.lua");

pub(crate) fn measure(table: &Table) {
    let Some(server) = Server::start() else {
        return table
            .lacks("1,000 idle workers", "there is no redis-server: install the apt package of that name");
    };
    // Six connections each, at both ends.
    let limit = rustix::process::Rlimit { current: Some(65_536), maximum: Some(65_536) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    server.ask::<()>(&["CONFIG", "SET", "maxclients", "10000"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let share = runtime.block_on(async {
        let keys = Arc::new(Keys::new("idle", 1, "default").unwrap());
        let mut connection = server.connect().await;
        let _: () = connection.xgroup_create_mkstream(keys.tasks(), GROUP, "0").await.unwrap();
        let script: String = server.ask(&["SCRIPT", "LOAD", ANNOUNCE_SCRIPT]);
        for number in 0..WORKERS {
            let worker = format!("host-4711-{number}");
            // As they would be if they had been started at any time.
            let starts = Instant::now() + ANNOUNCE * number / WORKERS;
            let pauses = [Duration::ZERO, Duration::ZERO, ANNOUNCE];
            let all = [takes(&keys, &worker), hears(&keys, &worker), announces(&script, &keys, &worker)];
            for (pause, commands) in pauses.into_iter().zip(all) {
                tokio::spawn(again_and_again(server.address(), starts, pause, commands));
            }
            // One that renews leases, and those over which entries are looked up and words are removed.
            for _ in 0..3 {
                tokio::spawn(again_and_again(
                    server.address(),
                    starts,
                    Duration::from_secs(3600),
                    Vec::new(),
                ));
            }
        }
        sleep(2 * ANNOUNCE + Duration::from_secs(1)).await;
        let connected = server.figure("clients", "connected_clients");
        assert!(connected >= f64::from(6 * WORKERS), "{connected} connections");
        let before = server.cpu();
        sleep(WATCHED).await;
        (server.cpu() - before) / WATCHED.as_secs_f64()
    });
    table.row(
        "1,000 idle workers: of a core, what they cost Redis",
        vec![share],
        "of it",
        Bound::AtMost(0.1),
    );
}

/// Looks for entries whose holders are gone, then waits for new ones.
fn takes(keys: &Keys, worker: &str) -> Vec<Cmd> {
    let mut idle = cmd("XPENDING");
    idle.arg(keys.tasks()).arg(GROUP).arg("IDLE").arg(LEASE).arg("-").arg("+").arg(100);
    let mut read = cmd("XREADGROUP");
    read.arg("GROUP").arg(GROUP).arg(worker).arg("COUNT").arg(2).arg("BLOCK").arg(BLOCK);
    read.arg("STREAMS").arg(keys.tasks()).arg(">");
    vec![idle, read]
}

/// Waits for what runs have to say to the worker alone.
fn hears(keys: &Keys, worker: &str) -> Vec<Cmd> {
    vec![cmd("XREAD").arg("BLOCK").arg(BLOCK).arg("STREAMS").arg(keys.inbox(worker)).arg("0").take()]
}

/// Says that it is there, and looks how long the queue is, for its figures.
fn announces(script: &str, keys: &Keys, worker: &str) -> Vec<Cmd> {
    let mut announce = cmd("EVALSHA");
    announce.arg(script).arg(4);
    announce.arg(keys.workers()).arg(keys.worker(worker)).arg(keys.lease()).arg(keys.inbox(worker));
    let absent = u64::try_from(ABSENT.as_millis()).unwrap();
    announce.arg(worker).arg("x".repeat(400)).arg(LEASE).arg(absent);
    vec![
        announce,
        cmd("SADD").arg(keys.queues()).arg(keys.served()).take(),
        cmd("XLEN").arg(keys.tasks()).take(),
        cmd("XLEN").arg(keys.letters()).take(),
        cmd("XINFO").arg("GROUPS").arg(keys.tasks()).take(),
        cmd("XRANGE").arg(keys.tasks()).arg("(0-0").arg("+").arg("COUNT").arg(1).take(),
    ]
}

/// Sends commands in turn, each once the one before was answered, pauses, and begins anew.
async fn again_and_again(address: (&str, u16), starts: Instant, pause: Duration, commands: Vec<Cmd>) {
    sleep_until(starts).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = [0; 4096];
    loop {
        for command in &commands {
            // The server may be gone: the measure is over.
            if stream.write_all(&command.get_packed_command()).await.is_err() {
                return;
            }
            if matches!(stream.read(&mut answer).await, Ok(0) | Err(_)) {
                return;
            }
        }
        sleep(pause).await;
    }
}
