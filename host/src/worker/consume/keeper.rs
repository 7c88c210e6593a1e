//! Holds what the worker took: renews leases, hands outcomes over and entries back, on a thread of its own that no guest and no
//! large message keeps busy. The rules are those of `queue::leases`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{AsyncCommands, RedisError, RedisResult};
use tokio::sync::{mpsc, oneshot};

use super::hands::{Customer, Room};
use crate::queue::leases::{Action, HoldId, Input, Leases};
use crate::queue::{Finish, Finished, Held, KEPT, Keys, Link, Renewal, Scripts, Server};
use crate::worker::Figures;

/// Outcomes that are handed over in one go.
const TOGETHER: usize = 128;

/// Bytes of what is no outcome that wait at most while Redis is away.
const SAID: usize = 4 << 20;

/// What the keeper is asked for.
pub(super) enum Keep {
    /// An entry was delivered, asked for at that time.
    Taken(HoldId, Arc<Keys>, Arc<Held>, Instant),
    /// Its attempt ended so.
    Ended(HoldId, Ending),
    /// It was not begun, or was stopped because the worker is: somebody else may have it.
    Back(HoldId),
    /// What a worker says to a run that is no outcome; whether it may be left out.
    Say(Arc<Customer>, Vec<u8>, bool),
    /// Tell when nothing is held.
    Idle(oneshot::Sender<()>),
}

/// How an entry is done with.
pub(super) struct Ending {
    /// As the run reads it.
    pub(super) outcome: Vec<u8>,
    /// What lies under a key of its own, with the key.
    pub(super) long: Option<(String, Vec<u8>)>,
    /// Why nobody can finish it, where that is so.
    pub(super) buried: Option<String>,
}

/// What the keeper has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// Stop it: its run wants no more of it.
    Cancel(HoldId),
    /// Stop and forget it: it is another's by now.
    Abandon(HoldId),
    /// Its outcome came too late.
    Fenced(HoldId),
    /// Redis answers, or does not.
    Connected(Option<String>),
}

struct Entry {
    keys: Arc<Keys>,
    held: Arc<Held>,
    ending: Option<Ending>,
    back: bool,
    /// Its long outcome is in Redis.
    uploaded: bool,
}

pub(super) struct Keeper {
    server: Server,
    scripts: Scripts,
    id: Arc<str>,
    lease: Duration,
    room: Arc<Room>,
    figures: Arc<Figures>,
    tell: mpsc::UnboundedSender<Kept>,
    began: Instant,
    leases: Leases,
    entries: BTreeMap<HoldId, Entry>,
    to_say: VecDeque<(Arc<Customer>, Vec<u8>, bool)>,
    to_return: Vec<HoldId>,
    link: Option<Link>,
    connected: Option<bool>,
    idle: Vec<oneshot::Sender<()>>,
}

/// Between two tries to reach Redis.
const PAUSE: Duration = Duration::from_millis(200);

impl Keeper {
    pub(super) fn new(
        server: Server,
        id: Arc<str>,
        lease: Duration,
        room: Arc<Room>,
        figures: Arc<Figures>,
        tell: mpsc::UnboundedSender<Kept>,
    ) -> Self {
        Self {
            server,
            scripts: Scripts::default(),
            id,
            lease,
            room,
            figures,
            tell,
            began: Instant::now(),
            leases: Leases::new(lease),
            entries: BTreeMap::new(),
            to_say: VecDeque::new(),
            to_return: Vec::new(),
            link: None,
            connected: None,
            idle: Vec::new(),
        }
    }

