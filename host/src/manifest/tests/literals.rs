//! Literals of types that few files have: what they become, and what is said where they do not fit.

use std::sync::Arc;

use super::{Project, component};
use crate::manifest::Loaded;
use crate::model::{Expr, Kind, Value};

const TAKES: &str = "package test:takes;
world takes {
    record point { x: f64, y: f64 }
    variant shape { dot, circle(u32) }
    export take: func(value: result<u8, string>) -> u8;
    export bare: func(value: result) -> u8;
    export place: func(value: point) -> u8;
    export draw: func(value: shape) -> u8;
    export small: func(value: s8) -> u8;
    export near: func(value: f32) -> u8;
}";

fn project() -> Project {
    let project = Project::bare();
    project.write("takes.wasm", component(TAKES));
    project
}

fn workflow(function: &str, value: &str) -> String {
    format!(
        "[components]\ntakes = \"takes.wasm\"\n[tasks.one]\nrun = \"takes#{function}\"\nwith = {{ value = {value} }}\n"
    )
}

fn argument(loaded: &Loaded) -> &Expr {
    match &loaded.workflow.nodes[0].kind {
        Kind::Task(task) => &task.arguments[0],
        other => panic!("no task: {other:?}"),
    }
}

#[test]
fn results_are_tables_or_words() {
    let project = project();
    let value = |value| Some(Arc::new(value));
    for (function, text, expected) in [
        ("take", "{ ok = 7 }", Value::Result(Ok(value(Value::U8(7))))),
        ("take", "{ err = \"no\" }", Value::Result(Err(value(Value::string("no"))))),
        ("bare", "\"ok\"", Value::Result(Ok(None))),
        ("bare", "\"err\"", Value::Result(Err(None))),
    ] {
        let loaded = project.load(&workflow(function, text)).unwrap();
        assert_eq!(*argument(&loaded), Expr::Literal(expected), "{text}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let project = project();
    for (function, text, said) in [
        ("take", "{ ok = 256 }", "`u8` is from 0 to 255"),
        ("take", "{ fine = 1 }", "write { ok = … } or { err = … }"),
        ("take", "{ ok = 1, err = \"no\" }", "a table where `result<u8, string>` is wanted"),
        ("bare", "{ ok = 1 }", "`ok` of `result` holds nothing"),
        ("place", "{ x = 1.0 }", "`y` of `point` is missing"),
        ("draw", "{ dot = 1 }", "case `dot` holds nothing"),
        ("small", "-129", "`s8` is from -128 to 127"),
        ("near", "16777217", "`f32` cannot hold 16777217 exactly"),
        ("near", "1e39", "is out of range: `f32` ends at"),
    ] {
        let shown = project.broken(&workflow(function, text));
        assert!(shown.contains(said), "{text}: `{said}` is not in\n{shown}");
    }
}
