//! What people see of a queue and do with dead letters, on a real server.

use std::collections::BTreeSet;
use std::time::Duration;

use flowhost::id::RunId;
use flowhost::queue::look::{self, Depth, Letter, Requeued};
use flowhost::queue::{Announcement, Begun, Entry, Finish, Finished, GROUP, Held, Keys, Scripts};
use flowhost::wire::PROTOCOL;
use flowhost_tests::Redis;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, cmd};
use serde_json::json;

use crate::support::{Ended, Place};

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A queue with one run on a server of its own.
struct World {
    connection: MultiplexedConnection,
    scripts: Scripts,
    keys: Keys,
    run: RunId,
    server: Redis,
}

impl World {
    async fn new() -> Self {
        let server = Redis::start(&[]);
        let mut connection = server.connect_async().await.unwrap();
        let (scripts, keys) = (Scripts::default(), Keys::new("flowhost", PROTOCOL, "default").unwrap());
        let run = RunId("20261121-094119-no0abl".into());
        let _: () = connection.xgroup_create_mkstream(keys.tasks(), GROUP, "0").await.unwrap();
        let begun = scripts.begin(&mut connection, &keys.run(&run), "first", None, "{}").await.unwrap();
        assert_eq!(begun, Begun::Known("first".to_owned()));
        Self { connection, scripts, keys, run, server }
    }

    async fn enqueue(&mut self, attempts: &[&str]) {
        let entry = |attempt: &&str| Entry {
            attempt: (*attempt).to_owned(),
            call: "call".to_owned(),
            body: b"body\0\xff".to_vec(),
            traceparent: None,
        };
        let entries: Vec<Entry> = attempts.iter().map(entry).collect();
        let Self { connection, scripts, keys, run, .. } = self;
        let new = scripts.enqueue(connection, keys, run, "first", &[], &entries).await.unwrap();
        assert_eq!(new, Some(attempts.len()));
    }

    async fn take(&mut self, count: usize) -> Vec<Held> {
        let options = StreamReadOptions::default().group(GROUP, "one").count(count);
        let read: Option<StreamReadReply> =
            self.connection.xread_options(&[self.keys.tasks()], &[">"], &options).await.unwrap();
        let entries = read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids);
        let held = entries.map(|entry| {
            assert_eq!(entry.get::<Vec<u8>>("body").unwrap(), b"body\0\xff");
            let attempt = entry.get("attempt").unwrap();
            Held { entry: entry.id, delivery: 1, attempt, run: self.keys.run(&self.run) }
        });
        held.collect()
    }

    /// Takes attempts that were queued, and makes dead letters of them. In their order.
    async fn bury(&mut self, attempts: &[&str]) -> Vec<Letter> {
        self.enqueue(attempts).await;
        for held in self.take(attempts.len()).await {
            let Self { connection, scripts, keys, .. } = self;
            let lost = Finished { held, outcome: b"lost".to_vec() };
            assert!(scripts.bury(connection, keys, "one", &lost, "its worker died").await.unwrap());
        }
        let mut letters = self.letters(None, attempts.len()).await;
        letters.reverse();
        letters
    }

    async fn letters(&mut self, before: Option<&str>, count: usize) -> Vec<Letter> {
        look::letters(&mut self.connection, &self.keys, before, count).await.unwrap()
    }

    async fn requeue(&mut self, letter: &Letter) -> Requeued {
        look::requeue(&mut self.connection, &self.keys, letter).await.unwrap()
    }

    async fn depth(&mut self) -> Depth {
        look::depth(&mut self.connection, &self.keys).await.unwrap()
    }

    /// Attempts that the run was told of, each with what.
    async fn results(&mut self) -> Vec<(String, String)> {
        let results = self.keys.run(&self.run).results;
        let read: StreamRangeReply = self.connection.xrange_all(results).await.unwrap();
        read.ids.iter().map(|entry| (entry.get("attempt").unwrap(), entry.get("outcome").unwrap())).collect()
    }

    /// Says of a worker that it is there, as workers do.
    async fn announce(&mut self, keys: &Keys, id: &str, said: &str) {
        let _: usize = self.connection.sadd(keys.queues(), keys.served()).await.unwrap();
        let _: usize = self.connection.zadd(keys.workers(), id, 1).await.unwrap();
        let _: () = self.connection.set_ex(keys.worker(id), said, 60).await.unwrap();
    }

    fn flowhost(&self, arguments: &[&str]) -> Ended {
        let url = self.server.url();
        let (command, flags) = arguments.split_first().unwrap();
        Place::new().flowhost([&[*command, "--redis", url.as_str()], flags].concat())
    }
}

