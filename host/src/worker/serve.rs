//! The wire server: takes attempts from a client, has them executed in this process, and says what
//! becomes of them. When the client is gone, so is everything that it asked for.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::ceiling::Ceiling;
use super::channel::Remote;
use super::kept::Kept;
use super::shared::{SharedError, SharedParts};
use super::spans::{Spans, Traced};
use super::supply::{Asked, ByAsking};
use super::tidy::tidy;
use crate::executor::{Executor, InProcess, Pace, Port, Report, Reports, ServingSettings, Unreachable};
use crate::folder::FolderError;
use crate::id::AttemptId;
use crate::model::{Attempt, Call, Outcome, Type, Usage, Warning};
use crate::report::{Exporter, Interest};
use crate::runtime::{ENGINE, Folders, Runtime, RuntimeError};
use crate::wire::{
    Ended, FromWorker, Hello, Layer, Outbox, Payload, Receiver, Said, Start, ToWorker, ValueError, WireError,
    decode, greet, pump,
};

/// Bytes of values and lines that one message has at most, where each of them alone does not have more.
const TOGETHER: u64 = 1 << 20;

/// Who works, for whom.
pub enum Worker {
    /// Anybody's. Asks for components that it does not have, and compiles them.
    Bounded {
        /// The most that it grants.
        ceiling: Ceiling,
        /// Who takes spans, if anybody does.
        exporter: Option<Arc<Exporter>>,
        /// Components that it keeps on this machine.
        kept: Arc<Kept>,
    },
    /// A child of the client's own: one attempt at a time, with directories in `folders`. Is handed code,
    /// with its label, by `code`.
    Child {
        /// Where granted directories are.
        folders: Folders,
        /// What this process cannot keep itself from, if anything, in words.
        unconfined: Option<String>,
        /// What stands beneath its sandbox.
        beneath: Vec<Layer>,
        /// Code as it arrives.
        code: mpsc::UnboundedReceiver<(File, String)>,
    },
}

