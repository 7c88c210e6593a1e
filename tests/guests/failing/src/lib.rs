//! Fails, traps, and uses more than it should, as it is asked to.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:failing/failing",
    generate_all,
});

use exports::example::failing::ways::{Failure, Guest, Problem, Reason};
use flowhost::task::context;

const MIB: usize = 1 << 20;

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Component;

impl Guest for Component {
    fn fail(message: String) -> Result<String, String> {
        Err(message)
    }

    fn fail_record(code: u32, message: String) -> Result<u32, Problem> {
        Err(Problem { code, message, details: vec!["first".to_owned(), "second".to_owned()] })
    }

    fn fail_enum() -> Result<(), Reason> {
        Err(Reason::TooLarge)
    }

    fn fail_bare() -> Result<(), ()> {
        Err(())
    }

    fn fail_long(bytes: u64) -> Result<String, String> {
        Err("x".repeat(bytes as usize))
    }

    fn fail_retryable(message: String) -> Result<String, Failure> {
        Err(Failure::Retryable(message))
    }

    fn fail_permanent(message: String) -> Result<String, Failure> {
        Err(Failure::Permanent(message))
    }

    fn flaky(until_attempt: u32) -> Result<u32, Failure> {
        let attempt = context::current().attempt;
        if attempt < until_attempt {
            return Err(Failure::Retryable(format!("attempt {attempt} of {until_attempt}")));
        }
        Ok(attempt)
    }

    fn fail_odd(number: u64) -> Result<u64, String> {
        if number % 2 == 1 { Err(format!("{number} is odd")) } else { Ok(number) }
    }

    fn trap() {
        #[cfg(target_family = "wasm")]
        core::arch::wasm32::unreachable()
    }

    fn panic(message: String) {
        panic!("{message}")
    }

    fn divide_by_zero(number: u32) -> u32 {
        number / black_box(0)
    }

    fn exit(code: u8) {
        std::process::exit(code.into())
    }

    fn overflow_stack() -> u64 {
        deeper(0)
    }

    fn overflow_memory_stack() -> u64 {
        deeper_in_memory(0)
    }

    fn take_memory(bytes: u64) -> u64 {
        let mut taken = vec![0_u8; bytes as usize];
        for byte in taken.iter_mut().step_by(4096) {
            *byte = 1;
        }
        black_box(&taken).len() as u64
    }

    fn out_of_memory() {
        let mut taken = Vec::new();
        loop {
            taken.push(vec![1_u8; MIB]);
            black_box(&taken);
        }
    }

    fn refused_memory() -> u64 {
        let mut taken: Vec<Vec<u8>> = Vec::with_capacity(4096);
        loop {
            let mut piece = Vec::new();
            if taken.len() == taken.capacity() || piece.try_reserve_exact(MIB).is_err() {
                return (taken.len() * MIB) as u64;
            }
            taken.push(piece);
        }
    }

    fn big_output(bytes: u64) -> Vec<u8> {
        vec![b'x'; bytes as usize]
    }

    fn big_string(bytes: u64) -> String {
        "x".repeat(bytes as usize)
    }

    fn big_list(length: u64) -> Vec<String> {
        vec!["x".to_owned(); length as usize]
    }

    fn spin() {
        loop {
            black_box(0);
        }
    }

    fn sleep(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn trap_after(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
        Self::trap();
    }

    fn wait_for_cancel(ms: u64) -> bool {
        let end = Instant::now() + Duration::from_millis(ms);
        while !context::cancelled() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn time_left() -> Option<u64> {
        context::time_left().map(|nanoseconds| nanoseconds / 1_000_000)
    }

    fn place() -> (String, String, Option<String>, u64, u64, u32) {
        let place = context::current();
        (place.run, place.task, place.group, place.index, place.count, place.attempt)
    }

    fn calls_before() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed)
    }
}

/// Cannot become a loop: something remains to be done after the inner call.
fn deeper(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { 0 } else { black_box(deeper(depth + 1)) ^ depth }
}

/// The same with frames that are larger in linear memory than on the host's stack.
fn deeper_in_memory(depth: u64) -> u64 {
    let here = black_box([depth; 64]);
    if here[3] == u64::MAX { 0 } else { deeper_in_memory(depth + 1) ^ black_box(here)[7] }
}

export!(Component);
