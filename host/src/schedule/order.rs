//! Which nodes can ever open and end, before any of them runs. Knows who waits for whom and who may start
//! whom, and nothing of branches.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use super::node::{Node, Phase};
use crate::id::NodeId;

/// Nodes that wait for themselves, for one that does not exist, or for such a node, and those in them. One
/// whose branches others start waits for those to end as well, save for those that it may start in turn:
/// they end together.
pub(super) fn unreachable(nodes: &[Node]) -> Vec<NodeId> {
    let mut order = Order::new(nodes);
    while order.step() {}
    order.ids().filter(|id| order.ended.get(id.index()) == Some(&false)).collect()
}

/// What is known so far of who ends.
struct Order<'n> {
    nodes: &'n [Node],
    /// For how many others each has to wait before it opens.
    missing: Vec<u32>,
    /// Those that have to wait for nothing more, and were not looked at since.
    open: Vec<NodeId>,
    /// Those that end, of which nobody else was told yet.
    ending: Vec<NodeId>,
    ended: Vec<bool>,
    circles: Circles,
}

/// Nodes that others start, with those that they start and are started by, directly or through others: they
/// end together.
#[derive(Default)]
struct Circles {
    /// The circle of each node; none where nobody starts it.
    of: Vec<Option<usize>>,
    members: Vec<Vec<NodeId>>,
    /// How many members have not opened, and how many starters outside have not ended.
    lacking: Vec<usize>,
}

impl Circles {
    fn new(nodes: &[Node]) -> Self {
        let started = |id: &NodeId| nodes.get(id.index()).is_some_and(|node| node.started);
        let starts = || {
            let starters = (0_u32..).map(NodeId).zip(nodes);
            starters.flat_map(|(from, node)| node.may_start.iter().map(move |to| (from, *to)))
        };
        let mut graph = DiGraph::<(), ()>::new();
        nodes.iter().for_each(|_| {
            graph.add_node(());
        });
        let inner = starts().filter(|(from, to)| started(from) && started(to));
        graph.extend_with_edges(inner.map(|(from, to)| (from.0, to.0)));
        let mut circles = Self { of: vec![None; nodes.len()], ..Self::default() };
        for members in kosaraju_scc(&graph) {
            let ids = members.iter().filter_map(|node| u32::try_from(node.index()).ok()).map(NodeId);
            let members: Vec<NodeId> = ids.filter(started).collect();
            for member in &members {
                if let Some(of) = circles.of.get_mut(member.index()) {
                    *of = Some(circles.members.len());
                }
            }
            circles.lacking.push(members.len());
            circles.members.push(members);
        }
        for (from, to) in starts() {
            if let Some(circle) = circles.outside(from, to)
                && let Some(lacking) = circles.lacking.get_mut(circle)
            {
                *lacking += 1;
            }
        }
        circles
    }

    /// The circle that has to wait for `starter`, which starts `target` and is not in it.
    fn outside(&self, starter: NodeId, target: NodeId) -> Option<usize> {
        let of = |id: NodeId| self.of.get(id.index()).copied().flatten();
        of(target).filter(|circle| of(starter) != Some(*circle))
    }
}

impl<'n> Order<'n> {
    fn new(nodes: &'n [Node]) -> Self {
        let missing = nodes.iter().map(|node| match node.phase {
            Phase::Waiting { missing } => missing,
            Phase::Opening | Phase::Open | Phase::Closed => u32::MAX,
        });
        let missing: Vec<u32> = missing.collect();
        let ids = (0_u32..).map(NodeId).zip(&missing);
        let open = ids.filter(|(_, missing)| **missing == 0).map(|(id, _)| id).collect();
        let ended = vec![false; nodes.len()];
        Self { nodes, missing, open, ending: Vec::new(), ended, circles: Circles::new(nodes) }
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0_u32..).map(NodeId).take(self.nodes.len())
    }

    /// Looks at one node. False where there is none to look at.
    fn step(&mut self) -> bool {
        if let Some(id) = self.ending.pop() {
            self.ends(id);
        } else if let Some(id) = self.open.pop() {
            match self.circles.of.get(id.index()).copied().flatten() {
                None => self.ending.push(id),
                Some(circle) => self.lacks_less(circle),
            }
        } else {
            return false;
        }
        true
    }

    fn ends(&mut self, id: NodeId) {
        if let Some(ended) = self.ended.get_mut(id.index()) {
            *ended = true;
        }
        let Some(node) = self.nodes.get(id.index()) else { return };
        let inside = node.inside.all().map(|(group, _)| group.first);
        for dependant in node.dependants.iter().copied().chain(inside) {
            if let Some(count) = self.missing.get_mut(dependant.index()) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.open.push(dependant);
                }
            }
        }
        for target in &node.may_start {
            if let Some(circle) = self.circles.outside(id, *target) {
                self.lacks_less(circle);
            }
        }
    }

    /// One member more opened, or one starter more ended. All members end once nothing is lacking.
    fn lacks_less(&mut self, circle: usize) {
        let Some(lacking) = self.circles.lacking.get_mut(circle) else { return };
        *lacking = lacking.saturating_sub(1);
        if *lacking == 0 {
            self.ending.extend(self.circles.members.get(circle).into_iter().flatten());
        }
    }
}
