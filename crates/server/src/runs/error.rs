//! What can be wrong with runs.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A run does not say what was written into it, or cannot be read. What it would have answered is unknown; remove it
/// (`forget`), and it is made again from the log when the directory is opened the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDamaged {
    /// The file.
    pub path: PathBuf,
    /// Where in the file: the first byte of what was checked.
    pub at_byte: u64,
    /// What is wrong there.
    pub what: String,
}

impl RunDamaged {
    pub(super) fn new(path: &Path, at_byte: u64, what: impl Into<String>) -> RunDamaged {
        RunDamaged { path: path.to_owned(), at_byte, what: what.into() }
    }
}

impl fmt::Display for RunDamaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunDamaged { path, at_byte, what } = self;
        write!(
            f,
            "{}: byte {at_byte}: {what}; the file is derived from the log and can be removed",
            path.display()
        )
    }
}

impl Error for RunDamaged {}

/// A run that is not used, and was removed: it is to be made again from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The file that was removed.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; it is removed and made again from the log", self.path.display(), self.why)
    }
}

/// Why runs cannot be opened, added or merged.
#[derive(Debug)]
pub enum RunsError {
    /// The system refused an operation.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was to be done with it, as in "cannot read it".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A run that is needed for it is damaged.
    Damaged(RunDamaged),
}

impl RunsError {
    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> RunsError {
        RunsError::Io { path: path.to_owned(), doing, source }
    }
}

impl From<RunDamaged> for RunsError {
    fn from(damaged: RunDamaged) -> RunsError {
        RunsError::Damaged(damaged)
    }
}

impl fmt::Display for RunsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunsError::Io { path, doing, source } => {
                write!(f, "{}: cannot {doing}: {source}", path.display())
            }
            RunsError::Damaged(damaged) => damaged.fmt(f),
        }
    }
}

impl Error for RunsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RunsError::Io { source, .. } => Some(source),
            RunsError::Damaged(damaged) => Some(damaged),
        }
    }
}
