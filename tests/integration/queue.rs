//! The queue's scripts, one by one, on a real server.

use std::collections::BTreeSet;
use std::future::Future;

use flowhost::id::RunId;
use flowhost::queue::{Begun, Cancelled, Entry, Finish, Finished, GROUP, Held, Keys, Renewal, Scripts};
use flowhost_tests::Redis;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, cmd};

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A queue with one run on a server of its own.
struct World {
    connection: MultiplexedConnection,
    scripts: Scripts,
    keys: Keys,
    run: RunId,
    epoch: String,
    _server: Redis,
}

impl World {
    async fn new() -> Self {
        let server = Redis::start(&[]);
        let mut connection = server.connect_async().await.unwrap();
        let (scripts, keys) = (Scripts::default(), Keys::new("flowhost", 1, "default").unwrap());
        let run = RunId("20261121-094119-no0abl".into());
        let _: () = connection.xgroup_create_mkstream(keys.tasks(), GROUP, "0").await.unwrap();
        let begun = scripts.begin(&mut connection, &keys.run(&run), "first", None, "{}").await.unwrap();
        assert_eq!(begun, Begun::Known("first".to_owned()));
        Self { connection, scripts, keys, run, epoch: "first".to_owned(), _server: server }
    }

    async fn enqueue(&mut self, attempts: &[&str]) -> Option<usize> {
        let entry = |attempt: &&str| Entry {
            attempt: (*attempt).to_owned(),
            call: "call".to_owned(),
            body: b"body\0\xff".to_vec(),
            traceparent: None,
        };
        let entries: Vec<Entry> = attempts.iter().map(entry).collect();
        let Self { connection, scripts, keys, run, epoch, .. } = self;
        scripts
            .enqueue(connection, keys, run, epoch, &[("call".to_owned(), b"bytes".to_vec())], &entries)
            .await
            .unwrap()
    }

    /// What a worker takes.
    async fn take(&mut self, consumer: &str, count: usize) -> Vec<Held> {
        let options = StreamReadOptions::default().group(GROUP, consumer).count(count);
        let tasks = self.keys.tasks();
        let read: Option<StreamReadReply> =
            self.connection.xread_options(&[tasks], &[">"], &options).await.unwrap();
        let entries = read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids);
        let held = entries.map(|entry| {
            assert_eq!(entry.get::<Vec<u8>>("body").unwrap(), b"body\0\xff");
            assert_eq!(entry.get::<String>("run").unwrap(), self.run.to_string());
            let attempt = entry.get("attempt").unwrap();
            Held { entry: entry.id, delivery: 1, attempt, run: self.keys.run(&self.run) }
        });
        held.collect()
    }

    /// Takes over what was held for `idle` milliseconds, as a worker of another's.
    async fn take_over(&mut self, consumer: &str, idle: u64, held: &Held) -> Held {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(self.keys.tasks()).arg(GROUP).arg(consumer).arg(idle).arg("0-0").arg("JUSTID");
        let (_, claimed, _): (String, Vec<String>, Vec<String>) =
            claim.query_async(&mut self.connection).await.unwrap();
        assert_eq!(claimed, std::slice::from_ref(&held.entry));
        // JUSTID leaves the count, and a worker that means to execute it counts.
        let mut count = cmd("XCLAIM");
        count.arg(self.keys.tasks()).arg(GROUP).arg(consumer).arg(0).arg(&held.entry);
        let _: redis::Value = count.query_async(&mut self.connection).await.unwrap();
        Held { delivery: held.delivery + 1, ..held.clone() }
    }

    async fn finish(&mut self, consumer: &str, held: &Held) -> Finish {
        let finished = [Finished { held: held.clone(), outcome: b"outcome".to_vec() }];
        let Self { connection, scripts, keys, .. } = self;
        scripts.finish(connection, keys, consumer, &finished).await.unwrap()[0]
    }

    async fn renew(&mut self, consumer: &str, held: &[Held]) -> Vec<Renewal> {
        let Self { connection, scripts, keys, .. } = self;
        scripts.renew(connection, keys, consumer, held).await.unwrap()
    }

    /// Attempts whose outcomes the run was told, each with its entry.
    async fn results(&mut self) -> Vec<(String, String)> {
        let results = self.keys.run(&self.run).results;
        let read: redis::streams::StreamRangeReply = self.connection.xrange_all(results).await.unwrap();
        let one = |entry: redis::streams::StreamId| {
            assert_eq!(entry.get::<String>("outcome").unwrap(), "outcome");
            (entry.get("attempt").unwrap(), entry.id)
        };
        read.ids.into_iter().map(one).collect()
    }

    async fn waiting(&mut self) -> usize {
        let tasks = self.keys.tasks();
        self.connection.xlen(tasks).await.unwrap()
    }

    async fn consumers(&mut self) -> Vec<String> {
        let mut consumers = cmd("XINFO");
        consumers.arg("CONSUMERS").arg(self.keys.tasks()).arg(GROUP);
        let found: redis::streams::StreamInfoConsumersReply =
            consumers.query_async(&mut self.connection).await.unwrap();
        found.consumers.into_iter().map(|consumer| consumer.name).collect()
    }

    async fn pending(&mut self) -> Vec<(String, String, u64, u64)> {
        let mut pending = cmd("XPENDING");
        pending.arg(self.keys.tasks()).arg(GROUP).arg("-").arg("+").arg(100);
        pending.query_async(&mut self.connection).await.unwrap()
    }
}

