//! What others wrote is shown, and obeyed by no terminal.

use super::beside::written;
use crate::progress::Terminal;
use crate::support::{Ended, Place, program};

on_every_executor! {
    p5_what_guests_say_is_shown_harmlessly_by_every_display
}

/// What a terminal would obey, or what hides and reorders text.
pub(super) fn harmful(text: &str) -> Option<char> {
    text.chars().find(|char| {
        (char.is_control() && !matches!(char, '\n' | '\t'))
            || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{200e}' | '\u{200f}')
    })
}

fn assert_harmless(what: &str, ended: &Ended) {
    assert_eq!(harmful(&ended.stderr), None, "{what}: {:?}", ended.stderr);
}

const NASTY: &str = "\u{1b}[2J\u{1b}]0;gone\u{7}\u{9b}31m\u{202e}x\rforged[0]: succeeded";

fn p5_what_guests_say_is_shown_harmlessly_by_every_display(executor: &str) {
    let place = Place::on(executor);
    place.guest("talkative").guest("failing").guest("echo");
    place.file("in.json", serde_json::json!({ "message": NASTY }).to_string());
    let toml = NASTY.escape_unicode().to_string().replace("\\u{", "\\U").replace('}', "");
    // TOML wants eight digits.
    let toml: String = toml.split("\\U").skip(1).map(|hex| format!("\\U{hex:0>8}")).collect();
    place.file(
        "workflow.toml",
        format!(
            r#"
            [components]
            talkative = "talkative.wasm"
            failing = "failing.wasm"
            [inputs]
            nasty = {{ type = "string", default = "{toml}" }}
            [tasks.escapes]
            run = "talkative#escapes"
            [tasks.progress]
            run = "talkative#report"
            with = {{ done = "1", total = "2", message = "${{inputs.nasty}}" }}
            [tasks.fails]
            run = "failing#fail"
            with = {{ message = "${{inputs.nasty}}" }}
            retry = {{ max-attempts = 2, delay = "1ms" }}
            [tasks.panics]
            run = "failing#panic"
            with = {{ message = "${{inputs.nasty}}" }}
            [groups.fan]
            task = "fan-one"
            for-each = {{ files = "data/*" }}
            [tasks.fan-one]
            run = "failing#fail"
            with = {{ message = "${{item.path}}" }}
            "#
        ),
    );
    place.file(&format!("data/{}", NASTY.replace('/', "")), "");
    for style in ["plain", "json", "none", "auto"] {
        let ended = place.run(["--progress", style]);
        assert_eq!(ended.code, 100, "{ended}");
        assert_harmless(style, &ended);
        assert!(style == "none" || ended.stderr.contains("1b"), "{style}: the text is shown: {ended}");
    }
    let ended = place.flowhost(["call", "failing.wasm#fail", "--input", "in.json"]);
    assert_eq!(ended.code, 100, "{ended}");
    assert_harmless("call", &ended);
    let ended = place.flowhost(["run", "workflow.toml", "--dry-run"]);
    assert_harmless("dry run", &ended);
    assert_eq!(harmful(&ended.stdout), None, "{:?}", ended.stdout);
}

