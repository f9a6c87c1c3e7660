//! Read models: balances, pending transfers, entries of an account, transactions by id, totals and counts, folded from the ledger's records.
//!
//! Each is its own fold with its own [`checkpoint`](Projections::checkpoint), and can always be built again from the log:
//! at every sequence it equals the fold of the records below that sequence. What a snapshot holds of them can be restored
//! without the log ([`Projections::restore`]). What is absent, and stays so:
//!
//! - No decision: nothing here refuses a command, and the ledger never asks a projection.
//! - No broker, no clock, no input or output.
//! - No history that is quietly shorter: what goes on from a snapshot says where its entries and transactions begin.
//! - No gap: a record that is not the next one is a bug of ours and stops the fold.
//! - No copy of history: rows are only ever appended, and a clone shares all but the last few, so it costs
//!   O(accounts + open pending transfers), however long the log is ([`Projections::clone_cost`]).
//! - No record that was not checked: what comes from outside passes `Ledger::check_record` and `Ledger::check` first.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod balances;
mod counts;
mod entries;
pub mod history;
mod pending;
mod row_of;
mod totals;
mod transactions;

use alloc::vec::Vec;

use ledger::{AccountIndex, Hold, Record, Transaction, TransactionId};

pub use balances::{BalanceRow, Balances};
pub use counts::{Counts, KINDS_COUNT, RESULTS_COUNT};
pub use entries::{Entries, Entry, EntryCursor};
pub use pending::Pending;
pub use totals::Totals;
pub use transactions::{Found, Settlement, TransactionRow, Transactions};

/// Every read model of one log. A clone costs O(accounts), not O(log), and goes its own way.
#[derive(Clone)]
pub struct Projections {
    /// What every account has.
    pub balances: Balances,
    /// Which pending transfers are open.
    pub pending: Pending,
    /// What came and went, account by account.
    pub entries: Entries,
    /// What was asked and answered, by id.
    pub transactions: Transactions,
    /// How much the clients have together, asset by asset.
    pub totals: Totals,
    /// How many commands of which kind completed and failed.
    pub counts: Counts,
}

impl Projections {
    /// The projections of an empty log. `hash_seed` keys the tables in memory and shows in no answer.
    pub fn new(hash_seed: u64) -> Projections {
        Projections {
            balances: Balances::new(hash_seed),
            pending: Pending::new(),
            entries: Entries::new(),
            transactions: Transactions::new(hash_seed),
            totals: Totals::new(),
            counts: Counts::new(),
        }
    }

    /// The projections that go on from a snapshot: these accounts in the order of their indices, these open pending
    /// transfers, and these counts.
    /// Balances, totals and counts are those of the whole log; entries and transactions begin at the counts' checkpoint,
    /// and say so ([`begins_at`](Projections::begins_at)). Costs O(accounts).
    ///
    /// The rows are those of a ledger: `Ledger::restore` has checked them.
    pub fn restore<'a>(
        hash_seed: u64,
        rows: impl IntoIterator<Item = BalanceRow<'a>>,
        holds: impl IntoIterator<Item = (TransactionId, Hold)>,
        counts: Counts,
    ) -> Projections {
        let begins_at = counts.checkpoint();
        let balances = Balances::restore(hash_seed, begins_at, rows);
        let rows = || balances.iter().map(|(_, row)| row);
        Projections {
            pending: Pending::restore(begins_at, holds),
            entries: Entries::restore(begins_at, rows().map(|row| row.posted)),
            transactions: Transactions::restore(hash_seed, begins_at, balances.names().clone()),
            totals: Totals::restore(begins_at, rows()),
            counts,
            balances,
        }
    }

    /// Entries and transactions of records with a smaller sequence are not here: 0, unless this goes on from a snapshot.
    pub fn begins_at(&self) -> u64 {
        self.transactions.begins_at()
    }

    /// Takes the next record into every projection.
    ///
    /// # Panics
    /// If the record is not the next one, or is none that the ledger writes.
    pub fn fold(&mut self, record: &Record<'_>) {
        self.balances.fold(record);
        self.pending.fold(record);
        self.totals.fold(record);
        self.entries.begin(record);
        self.transactions.begin(record);
        self.counts.begin(record);
        let names = self.balances.names();
        let name = |index: AccountIndex| names.at(index.0).expect("the ledger names accounts that are open");
        for transaction in transactions_of(record) {
            self.entries.take(&transaction);
            self.transactions.take(record, &transaction);
            self.counts.take(record, &transaction, name);
        }
    }

    /// Every record with a smaller sequence is in every projection: the smallest of the checkpoints, and the sequence of
    /// the record that [`fold`](Projections::fold) expects next.
    pub fn checkpoint(&self) -> u64 {
        let others = [
            self.pending.checkpoint(),
            self.entries.checkpoint(),
            self.transactions.checkpoint(),
            self.totals.checkpoint(),
        ];
        others.into_iter().fold(self.balances.checkpoint().min(self.counts.checkpoint()), u64::min)
    }

    /// At most `limit` entries of an account, the newest first, all older than `before` if that is given.
    /// See [`Entries::of_account`].
    pub fn entries_of(&self, account: AccountIndex, before: Option<EntryCursor>, limit: u32) -> Vec<Entry> {
        self.entries.of_account(&self.transactions, account, before, limit)
    }

    /// How many elements a clone copies: some for each account and a bounded number of the newest rows. Everything older is
    /// shared.
    pub fn clone_cost(&self) -> u64 {
        self.balances.clone_cost()
            + self.pending.clone_cost()
            + self.entries.clone_cost()
            + self.transactions.clone_cost()
            + self.totals.clone_cost()
    }
}

/// The transactions of a record that the ledger wrote, or that passed its checks.
fn transactions_of<'a>(record: &Record<'a>) -> impl Iterator<Item = Transaction<'a>> {
    let sequence = record.sequence;
    record.transactions().map(move |read| match read {
        Ok(transaction) => transaction,
        Err(inconsistent) => panic!("record {sequence} cannot be folded: {inconsistent}"),
    })
}

/// Moves a checkpoint over a record.
fn advance(checkpoint: &mut u64, record: &Record<'_>) {
    assert_next(*checkpoint, record);
    *checkpoint += 1;
}

fn assert_next(checkpoint: u64, record: &Record<'_>) {
    assert_eq!(record.sequence, checkpoint, "a projection is given a record that is not the next one");
}

#[cfg(test)]
mod tests;
