//! One attempt, from a fresh store to an outcome. Everything that bounds a guest is set here,
//! before its first instruction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Func, Val};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

use super::limiter::bytes;
use super::prepare::{DYNAMIC_COST, DYNAMIC_LIMIT, Prepared, Way};
use super::sandbox::{HANDLES, State};
use super::{Input, Observer};
use super::{trap, values};
use crate::interface;
use crate::model::{Entry, Outcome, Type, Usage, Value};

/// The pool has no room: the attempt did not take place.
pub(super) struct Full;

/// The guest computed past its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the deadline is past")]
struct Late;

/// How a guest ended, before anything is made of it.
enum Ended {
    /// The function returned.
    Returned(Value),
    /// The command returned, or exited with a code.
    Exited(i32),
    /// An argument is not what the function takes.
    Unfit(String),
}

/// Executes one attempt of `prepared`.
pub(super) async fn attempt(
    prepared: &Arc<Prepared>,
    input: Input<'_>,
    observer: Arc<dyn Observer>,
) -> Result<(Outcome, Usage), Full> {
    let (limits, arguments) = (&prepared.call.limits, input.arguments);
    let mut store = Store::new(prepared.component.engine(), State::new(prepared, input, observer));
    store.limiter(|state| &mut state.limiter);
    // Start functions are the guest as well: all of this comes before instantiation.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        // Where many guests compute, the turn of the timer may come late: each looks at the clock itself.
        if store.data().deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Late.into());
        }
        // A plain yield would come back at once and starve what waits for a thread.
        Ok(UpdateDeadline::YieldCustom(1, store.data().observer.turn()))
    });
    store.set_hostcall_fuel(prepared.hostcall_fuel);
    store.set_max_component_handles(HANDLES);
    let fuel = prepared.flavour.counts_fuel().then(|| limits.fuel.unwrap_or(u64::MAX));
    if let Some(fuel) = fuel
        && let Err(error) = store.set_fuel(fuel)
    {
        return Ok((Outcome::Rejected { reason: error.to_string() }, Usage::default()));
    }

    let began = Instant::now();
    let ended = match limits.timeout {
        None => Some(guest(&mut store, prepared, arguments).await),
        Some(timeout) => {
            store.data_mut().deadline = began.checked_add(timeout);
            // Epochs do not stop a guest that sleeps in the host: the timer does. It is asked first, or else
            // a guest that is late would get another turn.
            tokio::select! {
                biased;
                () = tokio::time::sleep(timeout) => None,
                ended = guest(&mut store, prepared, arguments) => Some(ended),
            }
        }
    };
    let mut usage = usage(&store, began.elapsed(), fuel);
    let outcome = match ended {
        None => Outcome::TimedOut { after: limits.timeout.unwrap_or_default() },
        Some(Err(error)) if error.is::<PoolConcurrencyLimitError>() => return Err(Full),
        Some(Err(error)) if error.is::<Late>() => {
            Outcome::TimedOut { after: limits.timeout.unwrap_or_default() }
        }
        Some(Err(error)) => failed(&error, &mut store, prepared),
        Some(Ok(ended)) => outcome(ended, &mut store, prepared),
    };
    // Figures and requests belong to the result that they come with.
    if let Outcome::Succeeded(_) = outcome {
        let state = store.data_mut();
        usage.metrics = std::mem::take(&mut state.metrics);
        usage.requests =
            state.asked.take().map(|asked| Box::new(asked.requests)).filter(|all| !all.is_empty());
    }
    Ok((outcome, usage))
}

fn usage(store: &Store<State>, wall: Duration, fuel: Option<u64>) -> Usage {
    let left = |given: u64| store.get_fuel().map_or(given, |left| given.saturating_sub(left));
    Usage { wall, peak_memory: store.data().limiter.peak(), fuel: fuel.map(left), ..Usage::default() }
}

/// Instantiates and calls.
async fn guest(
    store: &mut Store<State>,
    prepared: &Prepared,
    arguments: &[Value],
) -> wasmtime::Result<Ended> {
    store.data_mut().limiter.first_memory(prepared.first_memory)?;
    let instance = prepared.component.instantiate_async(&mut *store).await?;
    let func = instance
        .get_func(&mut *store, prepared.export)
        .ok_or_else(|| wasmtime::Error::msg("the export is gone"))?;
    match &prepared.way {
        Way::Typed(shape) => Ok(Ended::Returned(shape.call(func, store, arguments).await?)),
        Way::Dynamic => dynamic(func, store, prepared, arguments).await,
        Way::Command => {
            let run = func.typed::<(), (Result<(), ()>,)>(&*store)?;
            let (returned,) = run.call_async(store, ()).await?;
            Ok(Ended::Exited(i32::from(returned.is_err())))
        }
    }
}

