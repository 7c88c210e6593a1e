//! Workers of nodes: as many attempts at once as each of them takes.

use super::*;

impl Scene {
    /// A pool of nodes that take so many attempts at once, and their workers.
    async fn of_nodes(slots: &[u32], breakers: HashMap<NodeId, model::Breaker>) -> (Self, Vec<Worker>) {
        let (pool, mut started) = Self::closed_with(2, slots.len(), breakers);
        let (port, reports) = Port::new(Interest::default(), crate::channel::Memory::shared);
        let opened = pool.open(port);
        let (opened, workers) = tokio::join!(opened, async {
            let mut workers = Vec::new();
            for slots in slots {
                let started = soon("a node's worker", started.recv()).await.unwrap();
                assert_eq!(started.node, workers.len());
                workers.push(Worker::taking(started, *slots).await);
            }
            workers
        });
        assert_eq!(opened.unwrap().slots, slots.iter().sum::<u32>() as usize);
        let call = Arc::new(call(WASM, &[], Type::U32));
        let told = Default::default();
        (Self { pool, reports, started, told, by: None, warnings: Vec::new(), call }, workers)
    }

    /// The worker of a node that was lost.
    async fn node_again(&mut self, node: usize, slots: u32) -> Worker {
        let started = self.starts().await;
        assert_eq!(started.node, node);
        Worker::taking(started, slots).await
    }

    /// The next ends are successes of these, in any order.
    async fn all_succeeded(&mut self, mut wanted: Vec<AttemptId>) {
        while !wanted.is_empty() {
            let (id, outcome) = self.end().await;
            assert!(matches!(outcome, Some(Outcome::Succeeded(_))), "{id:?}: {outcome:?}");
            wanted.remove(wanted.iter().position(|one| *one == id).unwrap());
        }
    }
}

fn ids(indices: std::ops::Range<u32>) -> Vec<AttemptId> {
    indices.map(|index| id(index, 1)).collect()
}

fn failed(id: AttemptId) -> Said {
    let outcome = Outcome::Failed { message: "no".to_owned(), permanent: false };
    Said::Finished { id, ended: Ended::of(outcome, &Type::U32).unwrap(), usage: Usage::default() }
}

/// The next two messages of attempts, one to each.
async fn both(one: &mut Worker, two: &mut Worker) -> (Vec<AttemptId>, Vec<AttemptId>) {
    tokio::join!(one.handed(), two.handed())
}