#[test]
fn p5_problems_of_a_file_are_shown_harmlessly() {
    let place = Place::new();
    place.guest("echo");
    // Raw in the file, where TOML takes it, and as an escape, where it does not.
    let raw = "\u{9b}31m\u{202e}\u{2066}\u{200b}";
    for text in [
        format!("[tasks.\"{raw}\"]\nrun = \"a#b\"\n"),
        format!("name = \"{raw}\"\n\"{raw}\" = 1\n"),
        "[tasks.\"\\u001b[2J\"]\nrun = \"\\u001b]0;x\\u0007#y\"\n".to_owned(),
        format!("[components]\nx = \"{raw}\\u001b[31m.wasm\"\n[tasks.t]\nrun = \"x#{raw}\\u001b[1m\"\n"),
        "[components]\necho = \"echo.wasm\"\n[tasks.t]\nrun = \"echo#echo-string\"\nwith = { value = \"${\\u001b[2J}\" }\n".to_owned(),
        "[components]\necho = \"echo.wasm\"\n[tasks.t]\nrun = \"echo#echo-season\"\nwith = { value = \"\\u001b[2J\\u009b\" }\n".to_owned(),
        "name = \"a\u{1b}[2Jb\"\n".to_owned(),
        "# \u{1b}[2J\n".to_owned(),
    ] {
        place.file("workflow.toml", &text);
        for command in ["check", "run"] {
            let ended = place.flowhost([command, "workflow.toml"]);
            assert_eq!(ended.code, 2, "{text:?}: {ended}");
            assert_harmless(&text, &ended);
        }
    }
    let nasty = format!("{}.toml", NASTY.replace('/', ""));
    place.file(&nasty, "[tasks.t]\n");
    for arguments in [
        &["check", &nasty][..],
        &["run", &nasty],
        &["check", "\u{1b}[2Jgone.toml"],
        &["inspect", "\u{1b}[2Jgone.wasm"],
        &["call", "\u{1b}[2Jgone.wasm#x"],
        &["call", "echo.wasm#\u{1b}[2J"],
        &["call", "echo.wasm#add", "--with", "\u{1b}[2J=1"],
        &["run", "workflow.toml", "--input", "\u{1b}[2J=1"],
        &["run", "workflow.toml", "--root", "\u{1b}[2J"],
        &["check", "workflow.toml", "--executor", "\u{1b}[2J"],
    ] {
        let ended = place.flowhost(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended}");
        assert_harmless(&format!("{arguments:?}"), &ended);
    }
}

#[test]
fn p5_names_in_components_are_shown_harmlessly() {
    let place = Place::new();
    for text in [
        // Names that the format admits.
        r#"(component (import "url=<\1b[2J\c2\9b>" (func)))"#.to_owned(),
        r#"(component (import "relative-url=<\1b]0;x\07>" (component)))"#.to_owned(),
        // And names that it does not.
        r#"(component (core module $M (func (export "run"))) (core instance $m (instantiate $M))
            (func $f (canon lift (core func $m "run"))) (export "\1b[2J" (func $f)))"#
            .to_owned(),
        r#"(component (core module (import "\1b[2J" "\e2\80\ae" (func)) (func (result i32))))"#.to_owned(),
        r#"(component (core module (func $f) (export "\1b[2J" (func $f)) (export "\1b[2J" (func $f))))"#
            .to_owned(),
    ] {
        // Only some of them are valid.
        written(&place, "it", &text);
        place.file("workflow.toml", "[components]\nit = \"it.wasm\"\n[tasks.t]\nrun = \"it#run\"\n");
        for arguments in [
            &["inspect", "it.wasm"][..],
            &["inspect", "it.wasm", "--json"],
            &["check", "workflow.toml"],
            &["call", "it.wasm#x"],
        ] {
            let ended = place.flowhost(arguments);
            assert_harmless(&text, &ended);
            assert_eq!(harmful(&ended.stdout), None, "{arguments:?} {text}: {:?}", ended.stdout);
        }
    }
    // A backtrace holds the names of the guest's functions.
    written(
        &place,
        "it",
        r#"(component
            (core module $M (func $f (@name "\1b[2J\c2\9b31m\e2\80\ae") unreachable) (export "run" (func $f)))
            (core instance $m (instantiate $M))
            (func (export "run") (canon lift (core func $m "run"))))"#,
    );
    for style in ["plain", "json"] {
        let ended = place.flowhost(["call", "it.wasm#run", "--progress", style]);
        assert_eq!(ended.code, 100, "{ended}");
        assert_harmless(style, &ended);
        assert!(ended.stderr.contains("unreachable"), "{ended}");
    }
}

#[test]
fn p5_bars_are_not_disturbed_by_what_guests_say() {
    let place = Place::new();
    place.guest("talkative").file(
        "workflow.toml",
        r#"
        [components]
        talkative = "talkative.wasm"
        [tasks.say]
        run = "talkative#escapes"
        [groups.sayers]
        task = "say"
        for-each = { range = [0, 2] }
        [outputs]
        "#,
    );
    let command = format!("echo before; {} run workflow.toml", program().display());
    let terminal = Terminal::start(&place, &command);
    let screen = terminal.until("the end", |screen| screen.contains("exit code 0"));
    // Nothing cleared the screen, and nothing stands there in the name of another branch.
    assert!(screen.contains("\\u{1b}"), "{screen}");
    assert!(!screen.lines().any(|line| line.starts_with("other[9]")), "{screen}");
}