fn announcement(id: &str, protocol: u32, queues: &[&str]) -> String {
    json!({
        "id": id, "host": "east", "pid": 77, "protocol": protocol, "flowhost": "0.1.0", "engine": "wasmtime 48",
        "target": "x86_64-unknown-linux-gnu", "concurrency": 4, "running": 3, "queues": queues,
        "lease_ms": 30_000, "draining": false, "since": "2026-11-21T09:41:19Z", "ceiling": {"memory": 1},
        "of-later": true,
    })
    .to_string()
}

#[test]
fn workers_that_are_there_are_seen_and_those_that_are_gone_are_not() {
    now(async {
        let mut world = World::new().await;
        let keys = world.keys.clone();
        world.announce(&keys, "w2", &announcement("w2", PROTOCOL, &["default"])).await;
        world.announce(&keys, "w1", &announcement("w1", PROTOCOL, &["default"])).await;
        world.announce(&keys, "garbage", "{\"id\": 3").await;
        world.announce(&keys, "gone", &announcement("gone", PROTOCOL, &["default"])).await;
        let _: usize = world.connection.del(keys.worker("gone")).await.unwrap();
        let workers = look::workers(&mut world.connection, &keys).await.unwrap();
        let ids: Vec<&str> = workers.iter().map(|worker| &*worker.id).collect();
        assert_eq!(ids, ["w1", "w2"]);
        let Announcement { host, pid, running, lease_ms, .. } = &workers[0];
        assert_eq!((&**host, *pid, *running, *lease_ms), ("east", 77, 3, 30_000));
    });
}

#[test]
fn queues_of_all_protocols_are_found() {
    now(async {
        let mut world = World::new().await;
        let keys = world.keys.clone();
        assert_eq!(look::served(&mut world.connection, &keys).await.unwrap(), []);
        let members = ["7:night", "1:default", "1:b", "garbage", "x:y", "1:a}b", "1:", "-1:a"];
        let _: usize = world.connection.sadd(keys.queues(), &members[..]).await.unwrap();
        let served = look::served(&mut world.connection, &keys).await.unwrap();
        let names: Vec<(u32, &str)> = served.iter().map(|keys| (keys.protocol(), keys.queue())).collect();
        assert_eq!(names, [(1, "b"), (1, "default"), (7, "night")]);
        assert_eq!(served[2].tasks(), "{flowhost:7:night}:tasks");
    });
}

#[test]
fn depth_tells_what_waits_from_what_is_held() {
    now(async {
        let mut world = World::new().await;
        let unused = Keys::new("flowhost", PROTOCOL, "unused").unwrap();
        assert_eq!(look::depth(&mut world.connection, &unused).await.unwrap(), Depth::default());
        assert_eq!(world.depth().await, Depth::default());
        world.enqueue(&["a", "b", "c", "d", "e"]).await;
        let held = world.take(2).await;
        let depth = world.depth().await;
        assert!(depth.oldest.is_some_and(|age| age < Duration::from_secs(60)), "{depth:?}");
        assert_eq!(depth, Depth { length: 5, waiting: 3, held: 2, ..depth.clone() });
        // What is finished is in neither.
        let finished = [Finished { held: held[0].clone(), outcome: b"outcome".to_vec() }];
        let World { connection, scripts, keys, .. } = &mut world;
        assert_eq!(scripts.finish(connection, keys, "one", &finished).await.unwrap(), [Finish::Recorded]);
        let depth = world.depth().await;
        assert_eq!((depth.length, depth.waiting, depth.held), (4, 3, 1));
        // Entries that somebody deletes make Redis forget how many wait.
        let all: StreamRangeReply = world.connection.xrange_all(world.keys.tasks()).await.unwrap();
        let _: usize = world.connection.xdel(world.keys.tasks(), &[&all.ids[2].id]).await.unwrap();
        let depth = world.depth().await;
        assert_eq!((depth.length, depth.waiting, depth.held), (3, 2, 1));
        world.take(10).await;
        let depth = world.depth().await;
        assert_eq!((depth.length, depth.waiting, depth.held, depth.oldest), (3, 0, 3, None));
        // R8: a stream without its group.
        let _: bool = world.connection.xgroup_destroy(world.keys.tasks(), GROUP).await.unwrap();
        let depth = world.depth().await;
        assert_eq!((depth.length, depth.waiting, depth.held), (3, 3, 0));
    });
}

