//! Shares numbers and text with the other tasks of its run, and reports figures.

use std::thread::sleep;
use std::time::Duration;

use flowhost_guest::{channel, context, metrics};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:sharing/sharing",
    with: { "flowhost:task/types@0.1.0": flowhost_guest::types },
});

struct Component;

const LOCK: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);

fn said<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("ok: {value:?}"),
        Err(error) => format!("{error:?}"),
    }
}

impl Guest for Component {
    fn add(key: String, by: i64) -> Result<i64, Failure> {
        Ok(channel::increment(&key, by)?)
    }

    fn add_locked(key: String) -> Result<i64, Failure> {
        let me = context::current().index.to_string();
        let lock = format!("{key}/lock");
        while !channel::add_for(&lock, &me, LOCK)? {
            sleep(PAUSE);
        }
        let number = channel::number(&key)?.unwrap_or_default();
        // Others have all the time they need to come between.
        sleep(PAUSE);
        channel::set_number(&key, number + 1)?;
        if !channel::compare_and_swap(&lock, Some(me.as_bytes()), None)? {
            return Err(Failure::permanent("somebody else took the lock"));
        }
        Ok(number + 1)
    }

    fn add_twice(key: String) -> Result<i64, Failure> {
        let sum = channel::increment(&key, 1)?;
        match context::current().attempt {
            1 => Err(Failure::retryable("the first attempt fails")),
            _ => Ok(sum),
        }
    }

    fn write(key: String, text: String, time_to_live: Option<u64>) -> Result<(), Failure> {
        match time_to_live {
            None => channel::set(&key, text)?,
            Some(time) => channel::set_for(&key, text, Duration::from_millis(time))?,
        }
        Ok(())
    }

    fn read(key: String) -> Result<Option<String>, Failure> {
        channel::text(&key)
    }

    fn append(key: String, text: String) -> Result<u64, Failure> {
        Ok(channel::append(&key, text)?)
    }

    fn keys(prefix: String) -> Result<Vec<String>, Failure> {
        Ok(channel::keys(&prefix)?)
    }

    fn wait_until_gone(key: String, time_to_live: u64) -> Result<bool, Failure> {
        channel::set_for(&key, "1", Duration::from_millis(time_to_live))?;
        let was_there = channel::get(&key)?.is_some();
        while channel::get(&key)?.is_some() {
            sleep(PAUSE);
        }
        Ok(was_there)
    }

    fn wait_for(key: String) -> Result<String, Failure> {
        loop {
            if let Some(text) = channel::text(&key)? {
                return Ok(text);
            }
            sleep(PAUSE);
        }
    }

    fn break_bounds() -> Vec<String> {
        let large = vec![0; (1 << 20) + 1];
        channel::set("text", "seven").expect("there is room");
        channel::set("most", i64::MAX.to_string()).expect("there is room");
        let largest = &large[1..];
        vec![
            said(channel::set("", "")),
            said(channel::set(&"k".repeat(513), "")),
            said(channel::keys(&"k".repeat(513))),
            said(channel::set("large", &large)),
            said(channel::set("largest", largest)),
            said(channel::append("largest", "x")),
            said(channel::compare_and_swap("largest", Some(largest), Some(largest))),
            said(channel::set_for("k", "", Duration::ZERO)),
            said(channel::set_for("k", "", Duration::from_secs(366 * 24 * 3_600))),
            said(channel::increment("text", 1)),
            said(channel::increment("most", 1)),
        ]
    }

    fn fill() -> String {
        let value = vec![0; 1 << 20];
        let mut number = 0;
        loop {
            if let Err(error) = channel::set(&format!("fill/{number}"), &value) {
                return format!("{error:?} after {number}");
            }
            number += 1;
        }
    }

    fn flood() {
        loop {
            channel::set("flood", "x").expect("there is room");
        }
    }

    fn figure(name: String, amount: f64, fails_first: bool) -> Result<(), Failure> {
        metrics::add(&name, amount)?;
        match fails_first && context::current().attempt == 1 {
            true => Err(Failure::retryable("the first attempt fails")),
            false => Ok(()),
        }
    }

    fn break_figures() -> Vec<String> {
        let mut all = vec![
            said(metrics::add("", 1.0)),
            said(metrics::add("a b", 1.0)),
            said(metrics::add("a", f64::NAN)),
            said(metrics::add("a", f64::INFINITY)),
        ];
        for number in 0..32 {
            metrics::add(&format!("n{number}"), 1.0).expect("there is room");
        }
        all.push(said(metrics::add("n32", 1.0)));
        all
    }

    fn many_figures(prefix: String, count: u32) -> Result<(), Failure> {
        for number in 0..count {
            metrics::add(&format!("{prefix}-{number}"), 1.0)?;
        }
        Ok(())
    }
}

export!(Component);
