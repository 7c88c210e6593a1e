//! Connections to what is not granted.

use super::beside::{attack, punctual};
use crate::support::{Place, Server};

on_every_executor! {
    g13_what_is_not_granted_hears_of_nobody
}

fn g13_what_is_not_granted_hears_of_nobody(executor: &str) {
    let place = Place::on(executor);
    place.guest("reach").guest("fetch");
    let (granted, tcp, udp) =
        (Server::echo("127.0.0.1"), Server::echo("127.0.0.1"), Server::datagrams("127.0.0.1"));
    let (origin, http) = (Server::http(), Server::http());
    let sockets = [
        ("connect", tcp.address().to_string()),
        ("connect", format!("localhost:{}", granted.port())),
        ("connect", format!("[::ffff:127.0.0.1]:{}", tcp.port())),
        ("connect", format!("[::1]:{}", granted.port())),
        ("connect", format!("0.0.0.0:{}", tcp.port())),
        ("send", udp.address().to_string()),
        ("send", format!("[::ffff:127.0.0.1]:{}", udp.port())),
        ("listen", "0.0.0.0:0".to_owned()),
        ("listen", format!("127.0.0.1:{}", granted.port())),
    ];
    let requests = [
        format!("{}/hello", http.origin()),
        format!("http://localhost:{}/hello", origin.port()),
        format!("http://[::ffff:127.0.0.1]:{}/hello", http.port()),
        format!("https://{}/hello", origin.address()),
        format!("http://{}@{}/hello", origin.address(), http.address()),
    ];
    let mut tasks = String::new();
    let mut names = Vec::new();
    for (at, (function, address)) in sockets.iter().enumerate() {
        for (kind, grants) in
            [("granted", format!("net = [\"{}\"]", granted.address())), ("bare", String::new())]
        {
            tasks.push_str(&format!(
                "[tasks.{kind}-{at}]\nrun = \"reach#{function}\"\nwith = {{ address = \"{address}\" }}\n\
                 grants = {{ {grants} }}\n"
            ));
            names.push(format!("{kind}-{at}"));
        }
    }
    for (at, url) in requests.iter().enumerate() {
        for (kind, grants) in
            [("origin", format!("http = [\"{}\"]", origin.origin())), ("none", String::new())]
        {
            tasks.push_str(&format!(
                "[tasks.{kind}-{at}]\nrun = \"fetch#get\"\nwith = {{ url = \"{url}\" }}\ngrants = {{ {grants} }}\n"
            ));
            names.push(format!("{kind}-{at}"));
        }
    }
    // What is granted is reached: otherwise nothing would be shown.
    tasks.push_str(&format!(
        "[tasks.reached]\nrun = \"reach#exchange\"\nwith = {{ address = \"{0}\", text = \"hello\" }}\n\
         grants = {{ net = [\"{0}\"] }}\n",
        granted.address()
    ));
    punctual(|| {
        let before = granted.came();
        let attack = attack(&place, "fetch = \"fetch.wasm\"", &tasks);
        for name in &names {
            assert_eq!(attack.outcome(name).0, "failed", "{name}: {attack}");
        }
        assert_eq!(attack.outcome("reached").0, "succeeded", "{attack}");
        assert_eq!(granted.came(), before + 1);
        assert_eq!([&tcp, &udp, &origin, &http].map(Server::came), [0; 4]);
        attack.naps_on_time()
    });
}