async fn dynamic(
    func: Func,
    store: &mut Store<State>,
    prepared: &Prepared,
    arguments: &[Value],
) -> wasmtime::Result<Ended> {
    let signature = &prepared.call.signature;
    let parameters = &signature.parameters;
    if arguments.len() != parameters.len() {
        let (given, wanted) = (arguments.len(), parameters.len());
        return Ok(Ended::Unfit(format!("the call has {given} arguments, and the function takes {wanted}")));
    }
    let each = || arguments.iter().zip(parameters.iter());
    let size = each().map(|(value, (_, ty))| interface::encoded_size(value, ty)).fold(0, u64::saturating_add);
    if size.saturating_mul(DYNAMIC_COST) > DYNAMIC_LIMIT {
        return Ok(Ended::Unfit(format!(
            "the arguments take {}, and a function whose parameters or result are more than bytes, text and \
             scalars takes at most {}",
            bytes(size),
            bytes(DYNAMIC_LIMIT / DYNAMIC_COST)
        )));
    }
    let mut vals = Vec::with_capacity(arguments.len());
    for (value, (name, ty)) in each() {
        match values::lower(value, ty) {
            Some(val) => vals.push(val),
            None => return Ok(Ended::Unfit(format!("the argument `{name}` is no {ty}"))),
        }
    }
    let nothing = signature.result == Type::unit();
    let mut results = [Val::Bool(false)];
    let results = if nothing { &mut results[..0] } else { &mut results[..] };
    func.call_async(store, &vals, results).await?;
    let value = match results.first_mut() {
        None => Some(Value::unit()),
        Some(val) => values::lift(std::mem::replace(val, Val::Bool(false)), &signature.result),
    };
    value
        .map(Ended::Returned)
        .ok_or_else(|| wasmtime::Error::msg("the result does not have the type that was checked"))
}

/// What becomes of an attempt whose guest ended with `error`.
fn failed(error: &wasmtime::Error, store: &mut Store<State>, prepared: &Prepared) -> Outcome {
    match (&prepared.call.entry, trap::exit_code(error)) {
        (Entry::Command { .. }, Some(code)) => outcome(Ended::Exited(code), store, prepared),
        (Entry::Command { .. }, None) | (Entry::Function { .. }, _) => trap::outcome(error, store.data()),
    }
}

fn outcome(ended: Ended, store: &mut Store<State>, prepared: &Prepared) -> Outcome {
    match ended {
        Ended::Unfit(reason) => Outcome::Rejected { reason },
        Ended::Exited(0) => command_value(store, prepared),
        Ended::Exited(code) => trap::exited(code),
        Ended::Returned(value) => {
            let ty = &prepared.call.signature.result;
            let size = interface::encoded_size(&value, ty);
            let limit = prepared.call.limits.output;
            if size > limit {
                let message =
                    format!("output limit of {} reached: the result takes {}", bytes(limit), bytes(size));
                return Outcome::Trapped { message };
            }
            returned(value, ty)
        }
    }
}

/// What a function's value says: `err` is a failure.
fn returned(value: Value, ty: &Type) -> Outcome {
    let unwrap = |payload: Option<Arc<Value>>| payload.map(Arc::unwrap_or_clone);
    match (value, ty) {
        (Value::Result(Ok(payload)), Type::Result { .. }) => {
            Outcome::Succeeded(unwrap(payload).unwrap_or_else(Value::unit))
        }
        (Value::Result(Err(payload)), Type::Result { err, .. }) => match (unwrap(payload), err) {
            (Some(payload), Some(ty)) => failure(payload, ty),
            (None, _) | (_, None) => Outcome::Failed {
                message: "the function returned `err` and no more".to_owned(),
                permanent: false,
            },
        },
        (value, _) => Outcome::Succeeded(value),
    }
}

fn failure(payload: Value, ty: &Type) -> Outcome {
    match &payload {
        Value::String(message) => Outcome::Failed { message: message.to_string(), permanent: false },
        Value::Variant(case, Some(message)) if ty.is_failure() => {
            let message = match &**message {
                Value::String(message) => message.to_string(),
                other => interface::to_json(other, &Type::String).to_string(),
            };
            Outcome::Failed { message, permanent: *case == 1 }
        }
        _ => Outcome::Failed { message: interface::to_json(&payload, ty).to_string(), permanent: false },
    }
}

/// A command's value: what it wrote to stdout.
fn command_value(store: &mut Store<State>, prepared: &Prepared) -> Outcome {
    let stdout = store.data_mut().speech().take_value();
    if let Entry::Command { bytes: true } = prepared.call.entry {
        return Outcome::Succeeded(Value::Bytes(stdout.into()));
    }
    match String::from_utf8(stdout) {
        Ok(text) => Outcome::Succeeded(Value::String(text.into())),
        Err(error) => Outcome::Failed {
            message: format!(
                "stdout is no UTF-8 from byte {} on; with `stdout = \"bytes\"` the task's value is `list<u8>`",
                error.utf8_error().valid_up_to()
            ),
            permanent: true,
        },
    }
}