#[test]
fn a_run_is_begun_once_and_known_by_its_epoch() {
    now(async {
        let mut world = World::new().await;
        let keys = world.keys.run(&world.run);
        let World { connection, scripts, .. } = &mut world;
        let again = scripts.begin(connection, &keys, "second", None, "{}").await.unwrap();
        assert_eq!(again, Begun::Known("first".to_owned()));
        assert_eq!(scripts.begin(connection, &keys, "second", Some("first"), "{}").await.unwrap(), again);
        for key in [&keys.record, &keys.results] {
            let left: i64 = cmd("TTL").arg(key).query_async(connection).await.unwrap();
            assert!((600_000..=604_800).contains(&left), "{key} is kept for {left} s");
        }
        // R8: the server comes back without it.
        let _: () = cmd("FLUSHALL").query_async(connection).await.unwrap();
        assert_eq!(
            scripts.begin(connection, &keys, "third", Some("first"), "{}").await.unwrap(),
            Begun::Lost
        );
        assert_eq!(
            scripts.begin(connection, &keys, "third", None, "{}").await.unwrap(),
            Begun::Known("third".to_owned())
        );
        assert_eq!(
            scripts.begin(connection, &keys, "third", Some("first"), "{}").await.unwrap(),
            Begun::Lost
        );
    });
}

#[test]
fn r6_what_is_queued_again_after_a_lost_reply_is_there_once() {
    now(async {
        let mut world = World::new().await;
        assert_eq!(world.enqueue(&["a", "b"]).await, Some(2));
        assert_eq!(world.enqueue(&["a", "b", "c"]).await, Some(1));
        assert_eq!(world.waiting().await, 3);
        let taken = world.take("one", 10).await;
        let attempts: Vec<&str> = taken.iter().map(|held| &*held.attempt).collect();
        assert_eq!(attempts, ["a", "b", "c"]);
        assert_eq!(world.finish("one", &taken[0]).await, Finish::Recorded);
        assert_eq!(world.enqueue(&["a"]).await, Some(0));
        world.epoch = "another".to_owned();
        assert_eq!(world.enqueue(&["d"]).await, None);
        assert_eq!(world.waiting().await, 2);
    });
}

#[test]
fn r6_an_outcome_is_recorded_once_whatever_reply_was_lost() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a"]).await;
        let held = world.take("one", 1).await.remove(0);
        assert_eq!(world.finish("one", &held).await, Finish::Recorded);
        assert_eq!(world.finish("one", &held).await, Finish::Recorded);
        let results = world.results().await;
        assert_eq!(results.len(), 1);
        assert_eq!((world.waiting().await, world.pending().await.len()), (0, 0));
        // Nobody else's, neither.
        assert_eq!(world.finish("two", &held).await, Finish::Fenced);
        let keys = world.keys.run(&world.run);
        world.scripts.forget(&mut world.connection, &keys, &results).await.unwrap();
        assert_eq!(world.results().await, []);
        // The run has written it down and forgotten it: the same attempt is never queued again by it.
        assert_eq!(world.finish("one", &held).await, Finish::Fenced);
    });
}

