//! The engines that attempts run in: which WebAssembly features are on, how much address space is
//! reserved, and how compiled code differs by flavour. Knows nothing of components or attempts.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::epoch::{TICK, Ticker};
use super::space::{self, Space};
use crate::interface::FEATURES;
use crate::model::Call;

/// The version of what executes guests.
pub const ENGINE: &str = "wasmtime 48.0.8";

/// Bytes of stack that a guest may use.
pub(super) const WASM_STACK: usize = 1 << 20;

/// Bytes of each stack: the guest's share, and as much again for the host functions that it calls.
const STACK: usize = 2 * WASM_STACK;

/// Bytes at the start of a memory that stay resident between attempts, so that the next attempt
/// does not fault them in again.
const KEEP_RESIDENT: usize = 1 << 20;

/// The most that one component may need to fit the pool. A component made of Python or JavaScript
/// needs dozens of core instances and tables of tens of thousands of elements.
const CORE_INSTANCES: u32 = 256;
const MEMORIES: u32 = 16;
const TABLES: u32 = 64;
const TABLE_ELEMENTS: usize = 128 << 10;
const INSTANCE_BYTES: usize = 4 << 20;

/// Engines whose compiled code differs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Flavour {
    /// For most tasks.
    Ordinary,
    /// Counts fuel.
    Fuel,
    /// Counts fuel and makes every NaN the same.
    Deterministic,
}

impl Flavour {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Ordinary, Self::Fuel, Self::Deterministic];

    /// The one that `call` needs.
    pub(super) fn of(call: &Call) -> Self {
        match (call.deterministic, call.limits.fuel) {
            (Some(_), _) => Self::Deterministic,
            (None, Some(_)) => Self::Fuel,
            (None, None) => Self::Ordinary,
        }
    }

    /// The word for it on the command line of the compiler.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Fuel => "fuel",
            Self::Deterministic => "deterministic",
        }
    }

    /// Whether its code counts fuel.
    pub(super) fn counts_fuel(self) -> bool {
        self != Self::Ordinary
    }
}

/// Settings that pooled and on-demand engines share. Everything that shapes compiled code is here.
fn config(flavour: Flavour, space: Space) -> Config {
    let mut config = Config::new();
    // What `interface` validates under, bit by bit, whatever wasmtime's defaults are.
    config
        .wasm_features(FEATURES, true)
        .wasm_features(FEATURES.complement(), false)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(flavour.counts_fuel())
        .cranelift_nan_canonicalization(flavour == Flavour::Deterministic)
        .coredump_on_trap(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK);
    space.configure(&mut config);
    config
}

/// An engine that allocates each instance anew: slower, but there is no bound on what fits. It
/// shares compiled code with the pooled engine of its flavour.
pub(super) fn on_demand(flavour: Flavour, space: Space) -> wasmtime::Result<Engine> {
    Engine::new(&config(flavour, space))
}

/// An engine with address space reserved for `slots` attempts at once: for each of them four memories
/// of 4 GiB, and half the tables that one component may have. A component that needs more than that
/// runs beside fewer others, so there is never less than one component may have.
fn pooled(flavour: Flavour, slots: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .total_component_instances(slots.saturating_mul(2))
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(4).max(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES / 2).max(TABLES))
        .total_stacks(slots.saturating_mul(2))
        .total_gc_heaps(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(MEMORIES)
        .table_elements(TABLE_ELEMENTS)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_component_instance_size(4 * INSTANCE_BYTES);
    let mut config = config(flavour, Space::Ample);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// The engines of one flavour.
pub(super) struct Engines {
    /// None where the machine cannot reserve the address space.
    pub(super) pooled: Option<Engine>,
    /// For what the pool cannot hold.
    pub(super) on_demand: Engine,
    /// What their code is compiled for.
    pub(super) space: Space,
    /// What people should know of how they came about.
    pub(super) warning: Option<String>,
}

impl Engines {
    /// Builds them. Does without a pool where the machine has no address space for one of `slots`,
    /// and says so in `warning`. A smaller pool would make attempts wait for each other, which costs
    /// more than it saves.
    pub(super) fn new(flavour: Flavour, slots: usize, ticker: &Ticker) -> wasmtime::Result<Self> {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX).clamp(1, 1 << 12);
        let engines = match ample(flavour, slots) {
            Ok((pooled, on_demand)) => {
                Self { pooled: Some(pooled), on_demand, space: Space::Ample, warning: None }
            }
            Err(error) => {
                let warning = format!(
                    "this machine cannot reserve address space for a pool of instances, so attempts start and \
                     run slower; raise its limit on virtual memory (ulimit -v): {error:#}"
                );
                let on_demand = on_demand(flavour, Space::Scarce)?;
                Self { pooled: None, on_demand, space: Space::Scarce, warning: Some(warning) }
            }
        };
        ticker.watch(&engines.on_demand);
        if let Some(pooled) = &engines.pooled {
            ticker.watch(pooled);
        }
        Ok(engines)
    }
}

/// A pool, and an engine for what it cannot hold, which needs room beside it.
fn ample(flavour: Flavour, slots: u32) -> wasmtime::Result<(Engine, Engine)> {
    let pooled = pooled(flavour, slots)?;
    let on_demand = on_demand(flavour, Space::Ample)?;
    space::probe(&on_demand)?;
    Ok((pooled, on_demand))
}

/// Where attempts wait when the pool is full.
#[derive(Default)]
pub(super) struct Slots(tokio::sync::Notify);

impl Slots {
    /// Waits until an attempt ended, or a moment passed: one may have ended between the refusal and
    /// the wait.
    pub(super) async fn wait(&self) {
        let _ = tokio::time::timeout(TICK, self.0.notified()).await;
    }

    /// Says that an attempt ended.
    pub(super) fn free(&self) {
        self.0.notify_waiters();
    }
}
