//! Ways to leave, by the codes of sysexits.h.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// In order, or asked for help: 0.
    Ended,
    /// The command line is wrong: 64.
    Usage,
    /// A part failed over and over, and supervision gave up: 70.
    Escalated,
    /// Not everything was delivered, within `shutdown.grace` or by a replay: 75.
    DrainIncomplete,
    /// The configuration is wrong, or what it names cannot be used: 78.
    Config,
}

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ended => 0,
            Self::Usage => 64,
            Self::Escalated => 70,
            Self::DrainIncomplete => 75,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
