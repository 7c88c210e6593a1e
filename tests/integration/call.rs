//! `flowhost call` and `flowhost inspect`.

use serde_json::json;

use crate::support::{Place, repository};

#[test]
fn every_value_type_goes_in_and_comes_out() {
    let place = Place::new();
    place.guest("echo");
    let person =
        json!({ "full-name": "Ada", "age": 36, "home": { "x": 1, "y": -1 }, "nicknames": ["a", "b"] });
    let cases = [
        ("bool", json!(true)),
        ("s8", json!(-128)),
        ("u8", json!(255)),
        ("s16", json!(-32768)),
        ("u16", json!(65535)),
        ("s32", json!(i32::MIN)),
        ("u32", json!(u32::MAX)),
        ("s64", json!(i64::MIN)),
        ("u64", json!(u64::MAX)),
        ("f32", json!(1.5)),
        ("f32", json!("-inf")),
        ("f64", json!(-0.1)),
        ("f64", json!("nan")),
        ("char", json!("ß")),
        ("string", json!("a \"quoted\" ☃\n")),
        ("bytes", json!("AAEC/w==")),
        ("strings", json!(["a", "", "b"])),
        ("blobs", json!(["AA==", ""])),
        ("longs", json!([0, u64::MAX])),
        ("point", json!({ "x": 1, "y": -2 })),
        ("person", person.clone()),
        ("people", json!([person])),
        ("shape", json!("nothing")),
        ("shape", json!({ "circle": 2.5 })),
        ("shape", json!({ "polygon": [{ "x": 0, "y": 0 }] })),
        ("shape", json!({ "labelled": ["here", { "x": 0, "y": 0 }] })),
        ("season", json!("deep-winter")),
        ("access", json!(["read", "run-as-root"])),
        ("many", json!(["b0", "b31"])),
        ("tuple", json!([1, "two", true])),
        ("option", json!(null)),
        ("option", json!("some")),
        ("nested-option", json!({ "some": null })),
        ("nested-option", json!({ "some": 3 })),
        ("results", json!([{ "ok": 1 }, { "err": "no" }])),
        ("bare-results", json!([{ "ok": null }, { "err": null }])),
    ];
    for (name, value) in cases {
        place.file("in.json", json!({ "value": value }).to_string());
        let ended = place.flowhost([
            "call",
            &format!("echo.wasm#echo-{name}"),
            "--input",
            "in.json",
            "--progress",
            "none",
        ]);
        assert_eq!(ended.code, 0, "{name}: {ended}");
        assert_eq!(ended.json(), value, "{name}");
    }
}

#[test]
fn arguments_come_from_flags_and_values_go_to_files() {
    let place = Place::new();
    place.guest("echo");
    let call = |arguments: &[&str]| place.flowhost(["call"].iter().chain(arguments));
    assert_eq!(call(&["echo.wasm#add", "--with", "a=2", "--with", "b=3"]).stdout, "5\n");
    assert_eq!(call(&["echo.wasm#echo-season", "--with", "value=spring"]).stdout, "\"spring\"\n");
    assert_eq!(call(&["echo.wasm#example:echo/extra.shout", "--with", "text=hey"]).stdout, "\"hey!\"\n");
    let ended = call(&["echo.wasm#echo-bytes", "--with", "value=AAEC", "--output", "out.bin"]);
    assert_eq!((ended.code, &*ended.stdout), (0, ""), "{ended}");
    assert_eq!(std::fs::read(place.path().join("out.bin")).unwrap(), [0, 1, 2]);
    for (arguments, says) in [
        (&["echo.wasm#add", "--with", "a=2"][..], "`b`"),
        (&["echo.wasm#add", "--with", "a=2", "--with", "b=-3"], "u32"),
        (&["echo.wasm#add", "--with", "a=2", "--with", "b=3", "--with", "c=4"], "`c`"),
        (&["echo.wasm#ad"], "`add`"),
        (&["echo.wasm"], "#"),
        (&["gone.wasm#add"], "gone.wasm"),
        (&["echo.wasm#add", "--memory", "lots"], "lots"),
        (&["echo.wasm#add", "--with", "a=2", "--with", "b=3", "--read", "gone"], "cannot grant `gone`"),
    ] {
        let ended = call(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended}");
    }
}

#[test]
fn a_command_is_called_with_arguments_input_and_variables() {
    let place = Place::new();
    place.guest("command");
    let call = |with: &[&str]| {
        let with = with.iter().flat_map(|with| ["--with", with]);
        place.flowhost(["call", "command.wasm#run"].into_iter().chain(with))
    };
    assert_eq!(call(&[r#"args=["args","one","two words"]"#]).json(), json!("one\ntwo words\n"));
    assert_eq!(call(&[r#"args=["env"]"#, r#"env=[["A","1"],["B","2"]]"#]).json(), json!("A=1\nB=2\n"));
    assert_eq!(call(&["stdin=hello"]).json(), json!("hello"), "stdin is text, and no base64");
    let failed = call(&[r#"args=["exit","3"]"#]);
    assert_eq!(failed.code, 100, "{failed}");
    assert!(failed.stderr.contains("code 3"), "the guest's last lines are shown: {failed}");
}

#[test]
fn inspect_shows_what_a_component_offers_and_could_use() {
    let place = Place::new();
    place.guest("echo").guest("reach").guest("command");
    let ended = place.flowhost(["inspect", "echo.wasm"]);
    for line in [
        "add: func(a: u32, b: u32) -> u32",
        "nothing: func()",
        "example:echo/extra@1.2.3.shout: func(text: string) -> string",
        "echo-person: func(value: person) -> person",
    ] {
        assert!(ended.stdout.contains(line), "`{line}` is not in: {ended}");
    }
    let digest = flowhost::digest::Digest::of(&std::fs::read(place.path().join("echo.wasm")).unwrap());
    assert!(ended.stdout.contains(&digest.to_string()), "{ended}");
    let json = place.flowhost(["inspect", "reach.wasm", "--json"]).json();
    let import = |name: &str| {
        let imports = json["imports"].as_array().unwrap();
        imports.iter().find(|import| import["name"].as_str().unwrap().starts_with(name)).unwrap().clone()
    };
    assert_eq!(import("wasi:filesystem/types")["grant"], "read or write");
    assert_eq!(import("wasi:random/random")["provided"], true);
    let command = place.flowhost(["inspect", "command.wasm", "--json"]).json();
    assert!(command["command"].as_str().unwrap().starts_with("wasi:cli/run"), "{command}");
}

#[test]
fn help_and_version_are_there_for_every_command() {
    let place = Place::new();
    for command in [&[][..], &["run"], &["check"], &["inspect"], &["call"]] {
        let ended = place.flowhost(command.iter().chain(&["--help"]));
        assert_eq!((ended.code, &*ended.stderr), (0, ""), "{command:?}");
        assert!(ended.stdout.contains("Usage: "), "{ended}");
    }
    let cargo = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let version = place.flowhost(["--version"]).stdout;
    let version = version.trim().strip_prefix("flowhost ").unwrap();
    assert!(cargo.contains(&format!("version = \"{version}\"")), "{version}");
    assert_eq!(place.flowhost(["fly"]).code, 2);
}
