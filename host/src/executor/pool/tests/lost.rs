//! Workers that end, or that are taken for lost.

use super::*;

#[tokio::test(start_paused = true)]
async fn r1_the_first_unanswered_attempt_is_lost_and_those_behind_it_keep_their_numbers() {
    let (mut scene, first) = Scene::with(1, &[id(0, 1), id(1, 1), id(2, 3)]).await;
    first.say([done(id(0, 1))]).await;
    scene.succeeded(id(0, 1)).await;
    first.dies("the worker was killed by signal 9; it said: last words").await;
    assert_eq!(scene.lost(id(1, 1)).await, "the worker was killed by signal 9; it said: last words");
    assert_eq!(scene.by.as_deref(), Some("worker 0"));
    let mut second = scene.worker().await;
    assert_eq!(second.handed().await, [id(2, 3)]);
    second.say([done(id(2, 3))]).await;
    scene.succeeded(id(2, 3)).await;
    assert_eq!(scene.by.as_deref(), Some("worker 1"));
    // Which of them it was is known the next time.
    scene.submit(&[id(1, 2), id(3, 1)]);
    assert_eq!(second.handed().await, [id(1, 2)]);
    assert!(!second.hears_something().await, "handed over behind an attempt that may end its worker");
    second.say([done(id(1, 2))]).await;
    assert_eq!(second.handed().await, [id(3, 1)]);
    second.say([done(id(3, 1))]).await;
    scene.succeeded(id(1, 2)).await;
    scene.succeeded(id(3, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_which_nothing_is_heard_for_six_seconds_is_lost() {
    let (mut scene, first) = Scene::with(1, &[id(0, 1), id(1, 1)]).await;
    // As long as it lives, an attempt may take any time.
    tokio::time::sleep(LONG).await;
    first.falls_silent();
    let silent = tokio::time::Instant::now();
    assert_eq!(scene.lost(id(0, 1)).await, "nothing was heard for 6 s, so it was ended");
    // It may have spoken two seconds before.
    let took = silent.elapsed();
    assert!((Duration::from_secs(4)..=Duration::from_millis(6_100)).contains(&took), "{took:?}");
    let mut second = scene.worker().await;
    assert_eq!(second.handed().await, [id(1, 1)]);
    second.say([done(id(1, 1))]).await;
    scene.succeeded(id(1, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn r4_an_attempt_that_its_worker_does_not_end_in_time_is_timed_out_and_the_worker_replaced() {
    let (mut scene, mut first) = Scene::new(1).await;
    let mut call = Call::clone(&scene.call);
    call.limits.timeout = Some(Duration::from_secs(10));
    let call = Arc::new(call);
    let began = tokio::time::Instant::now();
    scene.submit_of(&call, &[id(0, 1)]);
    assert_eq!(first.handed().await, [id(0, 1)]);
    let after = Duration::from_secs(10);
    assert_eq!(scene.end().await, (id(0, 1), Some(Outcome::TimedOut { after })));
    // On time is within a tenth and half a second, which the worker has to say so itself.
    let took = began.elapsed();
    assert!((Duration::from_millis(11_500)..Duration::from_millis(11_600)).contains(&took), "{took:?}");
    first.ends().await;
    scene.submit_of(&call, &[id(1, 1)]);
    let mut second = scene.worker().await;
    assert_eq!(second.handed().await, [id(1, 1)]);
    second.say([done(id(1, 1))]).await;
    scene.succeeded(id(1, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_still_awaited_its_code_blames_nobody() {
    let (mut scene, mut first) = Scene::new(1).await;
    let mut call = Call::clone(&scene.call);
    call.limits.timeout = Some(Duration::from_secs(1));
    let call = Arc::new(call);
    scene.submit_of(&call, &[id(0, 1)]);
    assert_eq!(first.handed().await, [id(0, 1)]);
    first.tell(FromWorker::NeedCode { component: Digest::of(WASM), settings: "never".into() }).await;
    // The clock of the attempt does not run meanwhile.
    assert!(!first.hears_something().await);
    tokio::time::sleep(Duration::from_secs(30)).await;
    first.dies("the worker was killed by signal 9").await;
    let mut second = scene.worker().await;
    assert_eq!(second.handed().await, [id(0, 1)]);
    second.say([done(id(0, 1))]).await;
    scene.succeeded(id(0, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn p2_another_protocol_is_refused_and_not_tried_again() {
    let (pool, mut started) = Scene::closed(2);
    let (port, _reports) = Port::new(Interest::default(), crate::channel::Memory::shared);
    let opened = tokio::join!(pool.open(port), async {
        let Started { from, mut to, .. } = started.recv().await.unwrap();
        let ours = Hello::of(ENGINE);
        let theirs = Hello { protocol: ours.protocol + 1, flowhost: "9.9.9".to_owned(), ..ours };
        assert!(matches!(greet(Receiver::new(from), &mut to, &theirs).await, Err(WireError::Refused(_))));
    });
    let reason = opened.0.unwrap_err().to_string();
    for part in ["executor `scripted` cannot be reached", "flowhost 9.9.9", "(protocol 1)", "(protocol 2)"] {
        assert!(reason.contains(part), "{reason}");
    }
    tokio::time::sleep(LONG).await;
    assert!(started.try_recv().is_err(), "it was tried again");
}

#[tokio::test(start_paused = true)]
async fn p2_workers_that_there_are_go_on_where_no_more_can_be_had() {
    let (mut scene, mut first) = Scene::new(2).await;
    scene.submit(&[id(0, 1), id(1, 1)]);
    assert_eq!(first.handed().await, [id(0, 1)]);
    let Started { from, mut to, .. } = scene.starts().await;
    let ours = Hello::of(ENGINE);
    let theirs = Hello { protocol: ours.protocol + 1, ..ours };
    assert!(matches!(greet(Receiver::new(from), &mut to, &theirs).await, Err(WireError::Refused(_))));
    first.say([done(id(0, 1))]).await;
    scene.succeeded(id(0, 1)).await;
    assert_eq!(first.handed().await, [id(1, 1)]);
    // What nobody who is there can do is not waited for.
    let mut call = Call::clone(&scene.call);
    call.net = ["10.0.0.1:1".parse().unwrap()].into();
    scene.submit_of(&Arc::new(call), &[id(2, 1)]);
    let reason = scene.lost(id(2, 1)).await;
    assert_eq!(scene.by, None);
    assert!(reason.starts_with("no worker starts: ") && reason.contains("(protocol 2)"), "{reason}");
    first.say([done(id(1, 1))]).await;
    scene.succeeded(id(1, 1)).await;
    assert!(scene.started.try_recv().is_err(), "it was tried again");
    scene.over().await;
}
