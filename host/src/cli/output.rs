//! Standard output belongs to results, standard error to everything else. A stream that is closed
//! is an error, not a panic.

use std::io::{self, Write};

use super::exit::Exit;
use crate::report::harmless;

/// Writes a result to standard output.
pub(super) fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Ends a command whose work is what it writes. Who closes the stream early, as `head` does, has seen
/// enough.
pub(super) fn told(text: &str) -> Exit {
    match result(text) {
        Ok(()) => Exit::Succeeded,
        Err(failure) if failure.kind() == io::ErrorKind::BrokenPipe => Exit::Succeeded,
        Err(failure) => stdout_failed(&failure),
    }
}

/// Results that cannot be handed over are lost, whatever the tasks did.
pub(super) fn stdout_failed(failure: &io::Error) -> Exit {
    say(&format!("error: results cannot be written to standard output: {failure}"));
    Exit::Internal
}

/// Says something on standard error, in a form that no terminal obeys: names and reasons may come
/// from others. Nobody can be told when it is closed.
pub(super) fn say(text: &str) {
    let mut err = io::stderr().lock();
    let text = harmless(text);
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.write_all(b"\n"));
}

/// Says why the command ends here: `error: …`, with every cause.
pub(super) fn error(error: &dyn std::error::Error) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some messages hold their cause already.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    say(&text);
}
