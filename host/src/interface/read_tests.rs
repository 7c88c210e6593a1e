//! Components to interfaces: what is read, and what is refused.

use std::sync::Arc;

use proptest::prelude::*;

use super::testing::{Wit, any_type, component};
use super::{FindError, FindTypeError, ImportKind, Interface, InterfaceError, Unsupported, read};
use crate::model::{Entry, Signature, Type};

const STATS: &str = "
package test:stats@0.2.1;

interface types {
    record counts { word: string, count: u32 }
    variant failure { retryable(string), permanent(string) }
}

interface sum {
    use types.{counts};
    enum order { up, down }
    total: func(parts: list<counts>, order: order) -> counts;
    split: func(text: string) -> list<string>;
}

interface files {
    resource file { constructor(name: string); read: func() -> list<u8>; }
    open: func(name: string) -> file;
    split: func(path: string) -> tuple<string, string>;
}

world stats {
    use types.{counts, failure};
    flags level { low, high }
    import types;
    import log: func(line: string);
    import wasi:cli/environment@0.2.3;
    import wasi:cli/exit@0.9.0;
    import wasi:nowhere/thing;
    export sum;
    export files;
    export count: func(text: string, level: level) -> result<counts, failure>;
    export nothing: func();
    export inline: interface { split: func(all: list<u8>); }
    export exports: interface { init: func(); }
}

package wasi:cli@0.2.3 { interface environment { get-arguments: func() -> list<string>; } }
package wasi:cli@0.9.0 { interface exit { exit: func(); } }
package wasi:nowhere { interface thing { act: func(); } }
";

fn stats() -> Interface {
    read(&component(STATS)).unwrap()
}

fn text(ty: &Type) -> String {
    ty.to_string()
}

fn function(interface: Option<&str>, name: &str) -> Entry {
    Entry::Function { interface: interface.map(Arc::from), name: Arc::from(name) }
}

fn signature_text(signature: &Signature) -> String {
    let parameters: Vec<_> = signature.parameters.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    format!("({}) -> {}", parameters.join(", "), signature.result)
}

#[test]
fn reads_exports_with_their_types_and_names() {
    let stats = stats();
    let mut exports: Vec<_> = stats
        .exports
        .iter()
        .map(|export| format!("{}{}", export.full_name(), signature_text(&export.signature)))
        .collect();
    exports.sort();
    assert_eq!(
        exports,
        [
            "count(text: string, level: level) -> result<counts, failure>",
            "inline.split(all: list<u8>) -> nothing",
            "nothing() -> nothing",
            "test:stats/files@0.2.1.split(path: string) -> tuple<string, string>",
            "test:stats/sum@0.2.1.split(text: string) -> list<string>",
            "test:stats/sum@0.2.1.total(parts: list<counts>, order: order) -> counts",
        ]
    );
    let Type::Result { err: Some(failure), .. } = &stats.find("count").unwrap().signature.result else {
        panic!("no result with an error");
    };
    assert!(failure.is_failure());
    assert_eq!(stats.command, None);
}

#[test]
fn keeps_what_is_no_task_apart() {
    let stats = stats();
    let mut unsupported: Vec<_> =
        stats.unsupported.iter().map(|export| (&*export.name, export.reason)).collect();
    unsupported.sort_by_key(|(name, _)| *name);
    assert_eq!(
        unsupported,
        [
            ("[constructor]file", Unsupported::Method),
            ("[method]file.read", Unsupported::Method),
            ("init", Unsupported::Internal),
            ("open", Unsupported::Resource),
        ]
    );
    assert_eq!(
        stats.find("open").unwrap_err().to_string(),
        "`test:stats/files@0.2.1.open` cannot be a task: it uses a resource, and a handle means nothing \
         outside the component"
    );
}

#[test]
fn finds_by_as_much_of_the_name_as_it_takes() {
    let stats = stats();
    let sum = "test:stats/sum@0.2.1";
    for (name, entry) in [
        ("count", function(None, "count")),
        ("total", function(Some(sum), "total")),
        ("sum.total", function(Some(sum), "total")),
        ("sum.split", function(Some(sum), "split")),
        ("inline.split", function(Some("inline"), "split")),
        ("test:stats/sum.split", function(Some(sum), "split")),
        ("test:stats/sum@0.2.1.split", function(Some(sum), "split")),
    ] {
        assert_eq!(stats.find(name).unwrap().entry, entry, "{name}");
    }
    for (name, message) in [
        (
            "split",
            "`split` could be any of `test:stats/sum@0.2.1.split`, `test:stats/files@0.2.1.split`, `inline.split`; \
             write one of them in full",
        ),
        (
            "cuont",
            "the component exports no function `cuont`; did you mean `count`?; it exports `count`, `nothing`, \
             `test:stats/sum@0.2.1.total`, `test:stats/sum@0.2.1.split`, `test:stats/files@0.2.1.split`, \
             `inline.split`",
        ),
        (
            "test:stats/sum@0.2.0.split",
            "the component exports no function `test:stats/sum@0.2.0.split`; did you mean \
             `test:stats/sum@0.2.1.split`?; it",
        ),
        ("", "the component exports no function ``; it exports"),
        (".", "the component exports no function `.`; it exports"),
        ("init", "`exports.init` cannot be a task: it is internal to componentize-py"),
    ] {
        let error = stats.find(name).unwrap_err().to_string();
        assert!(error.starts_with(message), "{name}: {error}");
    }
}

