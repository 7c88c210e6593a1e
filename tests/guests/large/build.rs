//! Generates what makes the guest large: thousands of functions, none like another, and a table of
//! bytes that no compiler can shrink.

use std::fmt::Write as _;
use std::{env, fs, io, path::Path};

/// Functions.
const STEPS: u32 = 3000;

/// Bytes of the table.
const TABLE: usize = 12 << 20;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    let out = Path::new(&out);

    let mut steps = String::from("pub static STEPS: &[fn(u64) -> u64] = &[\n");
    for number in 0..STEPS {
        let odd = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (by, shift) = (number % 63 + 1, number % 31 + 1);
        let _ = writeln!(
            steps,
            "    |x| (x ^ {odd}).rotate_left({by}).wrapping_mul({odd}) ^ x >> {shift}, // {number}"
        );
    }
    steps.push_str("];\n");
    fs::write(out.join("steps.rs"), steps)?;

    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let table: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(TABLE)
    .collect();
    fs::write(out.join("table.bin"), table)
}
