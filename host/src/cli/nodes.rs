//! `flowhost nodes`: what the nodes of a workflow's ssh executors are, and what a run would do there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::exit::Exit;
use super::output::{say, told};
use super::run::Source;
use super::table::Table;
use crate::embed::environment;
use crate::executor::{FoundMachine, FoundNode, Plan, look_at_nodes};
use crate::model::{ExecutorKind, Workflow};
use crate::report::{duration, harmless_json};
use crate::wire::{CeilingSaid, PROTOCOL};

#[derive(clap::Args, Debug)]
pub(super) struct Nodes {
    #[command(flatten)]
    source: Source,
    /// Print one JSON array
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

/// Nodes that are named where many have the same to be said.
const MOST_NAMED: usize = 8;

/// The nodes of one executor.
type Found = (Arc<str>, Vec<FoundNode>);

impl Nodes {
    pub(super) fn execute(self) -> Exit {
        // What is not set here may be where the workflow runs.
        let loaded = match self.source.check(&|name| Some(environment(name).unwrap_or_default())) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let threads = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(threads) => threads,
            Err(failure) => {
                say(&format!("error: flowhost cannot start its threads: {failure}"));
                return Exit::Internal;
            }
        };
        let found = threads.block_on(look(&loaded.workflow));
        let nodes =
            || found.iter().flat_map(|(executor, nodes)| nodes.iter().map(move |node| (executor, node)));
        let told = if self.json {
            told(&harmless_json(&nodes().map(|(executor, node)| object(executor, node)).collect()))
        } else if found.is_empty() {
            say(
                "no task or group of this workflow runs on nodes; --executor NAME moves it to an executor of kind ssh",
            );
            Exit::Succeeded
        } else {
            told(&text(&found))
        };
        match told {
            Exit::Succeeded if nodes().any(|(_, node)| node.plan.is_err()) => Exit::Unreachable,
            exit => exit,
        }
    }
}

