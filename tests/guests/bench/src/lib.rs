//! What benchmarks call.

use std::time::Duration;

wit_bindgen::generate!({ world: "bench" });

struct Component;

impl Guest for Component {
    fn noop(argument: Vec<u8>) -> Vec<u8> {
        argument
    }

    fn gather(parts: Vec<Vec<u8>>) -> u64 {
        parts.iter().map(|part| part.len() as u64).sum()
    }

    fn burn(iterations: u64) -> u64 {
        // xorshift: each round needs the one before, so no round can be left out.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..iterations {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        state
    }

    fn sleep(ms: u32) {
        std::thread::sleep(Duration::from_millis(ms.into()));
    }
}

export!(Component);
