//! Components that load, and those that are refused with the reason.

use std::sync::Arc;

use super::super::engine::{Engines, Flavour};
use super::super::epoch::Ticker;
use super::super::sandbox::State;
use super::super::testing::*;
use super::super::{CompileError, LoadError, PrepareError, Source, host};
use crate::digest::Digest;
use crate::model::imports::PROVIDED;
use crate::model::{Call, Outcome, Type, Value};

async fn refused(bench: &Bench, source: Source, call: Call) -> PrepareError {
    match bench.runtime.prepare(Arc::new(call), &source, bench.root.path()).await {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn g9_what_is_no_component_is_named() {
    let bench = Bench::new(1);
    for (bytes, reason) in [
        (b"garbage".to_vec(), "its first bytes"),
        (b"(component)".to_vec(), "its first bytes"),
        (Vec::new(), "its first bytes"),
        (wat::parse_str("(module)").unwrap(), "core module; build for wasm32-wasip2"),
    ] {
        let call = call(&bytes, &[], Type::unit());
        let error = refused(&bench, Source::Bytes(bytes.into()), call).await;
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn other_bytes_than_those_that_were_checked_are_refused() {
    let bench = Bench::new(1);
    let file = bench.root.path().join("a.wasm");
    std::fs::write(&file, echo()).unwrap();
    let call = call(&spin(), &[], Type::unit());
    let error = refused(&bench, Source::File(file.clone()), call.clone()).await;
    assert!(matches!(error, PrepareError::Load(LoadError::Digest { .. })), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = refused(&bench, Source::File(file), call).await;
    assert!(error.to_string().contains("a.wasm"), "{error}");
}

#[tokio::test]
async fn without_a_compiler_the_error_names_the_setting() {
    let bench = Bench::new(1);
    let wasm = echo();
    let call = call(&wasm, &[], Type::unit());
    let error = refused(&bench, Source::Bytes(wasm.into()), call).await;
    assert!(matches!(error, PrepareError::Load(LoadError::Compile(CompileError::Start { .. }))), "{error}");
    let text = error.to_string();
    assert!(text.contains("/nonexistent/flowhost") && text.contains("`program`"), "{text}");
    assert_eq!(std::fs::read_dir(bench.cache.path()).unwrap().count(), 0, "a draft stays");
}

#[tokio::test]
async fn g9_an_import_that_is_not_provided_is_named() {
    let bench = Bench::new(1);
    let wasm =
        wat::parse_str(r#"(component (import "acme:things/store@1.0.0" (instance (export "get" (func)))))"#)
            .unwrap();
    let call = call(&wasm, &[], Type::unit());
    bench.compile(&wasm, &call);
    let error = refused(&bench, Source::Bytes(wasm.into()), call).await;
    assert!(error.to_string().contains("acme:things/store@1.0.0"), "{error}");
}

#[tokio::test]
async fn an_export_that_is_missing_or_different_is_named() {
    let bench = Bench::new(1);
    let wasm = echo();
    for (parameters, result, reason) in [
        (&[Type::String][..], Type::bytes(), "`p0` is no string"),
        (&[], Type::bytes(), "takes 1 parameters, not 0"),
        (&[Type::bytes()], Type::String, "does not return string"),
    ] {
        let call = call(&wasm, parameters, result);
        bench.compile(&wasm, &call);
        let error = refused(&bench, Source::Bytes(wasm.clone().into()), call).await;
        assert!(error.to_string().contains(reason), "{error}");
    }
    let mut call = call(&wasm, &[Type::bytes()], Type::bytes());
    call.entry = crate::model::Entry::Function { interface: Some("a:b/c".into()), name: "run".into() };
    let error = refused(&bench, Source::Bytes(wasm.into()), call).await;
    assert!(error.to_string().contains("no function `run` in `a:b/c`"), "{error}");
}

/// One member of an interface, to find it by.
fn member(interface: &str) -> &'static str {
    match interface {
        "flowhost:task/channel" => "get",
        "flowhost:task/context" => "current",
        "flowhost:task/flow" => "finish",
        "flowhost:task/log" | "wasi:logging/logging" => "log",
        "flowhost:task/metrics" => "add",
        "flowhost:task/progress" => "report",
        "wasi:cli/environment" => "get-environment",
        "wasi:cli/exit" => "exit",
        "wasi:cli/stderr" => "get-stderr",
        "wasi:cli/stdin" => "get-stdin",
        "wasi:cli/stdout" => "get-stdout",
        "wasi:cli/terminal-input" => "terminal-input",
        "wasi:cli/terminal-output" => "terminal-output",
        "wasi:cli/terminal-stderr" => "get-terminal-stderr",
        "wasi:cli/terminal-stdin" => "get-terminal-stdin",
        "wasi:cli/terminal-stdout" => "get-terminal-stdout",
        "wasi:clocks/monotonic-clock" | "wasi:clocks/wall-clock" => "now",
        "wasi:filesystem/preopens" => "get-directories",
        "wasi:filesystem/types" => "descriptor",
        "wasi:http/outgoing-handler" => "handle",
        "wasi:http/types" => "fields",
        "wasi:io/error" => "error",
        "wasi:io/poll" => "poll",
        "wasi:io/streams" => "output-stream",
        "wasi:random/insecure" => "get-insecure-random-u64",
        "wasi:random/insecure-seed" => "insecure-seed",
        "wasi:random/random" => "get-random-u64",
        "wasi:sockets/instance-network" => "instance-network",
        "wasi:sockets/ip-name-lookup" => "resolve-addresses",
        "wasi:sockets/network" => "network",
        "wasi:sockets/tcp" => "tcp-socket",
        "wasi:sockets/tcp-create-socket" => "create-tcp-socket",
        "wasi:sockets/udp" => "udp-socket",
        "wasi:sockets/udp-create-socket" => "create-udp-socket",
        other => panic!("name a member of {other}"),
    }
}

#[test]
fn the_linker_provides_what_the_list_says() {
    let ticker = Ticker::start().unwrap();
    for flavour in Flavour::ALL {
        let engines = Engines::new(flavour, 1, &ticker).unwrap();
        let mut linker = host::linker(&engines.on_demand, flavour).unwrap();
        // What can be defined was not defined before.
        let mut provides = |interface: &str, member: &str| {
            let mut interface = linker.instance(interface).unwrap();
            interface.func_wrap(member, |_: wasmtime::StoreContextMut<'_, State>, (): ()| Ok(())).is_err()
        };
        for provided in PROVIDED {
            let name = format!("{}@{}", provided.name, provided.version);
            let expected = provided.deterministic || flavour != Flavour::Deterministic;
            assert_eq!(provides(&name, member(provided.name)), expected, "{name} for {flavour:?}");
            assert!(!provides(&name, "no-such-member"), "the test finds what is not there");
        }
        assert!(!provides("wasi:http/incoming-handler@0.2.12", "handle"));
    }
}

#[test]
fn twins_share_code_and_flavours_do_not() {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let hash = |engine: &wasmtime::Engine| {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    };
    let ticker = Ticker::start().unwrap();
    let mut hashes = std::collections::HashSet::new();
    for flavour in Flavour::ALL {
        let engines = Engines::new(flavour, 2, &ticker).unwrap();
        assert_eq!(engines.warning, None);
        assert_eq!(hash(&engines.on_demand), hash(engines.pooled.as_ref().unwrap()));
        assert!(hashes.insert(hash(&engines.on_demand)));
    }
}

/// A component that runs `module` (text after `(core module $M`) `times` over, and does no more.
fn many(module: &str, times: usize) -> Vec<u8> {
    let instances = "(core instance (instantiate $M))".repeat(times);
    wat::parse_str(format!(
        r#"(component
            (core module $M {module})
            {instances}
            (core module $Main (func (export "run")))
            (core instance $main (instantiate $Main))
            (func $run (canon lift (core func $main "run")))
            (export "run" (func $run)))"#
    ))
    .unwrap()
}

#[tokio::test]
async fn what_does_not_fit_the_pool_runs_on_demand_with_a_warning() {
    for (what, wasm) in [
        ("core instances", many("", 300)),
        ("memories", many("(memory 1)", 17)),
        ("tables", many("(table 1 funcref)", 65)),
        ("table elements", many("(table 200000 funcref)", 1)),
    ] {
        let bench = Bench::new(1);
        let outcome = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]).await;
        assert_eq!(outcome, Outcome::Succeeded(Value::unit()), "{what}");
        let warnings = bench.runtime.take_warnings();
        assert_eq!(warnings.len(), 1, "{what}: {warnings:?}");
        assert!(warnings[0].1.contains(&Digest::of(&wasm).to_string()), "{what}: {:?}", warnings[0]);
        assert!(bench.runtime.take_warnings().is_empty());
    }
}

#[tokio::test]
async fn the_most_that_fits_the_pool_runs_even_where_there_is_one_slot() {
    for (what, wasm) in [
        ("core instances", many("", 250)),
        ("memories", many("(memory 1)", 16)),
        ("tables", many("(table 1 funcref)", 64)),
    ] {
        let bench = Bench::new(1);
        let run = bench.outcome(&wasm, call(&wasm, &[], Type::unit()), &[]);
        let outcome = tokio::time::timeout(std::time::Duration::from_secs(20), run).await;
        assert_eq!(outcome, Ok(Outcome::Succeeded(Value::unit())), "{what}");
        assert!(bench.runtime.take_warnings().is_empty(), "{what}");
    }
}
