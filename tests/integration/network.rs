//! The network: what is granted is reached, by sockets and by HTTP, and nothing else.

use serde_json::{Value, json};

use crate::support::{Ended, Place, Server, ended, javascript_guest};

/// Calls a function of a guest. The attempt's log is shown.
fn call(place: &Place, function: &str, with: &[(&str, String)], flags: &[&str]) -> Ended {
    let mut arguments = vec!["call".to_owned(), function.to_owned(), "--progress=plain".to_owned()];
    for (name, value) in with {
        arguments.extend(["--with".to_owned(), format!("{name}={value}")]);
    }
    place.flowhost(arguments.iter().map(String::as_str).chain(flags.iter().copied()))
}

/// Calls a function of `fetch` with a URL.
fn fetch(place: &Place, function: &str, url: &str, flags: &[&str]) -> Ended {
    call(place, &format!("fetch.wasm#{function}"), &[("url", url.to_owned())], flags)
}

/// Asserts that a call failed, and that what is shown says why.
fn failed(ended: &Ended, why: &str) {
    assert_eq!(ended.code, 100, "{ended}");
    assert!(ended.stderr.contains(why), "`{why}` is not in: {ended}");
}

#[test]
fn g13_sockets_reach_what_is_granted() {
    let place = Place::new();
    place.guest("reach");
    let (tcp, udp) = (Server::echo("127.0.0.1"), Server::datagrams("127.0.0.1"));
    let grants = [format!("--net=127.0.0.1:{}", tcp.port()), format!("--net=127.0.0.0/8:{}", udp.port())];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let hello = |server: &Server| [("address", server.address().to_string()), ("text", "hello".to_owned())];
    assert_eq!(call(&place, "reach.wasm#exchange", &hello(&tcp), &grants).json(), "hello");
    assert_eq!(call(&place, "reach.wasm#ask", &hello(&udp), &grants).json(), "hello");
    assert_eq!((tcp.came(), udp.came()), (1, 1));
    // A grant is for addresses and ports, whatever the protocol, and for no others.
    let ended = call(&place, "reach.wasm#exchange", &hello(&tcp), &grants[1..]);
    failed(&ended, &format!("`net` grant does not cover {}", tcp.address()));
    assert_eq!(tcp.came(), 1);
}

#[test]
fn g13_sockets_reach_nothing_else() {
    let place = Place::new();
    place.guest("reach");
    let (granted, tcp) = (Server::echo("127.0.0.1"), Server::echo("127.0.0.1"));
    let udp = Server::datagrams("127.0.0.1");
    let grant = format!("--net={}", granted.address());
    let cases = [
        ("connect", tcp.address().to_string()),
        ("connect", format!("localhost:{}", granted.port())),
        ("connect", format!("[::ffff:127.0.0.1]:{}", tcp.port())),
        ("connect", format!("[::1]:{}", granted.port())),
        ("connect", format!("0.0.0.0:{}", tcp.port())),
        ("send", udp.address().to_string()),
        ("send", format!("[::ffff:127.0.0.1]:{}", udp.port())),
        ("listen", "0.0.0.0:0".to_owned()),
        ("listen", "127.0.0.1:0".to_owned()),
        ("listen", format!("127.0.0.1:{}", granted.port())),
    ];
    for (function, address) in &cases {
        let with = [("address", address.clone())];
        let ended = call(&place, &format!("reach.wasm#{function}"), &with, &[&grant]);
        assert_eq!(ended.code, 100, "{function} {address}: {ended}");
        let bare = call(&place, &format!("reach.wasm#{function}"), &with, &[]);
        assert_eq!(bare.code, 100, "{function} {address}: {bare}");
    }
    let resolved = call(&place, "reach.wasm#resolve", &[("name", "localhost".to_owned())], &[&grant]);
    assert_eq!(resolved.code, 100, "{resolved}");
    assert_eq!((granted.came(), tcp.came(), udp.came()), (0, 0, 0));
}

#[test]
fn requests_go_to_granted_origins() {
    let place = Place::new();
    place.guest("fetch");
    let server = Server::http();
    let hello = format!("{}/hello", server.origin());
    let grant = format!("--http={}", server.origin());
    let answer = json!({ "status": 200, "location": null, "body": "hello" });
    assert_eq!(fetch(&place, "get", &hello, &[&grant]).json(), answer);
    // The name of this machine leads to this machine.
    let origin = format!("http://localhost:{}", server.port());
    let named = fetch(&place, "get", &format!("{origin}/hello"), &[&format!("--http={origin}")]);
    assert_eq!(named.json(), answer, "{named}");
    assert_eq!(server.came(), 2);
    let inspected = place.flowhost(["inspect", "fetch.wasm"]);
    assert!(inspected.stdout.contains("requests over HTTP, with an `http` grant"), "{inspected}");
}

