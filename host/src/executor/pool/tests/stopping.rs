//! Attempts that are cancelled, and runs that are asked to stop.

use super::*;

const CAUSE: Cause = Cause::Sibling;

fn cancelled() -> Option<Outcome> {
    Some(Outcome::Cancelled { cause: CAUSE })
}

#[tokio::test(start_paused = true)]
async fn what_did_not_begin_is_handed_back_and_what_executes_is_ended_by_its_worker() {
    let (mut scene, mut first) = Scene::with(1, &[id(0, 1), id(1, 1), id(2, 1)]).await;
    // Of another reach, and nobody is there for it.
    let mut call = Call::clone(&scene.call);
    call.net = ["10.0.0.1:1".parse().unwrap()].into();
    scene.submit_of(&Arc::new(call), &[id(3, 1)]);
    let meant = [id(0, 1), id(1, 1), id(3, 1), id(8, 1)];
    scene.pool.cancel(&meant, CAUSE);
    // At once: no worker has it.
    scene.returned(id(3, 1)).await;
    let told = ToWorker::Cancel { ids: vec![id(0, 1), id(1, 1)], cause: CAUSE };
    assert_eq!(first.hear().await, Some(told));
    let ended = Ended::Cancelled { cause: CAUSE };
    first.say([Said::Finished { id: id(0, 1), ended, usage: Usage::default() }]).await;
    first.say([Said::Returned { id: id(1, 1) }, done(id(2, 1))]).await;
    assert_eq!(scene.end().await, (id(0, 1), cancelled()));
    scene.returned(id(1, 1)).await;
    scene.succeeded(id(2, 1)).await;
    // What a guest left behind goes with its worker.
    first.ends().await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn c3_a_worker_that_does_not_end_what_was_cancelled_is_ended() {
    let (mut scene, first) = Scene::with(1, &[id(0, 1), id(1, 1), id(2, 1)]).await;
    let asked = tokio::time::Instant::now();
    scene.pool.cancel(&[id(0, 1), id(1, 1)], CAUSE);
    assert_eq!(scene.end().await, (id(0, 1), cancelled()));
    let took = asked.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_millis(600)).contains(&took), "{took:?}");
    scene.returned(id(1, 1)).await;
    drop(first);
    let mut second = scene.worker().await;
    assert_eq!(second.handed().await, [id(2, 1)]);
    second.say([done(id(2, 1))]).await;
    scene.succeeded(id(2, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stops_gets_back_what_waits_and_waits_for_what_executes() {
    let (mut scene, mut first) = Scene::new(1).await;
    scene.submit(&[id(0, 1), id(1, 1)]);
    // Nothing is known of the call: one at a time.
    assert_eq!(first.handed().await, [id(0, 1)]);
    scene.pool.announce_cancel();
    scene.returned(id(1, 1)).await;
    assert_eq!(first.hear().await, Some(ToWorker::Drain));
    {
        let mut drained = std::pin::pin!(scene.pool.drain());
        let early = tokio::time::timeout(Duration::from_secs(1), drained.as_mut()).await;
        assert!(early.is_err(), "something executes");
        first.say([done(id(0, 1))]).await;
        soon("the end", drained).await;
    }
    scene.succeeded(id(0, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_lost_while_the_run_stops_hands_back_what_it_had() {
    let (mut scene, mut first) = Scene::with(1, &[id(0, 1), id(1, 1), id(2, 1)]).await;
    scene.pool.announce_cancel();
    assert_eq!(first.hear().await, Some(ToWorker::Drain));
    first.dies("the worker was killed by signal 9").await;
    scene.lost(id(0, 1)).await;
    let mut back = [scene.end().await, scene.end().await];
    back.sort_by_key(|(id, _)| *id);
    assert_eq!(back, [(id(1, 1), None), (id(2, 1), None)]);
    tokio::time::sleep(LONG).await;
    assert!(scene.started.try_recv().is_err(), "a worker was started for nothing");
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_comes_late_hears_that_the_run_stops() {
    let (mut scene, first) = Scene::new(1).await;
    let mut call = Call::clone(&scene.call);
    call.net = ["10.0.0.1:1".parse().unwrap()].into();
    scene.submit_of(&Arc::new(call), &[id(0, 1)]);
    let late = scene.starts().await;
    assert!(late.reach.network && !first.reach.network);
    scene.pool.announce_cancel();
    scene.returned(id(0, 1)).await;
    let mut late = Worker::greet(late).await;
    assert_eq!(late.hear().await, Some(ToWorker::Drain));
    scene.over().await;
}
