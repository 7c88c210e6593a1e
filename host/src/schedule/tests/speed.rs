//! A guard against decisions whose cost grows with the group. It counts how the cost scales, which
//! holds on a busy machine and without optimisation, where seconds mean little.

use std::time::{Duration, Instant};

use super::{attempt, node, plan};
use crate::id::NodeId;
use crate::model::Ending;
use crate::schedule::{Action, Input, Scheduler};

/// The least time of three in which a group of so many branches runs.
fn run(branches: u32) -> Duration {
    let once = || {
        let mut scheduler = Scheduler::new(plan([node()]), 1, 64);
        let mut actions = Vec::new();
        let mut submitted = 0;
        let started = Instant::now();
        scheduler.handle(Input::Begin, Duration::ZERO, &mut actions);
        let opened = Input::Opened { node: NodeId(0), branches, left_out: vec![] };
        scheduler.handle(opened, Duration::ZERO, &mut actions);
        for index in 0..branches {
            submitted += actions.iter().filter(|action| matches!(action, Action::Submit { .. })).count();
            actions.clear();
            let id = attempt(0, index, 1);
            let finished =
                Input::Finished { id, ending: Ending::Succeeded, permanent: false, again: false, ends: None };
            scheduler.handle(finished, Duration::ZERO, &mut actions);
        }
        let elapsed = started.elapsed();
        assert_eq!(submitted, branches as usize);
        assert!(matches!(actions.last(), Some(Action::Over { .. })));
        elapsed
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn a_decision_costs_the_same_in_a_large_group() {
    let (small, large) = (run(5_000), run(100_000));
    println!("{:.0} ns a branch", large.as_nanos() as f64 / 100_000.0);
    assert!(large < small * 100, "20 times the branches took {small:?} and {large:?}");
}
