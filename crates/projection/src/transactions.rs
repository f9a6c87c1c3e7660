//! What was asked and answered, by id and by sequence.

use ledger::{
    AccountIndex, AccountName, CommandKind, Event, Fingerprint, Record, Transaction, TransactionId,
    TransactionResult,
};
use time::Timestamp;

use crate::{
    assert_next,
    history::{Chunks, IdIndex},
    transaction_of,
};

/// Every answered command since the log, or what was restored of it, begins. The record with sequence `n` is row
/// `n - begins_at`, so there are at most `u32::MAX` of them.
#[derive(Clone)]
pub struct Transactions {
    begins_at: u64,
    rows: Chunks<Row>,
    ids: IdIndex,
    names: Chunks<AccountName>,
    /// The names of refused commands, whose accounts may not exist.
    failures: Chunks<FailedNames>,
}

/// An answered command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// The command's id.
    pub transaction_id: TransactionId,
    /// What was asked for.
    pub kind: CommandKind,
    /// Who paid: the world account for a deposit or an opening balance. Of a refused command, who was named to pay.
    pub from_account: Option<AccountName>,
    /// Who was paid or opened: the world account for a withdrawal. Of a refused command, who was named.
    pub to_account: Option<AccountName>,
    /// Minor units, as submitted; the opening balance of an opening.
    pub amount: i64,
    /// What came of it.
    pub result: TransactionResult,
    /// The number of its record.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Tells a repeat of the command from another command with the same id.
    pub fingerprint: Fingerprint,
}

/// What it takes to answer a repeated command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number of the record of the first answer.
    pub sequence: u64,
    /// The fingerprint of the first command; another one makes the repeat a conflict.
    pub fingerprint: Fingerprint,
    /// The first answer.
    pub result: TransactionResult,
}

/// One transaction in 64 bytes. The number of the row is the sequence of the record, counted from `begins_at`.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) id: TransactionId,
    fingerprint: Fingerprint,
    pub(crate) recorded_at: Timestamp,
    pub(crate) amount: i64,
    /// The payer's index or `NOBODY`; of a refused command its number in `failures`.
    pub(crate) from: u32,
    /// Who was paid or opened; `NOBODY` of a refused command.
    pub(crate) to: u32,
    pub(crate) kind: CommandKind,
    result: TransactionResult,
}

const _: () = assert!(size_of::<Row>() == 64, "one row is one cache line");

const NOBODY: u32 = u32::MAX;

#[derive(Clone)]
struct FailedNames {
    from_account: Option<AccountName>,
    to_account: Option<AccountName>,
}

impl Transactions {
    pub(crate) fn new(hash_seed: u64) -> Transactions {
        Transactions {
            begins_at: 0,
            rows: Chunks::new(),
            ids: IdIndex::new(hash_seed),
            names: Chunks::new(),
            failures: Chunks::new(),
        }
    }

    /// No transactions yet, from this record on; these accounts are open.
    pub(crate) fn restore(hash_seed: u64, begins_at: u64, names: Chunks<AccountName>) -> Transactions {
        Transactions { begins_at, names, ..Transactions::new(hash_seed) }
    }

    /// Records with a smaller sequence are not here: 0, unless this goes on from a snapshot.
    pub fn begins_at(&self) -> u64 {
        self.begins_at
    }

    /// Every record with a smaller sequence is folded, or was before [`begins_at`](Transactions::begins_at).
    pub fn checkpoint(&self) -> u64 {
        self.begins_at + u64::from(self.rows.len())
    }

    /// The transaction with this id, with everything that is known of it.
    pub fn find(&self, id: &TransactionId) -> Option<TransactionRow> {
        self.row_number(id).and_then(|number| self.at(self.begins_at + u64::from(number)))
    }

    /// The answer that the command with this id got.
    pub fn found(&self, id: &TransactionId) -> Option<Found> {
        let number = self.row_number(id)?;
        let row = self.rows.at(number)?;
        let sequence = self.begins_at + u64::from(number);
        Some(Found { sequence, fingerprint: row.fingerprint, result: row.result })
    }

    /// The transaction of the record with this sequence.
    pub fn at(&self, sequence: u64) -> Option<TransactionRow> {
        let row = self.rows.at(u32::try_from(sequence.checked_sub(self.begins_at)?).ok()?)?;
        let (from_account, to_account) = match row.result {
            TransactionResult::Completed => {
                (self.names.at(row.from).cloned(), self.names.at(row.to).cloned())
            }
            TransactionResult::Refused(_) => {
                let names = self.failures.at(row.from).expect("every refusal keeps its names");
                (names.from_account.clone(), names.to_account.clone())
            }
        };
        Some(TransactionRow {
            transaction_id: row.id,
            kind: row.kind,
            from_account,
            to_account,
            amount: row.amount,
            result: row.result,
            sequence,
            recorded_at: row.recorded_at,
            fingerprint: row.fingerprint,
        })
    }

    /// Takes the next record in. Its id is new.
    ///
    /// # Panics
    /// If the record is not the next one, is none that the ledger writes, or is number `u32::MAX`.
    pub fn fold(&mut self, record: &Record<'_>) {
        self.fold_transaction(record, &transaction_of(record));
    }

    pub(crate) fn fold_transaction(&mut self, record: &Record<'_>, transaction: &Transaction<'_>) {
        assert_next(self.checkpoint(), record);
        for event in record.events {
            match event {
                Event::AccountOpened { account, .. } => {
                    self.names.push(account.clone());
                }
                Event::MoneyDeducted { .. } | Event::MoneyCredited { .. } | Event::TransactionFailed(_) => {}
            }
        }
        let (from, to, amount) = match transaction {
            Transaction::Opened(opening) => {
                let from = opening.funding.map_or(NOBODY, |funding| funding.from_account.0);
                (from, self.names.len() - 1, opening.opening_balance())
            }
            Transaction::Moved { from_account, to_account, amount, .. } => {
                (from_account.0, to_account.0, *amount)
            }
            Transaction::Failed(failure) => {
                let (from_account, to_account) = (failure.from_account.clone(), failure.to_account.clone());
                let number = self.failures.push(FailedNames { from_account, to_account });
                (number, NOBODY, failure.amount)
            }
        };
        let id = transaction.transaction_id();
        let row = self.rows.push(Row {
            id,
            fingerprint: transaction.fingerprint(record.kind, |index| self.name(index)),
            recorded_at: record.recorded_at,
            amount,
            from,
            to,
            kind: record.kind,
            result: transaction.result(),
        });
        self.ids.insert(&id, row);
    }

    /// The row with this number, if it is a completed transfer of any kind.
    pub(crate) fn moved(&self, number: u32) -> Option<&Row> {
        self.rows.at(number).filter(|row| row.result == TransactionResult::Completed && row.from != NOBODY)
    }

    /// How many elements a clone copies: the newest rows and names.
    pub(crate) fn clone_cost(&self) -> u64 {
        self.rows.clone_cost() + self.ids.clone_cost() + self.names.clone_cost() + self.failures.clone_cost()
    }

    fn row_number(&self, id: &TransactionId) -> Option<u32> {
        self.ids.find(id, |row| self.rows.at(row).expect("the index knows rows only").id)
    }

    fn name(&self, index: AccountIndex) -> &AccountName {
        self.names.at(index.0).expect("the ledger names accounts that are open")
    }
}
