//! `flowhost run`: check, then run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::exit::Exit;
use super::host::HostError;
use super::output::{error, result, say, stdout_failed, told};
use super::progress::Style;
use super::recording::Recording;
use super::{build, host};
use crate::embed;
use crate::id::RunId;
use crate::journal::Start;
use crate::manifest::{self, Loaded, Purpose, Trust};
use crate::model::{Executor, ExecutorKind, Form, Group, Items, Kind, Split, Workflow, shown_url};
use crate::run::Environment;

/// What a workflow is loaded with, for `run` and `check` alike.
#[derive(clap::Args, Debug)]
pub(super) struct Source {
    /// The workflow file
    pub(super) file: PathBuf,
    /// Set an input: a string as it stands, any other type as JSON. Repeatable
    #[arg(long = "input", value_name = "NAME=VALUE", env = "FLOWHOST_INPUT", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// Where attempts run, for the whole workflow or one task or group. Repeatable
    #[arg(long = "executor", value_name = "[GROUP=]NAME", env = "FLOWHOST_EXECUTOR", value_delimiter = ',')]
    executors: Vec<String>,
    /// Where redis executors are for which the file gives no URL: redis://, rediss:// or unix://
    #[arg(long, value_name = "URL", env = "FLOWHOST_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Let secrets go to executors that are reached unencrypted
    #[arg(long, env = "FLOWHOST_ALLOW_PLAIN_SECRETS", value_parser = clap::builder::FalseyValueParser::new())]
    allow_plain_secrets: bool,
    /// The folder that no path of the file leads out of [default: the file's folder]
    #[arg(long, value_name = "DIR", env = "FLOWHOST_ROOT")]
    root: Option<PathBuf>,
    /// Build the components that have a `build` first
    #[arg(long, env = "FLOWHOST_BUILD", value_parser = clap::builder::FalseyValueParser::new())]
    build: bool,
    /// The file is somebody else's: build nothing, and of the environment and the network give it only
    /// what --allow names
    #[arg(long, env = "FLOWHOST_UNTRUSTED", value_parser = clap::builder::FalseyValueParser::new())]
    untrusted: bool,
    /// What an untrusted file may be given: env=NAME, net=ADDRESS:PORT or http=ORIGIN. Repeatable
    #[arg(long, value_name = "KIND=VALUE", env = "FLOWHOST_ALLOW", value_delimiter = ',')]
    allow: Vec<manifest::Allow>,
    /// Where runs are kept [default: .flowhost beside the file]
    #[arg(long, value_name = "DIR", env = "FLOWHOST_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

/// Why a file is not even read.
#[derive(Debug, thiserror::Error)]
enum TrustError {
    #[error(
        "--build would run the commands of an untrusted file: build its components yourself, or leave --untrusted out"
    )]
    Build,
    #[error(
        "--allow says what an untrusted file may be given: add --untrusted, or leave it out to give all that the file asks for"
    )]
    Allow,
}

#[derive(clap::Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    source: Source,
    /// At most so many attempts at once in each group
    #[arg(long, value_name = "N", env = "FLOWHOST_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    #[command(flatten)]
    compiling: host::Compiling,
    #[command(flatten)]
    recording: Recording,
    /// How to show what happens
    #[arg(long, value_enum, default_value_t = Style::Auto, env = "FLOWHOST_PROGRESS")]
    progress: Style,
    /// Execute tasks with `cache` as well, and keep nothing
    #[arg(long, env = "FLOWHOST_NO_CACHE", value_parser = clap::builder::FalseyValueParser::new())]
    no_cache: bool,
    /// Keep also outcomes that executors of the file's own answered, and not this machine
    #[arg(long, env = "FLOWHOST_CACHE_REMOTE", value_parser = clap::builder::FalseyValueParser::new())]
    cache_remote: bool,
    /// Check, say what would run, and run nothing
    #[arg(long, env = "FLOWHOST_DRY_RUN", value_parser = clap::builder::FalseyValueParser::new())]
    dry_run: bool,
}

/// `name=value`, for a flag.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is written NAME=VALUE".to_owned()),
    }
}

impl Source {
    fn trust(&self) -> Result<Trust, TrustError> {
        match (self.untrusted, self.build, self.allow.is_empty()) {
            (true, true, _) => Err(TrustError::Build),
            (true, false, _) => Ok(Trust::Only(self.allow.clone())),
            (false, _, true) => Ok(Trust::Full),
            (false, _, false) => Err(TrustError::Allow),
        }
    }

    /// Builds where asked, and loads. Problems are printed. `environment` says which secrets there are.
    pub(super) fn check(&self, environment: &Environment) -> Result<Loaded, Exit> {
        self.load_as(None, environment, Purpose::Check, None)
    }

