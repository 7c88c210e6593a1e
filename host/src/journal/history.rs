//! What a journal's records come to: which branches ended how, and which are missing.

use std::collections::{HashMap, hash_map};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::record::{Again, Asked, Attempted, FileRead, Kept, Record, RunEnd, Stamped, Start};
use crate::digest::Digest;
use crate::model::{ChannelWrite, Counts, Ending, Start as Started, Status, Then, Totals, Usage};

/// A run as its journal has it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    /// Under what it began or was last resumed.
    pub start: Option<Box<Start>>,
    /// When it began, in microseconds since 1970.
    pub began: u64,
    /// The time of the last record.
    pub last: u64,
    /// How often it was resumed.
    pub resumed: u32,
    /// What is known of tasks and groups, by name.
    pub nodes: HashMap<Arc<str>, NodeHistory>,
    /// Changes of its channel, in their order.
    pub channel: Vec<ChannelWrite>,
    /// Whether one of them was not written down, because it holds a secret.
    pub channel_withheld: bool,
    /// Whether an attempt asked for something that was not written down, because it holds a secret.
    pub asked_withheld: bool,
    /// How it ended, if it did and nothing came after.
    pub end: Option<RunEnd>,
}

/// What is known of a task or group.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NodeHistory {
    /// How many branches it has, once it opened, and the digest of its items where it has any.
    pub opened: Option<(u32, Option<Digest>)>,
    /// How it ended, if it did.
    pub ended: Option<Status>,
    /// The arguments of branches that others started, JSON objects, in the order started.
    pub starts: Vec<Arc<str>>,
    /// Whether what waits for it is not to run, since it went on elsewhere.
    pub left: bool,
    /// The branch that ended the run, if one of its branches did, and whether as succeeded.
    pub decided: Option<(u32, bool)>,
    /// What all of its attempts used, those included that count no longer.
    pub totals: Totals,
    /// Branches of which something is recorded.
    pub branches: FxHashMap<u32, BranchHistory>,
}

/// What is known of a branch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BranchHistory {
    /// How many attempts ended.
    pub attempts: u32,
    /// How many of these were lost.
    pub lost: u32,
    /// How many of these were made before an outcome that counts no longer.
    pub before: u32,
    /// How the branch ended, if it did.
    pub ended: Option<Ending>,
    /// Its value.
    pub value: Kept,
    /// What is known of few branches only.
    pub more: Option<Box<More>>,
}

/// What is known of few branches only.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct More {
    /// What was said of an ending other than succeeded.
    pub error: Option<Arc<str>>,
    /// Files that its arguments were read from.
    pub files: Vec<FileRead>,
    /// How often it ran again, and the arguments of the last time, a JSON object.
    pub again: Option<(u32, Arc<str>)>,
}

/// How a run stands, as far as the journal tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// All that it would run has ended.
    Ended(RunEnd),
    /// It was stopped, or its process is gone or still at it.
    Unfinished,
}

