//! Why groups and their branches ended as they did, where the branches' own outcomes do not say it:
//! what was required, and what ended a group early. Words only; the scheduler decided.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::{Breaker, Cause, Counts, Form, Group, Kind, MOST_PROBES, Node, Require, Status};

/// Why a node that opened ended as `status`; none where its branches say it all. `lost` are those of them
/// that are groups and did not succeed.
pub(crate) fn of_group(
    node: &Node,
    settled: Option<Cause>,
    counts: &Counts,
    status: Status,
    lost: &[Arc<str>],
) -> Option<String> {
    let group = match &node.kind {
        Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => return None,
        Kind::Group(group) => group,
    };
    let ended = settled.and_then(|cause| early(group, cause));
    let short = match status {
        Status::Failed => short(group, counts).or_else(|| of_lost(lost)),
        Status::Pending | Status::Running | Status::Succeeded | Status::Cancelled | Status::Skipped => None,
    };
    match (ended, short) {
        (Some(ended), Some(short)) => Some(format!("{ended}; {short}")),
        (ended, short) => ended.or(short),
    }
}

/// What ended it early, where that is more than one of its branches.
fn early(group: &Group, cause: Cause) -> Option<String> {
    match cause {
        Cause::GroupTimeout => group.policy.timeout.map(|after| format!("its timeout of {after:?} passed")),
        Cause::Breaker => Some(match group.policy.breaker {
            Some(breaker) => {
                let cooldown = breaker.cooldown;
                format!("breaker open: {MOST_PROBES} probes failed, one after each cooldown of {cooldown:?}")
            }
            None => "breaker open".to_owned(),
        }),
        Cause::Finished | Cause::Aborted => Some(cause.describe().to_owned()),
        Cause::Outer => Some("the group that it is in was decided".to_owned()),
        Cause::Interrupted | Cause::Sibling | Cause::Winner => None,
    }
}

/// Which groups in it did not succeed.
fn of_lost(lost: &[Arc<str>]) -> Option<String> {
    match lost {
        [] => None,
        [one] => Some(format!("group `{one}` did not succeed")),
        many => Some(format!("groups `{}` did not succeed", many.join("` and `"))),
    }
}

/// Why a group in `outer` ended as `status` without having begun; `decided` says that the outer one was.
pub(crate) fn of_idle(outer: &Node, decided: bool, status: Status) -> Option<String> {
    match status {
        Status::Skipped => Some(format!("group `{}`, which it is in, has not begun", outer.name)),
        Status::Cancelled if decided => Some("the group that it is in was decided".to_owned()),
        Status::Pending | Status::Running | Status::Succeeded | Status::Failed | Status::Cancelled => None,
    }
}

/// What is said of a group, where the group that it is in takes that for a value.
pub(crate) fn of_member(node: &Node, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("group `{}`: {reason}", node.name),
        None => format!("group `{}` did not succeed", node.name),
    }
}

/// What it required and did not have, where that is less than everything.
fn short(group: &Group, counts: &Counts) -> Option<String> {
    if group.merge.takes_first() {
        return Some("no successful results".to_owned());
    }
    match &group.policy.require {
        Require::All => None,
        Require::Any | Require::AtLeast(_) => {
            let mut said = match counts.succeeded {
                0 => "no branch succeeded".to_owned(),
                1 => "1 branch succeeded".to_owned(),
                many => format!("{many} branches succeeded"),
            };
            let _infallible = write!(said, " and {} required", least(&group.policy.require));
            Some(said)
        }
        Require::Critical(critical) => {
            let members = match &group.form {
                Form::ForEach { .. } => &[][..],
                Form::Tasks(members) => members,
            };
            let member = |index: &u32| members.get(*index as usize).map(|member| &*member.name);
            let names: Vec<&str> = critical.iter().filter_map(member).collect();
            let names = names.join("`, `");
            Some(match names.rsplit_once(", ") {
                Some((most, last)) => format!("`{most} and {last}` had to succeed"),
                None => format!("`{names}` had to succeed"),
            })
        }
    }
}

fn least(require: &Require) -> String {
    match require.least() {
        None => "all are".to_owned(),
        Some(1) => "1 is".to_owned(),
        Some(many) => format!("{many} are"),
    }
}

/// Why a group cannot have what it requires, however its branches end; none where it can.
pub(crate) fn hopeless(node: &Node, branches: u32) -> Option<String> {
    let group = match &node.kind {
        Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => return None,
        Kind::Group(group) => group,
    };
    group.policy.require.least().filter(|least| *least > branches).map(|_| {
        let count = match branches {
            0 => "no branches".to_owned(),
            1 => "1 branch".to_owned(),
            many => format!("{many} branches"),
        };
        match group.merge.takes_first() {
            true => format!("no successful results: it has {count}"),
            false => format!("it has {count}, and {} required to succeed", least(&group.policy.require)),
        }
    })
}

/// Why a branch ended cancelled, when its group was settled for `cause`. `error` is what was said of
/// its last attempt.
pub(crate) fn of_cancelled(cause: Cause, error: Option<&str>) -> String {
    match error {
        Some(error) if error != cause.describe() => format!("{}; before that: {error}", cause.describe()),
        Some(_) | None => cause.describe().to_owned(),
    }
}

/// Why a node was skipped that waits for another.
pub(crate) fn waits_for(node: &Node, other: &Node, left: bool) -> String {
    let name = &other.name;
    match node.kind {
        _ if left => format!("`{name}`, which it waits for, went on elsewhere"),
        Kind::Started(_) if other.tasks().any(|task| !task.flow.may_start.is_empty()) => {
            format!("`{name}`, which might have started more of it, did not succeed")
        }
        Kind::Task(_) | Kind::Started(_) | Kind::Group(_) | Kind::Best(_) => {
            format!("it waits for `{name}`, which has no value")
        }
    }
}

/// What is to be said when the breaker of a group opens.
pub(crate) fn breaker_opened(node: &Node) -> String {
    let breaker = match &node.kind {
        Kind::Task(_) | Kind::Started(_) | Kind::Best(_) => None,
        Kind::Group(group) => group.policy.breaker,
    };
    let Some(Breaker { failures, cooldown }) = breaker else { return "breaker opened".to_owned() };
    let failures =
        if failures == 1 { "1 failure".to_owned() } else { format!("{failures} failures in a row") };
    format!("breaker opened after {failures}: the others wait, and one probes after {cooldown:?}")
}
