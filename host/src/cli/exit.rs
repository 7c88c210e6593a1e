//! Exit codes. They are public: scripts rely on them.

use std::process::ExitCode;

/// How the command ended, for the shell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Succeeded = 0,
    /// flowhost itself could not go on.
    Internal = 1,
    /// Wrong usage, or an invalid workflow.
    Usage = 2,
    /// The run failed: a task or group did not succeed.
    RunFailed = 100,
    /// An executor could not be reached.
    Unreachable = 102,
    /// Stopped by SIGHUP.
    Hangup = 129,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