/// Looks at the nodes of all executors at the same time.
async fn look(workflow: &Workflow) -> Vec<Found> {
    let mut looks = JoinSet::new();
    for (at, executor) in workflow.executors.iter().enumerate() {
        let ExecutorKind::Ssh(ssh) = &executor.kind else { continue };
        let (name, ssh) = (Arc::clone(&executor.name), ssh.clone());
        looks.spawn(async move { (at, (name, look_at_nodes(ssh, super::host::program()).await)) });
    }
    let mut found = looks.join_all().await;
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

/// A table, and below it what has no room there.
fn text(found: &[Found]) -> String {
    let mut table =
        Table::new(&["EXECUTOR", "NODE", "FLOWHOST", "BUILT FOR", "SLOTS", "FREE", "LATENCY", "A RUN WOULD"]);
    let (mut reasons, mut ceilings) = (Notes::default(), Notes::default());
    for (executor, nodes) in found {
        for node in nodes {
            table.row(row(executor, node));
            let ceiling = node.worker.as_ref().and_then(|worker| worker.ceiling.as_ref());
            match (&node.plan, ceiling) {
                (Err(reason), _) => reasons.add(executor, node, reason.clone()),
                (Ok(_), Some(ceiling)) => ceilings.add(executor, node, format!("grants {}", grants(ceiling))),
                (Ok(_), None) => {}
            }
        }
    }
    let unusable = found.iter().flat_map(|(_, nodes)| nodes).filter(|node| node.plan.is_err()).count();
    let sum = match (unusable, found.iter().map(|(_, nodes)| nodes.len()).sum()) {
        (0, 1) => "the node can be used".to_owned(),
        (0, all) => format!("all {all} nodes can be used"),
        (unusable, all) => format!("{unusable} of {all} nodes cannot be used"),
    };
    format!("{}{}{}\n\n{sum}", table.text(), ceilings.text(), reasons.text())
}

fn row(executor: &str, node: &FoundNode) -> [String; 8] {
    let machine = node.machine.as_ref();
    let worker = node.worker.as_ref();
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let kind = |machine: &FoundMachine| format!("({} {})", machine.machine, machine.system);
    let flowhost = worker.map(|worker| match worker.protocol {
        PROTOCOL => worker.flowhost.clone(),
        other => format!("{} (protocol {other}, here {PROTOCOL})", worker.flowhost),
    });
    [
        executor.to_owned(),
        node.node.clone(),
        or(flowhost),
        or(worker.map(|worker| worker.target.clone()).or_else(|| machine.map(kind))),
        or(slots(node).map(|slots| slots.to_string())),
        or(machine.and_then(|machine| machine.free).map(size)),
        or(machine.and_then(|machine| machine.round_trip).map(latency)),
        match &node.plan {
            Ok(Plan::Use) => "use what is there".to_owned(),
            Ok(Plan::Put { program, bytes }) => put(program.as_deref(), *bytes),
            Err(_) => "not use it: see below".to_owned(),
        },
    ]
}

/// What is said of nodes below the table, once for all of which it is so.
#[derive(Default)]
struct Notes(Vec<(String, String, Vec<String>)>);

impl Notes {
    fn add(&mut self, executor: &str, node: &FoundNode, note: String) {
        let name = format!("`{}`", node.node);
        match self.0.iter_mut().find(|(of, known, _)| *of == *executor && *known == note) {
            Some((_, _, nodes)) => nodes.push(name),
            None => self.0.push((executor.to_owned(), note, vec![name])),
        }
    }

    fn text(&self) -> String {
        let note = |(executor, note, nodes): &(String, String, Vec<String>)| {
            let more = match nodes.len().saturating_sub(MOST_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named: Vec<&str> = nodes.iter().take(MOST_NAMED).map(String::as_str).collect();
            format!("\n\n{executor}: {}{more}: {note}", named.join(", "))
        };
        self.0.iter().map(note).collect()
    }
}

/// How many attempts would execute at once.
fn slots(node: &FoundNode) -> Option<u32> {
    let capacity = node.worker.as_ref().and_then(|worker| worker.capacity).map(|(slots, _)| slots);
    match (capacity, node.concurrency) {
        (Some(capacity), Some(most)) => Some(capacity.min(most)),
        (capacity, most) => capacity.or(most),
    }
}

fn put(program: Option<&Path>, bytes: u64) -> String {
    match program {
        Some(program) => format!("put {} there ({})", program.display(), size(bytes)),
        None => format!("put this flowhost there ({})", size(bytes)),
    }
}

/// `12 ms`; less than a tenth of one is said to be that.
fn latency(trip: Duration) -> String {
    if trip < Duration::from_micros(50) { "<0.1 ms".to_owned() } else { duration(trip) }
}

/// `3.1 MiB`, `12.0 GiB`
fn size(bytes: u64) -> String {
    // Figures of this size are exact.
    match bytes {
        ..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// The most that a node grants.
fn grants(ceiling: &CeilingSaid) -> String {
    let CeilingSaid { directories, net, http, env, memory, timeout } = ceiling;
    let mut parts = Vec::new();
    for (what, list) in
        [("directories", directories), ("variables", env), ("addresses", net), ("origins", http)]
    {
        parts.push(match list.is_empty() {
            true => format!("no {what}"),
            false => format!("the {what} {}", list.join(", ")),
        });
    }
    let time = duration(Duration::from_millis(*timeout));
    format!("{}; to each attempt {} of memory and {time} at most", parts.join(", "), size(*memory))
}

fn object(executor: &str, node: &FoundNode) -> Value {
    let FoundNode { node: name, concurrency, machine, worker, plan } = node;
    let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let deploy = match plan {
        Ok(Plan::Use) => json!({ "does": "nothing" }),
        Ok(Plan::Put { program, bytes }) => json!({ "does": "put", "program": program, "bytes": bytes }),
        Err(reason) => json!({ "does": "refuse", "reason": reason }),
    };
    json!({
        "executor": executor, "node": name, "usable": plan.is_ok(), "reason": plan.as_ref().err(), "deploy": deploy,
        "slots": slots(node), "concurrency": concurrency,
        "machine": machine.as_ref().map(|machine| json!({
            "system": machine.system, "machine": machine.machine, "cores": machine.cores,
            "folder": machine.folder, "free_bytes": machine.free,
            "connect_ms": milliseconds(machine.connected),
            "round_trip_ms": machine.round_trip.map(milliseconds),
        })),
        "flowhost": worker.as_ref().map(|worker| json!({
            "version": worker.flowhost, "engine": worker.engine, "target": worker.target,
            "protocol": worker.protocol, "same_protocol": worker.protocol == PROTOCOL,
            "slots": worker.capacity.map(|(slots, _)| slots), "ceiling": worker.ceiling,
        })),
    })
}
