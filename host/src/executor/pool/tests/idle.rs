//! Workers that were started beside others that waited, once nothing waits any more.

use super::*;

/// A pool for one core with four workers, all with an attempt that waits for something.
async fn sleeping() -> (Scene, Vec<(Worker, AttemptId)>) {
    let (mut scene, mut first) = Scene::new(1).await;
    let ids: Vec<_> = (0..4).map(|index| id(index, 1)).collect();
    scene.submit(&ids);
    let handed = first.handed().await;
    assert_eq!(handed, [id(0, 1)]);
    first.waits.store(true, Ordering::Relaxed);
    let mut workers = vec![(first, id(0, 1))];
    while workers.len() < 4 {
        let mut next = scene.worker().await;
        let handed = next.handed().await;
        assert_eq!(handed.len(), 1);
        next.waits.store(true, Ordering::Relaxed);
        workers.push((next, handed[0]));
    }
    (scene, workers)
}

#[tokio::test(start_paused = true)]
async fn workers_beyond_the_cores_end_when_they_had_nothing_to_do_for_a_while() {
    let (mut scene, workers) = sleeping().await;
    let mut idle = Vec::new();
    for (worker, attempt) in workers {
        worker.say([done(attempt)]).await;
        scene.succeeded(attempt).await;
        // Apart, so that it is known which is idle for longest.
        tokio::time::sleep(Duration::from_millis(100)).await;
        idle.push(worker);
    }
    let began = tokio::time::Instant::now();
    let mut last = idle.pop().unwrap();
    for worker in idle {
        worker.ends().await;
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&took), "{took:?}");
    // As many stay as there are cores, however long there is nothing to do.
    tokio::time::sleep(LONG).await;
    scene.submit(&[id(9, 1)]);
    assert_eq!(last.handed().await, [id(9, 1)]);
    last.say([done(id(9, 1))]).await;
    scene.succeeded(id(9, 1)).await;
    assert!(scene.started.try_recv().is_err());
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn workers_of_every_reach_end_when_they_are_idle_and_none_that_is_busy() {
    let (mut scene, workers) = sleeping().await;
    let mut call = Call::clone(&scene.call);
    call.net = ["10.0.0.1:1".parse().unwrap()].into();
    let call = Arc::new(call);
    scene.submit_of(&call, &[id(5, 1)]);
    let mut other = scene.worker().await;
    assert!(other.reach.network);
    assert_eq!(other.handed().await, [id(5, 1)]);
    other.say([done(id(5, 1))]).await;
    scene.succeeded(id(5, 1)).await;
    // Four work on: one for each core is there without it.
    other.ends().await;
    for (worker, attempt) in workers {
        worker.say([done(attempt)]).await;
        scene.succeeded(attempt).await;
    }
    scene.submit_of(&call, &[id(6, 1)]);
    let mut another = scene.worker().await;
    assert_eq!(another.handed().await, [id(6, 1)]);
    another.say([done(id(6, 1))]).await;
    scene.succeeded(id(6, 1)).await;
    scene.over().await;
}
