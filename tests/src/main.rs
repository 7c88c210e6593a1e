//! The command as the tests run it: built together with them, so that it is never an older one. Under the name
//! of [`flowhost_tests::ANOTHER`] it is one of another protocol.

use std::process::ExitCode;

fn main() -> ExitCode {
    match flowhost_tests::is_another() {
        true => flowhost_tests::another(),
        false => flowhost::cli::main(),
    }
}
