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

/// Between two looks for what others left behind.
const RECOVER: Duration = Duration::from_secs(10);

/// The lease, in milliseconds.
const LEASE: u32 = 30_000;

const ANNOUNCE_SCRIPT: &str = include_str!("../../src/queue/scripts/announce.lua");

pub(crate) fn measure(table: &Table) {
    let Some(server) = Server::start() else {
        return table
            .lacks("1,000 idle workers", "there is no redis-server: install the apt package of that name");
    };
    // Four connections each, at both ends.
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
            let starts = Instant::now() + RECOVER * number / WORKERS;
            for commands in [takes(&keys, &worker), hears(&keys, &worker)] {
                tokio::spawn(again_and_again(server.address(), starts, Duration::ZERO, vec![commands]));
            }
            for (pause, commands) in
                [(ANNOUNCE, announces(&script, &keys, &worker)), (RECOVER, recovers(&keys, &worker))]
            {
                tokio::spawn(again_and_again(server.address(), starts, pause, vec![commands]));
            }
        }
        sleep(RECOVER + Duration::from_secs(1)).await;
        let connected = server.figure("clients", "connected_clients");
        assert!(connected >= f64::from(4 * WORKERS), "{connected} connections");
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

fn takes(keys: &Keys, worker: &str) -> Cmd {
    let mut command = cmd("XREADGROUP");
    command.arg("GROUP").arg(GROUP).arg(worker).arg("COUNT").arg(64).arg("BLOCK").arg(BLOCK);
    command.arg("STREAMS").arg(keys.tasks()).arg(">").take()
}

/// What runs have to say to the worker alone.
fn hears(keys: &Keys, worker: &str) -> Cmd {
    cmd("XREAD").arg("BLOCK").arg(BLOCK).arg("STREAMS").arg(keys.inbox(worker)).arg("$").take()
}

fn announces(script: &str, keys: &Keys, worker: &str) -> Cmd {
    let mut command = cmd("EVALSHA");
    command.arg(script).arg(4);
    command.arg(keys.workers()).arg(keys.worker(worker)).arg(keys.lease()).arg(keys.inbox(worker));
    command.arg(worker).arg("x".repeat(400)).arg(LEASE).arg(u64::try_from(ABSENT.as_millis()).unwrap()).take()
}

fn recovers(keys: &Keys, worker: &str) -> Cmd {
    cmd("XAUTOCLAIM")
        .arg(keys.tasks())
        .arg(GROUP)
        .arg(worker)
        .arg(LEASE)
        .arg("0-0")
        .arg("COUNT")
        .arg(64)
        .take()
}

/// Sends commands in turn, each once the one before was answered and `pause` is over.
async fn again_and_again(address: (&str, u16), starts: Instant, pause: Duration, commands: Vec<Cmd>) {
    sleep_until(starts).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = [0; 4096];
    for command in commands.iter().cycle() {
        // The server may be gone: the measure is over.
        if stream.write_all(&command.get_packed_command()).await.is_err() {
            return;
        }
        if matches!(stream.read(&mut answer).await, Ok(0) | Err(_)) {
            return;
        }
        sleep(pause).await;
    }
}
