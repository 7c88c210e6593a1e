//! `flowhost check`: every problem at once, and what a sound file asks for.

use super::exit::Exit;
use super::output::told;
use super::run::Source;
use crate::manifest::Loaded;
use crate::model::{Kind, Node};

#[derive(clap::Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
}

impl Check {
    pub(super) fn execute(self) -> Exit {
        // Secrets are wanted where the workflow runs, which may be elsewhere.
        match self.source.load(None, &|_| Some(String::new())) {
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
    if loaded.asks.is_empty() {
        lines.push("asks for nothing: no directories, no environment, no network".to_owned());
    }
    lines.extend(loaded.asks.iter().map(|ask| format!("asks for {ask}")));
    lines.join("\n")
}
