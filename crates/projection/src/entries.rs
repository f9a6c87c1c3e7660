//! What came to and went from every account: two entries for each transfer that was made.

use alloc::vec::Vec;

use ledger::{AccountIndex, CommandKind, Event, Record, Transaction, TransactionBody, TransactionId};
use time::Timestamp;

use crate::{
    advance,
    history::Chunks,
    transactions::{Row, Transactions},
    transactions_of,
};

/// The entries of all accounts, each account's chained from the newest to the oldest. What both sides of a transfer share
/// (id, time, amount, names) is read from [`Transactions`], where it stands once.
#[derive(Clone)]
pub struct Entries {
    begins_at: u64,
    checkpoint: u64,
    /// How many transactions there are, which is the number of the next row in [`Transactions`].
    rows: u32,
    /// Even numbers are payers' sides, the odd number behind each is the payee's.
    links: Chunks<Link>,
    heads: Vec<Head>,
}

/// One side of a completed transfer, deposit, withdrawal, opening balance or posted transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Asks for what is older than this entry.
    pub cursor: EntryCursor,
    /// The number of the transfer's record.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The id of the command.
    pub transaction_id: TransactionId,
    /// What was asked for.
    pub kind: CommandKind,
    /// The other side.
    pub counterparty: AccountIndex,
    /// Minor units; more than 0 if money came, less than 0 if it went.
    pub amount: i64,
    /// The account's balance right after, in minor units.
    pub balance_after: i64,
}

/// A place among the entries of one log: stays the same when the projection is built again. Any number may be given; one
/// that is no entry of the account in question finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryCursor(pub u32);

#[derive(Clone, Copy)]
struct Link {
    balance_after: i64,
    /// The row in [`Transactions`], which begins at the same record.
    transaction: u32,
    /// The account's entry before this one, or `NONE`.
    previous: u32,
}

/// The end of an account's chain.
#[derive(Clone, Copy)]
struct Head {
    balance: i64,
    newest: u32,
}

const NONE: u32 = u32::MAX;

impl Entries {
    pub(crate) fn new() -> Entries {
        Entries { begins_at: 0, checkpoint: 0, rows: 0, links: Chunks::new(), heads: Vec::new() }
    }

    /// No entries yet, from this record on, of accounts with these balances.
    pub(crate) fn restore(begins_at: u64, balances: impl IntoIterator<Item = i64>) -> Entries {
        let heads = balances.into_iter().map(|balance| Head { balance, newest: NONE }).collect();
        Entries { begins_at, checkpoint: begins_at, rows: 0, links: Chunks::new(), heads }
    }

    /// Entries of records with a smaller sequence are not here: 0, unless this goes on from a snapshot.
    pub fn begins_at(&self) -> u64 {
        self.begins_at
    }

    /// Every record with a smaller sequence is folded, or was before [`begins_at`](Entries::begins_at).
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// At most `limit` entries of an account, the newest first, all older than the entry `before` if that is given; none
    /// if there is no such account. `transactions` is of the same log and at least as far. Costs O(limit), wherever it begins.
    pub fn of_account(
        &self,
        transactions: &Transactions,
        account: AccountIndex,
        before: Option<EntryCursor>,
        limit: u32,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut next = match before {
            None => self.heads.get(account.0 as usize).map_or(NONE, |head| head.newest),
            Some(EntryCursor(number)) => match self.entry(transactions, account, number) {
                Some((_, previous)) => previous,
                None => NONE,
            },
        };
        for _ in 0..limit {
            let Some((entry, previous)) = self.entry(transactions, account, next) else { break };
            entries.push(entry);
            next = previous;
        }
        entries
    }

    /// Takes the next record in.
    ///
    /// # Panics
    /// If the record is not the next one, is none that the ledger writes, or makes more than `u32::MAX` entries.
    pub fn fold(&mut self, record: &Record<'_>) {
        self.begin(record);
        for transaction in transactions_of(record) {
            self.take(&transaction);
        }
    }

    /// Moves to the next record and opens its accounts; its transactions are taken one by one.
    pub(crate) fn begin(&mut self, record: &Record<'_>) {
        advance(&mut self.checkpoint, record);
        for event in record.events {
            match event {
                Event::AccountOpened { .. } => self.heads.push(Head { balance: 0, newest: NONE }),
                Event::MoneyDeducted { .. }
                | Event::MoneyCredited { .. }
                | Event::TransferPending { .. }
                | Event::TransferPosted { .. }
                | Event::TransferVoided { .. }
                | Event::TransferExpired { .. }
                | Event::FloorChanged { .. }
                | Event::MetadataAttached { .. }
                | Event::TransactionFailed(_) => {}
            }
        }
    }

    pub(crate) fn take(&mut self, transaction: &Transaction<'_>) {
        let number = self.rows;
        self.rows = number.checked_add(1).expect("history holds at most u32::MAX transactions");
        match transaction.body {
            TransactionBody::Opened(opening) => {
                if let Some(funding) = opening.funding {
                    self.link_both(number, funding.from_account, funding.to_account, funding.amount);
                }
            }
            TransactionBody::Moved { from_account, to_account, amount }
            | TransactionBody::Posted { from_account, to_account, amount, .. } => {
                self.link_both(number, from_account, to_account, amount);
            }
            TransactionBody::Pending { .. }
            | TransactionBody::Voided(_)
            | TransactionBody::Expired(_)
            | TransactionBody::FloorSet { .. }
            | TransactionBody::Failed(_) => {}
        }
    }

    /// How many elements a clone copies: one for each account and the newest links.
    pub(crate) fn clone_cost(&self) -> u64 {
        self.heads.len() as u64 + self.links.clone_cost()
    }

    fn link_both(&mut self, transaction: u32, from: AccountIndex, to: AccountIndex, amount: i64) {
        self.link(transaction, from, |balance| balance.checked_sub(amount));
        self.link(transaction, to, |balance| balance.checked_add(amount));
    }

    fn link(&mut self, transaction: u32, account: AccountIndex, changed: impl FnOnce(i64) -> Option<i64>) {
        let head = &mut self.heads[account.0 as usize];
        head.balance = changed(head.balance).expect("the ledger keeps balances in range");
        let (balance_after, previous) = (head.balance, head.newest);
        head.newest = self.links.push(Link { balance_after, transaction, previous });
    }

    /// The entry with this number, if it is the account's, and the number of the one before it.
    fn entry(&self, transactions: &Transactions, account: AccountIndex, number: u32) -> Option<(Entry, u32)> {
        let Link { balance_after, transaction, previous } = *self.links.at(number)?;
        let Row { id, recorded_at, amount, from, to, kind, record, .. } = *transactions.moved(transaction)?;
        let (owner, counterparty, amount) =
            if number.is_multiple_of(2) { (from, to, -amount) } else { (to, from, amount) };
        if owner != account.0 {
            return None;
        }
        let entry = Entry {
            cursor: EntryCursor(number),
            sequence: self.begins_at + u64::from(record),
            recorded_at,
            transaction_id: id,
            kind,
            counterparty: AccountIndex(counterparty),
            amount,
            balance_after,
        };
        Some((entry, previous))
    }
}