#[test]
fn a_stock_javascript_guest_fetches_what_is_granted() {
    let place = Place::new();
    place.component(&javascript_guest(true));
    let server = Server::http();
    let status = |flags: &[&str]| {
        let url = [("url", format!("{}/hello", server.origin()))];
        call(&place, "javascript.wasm#status", &url, flags)
    };
    // It imports `wasi:http` and loads without a grant.
    failed(&status(&[]), "denied");
    assert_eq!(server.came(), 0);
    assert_eq!(status(&[&format!("--http={}", server.origin())]).json(), 200);
    assert_eq!(server.came(), 1);
}

#[test]
fn g13_requests_go_nowhere_else() {
    let place = Place::new();
    place.guest("fetch");
    let (granted, other) = (Server::http(), Server::http());
    let grant = format!("--http={}", granted.origin());
    for (url, code) in [
        (format!("{}/hello", other.origin()), "HttpRequestDenied"),
        (format!("http://localhost:{}/hello", granted.port()), "HttpRequestDenied"),
        (format!("http://[::ffff:127.0.0.1]:{}/hello", other.port()), "HttpRequestDenied"),
        (format!("https://{}/hello", granted.address()), "HttpRequestDenied"),
        (format!("http://{}@{}/hello", granted.address(), other.address()), "HttpRequestUriInvalid"),
        (format!("http://2130706433:{}/hello", other.port()), "HttpRequestUriInvalid"),
    ] {
        failed(&fetch(&place, "get", &url, &[&grant]), code);
        // Guests that import wasi:http load without a grant, and are denied.
        failed(&fetch(&place, "get", &url, &[]), "denied");
    }
    let told = fetch(&place, "get", &format!("{}/hello", other.origin()), &[&grant]);
    failed(&told, &format!("`http` grant does not name {}", other.origin()));
    let tunnel = [("method", "CONNECT".to_owned()), ("url", granted.origin())];
    failed(&call(&place, "fetch.wasm#request", &tunnel, &[&grant]), "HttpRequestMethodInvalid");
    assert_eq!((granted.came(), other.came()), (0, 0));
}

