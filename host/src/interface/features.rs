//! The WebAssembly features that components may use: what the engine runs, and nothing newer.

use wasmparser::WasmFeatures;

/// The features that components are validated under. The engine must be configured alike, so that
/// what passes here also compiles there.
///
/// It is what wasmtime 48 accepts by default, without the proposals that no guest toolchain needs
/// and that enlarge the engine's attack surface.
pub const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::FUNCTION_REFERENCES)
    .difference(WasmFeatures::THREADS)
    .difference(WasmFeatures::MEMORY64)
    .difference(WasmFeatures::MULTI_MEMORY)
    .difference(WasmFeatures::RELAXED_SIMD);

/// What belongs to WASI 0.3: async functions, streams, futures and what comes with them.
const ASYNC: WasmFeatures = WasmFeatures::CM_ASYNC
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_THREADING)
    .union(WasmFeatures::CM_ERROR_CONTEXT);

/// Whether the missing features belong to WASI 0.3.
pub(super) fn is_async(missing: WasmFeatures) -> bool {
    missing.intersects(ASYNC)
}

/// The proposal's name as its authors write it, such as `multi-memory`.
pub(super) fn name(missing: WasmFeatures) -> String {
    let names: Vec<_> =
        missing.iter_names().map(|(name, _)| name.to_ascii_lowercase().replace('_', "-")).collect();
    names.join(", ")
}
