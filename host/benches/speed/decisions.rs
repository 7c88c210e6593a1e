//! The scheduler core alone, on one thread: an attempt ends, its branch ends, the next is submitted.

use std::time::{Duration, Instant};

use flowhost::id::NodeId;
use flowhost::model::{Ending, Retry};
use flowhost::schedule::{Action, Input, NodePlan, Plan, Scheduler};

use super::table::{Bound, Table};

const ROUNDS: usize = 10;
/// Branches that are decided on in each round, in as many groups as that takes.
const DECISIONS: u32 = 1_000_000;

/// Millions of decisions a second over groups of `branches` branches: one decision takes an
/// attempt's end and says what follows.
fn rate(branches: u32) -> f64 {
    let mut elapsed = Duration::ZERO;
    for _ in 0..DECISIONS / branches {
        let node = NodePlan { retry: vec![Retry::default()], ..NodePlan::default() };
        let mut scheduler = Scheduler::new(Plan { nodes: vec![node] }, 1, 272);
        let (mut actions, mut ended) = (Vec::new(), 0);
        scheduler.handle(Input::Begin, Duration::ZERO, &mut actions);
        actions.clear();
        let opened = Input::Opened { node: NodeId(0), branches, left_out: Vec::new() };
        let mut flying = std::collections::VecDeque::new();
        let began = Instant::now();
        scheduler.handle(opened, Duration::ZERO, &mut actions);
        loop {
            for action in actions.drain(..) {
                match action {
                    Action::Submit { id } => flying.push_back(id),
                    Action::Ended { .. } => ended += 1,
                    Action::Open { .. }
                    | Action::Cancel { .. }
                    | Action::Retry { .. }
                    | Action::Settled { .. }
                    | Action::BreakerOpened { .. }
                    | Action::BreakerClosed { .. }
                    | Action::EndedUnstarted { .. }
                    | Action::Closed { .. }
                    | Action::Over { .. } => {}
                }
            }
            let Some(id) = flying.pop_front() else { break };
            let finished =
                Input::Finished { id, ending: Ending::Succeeded, permanent: false, again: false, ends: None };
            scheduler.handle(finished, Duration::ZERO, &mut actions);
        }
        elapsed += began.elapsed();
        assert_eq!(ended, branches);
    }
    f64::from(DECISIONS) / elapsed.as_secs_f64() / 1e6
}

pub(crate) fn measure(table: &Table) {
    rate(1_000);
    let (mut few, mut many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        few.push(rate(1_000));
        many.push(rate(1_000_000));
        ratios.push(few[few.len() - 1] / many[many.len() - 1]);
    }
    let bound = Bound::AtLeast(1.0);
    table.row("scheduler alone: decisions a second, 1,000 branches", few, "million", bound);
    table.row("scheduler alone: decisions a second, 1,000,000 branches", many, "million", bound);
    table.row(
        "scheduler alone: a branch of 1,000,000 against one of 1,000",
        ratios,
        "times",
        Bound::AtMost(1.2),
    );
}
