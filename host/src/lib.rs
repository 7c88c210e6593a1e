//! flowhost runs tasks compiled to WebAssembly components and schedules fan-out groups of them.
//!
//! [`embed::Run`] runs a workflow file from Rust; the command line does no more. What stands beneath
//! it is public as well, for those who bring their own executor or reporter.
//!
//! The floors, from the ground up: `id` and `digest`; `folder` and `model`; `cache`, `channel`, `interface`,
//! `journal`, `queue`, `report`, `schedule`, `store` and `wire`; `manifest` and `runtime`; `executor`; `run` and
//! `worker`; `embed`; `cli`. A module imports only from floors below its own.

mod buffer;
pub mod cache;
pub mod channel;
pub mod cli;
mod compact;
pub mod digest;
pub mod embed;
pub mod executor;
pub mod folder;
pub mod id;
pub mod interface;
pub mod journal;
pub mod manifest;
pub mod model;
mod names;
pub mod queue;
pub mod report;
pub mod run;
pub mod runtime;
pub mod schedule;
pub mod store;
mod streams;
pub mod wire;
pub mod worker;
