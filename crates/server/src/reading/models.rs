//! What reads see: all of a ledger in memory, or a window of it with the rest on disk.

use std::fmt;

use journal::SealBorder;
use ledger::{
    AccountIndex, AccountName, AccountView, Asset, CommandKind, Digest, Record, TransactionId,
    TransactionResult,
};
use pipeline::{DurableBatch, DurableView, LogIdentity, Lookup};
use projection::{Counts, EntryCursor, TransactionRow};
use time::Timestamp;

use super::Position;
use super::windowed::Windowed;
use crate::files::{FilesError, LogShared, ReadBegin, Wanted};
use crate::runs::RunDamaged;

/// The read models of a server.
pub(crate) enum Models {
    /// Everything in memory: of a log in the JSON Lines form.
    Whole(Box<ReadBegin>),
    /// What is, in memory; what was, in a window and on disk.
    Windowed(Box<Windowed>),
}

/// One side of a completed transfer, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryRow {
    pub(crate) sequence: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) transaction_id: TransactionId,
    pub(crate) kind: CommandKind,
    pub(crate) counterparty: AccountName,
    /// Minor units; more than 0 if money came.
    pub(crate) amount: i64,
    pub(crate) balance_after: i64,
}

/// A moment in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Behind the record with this sequence.
    Sequence(u64),
    /// Behind the last record that was written then or before.
    Time(Timestamp),
}

/// A snapshot that was begun.
pub(crate) struct SnapshotBegun {
    pub(crate) sequence: u64,
    pub(crate) digest: Digest,
    pub(crate) rest: Rest,
}

/// How the bytes of a snapshot come.
pub(crate) enum Rest {
    /// All at once, by encoding it, which may run on any thread.
    View(Box<DurableView>),
    /// In pieces, of which this is the first.
    Pieces { number: u64, first: Vec<u8> },
}

/// Why something cannot be read now.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The log.
    Files(FilesError),
    /// A run.
    Run(RunDamaged),
}

impl Models {
    /// Every record with a smaller sequence is folded.
    pub(crate) fn checkpoint(&self) -> u64 {
        match self {
            Models::Whole(whole) => whole.models.checkpoint(),
            Models::Windowed(windowed) => windowed.checkpoint(),
        }
    }

    pub(crate) fn log(&self) -> &LogShared {
        match self {
            Models::Whole(whole) => &whole.log,
            Models::Windowed(windowed) => windowed.log(),
        }
    }

    /// The seal behind which they stand.
    pub(crate) fn border(&self) -> Option<SealBorder> {
        match self {
            Models::Whole(whole) => whole.border,
            Models::Windowed(windowed) => windowed.border(),
        }
    }

    pub(crate) fn identity(&self) -> LogIdentity {
        match self {
            Models::Whole(whole) => whole.identity,
            Models::Windowed(windowed) => windowed.identity(),
        }
    }

    pub(crate) fn position(&self) -> Position {
        match self {
            Models::Whole(whole) => {
                let sequence = whole.models.checkpoint();
                let last = sequence.checked_sub(1).and_then(|last| whole.models.transactions.at(last));
                let recorded_at = last.map_or(0, |row| row.recorded_at.micros());
                Position { sequence, digest: whole.digest, recorded_at }
            }
            Models::Windowed(windowed) => Position {
                sequence: windowed.checkpoint(),
                digest: windowed.digest(),
                recorded_at: windowed.recorded_at(),
            },
        }
    }

    /// The account with this name.
    pub(crate) fn find(&self, name: &AccountName) -> Option<AccountIndex> {
        match self {
            Models::Whole(whole) => whole.models.balances.find(name),
            Models::Windowed(windowed) => windowed.ledger().find(name),
        }
    }

