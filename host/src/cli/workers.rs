//! `flowhost workers`: who serves the queues on a Redis server.

use std::collections::BTreeMap;

use redis::RedisResult;
use serde_json::json;

use super::exit::Exit;
use super::output::{say, told};
use super::redis::{Place, now};
use super::table::Table;
use crate::queue::{Announcement, Link, look};
use crate::report::harmless_json;
use crate::wire::PROTOCOL;

#[derive(clap::Args, Debug)]
pub(super) struct Workers {
    #[command(flatten)]
    place: Place,
    /// Print one JSON array
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

impl Workers {
    pub(super) fn execute(self) -> Exit {
        now(async {
            let mut connection = self.place.connect().await?;
            let workers = self.find(&mut connection).await.map_err(|failure| self.place.lost(&failure))?;
            Ok(self.print(&workers))
        })
    }

    /// Each worker once, by its id, whichever of the queues it serves.
    async fn find(&self, connection: &mut Link) -> RedisResult<Vec<Announcement>> {
        let mut found = BTreeMap::new();
        for keys in self.place.queues(connection).await? {
            for worker in look::workers(connection, &keys).await? {
                found.insert(worker.id.clone(), worker);
            }
        }
        Ok(found.into_values().collect())
    }

    fn print(&self, workers: &[Announcement]) -> Exit {
        if self.json {
            let object = |worker: &Announcement| {
                let mut object = json!(worker);
                if let Some(object) = object.as_object_mut() {
                    object.insert("same_protocol".to_owned(), json!(worker.protocol == PROTOCOL));
                }
                object
            };
            return told(&harmless_json(&workers.iter().map(object).collect()));
        }
        if workers.is_empty() {
            say("no worker is there; `flowhost worker --redis URL` starts one");
            return Exit::Succeeded;
        }
        let mut table =
            Table::new(&["WORKER", "HOST", "PROCESS", "QUEUES", "RUNNING", "FLOWHOST", "SINCE", "STATE"]);
        for worker in workers {
            let state = match (worker.protocol == PROTOCOL, worker.draining) {
                (true, false) => "works".to_owned(),
                (true, true) => "draining: takes nothing more".to_owned(),
                (false, _) => format!("another protocol ({}): takes nothing from here", worker.protocol),
            };
            table.row([
                worker.id.clone(),
                worker.host.clone(),
                worker.pid.to_string(),
                worker.queues.join(","),
                format!("{}/{}", worker.running, worker.concurrency),
                worker.flowhost.clone(),
                worker.since.clone(),
                state,
            ]);
        }
        told(&table.text())
    }
}
