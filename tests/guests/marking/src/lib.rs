//! Leaves traces of every execution, so that executions can be counted from outside.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::time::Duration;

wit_bindgen::generate!({ world: "marking" });

struct Component;

impl Guest for Component {
    fn mark(folder: String, name: u64, ms: u64) -> Result<u64, String> {
        let make = |number: u32, what: &str| {
            let path = format!("{folder}/{name}.{number}.{what}");
            OpenOptions::new().write(true).create_new(true).open(path)
        };
        let mut number = 0;
        loop {
            match make(number, "begun") {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error.to_string()),
            }
        }
        std::thread::sleep(Duration::from_millis(ms));
        make(number, "ended").map_err(|error| error.to_string())?;
        Ok(name)
    }

    fn echo_after(ms: u64, number: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(ms));
        number
    }
}

export!(Component);
