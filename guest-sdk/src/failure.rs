//! Why a task did not succeed, and how other errors become that. Knows nothing of the host: a
//! failure is a value that the guest returns.

use std::error::Error;
use std::fmt;
use std::io;

pub use crate::bindings::flowhost::task::types::Failure;

impl Failure {
    /// A failure that another attempt may not meet: a busy service, a lost connection. The task's
    /// `retry` decides whether there is another attempt.
    #[must_use]
    pub fn retryable(message: impl fmt::Display) -> Self {
        Self::Retryable(message.to_string())
    }

    /// A failure that another attempt would meet again: bad input, a missing file. The task is not
    /// retried.
    #[must_use]
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::Permanent(message.to_string())
    }

    /// What the guest says of it.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Retryable(message) | Self::Permanent(message) => message,
        }
    }

    /// Whether another attempt would fail the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Retryable(_) => false,
            Self::Permanent(_) => true,
        }
    }

    /// Says first what was being done: `context: message`.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        match self {
            Self::Retryable(message) => Self::Retryable(format!("{context}: {message}")),
            Self::Permanent(message) => Self::Permanent(format!("{context}: {message}")),
        }
    }
}

/// The message alone.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl Error for Failure {}

/// Permanent where the cause is in what was asked for: not found, permission denied, not (or
/// unexpectedly) a directory, invalid input or data, unsupported. Every other error is retryable.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let message = chain(&error);
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::Unsupported => Self::Permanent(message),
            _ => Self::Retryable(message),
        }
    }
}

/// Turns the error of a `Result` into a [`Failure`], so that `?` can return it. The message is the
/// error's own, followed by those of its sources.
pub trait OrFail<T> {
    /// An error becomes [`Failure::Retryable`].
    ///
    /// # Errors
    /// Fails when `self` is an error.
    fn or_retryable(self) -> Result<T, Failure>;

    /// An error becomes [`Failure::Permanent`].
    ///
    /// # Errors
    /// Fails when `self` is an error.
    fn or_permanent(self) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_retryable(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Retryable(chain(&*error.into())))
    }

    fn or_permanent(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Permanent(chain(&*error.into())))
    }
}

/// The messages of an error and its sources. Some errors repeat their source in their own message;
/// such a source is left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("line 3")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn constructors_say_whether_another_attempt_helps() {
        let busy = Failure::retryable("the service is busy");
        assert!(!busy.is_permanent());
        assert_eq!(busy.message(), "the service is busy");
        let bad = Failure::permanent(format_args!("tile {} is outside", 96));
        assert_eq!(bad, Failure::Permanent("tile 96 is outside".to_owned()));
        assert_eq!(bad.to_string(), "tile 96 is outside");
    }

    #[test]
    fn context_keeps_the_kind() {
        assert_eq!(
            Failure::retryable("busy").context("fetching"),
            Failure::Retryable("fetching: busy".to_owned())
        );
        assert_eq!(
            Failure::permanent("gone").context("fetching"),
            Failure::Permanent("fetching: gone".to_owned())
        );
    }

    #[test]
    fn io_errors_are_permanent_where_the_request_is_at_fault() {
        let read = || -> Result<Vec<u8>, Failure> { Ok(std::fs::read("no/such/file")?) };
        assert!(read().unwrap_err().is_permanent());
        let reset = Failure::from(io::Error::new(io::ErrorKind::ConnectionReset, "the peer went away"));
        assert_eq!(reset, Failure::Retryable("the peer went away".to_owned()));
    }

    #[test]
    fn a_failure_tells_the_sources_once() {
        let parse = "x".parse::<u8>().unwrap_err();
        let expected = format!("line 3: {parse}");
        assert_eq!(Err::<(), _>(Outer(parse)).or_permanent(), Err(Failure::Permanent(expected)));
        assert_eq!(Err::<(), _>("plain").or_retryable(), Err(Failure::Retryable("plain".to_owned())));
        let wrapped = io::Error::other("x".parse::<u8>().unwrap_err());
        let text = wrapped.to_string();
        assert_eq!(Err::<(), _>(wrapped).or_permanent(), Err(Failure::Permanent(text)));
    }
}
