//! Where a run's attempts execute: the executors by kind, made and opened when a node first needs one.
//! Knows nothing of what they are.

use std::sync::Arc;
use std::time::Duration;

use crate::executor::{BoxFuture, Capacity, Executor, Port, Unreachable};
use crate::id::{AttemptId, NodeId};
use crate::model::{self, Attempt, Cause};

/// Executors may take so long in all to remove what a run that is over left elsewhere.
const CLOSING: Duration = Duration::from_secs(10);

type Make = Box<dyn FnOnce() -> Result<Arc<dyn Executor>, String> + Send + Sync>;

/// The executors that a run may use.
#[derive(Default)]
pub struct Executors(Vec<(model::Executor, Make)>);

impl Executors {
    /// The same, with one more, which is made when a task first needs it. `make` fails with the reason.
    #[must_use]
    pub fn with(
        mut self,
        kind: model::Executor,
        make: impl FnOnce() -> Result<Arc<dyn Executor>, String> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((kind, Box::new(make)));
        self
    }
}

/// The in-process executor, or one that takes its place.
impl<E: Executor + 'static> From<E> for Executors {
    fn from(executor: E) -> Self {
        Self::default().with(model::Executor::InProcess, || Ok(Arc::new(executor)))
    }
}

/// How far an executor is.
enum Stage {
    Unmade(Make),
    /// These nodes wait for it.
    Opening(Vec<NodeId>),
    Open(Arc<dyn Executor>, Capacity),
    Failed(String),
}

/// What a node is told that needs executors.
pub(crate) enum Reached {
    /// All are open. So many attempts may be handed over.
    Open(usize),
    /// It is told when one more is.
    Later,
    /// One cannot be reached.
    Not(Unreachable),
}

