//! What can go wrong with a data directory.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use pipeline::{ConfigError, RecoveryError, ReplayError};

/// Why a data directory cannot be used, or cannot be used any longer. Each names the file and says what to do.
#[derive(Debug)]
pub enum FilesError {
    /// Another process writes to the directory.
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The system refused an operation.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was to be done with it, as in "cannot read it".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The log is damaged where no interrupted append can have damaged it, or says what cannot be.
    Refused {
        /// The segment.
        path: PathBuf,
        /// The first byte of the bad frame in this file.
        at_byte: u64,
        /// The record that is bad, or the next one expected.
        sequence: u64,
        /// What is wrong.
        error: Box<RecoveryError>,
    },
    /// A segment is missing, a file has a name that its content does not fit, the directory holds a log in another form, or
    /// the text of a log in the JSON Lines form is refused (by line, byte and record).
    Segment {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An append failed before; nothing more is accepted.
    Poisoned {
        /// The segment.
        path: PathBuf,
    },
    /// A limit of the pipeline that cannot work.
    Config(ConfigError),
}

impl FilesError {
    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> FilesError {
        FilesError::Io { path: path.to_owned(), doing, source }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilesError::Locked { directory } => write!(
                f,
                "{}: another process is writing to this data directory; wait for it or stop it \
                 (reading needs no lock: replay, verify and export work meanwhile)",
                directory.display()
            ),
            FilesError::Io { path, doing, source } => {
                write!(f, "{}: cannot {doing}: {source}", path.display())
            }
            FilesError::Refused { path, at_byte, sequence, error } => {
                write!(f, "{}: byte {at_byte}, record {sequence}: {error}", path.display())
            }
            FilesError::Segment { path, what } => write!(f, "{}: {what}", path.display()),
            FilesError::Poisoned { path } => write!(
                f,
                "{}: an append failed before, so nothing more is written; open the data directory again",
                path.display()
            ),
            FilesError::Config(error) => error.fmt(f),
        }
    }
}

impl Error for FilesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            FilesError::Io { source, .. } => Some(source),
            FilesError::Refused { error, .. } => Some(error.as_ref()),
            FilesError::Config(error) => Some(error),
            FilesError::Locked { .. } | FilesError::Segment { .. } | FilesError::Poisoned { .. } => None,
        }
    }
}

/// Where in the log an error points: the byte, counted over all segments, and the record.
pub(super) fn place(error: &RecoveryError) -> (u64, u64) {
    match error {
        RecoveryError::Corrupt(corrupt) => (corrupt.damage.at_byte, corrupt.damage.sequence),
        RecoveryError::Replay(ReplayError::Damage(damage)) => (damage.at_byte, damage.sequence),
        RecoveryError::Replay(
            ReplayError::Unreadable { at_byte, sequence, .. }
            | ReplayError::Inconsistent { at_byte, sequence, .. }
            | ReplayError::RepeatedId { at_byte, sequence, .. },
        ) => (*at_byte, *sequence),
    }
}
