//! What an account held at an earlier record.

use ledger::{AccountIndex, AccountName, CommandKind};
use time::Timestamp;

use crate::files::ReadBegin;

/// Entries looked at in one go.
const ENTRIES_AT_ONCE: u32 = 1_000;

/// Which moment of the log is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Right behind the record with this sequence.
    Sequence(u64),
    /// Right behind the last record that is not later than this.
    Time(Timestamp),
}

/// A balance of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BalanceAt {
    /// In minor units.
    pub(crate) posted: i64,
    /// The record that it is right behind.
    pub(crate) sequence: u64,
    /// When that record was written.
    pub(crate) recorded_at: Timestamp,
}

/// Why there is no balance of that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBalanceAt {
    /// No account has the name, even now.
    NoAccount,
    /// The account was opened later.
    NotOpenThen,
    /// No durable record has the sequence; the log has so many.
    NoRecord { records: u64 },
}

impl ReadBegin {
    /// What the account held then. Looks through the entries of the account from the newest, and through all records up to
    /// the moment if it had none then.
    ///
    /// # Errors
    /// There was no such account, or there is no such record yet.
    pub(crate) fn balance_at(&self, name: &AccountName, at: At) -> Result<BalanceAt, NoBalanceAt> {
        let projections = &self.models;
        let index = projections.balances.find(name).ok_or(NoBalanceAt::NoAccount)?;
        let records = projections.checkpoint();
        let sequence = match at {
            At::Sequence(sequence) if sequence < records => sequence,
            At::Sequence(_) => return Err(NoBalanceAt::NoRecord { records }),
            At::Time(time) => self.records_until(time).checked_sub(1).ok_or(NoBalanceAt::NotOpenThen)?,
        };
        let posted = match self.entry_at(index, sequence) {
            Some(balance_after) => balance_after,
            None if self.was_opened(index, sequence) => 0,
            None => return Err(NoBalanceAt::NotOpenThen),
        };
        Ok(BalanceAt { posted, sequence, recorded_at: self.recorded_at(sequence) })
    }

    /// How many records are not later than `time`.
    fn records_until(&self, time: Timestamp) -> u64 {
        let transactions = &self.models.transactions;
        let (mut low, mut high) = (transactions.begins_at(), transactions.checkpoint());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.recorded_at(middle) <= time { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn recorded_at(&self, sequence: u64) -> Timestamp {
        let row = self.models.transactions.at(sequence);
        row.map_or(Timestamp::ZERO, |row| row.recorded_at)
    }

    /// The balance behind the newest entry that is not in a later record.
    fn entry_at(&self, index: AccountIndex, sequence: u64) -> Option<i64> {
        let mut before = None;
        loop {
            let entries = self.models.entries_of(index, before, ENTRIES_AT_ONCE);
            let entry = entries.iter().find(|entry| entry.sequence <= sequence);
            if let Some(entry) = entry {
                return Some(entry.balance_after);
            }
            before = Some(entries.last()?.cursor);
        }
    }

    /// Whether one of the records up to this one opened the account. One that was opened with money has an entry, so this is
    /// asked of the others only. A world account is opened along with the account behind it.
    fn was_opened(&self, index: AccountIndex, sequence: u64) -> bool {
        let balances = &self.models.balances;
        let name = balances.row(index).name;
        let next = (index.0 + 1 < balances.len()).then(|| balances.row(AccountIndex(index.0 + 1)).name);
        let is_it = |opened: &AccountName| opened == name || (name.is_system() && Some(opened) == next);
        let rows = (0..).map_while(|number| self.models.transactions.row(number));
        rows.take_while(|row| row.sequence <= sequence).any(|row| {
            row.kind == CommandKind::OpenAccount
                && row.result == ledger::TransactionResult::Completed
                && row.to_account.as_ref().is_some_and(is_it)
        })
    }
}
