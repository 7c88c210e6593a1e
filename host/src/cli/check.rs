//! `flowhost check`: every problem at once, and what a sound file asks for.

use super::exit::Exit;
use super::output::told;
use super::run::Source;
use crate::embed::environment;
use crate::manifest::Loaded;
use crate::model::{Kind, Node};

#[derive(clap::Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
}

impl Check {
    pub(super) fn execute(self) -> Exit {
        // What is not set here may be where the workflow runs.
        match self.source.check(&|name| Some(environment(name).unwrap_or_default())) {
            Ok(loaded) => told(&summary(&loaded)),
            Err(exit) => exit,
        }
    }
}

fn summary(loaded: &Loaded) -> String {
    let workflow = &loaded.workflow;
    // A group of several nodes is one.
    let started = workflow.nodes.iter().filter(|node| matches!(node.kind, Kind::Started(_))).count();
    let is_group = |node: &&Node| node.is_grouped() && !node.section.goes_on;
    let groups = workflow.nodes.iter().filter(is_group).count();
    let tasks = workflow.nodes.iter().filter(|node| node.group().is_none()).count();
    let count = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    };
    let mut lines = vec![format!(
        "{}: sound: {}, {}, {}{}, {}",
        workflow.name,
        count(workflow.components.len(), "component"),
        count(tasks, "lone task"),
        match started {
            0 => String::new(),
            _ => format!("{} that others start, ", count(started, "task")),
        },
        count(groups, "group"),
        count(workflow.outputs.len(), "output"),
    )];
    lines.extend(workflow.executors.iter().map(|executor| format!("runs on executor {executor}")));
    if loaded.asks.is_empty() {
        lines.push("asks for nothing: no directories, no environment, no network".to_owned());
    }
    lines.extend(loaded.asks.iter().map(|ask| format!("asks for {ask}")));
    lines.join("\n")
}
