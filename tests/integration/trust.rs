//! Files of one's own are given what they ask for, files of others what the command line allows.

use serde_json::json;

use crate::support::{Ended, Place, Server, ended};

/// A workflow that asks for a secret in two ways, an address and an origin.
fn asking(server: &Server, pages: &Server) -> Place {
    let place = Place::new();
    let (address, origin) = (server.address(), pages.origin());
    place.guest("reach").guest("fetch").file(
        "workflow.toml",
        format!(
            r#"
            [components]
            reach = {{ path = "reach.wasm", build = "touch built" }}
            fetch = "fetch.wasm"
            [tasks.said]
            run = "reach#exchange"
            with = {{ address = "{address}", text = {{ env = "KEY" }} }}
            grants = {{ net = ["{address}"], env = {{ LANG = "C", TOKEN = {{ env = "OTHER" }} }} }}
            [tasks.got]
            run = "fetch#get"
            with = {{ url = "{origin}/hello" }}
            grants = {{ http = ["{origin}"] }}
            [outputs]
            said = "${{said}}"
            got = "${{got.body}}"
            "#
        ),
    );
    place
}

fn flowhost(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = place.command(arguments);
    command.env("KEY", "hello").env("OTHER", "there").envs(variables.iter().copied());
    ended(&mut command)
}

#[test]
fn a_file_of_ones_own_is_given_what_it_asks_for() {
    let (server, pages) = (Server::echo("127.0.0.1"), Server::http());
    let place = asking(&server, &pages);
    let run = flowhost(&place, &["run", "workflow.toml", "--progress=none"], &[]);
    assert_eq!(run.json(), json!({ "said": "hello", "got": "hello" }), "{run}");
    let check = flowhost(&place, &["check", "workflow.toml"], &[]);
    for ask in [
        format!("asks for net {}: task said", server.address()),
        format!("asks for http {}: task got", pages.origin()),
        "asks for secret KEY: task said".to_owned(),
        "asks for secret OTHER: task said".to_owned(),
    ] {
        assert!(check.stdout.contains(&ask), "`{ask}` is not in: {check}");
    }
}

#[test]
fn a_file_of_others_is_given_what_is_allowed() {
    let (server, pages) = (Server::echo("127.0.0.1"), Server::http());
    let place = asking(&server, &pages);
    let allowed = [
        "env=KEY".to_owned(),
        "env=OTHER".to_owned(),
        format!("net=127.0.0.0/8:{}", server.port()),
        format!("http={}", pages.origin()),
    ];
    for command in ["run", "check"] {
        let refused = flowhost(&place, &[command, "workflow.toml", "--untrusted"], &[]);
        assert_eq!((refused.code, &*refused.stdout), (2, ""), "{refused}");
        for flag in ["env=KEY", "env=OTHER", &format!("net={}", server.address()), &allowed[3]] {
            assert!(refused.stderr.contains(&format!("--allow {flag}")), "`{flag}` is not in: {refused}");
        }
        assert!(!refused.stderr.contains("`LANG`"), "what the file itself says is no secret: {refused}");
    }
    assert_eq!((server.came(), pages.came()), (0, 0));
    for left_out in 0..allowed.len() {
        let rest: Vec<&str> =
            allowed.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, flag)| &**flag).collect();
        let variables = [("FLOWHOST_UNTRUSTED", "1"), ("FLOWHOST_ALLOW", &*rest.join(","))];
        let refused = flowhost(&place, &["check", "workflow.toml"], &variables);
        assert_eq!(refused.code, 2, "without {}: {refused}", allowed[left_out]);
    }
    let mut arguments = vec!["run", "workflow.toml", "--progress=none", "--untrusted"];
    for flag in &allowed {
        arguments.extend(["--allow", flag]);
    }
    let run = flowhost(&place, &arguments, &[]);
    assert_eq!(run.json(), json!({ "said": "hello", "got": "hello" }), "{run}");
}

#[test]
fn nothing_of_a_file_of_others_is_built() {
    let (server, pages) = (Server::echo("127.0.0.1"), Server::http());
    let place = asking(&server, &pages);
    let refused = flowhost(&place, &["check", "workflow.toml", "--untrusted", "--build"], &[]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("--build would run the commands of an untrusted file"), "{refused}");
    assert!(!place.path().join("built").exists());
    assert_eq!(flowhost(&place, &["check", "workflow.toml", "--build"], &[]).code, 0);
    assert!(place.path().join("built").exists());
}

#[test]
fn what_is_allowed_has_to_make_sense() {
    let (server, pages) = (Server::echo("127.0.0.1"), Server::http());
    let place = asking(&server, &pages);
    for (flags, says) in [
        (&["--allow=env=KEY"][..], "add --untrusted"),
        (&["--untrusted", "--allow=KEY"], "env=NAME"),
        (&["--untrusted", "--allow=net=localhost:80"], "names are not looked up"),
        (&["--untrusted", "--allow=http=https://a.example/path"], "an origin is granted as a whole"),
    ] {
        let ended = flowhost(&place, &[&["check", "workflow.toml"], flags].concat(), &[]);
        assert_eq!(ended.code, 2, "{flags:?}: {ended}");
        assert!(ended.stderr.contains(says), "{flags:?}: {ended}");
    }
}
