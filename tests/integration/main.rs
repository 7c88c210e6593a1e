//! Everything that a person does with flowhost, done to the real command with components built from
//! source.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and so may what tests on every executor share"
)]

use flowhost_tests as support;

#[macro_use]
mod executors;

mod address_space;
mod bad_input;
mod beneath;
mod cache;
mod call;
mod channel;
mod check;
mod children;
mod conformance;
mod consumer;
mod control_group;
mod deployed;
mod embed;
mod examples;
mod explain;
mod faults;
mod faults_redis;
mod faults_ssh;
mod floors;
mod flow;
mod groups;
mod guests;
mod interrupts;
mod limits;
mod merging;
mod metrics;
mod named;
mod nesting;
mod network;
mod nodes;
mod operations;
mod outputs;
mod policies;
mod pool;
mod progress;
mod queue;
mod queue_look;
mod recorded;
mod replay;
mod repository;
mod resume;
mod running;
mod schema;
mod splitting;
mod ssh_options;
mod tracing;
mod trust;
mod worker;
