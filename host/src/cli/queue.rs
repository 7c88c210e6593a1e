//! `flowhost queue`: what waits in the queues on a Redis server, and what nobody could finish.

use redis::RedisResult;
use serde_json::json;

use super::exit::Exit;
use super::output::{say, told};
use super::redis::{Place, now};
use super::runs::time;
use super::table::Table;
use crate::queue::look::{self, Depth, Letter, Requeued};
use crate::queue::{Keys, Link};
use crate::report::{duration, harmless_json};
use crate::wire::PROTOCOL;

/// Dead letters are asked for so many at a time: each comes with all that a worker needed.
const PAGE: usize = 50;

/// More dead letters than are kept of a queue.
const ALL: usize = 100_000;

#[derive(clap::Args, Debug)]
pub(super) struct Queue {
    #[command(flatten)]
    place: Place,
    /// Show so many dead letters of each queue, the newest first
    #[arg(long, value_name = "N", default_value = "20", env = "FLOWHOST_LETTERS")]
    letters: u32,
    /// Queue a dead letter's attempt again, or that of every one, where its run can still make use of it
    #[arg(long, value_name = "ID|all", env = "FLOWHOST_REQUEUE", conflicts_with = "drop")]
    requeue: Option<Which>,
    /// Remove a dead letter, or every one
    #[arg(long, value_name = "ID|all", env = "FLOWHOST_DROP")]
    drop: Option<Which>,
    /// Print one JSON array
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

/// Which dead letters are meant.
#[derive(Clone, Debug)]
enum Which {
    All,
    One(String),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u64>().is_ok();
        match text.split_once('-') {
            _ if text == "all" => Ok(Self::All),
            Some((time, count)) if number(time) && number(count) => Ok(Self::One(text.to_owned())),
            Some(_) | None => {
                Err("it is `all`, or the id of a dead letter, such as 1763729500123-0".to_owned())
            }
        }
    }
}

/// A queue with what is to be shown of it.
struct Shown {
    keys: Keys,
    depth: Depth,
    workers: usize,
    letters: Vec<Letter>,
}

impl Queue {
    pub(super) fn execute(self) -> Exit {
        now(async {
            let mut connection = self.place.connect().await?;
            let done = match (&self.requeue, &self.drop) {
                (Some(which), _) => self.change(&mut connection, which, true).await,
                (None, Some(which)) => self.change(&mut connection, which, false).await,
                (None, None) => self.show(&mut connection).await,
            };
            done.map_err(|failure| self.place.lost(&failure))
        })
    }

    async fn show(&self, connection: &mut Link) -> RedisResult<Exit> {
        let mut all = Vec::new();
        for keys in self.place.queues(connection).await? {
            let depth = look::depth(connection, &keys).await?;
            let workers = look::workers(connection, &keys).await?.len();
            let letters = letters(connection, &keys, self.letters as usize).await?;
            all.push(Shown { keys, depth, workers, letters });
        }
        if self.json {
            return Ok(told(&harmless_json(&all.iter().map(object).collect())));
        }
        let mut table =
            Table::new(&["QUEUE", "PROTOCOL", "WAITING", "HELD", "OLDEST", "WORKERS", "DEAD", ""]);
        for Shown { keys, depth, workers, .. } in &all {
            let Depth { waiting, held, oldest, letters, .. } = depth;
            let note = match (keys.protocol() == PROTOCOL, workers) {
                (false, _) => "another protocol: nothing from here goes there",
                (true, 0) => "no worker is there",
                (true, _) => "",
            };
            table.row([
                keys.queue().to_owned(),
                keys.protocol().to_string(),
                waiting.to_string(),
                held.to_string(),
                oldest.map_or_else(|| "-".to_owned(), |age| duration(age).to_string()),
                workers.to_string(),
                letters.to_string(),
                note.to_owned(),
            ]);
        }
        let mut text = table.text();
        for Shown { keys, depth, letters, .. } in all.iter().filter(|queue| !queue.letters.is_empty()) {
            text.push_str(&format!("\n\ndead letters of {}, the newest first:\n", keys.queue()));
            let mut table = Table::new(&["ID", "SINCE", "DELIVERIES", "RUN", "ATTEMPT", "REASON"]);
            for letter in letters {
                let or = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
                table.row([
                    letter.id.clone(),
                    since(letter),
                    letter.deliveries.clone(),
                    or(&letter.run),
                    or(&letter.attempt),
                    letter.reason.clone(),
                ]);
            }
            text.push_str(&table.text());
            let others = depth.letters.saturating_sub(letters.len() as u64);
            if others > 0 {
                text.push_str(&format!("\n… and {others} older ones: --letters {}", depth.letters));
            }
        }
        Ok(told(&text))
    }