#[test]
fn the_age_of_what_waits_is_by_the_servers_clock() {
    now(async {
        let mut world = World::new().await;
        let (seconds, _): (u64, u64) = cmd("TIME").query_async(&mut world.connection).await.unwrap();
        let mut add = cmd("XADD");
        add.arg(world.keys.tasks()).arg(format!("{}000-0", seconds - 500)).arg("run").arg("r");
        let _: String = add.query_async(&mut world.connection).await.unwrap();
        let oldest = world.depth().await.oldest.unwrap();
        assert!((499..600).contains(&oldest.as_secs()), "{oldest:?}");
    });
}

#[test]
fn dead_letters_come_newest_first_page_by_page() {
    now(async {
        let mut world = World::new().await;
        let letters = world.bury(&["a", "b", "c"]).await;
        // R14: what is no attempt.
        let mut add = cmd("XADD");
        add.arg(world.keys.letters()).arg("*").arg("reason").arg(b"not one\xff").arg("junk").arg("x");
        let _: String = add.query_async(&mut world.connection).await.unwrap();
        let first = world.letters(None, 2).await;
        assert_eq!(
            (first[0].reason.as_str(), &first[0].run, &first[0].attempt),
            ("not one\u{fffd}", &None, &None)
        );
        assert_eq!(first[1], letters[2]);
        let rest = world.letters(Some(&first[1].id), 10).await;
        assert_eq!(rest, [letters[1].clone(), letters[0].clone()]);
        let Letter { id, reason, deliveries, run, attempt } = &letters[0];
        assert_eq!((&**reason, &**deliveries, attempt.as_deref()), ("its worker died", "1", Some("a")));
        assert_eq!(run.as_deref(), Some(&*world.run.0));
        assert_eq!(letters[0].time(), id.split('-').next().unwrap().parse().ok());
        assert!(letters[0].time() > Some(1_700_000_000_000));
        let found = look::find_letter(&mut world.connection, &world.keys, id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&letters[0]));
        assert_eq!(world.depth().await.letters, 4);
    });
}

#[test]
fn a_letter_whose_run_does_not_know_of_it_is_queued_again() {
    now(async {
        let mut world = World::new().await;
        let letters = world.bury(&["a", "b", "c"]).await;
        assert_eq!(world.results().await.len(), 3);
        assert_eq!(world.requeue(&letters[1]).await, Requeued::Queued);
        // Asked again, as when the answer was lost, it makes no second one.
        assert_eq!(world.requeue(&letters[1]).await, Requeued::Missing);
        let told: BTreeSet<String> = world.results().await.into_iter().map(|(attempt, _)| attempt).collect();
        assert_eq!(told, BTreeSet::from(["a".to_owned(), "c".to_owned()]));
        assert_eq!(world.depth().await.letters, 2);
        // It has all its deliveries before it, and what comes of it counts.
        let held = world.take(10).await;
        let [one] = &held[..] else { panic!("{held:?}") };
        assert_eq!(one.attempt, "b");
        let finished = [Finished { held: one.clone(), outcome: b"well".to_vec() }];
        let World { connection, scripts, keys, .. } = &mut world;
        assert_eq!(scripts.finish(connection, keys, "one", &finished).await.unwrap(), [Finish::Recorded]);
        assert!(world.results().await.contains(&("b".to_owned(), "well".to_owned())));
    });
}

