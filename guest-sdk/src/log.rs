//! Lines for the people who watch the run. Lines beyond the attempt's `limits.log` are cut by the
//! host; what a guest prints to stdout and stderr is shown as well, at level info.

pub use crate::bindings::flowhost::task::log::Level;
use crate::host;

/// Writes one line. The macros [`trace!`](crate::trace), [`debug!`](crate::debug),
/// [`info!`](crate::info), [`warn!`](crate::warn) and [`error!`](crate::error) format it as well.
pub fn log(level: Level, message: &str) {
    host::log(level, message);
}

/// Writes a line of interest to the guest's author, formatted as by `format!`.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::log::log($crate::log::Level::Trace, &::std::format!($($line)+)) };
}

/// Writes a line of interest when something is wrong, formatted as by `format!`.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log::log($crate::log::Level::Debug, &::std::format!($($line)+)) };
}

/// Writes a line of general interest, formatted as by `format!`.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log::log($crate::log::Level::Info, &::std::format!($($line)+)) };
}

/// Writes a line for when something may be wrong, formatted as by `format!`.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log::log($crate::log::Level::Warn, &::std::format!($($line)+)) };
}

/// Writes a line for when something is wrong, formatted as by `format!`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log::log($crate::log::Level::Error, &::std::format!($($line)+)) };
}
