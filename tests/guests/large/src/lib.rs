//! A component as large as those that hold a language's runtime: many functions, reached through a
//! table, and megabytes of data.

wit_bindgen::generate!({ world: "large" });

include!(concat!(env!("OUT_DIR"), "/steps.rs"));

static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/table.bin"));

struct Component;

impl Guest for Component {
    fn size() -> (u32, u32) {
        (STEPS.len() as u32, TABLE.len() as u32)
    }

    fn walk(start: u64, steps: Vec<u32>) -> Result<u64, String> {
        steps.into_iter().try_fold(start, |value, number| {
            let step = STEPS.get(number as usize).ok_or_else(|| format!("there is no step {number}"))?;
            Ok(step(value))
        })
    }

    fn sum() -> u64 {
        TABLE.iter().map(|byte| u64::from(*byte)).sum()
    }
}

export!(Component);