    /// The account with this index, which is below [`Models::accounts_count`].
    pub(crate) fn account(&self, index: AccountIndex) -> AccountView<'_> {
        match self {
            Models::Whole(whole) => {
                let row = whole.models.balances.row(index);
                let projection::BalanceRow { name, asset, scale, floor, posted, pending } = row;
                AccountView { name, asset, scale, floor, posted, pending }
            }
            Models::Windowed(windowed) => windowed.ledger().account(index),
        }
    }

    /// How many accounts there are, system accounts included.
    pub(crate) fn accounts_count(&self) -> u32 {
        match self {
            Models::Whole(whole) => whole.models.balances.len(),
            Models::Windowed(windowed) => windowed.ledger().accounts_count(),
        }
    }

    /// How much the clients have together, by asset.
    pub(crate) fn balances_total(&self) -> Vec<(Asset, i128)> {
        match self {
            Models::Whole(whole) => whole.models.totals.balances_total(),
            Models::Windowed(windowed) => windowed.totals(),
        }
    }

    /// Commands by kind and result.
    pub(crate) fn counts(&self) -> &Counts {
        match self {
            Models::Whole(whole) => &whole.models.counts,
            Models::Windowed(windowed) => windowed.counts(),
        }
    }

    /// The transaction with this id.
    pub(crate) fn transaction(&mut self, id: &TransactionId) -> Result<Option<TransactionRow>, ReadError> {
        match self {
            Models::Whole(whole) => Ok(whole.models.transactions.find(id)),
            Models::Windowed(windowed) => {
                let found = windowed.transaction(id);
                windowed.heal(found)
            }
        }
    }

    /// About `limit` entries of an account, the newest first, and the cursor for older ones if there are any.
    pub(crate) fn entries(
        &mut self,
        account: AccountIndex,
        before: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<EntryRow>, Option<u64>), ReadError> {
        let whole = match self {
            Models::Whole(whole) => whole,
            Models::Windowed(windowed) => {
                let found = windowed.entries(account, before, limit);
                return windowed.heal(found);
            }
        };
        let projections = &whole.models;
        // A cursor that no entry can have finds nothing.
        let before = before.map(|before| EntryCursor(u32::try_from(before).unwrap_or(u32::MAX)));
        let mut entries = projections.entries_of(account, before, limit + 1);
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let next = entries.last().map(|entry| u64::from(entry.cursor.0)).filter(|_| more);
        let rows = entries.into_iter().map(|entry| EntryRow {
            sequence: entry.sequence,
            recorded_at: entry.recorded_at,
            transaction_id: entry.transaction_id,
            kind: entry.kind,
            counterparty: projections.balances.row(entry.counterparty).name.clone(),
            amount: entry.amount,
            balance_after: entry.balance_after,
        });
        Ok((rows.collect(), next))
    }

    /// The balance that an account had then; `None` if it was not open. The moment is not beyond the checkpoint.
    pub(crate) fn balance_at(&mut self, account: AccountIndex, at: At) -> Result<Option<i64>, ReadError> {
        let whole = match self {
            Models::Whole(whole) => whole,
            Models::Windowed(windowed) => {
                let first_after = match at {
                    At::Sequence(sequence) => Wanted::Sequence(sequence.saturating_add(1)),
                    At::Time(time) => Wanted::After(time),
                };
                let found = windowed.balance_before(account, first_after);
                return windowed.heal(found);
            }
        };
        Ok(balance_of_whole(whole, account, at))
    }

    /// Begins a snapshot as of now; its pieces come by [`Models::slice`].
    pub(crate) fn snapshot(&mut self) -> SnapshotBegun {
        match self {
            Models::Whole(whole) => {
                let view = whole.durable_view();
                let (sequence, digest) = (view.next_sequence(), view.digest());
                SnapshotBegun { sequence, digest, rest: Rest::View(Box::new(view)) }
            }
            Models::Windowed(windowed) => {
                let (number, first) = windowed.begin_stream();
                let (sequence, digest) = (windowed.checkpoint(), windowed.digest());
                SnapshotBegun { sequence, digest, rest: Rest::Pieces { number, first } }
            }
        }
    }

    /// The next piece of a snapshot that goes out in pieces; `None` after the last one.
    pub(crate) fn slice(&mut self, number: u64) -> Option<Vec<u8>> {
        match self {
            Models::Whole(_) => None,
            Models::Windowed(windowed) => windowed.stream(number),
        }
    }

    /// Nobody wants the rest of a snapshot.
    pub(crate) fn drop_snapshot(&mut self, number: u64) {
        if let Models::Windowed(windowed) = self {
            windowed.end_stream(number);
        }
    }

    /// Takes batches in.
    pub(super) fn fold(&mut self, batches: impl IntoIterator<Item = DurableBatch>, store_bytes: u64) {
        match self {
            Models::Whole(whole) => whole.fold(batches, store_bytes),
            Models::Windowed(windowed) => windowed.fold(batches, store_bytes),
        }
    }

    pub(super) fn look_up(&mut self, id: TransactionId) -> Result<Lookup, ReadError> {
        match self {
            Models::Whole(whole) => Ok(whole.find(id)),
            Models::Windowed(windowed) => {
                let found = windowed.find(id);
                windowed.heal(found)
            }
        }
    }

    /// Works a little at what is to be written in the background. Says whether to come again at once.
    pub(super) fn work(&mut self) -> bool {
        match self {
            Models::Whole(_) => false,
            Models::Windowed(windowed) => windowed.work(),
        }
    }
}

/// By walking over the entries from the newest on.
fn balance_of_whole(whole: &ReadBegin, account: AccountIndex, at: At) -> Option<i64> {
    const PAGE: u32 = 1_000;
    let projections = &whole.models;
    let is_later = |sequence: u64, recorded_at: Timestamp| match at {
        At::Sequence(of) => sequence > of,
        At::Time(of) => recorded_at > of,
    };
    let mut before = None;
    loop {
        let page = projections.entries_of(account, before, PAGE);
        for entry in &page {
            if !is_later(entry.sequence, entry.recorded_at) {
                return Some(entry.balance_after);
            }
        }
        match page.last() {
            Some(last) => before = Some(last.cursor),
            None => break,
        }
    }
    // No entry is as old, so it had nothing, or was not open: its opening tells. A world account is opened along with the
    // account behind it.
    let name_of = |index: u32| projections.balances.row(AccountIndex(index)).name;
    let name = name_of(account.0);
    let next = (account.0 + 1 < projections.balances.len()).then(|| name_of(account.0 + 1));
    let is_its = |opened: &AccountName| opened == name || (name.is_system() && Some(opened) == next);
    let mut rows = (0..projections.transactions.len()).filter_map(|row| projections.transactions.row(row));
    let opening = rows.find(|row| {
        row.kind == CommandKind::OpenAccount
            && row.result == TransactionResult::Completed
            && row.to_account.as_ref().is_some_and(is_its)
    });
    opening.filter(|row| !is_later(row.sequence, row.recorded_at)).map(|_| 0)
}

impl ReadError {
    pub(super) fn unreadable(record: &Record<'_>) -> ReadError {
        let what = format!("record {} does not hold what its entries say", record.sequence);
        ReadError::Files(FilesError::Segment { path: "the log".into(), what })
    }
}

impl From<FilesError> for ReadError {
    fn from(error: FilesError) -> ReadError {
        ReadError::Files(error)
    }
}

impl From<RunDamaged> for ReadError {
    fn from(damaged: RunDamaged) -> ReadError {
        ReadError::Run(damaged)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Files(error) => error.fmt(f),
            ReadError::Run(damaged) => damaged.fmt(f),
        }
    }
}