#[test]
fn a_letter_is_found_among_many_of_the_same_moment() {
    now(async {
        let mut world = World::new().await;
        let names: Vec<String> = (0..300).map(|number| format!("attempt-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let letters = world.bury(&names).await;
        assert_eq!(letters.len(), 300);
        for at in [299, 0, 150] {
            assert_eq!(world.requeue(&letters[at]).await, Requeued::Queued, "{at}");
        }
        assert_eq!(world.results().await.len(), 297);
    });
}

#[test]
fn a_letter_whose_run_knows_is_not_queued_again() {
    now(async {
        let mut world = World::new().await;
        let letters = world.bury(&["written", "read", "other", "again"]).await;
        let run = world.keys.run(&world.run);
        let results: StreamRangeReply = world.connection.xrange_all(&run.results).await.unwrap();
        // The run wrote one down and forgot it.
        let written = [("written".to_owned(), results.ids[0].id.clone())];
        world.scripts.forget(&mut world.connection, &run, &written).await.unwrap();
        assert_eq!(world.requeue(&letters[0]).await, Requeued::Told);
        // Its results were trimmed, and the attempt is known still.
        let _: usize = world.connection.xdel(&run.results, &[&results.ids[1].id]).await.unwrap();
        assert_eq!(world.requeue(&letters[1]).await, Requeued::Told);
        // It ended otherwise than by this letter.
        let _: usize = world.connection.hset(&run.record, "attempt other", "ended two 3").await.unwrap();
        assert_eq!(world.requeue(&letters[2]).await, Requeued::Told);
        let _: usize = world.connection.hset(&run.record, "attempt again", "queued 1-1").await.unwrap();
        assert_eq!(world.requeue(&letters[3]).await, Requeued::Waits);
        assert_eq!(world.depth().await, Depth { letters: 4, ..Depth::default() });
        assert_eq!(world.results().await.len(), 2);
        let _: usize = world.connection.del(&run.record).await.unwrap();
        assert_eq!(world.requeue(&letters[2]).await, Requeued::Gone);
        let broken = Letter { run: None, ..letters[2].clone() };
        assert_eq!(world.requeue(&broken).await, Requeued::Broken);
        let mut add = cmd("XADD");
        add.arg(world.keys.letters()).arg("*").arg("reason").arg("no body").arg("run").arg(&*world.run.0);
        let id: String = add.arg("attempt").arg("x").query_async(&mut world.connection).await.unwrap();
        let bare = Letter { id, attempt: Some("x".to_owned()), ..letters[2].clone() };
        assert_eq!(world.requeue(&bare).await, Requeued::Broken);
        // Another attempt's letter is not this one's.
        let other = Letter { attempt: Some("read".to_owned()), ..letters[2].clone() };
        assert_eq!(world.requeue(&other).await, Requeued::Missing);
    });
}

#[test]
fn a_letter_is_dropped_once() {
    now(async {
        let mut world = World::new().await;
        let letters = world.bury(&["a", "b"]).await;
        let World { connection, keys, .. } = &mut world;
        assert!(look::drop_letter(connection, keys, &letters[0]).await.unwrap());
        assert!(!look::drop_letter(connection, keys, &letters[0]).await.unwrap());
        assert_eq!(world.letters(None, 10).await, letters[1..]);
    });
}

#[test]
fn workers_are_listed() {
    now(async {
        let mut world = World::new().await;
        let none = world.flowhost(&["workers"]);
        assert_eq!((none.code, &*none.stdout), (0, ""), "{none}");
        assert!(none.stderr.contains("no worker is there"), "{none}");
        assert_eq!(world.flowhost(&["workers", "--json"]).json(), json!([]));
        let (keys, night) = (world.keys.clone(), Keys::new("flowhost", PROTOCOL, "night").unwrap());
        let old = keys.beside(PROTOCOL + 6, "default").unwrap();
        // One that serves two queues is one.
        for keys in [&keys, &night] {
            world.announce(keys, "east-77", &announcement("east-77", PROTOCOL, &["default", "night"])).await;
        }
        world.announce(&old, "old\u{1b}[2J", &announcement("old\u{1b}[2J", PROTOCOL + 6, &["default"])).await;
        let listed = world.flowhost(&["workers"]);
        assert_eq!(listed.code, 0, "{listed}");
        let lines: Vec<&str> = listed.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{listed}");
        assert!(lines[1].starts_with("east-77 ") && lines[1].ends_with("works"), "{listed}");
        assert!(lines[1].contains(" default,night ") && lines[1].contains(" 3/4 "), "{listed}");
        assert!(lines[2].ends_with("another protocol (7): takes nothing from here"), "{listed}");
        assert!(!listed.stdout.contains('\u{1b}'), "{listed}");
        let json = world.flowhost(&["workers", "--json"]).json();
        assert_eq!(json.as_array().unwrap().len(), 2);
        assert_eq!(json[0]["ceiling"]["memory"], 1);
        assert_eq!((&json[0]["same_protocol"], &json[1]["same_protocol"]), (&json!(true), &json!(false)));
        let some = world.flowhost(&["workers", "--queue", "night", "--json"]).json();
        assert_eq!(some.as_array().unwrap().len(), 1);
        assert_eq!(world.flowhost(&["workers", "--prefix", "other", "--json"]).json(), json!([]));
    });
}

#[test]
fn a_queue_is_shown_with_its_dead_letters() {
    now(async {
        let mut world = World::new().await;
        let empty = world.flowhost(&["queue"]);
        assert!(empty.code == 0 && empty.stdout.contains("no worker is there"), "{empty}");
        let letters = world.bury(&["a", "b", "c"]).await;
        world.enqueue(&["d", "e", "f"]).await;
        world.take(1).await;
        let shown = world.flowhost(&["queue", "--letters", "2"]);
        assert_eq!(shown.code, 0, "{shown}");
        let row: Vec<&str> = shown.stdout.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!((&row[..4], row.contains(&"3")), (&["default", "1", "2", "1"][..], true), "{shown}");
        let order = [&letters[2].id, &letters[1].id].map(|id| shown.stdout.find(&**id).unwrap());
        assert!(order[0] < order[1] && !shown.stdout.contains(&letters[0].id), "{shown}");
        assert!(shown.stdout.contains("its worker died") && shown.stdout.contains("1 older"), "{shown}");
        let json = world.flowhost(&["queue", "--json"]).json();
        let queue = &json[0];
        assert_eq!(queue["stream"], world.keys.tasks());
        let figures = ["length", "waiting", "held", "dead"].map(|name| queue[name].as_u64().unwrap());
        assert_eq!(figures, [3, 2, 1, 3]);
        assert_eq!(queue["letters"][0]["reason"], "its worker died");
        assert_eq!(queue["letters"][0]["deliveries"], 1);
    });
}

#[test]
fn dead_letters_are_queued_again_and_dropped_from_the_command_line() {
    now(async {
        let mut world = World::new().await;
        let letters = world.bury(&["a", "b", "c", "d"]).await;
        let one = world.flowhost(&["queue", "--requeue", &letters[0].id]);
        assert!(one.code == 0 && one.stderr.contains("queued again"), "{one}");
        let twice = world.flowhost(&["queue", "--requeue", &letters[0].id]);
        assert!(twice.code == 1 && twice.stderr.contains("there is no dead letter"), "{twice}");
        // The run wrote one of them down.
        let run = world.keys.run(&world.run);
        let results: StreamRangeReply = world.connection.xrange_all(&run.results).await.unwrap();
        let written = [("b".to_owned(), results.ids[0].id.clone())];
        world.scripts.forget(&mut world.connection, &run, &written).await.unwrap();
        let all = world.flowhost(&["queue", "--requeue", "all"]);
        assert_eq!(all.code, 1, "{all}");
        assert!(all.stderr.contains("--retry-failed"), "{all}");
        assert_eq!(all.stderr.matches("is queued again").count(), 2, "{all}");
        let depth = world.depth().await;
        assert_eq!((depth.waiting, depth.letters), (3, 1));
        let dropped = world.flowhost(&["queue", "--drop", "all"]);
        assert!(dropped.code == 0 && dropped.stderr.contains("is dropped"), "{dropped}");
        assert_eq!(world.depth().await.letters, 0);
        assert!(world.flowhost(&["queue", "--drop", "all"]).stderr.contains("no dead letters"));
        let wrong = world.flowhost(&["queue", "--drop", "1"]);
        assert!(wrong.code == 2 && wrong.stderr.contains("--drop"), "{wrong}");
    });
}

#[test]
fn a_server_that_is_not_there_or_no_server_at_all_is_said_without_its_password() {
    let place = Place::new();
    for command in ["workers", "queue"] {
        // Nothing listens at port 1.
        let gone = place.flowhost([command, "--redis", "redis://user:pass-word@127.0.0.1:1/0"]);
        assert_eq!(gone.code, 102, "{gone}");
        assert!(gone.stderr.contains("127.0.0.1:1 ") && !gone.stderr.contains("pass-word"), "{gone}");
        for wrong in ["http://user:pass-word@host", "user:pass-word@host", "redis://user:pass-word@host:port"]
        {
            let wrong = place.flowhost([command, "--redis", wrong]);
            assert_eq!(wrong.code, 2, "{wrong}");
            assert!(wrong.stderr.contains("--redis") && !wrong.stderr.contains("pass-word"), "{wrong}");
        }
        let none = place.flowhost([command]);
        assert!(none.code == 2 && none.stderr.contains("--redis"), "{none}");
        let name = place.flowhost([command, "--redis", "redis://127.0.0.1:1", "--queue", "a}b"]);
        assert!(name.code == 2 && name.stderr.contains("cannot name a queue"), "{name}");
        let bare = place.flowhost([command, "--redis", "redis://127.0.0.1:1", "--ca", "ca.pem"]);
        assert!(bare.code == 2 && bare.stderr.contains("--ca"), "{bare}");
        let missing = place.flowhost([command, "--redis", "rediss://127.0.0.1:1", "--ca", "ca.pem"]);
        assert!(missing.code == 2 && missing.stderr.contains("ca.pem"), "{missing}");
    }
}
