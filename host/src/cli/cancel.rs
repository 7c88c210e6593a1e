//! `flowhost cancel`: asks the process that works on a run to stop.

use super::exit::Exit;
use super::kept::Kept;
use super::output::say;
use super::recording::refused;

#[derive(clap::Args, Debug)]
pub(super) struct Cancel {
    /// The run's id, or the beginning of it
    run: String,
    /// Stop running attempts too, as SIGTERM does. Without it they finish, as after Ctrl-C
    #[arg(long, env = "FLOWHOST_NOW", value_parser = clap::builder::FalseyValueParser::new())]
    now: bool,
    #[command(flatten)]
    kept: Kept,
}

impl Cancel {
    pub(super) fn execute(self) -> Exit {
        let run = match self.kept.run(&self.run) {
            Ok(run) => run,
            Err(exit) => return exit,
        };
        match run.stop(self.now) {
            Ok(process) => {
                say(&format!(
                    "run {}: process {process} was asked to stop; `flowhost run FILE --resume` goes on",
                    run.id()
                ));
                Exit::Succeeded
            }
            Err(failure) => refused(&failure),
        }
    }
}
