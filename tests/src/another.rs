//! A flowhost of another protocol, which tests find under another name.

use std::env;
use std::io::Write;
use std::io::stderr;
use std::path::Path;
use std::process::ExitCode;

use flowhost::runtime::ENGINE;
use flowhost::wire::{Hello, PROTOCOL, Receiver, greet};
use flowhost::worker::standard;

/// What it is called.
pub const ANOTHER: &str = "flowhost-of-another-protocol";

/// Its version.
pub const ANOTHERS_VERSION: &str = "77.0.0";

/// Whether it is what was started, by a link of its name.
#[must_use]
pub fn is_another() -> bool {
    env::args_os().next().is_some_and(|name| Path::new(&name).file_name() == Some(ANOTHER.as_ref()))
}

/// Meets whoever starts it as a worker, as every version does, and ends with that, since it fits nobody.
#[must_use]
pub fn another() -> ExitCode {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let met = threads.block_on(async {
        let (stdin, stdout) = standard().unwrap();
        let flowhost = ANOTHERS_VERSION.to_owned();
        let ours = Hello { protocol: PROTOCOL + 1, flowhost, ..Hello::of(ENGINE) };
        greet(Receiver::new(stdin), stdout, &ours).await
    });
    match met {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // Who started it may be gone.
            let _ = writeln!(stderr(), "error: {error}");
            ExitCode::from(102)
        }
    }
}
