//! What the host gives to guests, as linkers. Everything in `model::imports` is here and nothing
//! else, so a component that loads can reach nothing that is not listed there.

mod channel;
pub(super) mod deterministic;
mod files;
pub(super) mod flow;
pub(super) mod http;
mod logging;
pub(super) mod sockets;
mod task;

use wasmtime::Engine;
use wasmtime::component::Linker;

use super::engine::Flavour;
use super::sandbox::State;

/// The linker for components of `flavour`, compiled for `engine`.
pub(super) fn linker(engine: &Engine, flavour: Flavour) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    // Ours replace some of WASI's.
    linker.allow_shadowing(true);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    files::add_to_linker(&mut linker)?;
    http::add_to_linker(&mut linker)?;
    task::add_to_linker(&mut linker)?;
    logging::add_to_linker(&mut linker)?;
    match flavour {
        Flavour::Deterministic => {
            deterministic::add_to_linker(&mut linker)?;
            http::deny(&mut linker)?;
        }
        // What is in the channel depends on what else runs, and what flow answers on what ran before.
        Flavour::Ordinary | Flavour::Fuel => {
            channel::add_to_linker(&mut linker)?;
            flow::add_to_linker(&mut linker)?;
        }
    }
    linker.allow_shadowing(false);
    Ok(linker)
}
