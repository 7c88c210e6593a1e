//! What to say of a guest that did not return: the limit that it reached or the trap that it hit,
//! and where. Decides the outcome, and touches nothing.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::engine::WASM_STACK;
use super::limiter::{INSTANCES, MEMORIES, TABLES, bytes};
use super::sandbox::{HANDLES, State};
use super::stdio::OutputLimit;
use crate::model::Outcome;

/// The exit code of a command that asks for another attempt (`EX_TEMPFAIL` of sysexits).
const TEMPORARY: i32 = 75;

/// How a guest that left through `exit` ended.
pub(super) fn exit_code(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

/// A command that exited with `code`, which is not 0.
pub(super) fn exited(code: i32) -> Outcome {
    Outcome::Failed { message: format!("exited with code {code}"), permanent: code != TEMPORARY }
}

/// The outcome of an attempt whose guest ended with `error`.
pub(super) fn outcome(error: &wasmtime::Error, state: &State) -> Outcome {
    if let Some(code) = exit_code(error) {
        let message = format!("exited with code {code} before the function returned");
        return Outcome::Failed { message, permanent: code != TEMPORARY };
    }
    let mut message = headline(error, state);
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let backtrace = backtrace.to_string();
        message.push('\n');
        message.push_str(backtrace.trim_end());
    }
    Outcome::Trapped { message }
}

/// The limit on a number of things that wasmtime says was reached: it has no type for that either.
fn count_limit(cause: &str) -> Option<String> {
    let (what, count) = cause.strip_prefix("resource limit exceeded: ")?.split_once(" count too high at ")?;
    let (what, limit) = match what {
        "instance" => ("core instance", INSTANCES),
        "memory" => ("memory count", MEMORIES),
        "table" => ("table count", TABLES),
        other => return Some(format!("{other} limit reached (asked for {count})")),
    };
    Some(format!("{what} limit of {limit} reached (asked for {count})"))
}

fn headline(error: &wasmtime::Error, state: &State) -> String {
    let limits = &state.prepared.call.limits;
    let cause = error.root_cause().to_string();
    if let Some(limit) = error.downcast_ref::<OutputLimit>() {
        return limit.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            return format!("fuel limit of {} reached", limits.fuel.unwrap_or(u64::MAX));
        }
        Some(Trap::StackOverflow) => {
            return format!("stack limit of {} reached (endless recursion?)", bytes(WASM_STACK as u64));
        }
        _ => {}
    }
    // wasmtime has no types for these two.
    if cause.contains("fuel allocated for hostcalls has been exhausted") {
        return format!(
            "output limit of {} reached: the guest handed more to the host at once",
            bytes(limits.output)
        );
    }
    if cause.contains("store handle limit exceeded") || cause.contains("resource table has no free keys") {
        return format!("handle limit of {HANDLES} reached");
    }
    if let Some(limit) = count_limit(&cause) {
        return limit;
    }
    let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
    match state.limiter.refusal() {
        // A guest that was refused memory rarely says more than `unreachable`.
        Some(refusal) => format!("{refusal}, then: {cause}"),
        None => cause.to_owned(),
    }
}