#[tokio::test(start_paused = true)]
async fn attempts_go_to_the_node_with_the_most_free_capacity() {
    let (mut scene, mut nodes) = Scene::of_nodes(&[1, 3], HashMap::new()).await;
    let [small, large] = &mut nodes[..] else { panic!("two") };
    scene.submit(&ids(0..4));
    let (by_small, by_large) = both(small, large).await;
    // Where both have one left, the first has it.
    assert_eq!((by_small, by_large), (vec![id(2, 1)], vec![id(0, 1), id(1, 1), id(3, 1)]));
    large.say([done(id(1, 1)), done(id(0, 1)), done(id(3, 1))]).await;
    small.say([done(id(2, 1))]).await;
    scene.all_succeeded(ids(0..4)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn s7_what_a_lost_node_executed_is_lost_and_what_waited_there_goes_elsewhere() {
    let (mut scene, mut nodes) = Scene::of_nodes(&[2, 2], HashMap::new()).await;
    let mut second = nodes.remove(1);
    let mut first = nodes.remove(0);
    // It is known to take little time from here on, so that more is handed over than executes at once.
    scene.submit(&[id(1000, 1)]);
    assert_eq!(first.handed().await, [id(1000, 1)]);
    first.say([done(id(1000, 1))]).await;
    scene.succeeded(id(1000, 1)).await;
    scene.submit(&ids(0..8));
    let (mine, others) = both(&mut first, &mut second).await;
    assert_eq!((mine.len(), others.len()), (4, 4));
    first.dies("ssh ended with exit code 255").await;
    for lost in &mine[..2] {
        assert_eq!(scene.lost(*lost).await, "node `node 0`: ssh ended with exit code 255");
    }
    // Those behind keep their numbers, and are executed where there is room.
    second.say(others.iter().map(|id| done(*id))).await;
    assert_eq!(second.handed().await, mine[2..]);
    second.say(mine[2..].iter().map(|id| done(*id))).await;
    scene.all_succeeded([others, mine[2..].to_vec()].concat()).await;
    assert_eq!(
        *scene.warnings,
        [Arc::from("node `node 0`: ssh ended with exit code 255; it is tried again")]
    );
    // It is tried again as soon as there is something to do.
    scene.submit(&[id(8, 1)]);
    assert_eq!(second.handed().await, [id(8, 1)]);
    scene.node_again(0, 2).await;
    second.say([done(id(8, 1))]).await;
    scene.all_succeeded(vec![id(8, 1)]).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_was_lost_twice_is_executed_without_others() {
    let (mut scene, mut nodes) = Scene::of_nodes(&[4], HashMap::new()).await;
    let mut node = nodes.remove(0);
    for number in 1..=2 {
        scene.submit(&[id(0, number), id(number, 1)]);
        assert_eq!(node.handed().await, [id(0, number), id(number, 1)]);
        node.dies("it ended").await;
        scene.lost(id(0, number)).await;
        scene.lost(id(number, 1)).await;
        // It is started again once there is something to do.
        scene.submit(&[id(10 + number, 1)]);
        node = scene.node_again(0, 4).await;
        assert_eq!(node.handed().await, [id(10 + number, 1)]);
        node.say([done(id(10 + number, 1))]).await;
        scene.succeeded(id(10 + number, 1)).await;
    }
    scene.submit(&[id(0, 3), id(1, 2), id(2, 2)]);
    assert_eq!(node.handed().await, [id(0, 3)]);
    assert!(!node.hears_something().await, "another was handed over beside it");
    node.say([done(id(0, 3))]).await;
    assert_eq!(node.handed().await, [id(1, 2), id(2, 2)]);
    node.say([done(id(1, 2)), done(id(2, 2))]).await;
    scene.all_succeeded(vec![id(0, 3), id(1, 2), id(2, 2)]).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn each_node_has_its_own_breaker_and_a_group_that_all_keep_out_is_told() {
    let policy = model::Breaker { failures: 2, cooldown: Duration::from_secs(10) };
    let (mut scene, mut nodes) = Scene::of_nodes(&[1, 1], [(NodeId(0), policy)].into()).await;
    let [bad, good] = &mut nodes[..] else { panic!("two") };
    for index in [0, 1] {
        scene.submit(&[id(index, 1)]);
        assert_eq!(bad.handed().await, [id(index, 1)]);
        bad.say([failed(id(index, 1))]).await;
        assert_eq!(scene.end().await.0, id(index, 1));
    }
    let said = scene.warnings.pop().unwrap();
    assert!(said.starts_with("breaker of node `node 0` opened after 2 failures in a row"), "{said}");
    // All that follows is the other's, until it is time for a probe.
    for index in 2..6 {
        scene.submit(&[id(index, 1)]);
        assert_eq!(good.handed().await, [id(index, 1)]);
        good.say([done(id(index, 1))]).await;
        scene.succeeded(id(index, 1)).await;
    }
    for index in [6, 7, 8] {
        tokio::time::sleep(Duration::from_secs(11)).await;
        scene.submit(&[id(index, 1)]);
        assert_eq!(bad.handed().await, [id(index, 1)]);
        bad.say([failed(id(index, 1))]).await;
        assert_eq!(scene.end().await.0, id(index, 1));
    }
    assert_eq!(&*scene.warnings.pop().unwrap(), "breaker of node `node 0` stays open: 3 probes failed");
    scene.warnings.clear();
    // Once the other one's stays open as well, the group is told, and gets back what waits.
    for (index, pause) in [(9, 0), (10, 0), (11, 11), (12, 11), (13, 11)] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        scene.submit(&[id(index, 1)]);
        assert_eq!(good.handed().await, [id(index, 1)]);
        good.say([failed(id(index, 1))]).await;
        assert_eq!(scene.end().await.0, id(index, 1));
    }
    // It is the group's end that tells of the last one.
    assert!(!scene.warnings.iter().any(|said| said.contains("stays open")), "{:?}", scene.warnings);
    scene.submit(&ids(14..16));
    assert_eq!(scene.told().await, Report::KeptOut { node: NodeId(0) });
    scene.returned(id(14, 1)).await;
    scene.returned(id(15, 1)).await;
    scene.over().await;
}

#[tokio::test(start_paused = true)]
async fn an_executor_none_of_whose_nodes_can_be_used_is_out_of_reach() {
    let (pool, mut started) = Scene::closed_with(2, 2, HashMap::new());
    let (port, _reports) = Port::new(Interest::default(), crate::channel::Memory::shared);
    let opened = pool.open(port);
    let (opened, ()) = tokio::join!(opened, async {
        for _ in 0..2 {
            let Started { node, from, mut to, .. } = soon("a node", started.recv()).await.unwrap();
            let hello = Hello { protocol: 1000 + node as u32, ..Hello::of(ENGINE) };
            greet(Receiver::new(from), &mut to, &hello).await.unwrap_err();
        }
    });
    let said = opened.unwrap_err().to_string();
    assert!(said.contains("node `node 0`: ") && said.contains("protocol 1001"), "{said}");
    assert!(started.try_recv().is_err(), "a node of another protocol is tried again");
}

#[tokio::test(start_paused = true)]
async fn parts_are_forgotten_behind_the_attempts_that_name_them() {
    let (mut scene, mut nodes) = Scene::of_nodes(&[8], HashMap::new()).await;
    let node = &mut nodes[0];
    let call = Arc::new(call(WASM, &[Type::bytes()], Type::U32));
    // One of them is all that a node keeps of those that it was given once.
    let attempt = |index: u32, fill: u8| Attempt {
        id: id(index, 1),
        iteration: 1,
        call: Arc::clone(&call),
        arguments: vec![Value::Bytes(vec![fill; 64 << 20].into())],
    };
    let (mut kept, mut handed) = (std::collections::BTreeSet::new(), 0);
    scene.pool.submit(vec![attempt(0, 0)]);
    for (last, more) in [(1, 1..7), (7, 0..0)] {
        while handed < last {
            match node.hear().await {
                Some(ToWorker::Start { attempts }) => {
                    for start in &attempts {
                        let [part] = start.shared[..] else { panic!("{start:?}") };
                        match part.place {
                            crate::wire::Place::Kept => assert!(kept.contains(&part.number), "{start:?}"),
                            crate::wire::Place::Here | crate::wire::Place::Packed(_) => {
                                assert!(kept.insert(part.number), "{start:?}");
                            }
                        }
                        handed += 1;
                        node.say([done(start.id)]).await;
                    }
                }
                Some(ToWorker::ForgetShared { numbers }) => {
                    assert!(numbers.iter().all(|number| kept.remove(number)), "{numbers:?}");
                }
                Some(ToWorker::Call { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        // The first again, and five others.
        scene.pool.submit(more.map(|index| attempt(index, index as u8 - 1)).collect());
    }
    scene.all_succeeded(ids(0..7)).await;
    if let Some(ToWorker::ForgetShared { numbers }) = node.hear().await {
        assert!(numbers.iter().all(|number| kept.remove(number)), "{numbers:?}");
    }
    // The first, which came twice, and the last.
    assert_eq!(kept.len(), 2);
}
