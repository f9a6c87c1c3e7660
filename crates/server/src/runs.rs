//! Derived history on disk: ids and entries of the records that are no longer kept in memory.
//!
//! - [`IdRuns`] finds the byte in the log of the record that a transaction id belongs to.
//! - [`EntryRuns`] finds the entries of an account, and its balance right before a byte of the log.
//!
//! Both are a row of *runs*: immutable files, each for a dense range of records, each behind the one before it. A window
//! of records that memory gives up is added as one run; neighbours are merged on a thread of their own, so that there are
//! O(log n) runs. Everything is derived from the log: a run that is missing, damaged or of another log is named, removed,
//! and made again from the log by the caller. docs/LOG.md has the layouts.
//!
//! What memory they take: of ids 18 to 20 bits of filter and fences each, of entries 4 bytes for 255 accounts of a run;
//! while runs are merged, that of the merged run twice, and [`RunsConfig::merge_read_bytes`] for each run that is read.
//!
//! The caller holds the lock of the data directory: two processes never change the same runs.
//!
//! Invariants, as absences: no answer depends on a byte whose checksum was not looked at; no run that has a name is
//! incomplete or not durable; no run is changed after it has a name; nothing here writes to the log, or decides what is
//! true where the log says something else.

mod block;
mod config;
mod entries;
mod entry_file;
mod error;
mod fuse;
mod head;
mod id_file;
mod ids;
mod set;
mod writer;

pub use config::RunsConfig;
pub use entries::{EntryAt, EntryRunInput, EntryRuns, NewEntry};
pub use error::{Ignored, RunDamaged, RunsError};
pub use head::RunRange;
pub use ids::{IdRunInput, IdRuns};
pub use set::RunsStats;

#[cfg(test)]
mod tests;

/// A number of things in memory, or an index of one of them.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("what is in memory is counted by usize")
}

/// A little-endian field; the range has 8 bytes.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// A little-endian field; the range has 4 bytes.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
