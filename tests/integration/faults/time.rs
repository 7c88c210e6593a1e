//! Guests that never end: in a loop, and inside the host.

use super::beside::{attack, attack_with, punctual};
use crate::support::Place;

on_every_executor! {
    g1_endless_loops_on_every_core_end_on_time
    g1_a_start_function_that_never_ends_is_the_guest
    g2_what_waits_inside_the_host_ends_on_time;
    own:
    g1_more_endless_loops_than_attempts_that_run_at_once_end_on_time
}

fn g1_endless_loops_on_every_core_end_on_time(executor: &str) {
    let place = Place::on(executor);
    place.guest("failing").guest("hostile");
    punctual(|| {
        let attack = attack(
            &place,
            "failing = \"failing.wasm\"\nhostile = \"hostile.wasm\"",
            r#"
            [defaults]
            limits = { timeout = "500ms" }
            [tasks.spin]
            run = "failing#spin"
            [tasks.grind]
            run = "hostile#grind"
            [groups.spinning]
            task = "spin"
            for-each = { range = [0, 2] }
            [groups.grinding]
            task = "grind"
            for-each = { range = [0, 2] }
            "#,
        );
        for task in ["spin", "grind"] {
            let ends = attack.ends(task);
            assert!(ends.len() == 2 && ends.iter().all(|end| end["outcome"] == "timed-out"), "{attack}");
            attack.on_time(task, 0.5)?;
        }
        attack.naps_on_time()
    });
}

fn g1_more_endless_loops_than_attempts_that_run_at_once_end_on_time(executor: &str) {
    let place = Place::on(executor);
    place.guest("failing");
    punctual(|| {
        let attack = attack(
            &place,
            "failing = \"failing.wasm\"",
            r#"
            [tasks.spin]
            run = "failing#spin"
            limits = { timeout = "1s" }
            [groups.spinning]
            task = "spin"
            for-each = { range = [0, 24] }
            "#,
        );
        let ends = attack.ends("spin");
        assert!(ends.len() == 24 && ends.iter().all(|end| end["outcome"] == "timed-out"), "{attack}");
        attack.on_time("spin", 1.0)?;
        attack.naps_on_time()
    });
}

fn g1_a_start_function_that_never_ends_is_the_guest(executor: &str) {
    let place = Place::on(executor);
    super::beside::written(
        &place,
        "start",
        r#"(component
            (core module $M (func $spin (loop (br 0))) (start $spin) (func (export "run")))
            (core instance $m (instantiate $M))
            (func (export "run") (canon lift (core func $m "run"))))"#,
    );
    punctual(|| {
        let attack = attack(
            &place,
            "start = \"start.wasm\"",
            "[tasks.bad]\nrun = \"start#run\"\nlimits = { timeout = \"300ms\" }",
        );
        attack.ended_so("bad", "timed-out", "300ms");
        attack.on_time("bad", 0.3)?;
        attack.naps_on_time()
    });
}

fn g2_what_waits_inside_the_host_ends_on_time(executor: &str) {
    let place = Place::on(executor);
    place.guest("hostile").guest("failing");
    for at in 0..200 {
        place.file(&format!("data/{at}"), "");
    }
    punctual(|| {
        let attack = attack_with(
            &place,
            "hostile = \"hostile.wasm\"\nfailing = \"failing.wasm\"",
            r#"
            [defaults]
            limits = { timeout = "400ms" }
            [tasks.hour]
            run = "failing#sleep"
            with = { ms = 3600000 }
            [tasks.centuries]
            run = "hostile#sleep"
            with = { nanoseconds = "18446744073709551615" }
            [tasks.naps-for-ever]
            run = "hostile#nap-forever"
            [tasks.lists-for-ever]
            run = "hostile#list-forever"
            with = { path = "data" }
            grants = { read = ["data"] }
            "#,
            &[],
        );
        for task in ["hour", "centuries", "naps-for-ever", "lists-for-ever"] {
            attack.ended_so(task, "timed-out", "400ms");
            attack.on_time(task, 0.4)?;
        }
        attack.naps_on_time()
    });
}
