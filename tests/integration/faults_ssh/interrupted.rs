//! What people end themselves leaves nothing behind, here or there.

use rustix::process::Signal;

use super::{Client, SECONDS, Scene, clients, deserted, installed, shared};
use crate::support::until;

#[test]
fn h3_a_second_interrupt_stops_what_runs_on_nodes_and_leaves_nothing_there() {
    let sshd = installed();
    let scene = Scene::of(
        r#"
        [tasks.spin]
        run = "failing#spin"
        [tasks.nap]
        run = "failing#sleep"
        with = { ms = 600000 }
        "#,
    );
    scene.on(&[sshd.node_toml("concurrency = 4")], &shared());
    let mut run = scene.run();
    run.until_count("\"attempt-started\"", 2);
    let clients = clients(&run);
    assert_eq!(clients.len(), 1);
    run.send(Signal::INT);
    run.until("\"interrupted\"");
    run.send(Signal::INT);
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{ran}");
    deserted(&sshd);
    until(SECONDS, "no ssh is left", || !clients.iter().any(Client::lives));
}
