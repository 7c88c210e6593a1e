//! Which lanes are let in, and when.

use super::*;
use crate::model::Type;
use crate::runtime::testing;

/// A queue of two threads with more attempts ready than there are lanes, and the lanes that took
/// one.
fn busy() -> (Queue, Wake) {
    let mut queue = Queue::new(16, 2, 0);
    let call = Arc::new(testing::call(b"", &[], Type::unit()));
    let attempt = |index| Attempt {
        id: testing::attempt_id(index),
        iteration: 1,
        call: Arc::clone(&call),
        arguments: Vec::new(),
    };
    let woken = queue.submit((0..100).map(attempt).collect());
    (queue, woken)
}

/// Lanes that are let in while the guest of `lane` computes for so many turns.
fn computes(queue: &mut Queue, lane: usize, turns: u32) -> Wake {
    let resting = queue.resting.clone();
    let woken = (0..turns).flat_map(|_| queue.turn(lane)).collect::<Wake>();
    woken.into_iter().filter(|lane| resting.contains(lane)).collect()
}

/// A queue of two threads with many attempts of a call that is prepared, and the lanes that execute
/// two of them.
fn computing() -> (Queue, Wake, Arc<Call>) {
    let (mut queue, woken) = busy();
    let call = Arc::clone(&queue.ready[0].call);
    for lane in &woken {
        assert!(matches!(queue.next(*lane, Some(&call)), Next::Again(_)));
    }
    (queue, woken, call)
}

#[test]
fn short_attempts_have_a_thread_to_themselves() {
    let (mut queue, woken, _) = computing();
    assert_eq!(woken.len(), 2);
    assert_eq!(computes(&mut queue, woken[0], PATIENCE - 1).len(), 0);
    assert_eq!(computes(&mut queue, woken[0], 1).len(), 1);
}

#[test]
fn each_that_is_let_in_doubles_the_patience() {
    let (mut queue, woken, call) = computing();
    let third = computes(&mut queue, woken[0], PATIENCE)[0];
    assert_eq!(computes(&mut queue, woken[1], 2 * PATIENCE - 1).len(), 0);
    assert_eq!(computes(&mut queue, woken[1], 1).len(), 1);
    assert!(matches!(queue.next(third, Some(&call)), Next::Again(_)));
    assert_eq!(computes(&mut queue, third, 4 * PATIENCE - 1).len(), 0);
    queue.over(woken[0]);
    assert!(matches!(queue.next(woken[0], Some(&call)), Next::Rest(_)), "three are awake for two threads");
    assert_eq!(computes(&mut queue, third, 1).len(), 1, "only one other computes beside two");
}

#[test]
fn what_waits_lets_all_lanes_begin() {
    let (mut queue, woken, call) = computing();
    let mut begun = woken;
    let mut at = 0;
    while let Some(lane) = begun.get(at).copied() {
        at += 1;
        let woken = queue.wait(lane);
        for lane in &woken {
            assert!(matches!(queue.next(*lane, Some(&call)), Next::Again(_)));
        }
        begun.extend(woken);
    }
    assert_eq!(begun.len(), 16);
}

#[test]
fn lanes_that_come_back_rest_while_the_threads_are_taken() {
    let (mut queue, woken, call) = computing();
    let let_in = queue.wait(woken[0])[0];
    assert!(matches!(queue.next(let_in, Some(&call)), Next::Again(_)));
    queue.back(woken[0]);
    queue.over(woken[0]);
    assert!(matches!(queue.next(woken[0], Some(&call)), Next::Rest(_)), "two others are awake");
    assert!(matches!(queue.next(let_in, Some(&call)), Next::Again(_)));
}

#[test]
fn g1_another_call_begins_at_the_next_tick() {
    let (mut queue, woken, _) = computing();
    let good = Arc::new(testing::call(b"", &[], Type::unit()));
    let attempt = |index| Attempt {
        id: testing::attempt_id(index),
        iteration: 1,
        call: Arc::clone(&good),
        arguments: Vec::new(),
    };
    assert_eq!(queue.submit(vec![attempt(200), attempt(201)]).len(), 0);
    let let_in = computes(&mut queue, woken[1], 1);
    assert_eq!(let_in.len(), 1);
    assert!(matches!(queue.next(let_in[0], Some(&good)), Next::Again(_)));
    // Its next attempt follows it at once, though the lane is one more than there are threads.
    queue.wait(let_in[0]);
    queue.back(let_in[0]);
    queue.over(let_in[0]);
    assert!(matches!(queue.next(let_in[0], Some(&good)), Next::Again(_)));
}

#[test]
fn lanes_that_are_kept_rest_while_one_call_waits_in_all_others() {
    let mut queue = Queue::new(20, 2, 4);
    let call = Arc::new(testing::call(b"", &[], Type::unit()));
    let attempt = |index| Attempt {
        id: testing::attempt_id(index),
        iteration: 1,
        call: Arc::clone(&call),
        arguments: Vec::new(),
    };
    let mut woken = queue.submit((0..30).map(attempt).collect());
    let mut begun = Vec::new();
    let mut looks = 0;
    while let Some(lane) = woken.pop() {
        looks += 1;
        assert!(looks < 100, "the lanes wake each other for ever");
        match queue.next(lane, Some(&call)) {
            Next::Again(_) => {
                begun.push(lane);
                woken.extend(queue.wait(lane));
            }
            Next::Rest(others) => woken.extend(others),
            Next::Run(..) | Next::Refuse(..) | Next::Prepare(_) => panic!("the call is prepared"),
        }
    }
    assert_eq!(begun.len(), 16);
    // The lane of the first that ends takes the next.
    queue.back(begun[0]);
    queue.over(begun[0]);
    assert!(matches!(queue.next(begun[0], Some(&call)), Next::Again(_)));
}

#[test]
fn g1_the_last_lanes_are_for_calls_that_hold_few() {
    let mut queue = Queue::new(20, 2, 4);
    let [hostile, good] = [(); 2].map(|()| Arc::new(testing::call(b"", &[], Type::unit())));
    let attempts = |call: &Arc<Call>, first: u32, count: u32| -> Vec<Attempt> {
        let attempt = |index| Attempt {
            id: testing::attempt_id(index),
            iteration: 1,
            call: Arc::clone(call),
            arguments: Vec::new(),
        };
        (first..first + count).map(attempt).collect()
    };
    // `last` stands for calls that are prepared.
    queue.submit(attempts(&hostile, 0, 30));
    let runs = |queue: &mut Queue, lane: usize, call: &Arc<Call>| {
        matches!(queue.next(lane, Some(call)), Next::Again(_))
    };
    // Every lane asks, as if those before it waited.
    let all = |queue: &mut Queue, from: usize, call: &Arc<Call>| -> usize {
        (from..20)
            .take_while(|lane| {
                queue.awake = 0;
                runs(queue, *lane, call)
            })
            .count()
    };
    assert_eq!(all(&mut queue, 0, &hostile), 16);
    queue.submit(attempts(&good, 100, 10));
    assert!(queue.is_unfair());
    assert_eq!(all(&mut queue, 16, &good), 4);
    // One that ends is followed by one of its kind, for as long as that holds few.
    queue.awake = 0;
    assert!(runs(&mut queue, 19, &good));
}
