//! How a subcommand ends, and how it prints.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use server::files::FilesError;

/// How a subcommand ended that could do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Fine,
    /// Something is wrong, and has been printed.
    Finding,
}

/// Why a subcommand ended early. The text goes to standard error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is wrong with what was read or made.
    Finding(String),
    /// The command cannot be carried out as it is.
    Usage(String),
    /// Nobody reads standard output any more.
    ClosedPipe,
}

/// What every subcommand returns.
pub(crate) type Outcome = Result<Verdict, Failure>;

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Failure {
        match error {
            FilesError::Refused { .. } | FilesError::Segment { .. } | FilesError::Poisoned { .. } => {
                Failure::Finding(error.to_string())
            }
            FilesError::Locked { .. } | FilesError::Io { .. } | FilesError::Config(_) => {
                Failure::Usage(error.to_string())
            }
        }
    }
}

impl Failure {
    /// A file that cannot be read.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
        Failure::Usage(format!("{}: cannot read it: {error}", path.display()))
    }
}

/// Writes text to standard output, and makes sure that it is out.
pub(crate) fn print(text: &dyn Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| not_printed(&error))
}

/// Writes a value to standard output as JSON over several lines.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).expect("our values have texts as keys");
    text.push('\n');
    print(&text)
}

/// Standard output did not take what was written.
pub(crate) fn not_printed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::ClosedPipe
    } else {
        Failure::Usage(format!("standard output: cannot write to it: {error}"))
    }
}
