//! From accounts to their old entries.

use std::path::Path;

use super::block::{BlockShape, CellReader};
use super::config::RunsConfig;
use super::entry_file::{EntryRun, EntryRunWriter, Slice};
use super::error::{Ignored, RunDamaged, RunsError};
use super::head::{Head, OWN_BYTES, RunRange};
use super::set::{Run, RunSet, RunsStats};

/// One side of a transfer, as it is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The account's number in the log.
    pub account: u32,
    /// Where its record begins in the log, in bytes over all its segments.
    pub at_byte: u64,
    /// The account's balance right after it, in minor units.
    pub balance_after: i64,
}

/// The entries of a range of records.
#[derive(Clone, Debug)]
pub struct EntryRunInput {
    /// The records.
    pub range: RunRange,
    /// Their entries in the order of the log. A record may have several entries of one account.
    pub entries: Vec<NewEntry>,
}

/// An entry of an account that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAt {
    /// Where its record begins in the log, in bytes over all its segments.
    pub at_byte: u64,
    /// The account's balance right after it, in minor units.
    pub balance_after: i64,
}

impl EntryAt {
    fn of((at_byte, balance): (u64, u64)) -> EntryAt {
        EntryAt { at_byte, balance_after: balance.cast_signed() }
    }
}

/// Where in the log the entries of each account are, for all records below [`EntryRuns::covered_before`], with the balance
/// after each.
///
/// A run in which an account has no entry costs one block to say so; a run in which it has some one or two more for what is
/// close to the end, and one for each doubling of its entries for what is not.
#[derive(Debug)]
pub struct EntryRuns {
    set: RunSet<EntryRun>,
    log_id: [u8; 16],
}

impl EntryRuns {
    /// Opens the runs of a directory, by the rules of [`IdRuns::open`](super::IdRuns::open). It keeps 4 bytes for each block
    /// of accounts.
    ///
    /// # Errors
    /// The system refuses to read or change the directory.
    ///
    /// # Panics
    /// If the settings cannot work.
    pub fn open(
        directory: &Path,
        log_id: [u8; 16],
        below: u64,
        config: &RunsConfig,
    ) -> Result<(EntryRuns, Vec<Ignored>), RunsError> {
        let (set, ignored) = RunSet::open(directory, log_id, below, config)?;
        Ok((EntryRuns { set, log_id }, ignored))
    }

    /// All records below this one are here; with the byte at which the next run begins. 0 and 0 if there is no run.
    #[must_use]
    pub fn covered_before(&self) -> (u64, u64) {
        self.set.covered_before()
    }

    /// Adds the run behind the last one: it is durable, and found in, when this returns. It takes one write of 16.1 bytes an
    /// entry and 16.1 an account, two syncs and a sort; after an error nothing has changed, and it can be tried again.
    ///
    /// # Errors
    /// The system refuses, as when the disk is full.
    ///
    /// # Panics
    /// If the records are not those that follow [`EntryRuns::covered_before`].
    pub fn add(&self, input: EntryRunInput) -> Result<(), RunsError> {
        let EntryRunInput { range, mut entries } = input;
        let path = self.set.path_for(range);
        // Entries of one account stay in the order of the log.
        entries.sort_by_key(|entry| entry.account);
        let config = self.set.config();
        let head = Head {
            log_id: self.log_id,
            range,
            count: entries.len() as u64,
            level: 0,
            shape: BlockShape::new(config.block_bytes),
            own: [0; OWN_BYTES],
        };
        let mut writer = EntryRunWriter::create(path, &head, config)?;
        for of_account in entries.chunk_by(|one, next| one.account == next.account) {
            debug_assert!(
                of_account.is_sorted_by_key(|entry| entry.at_byte),
                "entries come in the log's order"
            );
            let count = u32::try_from(of_account.len()).expect("a run has below 2^32 entries");
            writer.account(of_account[0].account, count)?;
        }
        for entry in &entries {
            writer.entry((entry.at_byte, entry.balance_after.cast_unsigned()))?;
        }
        let path = writer.finish(&head)?;
        self.set.publish(&path)
    }

