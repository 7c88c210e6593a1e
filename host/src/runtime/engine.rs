//! The engines that attempts run in: which WebAssembly features are on, how much address space is
//! reserved, and how compiled code differs by flavour. Knows nothing of components or attempts.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::epoch::{TICK, Ticker};
use crate::model::Call;

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
fn config(flavour: Flavour) -> Config {
    let mut config = Config::new();
    config
        .wasm_gc(false)
        .wasm_exceptions(false)
        .wasm_function_references(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_component_model_async(false)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(flavour.counts_fuel())
        .cranelift_nan_canonicalization(flavour == Flavour::Deterministic)
        .coredump_on_trap(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK);
    config
}

/// An engine that allocates each instance anew: slower, but there is no bound on what fits. It
/// shares compiled code with the pooled engine of its flavour.
pub(super) fn on_demand(flavour: Flavour) -> wasmtime::Result<Engine> {
    Engine::new(&config(flavour))
}

/// An engine with address space reserved for `slots` attempts at once.
fn pooled(flavour: Flavour, slots: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .total_component_instances(slots.saturating_mul(2))
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(4))
        .total_tables(slots.saturating_mul(TABLES / 2))
        .total_stacks(slots.saturating_mul(2))
        .total_gc_heaps(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(MEMORIES)
        .table_elements(TABLE_ELEMENTS)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_component_instance_size(4 * INSTANCE_BYTES);
    let mut config = config(flavour);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// The two engines of one flavour.
pub(super) struct Engines {
    /// None where the machine cannot reserve the address space.
    pub(super) pooled: Option<Engine>,
    /// For what the pool cannot hold.
    pub(super) on_demand: Engine,
    /// What people should know of how they came about.
    pub(super) warning: Option<String>,
}

impl Engines {
    /// Builds both. Takes fewer slots, or no pool at all, where the machine has no room for
    /// `slots`, and says so in `warning`.
    pub(super) fn new(flavour: Flavour, slots: usize, ticker: &Ticker) -> wasmtime::Result<Self> {
        let on_demand = on_demand(flavour)?;
        let wanted = u32::try_from(slots).unwrap_or(u32::MAX).clamp(1, 1 << 12);
        let mut warning = None;
        let mut engine = None;
        for slots in [wanted, (wanted / 4).max(1), 1] {
            match pooled(flavour, slots) {
                Ok(pooled) => {
                    engine = Some(pooled);
                    if slots < wanted {
                        warning = Some(format!(
                            "this machine has address space for {slots} instead of {wanted} attempts at once; \
                             raise its limit on virtual memory (ulimit -v) for more"
                        ));
                    }
                    break;
                }
                Err(error) => {
                    warning = Some(format!(
                        "this machine cannot reserve address space for a pool of instances, so attempts start \
                         slower; raise its limit on virtual memory (ulimit -v): {error:#}"
                    ));
                }
            }
        }
        ticker.watch(&on_demand);
        if let Some(engine) = &engine {
            ticker.watch(engine);
        }
        Ok(Self { pooled: engine, on_demand, warning })
    }
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
