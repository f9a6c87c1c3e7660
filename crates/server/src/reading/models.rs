//! What reads see: all of a ledger in memory, or a window of it with the rest on disk.

use std::fmt;

use journal::SealBorder;
use ledger::{AccountIndex, AccountName, AccountView, Asset, CommandKind, Digest, Record, TransactionId};
use pipeline::{DurableBatch, DurableView, LogIdentity, Lookup};
use projection::{Counts, EntryCursor, TransactionRow};
use time::Timestamp;

use super::Position;
use super::windowed::Windowed;
use crate::balance_at::{At, BalanceAt, NoBalanceAt};
use crate::files::{FilesError, LogShared, ReadBegin};
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

    /// What an account held then.
    pub(crate) fn balance_at(
        &mut self,
        name: &AccountName,
        at: At,
    ) -> Result<Result<BalanceAt, NoBalanceAt>, ReadError> {
        match self {
            Models::Whole(whole) => Ok(whole.balance_at(name, at)),
            Models::Windowed(windowed) => {
                let found = windowed.balance_at(name, at);
                windowed.heal(found)
            }
        }
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