    /// As [`Source::check`], with the inputs and the root of a recorded run where the command line has
    /// none.
    fn load_as(
        &self,
        concurrency: Option<u32>,
        environment: &Environment,
        purpose: Purpose,
        recorded: Option<&Start>,
    ) -> Result<Loaded, Exit> {
        let usage = |problem: &dyn std::error::Error| {
            error(problem);
            Exit::Usage
        };
        let problems = |problems: manifest::Problems| {
            say(&problems.to_string());
            Exit::Usage
        };
        let trust = self.trust().map_err(|failure| usage(&failure))?;
        if self.build {
            let builds = manifest::builds(&self.file).map_err(problems)?;
            build::build(&builds).map_err(|failure| usage(&failure))?;
        }
        let executors = self.executors.iter().map(|text| match text.split_once('=') {
            Some((name, executor)) => (Some(name.to_owned()), executor.to_owned()),
            None => (None, text.clone()),
        });
        let here = std::env::current_dir().map_err(|failure| usage(&failure))?;
        let root = match (&self.root, recorded) {
            (Some(root), _) => Some(here.join(root)),
            (None, Some(start)) => embed::root_of(&self.file, start),
            (None, None) => None,
        };
        // Relative paths in recorded inputs start where they did.
        let then = recorded.map(|start| PathBuf::from(&start.current)).filter(|then| then.is_dir());
        let options = manifest::Options {
            root,
            inputs: embed::recorded::inputs(&self.inputs, recorded),
            executors: executors.collect(),
            concurrency,
            state_dir: self.state_dir.as_ref().map(|state_dir| here.join(state_dir)),
            redis: self.redis.clone(),
            plain_secrets: self.allow_plain_secrets,
            purpose,
            recorded: None,
            current: then.unwrap_or(here),
            environment,
            trust,
        };
        let loaded = manifest::load(&self.file, &options).map_err(problems)?;
        host::allowed(&loaded.workflow)?;
        Ok(loaded)
    }
}

impl Run {
    pub(super) fn execute(self) -> Exit {
        match self.run() {
            Ok(exit) | Err(exit) => exit,
        }
    }

    fn run(self) -> Result<Exit, Exit> {
        let (file, state_dir) = (&self.source.file, self.source.state_dir.as_deref());
        let found = self.recording.found(file, state_dir, self.dry_run)?;
        let start = found.as_ref().map(|found| &*found.start);
        let loaded = self.source.load_as(self.concurrency, &embed::environment, Purpose::Run, start)?;
        if self.dry_run {
            return Ok(told(&plan(&loaded.workflow)));
        }
        let given = embed::recorded::inputs(&self.source.inputs, start);
        let journal = self.recording.journaling(file, state_dir, given, &loaded, found)?;
        let recorded = journal.is_some();
        let caching =
            if self.no_cache { Ok(None) } else { embed::caching(&loaded.workflow, None, self.cache_remote) };
        let has_nodes =
            loaded.workflow.executors.iter().any(|executor| matches!(executor.kind, ExecutorKind::Ssh(_)));
        let ended = caching
            .map_err(HostError::from)
            .and_then(|caching| host::run(loaded.workflow, self.progress, &self.compiling, caching, journal));
        let (ended, exit) = ended.map_err(|failure| {
            let exit = host::failed(&failure);
            // Whoever reads JSON lines is told the failure alone.
            if exit == Exit::Unreachable && self.progress != Style::Json {
                tell_what_helps(recorded, has_nodes);
            }
            exit
        })?;
        // Whoever reads JSON lines finds nothing else on standard error.
        let told = self.progress != Style::Json;
        if told && recorded {
            self.tell_how_to_go_on(&ended.run, exit);
        }
        for (name, path) in ended.outputs.files.iter().filter(|_| told) {
            say(&format!("output {name}: {}", path.display()));
        }
        for name in ended.outputs.left_out.iter().filter(|_| told) {
            say(&format!("output {name}: left out, because what it needs has no value"));
        }
        if ended.outputs.values.is_empty() && !ended.outputs.left_out.is_empty() {
            return Ok(exit);
        }
        Ok(match result(&serde_json::Value::Object(ended.outputs.values).to_string()) {
            Ok(()) => exit,
            Err(failure) => stdout_failed(&failure),
        })
    }
}

