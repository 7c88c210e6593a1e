//! What a run yields, and when it cannot be handed over.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Ended, Place};

fn three_outputs() -> Place {
    let place = Place::new();
    place.guest("echo").file(
        "workflow.toml",
        r#"
        [components]
        echo = "echo.wasm"
        [tasks.bytes]
        run = "echo#echo-bytes"
        with = { value = { base64 = "AAEC/w==" } }
        [tasks.point]
        run = "echo#echo-point"
        with = { value = { x = 1, y = -1 } }
        [outputs]
        z = "${point.x}"
        raw = { value = "${bytes}", file = "out/deep/raw.bin" }
        json = { value = "${point}", file = "out/point.json" }
        a = "${bytes}"
        "#,
    );
    place
}

#[test]
fn files_hold_bytes_as_they_are_and_stdout_keeps_the_files_order() {
    let place = three_outputs();
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.stdout, "{\"z\":1,\"a\":\"AAEC/w==\"}\n", "{ended}");
    assert_eq!(std::fs::read(place.path().join("out/deep/raw.bin")).unwrap(), [0, 1, 2, 255]);
    assert_eq!(place.read("out/point.json"), "{\"x\":1,\"y\":-1}\n");
}

#[test]
fn an_output_that_cannot_be_written_is_named_and_leaves_nothing_half() {
    let place = three_outputs();
    place.file("out/deep", "a file where a folder is wanted");
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 1, "{ended}");
    assert!(ended.stderr.contains("output `raw`"), "{ended}");
    assert_eq!(place.read("out/point.json"), "{\"x\":1,\"y\":-1}\n", "the others are written");
}

#[test]
fn a_file_without_outputs_yields_what_nothing_else_uses() {
    let place = Place::new();
    let workflow = r#"
        [components]
        echo = "echo.wasm"
        [tasks.three]
        run = "echo#count-to"
        with = { end = 3 }
        [tasks.twice]
        run = "echo#add"
        with = { a = "${item}", b = "${item}" }
        [groups.doubled]
        task = "twice"
        for-each = "${three}"
        [tasks.answer]
        run = "echo#answer"
        [tasks.nothing]
        run = "echo#nothing"
        "#;
    place.guest("echo").file("workflow.toml", workflow);
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.json(), json!({ "doubled": [0, 2, 4], "answer": 42 }), "{ended}");
    place.file("workflow.toml", format!("{workflow}\n[outputs]\n"));
    assert_eq!(place.run(["--progress", "none"]).json(), json!({}));
}

#[test]
fn a_closed_standard_output_is_an_error_and_no_panic() {
    let place = three_outputs();
    let mut command = place.command(["run", "workflow.toml", "--progress", "none"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(Stdio::from(writer)).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("standard output") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn secrets_reach_the_task_and_nobody_else() {
    let place = Place::new();
    place.guest("failing").file(
        "workflow.toml",
        r#"
        [components]
        failing = "failing.wasm"
        [tasks.tell]
        run = "failing#fail"
        with = { message = { env = "SECRET_OF_MINE" } }
        "#,
    );
    for style in ["plain", "json", "none"] {
        let mut command = place.command(["run", "workflow.toml", "--progress", style]);
        let ended: Ended = crate::support::ended(command.env("SECRET_OF_MINE", "hunter2"));
        assert_eq!(ended.code, 100, "{ended}");
        assert!(ended.stderr.contains("[redacted]") && !ended.stderr.contains("hunter2"), "{ended}");
    }
    let missing = place.run(["--progress", "none"]);
    assert_eq!(missing.code, 2, "{missing}");
    assert!(missing.stderr.contains("SECRET_OF_MINE"), "{missing}");
}

#[test]
fn inputs_are_read_by_their_types() {
    let place = Place::new();
    place.guest("echo").file("data.txt", "beside the workflow").file("elsewhere/data.txt", "given").file(
        "workflow.toml",
        r#"
        [inputs]
        file = { type = "string", default = "data.txt" }
        sizes = { type = "list<u32>", default = [1, 2] }
        who = { type = "echo#point" }
        [components]
        echo = "echo.wasm"
        [tasks.text]
        run = "echo#echo-string"
        with = { value = { file = "${inputs.file}" } }
        [tasks.sum]
        run = "echo#sum"
        with = { values = "${inputs.sizes}" }
        [tasks.point]
        run = "echo#echo-point"
        with = { value = "${inputs.who}" }
        [outputs]
        text = "${text}"
        sum = "${sum}"
        point = "${point}"
        "#,
    );
    let who = r#"who={"x": 7, "y": 8}"#;
    let ended = place.run(["--progress", "none", "--input", who]);
    let expected = json!({ "text": "beside the workflow", "sum": 3, "point": { "x": 7, "y": 8 } });
    assert_eq!(ended.json(), expected, "{ended}");
    let given =
        ["--progress", "none", "--input", who, "--input", "file=elsewhere/data.txt", "--input", "sizes=[5]"];
    let ended = place.run(given);
    assert_eq!(ended.json(), json!({ "text": "given", "sum": 5, "point": { "x": 7, "y": 8 } }), "{ended}");
    let ended = place.run(["--progress", "none"]);
    assert_eq!(ended.code, 2, "{ended}");
    assert!(ended.stderr.contains("who"), "{ended}");
}
