//! The command as the tests run it: built together with them, so that it is never an older one.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowhost::cli::main()
}
