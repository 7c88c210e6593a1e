//! What holds on every run, on random ones. The world checks each action as it comes; here stands
//! what compares whole runs.

use proptest::prelude::*;

use super::cases::cases;
use super::world::World;
use crate::model::OnFailure;
use crate::schedule::Action;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Order follows data, bounds hold, every branch and node ends once, the run ends.
    #[test]
    fn every_run_keeps_the_rules(case in cases()) {
        World::new(&case).run(true);
    }

    #[test]
    fn stale_outcomes_change_nothing(case in cases()) {
        prop_assert_eq!(World::new(&case).run(true), World::new(&case).run(false));
    }

    #[test]
    fn equal_inputs_give_equal_actions(case in cases()) {
        prop_assert_eq!(World::new(&case).run(true), World::new(&case).run(true));
    }

    #[test]
    fn concurrency_one_runs_in_input_order(mut case in cases()) {
        for node in &mut case.plan.nodes {
            node.concurrency = Some(1);
            node.retry.clear();
            node.on_failure = OnFailure::Continue;
        }
        let mut last = std::collections::BTreeMap::new();
        for action in World::new(&case).run(true) {
            if let Action::Submit { id } = action {
                let before = last.insert(id.branch.node, id.branch.index);
                prop_assert!(before.is_none_or(|before| before <= id.branch.index), "{:?} after {:?}", id, before);
            }
        }
    }
}