/// One executor that opens, and what comes of it.
pub(crate) type Opening = (model::Executor, BoxFuture<'static, Opened>);

/// What comes of opening.
pub(crate) type Opened = Result<(Arc<dyn Executor>, Capacity), Unreachable>;

/// The executors of a run that goes on.
pub(crate) struct Placement {
    stages: Vec<(model::Executor, Stage)>,
    port: Port,
    submitting: Vec<(model::Executor, Vec<Attempt>)>,
}

impl Placement {
    pub(crate) fn new(executors: Executors, port: Port) -> Self {
        let stages = executors.0.into_iter().map(|(kind, make)| (kind, Stage::Unmade(make)));
        Self { stages: stages.collect(), port, submitting: Vec::new() }
    }

    /// Sees to it that a node has its executors. Gives those that are to be opened for it now.
    pub(crate) fn reach(&mut self, node: NodeId, kinds: &[model::Executor]) -> (Reached, Vec<Opening>) {
        let mut openings = Vec::new();
        let mut room = 0_usize;
        let mut later = false;
        for kind in kinds {
            let not = |reason: &str| Unreachable { executor: kind.name().into(), reason: reason.to_owned() };
            let Some((_, stage)) = self.stages.iter_mut().find(|(known, _)| known == kind) else {
                return (Reached::Not(not("this run was not given it")), openings);
            };
            match stage {
                Stage::Open(_, capacity) => {
                    room = room.saturating_add(capacity.slots).saturating_add(capacity.ahead);
                }
                Stage::Opening(waiting) => {
                    waiting.push(node);
                    later = true;
                }
                Stage::Failed(reason) => return (Reached::Not(not(reason)), openings),
                Stage::Unmade(_) => {
                    let Stage::Unmade(make) = std::mem::replace(stage, Stage::Opening(vec![node])) else {
                        continue;
                    };
                    later = true;
                    let (port, name) = (self.port.clone(), Arc::from(kind.name()));
                    let open = async move {
                        let made = make();
                        let executor = made.map_err(|reason| Unreachable { executor: name, reason })?;
                        let capacity = executor.open(port).await?;
                        Ok((executor, capacity))
                    };
                    openings.push((kind.clone(), Box::pin(open) as BoxFuture<'static, Opened>));
                }
            }
        }
        (if later { Reached::Later } else { Reached::Open(room) }, openings)
    }

    /// An executor opened, or not. Gives the nodes that wait for it.
    pub(crate) fn opened(&mut self, kind: &model::Executor, opened: Opened) -> Vec<NodeId> {
        let Some((_, stage)) = self.stages.iter_mut().find(|(known, _)| known == kind) else {
            return Vec::new();
        };
        let next = match opened {
            Ok((executor, capacity)) => Stage::Open(executor, capacity),
            Err(unreachable) => Stage::Failed(unreachable.reason),
        };
        match std::mem::replace(stage, next) {
            Stage::Opening(waiting) => waiting,
            Stage::Unmade(_) | Stage::Open(..) | Stage::Failed(_) => Vec::new(),
        }
    }

    /// How many attempts an executor executes at once, once it is open.
    pub(crate) fn slots(&self, kind: &model::Executor) -> usize {
        self.stages
            .iter()
            .find_map(|(known, stage)| match stage {
                Stage::Open(_, capacity) if known == kind => Some(capacity.slots),
                Stage::Open(..) | Stage::Unmade(_) | Stage::Opening(_) | Stage::Failed(_) => None,
            })
            .unwrap_or(0)
    }

    /// Hands an attempt over with the next [`Placement::submit`].
    pub(crate) fn place(&mut self, kind: model::Executor, attempt: Attempt) {
        match self.submitting.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, batch)) => batch.push(attempt),
            None => self.submitting.push((kind, vec![attempt])),
        }
    }

    /// Takes back an attempt that was placed and not handed over. False where there is none.
    pub(crate) fn take_back(&mut self, id: AttemptId) -> bool {
        self.submitting.iter_mut().any(|(_, batch)| {
            let at = batch.iter().position(|attempt| attempt.id == id);
            at.map(|at| batch.remove(at)).is_some()
        })
    }

    /// Hands over what was placed.
    pub(crate) fn submit(&mut self) {
        for (kind, batch) in &mut self.submitting {
            if batch.is_empty() {
                continue;
            }
            let open = self.stages.iter().find_map(|(known, stage)| match stage {
                Stage::Open(executor, _) if known == kind => Some(executor),
                Stage::Open(..) | Stage::Unmade(_) | Stage::Opening(_) | Stage::Failed(_) => None,
            });
            if let Some(executor) = open {
                executor.submit(std::mem::take(batch));
            }
        }
    }

    pub(crate) fn cancel(&self, ids: &[AttemptId], cause: Cause) {
        self.open().for_each(|executor| executor.cancel(ids, cause));
    }

    pub(crate) fn announce_cancel(&self) {
        self.open().for_each(|executor| executor.announce_cancel());
    }

    pub(crate) async fn drain(&self) {
        for executor in self.open() {
            executor.drain().await;
        }
    }

    /// An executor that is open.
    pub(crate) fn opened_as(&self, kind: &model::Executor) -> Option<Arc<dyn Executor>> {
        self.stages.iter().find_map(|(known, stage)| match stage {
            Stage::Open(executor, _) if known == kind => Some(Arc::clone(executor)),
            Stage::Open(..) | Stage::Unmade(_) | Stage::Opening(_) | Stage::Failed(_) => None,
        })
    }

    /// Lets executors remove what the run left elsewhere, as far as they get to it in time.
    pub(crate) async fn close(&self) {
        let mut closing = tokio::task::JoinSet::new();
        for executor in self.open().map(Arc::clone) {
            closing.spawn(async move { executor.close().await });
        }
        // What is left expires there.
        let _ = tokio::time::timeout(CLOSING, async { while closing.join_next().await.is_some() {} }).await;
    }

    fn open(&self) -> impl Iterator<Item = &Arc<dyn Executor>> {
        self.stages.iter().filter_map(|(_, stage)| match stage {
            Stage::Open(executor, _) => Some(executor),
            Stage::Unmade(_) | Stage::Opening(_) | Stage::Failed(_) => None,
        })
    }
}