/// Why a worker stopped working.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The connection is of no more use.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// What the client said makes no sense.
    #[error("the client named call {0}, of which it said nothing")]
    NoCall(u32),
    /// Arguments cannot be put together.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// Arguments are not of their call's types.
    #[error("the arguments of an attempt: {0}")]
    Arguments(#[from] ValueError),
    /// Guests cannot run here.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Components cannot be kept here.
    #[error("components cannot be kept: {0} (--workdir names another folder)")]
    Folder(#[from] FolderError),
    /// The executor does not open.
    #[error(transparent)]
    Executor(#[from] Unreachable),
}

/// Works for the client at the other end of `from` and `to` until it is gone. Returns then, and whatever
/// still executed is stopped. Needs a tokio runtime.
///
/// # Errors
/// Fails when the client is of another protocol, or says what makes no sense.
pub async fn serve(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    runtime: Arc<Runtime>,
    worker: Worker,
) -> Result<(), ServeError> {
    let outbox = Arc::new(Outbox::default());
    let (folders, ceiling, exporter, kept, mut code, unconfined, beneath) = match worker {
        Worker::Bounded { ceiling, exporter, kept } => {
            (ceiling.folders(), Some(ceiling), exporter, Some(kept), None, None, Vec::new())
        }
        Worker::Child { folders, unconfined, beneath, code } => {
            (folders, None, None, None, Some(code), unconfined, beneath)
        }
    };
    let in_order = ceiling.is_none();
    let supply = Arc::new(Asked::new(Arc::clone(&outbox), in_order));
    let slots = if in_order { 1 } else { u32::try_from(runtime.slots()).unwrap_or(u32::MAX) };
    let hello = Hello {
        capacity: Some((slots, 64)),
        ceiling: ceiling.as_ref().map(Ceiling::said),
        beneath,
        ..Hello::of(ENGINE)
    };
    let from = if in_order { Receiver::of_parent(from) } else { Receiver::new(from) };
    let (mut receiver, client) = match greet(from, &mut to, &hello).await {
        Ok(met) => met,
        // The client was gone before it wanted anything.
        Err(WireError::Unbegun) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if let Some(message) = unconfined {
        let warning = Said::Warning { kind: Warning::Unconfined, message };
        outbox.to_client(FromWorker::Said(vec![warning]))?;
    }
    let wants = client.wants.unwrap_or_default();
    let spans = Spans::new(exporter, None);
    let interest = Interest {
        starts: wants.starts || spans.wanted(),
        successes: true,
        logs: wants.logs,
        progress: wants.progress,
        writes: false,
    };
    let channel = Arc::new(Remote::new(Arc::clone(&outbox)));
    let by = Arc::new(ByAsking { asked: Arc::clone(&supply), kept: kept.clone() });
    let executor = InProcess::serving(ServingSettings {
        runtime: Arc::clone(&runtime),
        slots: wants.slots.map(|slots| slots as usize),
        folders,
        supply: by,
        compiles: !in_order,
        in_order,
        kept: true,
    })?;
    let remote = Arc::clone(&channel);
    let pace = if in_order { Pace::Near } else { Pace::Far };
    let (port, reports) = Port::paced(pace, interest, move |_| remote);
    executor.open(port).await?;
    let mut server = Server {
        executor,
        outbox: Arc::clone(&outbox),
        channel,
        supply,
        ceiling,
        calls: HashMap::new(),
        shared: SharedParts::default(),
        types: FxHashMap::default(),
        starts: wants.starts,
        spans,
        traced: FxHashMap::default(),
    };
    let work = async {
        let mut some = Vec::new();
        loop {
            tokio::select! {
                message = receiver.of_client() => match message? {
                    Some(message) => server.hear(message)?,
                    None => return Ok(()),
                },
                () = ready(&reports, &outbox) => server.tell(&reports, &mut some)?,
                Some((file, label)) = next(&mut code) => server.supply.code(&label, file),
            }
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        ended = pump(to, &outbox) => ended.map_err(ServeError::from),
    };
    if let Some(kept) = kept.filter(|_| wants.cleanup) {
        drop(server);
        tidy(&kept, &runtime, wants.deployed);
    }
    ended
}

/// Waits until there are reports, and room for them.
async fn ready(reports: &Reports, outbox: &Outbox) {
    outbox.room().await;
    reports.ready().await;
}

async fn next(code: &mut Option<mpsc::UnboundedReceiver<(File, String)>>) -> Option<(File, String)> {
    match code {
        Some(code) => code.recv().await,
        None => None,
    }
}

/// A call as it is made here: or why it is not.
struct Known {
    call: Result<Arc<Call>, Arc<str>>,
    /// Of the values of its tasks.
    value: Arc<Type>,
}

struct Server {
    executor: InProcess,
    outbox: Arc<Outbox>,
    channel: Arc<Remote>,
    supply: Arc<Asked>,
    ceiling: Option<Ceiling>,
    calls: HashMap<u32, Known>,
    /// Parts of arguments that attempts have in common.
    shared: SharedParts,
    /// Of the values of attempts that have not ended.
    types: FxHashMap<AttemptId, Arc<Type>>,
    /// Whether the client wants to be told of starts.
    starts: bool,
    spans: Spans,
    /// Those that are recorded.
    traced: FxHashMap<AttemptId, Box<Traced>>,
}

impl Server {
    fn hear(&mut self, message: ToWorker) -> Result<(), ServeError> {
        match message {
            ToWorker::Call { number, call } => {
                let value = Arc::new(call.signature.result.task_value());
                let call = match &self.ceiling {
                    None => Ok(call),
                    Some(ceiling) => {
                        ceiling.narrow(Arc::unwrap_or_clone(call)).map(Arc::new).map_err(Arc::from)
                    }
                };
                self.calls.insert(number, Known { call, value });
            }
            ToWorker::Forget { calls } => calls.iter().for_each(|number| drop(self.calls.remove(number))),
            ToWorker::Start { attempts } => self.start(attempts)?,
            ToWorker::Cancel { ids, cause } => self.executor.cancel(&ids, cause),
            ToWorker::GiveBack { ids } => self.executor.give_back(&ids),
            ToWorker::Drain => self.executor.announce_cancel(),
            ToWorker::Answer { number, answer } => self.channel.answered(number, answer),
            ToWorker::Component { component, wasm, packed } => {
                self.supply.component(component, wasm.into_bytes(), packed);
            }
            ToWorker::ForgetShared { numbers } => self.shared.forget(&numbers),
            ToWorker::Refused { component, settings, reason } => {
                self.supply.refused(component, settings, reason);
            }
        }
        Ok(())
    }

    fn start(&mut self, attempts: Vec<Start>) -> Result<(), ServeError> {
        let mut batch = Vec::with_capacity(attempts.len());
        let mut refused = Vec::new();
        for Start { id, call: number, iteration, arguments, shared } in attempts {
            let arguments = self.shared.whole(arguments.into_bytes(), &shared)?;
            let known = self.calls.get(&number).ok_or(ServeError::NoCall(number))?;
            match &known.call {
                Ok(call) => {
                    let types = call.signature.parameters.iter().map(|(_, ty)| ty);
                    let arguments = decode(&arguments, types)?;
                    self.types.insert(id, Arc::clone(&known.value));
                    if let Some(traced) = self.spans.traced(call) {
                        self.traced.insert(id, traced);
                    }
                    batch.push(Attempt { id, call: Arc::clone(call), iteration, arguments });
                }
                Err(reason) => {
                    let ended = Ended::Rejected { reason: reason.to_string() };
                    refused.push(Said::Finished { id, ended, usage: Usage::default() });
                }
            }
        }
        if !batch.is_empty() {
            self.executor.submit(batch);
        }
        if !refused.is_empty() {
            self.outbox.to_client(FromWorker::Said(refused))?;
        }
        Ok(())
    }

    /// Sends what there is to say.
    fn tell(&mut self, reports: &Reports, some: &mut Vec<Report>) -> Result<(), ServeError> {
        reports.take(some);
        let mut said = Vec::with_capacity(some.len());
        let mut together = 0;
        for report in some.drain(..) {
            let Some((one, size)) = self.say(report) else { continue };
            if together > 0 && together + size > TOGETHER {
                self.outbox.to_client(FromWorker::Said(std::mem::take(&mut said)))?;
                together = 0;
            }
            together += size;
            said.push(one);
        }
        if !said.is_empty() {
            self.outbox.to_client(FromWorker::Said(said))?;
        }
        Ok(())
    }

    /// A report as it is sent, and how large it is.
    fn say(&mut self, report: Report) -> Option<(Said, u64)> {
        let said = match report {
            Report::Started { id } => {
                if let Some(traced) = self.traced.get_mut(&id) {
                    traced.began = Some(SystemTime::now());
                }
                if !self.starts {
                    return None;
                }
                Said::Started { id }
            }
            Report::Log { id, level, stream, message, cut } => {
                let message = Payload::text(message.to_string());
                Said::Log { id, level, stream, message, cut }
            }
            Report::Progress { id, done, total, message } => {
                let message = message.map(|message| Payload::text(message.to_string()));
                Said::Progress { id, done, total, message }
            }
            Report::Returned { id } => {
                self.types.remove(&id);
                self.traced.remove(&id);
                Said::Returned { id }
            }
            Report::Finished { id, outcome, usage, worker: _ } => self.finished(id, outcome, usage),
            Report::Warning { kind, message } => Said::Warning { kind, message: message.to_string() },
            // The channel is the client's: it knows of its changes.
            Report::Channel { .. } => return None,
            // Only pools say so.
            Report::GroupWarning { .. } | Report::KeptOut { .. } => return None,
        };
        let size = match &said {
            Said::Log { message, .. } | Said::Progress { message: Some(message), .. } => message.length(),
            Said::Finished { ended: Ended::Succeeded(value), .. } => value.length(),
            Said::Finished { .. }
            | Said::Started { .. }
            | Said::Progress { .. }
            | Said::Returned { .. }
            | Said::Warning { .. } => 0,
        };
        Some((said, size + 64))
    }

    fn finished(&mut self, id: AttemptId, outcome: Outcome, usage: Usage) -> Said {
        self.spans.ended(self.traced.remove(&id), id, &outcome);
        let ty = self.types.remove(&id).unwrap_or_else(|| Arc::new(Type::unit()));
        let ended = Ended::of(outcome, &ty).unwrap_or_else(|error| Ended::Lost {
            reason: format!("flowhost itself failed, please report it: the result does not travel: {error}"),
        });
        Said::Finished { id, ended, usage }
    }
}