#[test]
fn a_stale_worker_is_fenced() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a"]).await;
        let stale = world.take("one", 1).await.remove(0);
        let fresh = world.take_over("two", 0, &stale).await;
        assert_eq!(world.renew("one", std::slice::from_ref(&stale)).await, [Renewal::Lost]);
        assert_eq!(world.finish("one", &stale).await, Finish::Fenced);
        // Nor is it the same worker with an older delivery.
        assert_eq!(world.finish("two", &stale).await, Finish::Fenced);
        assert_eq!(world.results().await, []);
        assert_eq!(world.finish("two", &fresh).await, Finish::Recorded);
        assert_eq!(world.finish("one", &stale).await, Finish::Fenced);
        assert_eq!(world.results().await.len(), 1);
    });
}

#[test]
fn what_is_renewed_is_idle_no_more_and_not_delivered_again() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a", "b", "c"]).await;
        let held = world.take("one", 3).await;
        let age = |world: &World, held: &Held| {
            let mut claim = cmd("XCLAIM");
            claim.arg(world.keys.tasks()).arg(GROUP).arg("one").arg(0).arg(&held.entry);
            claim.arg("IDLE").arg(60_000).arg("JUSTID");
            claim
        };
        for held in &held {
            let _: Vec<String> = age(&world, held).query_async(&mut world.connection).await.unwrap();
        }
        assert!(world.pending().await.iter().all(|(.., idle, count)| *idle >= 60_000 && *count == 1));
        let record = world.keys.run(&world.run).record;
        let _: usize = world.connection.hset(&record, "cancel b", "1").await.unwrap();
        assert_eq!(world.renew("one", &held).await, [Renewal::Held, Renewal::Cancelled, Renewal::Held]);
        assert!(world.pending().await.iter().all(|(.., idle, count)| *idle < 60_000 && *count == 1));
        assert_eq!(world.renew("two", &held[..1]).await, [Renewal::Lost]);
    });
}

#[test]
fn what_is_handed_back_costs_no_delivery_and_is_to_be_had_at_once() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a"]).await;
        let held = world.take("one", 1).await;
        let World { connection, scripts, keys, .. } = &mut world;
        assert_eq!(scripts.hand_back(connection, keys, "two", 30_000, &held).await.unwrap(), 0);
        assert_eq!(scripts.hand_back(connection, keys, "one", 30_000, &held).await.unwrap(), 1);
        let pending = world.pending().await;
        assert!(pending[0].2 >= 30_000 && pending[0].3 == 0, "{pending:?}");
        let taken = world.take_over("two", 30_000, &Held { delivery: 0, ..held[0].clone() }).await;
        assert_eq!(taken.delivery, 1);
        assert_eq!(world.finish("two", &taken).await, Finish::Recorded);
    });
}

#[test]
fn r5_what_nobody_can_finish_is_a_dead_letter_and_its_run_knows() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a"]).await;
        let held = world.take("one", 1).await.remove(0);
        let letter = Finished { held, outcome: b"outcome".to_vec() };
        let World { connection, scripts, keys, .. } = &mut world;
        assert!(!scripts.bury(connection, keys, "two", &letter, "it kills").await.unwrap());
        assert!(scripts.bury(connection, keys, "one", &letter, "it kills").await.unwrap());
        assert!(!scripts.bury(connection, keys, "one", &letter, "it kills").await.unwrap());
        let letters: redis::streams::StreamRangeReply = connection.xrange_all(keys.letters()).await.unwrap();
        let [letter] = &letters.ids[..] else { panic!("{letters:?}") };
        assert_eq!(letter.get::<String>("reason").unwrap(), "it kills");
        assert_eq!(letter.get::<String>("attempt").unwrap(), "a");
        assert_eq!(letter.get::<Vec<u8>>("body").unwrap(), b"body\0\xff");
        assert_eq!(world.results().await.len(), 1);
        assert_eq!((world.waiting().await, world.pending().await.len()), (0, 0));
    });
}

