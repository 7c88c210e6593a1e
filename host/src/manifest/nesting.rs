//! Groups inside groups: which is in which, and that none is in itself, in two, or too deep. Knows their
//! names, not what they run.

use std::collections::{HashMap, HashSet};

use super::diagnostics::Findings;
use super::raw::{File, Form, Group};
use super::span::Span;

/// So many groups are inside each other at most. Types and values nest as their groups do, and whoever
/// reads them recurses.
pub(super) const DEEPEST: usize = 32;

/// Which groups are in which.
#[derive(Default)]
pub(super) struct Nesting {
    /// Of each group of the file the one that names it, and where.
    outer: Vec<Option<(usize, Span)>>,
    /// The groups by position, each after those that are in it.
    pub(super) order: Vec<usize>,
    /// Whether some are too deep. Then no types may be made of theirs.
    pub(super) too_deep: bool,
}

impl Nesting {
    pub(super) fn read(file: &File<'_>, findings: &Findings) -> Self {
        let groups = &file.groups;
        let tasks: HashSet<&str> = file.tasks.iter().map(|task| task.name.value).collect();
        let positions: HashMap<&str, usize> =
            (0..).zip(groups).map(|(at, group)| (group.name.value, at)).collect();
        let mut outer: Vec<Option<(usize, Span)>> = vec![None; groups.len()];
        for (at, group) in groups.iter().enumerate() {
            let Some(Form::Tasks(members)) = &group.form else { continue };
            for member in members {
                // That a task has the same name is said elsewhere.
                let Some(inner) = positions.get(member.value).filter(|_| !tasks.contains(member.value))
                else {
                    continue;
                };
                match outer.get_mut(*inner) {
                    // So is that a group names it twice.
                    Some(Some((before, _))) if *before == at => {}
                    Some(Some((before, _))) => {
                        let name = member.value;
                        let other = groups.get(*before).map_or("", |group| group.name.value);
                        findings.at_with_help(
                            member.span,
                            format!("group `{name}` is in group `{other}` already, and a group is in one other at most"),
                            format!("define it a second time under another name, over the same tasks, for `{}`", group.name.value),
                        );
                    }
                    Some(slot) => *slot = Some((at, member.span)),
                    None => {}
                }
            }
        }
        let mut nesting = Self { outer, order: Vec::new(), too_deep: false };
        let depths = nesting.depths(groups, findings);
        nesting.too_deep = depths.iter().any(|depth| *depth >= DEEPEST);
        nesting.order = (0..groups.len()).collect();
        nesting.order.sort_by_key(|at| std::cmp::Reverse(depths.get(*at).copied().unwrap_or_default()));
        nesting
    }

    /// The group around the one at this position, and where that names it.
    pub(super) fn outer(&self, at: usize) -> Option<(usize, Span)> {
        self.outer.get(at).copied().flatten()
    }

    /// Of each group the one that it is in, however deep, or itself.
    pub(super) fn outermost(&self) -> Vec<usize> {
        let mut outermost: Vec<usize> = (0..self.outer.len()).collect();
        // From the outside in. Those that are in each other in a circle are reported elsewhere.
        for at in self.order.iter().rev() {
            let outer = self.outer(*at).and_then(|(outer, _)| outermost.get(outer).copied());
            if let (Some(outer), Some(slot)) = (outer, outermost.get_mut(*at)) {
                *slot = outer;
            }
        }
        outermost
    }

    /// In how many groups each is. Those that are in themselves, or too deep, are reported.
    fn depths(&self, groups: &[Group<'_>], findings: &Findings) -> Vec<usize> {
        let mut depths: Vec<Option<usize>> = vec![None; groups.len()];
        let name = |at: &usize| groups.get(*at).map_or("", |group| group.name.value);
        for start in 0..groups.len() {
            // From the group outwards, until one whose depth is known.
            let mut path: Vec<usize> = Vec::new();
            let mut on_path = HashSet::new();
            let mut at = Some(start);
            let mut around = None;
            while let Some(group) = at {
                if let Some(known) = depths.get(group).copied().flatten() {
                    around = Some(known);
                    break;
                }
                if !on_path.insert(group) {
                    let from = path.iter().position(|on| *on == group).unwrap_or_default();
                    let cycle = std::iter::once(&group).chain(path.iter().skip(from).rev());
                    let names: Vec<&str> = cycle.map(name).collect();
                    let inner = path.last().and_then(|last| self.outer(*last));
                    let span = inner.map(|(_, span)| span).unwrap_or_default();
                    let message = match names.as_slice() {
                        [one, _] => format!("group `{one}` is a member of itself"),
                        names => format!("groups contain each other: `{}`", shown(names)),
                    };
                    findings.at_with_help(span, message, "take one of these members away");
                    break;
                }
                path.push(group);
                at = self.outer(group).map(|(outer, _)| outer);
            }
            let first = around.map_or(0, |around| around + 1);
            for (depth, group) in (first..).zip(path.into_iter().rev()) {
                if depth == DEEPEST
                    && let Some((_, span)) = self.outer(group)
                {
                    let message = format!("group `{}` is in more than {} groups", name(&group), DEEPEST - 1);
                    findings.at_with_help(span, message, "let a later task take the values of both");
                }
                if let Some(slot) = depths.get_mut(group) {
                    *slot = Some(depth);
                }
            }
        }
        depths.into_iter().map(Option::unwrap_or_default).collect()
    }
}

/// So many names of a cycle are shown.
const SHOWN: usize = 20;

fn shown(names: &[&str]) -> String {
    match names.get(..SHOWN).zip(names.last()) {
        Some((first, last)) if names.len() > SHOWN + 1 => {
            format!("{}` → … ({} more) → `{last}", first.join("` → `"), names.len() - SHOWN - 1)
        }
        Some(_) | None => names.join("` → `"),
    }
}
