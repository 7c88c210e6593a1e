//! The one place that knows who answers: the host in a component, the doubles of `testing` in
//! native code.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::flowhost::task::{
    channel::{append, compare_and_swap, delete, get, increment, keys, set},
    context::{cancelled, current, time_left},
    flow::{abort, finish, goto, iterate, next},
    log::log,
    metrics::add,
    progress::report,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::{
    abort, add, append, cancelled, compare_and_swap, current, delete, finish, get, goto, increment, iterate,
    keys, log, next, report, set, time_left,
};