#[test]
fn r9_an_entry_that_somebody_deleted_is_missed() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["waits", "held", "ended", "deleted", "deleted-held"]).await;
        let ids: redis::streams::StreamRangeReply =
            world.connection.xrange_all(world.keys.tasks()).await.unwrap();
        let ids: Vec<String> = ids.ids.into_iter().map(|entry| entry.id).collect();
        let held = world.take("one", 3).await;
        assert_eq!(world.finish("one", &held[2]).await, Finish::Recorded);
        let World { connection, scripts, keys, run, .. } = &mut world;
        let _: usize = connection.xdel(keys.tasks(), &ids[3..]).await.unwrap();
        let all: Vec<String> =
            ["waits", "held", "ended", "deleted", "deleted-held", "unknown"].map(String::from).to_vec();
        let run = keys.run(run);
        let missing = scripts.seek(connection, keys, &run, "first", &all).await.unwrap().unwrap();
        let missing: BTreeSet<&str> = missing.iter().map(String::as_str).collect();
        assert_eq!(missing, ["deleted", "deleted-held", "unknown"].into());
        assert_eq!(scripts.seek(connection, keys, &run, "second", &all).await.unwrap(), None);
        // They may be queued again.
        assert_eq!(world.enqueue(&["deleted"]).await, Some(1));
    });
}

#[test]
fn a_consumer_leaves_once_it_holds_nothing() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a"]).await;
        let held = world.take("one", 1).await.remove(0);
        assert!(!world.scripts.leave(&mut world.connection, &world.keys, "one").await.unwrap());
        assert_eq!(world.pending().await.len(), 1);
        world.finish("one", &held).await;
        assert!(world.scripts.leave(&mut world.connection, &world.keys, "one").await.unwrap());
    });
}

#[test]
fn consumers_of_workers_that_are_gone_are_swept_once_they_hold_nothing() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["a", "b", "c"]).await;
        let [held, idle, kept] =
            [world.take("gone", 1).await, world.take("idle", 1).await, world.take("here", 1).await]
                .map(|mut held| held.remove(0));
        world.finish("idle", &idle).await;
        world.finish("here", &kept).await;
        let World { connection, scripts, keys, .. } = &mut world;
        scripts.announce(connection, keys, "here", "{}", 30_000).await.unwrap();
        assert_eq!(scripts.sweep(connection, keys).await.unwrap(), 1);
        assert_eq!(world.consumers().await, ["gone", "here"]);
        world.finish("gone", &held).await;
        assert_eq!(world.scripts.sweep(&mut world.connection, &world.keys).await.unwrap(), 1);
        assert_eq!(world.consumers().await, ["here"]);
    });
}

#[test]
fn r13_scripts_that_were_flushed_are_loaded_again() {
    now(async {
        let mut world = World::new().await;
        for attempt in ["a", "b"] {
            let _: () = cmd("SCRIPT").arg("FLUSH").query_async(&mut world.connection).await.unwrap();
            assert_eq!(world.enqueue(&[attempt]).await, Some(1));
            let _: () = cmd("SCRIPT").arg("FLUSH").query_async(&mut world.connection).await.unwrap();
            let held = world.take("one", 1).await;
            assert_eq!(world.renew("one", &held).await, [Renewal::Held]);
            assert_eq!(world.finish("one", &held[0]).await, Finish::Recorded);
        }
        assert_eq!(world.results().await.len(), 2);
    });
}