    /// The newest entries of the account in records that begin below `at_byte`, the newest first: `limit` of them if there
    /// are so many. The last record is given whole, so there can be more, and the next page begins below its byte.
    ///
    /// # Errors
    /// A run that had to be read is damaged.
    pub fn older_than(&self, account: u32, at_byte: u64, limit: u32) -> Result<Vec<EntryAt>, RunDamaged> {
        let (mut found, limit) = (Vec::<EntryAt>::new(), limit as usize);
        let runs = self.set.runs();
        for run in runs.iter().rev() {
            if found.len() >= limit {
                break;
            }
            let Some(mut before) = self.before(run, account, at_byte)? else { continue };
            while before.count > 0 {
                let entry = EntryAt::of(before.reader.cell(before.first + before.count - 1)?);
                if found.len() >= limit && found.last().is_some_and(|last| last.at_byte != entry.at_byte) {
                    break;
                }
                found.push(entry);
                before.count -= 1;
            }
            self.set.count_blocks_read(before.reader.reads);
        }
        Ok(found)
    }

    /// The account's balance after its newest entry in a record that begins below `before_byte`; `None` if no run has one.
    ///
    /// # Errors
    /// A run that had to be read is damaged.
    pub fn balance_at(&self, account: u32, before_byte: u64) -> Result<Option<i64>, RunDamaged> {
        let runs = self.set.runs();
        for run in runs.iter().rev() {
            let Some(mut before) = self.before(run, account, before_byte)? else { continue };
            let entry = EntryAt::of(before.reader.cell(before.first + before.count - 1)?);
            self.set.count_blocks_read(before.reader.reads);
            return Ok(Some(entry.balance_after));
        }
        Ok(None)
    }

    /// Merges runs only if what comes out ends at this record or before it, as the newest snapshot does: recovery from an
    /// older record than a run's last one can not use that run. It is `below` until it is said anew.
    pub fn merge_below(&self, sequence: u64) {
        self.set.merge_below(sequence);
    }

    /// Waits until there is nothing to merge.
    pub fn wait_for_merges(&self) {
        self.set.wait_for_merges();
    }

    /// What went wrong while runs were merged, since this was asked the last time. No answer was or is wrong for it: the
    /// runs stay as they were.
    #[must_use]
    pub fn take_troubles(&self) -> Vec<RunsError> {
        self.set.take_troubles()
    }

    /// Removes the file of a damaged run, so that it is made again after the directory is opened the next time. Until then
    /// it goes on answering, and failing.
    ///
    /// # Errors
    /// The system refuses to remove it.
    pub fn forget(&self, damaged: &RunDamaged) -> Result<(), RunsError> {
        self.set.forget(damaged)
    }

    /// Reads and checks every block of every run.
    ///
    /// # Errors
    /// The first one that is damaged.
    pub fn check(&self) -> Result<(), RunDamaged> {
        self.set.check()
    }

    /// What the runs take.
    #[must_use]
    pub fn stats(&self) -> RunsStats {
        self.set.stats()
    }

    /// The account's entries of a run in records that begin below `at_byte`; `None` if there are none.
    fn before<'a>(
        &self,
        run: &'a EntryRun,
        account: u32,
        at_byte: u64,
    ) -> Result<Option<Before<'a>>, RunDamaged> {
        let range = run.head().range;
        if range.first_byte >= at_byte {
            return Ok(None);
        }
        let mut blocks_read = 0;
        let slice = run.slice(account, &mut blocks_read)?;
        self.set.count_blocks_read(blocks_read);
        let Some(Slice { first, count, .. }) = slice else { return Ok(None) };
        let (mut reader, mut count) = (run.entries(), u64::from(count));
        if at_byte < range.end_byte {
            count = reader.count_before(first, first + count, |cell| cell.0 < at_byte)?;
        }
        Ok((count > 0).then_some(Before { reader, first, count }))
    }
}

/// Entries of one account that come before a byte.
struct Before<'a> {
    reader: CellReader<'a>,
    first: u64,
    /// At least one.
    count: u64,
}