    /// Queues letters again, or drops them. Exits with 1 where something could not be done.
    async fn change(&self, connection: &mut Link, which: &Which, again: bool) -> RedisResult<Exit> {
        let mut meant = Vec::new();
        for keys in self.place.queues(connection).await? {
            match which {
                Which::All => {
                    for letter in letters(connection, &keys, ALL).await? {
                        meant.push((keys.clone(), letter));
                    }
                }
                Which::One(id) => {
                    meant
                        .extend(look::find_letter(connection, &keys, id).await?.map(|letter| (keys, letter)));
                }
            }
        }
        match (which, &meant[..]) {
            (Which::All, []) => {
                say("there are no dead letters");
                return Ok(Exit::Succeeded);
            }
            (Which::One(id), []) => {
                say(&format!("error: there is no dead letter {id}; `flowhost queue --redis URL` lists them"));
                return Ok(Exit::Internal);
            }
            (Which::One(id), [_, _, ..]) => {
                say(&format!("error: there is a dead letter {id} in several queues: say which with --queue"));
                return Ok(Exit::Usage);
            }
            _ => {}
        }
        let mut exit = Exit::Succeeded;
        for (keys, letter) in meant {
            let (done, what) = match again {
                true if keys.protocol() != PROTOCOL => (
                    false,
                    format!(
                        "is for protocol {}: a flowhost that speaks it can queue it again",
                        keys.protocol()
                    ),
                ),
                true => requeued(look::requeue(connection, &keys, &letter).await?),
                false if look::drop_letter(connection, &keys, &letter).await? => {
                    (true, "is dropped".to_owned())
                }
                false => (false, "is not there any more".to_owned()),
            };
            let attempt = letter.attempt.as_deref().unwrap_or("-");
            let run = letter.run.as_deref().unwrap_or("-");
            let mark = if done { "" } else { "error: " };
            say(&format!("{mark}dead letter {} (run {run}, attempt {attempt}) {what}", letter.id));
            if !done {
                exit = Exit::Internal;
            }
        }
        Ok(exit)
    }
}

/// Whether it is done, and what is to be said of it.
fn requeued(requeued: Requeued) -> (bool, String) {
    let (done, text) = match requeued {
        Requeued::Queued => (
            true,
            "is queued again: its run does not know of the loss yet, and takes what comes of it with --resume",
        ),
        Requeued::Missing => (false, "is not there any more"),
        Requeued::Broken => (false, "holds no attempt that could be queued; --drop removes it"),
        Requeued::Waits => {
            (false, "need not be queued again: its attempt waits or executes; --drop removes the letter")
        }
        Requeued::Gone => {
            (false, "cannot be queued again: nothing is known of its run any more; --drop removes it")
        }
        Requeued::Told => (
            false,
            "cannot be queued again: its run knows already how it ended; `flowhost run FILE --resume --retry-failed` \
             attempts it again",
        ),
    };
    (done, text.to_owned())
}

/// Up to `most` dead letters, the newest first.
async fn letters(connection: &mut Link, keys: &Keys, most: usize) -> RedisResult<Vec<Letter>> {
    let mut all: Vec<Letter> = Vec::new();
    while all.len() < most {
        let before = all.last().map(|letter| letter.id.as_str());
        let page = look::letters(connection, keys, before, PAGE.min(most - all.len())).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    Ok(all)
}

fn since(letter: &Letter) -> String {
    letter.time().map_or_else(|| "?".to_owned(), |since| time(since.saturating_mul(1000)))
}

fn object(shown: &Shown) -> serde_json::Value {
    let Shown { keys, depth, workers, letters } = shown;
    let letter = |letter: &Letter| {
        json!({
            "id": letter.id, "since": since(letter), "deliveries": letter.deliveries.parse::<u64>().ok(),
            "run": letter.run, "attempt": letter.attempt, "reason": letter.reason,
        })
    };
    json!({
        "queue": keys.queue(), "protocol": keys.protocol(), "same_protocol": keys.protocol() == PROTOCOL,
        "stream": keys.tasks(), "length": depth.length, "waiting": depth.waiting, "held": depth.held,
        "oldest_ms": depth.oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "workers": workers, "dead": depth.letters,
        "letters": letters.iter().map(letter).collect::<serde_json::Value>(),
    })
}
