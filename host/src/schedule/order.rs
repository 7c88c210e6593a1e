//! Which nodes can ever open and end, before any of them runs. Knows who waits for whom and who may start
//! whom, and nothing of branches.

use super::node::{Node, Phase};
use crate::id::NodeId;

/// Nodes that wait for themselves, for one that does not exist, or for such a node, and those in them. One whose branches
/// others start waits for those to end as well, save for those that it may start in turn: they end
/// together.
pub(super) fn unreachable(nodes: &[Node]) -> Vec<NodeId> {
    let ids = || (0_u32..).map(NodeId).take(nodes.len());
    let mut missing: Vec<u32> = nodes
        .iter()
        .map(|node| match node.phase {
            Phase::Waiting { missing } => missing,
            Phase::Opening | Phase::Open | Phase::Closed => u32::MAX,
        })
        .collect();
    let mut starters = vec![Vec::new(); nodes.len()];
    for (id, node) in ids().zip(nodes) {
        for target in &node.may_start {
            if let Some(starters) = starters.get_mut(target.index()) {
                starters.push(id);
            }
        }
    }
    let started = |id: NodeId| nodes.get(id.index()).is_some_and(|node| node.started);
    let mut reached = vec![false; nodes.len()];
    let mut waiting: Vec<NodeId> = ids().filter(|id| missing.get(id.index()) == Some(&0)).collect();
    // Those that others start wait here, with all that they wait for to open.
    let mut held: Vec<NodeId> = Vec::new();
    loop {
        while let Some(id) = waiting.pop() {
            if started(id) {
                held.push(id);
            } else {
                reach(id, nodes, &mut reached, &mut missing, &mut waiting);
            }
        }
        // Of those held, the ones that only each other or what was reached may start.
        let mut ends = held.clone();
        loop {
            let before = ends.len();
            let is = |set: &[bool], id: &NodeId| set.get(id.index()).copied().unwrap_or(false);
            let known = ends.clone();
            ends.retain(|id| {
                let starters = starters.get(id.index()).map_or(&[][..], |starters| starters);
                starters.iter().all(|starter| is(&reached, starter) || known.contains(starter))
            });
            if ends.len() == before {
                break;
            }
        }
        if ends.is_empty() {
            break;
        }
        held.retain(|id| !ends.contains(id));
        for id in ends {
            reach(id, nodes, &mut reached, &mut missing, &mut waiting);
        }
    }
    ids().filter(|id| reached.get(id.index()) == Some(&false)).collect()
}

/// Takes down that a node ends, and what need wait for nothing more.
fn reach(id: NodeId, nodes: &[Node], reached: &mut [bool], missing: &mut [u32], waiting: &mut Vec<NodeId>) {
    if let Some(reached) = reached.get_mut(id.index()) {
        *reached = true;
    }
    let Some(node) = nodes.get(id.index()) else { return };
    let inside = node.inside.all().map(|(group, _)| group.first);
    for dependant in node.dependants.iter().copied().chain(inside) {
        if let Some(count) = missing.get_mut(dependant.index()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.push(dependant);
            }
        }
    }
}
