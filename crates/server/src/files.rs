//! A log in files: one directory, one writer, every append on the disk before it is reported.
//!
//! A data directory holds the log's segments, `{first sequence, 20 digits}.wlog`, and `lock`, which the one process
//! that writes holds.
//!
//! - [`FileJournal::open`] takes the lock, brings the log back, cuts the torn tail of an interrupted append and reports
//!   it, and refuses anything else that is wrong, by file, byte and record.
//! - [`FileJournal::append`] writes and syncs. The first failure is final: what the page cache holds afterwards is
//!   anybody's guess, so the way on is to open the directory again.
//! - [`Driver`] runs a pipeline on the caller's thread and the journal on another, so that some batches are synced
//!   while the next are executed.
//!
//! Invariants, as absences: no byte below the log's durable mark is ever cut or overwritten; nothing is reported as
//! durable before a sync that covers it returned; no second process writes; no append follows a failed one.

mod directory;
mod driver;
mod error;
mod file_journal;

pub use directory::{DirectoryLock, Segment, place_segment, segment_name, segments, sync_directory};
pub use driver::{Driver, DriverOpened};
pub use error::FilesError;
pub use file_journal::{Cut, FileJournal, Opened, new_id};

#[cfg(test)]
mod tests;
