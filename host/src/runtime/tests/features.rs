//! What `interface` accepts and what the engines compile is the same, feature by feature.

use wasmparser::{Validator, WasmFeatures};

use super::super::engine::{Flavour, on_demand};
use super::super::space::Space;
use crate::interface::{self, FEATURES, InterfaceError};

/// A component around one core module.
fn around(module: &str) -> String {
    format!("(component (core module {module}))")
}

/// Components that need what is off, each with the features that it needs.
fn off() -> Vec<(WasmFeatures, String)> {
    const SWIZZLE: &str = "(func (param v128) (result v128)
        (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))";
    const WIDE: &str = "(func (param i64 i64) (result i64 i64)
        (i64.mul_wide_s (local.get 0) (local.get 1)))";
    const CONTINUATION: &str = "(type $f (func)) (type (cont $f))";
    let gc = WasmFeatures::GC | WasmFeatures::FUNCTION_REFERENCES;
    vec![
        (gc, around("(type (struct (field i32)))")),
        (WasmFeatures::EXCEPTIONS, around("(tag)")),
        (WasmFeatures::FUNCTION_REFERENCES, around("(type $f (func)) (func (param (ref $f)))")),
        (WasmFeatures::THREADS, around("(memory 1 1 shared)")),
        (WasmFeatures::SHARED_EVERYTHING_THREADS, around("(global (shared i32) (i32.const 0))")),
        (WasmFeatures::MEMORY64, around("(memory i64 1)")),
        (WasmFeatures::MULTI_MEMORY, around("(memory 1) (memory 1)")),
        (WasmFeatures::RELAXED_SIMD, around(SWIZZLE)),
        (WasmFeatures::CUSTOM_PAGE_SIZES, around("(memory 1 (pagesize 1))")),
        (WasmFeatures::STACK_SWITCHING | gc, around(CONTINUATION)),
        (WasmFeatures::WIDE_ARITHMETIC, around(WIDE)),
        (
            WasmFeatures::CM_VALUES,
            r#"(component (import "v" (value $v string)) (export "w" (value $v)))"#.to_owned(),
        ),
        (WasmFeatures::CM_ASYNC, "(component (type (stream u8)))".to_owned()),
        (WasmFeatures::CM_ASYNC, "(component (type (future u8)))".to_owned()),
        (WasmFeatures::CM_ERROR_CONTEXT, "(component (type error-context))".to_owned()),
        (WasmFeatures::CM_FIXED_LENGTH_LISTS, "(component (type (list u8 4)))".to_owned()),
        (WasmFeatures::CM_MAP, "(component (type (map string u8)))".to_owned()),
    ]
}

#[test]
fn what_is_off_is_refused_by_the_reader_and_by_every_engine() {
    let engines: Vec<_> = Flavour::ALL
        .into_iter()
        .flat_map(|flavour| Space::ALL.map(|space| on_demand(flavour, space).unwrap()))
        .collect();
    let mut unnamed = Vec::new();
    for (needs, text) in off() {
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut generous = Validator::new_with_features(FEATURES | needs);
        generous
            .validate_all(&wasm)
            .unwrap_or_else(|error| panic!("needs more than {needs:?}: {error}\n{text}"));
        assert!(!FEATURES.contains(needs), "{needs:?} is on");

        let error = interface::read(&wasm).expect_err(&text);
        let named = match &error {
            InterfaceError::Async { .. } => error.to_string().contains("WASI 0.3"),
            InterfaceError::Feature { .. } => error.to_string().contains("which flowhost does not run"),
            _ => false,
        };
        if !named {
            unnamed.push(format!("{needs:?}: {error}"));
        }
        for engine in &engines {
            assert!(engine.precompile_component(&wasm).is_err(), "an engine compiles {text}");
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}

#[test]
fn what_is_on_is_read_and_compiled() {
    let text = around(
        r#"(memory 1)
        (table 1 externref)
        (table 1 funcref)
        (global i32 (i32.add (i32.const 1) (i32.const 2)))
        (func $two (result i32 i64) (i32.const 1) (i64.const 2))
        (func $tail (result i32 i64) (return_call $two))
        (func (param v128) (result v128) (i32x4.add (local.get 0) (local.get 0)))
        (func (param f64) (result i32) (i32.trunc_sat_f64_s (local.get 0)))
        (func (param i32) (result i32) (i32.extend8_s (local.get 0)))
        (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))"#,
    );
    let wasm = wat::parse_str(text).unwrap();
    interface::read(&wasm).unwrap();
    for (flavour, space) in
        Flavour::ALL.into_iter().flat_map(|flavour| Space::ALL.map(|space| (flavour, space)))
    {
        on_demand(flavour, space).unwrap().precompile_component(&wasm).unwrap();
    }
}
