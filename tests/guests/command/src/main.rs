//! A `wasi:cli/run` command that tells what it was given.
//!
//! Without arguments it copies stdin to stdout. Otherwise the first argument says what it does:
//! `args` prints the others, a line each; `env` prints the environment, a line each, in order;
//! `exit N` prints a line to stdout and one to stderr and exits with code N; `panic` panics; `fail`
//! returns an error from `main`; `write N` writes N bytes to stdout; `loop` never ends.

use std::io::{self, Read, Write};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => {
            let mut input = Vec::new();
            io::stdin().read_to_end(&mut input)?;
            io::stdout().write_all(&input)?;
        }
        Some("args") => {
            for argument in args {
                println!("{argument}");
            }
        }
        Some("env") => {
            let mut variables: Vec<_> = std::env::vars().collect();
            variables.sort();
            for (name, value) in variables {
                println!("{name}={value}");
            }
        }
        Some("exit") => {
            let code: u8 = args.next().ok_or("exit needs a code")?.parse()?;
            println!("leaving with {code}");
            eprintln!("code {code}");
            return Ok(ExitCode::from(code));
        }
        Some("panic") => panic!("asked to panic"),
        Some("fail") => return Err("asked to fail".into()),
        Some("write") => {
            let mut left: usize = args.next().ok_or("write needs a size")?.parse()?;
            let piece = [b'x'; 4096];
            while left > 0 {
                let size = left.min(piece.len());
                io::stdout().write_all(&piece[..size])?;
                left -= size;
            }
        }
        Some("loop") => loop {
            std::hint::spin_loop();
        },
        Some(other) => return Err(format!("`{other}` is nothing this command does").into()),
    }
    io::stdout().flush()?;
    Ok(ExitCode::SUCCESS)
}
