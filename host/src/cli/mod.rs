//! The command line: turns words into settings, and ends into exit codes.

mod beneath;
mod branch;
mod build;
mod cache;
mod call;
mod cancel;
mod check;
mod consumer;
pub mod exit;
mod explain;
mod host;
mod inspect;
mod kept;
mod logs;
mod nodes;
mod output;
mod progress;
mod prune;
mod queue;
mod recording;
mod redis;
mod replay;
mod run;
mod runs;
mod schema;
mod signals;
mod table;
mod tracing;
mod worker;
mod workers;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Exit;

/// Runs tasks compiled to WebAssembly components, fanned out from a workflow file.
#[derive(Parser, Debug)]
#[command(name = "flowhost", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 succeeded, 1 internal error, 2 usage or invalid workflow, \
    100 the run failed, 102 an executor could not be reached, 129, 130 and 143 stopped by a signal.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Check a workflow, then run it. Results go to standard output as one JSON object
    Run(run::Run),
    /// Report every problem of a workflow at once, without running or compiling anything
    Check(check::Check),
    /// Show a component's digest, functions, types and imports, or what this machine has beneath the sandbox
    Inspect(inspect::Inspect),
    /// Call one function of a component, without a workflow
    Call(call::Call),
    /// List past and present runs, the newest first
    Runs(runs::Runs),
    /// Show what the journal has of a task's attempts: how they ended, and the last lines of those that did not succeed
    Logs(logs::Logs),
    /// Say of one branch what became of it: its attempts, what they used, and why the cache did not have it
    Explain(explain::Explain),
    /// Make one recorded call again, here, and say whether it comes to the same
    Replay(replay::Replay),
    /// Ask the process that works on a run to stop
    Cancel(cancel::Cancel),
    /// Remove old runs, their large values, kept outcomes and compiled code
    Prune(prune::Prune),
    /// Say what is kept for later runs, and how much of it: outcomes of deterministic tasks, compiled code
    Cache(cache::Cache),
    /// Print the JSON Schema of workflow files, for editors that complete and check TOML
    Schema(schema::Schema),
    /// Execute attempts for another flowhost, and grant them no more than this machine's owner allows
    Worker(worker::Worker),
    /// List the workers that serve the queues on a Redis server
    Workers(workers::Workers),
    /// Look at the nodes of a workflow's ssh executors: whether they are reached, what is there, and what a run would
    /// put there. Puts nothing on them
    Nodes(nodes::Nodes),
    /// Show what waits in the queues on a Redis server, and what nobody could finish; queue that again, or drop it
    Queue(queue::Queue),
    /// Compile a component on standard input, for the process that started this one
    #[command(hide = true)]
    CompileComponent(Arguments),
    /// Execute attempts for the process that started this one
    #[command(hide = true)]
    ExecuteAttempts(Arguments),
}

#[derive(clap::Args, Debug)]
struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stream leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                Exit::Usage as u8
            } else {
                Exit::Succeeded as u8
            });
        }
    };
    match cli.command {
        Command::Run(run) => run.execute().into(),
        Command::Check(check) => check.execute().into(),
        Command::Inspect(inspect) => inspect.execute().into(),
        Command::Call(call) => call.execute().into(),
        Command::Runs(runs) => runs.execute().into(),
        Command::Logs(logs) => logs.execute().into(),
        Command::Explain(explain) => explain.execute().into(),
        Command::Replay(replay) => replay.execute().into(),
        Command::Cancel(cancel) => cancel.execute().into(),
        Command::Prune(prune) => prune.execute().into(),
        Command::Cache(cache) => cache.execute().into(),
        Command::Schema(schema) => schema.execute().into(),
        Command::Worker(worker) => worker.execute().into(),
        Command::Workers(workers) => workers.execute().into(),
        Command::Nodes(nodes) => nodes.execute().into(),
        Command::Queue(queue) => queue.execute().into(),
        Command::CompileComponent(compile) => crate::runtime::compile_child(&compile.arguments),
        Command::ExecuteAttempts(child) => crate::worker::child(&child.arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every flag of the commands for people can be set by a variable.
    #[test]
    fn every_flag_has_a_variable() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            for flag in command.get_arguments().filter(|argument| !argument.is_positional()) {
                let name = flag.get_long().unwrap_or_default();
                if matches!(name, "help" | "version") {
                    continue;
                }
                let wanted = format!("FLOWHOST_{}", name.to_uppercase().replace('-', "_"));
                let variable = flag.get_env().and_then(|variable| variable.to_str());
                assert_eq!(variable, Some(&*wanted), "{} --{name}", command.get_name());
            }
        }
    }
}