#[test]
fn what_no_worker_has_is_cancelled_at_once_and_its_entry_stays_to_be_skipped() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["held", "waits", "ended", "back"]).await;
        let mut held = world.take("one", 4).await;
        // In the order in which they were queued.
        let (back, ended) = (held.remove(3), held.remove(2));
        assert_eq!(world.finish("one", &ended).await, Finish::Recorded);
        let World { connection, scripts, keys, run, .. } = &mut world;
        assert_eq!(scripts.hand_back(connection, keys, "one", 30_000, &[back]).await.unwrap(), 1);
        let run = keys.run(run);
        let all: Vec<String> = ["held", "ended", "back", "unknown"].map(String::from).to_vec();
        let held_by = Cancelled::Held("one".to_owned());
        let expected = [held_by.clone(), Cancelled::Ended, Cancelled::Unheld, Cancelled::Unheld];
        // Without a reason, what is held is left alone.
        assert_eq!(scripts.cancel(connection, keys, &run, "", &all).await.unwrap(), expected);
        assert_eq!(world.renew("one", &held[..1]).await, [Renewal::Held]);
        let World { connection, scripts, keys, .. } = &mut world;
        let answers = scripts.cancel(connection, keys, &run, "why", &all[..1]).await.unwrap();
        assert_eq!(answers, [held_by]);
        assert_eq!(world.renew("one", &held[..1]).await, [Renewal::Cancelled]);
        assert_eq!(world.waiting().await, 3);
        // It may be queued again, and then its first entry is nobody's.
        assert_eq!(world.enqueue(&["back", "held"]).await, Some(1));
    });
}

#[test]
fn what_is_withdrawn_is_nobodys_any_more() {
    now(async {
        let mut world = World::new().await;
        world.enqueue(&["held", "ended"]).await;
        let held = world.take("one", 2).await;
        assert_eq!(world.finish("one", &held[1]).await, Finish::Recorded);
        let World { connection, scripts, keys, run, .. } = &mut world;
        let run = keys.run(run);
        let all: Vec<String> = ["held", "ended", "unknown"].map(String::from).to_vec();
        let withdrawn = scripts.withdraw(connection, keys, &run, &all).await.unwrap();
        assert_eq!(withdrawn, [true, false, true]);
        assert_eq!(world.finish("one", &held[0]).await, Finish::Fenced);
        assert_eq!(world.renew("one", &held[..1]).await, [Renewal::Lost]);
        assert_eq!((world.waiting().await, world.pending().await.len()), (0, 0));
        assert_eq!(world.results().await.len(), 1);
    });
}

#[test]
fn a_run_that_is_gone_is_told_nothing() {
    now(async {
        let mut world = World::new().await;
        let World { connection, scripts, keys, run, .. } = &mut world;
        let of_run = keys.run(run);
        assert!(scripts.tell(connection, &of_run, "one", b"said").await.unwrap());
        let told: redis::streams::StreamRangeReply = connection.xrange_all(&of_run.results).await.unwrap();
        assert_eq!(told.ids[0].get::<String>("from").unwrap(), "one");
        assert_eq!(told.ids[0].get::<String>("said").unwrap(), "said");
        let _: () = cmd("FLUSHALL").query_async(connection).await.unwrap();
        assert!(!scripts.tell(connection, &of_run, "one", b"said").await.unwrap());
        assert!(!connection.exists::<_, bool>(&of_run.results).await.unwrap());
    });
}

#[test]
fn the_workers_of_a_queue_agree_on_their_lease_until_the_last_one_left() {
    now(async {
        let mut world = World::new().await;
        let World { connection, scripts, keys, .. } = &mut world;
        assert_eq!(scripts.announce(connection, keys, "one", "{}", 30_000).await.unwrap(), 30_000);
        assert_eq!(scripts.announce(connection, keys, "two", "{}", 2_000).await.unwrap(), 30_000);
        let there: Vec<String> = connection.zrange(keys.workers(), 0, -1).await.unwrap();
        assert_eq!(there, ["one"]);
        for key in [keys.worker("one"), keys.inbox("one"), keys.lease()] {
            let left: i64 = cmd("PTTL").arg(&key).query_async(connection).await.unwrap();
            assert!((1..=15_000).contains(&left), "{key}: {left} ms");
        }
        assert!(scripts.leave(connection, keys, "one").await.unwrap());
        assert_eq!(scripts.sweep(connection, keys).await.unwrap(), 0);
        for key in [keys.workers(), keys.worker("one"), keys.inbox("one"), keys.lease()] {
            assert!(!connection.exists::<_, bool>(&key).await.unwrap(), "{key}");
        }
        assert_eq!(scripts.announce(connection, keys, "two", "{}", 2_000).await.unwrap(), 2_000);
    });
}