    /// Keeps until nobody asks any more.
    pub(super) async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Keep>) {
        let mut due = Vec::new();
        loop {
            let now = self.began.elapsed();
            self.step(Input::Tick, now, &mut due);
            if self.does(&due)
                && let Err(error) = self.perform(&mut due).await
            {
                self.unanswered(&error, &mut due);
            }
            self.settle();
            // What is still due after an error waits for its time.
            let pause =
                (!self.to_say.is_empty() || !self.to_return.is_empty()).then(|| Instant::now() + PAUSE);
            let wake = self.leases.wake_at().map(|at| self.began + at);
            let wake = [pause, wake].into_iter().flatten().min();
            let ask = tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => ask,
                    None => return,
                },
                () = sleep_until(wake) => continue,
            };
            let mut next = Some(ask);
            let mut taken = 0;
            while let Some(ask) = next {
                self.hear(ask, &mut due);
                taken += 1;
                next = if taken < 4 * TOGETHER { asks.try_recv().ok() } else { None };
            }
        }
    }

    fn does(&self, due: &[Action]) -> bool {
        !due.is_empty() || !self.to_say.is_empty() || !self.to_return.is_empty() || self.link.is_none()
    }

    fn step(&mut self, input: Input, now: Duration, due: &mut Vec<Action>) {
        for action in self.leases.handle(input, now) {
            match action {
                Action::Renew(_) | Action::Finish(_) => due.push(action),
                Action::Cancel(id) => self.say(Kept::Cancel(id)),
                Action::Abandon(id) => {
                    self.entries.remove(&id);
                    self.say(Kept::Abandon(id));
                }
                Action::Release { id, answer } => {
                    let entry = self.entries.remove(&id);
                    if let Some(ending) = entry.and_then(|entry| entry.ending) {
                        self.room.paid(ending.size());
                    }
                    if answer != Some(Finish::Recorded) && answer != Some(Finish::Gone) {
                        self.figures.fenced();
                        self.say(Kept::Fenced(id));
                    }
                }
            }
        }
    }

    fn say(&self, kept: Kept) {
        // Who listened ended before this.
        let _ = self.tell.send(kept);
    }

    fn hear(&mut self, ask: Keep, due: &mut Vec<Action>) {
        match ask {
            Keep::Taken(id, keys, held, asked) => {
                self.entries.insert(id, Entry { keys, held, ending: None, back: false, uploaded: false });
                let asked = asked.saturating_duration_since(self.began);
                self.step(Input::Taken(id), asked, due);
            }
            Keep::Ended(id, ending) => match self.entries.get_mut(&id) {
                Some(entry) => {
                    entry.ending = Some(ending);
                    let now = self.began.elapsed();
                    self.step(Input::Ended(id), now, due);
                }
                // It was lost meanwhile.
                None => {
                    self.room.paid(ending.size());
                    self.figures.fenced();
                    self.say(Kept::Fenced(id));
                }
            },
            Keep::Back(id) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.back = true;
                    self.to_return.push(id);
                }
            }
            Keep::Say(customer, message, optional) => {
                self.to_say.push_back((customer, message, optional));
                let mut waiting: usize = self.to_say.iter().map(|(_, message, _)| message.len()).sum();
                while waiting > SAID
                    && let Some(at) = self.to_say.iter().position(|(_, _, optional)| *optional)
                    && let Some((_, message, _)) = self.to_say.remove(at)
                {
                    waiting -= message.len();
                }
            }
            Keep::Idle(done) => self.idle.push(done),
        }
    }

    /// Whoever waits for it is told when nothing is held and nothing is left to say.
    fn settle(&mut self) {
        if self.entries.is_empty() && self.to_say.is_empty() {
            for done in self.idle.drain(..) {
                // Who asked may be gone.
                let _ = done.send(());
            }
        }
    }

    fn unanswered(&mut self, error: &RedisError, due: &mut Vec<Action>) {
        let ids = due.drain(..).filter_map(|action| match action {
            Action::Renew(id) | Action::Finish(id) => Some(id),
            Action::Cancel(_) | Action::Abandon(_) | Action::Release { .. } => None,
        });
        let ids = ids.collect();
        if error.is_io_error() || error.is_unrecoverable_error() {
            self.link = None;
        }
        if self.connected != Some(false) {
            self.connected = Some(false);
            self.say(Kept::Connected(Some(format!("{error}{}", crate::queue::advice(error)))));
        }
        let now = self.began.elapsed();
        let mut more = Vec::new();
        self.step(Input::Unanswered(ids), now, &mut more);
        due.extend(more);
    }

    async fn perform(&mut self, due: &mut Vec<Action>) -> RedisResult<()> {
        let mut link = match &self.link {
            Some(link) => link.clone(),
            None => {
                let link = self.server.link().await?;
                self.link = Some(link.clone());
                link
            }
        };
        let link = &mut link;
        // Leases first: they end.
        let renewals = self.of(due, |action| matches!(action, Action::Renew(_)));
        for (keys, ids) in renewals {
            self.renew(link, &keys, &ids, due).await?;
        }
        let mut unsaid = None;
        while let Some((customer, message, _)) = self.to_say.front() {
            let keys = customer.queue.run(&customer.run);
            match self.scripts.tell(link, &keys, &self.id, message).await {
                Ok(_) => drop(self.to_say.pop_front()),
                // There is no room for it. Outcomes do not wait: each makes some.
                Err(error) if error.code() == Some("OOM") => {
                    unsaid = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.hand_back(link).await?;
        for (keys, ids) in self.of(due, |action| matches!(action, Action::Finish(_))) {
            for ids in ids.chunks(TOGETHER) {
                self.finish(link, &keys, ids, due).await?;
            }
        }
        if let Some(error) = unsaid {
            return Err(error);
        }
        if self.connected != Some(true) {
            self.connected = Some(true);
            self.say(Kept::Connected(None));
        }
        Ok(())
    }

    /// The entries of some actions by their queues.
    fn of(&self, due: &[Action], kind: fn(&Action) -> bool) -> Vec<(Arc<Keys>, Vec<HoldId>)> {
        let mut queues: Vec<(Arc<Keys>, Vec<HoldId>)> = Vec::new();
        for action in due.iter().filter(|action| kind(action)) {
            let (Action::Renew(id) | Action::Finish(id)) = action else { continue };
            let Some(entry) = self.entries.get(id) else { continue };
            match queues.iter_mut().find(|(keys, _)| Arc::ptr_eq(keys, &entry.keys)) {
                Some((_, ids)) => ids.push(*id),
                None => queues.push((Arc::clone(&entry.keys), vec![*id])),
            }
        }
        queues
    }

    async fn renew(
        &mut self,
        link: &mut Link,
        keys: &Keys,
        ids: &[HoldId],
        due: &mut Vec<Action>,
    ) -> RedisResult<()> {
        let held: Vec<Held> =
            ids.iter().filter_map(|id| self.entries.get(id)).map(|entry| Held::clone(&entry.held)).collect();
        let asked = self.began.elapsed();
        let answers = self.scripts.renew(link, keys, &self.id, &held).await?;
        let now = self.began.elapsed();
        due.retain(|action| !matches!(action, Action::Renew(id) if ids.contains(id)));
        for (id, answer) in ids.iter().zip(answers) {
            if answer == Renewal::Lost
                && let Some(ending) = self.entries.get_mut(id).and_then(|entry| entry.ending.take())
            {
                self.room.paid(ending.size());
                self.figures.fenced();
            }
            self.step(Input::Renewed { id: *id, asked, answer }, now, due);
        }
        Ok(())
    }

    async fn finish(
        &mut self,
        link: &mut Link,
        keys: &Keys,
        ids: &[HoldId],
        due: &mut Vec<Action>,
    ) -> RedisResult<()> {
        let mut ended = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let Some(ending) = &entry.ending else { continue };
            if let (Some((key, bytes)), false) = (&ending.long, entry.uploaded) {
                let _: () = link.set_ex(key, bytes, KEPT).await?;
                entry.uploaded = true;
            }
            let finished = Finished { held: Held::clone(&entry.held), outcome: ending.outcome.clone() };
            match &ending.buried {
                None => ended.push((*id, finished)),
                Some(reason) => {
                    let buried = self.scripts.bury(link, keys, &self.id, &finished, reason).await?;
                    let answer = if buried { Finish::Recorded } else { Finish::Fenced };
                    due.retain(|action| *action != Action::Finish(*id));
                    let now = self.began.elapsed();
                    self.step(Input::Finished { id: *id, answer }, now, due);
                }
            }
        }
        let (ids, finished): (Vec<HoldId>, Vec<Finished>) = ended.into_iter().unzip();
        let answers = self.scripts.finish(link, keys, &self.id, &finished).await?;
        due.retain(|action| !matches!(action, Action::Finish(id) if ids.contains(id)));
        for (id, answer) in ids.iter().zip(answers) {
            let long = self.entries.get(id).and_then(|entry| entry.ending.as_ref()?.long.as_ref());
            if let (true, Some((key, _))) = (answer != Finish::Recorded, long) {
                // Nobody reads it.
                let _: usize = link.unlink(key).await?;
            }
            let now = self.began.elapsed();
            self.step(Input::Finished { id: *id, answer }, now, due);
        }
        Ok(())
    }

    async fn hand_back(&mut self, link: &mut Link) -> RedisResult<()> {
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        while let Some(id) = self.to_return.last().copied() {
            if let Some(entry) = self.entries.get(&id) {
                let held = [Held::clone(&entry.held)];
                self.scripts.hand_back(link, &entry.keys, &self.id, lease, &held).await?;
                let now = self.began.elapsed();
                self.entries.remove(&id);
                self.leases.handle(Input::Returned(id), now);
            }
            self.to_return.pop();
        }
        Ok(())
    }
}

impl Ending {
    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.outcome.len() + self.long.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
