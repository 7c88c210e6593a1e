//! What workers say of a run's attempts, as it is read from its results.

use std::sync::Arc;

use bytes::Bytes;
use redis::streams::StreamId;
use redis::{AsyncCommands, RedisResult};

use super::actor::{Actor, Answer};
use super::attempts::{Flying, Left};
use crate::digest::Digest;
use crate::executor::Report;
use crate::id::AttemptId;
use crate::model::{Outcome, Usage, Warning};
use crate::queue::{Link, OUTCOME, SAID, Slip};
use crate::wire::{FromWorker, Said, ToWorker};

impl Actor {
    /// An attempt ended.
    pub(super) fn report(&mut self, id: AttemptId, outcome: Outcome, usage: Usage, worker: Option<Arc<str>>) {
        if let Some(flying) = self.attempts.end(id) {
            self.let_go(flying);
        }
        self.port.report([Report::Finished { id, outcome, usage, worker }]);
        self.outstanding.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// An attempt was taken back before it began.
    pub(super) fn returned(&mut self, id: AttemptId) {
        let Some(flying) = self.attempts.end(id) else { return };
        self.let_go(flying);
        self.port.report([Report::Returned { id }]);
        self.port.flush();
        self.outstanding.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// What an attempt had queued besides is removed, unless another needs it.
    fn let_go(&mut self, flying: Flying) {
        if let Some(blob) = flying.blob
            && self.attempts.release(&blob)
            && flying.unsent.is_none()
        {
            self.to_unlink.push(blob);
        }
    }

    /// A worker may have ended it while nobody was there to hear of it.
    pub(super) fn find_early(&mut self, id: AttemptId) {
        let text = self.attempts.flying.get(&id).map(|flying| Arc::clone(&flying.text));
        if let Some(entry) = text.and_then(|text| self.early.remove(&*text)) {
            // It is in Redis already: only its outcome is wanted.
            self.attempts.is_queued(id);
            self.found.push(entry);
        }
    }

    /// Takes in what was read, in order.
    pub(super) async fn take_in(&mut self, link: &mut Link) -> RedisResult<()> {
        while let Some(entry) = self.found.last() {
            let Some(results) = self.run.as_ref().map(|run| run.keys.results.clone()) else { return Ok(()) };
            let read: redis::streams::StreamRangeReply = link.xrange(results, entry, entry).await?;
            self.found.pop();
            self.results.extend(read.ids);
        }
        while let Some(entry) = self.results.front().cloned() {
            self.take(link, entry).await?;
            self.results.pop_front();
        }
        self.port.flush();
        Ok(())
    }

    async fn take(&mut self, link: &mut Link, entry: StreamId) -> RedisResult<()> {
        let Some(run) = self.run.as_ref().map(|run| Arc::clone(&run.id.0)) else { return Ok(()) };
        let from: String = entry.get("from").unwrap_or_default();
        if let Some(said) = entry.get::<Vec<u8>>("said") {
            self.read.push(entry.id);
            match Slip::read(&self.seal, &[&run, SAID, &from], &said) {
                Ok(slip) => {
                    if let Some(message) = self.message(link, slip).await? {
                        self.hear(&from, message);
                    }
                }
                Err(error) => self.forged(&from, &error.to_string()),
            }
            return Ok(());
        }
        let (Some(text), Some(outcome)) = (entry.get::<String>("attempt"), entry.get::<Vec<u8>>("outcome"))
        else {
            self.read.push(entry.id);
            return Ok(());
        };
        let Some(id) = self.attempts.id(&text) else {
            self.early.insert(text, entry.id);
            return Ok(());
        };
        let mut blobs = Vec::new();
        let ended = match Slip::read(&self.seal, &[&run, &text, OUTCOME], &outcome) {
            Ok(slip) => {
                if let Slip::Elsewhere { name, .. } = &slip {
                    blobs.push(name.clone());
                }
                match self.message(link, slip).await? {
                    Some(FromWorker::Said(mut said)) => match said.pop() {
                        Some(Said::Finished { ended, usage, .. }) => Some((ended, usage)),
                        Some(Said::Returned { .. }) => {
                            self.returned(id);
                            self.to_forget.push((text, entry.id));
                            return Ok(());
                        }
                        Some(_) | None => None,
                    },
                    Some(_) | None => None,
                }
            }
            Err(error) => {
                self.forged(&from, &error.to_string());
                None
            }
        };
        let dead: Option<String> = entry.get("dead");
        let Some(flying) = self.attempts.flying.get(&id) else { return Ok(()) };
        let text = Arc::clone(&flying.text);
        let nonsense = |reason: String| (Outcome::Lost { reason, exhausted: false }, Usage::default());
        let (outcome, usage) = match ended {
            Some((ended, usage)) => match ended.into_outcome(&flying.shared.value) {
                Ok(Outcome::Lost { reason, .. }) => {
                    (Outcome::Lost { reason, exhausted: dead.is_some() }, usage)
                }
                Ok(outcome) => (outcome, usage),
                Err(error) => nonsense(format!("the worker's answer makes no sense: {error}")),
            },
            None => {
                let unread = "what its worker says cannot be read, or is not signed with the run's key";
                nonsense(match &dead {
                    Some(reason) => format!("it became a dead letter: {reason}; {unread}"),
                    None => unread.to_owned(),
                })
            }
        };
        self.attempts.left.insert(id, Left { text, result: entry.id, blobs });
        let worker = Some(from).filter(|from| !from.is_empty());
        self.report(id, outcome, usage, worker.map(|worker| format!("worker {worker}").into()));
        Ok(())
    }

    /// The message that a slip stands for; none where it is gone or makes no sense.
    async fn message(&self, link: &mut Link, slip: Slip) -> RedisResult<Option<FromWorker>> {
        let bytes = match slip {
            Slip::Here(bytes) => bytes,
            Slip::Elsewhere { name, digest } => {
                let Some(run) = &self.run else { return Ok(None) };
                let bytes: Option<Vec<u8>> = link.get(self.keys.blob(&run.id, &name)).await?;
                match bytes {
                    Some(bytes) if Digest::of(&bytes) == digest => Bytes::from(bytes),
                    Some(_) | None => return Ok(None),
                }
            }
        };
        Ok(FromWorker::unpack(bytes).ok())
    }

    fn forged(&mut self, from: &str, reason: &str) {
        if !self.forged {
            self.forged = true;
            self.warn(
                Warning::Forged,
                format!(
                    "what worker `{from}` says counts for nothing: {reason}; start workers with the run's key"
                ),
            );
        }
    }

    fn hear(&mut self, from: &str, message: FromWorker) {
        let said = match message {
            FromWorker::Said(said) => said,
            FromWorker::Ask { number, from: asker, ask } => {
                if !self.attempts.flying.contains_key(&asker) {
                    return;
                }
                let (port, answers, to) = (self.port.clone(), self.answers.0.clone(), from.to_owned());
                drop(tokio::spawn(async move {
                    let answer = port.channel().ask(asker, ask).await;
                    // This executor may be gone.
                    let _ = answers.send(Answer { to, message: ToWorker::Answer { number, answer } });
                }));
                return;
            }
            FromWorker::NeedComponent { .. } | FromWorker::NeedCode { .. } => return,
        };
        for said in said {
            let report = match said {
                Said::Started { id } => Report::Started { id },
                Said::Log { id, level, stream, message, cut } => {
                    Report::Log { id, level, stream, message: message.into_text().into(), cut }
                }
                Said::Progress { id, done, total, message } => {
                    let message = message.map(|message| message.into_text().into());
                    Report::Progress { id, done, total, message }
                }
                Said::Warning { kind, message } => Report::Warning { kind, message: message.into() },
                Said::Returned { .. } | Said::Finished { .. } => continue,
            };
            let flies = match &report {
                Report::Started { id } | Report::Log { id, .. } | Report::Progress { id, .. } => {
                    self.attempts.flying.contains_key(id)
                }
                Report::Channel { .. }
                | Report::Returned { .. }
                | Report::Finished { .. }
                | Report::Warning { .. }
                | Report::GroupWarning { .. }
                | Report::KeptOut { .. } => true,
            };
            if flies {
                self.port.report([report]);
            }
        }
    }
}
