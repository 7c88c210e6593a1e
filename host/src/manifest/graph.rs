//! Cycles: nodes that would wait for each other for ever. Knows who waits for whom, and nothing of
//! what they run.

use std::collections::BTreeMap;

use super::diagnostics::Findings;
use super::span::{At, Span};
use crate::id::NodeId;

/// So many cycles are reported, and so many names of each.
const REPORTED: usize = 20;

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// Reports cycles. `needs` says of each node what it waits for, and where the file says so.
pub(super) fn check(names: &[At<&str>], needs: &[BTreeMap<NodeId, Span>], findings: &Findings) {
    let mut marks = vec![Mark::New; names.len()];
    let mut reported = 0;
    for start in 0..names.len() {
        if marks.get(start) != Some(&Mark::New) {
            continue;
        }
        // A path of nodes, each with what it waits for that was not followed yet.
        let mut path: Vec<(usize, std::collections::btree_map::Iter<'_, NodeId, Span>)> = Vec::new();
        let mut next = Some((start, Span::default()));
        loop {
            if let Some((node, span)) = next.take() {
                match marks.get_mut(node) {
                    Some(mark @ Mark::New) => {
                        *mark = Mark::OnPath;
                        if let Some(needs) = needs.get(node) {
                            path.push((node, needs.iter()));
                        }
                    }
                    Some(Mark::OnPath) if reported < REPORTED => {
                        reported += 1;
                        let from = path.iter().position(|(on, _)| *on == node).unwrap_or(0);
                        let cycle = path.iter().skip(from).map(|(on, _)| *on);
                        report(cycle.chain([node]), names, span, findings);
                    }
                    Some(Mark::OnPath | Mark::Done) | None => {}
                }
            }
            let Some((node, rest)) = path.last_mut() else { break };
            match rest.next() {
                Some((id, span)) => next = Some((id.index(), *span)),
                None => {
                    if let Some(mark) = marks.get_mut(*node) {
                        *mark = Mark::Done;
                    }
                    path.pop();
                }
            }
        }
    }
}

fn report(cycle: impl Iterator<Item = usize>, names: &[At<&str>], span: Span, findings: &Findings) {
    let cycle: Vec<&str> = cycle.filter_map(|node| names.get(node)).map(|name| name.value).collect();
    if let [one, _] = cycle.as_slice() {
        findings.at_with_help(
            span,
            format!("`{one}` waits for itself"),
            "refer to something that comes before it",
        );
        return;
    }
    let shown = match cycle.len() {
        count if count > REPORTED + 1 => {
            let first = cycle.get(..REPORTED).unwrap_or_default().join("` → `");
            format!("`{first}` → … ({} more) → `{}`", count - REPORTED - 1, cycle.last().unwrap_or(&""))
        }
        _ => format!("`{}`", cycle.join("` → `")),
    };
    findings.at_with_help(
        span,
        format!("these wait for each other in a cycle: {shown}"),
        "take one of these references or one `after` away",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(count: usize, edges: &[(usize, u32)]) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|node| format!("n{node}")).collect();
        let names: Vec<At<&str>> = names.iter().map(|name| At::new(Span::default(), name.as_str())).collect();
        let mut needs = vec![BTreeMap::new(); count];
        for (node, on) in edges {
            needs[*node].insert(NodeId(*on), Span::default());
        }
        let findings = Findings::default();
        check(&names, &needs, &findings);
        let problems = findings.into_problems(String::new(), "".into());
        problems.list.into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn cycles_are_named_in_full_and_once() {
        assert_eq!(cycles(3, &[(0, 1), (0, 2), (1, 2)]), Vec::<String>::new());
        assert_eq!(cycles(1, &[(0, 0)]), ["`n0` waits for itself"]);
        assert_eq!(
            cycles(4, &[(0, 1), (1, 2), (2, 1), (3, 0)]),
            ["these wait for each other in a cycle: `n1` → `n2` → `n1`"]
        );
    }

    #[test]
    fn long_chains_neither_recurse_nor_stall() {
        let edges: Vec<(usize, u32)> =
            (0..200_000).map(|node| (node as usize, (node + 1) % 200_000)).collect();
        let found = cycles(200_000, &edges);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("(199980 more)"), "{found:?}");
    }
}
