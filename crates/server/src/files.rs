//! A log in files: one directory, one writer, every append on the disk before it is reported.
//!
//! A data directory holds a log, and `lock`, which the one process that writes holds. The log is either segments in the
//! binary form, `{first sequence, 20 digits}.wlog`, or one text in the JSON Lines form, `events.log`; never both.
//!
//! - [`FileJournal::open`] takes the lock, brings the log back, cuts the torn tail of an interrupted append and reports
//!   it, and refuses anything else that is wrong, by file, byte and record.
//! - [`FileJournal::append`] writes and syncs. The first failure is final: what the page cache holds afterwards is
//!   anybody's guess, so the way on is to open the directory again.
//! - [`Driver`] runs a pipeline on the caller's thread and the journal on another, so that some batches are synced
//!   while the next are executed.
//! - [`LogShared`] and [`LogLines`] read the durable log as JSON Lines, whatever its form, while the driver goes on.
//!
//! Invariants, as absences: no byte below the log's durable mark is ever cut or overwritten; nothing is reported as
//! durable before a sync that covers it returned; no second process writes; no append follows a failed one; no reader
//! sees a byte that is not durable, or a record that the read models lack; no reader holds more of the log in memory
//! than a piece of it, and the index of the log does not grow with the log beyond a limit.

mod directory;
mod driver;
mod durability;
mod error;
mod file_journal;
mod log_lines;
mod log_shared;
mod memory_log;
mod prepare;
mod read_end;
mod record_reader;
mod text_log;
mod windowed;
mod writer;

pub use directory::{DirectoryLock, Segment, place_segment, segment_name, segments, sync_directory};
pub use driver::{Closed, Driver, DriverOpened, DriverOptions, JournalStats, SEGMENT_BYTES};
pub use durability::Durability;
pub use error::FilesError;
pub use file_journal::{Cut, FileJournal, Opened, new_id};
pub use log_lines::{LogLine, LogLines};
pub use log_shared::{Durable, LogShared};
pub use read_end::{OwnReads, ReadBegin, ReadEnd};
pub(crate) use record_reader::{RecordReader, Wanted};
pub use text_log::text_log_path;
pub(crate) use windowed::WindowOptions;
pub use writer::Wake;

/// The form in which a data directory holds its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Segments in the binary form, `*.wlog`.
    #[default]
    Binary,
    /// One text in the JSON Lines form, `events.log`.
    JsonLines,
}

#[cfg(test)]
mod tests;
