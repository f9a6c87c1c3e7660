//! What can go wrong in the browser's storage, in words for the person in front of it.

use std::fmt;

/// Why a storage operation did not succeed. `Display` says what was wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The browser gives this origin no more room. Nothing of the refused commit counts as saved.
    Quota {
        /// The operation that found no room.
        what: String,
    },
    /// Another tab holds an older or newer form of the database open and does not let go.
    Blocked,
    /// The browser closed the store under us: site data was cleared, or another tab removed the database.
    Closed {
        /// What was found closed.
        what: String,
    },
    /// Stored bytes cannot be what was saved, and no other copy can stand in for them.
    Damaged {
        /// Which copy, where in it, and what does not fit.
        what: String,
    },
    /// Something that the store needs does not exist in this browser or on this page.
    Unavailable {
        /// What is missing, and why that may be.
        what: String,
    },
    /// Another tab, or a worker that is just ending, holds this log open for writing.
    HeldElsewhere,
    /// A commit failed before: the store takes no further one until it is opened again.
    Stopped,
    /// One commit carries more than [`COMMIT_BYTES_MAX`](super::COMMIT_BYTES_MAX).
    CommitTooLarge {
        /// Bytes of log, run and files in the refused commit.
        bytes: u64,
    },
    /// A commit asks to cut the log behind its end.
    CutBehindEnd {
        /// Where the commit wanted to cut.
        cut_to: u64,
        /// Where the log ends.
        log_bytes: u64,
    },
    /// A log's name must be 1 to 40 lower-case letters, digits or hyphens.
    BadName {
        /// The refused name.
        name: String,
    },
    /// The log was cut or reset while it was read; what was read so far may be gone.
    Changed,
    /// The browser answered with an error of another kind.
    Failed {
        /// The operation and the browser's own words.
        what: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Quota { what } => write!(
                f,
                "The browser has no more room for this site ({what}). What was saved before is safe. \
                 Export the log, free space on the disk or reset the run, then go on."
            ),
            StoreError::Blocked => write!(
                f,
                "The database is held open by another tab with another version of this page. \
                 Close the other tabs of this site and load the page again."
            ),
            StoreError::Closed { what } => write!(
                f,
                "The browser closed the storage of this page ({what}); site data may have been cleared. \
                 Load the page again to see what is left."
            ),
            StoreError::Damaged { what } => write!(
                f,
                "The stored log is damaged: {what}. Nothing was changed. \
                 Reset starts anew; a log exported before can be imported then."
            ),
            StoreError::Unavailable { what } => write!(
                f,
                "This page cannot save anything here: {what}. \
                 Open it over https or on localhost, in a current browser and not in a private window."
            ),
            StoreError::HeldElsewhere => {
                write!(f, "Another tab writes this log. Close it to go on here, or look on.")
            }
            StoreError::Stopped => write!(
                f,
                "An earlier write failed, so nothing more is written. Load the page again: it goes on from what was saved."
            ),
            StoreError::CommitTooLarge { bytes } => write!(
                f,
                "{bytes} bytes are too many for one commit; at most {} are taken at once.",
                super::COMMIT_BYTES_MAX
            ),
            StoreError::CutBehindEnd { cut_to, log_bytes } => {
                write!(f, "The log cannot be cut at byte {cut_to}: it ends at byte {log_bytes}.")
            }
            StoreError::BadName { name } => write!(
                f,
                "\"{name}\" cannot name a log: 1 to 40 lower-case letters, digits or hyphens are needed."
            ),
            StoreError::Changed => {
                write!(f, "The log was cut or reset while it was read. Read it again from its start.")
            }
            StoreError::Failed { what } => {
                write!(f, "The browser's storage failed: {what}. Load the page again to see what is saved.")
            }
        }
    }
}

impl std::error::Error for StoreError {}
