//! The rows W1 to W3 of the fault catalogue: workflow files that are wrong, hostile, or lead out.

use std::time::{Duration, Instant};

use crate::support::{Ended, Place};

fn check(place: &Place, workflow: impl AsRef<[u8]>) -> Ended {
    place.file("workflow.toml", workflow);
    place.flowhost(["check", "workflow.toml"])
}

/// Refused with exit code 2, without a panic, and with every part in what it says.
#[track_caller]
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, 2, "{ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    for part in parts {
        assert!(ended.stderr.contains(part), "`{part}` is not in: {ended}");
    }
}

#[test]
fn w1_garbage_is_refused_with_its_place() {
    let place = Place::new();
    refused(&check(&place, "= = ="), &["workflow.toml:1:1"]);
    refused(&check(&place, [0xff, 0xfe, 0, 1]), &["workflow.toml", "UTF-8"]);
    refused(&check(&place, ""), &["workflow.toml"]);
    refused(&check(&place, "a = [1,\n\n[tasks"), &["workflow.toml:"]);
    refused(&place.flowhost(["check", "missing.toml"]), &["missing.toml"]);
    refused(&place.flowhost(["check", "."]), &["."]);
}

#[test]
fn w1_nesting_is_bounded() {
    let place = Place::new();
    for depth in [100, 10_000, 200_000] {
        let arrays = format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
        refused(&check(&place, arrays), &["workflow.toml:1:"]);
        let tables = format!("a = {}1{}", "{ b = ".repeat(depth), " }".repeat(depth));
        refused(&check(&place, tables), &["workflow.toml:1:"]);
        let dotted = format!("{}a = 1", "a.".repeat(depth));
        refused(&check(&place, dotted), &["workflow.toml:1:"]);
    }
}

