//! Granted directories, and the ways out of them that guests try.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use super::super::testing::*;
use super::host::host;
use crate::model::{Directory, Outcome, Type, Value};

/// Opens the path that it is given below its first directory, with `open-flags` as its second
/// argument and `descriptor-flags` 1 (read) or 3 (read and write) by its third bit; returns 1000, or
/// the error's position in `error-code`. Traps without a directory.
fn opener() -> Vec<u8> {
    let errors = [
        "access",
        "would-block",
        "already",
        "bad-descriptor",
        "busy",
        "deadlock",
        "quota",
        "exist",
        "file-too-large",
        "illegal-byte-sequence",
        "in-progress",
        "interrupted",
        "invalid",
        "io",
        "is-directory",
        "loop",
        "too-many-links",
        "message-size",
        "name-too-long",
        "no-device",
        "no-entry",
        "no-lock",
        "insufficient-memory",
        "insufficient-space",
        "not-directory",
        "not-empty",
        "not-recoverable",
        "unsupported",
        "no-tty",
        "no-such-device",
        "overflow",
        "not-permitted",
        "pipe",
        "read-only",
        "invalid-seek",
        "text-file-busy",
        "cross-device",
    ]
    .map(|name| format!("{name:?}"))
    .join(" ");
    let imports = format!(
        r#"(import "wasi:filesystem/types@0.2.0" (instance $types
            (export "descriptor" (type $d (sub resource)))
            (type $ec' (enum {errors})) (export "error-code" (type $ec (eq $ec')))
            (type $pf' (flags "symlink-follow")) (export "path-flags" (type $pf (eq $pf')))
            (type $of' (flags "create" "directory" "exclusive" "truncate"))
            (export "open-flags" (type $of (eq $of')))
            (type $df' (flags "read" "write" "file-integrity-sync" "data-integrity-sync"
                "requested-write-sync" "mutate-directory"))
            (export "descriptor-flags" (type $df (eq $df')))
            (export "[method]descriptor.open-at" (func (param "self" (borrow $d)) (param "path-flags" $pf)
                (param "path" string) (param "open-flags" $of) (param "flags" $df)
                (result (result (own $d) (error $ec)))))))
        (alias export $types "descriptor" (type $descriptor))
        (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
            (alias outer 1 $descriptor (type $d'))
            (export "descriptor" (type $d (eq $d')))
            (export "get-directories" (func (result (list (tuple (own $d) string)))))))
        (core func $open (canon lower (func $types "[method]descriptor.open-at") (memory $memory)))
        (core func $directories (canon lower (func $preopens "get-directories")
            (memory $memory) (realloc (core func $realloc))))"#
    );
    let core = r#"
        (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
        (import "host" "directories" (func $directories (param i32)))
        (func (export "run") (param $path i32) (param $length i32) (param $flags i32) (result i32)
            (call $directories (i32.const 16))
            (if (i32.eqz (i32.load (i32.const 20))) (then unreachable))
            (call $open
                (i32.load (i32.load (i32.const 16)))
                (i32.const 1)
                (local.get $path) (local.get $length)
                (i32.and (local.get $flags) (i32.const 15))
                (select (i32.const 3) (i32.const 1) (i32.ge_u (local.get $flags) (i32.const 16)))
                (i32.const 32))
            (if (result i32) (i32.load8_u (i32.const 32))
                (then (i32.load8_u (i32.const 36)))
                (else (i32.const 1000))))"#;
    let export = run_export(r#"(param "path" string) (param "flags" u32) (result u32)"#);
    component(&imports, &host(&["open", "directories"]), core, &export)
}

const OPENED: u32 = 1000;
const NOT_PERMITTED: u32 = 31;
const NO_ENTRY: u32 = 20;
const WRITE: u32 = 16;
const CREATE: u32 = 1;
const TRUNCATE: u32 = 8;

async fn open(bench: &Bench, wasm: &[u8], directories: &[Directory], path: &str, flags: u32) -> Outcome {
    let mut call = call(wasm, &[Type::String, Type::U32], Type::U32);
    call.directories = directories.to_vec();
    bench.outcome(wasm, call, &[Value::string(path), Value::U32(flags)]).await
}

fn granted(path: &str, write: bool) -> Directory {
    Directory { path: path.into(), guest: Arc::from("/data"), write }
}

#[tokio::test]
async fn g10_directories_hold_what_they_grant() {
    let bench = Bench::new(2);
    let wasm = opener();
    let root = bench.root.path();
    fs::create_dir(root.join("in")).unwrap();
    fs::create_dir(root.join("out")).unwrap();
    fs::write(root.join("in/file"), "canary").unwrap();
    fs::write(root.join("out/secret"), "canary").unwrap();
    symlink("../out/secret", root.join("in/link")).unwrap();
    symlink("file", root.join("in/fine")).unwrap();
    symlink(root.join("out"), root.join("in/away")).unwrap();

    let nothing = open(&bench, &wasm, &[], "file", 0).await;
    assert!(trapped(&nothing).starts_with("wasm `unreachable`"));

    for (write, path, flags, expected) in [
        (false, "file", 0, Some(OPENED)),
        (false, "fine", 0, Some(OPENED)),
        (false, ".", 0, Some(OPENED)),
        (false, "missing", 0, Some(NO_ENTRY)),
        (false, "file", WRITE, Some(NOT_PERMITTED)),
        (false, "file", TRUNCATE, Some(NOT_PERMITTED)),
        (false, "new", CREATE | WRITE, Some(NOT_PERMITTED)),
        (false, "../out/secret", 0, None),
        (true, "../out/secret", WRITE | TRUNCATE, None),
        (true, "link", WRITE, None),
        (true, "away/secret", WRITE | TRUNCATE, None),
        (true, "away/new", WRITE | CREATE, None),
        (true, "/etc/passwd", 0, None),
        (true, "new", CREATE | WRITE, Some(OPENED)),
    ] {
        let outcome = open(&bench, &wasm, &[granted("in", write)], path, flags).await;
        match (outcome, expected) {
            (Outcome::Succeeded(Value::U32(code)), Some(expected)) => assert_eq!(code, expected, "{path}"),
            (Outcome::Succeeded(Value::U32(code)), None) => assert_ne!(code, OPENED, "{path} was opened"),
            (other, _) => panic!("{path}: {other:?}"),
        }
    }
    assert_eq!(fs::read_to_string(root.join("in/file")).unwrap(), "canary");
    assert_eq!(fs::read_to_string(root.join("out/secret")).unwrap(), "canary");
    assert_eq!(fs::read_dir(root.join("out")).unwrap().count(), 1);
    assert!(root.join("in/new").exists());
}

#[tokio::test]
async fn g10_a_grant_that_leads_out_is_refused() {
    let bench = Bench::new(2);
    let wasm = opener();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), bench.root.path().join("link")).unwrap();
    for path in ["link", "..", "/etc", "missing"] {
        let mut call = call(&wasm, &[Type::String, Type::U32], Type::U32);
        call.directories = vec![granted(path, false)];
        bench.compile(&wasm, &call);
        let source = super::super::Source::Bytes(wasm.clone().into());
        let result = bench.runtime.prepare(Arc::new(call), &source, bench.root.path()).await;
        let Err(error) = result else { panic!("{path} is granted") };
        assert!(error.to_string().contains(&format!("granted directory `{path}`")), "{error}");
    }
}

#[tokio::test]
async fn g12_a_fifo_is_refused_at_once() {
    let bench = Bench::new(2);
    let wasm = opener();
    let fifo = bench.root.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for flags in [0, WRITE] {
        let outcome = open(&bench, &wasm, &[granted(".", true)], "fifo", flags).await;
        assert_eq!(outcome, Outcome::Succeeded(Value::U32(NOT_PERMITTED)));
    }
}
