//! Attempts that are to end before they do so by themselves: taken back, or stopped by whoever holds them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::RedisResult;

use super::actor::{Actor, SOUGHT};
use crate::id::AttemptId;
use crate::model::{Cause, Outcome, Usage};
use crate::queue::{Cancelled, Link};
use crate::wire::ToWorker;

/// How long a worker may take to say that it stopped an attempt.
pub(super) const GRACE: Duration = Duration::from_secs(2);

impl Actor {
    /// Stops an attempt, or without a cause takes it back where nobody has it.
    pub(super) fn cancel(&mut self, id: AttemptId, cause: Option<Cause>) {
        let Some(flying) = self.attempts.flying.get_mut(&id) else { return };
        if flying.unsent.is_some() {
            return self.returned(id);
        }
        if let Some(cause) = cause {
            flying.cancelled = Some((cause, Instant::now()));
        }
        self.to_cancel.push((id, flying.text.to_string(), cause));
    }

    /// Ends attempts as cancelled whose holders do not say that they stopped them.
    pub(super) fn give_up_on_holders(&mut self) {
        let now = Instant::now();
        let silent = |id: &AttemptId| {
            let flying = self.attempts.flying.get(id)?;
            let (cause, since) = flying.cancelled?;
            (now.duration_since(since) >= GRACE).then(|| (*id, flying.text.to_string(), cause))
        };
        let silent: Vec<_> = self.attempts.flying.keys().filter_map(silent).collect();
        for (id, text, cause) in silent {
            // What its holder says of it later counts for nothing.
            self.to_withdraw.push((id, text));
            self.report(id, Outcome::Cancelled { cause }, Usage::default(), None);
        }
        self.port.flush();
    }

    /// Stops what is to be stopped.
    pub(super) async fn stop(&mut self, link: &mut Link) -> RedisResult<()> {
        let Some(run) = self.run.as_ref().map(|run| run.keys.clone()) else { return Ok(()) };
        while let Some((_, _, cause)) = self.to_cancel.first() {
            let cause = *cause;
            let same = self.to_cancel.iter().take(SOUGHT).take_while(|(_, _, other)| *other == cause).count();
            let some: Vec<(AttemptId, String)> =
                self.to_cancel.iter().take(same).map(|(id, text, _)| (*id, text.clone())).collect();
            let texts: Vec<String> = some.iter().map(|(_, text)| text.clone()).collect();
            let why = cause.map_or("", Cause::describe);
            let answers = self.scripts.cancel(link, &self.keys, &run, why, &texts).await?;
            let mut holders: HashMap<String, Vec<AttemptId>> = HashMap::new();
            for ((id, _), answer) in some.iter().zip(answers) {
                match answer {
                    Cancelled::Unheld => self.returned(*id),
                    Cancelled::Ended => {}
                    Cancelled::Held(holder) => holders.entry(holder).or_default().push(*id),
                }
            }
            if let Some(cause) = cause {
                for (holder, ids) in holders {
                    self.tell(link, &holder, ToWorker::Cancel { ids, cause }).await?;
                }
            }
            self.to_cancel.drain(..same);
        }
        while !self.to_withdraw.is_empty() {
            let some: Vec<String> =
                self.to_withdraw.iter().take(SOUGHT).map(|(_, text)| text.clone()).collect();
            self.scripts.withdraw(link, &self.keys, &run, &some).await?;
            self.to_withdraw.drain(..some.len());
        }
        Ok(())
    }
}