/// Gets a URL where `a.example.com` leads to this machine, in a room whose `/etc/hosts` says so.
fn fetch_by_name(place: &Place, url: &str, flags: &[&str]) -> Ended {
    place.file("hosts", "127.0.0.1 a.example.com localhost\n");
    let with = format!("--with=url={url}");
    let inner = place.command(["call", "fetch.wasm#get", "--progress=plain", &with].iter().chain(flags));
    let mut outer = std::process::Command::new("unshare");
    outer.args([
        "--map-root-user",
        "--mount",
        "sh",
        "-ec",
        "mount --bind hosts /etc/hosts; exec \"$@\"",
        "sh",
    ]);
    outer.arg(inner.get_program()).args(inner.get_args()).current_dir(place.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    ended(&mut outer)
}

#[test]
fn g13_a_name_that_leads_to_this_network_is_not_followed() {
    let place = Place::new();
    place.guest("fetch");
    let server = Server::http();
    let origin = format!("http://a.example.com:{}", server.port());
    let (url, grant) = (format!("{origin}/hello"), format!("--http={origin}"));
    let denied = fetch_by_name(&place, &url, &[&grant]);
    failed(&denied, "DestinationIpProhibited");
    failed(&denied, "`a.example.com` leads to 127.0.0.1, which is no public address");
    assert_eq!(server.came(), 0);
    // A network of one's own is reached by granting its address as well.
    let address = format!("--net={}", server.address());
    assert_eq!(fetch_by_name(&place, &url, &[&grant, &address]).json()["body"], "hello");
    failed(&fetch_by_name(&place, &url, &[&address]), "HttpRequestDenied");
    assert_eq!(server.came(), 1);
}

#[test]
fn g13_each_request_of_a_redirect_is_judged() {
    let place = Place::new();
    place.guest("fetch");
    let (granted, other) = (Server::http(), Server::http());
    let url = format!("{}/redirect?{}/hello", granted.origin(), other.origin());
    let one = format!("--http={}", granted.origin());
    let answers = fetch(&place, "follow", &url, &[&one]).json();
    assert_eq!(answers[0]["ok"]["status"], 302, "the guest sees the redirect: {answers}");
    assert!(answers[1]["err"].as_str().unwrap().contains("HttpRequestDenied"), "{answers}");
    assert_eq!(other.came(), 0);
    let both = format!("--http={},{}", granted.origin(), other.origin());
    let answers = fetch(&place, "follow", &url, &[&both]).json();
    assert_eq!(answers[1]["ok"]["body"], "hello", "{answers}");
    assert_eq!(other.came(), 1);
}

#[test]
fn bodies_end_at_the_memory_limit() {
    let place = Place::new();
    place.guest("fetch");
    let server = Server::http();
    let flags = [&*format!("--http={}", server.origin()), "--memory=8MiB", "--timeout=60s"];
    let url = |path: &str| format!("{}{path}", server.origin());
    assert_eq!(fetch(&place, "drain", &url("/large?8000000"), &flags).json(), 8_000_000);
    let ended = fetch(&place, "drain", &url("/large?9000000"), &flags);
    failed(&ended, "HttpResponseBodySize");
    failed(&ended, "answers with a body of 8.6 MiB, above 8 MiB, the attempt's memory limit");
    let endless = fetch(&place, "drain", &url("/endless"), &flags);
    failed(&endless, "HTTP response body size exceeds limit: 8388608 bytes");
    let post = |bytes: u64| {
        let with = [("url", url("/count")), ("bytes", bytes.to_string())];
        call(&place, "fetch.wasm#post", &with, &flags)
    };
    assert_eq!(post(8_000_000).json(), "8000000");
    failed(&post(9_000_000), "HttpRequestBodySize");
}

#[test]
fn g2_a_server_that_does_not_answer_ends_the_wait_and_not_the_host() {
    let place = Place::new();
    place.guest("fetch");
    let server = Server::http();
    let grant = format!("--http={}", server.origin());
    for (path, code) in [("/silent", "ConnectionReadTimeout"), ("/stalling", "connection read timeout")] {
        let url = format!("{}{path}", server.origin());
        let with = [("url", url.clone()), ("ms", "2000".to_owned())];
        failed(&call(&place, "fetch.wasm#impatient", &with, &[&grant]), code);
        failed(&fetch(&place, "drain", &url, &[&grant, "--timeout=300ms"]), "the timeout of 300ms passed");
    }
}

#[test]
fn many_requests_at_once_take_turns() {
    let place = Place::new();
    place.guest("fetch");
    let server = Server::http();
    let with = [("url", format!("{}/hello", server.origin())), ("n", "100".to_owned())];
    let ended = call(&place, "fetch.wasm#at-once", &with, &[&format!("--http={}", server.origin())]);
    assert_eq!((ended.json(), server.came()), (Value::from(100), 100), "{ended}");
}

#[test]
fn g4_requests_that_are_never_sent_cost_the_host_little() {
    let place = Place::new();
    place.guest("fetch");
    let hoard = |n: u32| call(&place, "fetch.wasm#hoard", &[("n", n.to_string())], &["--timeout=60s"]);
    let ended = hoard(100);
    let taken = ended.json().as_u64().unwrap();
    assert!((100..100 * 64 * 1024).contains(&taken), "{taken} bytes: {ended}");
    failed(&hoard(100_000), "handle limit");
}

#[test]
fn deterministic_calls_have_no_network() {
    let place = Place::new();
    place.guest("fetch");
    // How long a denial takes would be randomness.
    let url = "http://127.0.0.1/";
    assert_eq!(fetch(&place, "refused-at-once", url, &["--deterministic"]).json(), true);
    failed(&fetch(&place, "get", url, &["--deterministic"]), "HttpRequestDenied");
    for flag in ["--net=127.0.0.1:80", "--http=http://127.0.0.1"] {
        let ended = fetch(&place, "get", "http://127.0.0.1/", &["--deterministic", flag]);
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.stderr.contains("no network"), "{ended}");
    }
    for (flag, says) in
        [("--net=localhost:80", "names are not looked up"), ("--http=127.0.0.1", "begin with http://")]
    {
        let ended = fetch(&place, "get", "http://127.0.0.1/", &[flag]);
        assert_eq!(ended.code, 2, "{ended}");
        assert!(ended.stderr.contains(says), "{ended}");
    }
}
