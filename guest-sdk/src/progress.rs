//! How far the attempt has come, for the people who watch the run.

use crate::host;

/// Reports `done` units of work, of `total` where that is known, and what is being done.
///
/// Call it as often as is convenient: the host drops what comes faster than people can read and
/// keeps the last.
///
/// ```
/// # use flowhost_guest::progress;
/// progress::report(3, 10, "rows");
/// progress::report(3, None, None);
/// ```
pub fn report<'a>(done: u64, total: impl Into<Option<u64>>, message: impl Into<Option<&'a str>>) {
    host::report(done, total.into(), message.into());
}
