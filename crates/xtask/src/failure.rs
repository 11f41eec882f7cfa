//! How a command ends: an exit status and a sentence for the developer. Nothing here is caught and handled, so one type
//! does.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// The exit statuses of every command, the same as those of `plumb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Check = 1,
    Usage = 2,
    Environment = 3,
}

/// Why a command did not end well. The message is lower case and says what to do where the developer can act.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Exit {
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Check => "a check failed",
            Self::Usage => "usage",
            Self::Environment => "environment",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Failure {
    /// Something that was run said no: a test, a lint, a build, a benchmark.
    pub(crate) fn check(message: impl Into<String>) -> Self {
        Self { exit: Exit::Check, message: message.into() }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// A tool, a library, the network or the disk is not as it must be.
    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self { exit: Exit::Environment, message: message.into() }
    }

    /// `doing` is a present participle: "creating", "reading".
    pub(crate) fn io(doing: &str, path: &Path, source: &std::io::Error) -> Self {
        Self::environment(format!("{doing} `{}`: {source}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
