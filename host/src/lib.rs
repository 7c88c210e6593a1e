//! flowhost runs tasks compiled to WebAssembly components and schedules fan-out groups of them.
//!
//! The floors, from the ground up: `id` and `digest`; `folder` and `model`; `cache`, `interface`,
//! `report` and `schedule`; `manifest` and `runtime`; `executor`; `run`; `cli`. A module imports only from floors
//! below its own.

pub mod cache;
pub mod cli;
pub mod digest;
pub mod executor;
pub mod folder;
pub mod id;
pub mod interface;
pub mod manifest;
pub mod model;
pub mod report;
pub mod run;
pub mod runtime;
pub mod schedule;
