//! Says things in every way that there is.

use std::io::{self, Write};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:talkative/talkative",
    generate_all,
});

use exports::example::talkative::speech::Guest;
use flowhost::task::{log, progress};
use wasi::logging::logging;

struct Component;

impl Guest for Component {
    fn stdout(text: String) {
        write(io::stdout(), text.as_bytes());
    }

    fn stdout_bytes(bytes: Vec<u8>) {
        write(io::stdout(), &bytes);
    }

    fn stderr(text: String) {
        write(io::stderr(), text.as_bytes());
    }

    fn stdout_in_pieces(bytes: Vec<u8>) {
        for byte in bytes {
            write(io::stdout(), &[byte]);
        }
    }

    fn both(n: u32) {
        for line in 0..n {
            println!("out {line}");
            eprintln!("err {line}");
        }
    }

    fn lines(n: u64) {
        let mut out = io::stdout().lock();
        for line in 0..n {
            writeln!(out, "line {line}").expect("stdout takes lines");
        }
    }

    fn long_line(bytes: u64) {
        let piece = [b'x'; 4096];
        let mut left = bytes as usize;
        while left > 0 {
            let size = left.min(piece.len());
            write(io::stdout(), &piece[..size]);
            left -= size;
        }
        println!();
    }

    fn empty_writes(n: u64) {
        // The standard library keeps empty writes to itself.
        let stdout = wasi::cli::stdout::get_stdout();
        for _ in 0..n {
            stdout.check_write().expect("stdout is open");
            stdout.write(b"").expect("stdout takes nothing");
        }
    }

    fn levels() {
        for (level, name) in [
            (log::Level::Trace, "trace"),
            (log::Level::Debug, "debug"),
            (log::Level::Info, "info"),
            (log::Level::Warn, "warn"),
            (log::Level::Error, "error"),
        ] {
            log::log(level, name);
        }
    }

    fn wasi_levels() {
        for (level, name) in [
            (logging::Level::Trace, "trace"),
            (logging::Level::Debug, "debug"),
            (logging::Level::Info, "info"),
            (logging::Level::Warn, "warn"),
            (logging::Level::Error, "error"),
            (logging::Level::Critical, "critical"),
        ] {
            logging::log(level, "talkative", name);
        }
    }

    fn log(message: String) {
        log::log(log::Level::Info, &message);
    }

    fn log_lines(n: u64) {
        for line in 0..n {
            log::log(log::Level::Info, &format!("line {line}"));
        }
    }

    fn escapes() {
        let lines = [
            "\x1b[31mred\x1b[0m",
            "\x1b[2J\x1b[Hcleared",
            "\x1b]0;renamed\x07",
            "before\rafter",
            "\u{9b}31mC1",
            "bell\x07 backspace\x08 nul\0",
            "\u{202e}backwards\u{202c}",
        ];
        for line in lines {
            println!("{line}");
            log::log(log::Level::Warn, line);
        }
        log::log(log::Level::Info, "one\nother[9] forged");
    }

    fn count(n: u64) {
        for step in 1..=n {
            progress::report(step, Some(n), Some(&format!("step {step}")));
        }
    }

    fn report(done: u64, total: Option<u64>, message: Option<String>) {
        progress::report(done, total, message.as_deref());
    }

    fn last_words() {
        println!("to stdout");
        eprintln!("to stderr");
        log::log(log::Level::Error, "to the log");
        panic!("and then it panicked");
    }
}

fn write(mut stream: impl Write, bytes: &[u8]) {
    stream.write_all(bytes).expect("the stream takes bytes");
    stream.flush().expect("the stream can be flushed");
}

export!(Component);
