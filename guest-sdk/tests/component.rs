//! Builds real guests and reads what they import: the crate's promise is that a guest's own WIT
//! need not mention `flowhost:task`, and that unused interfaces are not imported.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;
use std::process::Command;

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{WorldItem, WorldKey};

/// Builds a guest for `wasm32-wasip2` and reads the `flowhost:task` interfaces that its component
/// imports, and the names of all functions that its world exports.
fn build(manifest: &str, package: &str, file: &str) -> (Vec<String>, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = root.join(manifest);
    // Where the guest's author would find it, whatever target folder this test itself was given.
    let target = manifest.parent().unwrap().join("target");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--package", package])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        // Of the tests' own: to measure what they cover.
        .env_remove("RUSTC_WRAPPER")
        .status()
        .unwrap();
    assert!(status.success(), "building {package}: {status}");
    let bytes = std::fs::read(target.join("wasm32-wasip2/release").join(file)).unwrap();
    let DecodedWasm::Component(resolve, world) = decode(&bytes).unwrap() else {
        panic!("{file} is no component");
    };
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key));
    let exports = world.exports.iter().filter_map(|(key, item)| match (key, item) {
        (WorldKey::Name(name), WorldItem::Function(_)) => Some(name.clone()),
        _ => None,
    });
    (imports.filter(|name| name.starts_with("flowhost:")).collect(), exports.collect())
}

#[test]
fn a_guest_imports_what_it_calls_and_no_more() {
    let (imports, exports) = build("tests/guests/Cargo.toml", "guest-sparing", "sparing.wasm");
    assert_eq!(imports, ["flowhost:task/log@0.1.0"]);
    assert_eq!(exports, ["double"]);
}

#[test]
fn a_guest_shares_the_failure_of_its_own_world() {
    let (mut imports, exports) =
        build("examples/mandelbrot/guest/Cargo.toml", "mandelbrot", "mandelbrot.wasm");
    imports.sort();
    let expected = ["context", "log", "progress", "types"].map(|name| format!("flowhost:task/{name}@0.1.0"));
    assert_eq!(imports, expected);
    assert_eq!(exports, ["tile", "assemble"]);
}
