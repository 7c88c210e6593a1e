//! The scripts, each as a call. All of them may be asked again when an answer was lost: the second answer
//! is the first. Batches travel in one pipeline; scripts that the server forgot are loaded anew.

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script, ServerErrorKind};

use super::{ABSENT, GROUP, KEPT, Keys, LETTERS, RunKeys, UNREAD};
use crate::id::RunId;

/// An entry of the stream of tasks as its holder knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The entry's id in the stream.
    pub entry: String,
    /// How often it was delivered, this time included. From 1.
    pub delivery: u64,
    /// The attempt's id within its run.
    pub attempt: String,
    /// The run's keys.
    pub run: RunKeys,
}

/// What is queued of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its id within its run.
    pub attempt: String,
    /// The digest of its call, in hexadecimal.
    pub call: String,
    /// What else a worker needs to execute it.
    pub body: Vec<u8>,
    /// Its `traceparent`, for whoever looks at the queue; none where nobody records its trace.
    pub traceparent: Option<String>,
}

/// What became of an attempt that was cancelled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// No worker had it, and none will.
    Unheld,
    /// It had ended.
    Ended,
    /// This worker has it.
    Held(String),
}

/// What became of a run that is begun, or gone on with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is known, or was made, with this epoch.
    Known(String),
    /// It is not known any more, or is another: what was queued is lost.
    Lost,
}

/// An outcome on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// What it is the outcome of.
    pub held: Held,
    /// The outcome, as the run reads it.
    pub outcome: Vec<u8>,
}

/// What became of an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// It is recorded, now or when this was asked before.
    Recorded,
    /// Its worker does not hold the attempt any more. The outcome counts for nothing.
    Fenced,
    /// Nothing is known of the run any more.
    Gone,
}

/// Whether a worker still holds an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// For another lease.
    Held,
    /// For another lease; but it is cancelled.
    Cancelled,
    /// Somebody else holds it.
    Lost,
}

/// All scripts.
#[derive(Debug)]
pub struct Scripts {
    begin: Script,
    enqueue: Script,
    finish: Script,
    renew: Script,
    hand_back: Script,
    bury: Script,
    seek: Script,
    forget: Script,
    leave: Script,
    sweep: Script,
    cancel: Script,
    withdraw: Script,
    tell: Script,
    announce: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            begin: Script::new(include_str!("scripts/begin.lua")),
            enqueue: Script::new(include_str!("scripts/enqueue.lua")),
            finish: Script::new(include_str!("scripts/finish.lua")),
            renew: Script::new(include_str!("scripts/renew.lua")),
            hand_back: Script::new(include_str!("scripts/hand_back.lua")),
            bury: Script::new(include_str!("scripts/bury.lua")),
            seek: Script::new(include_str!("scripts/seek.lua")),
            forget: Script::new(include_str!("scripts/forget.lua")),
            leave: Script::new(include_str!("scripts/leave.lua")),
            sweep: Script::new(include_str!("scripts/sweep.lua")),
            cancel: Script::new(include_str!("scripts/cancel.lua")),
            withdraw: Script::new(include_str!("scripts/withdraw.lua")),
            tell: Script::new(include_str!("scripts/tell.lua")),
            announce: Script::new(include_str!("scripts/announce.lua")),
        }
    }
}