#[test]
fn finds_types_by_name() {
    let stats = stats();
    let counts = stats.named_type("counts").unwrap();
    assert_eq!(text(&counts), "counts");
    assert_eq!(counts, stats.named_type("types.counts").unwrap());
    assert_eq!(text(&stats.named_type("sum.order").unwrap()), "order");
    assert_eq!(text(&stats.named_type("level").unwrap()), "level");
    assert!(
        matches!(stats.named_type("count"), Err(FindTypeError::Unknown { suggestion: Some(name), .. }) if name == "counts")
    );
    let two = "
        package a:b;
        interface x { record item { a: u8 } f: func() -> item; }
        interface y { record item { a: u16 } f: func() -> item; }
        world w { export x; export y; }";
    let two = read(&component(two)).unwrap();
    assert!(
        matches!(two.named_type("item"), Err(FindTypeError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    // The author's own type comes before one of the same name that the host shares.
    let shared = "
        package a:b;
        interface host { record item { a: u8 } f: func(x: item); }
        interface mine { record item { a: u16 } g: func() -> item; }
        world w { import host; export mine; }";
    let shared = read(&component(shared)).unwrap();
    assert_eq!(shared.named_type("item").unwrap(), Type::record([(Arc::from("a"), Type::U16)]));
    assert_eq!(shared.named_type("host.item").unwrap(), Type::record([(Arc::from("a"), Type::U8)]));
    assert_eq!(two.named_type("y.item").unwrap(), Type::record([(Arc::from("a"), Type::U16)]));
    assert!(matches!(two.find("f"), Err(FindError::Ambiguous { candidates, .. }) if candidates.len() == 2));
}

#[test]
fn tells_what_the_host_must_provide() {
    let stats = stats();
    let kind =
        |name: &str| stats.imports.iter().find(|import| *import.name == *name).map(|import| &import.kind);
    assert_eq!(kind("test:stats/types@0.2.1"), Some(&ImportKind::Types));
    assert_eq!(kind("log"), Some(&ImportKind::Function));
    assert_eq!(
        kind("wasi:cli/environment@0.2.3"),
        Some(&ImportKind::Interface { functions: vec![Arc::from("get-arguments")] })
    );
    let mut unprovided: Vec<_> = stats.unprovided().iter().map(ToString::to_string).collect();
    unprovided.sort();
    assert_eq!(
        unprovided,
        [
            "the component imports the function `log`, which flowhost does not provide",
            "the component imports the interface `wasi:cli/exit@0.9.0`, which flowhost does not provide in that \
             version: it provides 0.2.12",
            "the component imports the interface `wasi:nowhere/thing`, which flowhost does not provide",
        ]
    );
    assert_eq!(stats.needs(), ["env"]);
    assert!(stats.nondeterministic().is_empty());
}

#[test]
fn knows_a_command() {
    let wit = |version: &str| {
        format!(
            "package wasi:cli@{version};
             interface run {{ run: func() -> result; }}
             world command {{ export run; export other: func(); }}"
        )
    };
    let command = read(&component(&wit("0.2.3"))).unwrap();
    assert_eq!(command.command.as_deref(), Some("wasi:cli/run@0.2.3"));
    for name in ["run", "run.run", "wasi:cli/run.run", "wasi:cli/run@0.2.3.run"] {
        let found = command.find(name).unwrap();
        assert_eq!(found.entry, Entry::Command { bytes: false }, "{name}");
        assert_eq!(*found.signature, Signature::command(false));
    }
    assert_eq!(command.exports.len(), 1);
    // A version that the host cannot start is a function like any other.
    let other = read(&component(&wit("1.0.0"))).unwrap();
    assert_eq!(other.command, None);
    assert_eq!(other.find("run").unwrap().entry, function(Some("wasi:cli/run@1.0.0"), "run"));
}

#[test]
fn says_what_is_no_component() {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let whole = component("package a:b; world w { export f: func(x: u8); }");
    let package = wat("(component (type (export \"w\") (component (export \"a:b/w\" (component)))))");
    for (bytes, start) in [
        (vec![], "it is empty"),
        (
            b"hello\x1b world, this is text".to_vec(),
            "it is not WebAssembly: it begins with `hello\\u{1b} world, th`",
        ),
        (b"\x7fELF\x02\x01".to_vec(), "it is not WebAssembly: it begins with `\\u{7f}ELF"),
        (b"\0as".to_vec(), "it ends in the middle, after 3 bytes"),
        (b"\0asm".to_vec(), "it ends in the middle, after 4 bytes"),
        (b"\0asm\x0d\0".to_vec(), "it ends in the middle, after 6 bytes"),
        (b"\0asm\x0f\0\x01\0".to_vec(), "it is not a valid component (offset 0x4: unknown binary version"),
        (b"(module)".to_vec(), "it is WebAssembly text"),
        (
            wat("(module)"),
            "it is a core module, not a component; build a component with `cargo build --target wasm32-wasip2`, or wrap",
        ),
        (package, "it is a WIT package without code"),
        (whole[..whole.len() - 5].to_vec(), "it ends in the middle"),
        (whole[..60].to_vec(), "it ends in the middle, after 60 bytes"),
        ([&whole[..], &[1]].concat(), "it ends in the middle"),
        ([&whole[..], b"\0asm"].concat(), "it is not a valid component"),
        (wat("(component (core module (memory i64 1)))"), "it needs the WebAssembly feature memory64"),
        (
            wat("(component (core module (memory 1) (memory 1)))"),
            "it needs the WebAssembly feature multi-memory",
        ),
        (wat("(component (core module (memory 1 1 shared)))"), "it needs the WebAssembly feature threads"),
        (wat("(component (core module (tag)))"), "it needs the WebAssembly feature exceptions"),
        (wat("(component (core module (type (struct))))"), "it needs the WebAssembly feature gc"),
        (
            wat(
                "(component (core module (func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle)))",
            ),
            "it needs the WebAssembly feature relaxed-simd",
        ),
        (wat("(component (core module (func (result i32))))"), "it is not a valid component"),
        (
            wat("(component (import \"f\" (func async)))"),
            "it needs async functions, streams or futures of WASI 0.3",
        ),
        (wat("(component (type (stream u8)))"), "it needs async functions, streams or futures of WASI 0.3"),
        (wat("(component (type (list u8 4)))"), "it needs the WebAssembly feature cm-fixed-length-lists"),
        (wat("(component (type (map string u8)))"), "it needs the WebAssembly feature cm-map"),
    ] {
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.starts_with(start), "expected {start}, got {error}");
        assert!(error.len() < 600, "{error}");
    }
}

#[test]
fn a_type_that_doubles_is_bounded() {
    // Sixty types, each a pair of the one before: a few hundred bytes that describe 2^60 parts.
    let doubling = |levels: usize| {
        let types: String =
            (1..=levels).map(|level| format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1)).collect();
        format!(
            "(component (type $t0 (tuple u8 u8)) {types}
               (import \"f\" (func $f (param \"x\" $t{levels}))) (export \"g\" (func $f)))"
        )
    };
    let start = std::time::Instant::now();
    let huge = read(&wat::parse_str(doubling(60)).unwrap()).unwrap_err();
    assert!(matches!(huge, InterfaceError::Invalid { .. }), "{huge}");
    let large = read(&wat::parse_str(doubling(14)).unwrap()).unwrap();
    assert!(matches!(large.find("g"), Err(FindError::Unsupported { reason: Unsupported::TooLarge, .. })));
    let small = read(&wat::parse_str(doubling(8)).unwrap()).unwrap();
    assert!(small.find("g").is_ok());
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn a_type_that_nests_deeply_is_bounded() {
    let nested = |levels: usize| {
        let types: String =
            (1..=levels).map(|level| format!("(type $t{level} (list $t{}))", level - 1)).collect();
        wat::parse_str(format!(
            "(component (type $t0 (list u8)) {types}
               (import \"f\" (func $f (param \"x\" $t{levels}))) (export \"g\" (func $f)))"
        ))
        .unwrap()
    };
    assert!(read(&nested(60)).unwrap().find("g").is_ok());
    let deep = read(&nested(80)).unwrap().find("g");
    assert!(matches!(deep, Err(FindError::Unsupported { reason: Unsupported::TooDeep, .. })), "{deep:?}");
    assert!(matches!(read(&nested(2000)), Err(InterfaceError::Invalid { .. })));
}

#[test]
fn components_inside_of_components_end_somewhere() {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..5000 {
        // A section of kind 4, a component, with its length as LEB128 in five bytes.
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        let length = bytes.len();
        outer
            .extend((0..5).map(|byte| (length >> (7 * byte) & 0x7f) as u8 | if byte < 4 { 0x80 } else { 0 }));
        outer.extend(&bytes);
        bytes = outer;
    }
    // Each holds one other, so no limit of the format is reached; only the stack must not overflow.
    assert!(read(&bytes).is_ok_and(|interface| interface == Interface::default()));
}

#[test]
fn many_aliases_of_a_large_type_are_bounded() {
    // Quadratic unless bounded: each alias is a type of its own with all the members.
    let cases: String = (0..5000).map(|case| format!("\"c{case}\" ")).collect();
    let aliases: String = (0..3000).map(|alias| format!("(export \"t{alias}\" (type $e))")).collect();
    let bytes = wat::parse_str(format!("(component (type $e (enum {cases})) {aliases})")).unwrap();
    assert_eq!(read(&bytes), Err(InterfaceError::TooManyTypes));
}

#[test]
fn nested_components_and_odd_exports_are_passed_over() {
    let bytes = wat::parse_str(
        "(component
           (component $inner (type (export \"t\") u8) (component (core module)))
           (core module $m)
           (instance $i (instantiate $inner))
           (export \"inner\" (component $inner))
           (export \"m\" (core module $m))
           (export \"i\" (instance $i)))",
    )
    .unwrap();
    let interface = read(&bytes).unwrap();
    assert!(interface.exports.is_empty() && interface.unsupported.is_empty());
    assert_eq!(
        interface.find("x").unwrap_err().to_string(),
        "the component exports no function `x`; it exports no function that can be a task"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn types_are_read_as_they_were_written(
        parameters in proptest::collection::vec(any_type(), 0..4),
        result in proptest::option::of(any_type()),
        in_world in any::<bool>(),
    ) {
        let mut wit = Wit::default();
        let texts: Vec<_> =
            parameters.iter().enumerate().map(|(at, ty)| format!("p{at}: {}", wit.ty(ty))).collect();
        let arrow = result.as_ref().map(|ty| format!(" -> {}", wit.ty(ty))).unwrap_or_default();
        let function = format!("call: func({}){arrow};", texts.join(", "));
        let definitions = &wit.definitions;
        let source = if in_world {
            format!("package a:b; world w {{ {definitions} export {function} }}")
        } else {
            format!("package a:b; interface i {{ {definitions} {function} }} world w {{ export i; }}")
        };
        let interface = read(&component(&source)).unwrap();
        let found = interface.find("call").unwrap();
        let expected = Signature {
            parameters: (0..).zip(parameters).map(|(at, ty)| (Arc::from(format!("p{at}")), ty)).collect(),
            result: result.unwrap_or_else(Type::unit),
        };
        prop_assert_eq!(&*found.signature, &expected);
        // Every type that the author named has its name, so none is written out in a message.
        prop_assert!(!signature_text(&found.signature).contains('{'), "{}", signature_text(&found.signature));
        prop_assert!(interface.unprovided().is_empty());
    }
}

/// Where the sections of the outermost level end, the header counted as one.
fn section_ends(component: &[u8]) -> Vec<usize> {
    let mut ends = vec![8];
    loop {
        let mut at = ends.last().unwrap() + 1;
        if at > component.len() {
            return ends;
        }
        // The section's length, as LEB128.
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = component[at];
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        ends.push(at + length);
    }
}

#[test]
fn truncated_components_are_refused_inside_of_sections() {
    let whole = component(STATS);
    let ends = section_ends(&whole);
    assert_eq!(ends.last(), Some(&whole.len()));
    for length in 0..whole.len() {
        // A component without its last sections can be whole for all that anyone can tell.
        let read = read(&whole[..length]);
        if !ends.contains(&length) {
            let error = read.expect_err("a component that ends inside of a section");
            assert!(matches!(
                error,
                InterfaceError::Truncated(_) | InterfaceError::Empty | InterfaceError::Invalid { .. }
            ));
        }
    }
}

#[test]
fn damaged_components_never_panic() {
    let whole = component(STATS);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        // xorshift64: seeded, so that a failure can be repeated.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let (mut refused, mut read_anyway) = (0, 0);
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            if random(2) == 0 {
                bytes[at] ^= 1 << random(8);
            } else {
                bytes[at] = u8::try_from(random(256)).unwrap();
            }
        }
        match read(&bytes) {
            Ok(interface) => {
                read_anyway += 1;
                let _ = (interface.find("split"), interface.named_type("counts"), interface.unprovided());
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused > 0 && read_anyway > 0, "{refused} refused, {read_anyway} read");
}