impl History {
    /// How the run stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.end {
            Some(end) if !end.stopped => Standing::Ended(end),
            Some(_) | None => Standing::Unfinished,
        }
    }

    /// Branches by their ending.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let branches = self.nodes.values().flat_map(|node| node.branches.values());
        branches.filter_map(|branch| branch.ended).for_each(|ending| counts.add(ending));
        counts
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// Fails when it is at odds with those before.
    pub fn take(&mut self, stamped: Stamped) -> Result<(), String> {
        match (&stamped.record, &self.start) {
            (Record::RunStarted(_), Some(_)) => return Err("begins a run that had begun".to_owned()),
            (Record::RunStarted(_), None) => self.began = stamped.time,
            (_, None) => return Err("comes before the run began".to_owned()),
            (_, Some(_)) => {}
        }
        self.last = stamped.time;
        if !matches!(stamped.record, Record::RunEnded(_)) {
            self.end = None;
        }
        match stamped.record {
            Record::RunStarted(start) => self.start = Some(start),
            Record::RunResumed(start) => {
                self.resumed += 1;
                self.start = Some(start);
            }
            Record::Discarded(again) => self.discard(&again),
            Record::ChannelWritten { write: Some(write), .. } => self.channel.push(*write),
            Record::ChannelWritten { write: None, .. } => self.channel_withheld = true,
            Record::GroupStarted { node, branches, items } => {
                self.node(node).opened = Some((branches, items));
            }
            Record::AttemptEnded(attempted) => self.attempted(*attempted, false)?,
            Record::TaskEnded(attempted) => self.attempted(*attempted, true)?,
            Record::Unstarted { node, from, to } => {
                let history = self.node(Arc::clone(&node));
                for index in from..to {
                    let cancelled =
                        BranchHistory { ended: Some(Ending::Cancelled), ..BranchHistory::default() };
                    match history.branches.entry(index) {
                        hash_map::Entry::Vacant(vacant) => drop(vacant.insert(cancelled)),
                        hash_map::Entry::Occupied(mut known) if known.get().ended.is_none() => {
                            known.get_mut().ended = Some(Ending::Cancelled);
                        }
                        hash_map::Entry::Occupied(_) => {
                            return Err(format!("tells a second end of `{node}[{index}]`"));
                        }
                    }
                }
            }
            Record::GroupEnded { node, status, .. } => self.node(node).ended = Some(status),
            Record::RunEnded(end) => self.end = Some(end),
        }
        Ok(())
    }

    fn node(&mut self, name: Arc<str>) -> &mut NodeHistory {
        self.nodes.entry(name).or_default()
    }

    fn attempted(&mut self, attempted: Attempted, last: bool) -> Result<(), String> {
        let Attempted { node, index, number, ending, error, value, files, asked, .. } = attempted;
        let name = Arc::clone(&node);
        let then = self.asked(&node, index, asked);
        let Attempted { guest, peak_memory, fuel, metrics, .. } = attempted;
        let node = self.node(node);
        // Beyond 256 names figures are left out, as in the run that reported them.
        node.totals.add(&Usage { wall: guest, peak_memory, fuel, metrics, requests: None });
        let branch = node.branches.entry(index).or_default();
        if branch.ended.is_some() {
            return Err(format!("tells a second end of `{name}[{index}]`"));
        }
        // A branch may end cancelled while it waits for its next attempt: then no attempt is new.
        let waited = last && ending == Ending::Cancelled && number == branch.attempts;
        let in_order = waited || number > branch.attempts;
        if !in_order {
            return Err(format!(
                "tells of attempt {number} of `{name}[{index}]` after attempt {}",
                branch.attempts
            ));
        }
        branch.attempts = number;
        if ending == Ending::Lost {
            branch.lost += 1;
        }
        if let (Then::Iterates(arguments), false) = (then, last) {
            (branch.before, branch.lost) = (number, 0);
            let again = &mut branch.more.get_or_insert_default().again;
            *again = Some((again.as_ref().map_or(0, |(times, _)| *times) + 1, arguments));
        }
        if last {
            branch.ended = Some(ending);
            branch.value = value;
            if error.is_some() || !files.is_empty() {
                let more = branch.more.get_or_insert_default();
                (more.error, more.files) = (error, files);
            }
        }
        Ok(())
    }

    /// Takes down what a branch asked for; how the branch itself goes on is left to the caller.
    fn asked(&mut self, name: &Arc<str>, index: u32, asked: Asked) -> Then {
        let requests = match asked {
            Asked::Nothing => return Then::Ends,
            Asked::For(requests) => requests,
            Asked::Withheld => {
                self.asked_withheld = true;
                return Then::Ends;
            }
        };
        for Started { task, arguments } in requests.next {
            self.node(task).starts.push(arguments);
        }
        match &requests.then {
            Then::Ends | Then::Iterates(_) => {}
            Then::GoesTo(task) => {
                self.node(Arc::clone(task)).starts.push("{}".into());
                self.node(Arc::clone(name)).left = true;
            }
            Then::Finishes => self.node(Arc::clone(name)).decided = Some((index, true)),
            Then::Aborts(_) => self.node(Arc::clone(name)).decided = Some((index, false)),
        }
        requests.then
    }

    fn discard(&mut self, again: &Again) {
        let Some(node) = self.nodes.get_mut(&again.node) else { return };
        if again.branches.is_empty() {
            return node.forget();
        }
        node.ended = None;
        for (first, last) in &again.branches {
            for index in *first..=*last {
                if let Some(branch) = node.branches.get_mut(&index) {
                    branch.forget();
                }
            }
            node.decided = node.decided.filter(|(index, _)| !(*first..=*last).contains(index));
        }
    }
}

impl NodeHistory {
    /// Whether nothing is known of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_none() && self.branches.is_empty() && self.starts.is_empty() && !self.left
    }

    /// Forgets all of it that counts no longer: what remains is how far attempts are counted.
    pub fn forget(&mut self) {
        for branch in self.branches.values_mut() {
            branch.more = None;
            branch.forget();
        }
        let (branches, totals) = (std::mem::take(&mut self.branches), std::mem::take(&mut self.totals));
        *self = Self { branches, totals, ..Self::default() };
    }
}

impl BranchHistory {
    /// Forgets how it ended, since it runs again: from the iteration that it was at.
    pub fn forget(&mut self) {
        let again = self.more.take().and_then(|more| more.again);
        *self = Self {
            attempts: self.attempts,
            before: self.attempts,
            more: again.map(|again| Box::new(More { again: Some(again), ..More::default() })),
            ..Self::default()
        };
    }
}