impl Scripts {
    /// Makes a queue's stream and group where there are none.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn open(&self, connection: &mut impl ConnectionLike, keys: &Keys) -> RedisResult<()> {
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(keys.tasks()).arg(GROUP).arg("0").arg("MKSTREAM");
        match create.query_async(connection).await {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            made => made,
        }
    }

    /// Begins a run with `epoch`, or goes on with it, and renews how long its keys are kept. `known` is the
    /// epoch that the caller knows, if any; `wants` is for its workers.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn begin(
        &self,
        connection: &mut impl ConnectionLike,
        run: &RunKeys,
        epoch: &str,
        known: Option<&str>,
        wants: &str,
    ) -> RedisResult<Begun> {
        let mut call = call(&self.begin, [&run.record, &run.results]);
        call.arg(epoch).arg(known.unwrap_or_default()).arg(KEPT).arg(wants);
        let epoch: Option<String> = self.one(connection, &self.begin, call).await?;
        Ok(epoch.map_or(Begun::Lost, Begun::Known))
    }

    /// Queues those of a run's attempts that are not known yet, and what they share: `calls` by digest.
    /// Returns how many these are; none if the run is not known in this epoch.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn enqueue(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        run: &RunId,
        epoch: &str,
        calls: &[(String, Vec<u8>)],
        entries: &[Entry],
    ) -> RedisResult<Option<usize>> {
        let mut call = call(&self.enqueue, [&keys.tasks(), &keys.run(run).record]);
        call.arg(&*run.0).arg(epoch).arg(calls.len());
        for (digest, bytes) in calls {
            call.arg(digest).arg(bytes);
        }
        for entry in entries {
            call.arg(&entry.attempt).arg(&entry.call).arg(&entry.body);
            call.arg(entry.traceparent.as_deref().unwrap_or_default());
        }
        self.one(connection, &self.enqueue, call).await
    }

    /// Records outcomes. Answers in their order.
    ///
    /// # Errors
    /// Fails when Redis does; some of them may be recorded then.
    pub async fn finish(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        consumer: &str,
        finished: &[Finished],
    ) -> RedisResult<Vec<Finish>> {
        // Those of one run together: a call costs more than what it does.
        let runs = finished.chunk_by(|one, next| one.held.run == next.held.run);
        let calls = runs.filter_map(|of_run| {
            let run = &of_run.first()?.held.run;
            let mut call = call(&self.finish, [&keys.tasks(), &run.record, &run.results]);
            call.arg(GROUP).arg(consumer);
            for Finished { held, outcome } in of_run {
                call.arg(&held.entry).arg(held.delivery).arg(&held.attempt).arg(outcome);
            }
            Some(call)
        });
        let answers: Vec<Vec<String>> = self.all(connection, &self.finish, calls).await?;
        let answer = |answer: String| match &*answer {
            "recorded" => Ok(Finish::Recorded),
            "fenced" => Ok(Finish::Fenced),
            "gone" => Ok(Finish::Gone),
            _ => Err(odd("finish", answer)),
        };
        answers.into_iter().flatten().map(answer).collect()
    }

    /// Goes on holding entries. Answers in their order.
    ///
    /// # Errors
    /// Fails when Redis does; some of them may be renewed then.
    pub async fn renew(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        consumer: &str,
        held: &[Held],
    ) -> RedisResult<Vec<Renewal>> {
        let calls = held.iter().map(|held| {
            let mut call = call(&self.renew, [&keys.tasks(), &held.run.record]);
            call.arg(GROUP).arg(consumer).arg(&held.entry).arg(held.delivery).arg(&held.attempt);
            call
        });
        let answers: Vec<String> = self.all(connection, &self.renew, calls).await?;
        let answer = |answer: String| match &*answer {
            "held" => Ok(Renewal::Held),
            "cancelled" => Ok(Renewal::Cancelled),
            "lost" => Ok(Renewal::Lost),
            _ => Err(odd("renew", answer)),
        };
        answers.into_iter().map(answer).collect()
    }

    /// Gives entries back that were not begun, without using up a delivery. `lease` is in milliseconds.
    /// Returns how many were still held.
    ///
    /// # Errors
    /// Fails when Redis does; some of them may be given back then.
    pub async fn hand_back(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        consumer: &str,
        lease: u64,
        held: &[Held],
    ) -> RedisResult<usize> {
        let calls = held.iter().map(|held| {
            let mut call = call(&self.hand_back, [&keys.tasks()]);
            call.arg(GROUP).arg(consumer).arg(&held.entry).arg(held.delivery).arg(lease);
            call
        });
        let answers: Vec<usize> = self.all(connection, &self.hand_back, calls).await?;
        Ok(answers.into_iter().sum())
    }

    /// Takes an entry out of the queue that nobody can finish. The run is told `outcome`, people `reason`.
    /// Returns whether it was held.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn bury(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        consumer: &str,
        Finished { held, outcome }: &Finished,
        reason: &str,
    ) -> RedisResult<bool> {
        let all = [&keys.tasks(), &keys.letters(), &held.run.record, &held.run.results];
        let mut call = call(&self.bury, all);
        call.arg(GROUP).arg(consumer).arg(&held.entry).arg(held.delivery).arg(&held.attempt);
        call.arg(outcome).arg(reason).arg(LETTERS);
        self.one(connection, &self.bury, call).await
    }

    /// Of these attempts of a run, which are neither queued nor ended: somebody deleted their entries. None
    /// if the run is not known in this epoch.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn seek(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        run: &RunKeys,
        epoch: &str,
        attempts: &[String],
    ) -> RedisResult<Option<Vec<String>>> {
        let mut call = call(&self.seek, [&keys.tasks(), &run.record]);
        call.arg(epoch).arg(attempts);
        self.one(connection, &self.seek, call).await
    }

    /// Forgets attempts that the run has written down, by their ids and the ids of their results.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn forget(
        &self,
        connection: &mut impl ConnectionLike,
        run: &RunKeys,
        written: &[(String, String)],
    ) -> RedisResult<()> {
        let mut call = call(&self.forget, [&run.record, &run.results]);
        for (attempt, result) in written {
            call.arg(attempt).arg(result);
        }
        self.one::<usize>(connection, &self.forget, call).await.map(drop)
    }

    /// Removes what is known of a worker. Returns whether it held nothing; else its consumer stays.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn leave(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        consumer: &str,
    ) -> RedisResult<bool> {
        let of_worker = [keys.worker(consumer), keys.inbox(consumer)];
        let [key, inbox] = &of_worker;
        let all = [&keys.tasks(), &keys.workers(), key, inbox, &keys.lease()];
        let mut call = call(&self.leave, all);
        call.arg(GROUP).arg(consumer);
        self.one(connection, &self.leave, call).await
    }

    /// Removes the consumers of workers that are not known any more and hold nothing. Returns how many they were.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn sweep(&self, connection: &mut impl ConnectionLike, keys: &Keys) -> RedisResult<usize> {
        let mut call = call(&self.sweep, [&keys.tasks(), &keys.workers()]);
        call.arg(GROUP);
        self.one(connection, &self.sweep, call).await
    }

    /// Cancels attempts of a run. `why` is for whoever holds them; where it is empty, they are left to them.
    /// Answers in their order.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn cancel(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        run: &RunKeys,
        why: &str,
        attempts: &[String],
    ) -> RedisResult<Vec<Cancelled>> {
        let mut call = call(&self.cancel, [&keys.tasks(), &run.record]);
        call.arg(GROUP).arg(why).arg(attempts);
        let answers: Vec<Option<String>> = self.one(connection, &self.cancel, call).await?;
        let answer = |answer: Option<String>| match answer {
            None => Cancelled::Unheld,
            Some(holder) if holder.is_empty() => Cancelled::Ended,
            Some(holder) => Cancelled::Held(holder),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Takes attempts of a run back, whoever holds them. Says for each whether it had not ended.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn withdraw(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        run: &RunKeys,
        attempts: &[String],
    ) -> RedisResult<Vec<bool>> {
        let mut call = call(&self.withdraw, [&keys.tasks(), &run.record]);
        call.arg(GROUP).arg(attempts);
        self.one(connection, &self.withdraw, call).await
    }

    /// Tells a run something that is no outcome. Left out where the run is gone, or reads nothing.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn tell(
        &self,
        connection: &mut impl ConnectionLike,
        run: &RunKeys,
        from: &str,
        said: &[u8],
    ) -> RedisResult<bool> {
        let mut call = call(&self.tell, [&run.record, &run.results]);
        call.arg(UNREAD).arg(from).arg(said);
        self.one(connection, &self.tell, call).await
    }

    /// Says that the worker `id` is there. Returns the lease of the queue's workers in milliseconds:
    /// nothing was said where that is another than `lease`.
    ///
    /// # Errors
    /// Fails when Redis does.
    pub async fn announce(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &Keys,
        id: &str,
        said: &str,
        lease: u64,
    ) -> RedisResult<u64> {
        let all = [&keys.workers(), &keys.worker(id), &keys.lease(), &keys.inbox(id)];
        let mut call = call(&self.announce, all);
        call.arg(id).arg(said).arg(lease).arg(ABSENT.as_millis().to_string());
        self.one(connection, &self.announce, call).await
    }

    async fn one<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        script: &Script,
        call: Cmd,
    ) -> RedisResult<T> {
        match call.query_async(connection).await {
            Err(error) if is_unknown(&error) => {
                script.load_async(connection).await?;
                call.query_async(connection).await
            }
            answer => answer,
        }
    }

    async fn all<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        script: &Script,
        calls: impl Iterator<Item = Cmd>,
    ) -> RedisResult<Vec<T>> {
        let mut together = Pipeline::new();
        calls.for_each(|call| {
            together.add_command(call);
        });
        if together.is_empty() {
            return Ok(Vec::new());
        }
        match together.query_async(connection).await {
            Err(error) if is_unknown(&error) => {
                script.load_async(connection).await?;
                together.query_async(connection).await
            }
            answers => answers,
        }
    }
}

fn call<const N: usize>(script: &Script, keys: [&String; N]) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(N).arg(&keys[..]);
    call
}

/// Whether the server does not know the script: it was restarted, or told to forget it.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn odd(script: &'static str, answer: String) -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "a script's answer makes no sense",
        format!("{script}: {answer}"),
    ))
}
