//! `flowhost schema`: what editors need to know of workflow files.

use super::exit::Exit;
use super::output::told;
use crate::manifest;

#[derive(clap::Args, Debug)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn execute(self) -> Exit {
        told(&format!("{:#}", manifest::schema()))
    }
}
