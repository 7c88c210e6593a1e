//! Workers that say what makes no sense.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_attempt_ends_once_whatever_its_worker_says() {
    let (mut scene, mut worker) = Scene::with(1, &[id(0, 1), id(1, 2), id(2, 1)]).await;
    let line = |id| Said::Log {
        id,
        level: crate::model::Level::Info,
        stream: crate::model::Stream::Stdout,
        message: crate::wire::Payload::text("line".to_owned()),
        cut: false,
    };
    // Out of order, twice, of an earlier attempt, and of one that it was never handed.
    let (another, never) = (id(1, 1), id(9, 1));
    worker.say([done(id(1, 2)), done(id(1, 2)), done(another), Said::Returned { id: id(1, 2) }]).await;
    worker.say([Said::Started { id: never }, line(never), done(never), Said::Returned { id: never }]).await;
    worker.say([line(id(1, 2)), done(id(2, 1)), done(id(0, 1)), done(id(0, 1))]).await;
    for ended in [id(1, 2), id(2, 1), id(0, 1)] {
        scene.succeeded(ended).await;
    }
    // It is none the worse for it.
    scene.submit(&[id(3, 1)]);
    assert_eq!(worker.handed().await, [id(3, 1)]);
    worker.say([done(id(3, 1))]).await;
    scene.succeeded(id(3, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn p1_a_worker_that_says_what_is_no_message_is_lost_and_replaced() {
    let cases: [(&[u8], &str); 6] = [
        (&[1, 0, 0, 0, 9], "a frame of kind 9 is out of place"),
        (&[255, 255, 255, 255, 1], "a frame claims 4294967295 bytes"),
        (&[1, 0, 0, 0, 3], "a frame of kind 3 is out of place"),
        (&[5, 0, 0, 0, 1, 255, 255, 255, 255], "a message cannot be read"),
        (&[6, 0, 0, 0, 1, 1, 0, 0, 0, 77], "a message cannot be read"),
        (b"Segmentation fault (core dumped)\n", "a frame claims "),
    ];
    for (bytes, expected) in cases {
        let (mut scene, first) = Scene::with(1, &[id(0, 1), id(1, 1)]).await;
        first.write(bytes).await;
        let reason = scene.lost(id(0, 1)).await;
        assert!(reason.starts_with(expected) && reason.ends_with("the worker was ended"), "{reason}");
        first.ends().await;
        let mut second = scene.worker().await;
        assert_eq!(second.handed().await, [id(1, 1)]);
        second.say([done(id(1, 1))]).await;
        scene.succeeded(id(1, 1)).await;
        scene.over().await;
    }
}

#[tokio::test(start_paused = true)]
async fn p1_a_message_that_ends_halfway_is_a_lost_worker() {
    let (mut scene, first) = Scene::with(1, &[id(0, 1)]).await;
    first.write(&[200, 0, 0, 0, 1, 1]).await;
    first.dies("the worker ended with exit code 1").await;
    let reason = scene.lost(id(0, 1)).await;
    assert_eq!(reason, "the worker ended with exit code 1");
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_type_is_a_lost_attempt_and_its_worker_is_replaced() {
    let (mut scene, first) = Scene::with(1, &[id(0, 1)]).await;
    let ended = Ended::of(Outcome::Succeeded(Value::string("no number")), &Type::String).unwrap();
    first.say([Said::Finished { id: id(0, 1), ended, usage: Usage::default() }]).await;
    let reason = scene.lost(id(0, 1)).await;
    assert!(reason.starts_with("the worker's answer makes no sense: "), "{reason}");
    first.ends().await;
    scene.submit(&[id(0, 2)]);
    let mut second = scene.worker().await;
    assert_eq!(second.handed().await, [id(0, 2)]);
    second.say([done(id(0, 2))]).await;
    scene.succeeded(id(0, 2)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn components_come_as_they_are_named_or_are_refused() {
    let (mut scene, mut worker) = Scene::with(1, &[id(0, 1)]).await;
    let component = Digest::of(WASM);
    worker.tell(FromWorker::NeedComponent { component }).await;
    match worker.hear().await {
        Some(ToWorker::Component { component: named, wasm, packed: None }) => {
            assert_eq!((named, Digest::of(&wasm.into_bytes())), (component, component));
        }
        other => panic!("{other:?}"),
    }
    let other = Digest::of(b"another");
    worker.tell(FromWorker::NeedComponent { component: other }).await;
    let reason = "not this one".to_owned();
    assert_eq!(worker.hear().await, Some(ToWorker::Refused { component: other, settings: None, reason }));
    let settings: Arc<str> = "unheard of".into();
    worker.tell(FromWorker::NeedCode { component, settings: Arc::clone(&settings) }).await;
    let reason = "no code for unheard of".to_owned();
    let refused = ToWorker::Refused { component, settings: Some(settings), reason };
    assert_eq!(worker.hear().await, Some(refused));
    worker.say([done(id(0, 1))]).await;
    scene.succeeded(id(0, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn what_every_worker_says_of_its_machine_is_told_once() {
    let (mut scene, mut first) = Scene::new(2).await;
    let warning = |message: &str| Said::Warning {
        kind: crate::model::Warning::Unconfined,
        message: message.to_owned(),
    };
    first.say([warning("no Landlock"), warning("no Landlock")]).await;
    scene.submit(&[id(0, 1), id(1, 1)]);
    assert_eq!(first.handed().await, [id(0, 1)]);
    let mut second = scene.worker().await;
    second.say([warning("no Landlock"), warning("something else")]).await;
    assert_eq!(second.handed().await, [id(1, 1)]);
    first.say([done(id(0, 1))]).await;
    scene.succeeded(id(0, 1)).await;
    second.say([done(id(1, 1))]).await;
    scene.succeeded(id(1, 1)).await;
    assert_eq!(scene.warnings, ["no Landlock", "something else"].map(Arc::from));
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_which_calls_to_forget() {
    let (mut scene, mut worker) = Scene::new(1).await;
    let mut known = std::collections::BTreeSet::new();
    let mut most = 0;
    for index in 0..2500 {
        // A call that nobody holds once its attempt has ended.
        scene.submit_of(&Arc::new(Call::clone(&scene.call)), &[id(index, 1)]);
        let call = loop {
            match worker.hear().await {
                Some(ToWorker::Call { number, .. }) => assert!(known.insert(number), "{number} is in use"),
                Some(ToWorker::Forget { calls }) => calls.iter().for_each(|call| assert!(known.remove(call))),
                Some(ToWorker::Start { attempts }) => break attempts[0].call,
                other => panic!("{other:?}"),
            }
        };
        assert!(known.contains(&call));
        most = most.max(known.len());
        worker.say([done(id(index, 1))]).await;
        scene.succeeded(id(index, 1)).await;
    }
    assert!((1000..1100).contains(&most), "it holds {most} calls");
    scene.over().await;
}