impl Run {
    /// After a signal, that nothing is lost.
    fn tell_how_to_go_on(&self, run: &RunId, exit: Exit) {
        match exit {
            Exit::Hangup | Exit::Interrupted | Exit::Terminated => {}
            Exit::Succeeded | Exit::Internal | Exit::Usage | Exit::RunFailed | Exit::Unreachable => return,
        }
        let place = self.source.state_dir.as_ref();
        let place = place.map_or_else(String::new, |place| format!(" --state-dir {}", place.display()));
        let executors = self.source.executors.iter().map(|executor| format!(" --executor {executor}"));
        let (file, executors) = (self.source.file.display(), executors.collect::<String>());
        // One with a password is not repeated.
        let redis = self.source.redis.as_ref().map(|url| match shown_url(url) == *url {
            true => format!(" --redis {url}"),
            false => " --redis URL".to_owned(),
        });
        let redis = redis.unwrap_or_default();
        let secrets = if self.source.allow_plain_secrets { " --allow-plain-secrets" } else { "" };
        say(&format!(
            "run {run} was stopped: `flowhost run {file}{place}{executors}{redis}{secrets} --resume` goes on with it"
        ));
    }
}

/// Where an executor cannot be reached.
fn tell_what_helps(recorded: bool, has_nodes: bool) {
    if has_nodes {
        say("`flowhost nodes FILE` looks at all nodes of the file");
    }
    if recorded {
        say("what was recorded stays: `flowhost run FILE --resume` goes on with it");
    }
}

/// What would run, a line for each task and group.
fn plan(workflow: &Workflow) -> String {
    let mut lines = vec![format!("workflow {} ({})", workflow.name, workflow.digest)];
    for node in &workflow.nodes {
        let what = match &node.kind {
            Kind::Task(task) if node.section.follows => {
                format!("group {}: merged by {}: {}", node.name, task.name, call(workflow, task))
            }
            Kind::Task(task) if node.section.goes_on => {
                format!("group {}: split by {}: {}", node.name, task.name, call(workflow, task))
            }
            Kind::Task(task) => format!("task {}: {}", node.name, call(workflow, task)),
            Kind::Started(task) => {
                format!("task {}: {} each time that it is started", node.name, call(workflow, task))
            }
            Kind::Best(best) => format!("group {}: the best by {}", node.name, best.name),
            Kind::Group(Group { form: Form::ForEach { task, items, split }, .. }) => {
                let split = match split {
                    Split::Item => String::new(),
                    Split::Chunk(length) => format!(", in chunks of {length}"),
                    Split::RoundRobin(parts) => format!(", dealt out to {parts}"),
                };
                format!("group {}: {} {}{split}", node.name, call(workflow, task), items_text(items))
            }
            Kind::Group(Group { form: Form::Tasks(members), .. }) => {
                let names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
                format!("group {}: {}", node.name, names.join(", "))
            }
        };
        let after: Vec<&str> = node
            .after
            .iter()
            .filter_map(|id| workflow.nodes.get(id.index()))
            .map(|node| &*node.name)
            // The sections of a group follow each other here, too.
            .filter(|name| **name != *node.name)
            .collect();
        let after = if after.is_empty() { String::new() } else { format!(", after {}", after.join(", ")) };
        let around = workflow.around(node).next();
        let inside = around.map_or(String::new(), |outer| format!(", in group {}", outer.name));
        // A group's members may each have one of their own. Of the default nothing is said.
        let executors: BTreeSet<Executor> = node.tasks().map(|task| task.policy.executor.clone()).collect();
        let names: Vec<&str> = executors.iter().map(|executor| executor.name()).collect();
        let default = executors.iter().all(|executor| *executor == Executor::default());
        let on = if default { String::new() } else { format!(", on {}", names.join(" and ")) };
        let when = if node.when.is_some() { ", if its `when` holds" } else { "" };
        lines.push(format!("{what} -> {}{on}{inside}{after}{when}", node.value));
    }
    lines.extend(workflow.executors.iter().map(|executor| format!("executor {executor}")));
    for output in &workflow.outputs {
        let to = output.file.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
        lines.push(format!("output {}: {} to {to}", output.name, output.ty));
    }
    lines.join("\n")
}

fn call(workflow: &Workflow, task: &crate::model::Task) -> String {
    let alias = workflow.components.get(task.component).map_or("", |component| &*component.alias);
    let name = match &task.entry {
        crate::model::Entry::Function { name, .. } => name,
        crate::model::Entry::Command { .. } => "run",
    };
    format!("{alias}#{name}")
}

fn items_text(items: &Items) -> String {
    match items {
        Items::List(_) => "for each element of a list".to_owned(),
        Items::Files { pattern, .. } => format!("for each file that matches {pattern}"),
        Items::Lines { path, .. } => format!("for each line of {}", path.display()),
        Items::Jsonl { path, .. } => format!("for each JSON line of {}", path.display()),
        Items::Range { start, end } => format!("for each of {start} to {end}, {end} not included"),
        Items::Literal(items) => format!("for each of {} items", items.len()),
        Items::Matrix(axes) => {
            let count: usize = axes.iter().map(|(_, values)| values.len()).product();
            format!("for each of {count} combinations")
        }
    }
}