#[test]
fn w1_64_mib_are_refused_without_being_read() {
    let place = Place::new();
    place.file("workflow.toml", "a".repeat(64 << 20));
    let began = Instant::now();
    refused(&place.flowhost(["check", "workflow.toml"]), &["workflow.toml", "MiB"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn w1_all_problems_are_told_at_once() {
    let place = Place::new();
    place.guest("echo");
    let workflow = r#"nmae = "typo"
seed = "not a number"
[components]
echo = "echo.wasm"
gone = "gone.wasm"
[tasks.one]
run = "echo#echo-strin"
with = { value = 1 }
[tasks.two]
run = "echo#echo-u8"
with = { value = 256 }
[tasks.three]
run = "echo#echo-string"
with = { value = "${four}", value2 = "x" }
[tasks.five]
run = "ehco#echo-string"
with = { value = "${six}" }
[tasks.six]
run = "echo#echo-string"
with = { value = "${seven}" }
[tasks.seven]
run = "echo#echo-string"
with = { value = "${six}" }
[groups.g]
task = "one"
for-each = { range = [0, 3] }
for-eech = 1
"#;
    let ended = check(&place, workflow);
    refused(
        &ended,
        &[
            "workflow.toml:1:1",
            "`nmae`",
            "`name`",
            "workflow.toml:2:",
            "gone.wasm",
            "`echo-string`",
            "256",
            "`four`",
            "`value2`",
            "`ehco`",
            "`for-eech`",
            "`for-each`",
            "six",
            "seven",
        ],
    );
}

#[test]
fn w1_duplicates_wrong_types_and_cycles_are_named() {
    let place = Place::new();
    place.guest("echo");
    let head = "[components]\necho = \"echo.wasm\"\n";
    refused(&check(&place, format!("{head}echo = \"x.wasm\"")), &["workflow.toml:3:", "echo"]);
    refused(&check(&place, "[components]\n[components]"), &["workflow.toml:2:"]);
    refused(&check(&place, "tasks = 5"), &["workflow.toml:1:", "tasks"]);
    refused(&check(&place, "[tasks]\na = 5"), &["workflow.toml:2:"]);
    let cycle = |a: &str, b: &str| {
        format!(
            "{head}[tasks.a]\nrun = \"echo#nothing\"\nafter = [\"{a}\"]\n[tasks.b]\nrun = \"echo#nothing\"\nafter = [\"{b}\"]\n"
        )
    };
    refused(&check(&place, cycle("b", "a")), &["cycle", "a", "b"]);
    refused(&check(&place, cycle("a", "a")), &["a"]);
    refused(&check(&place, cycle("c", "a")), &["`c`"]);
}

#[test]
fn w2_ranges_and_products_above_the_bound_are_refused_by_check() {
    let place = Place::new();
    place.guest("echo");
    let group = |for_each: &str| {
        format!(
            "[components]\necho = \"echo.wasm\"\n[tasks.a]\nrun = \"echo#nothing\"\n[groups.g]\ntask = \"a\"\nfor-each = {for_each}\n"
        )
    };
    refused(&check(&place, group("{ range = [0, 1000000000] }")), &["1000000000", "max-branches"]);
    refused(
        &check(&place, group("{ range = [-9223372036854775808, 9223372036854775807] }")),
        &["max-branches"],
    );
    refused(&check(&place, group("{ range = [3, 1] }")), &["workflow.toml:7:"]);
    let axis = format!("[{}]", "1,".repeat(5000));
    let matrix = format!("{{ matrix = {{ a = {axis}, b = {axis} }} }}");
    refused(&check(&place, group(&matrix)), &["25000000", "max-branches"]);
    let huge = format!(
        "{{ matrix = {{ a = {axis}, b = {axis}, c = {axis}, d = {axis}, e = {axis}, f = {axis} }} }}"
    );
    refused(&check(&place, group(&huge)), &["max-branches"]);
    refused(&check(&place, format!("{}max-branches = 10", group("{ range = [0, 11] }"))), &["max-branches"]);
}

#[test]
fn w3_paths_that_lead_out_are_refused() {
    let place = Place::new();
    place.guest("echo").file("flow/in.txt", "in").file("secret.txt", "secret");
    std::fs::copy(place.path().join("echo.wasm"), place.path().join("flow/echo.wasm")).unwrap();
    std::os::unix::fs::symlink("../secret.txt", place.path().join("flow/link.txt")).unwrap();
    std::os::unix::fs::symlink("..", place.path().join("flow/up")).unwrap();
    let task = |value: &str, rest: &str| {
        format!(
            "[components]\necho = \"echo.wasm\"\n[tasks.a]\nrun = \"echo#echo-string\"\nwith = {{ value = {value} }}\n{rest}"
        )
    };
    let run = |workflow: String| {
        place.file("flow/workflow.toml", workflow);
        place.flowhost(["run", "flow/workflow.toml", "--progress", "none"])
    };
    for path in ["../secret.txt", "/etc/passwd", "link.txt", "up/secret.txt", "./x/../../secret.txt"] {
        let ended = run(task(&format!("{{ file = \"{path}\" }}"), "[outputs]\na = \"${a}\"\n"));
        refused(&ended, &["root"]);
    }
    let grant = |grant: &str| task("\"x\"", &format!("grants = {grant}\n"));
    for path in ["..", "/etc", "up", "../flow/.."] {
        refused(&run(grant(&format!("{{ read = [\"{path}\"] }}"))), &["root"]);
        refused(&run(grant(&format!("{{ write = [\"{path}\"] }}"))), &["root"]);
    }
    let group = |items: &str| task("\"${item}\"", &format!("[groups.g]\ntask = \"a\"\nfor-each = {items}\n"));
    refused(&run(group("{ lines = \"../secret.txt\" }")), &["root"]);
    refused(&run(group("{ jsonl = \"up/secret.txt\" }")), &["root"]);
    let files = task("\"${item.path}\"", "[groups.g]\ntask = \"a\"\nfor-each = { files = \"../*.txt\" }\n");
    refused(&run(files), &["root"]);
    for path in ["../out.txt", "/tmp/out.txt", "up/out.txt"] {
        refused(
            &run(task("\"x\"", &format!("[outputs]\na = {{ value = \"${{a}}\", file = \"{path}\" }}\n"))),
            &["root"],
        );
    }
    // What --input names is allowed, and --root moves the bound.
    let input = format!(
        "[inputs]\nf = {{ type = \"string\", default = \"in.txt\" }}\n{}",
        task("{ file = \"${inputs.f}\" }", "[outputs]\na = \"${a}\"\n")
    );
    place.file("flow/workflow.toml", input);
    let given = ["run", "flow/workflow.toml", "--progress", "none", "--input", "f=secret.txt"];
    assert_eq!(place.flowhost(given).json()["a"], "secret");
    place.file("flow/workflow.toml", task("{ file = \"../secret.txt\" }", "[outputs]\na = \"${a}\"\n"));
    let moved = place.flowhost(["run", "flow/workflow.toml", "--progress", "none", "--root", "."]);
    assert_eq!(moved.json()["a"], "secret", "{moved}");
}

#[test]
fn components_that_cannot_run_are_named_with_the_next_step() {
    let place = Place::new();
    place
        .guest("echo")
        .file("empty.wasm", "")
        .file("text.wasm", "not wasm")
        .file("core.wasm", b"\0asm\x01\0\0\0");
    let whole = std::fs::read(place.path().join("echo.wasm")).unwrap();
    place.file("cut.wasm", &whole[..whole.len() / 2]);
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 0xff;
    place.file("flipped.wasm", flipped);
    let with =
        |component: &str, run: &str| format!("[components]\nc = {component}\n[tasks.a]\nrun = \"c#{run}\"\n");
    for name in ["empty", "text", "cut", "flipped"] {
        refused(&check(&place, with(&format!("\"{name}.wasm\""), "answer")), &[name, "workflow.toml:2:"]);
        refused(&place.flowhost(["inspect", &format!("{name}.wasm")]), &[name]);
    }
    refused(&check(&place, with("\"core.wasm\"", "answer")), &["core.wasm", "module", "wasm32-wasip2"]);
    refused(&check(&place, with("\"gone.wasm\"", "answer")), &["gone.wasm"]);
    let built = with("{ path = \"gone.wasm\", build = \"cargo build\" }", "answer");
    refused(&check(&place, built), &["gone.wasm", "--build"]);
    let zeros = format!("sha256:{}", "0".repeat(64));
    let pinned = format!("{{ path = \"echo.wasm\", digest = \"{zeros}\" }}");
    refused(&check(&place, with(&pinned, "answer")), &[&zeros, "echo.wasm"]);
    refused(&check(&place, with("\"echo.wasm\"", "anwser")), &["`anwser`", "`answer`"]);
    refused(&check(&place, with("\"echo.wasm\"", "shout")), &["shout", "extra", "plain"]);
    let wat = r#"(component (import "acme:database/query@1.0.0" (instance (export "run" (func)))))"#;
    place.file("foreign.wasm", wat::parse_str(wat).unwrap());
    refused(&check(&place, with("\"foreign.wasm\"", "answer")), &["acme:database/query"]);
}
