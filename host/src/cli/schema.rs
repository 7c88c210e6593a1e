//! `flowhost schema`: what editors need to know of workflow files.

use super::exit::Exit;
use super::output::result;
use super::run::stdout_failed;
use crate::manifest;

#[derive(clap::Args, Debug)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn execute(self) -> Exit {
        match result(&format!("{:#}", manifest::schema())) {
            Ok(()) => Exit::Succeeded,
            Err(failure) => stdout_failed(&failure),
        }
    }
}
