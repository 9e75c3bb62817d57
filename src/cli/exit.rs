//! Exit codes, and the error for wrong usage.

use std::process::ExitCode;

use super::engine::{StopSignal, Stopped};

/// How a command ends. `2` is for what was asked wrongly: nothing was contacted then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, or not all.
    Error = 1,
    /// Wrong flag, value, file.
    Usage = 2,
    /// A workload differs (`scan --exit-code`).
    Drift = 3,
    /// A workload's Pods would be refused (`scan --exit-code`).
    Rejected = 4,
    /// Of a workload nothing can be said (`scan --exit-code`).
    Undetermined = 5,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// `Ok` if the command is done, else `Error`.
    pub(super) fn of(done: bool) -> Self {
        if done { Self::Ok } else { Self::Error }
    }

    /// The exit code of a command that a signal stopped.
    pub(super) fn by(stopped: Stopped) -> Self {
        match stopped.by {
            StopSignal::Interrupt => Self::Interrupted,
            StopSignal::Terminate => Self::Terminated,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The command line makes no sense; the text says what would.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);
