//! The least that a sandboxed call can cost: the engine alone, with flowhost's settings, and none
//! of flowhost.

use std::time::{Duration, Instant};

use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, ResourceTable, TypedFunc};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Store,
    UpdateDeadline,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The bare loop, ready to run.
pub(crate) struct Floor {
    engine: Engine,
    instance: InstancePre<State>,
    noop: ComponentExportIndex,
    threads: tokio::runtime::Runtime,
    tasks: usize,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limiter: Limiter,
}

struct Limiter(usize);

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.0)
    }
    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Floor {
    /// Compiles the component for as many tasks as there are cores.
    pub(crate) fn new(cores: usize) -> Self {
        let mut pool = PoolingAllocationConfig::default();
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(1 << 20)
            .total_core_instances(64)
            .total_component_instances(16)
            .total_memories(16)
            .total_tables(64)
            .total_stacks(16);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .concurrency_support(false)
            .epoch_interruption(true)
            .wasm_gc(false)
            .wasm_exceptions(false)
            .wasm_function_references(false)
            .wasm_threads(false);
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_file(&engine, super::component::component()).unwrap();
        let noop = component.get_export_index(None, "noop").unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        let instance = linker.instantiate_pre(&component).unwrap();
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build();
        Self { engine, instance, noop, threads: threads.unwrap(), tasks: cores }
    }

    /// Makes so many calls, each in a fresh sandbox, and says how long that took.
    pub(crate) fn run(&self, calls: u32) -> Duration {
        let each = calls / u32::try_from(self.tasks).unwrap();
        let began = Instant::now();
        let tasks: Vec<_> = (0..self.tasks)
            .map(|_| {
                let (engine, instance, noop) = (self.engine.clone(), self.instance.clone(), self.noop);
                self.threads.spawn(async move {
                    for _ in 0..each {
                        call(&engine, &instance, &noop).await;
                    }
                })
            })
            .collect();
        self.threads.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        began.elapsed()
    }
}

async fn call(engine: &Engine, instance: &InstancePre<State>, noop: &ComponentExportIndex) {
    let state =
        State { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), limiter: Limiter(256 << 20) };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    let instance = instance.instantiate_async(&mut store).await.unwrap();
    let noop: TypedFunc<(&[u8],), (Vec<u8>,)> = instance.get_typed_func(&mut store, noop).unwrap();
    let (value,) = noop.call_async(&mut store, (&[b'x'; 64],)).await.unwrap();
    assert_eq!(value.len(), 64);
}
