//! The one place that knows who answers: the host in a component, the doubles of `testing` in
//! native code.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::flowhost::task::{
    context::{cancelled, current, time_left},
    log::log,
    progress::report,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::{cancelled, current, log, report, time_left};
