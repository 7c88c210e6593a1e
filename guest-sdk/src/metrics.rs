//! Figures that a task reports beside its result: a price, tokens, bytes. They are summed for each
//! attempt, task, group and the run; those of attempts that did not succeed do not count. A
//! deterministic task may report them too.

pub use crate::bindings::flowhost::task::metrics::Error;
use crate::host;

/// Adds `amount`, which may be negative, to the attempt's figure of this name: 1 to 64 ASCII letters,
/// digits, `-`, `_`, `.` and `/`, which by convention end in the unit.
///
/// ```
/// # use flowhost_guest::metrics;
/// metrics::add("tokens", 1_250.0)?;
/// metrics::add("price-usd", 0.0025)?;
/// # Ok::<(), metrics::Error>(())
/// ```
///
/// # Errors
/// Fails when the name is no such name, when the amount or the sum is not finite, or when the attempt has
/// figures of 32 other names.
pub fn add(name: &str, amount: f64) -> Result<(), Error> {
    host::add(name, amount)
}

impl Error {
    /// What went wrong, in words.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::InvalidName => "the name is not 1 to 64 letters, digits, `-`, `_`, `.` and `/`",
            Self::NotFinite => "the amount, or the sum, is not finite",
            Self::TooManyNames => "the attempt has figures of 32 other names",
        }
    }
}

/// Permanent: another attempt would report the same.
impl From<Error> for crate::Failure {
    fn from(error: Error) -> Self {
        Self::Permanent(format!("metrics: {}", error.describe()))
    }
}
