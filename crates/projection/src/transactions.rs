//! What was asked and answered, by id and by sequence.

use alloc::vec::Vec;

use ledger::{
    AccountIndex, AccountName, CommandKind, Event, Fingerprint, Metadata, Record, Transaction,
    TransactionBody, TransactionId, TransactionResult,
};
use time::Timestamp;

use crate::{
    advance,
    history::{Chunks, IdIndex},
    transactions_of,
};

/// Every answered command since the log, or what was restored of it, begins: a row for each, in order, and at most
/// `u32::MAX` of them. The members of a group have a row each, with the sequence of their record.
#[derive(Clone)]
pub struct Transactions {
    begins_at: u64,
    checkpoint: u64,
    rows: Chunks<Row>,
    ids: IdIndex,
    /// Rows that settled a pending transfer, by the id of that.
    settlements: IdIndex,
    /// What few rows have, in the order of the rows.
    extras: Chunks<Extra>,
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
    /// Who was paid or opened, or got another floor: the world account for a withdrawal. Of a refused command, who was
    /// named.
    pub to_account: Option<AccountName>,
    /// Minor units, as submitted; the opening balance of an opening, what moved of a posted transfer, what was released of
    /// one that was voided or expired. 0 if the command has no amount.
    pub amount: i64,
    /// What came of it.
    pub result: TransactionResult,
    /// The number of its record.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Tells a repeat of the command from another command with the same id.
    pub fingerprint: Fingerprint,
    /// The pending transfer that it settles, or was to settle.
    pub pending_id: Option<TransactionId>,
    /// When the pending transfer expires, or was to expire.
    pub expires_at: Option<Timestamp>,
    /// The floor that was set, or was to be set.
    pub floor: Option<i64>,
    /// What the client attached.
    pub metadata: Option<Metadata>,
    /// What became of a completed pending transfer; `None` if it is still open, and of everything else.
    pub settlement: Option<Settlement>,
}

/// How a pending transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The id of the command that settled it; a derived one if it expired.
    pub transaction_id: TransactionId,
    /// Whether it was posted, voided or expired.
    pub kind: CommandKind,
    /// Minor units: what moved if it was posted, and what was released if not.
    pub amount: i64,
    /// The number of its record.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
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

/// One transaction in 64 bytes.
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
    /// The sequence of the record, counted from `begins_at`.
    pub(crate) record: u32,
    pub(crate) kind: CommandKind,
    result: TransactionResult,
    extra: HasExtra,
}

/// Whether there is more of a row in `extras`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HasExtra {
    No,
    Yes,
}

/// What few transactions have.
#[derive(Clone)]
pub(crate) struct Extra {
    /// The number of the row that it belongs to.
    row: u32,
    pub(crate) pending_id: Option<TransactionId>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) floor: Option<i64>,
    pub(crate) metadata: Option<Metadata>,
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
            checkpoint: 0,
            rows: Chunks::new(),
            ids: IdIndex::new(hash_seed),
            settlements: IdIndex::new(hash_seed),
            extras: Chunks::new(),
            names: Chunks::new(),
            failures: Chunks::new(),
        }
    }

    /// No transactions yet, from this record on; these accounts are open.
    pub(crate) fn restore(hash_seed: u64, begins_at: u64, names: Chunks<AccountName>) -> Transactions {
        Transactions { begins_at, checkpoint: begins_at, names, ..Transactions::new(hash_seed) }
    }

    /// Records with a smaller sequence are not here: 0, unless this goes on from a snapshot.
    pub fn begins_at(&self) -> u64 {
        self.begins_at
    }

    /// Every record with a smaller sequence is folded, or was before [`begins_at`](Transactions::begins_at).
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// How many rows there are.
    pub fn len(&self) -> u32 {
        self.rows.len()
    }

    /// Is there no row?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The transaction with this id, with everything that is known of it.
    pub fn find(&self, id: &TransactionId) -> Option<TransactionRow> {
        self.row_number(id).and_then(|number| self.row(number))
    }

    /// The answer that the command with this id got.
    pub fn found(&self, id: &TransactionId) -> Option<Found> {
        let row = self.rows.at(self.row_number(id)?)?;
        let sequence = self.begins_at + u64::from(row.record);
        Some(Found { sequence, fingerprint: row.fingerprint, result: row.result })
    }

    /// The first transaction of the record with this sequence, which is the only one unless it is a group.
    pub fn at(&self, sequence: u64) -> Option<TransactionRow> {
        self.first_of(sequence).and_then(|number| self.row(number))
    }

    /// The transactions of the record with this sequence, in order; none if it is not here.
    pub fn of_record(&self, sequence: u64) -> Vec<TransactionRow> {
        let first = self.first_of(sequence).unwrap_or(self.rows.len());
        let rows = (first..self.rows.len()).map_while(|number| self.row(number));
        rows.take_while(|row| row.sequence == sequence).collect()
    }

    /// The row with this number, counted from the first transaction that is here.
    pub fn row(&self, number: u32) -> Option<TransactionRow> {
        let row = self.rows.at(number)?;
        let (from_account, to_account) = match row.result {
            TransactionResult::Completed => {
                (self.names.at(row.from).cloned(), self.names.at(row.to).cloned())
            }
            TransactionResult::Refused(_) => {
                let names = self.failures.at(row.from).expect("every refusal keeps its names");
                (names.from_account.clone(), names.to_account.clone())
            }
        };
        let extra = match row.extra {
            HasExtra::No => None,
            HasExtra::Yes => self.extra(number),
        };
        Some(TransactionRow {
            transaction_id: row.id,
            kind: row.kind,
            from_account,
            to_account,
            amount: row.amount,
            result: row.result,
            sequence: self.begins_at + u64::from(row.record),
            recorded_at: row.recorded_at,
            fingerprint: row.fingerprint,
            pending_id: extra.and_then(|extra| extra.pending_id),
            expires_at: extra.and_then(|extra| extra.expires_at),
            floor: extra.and_then(|extra| extra.floor),
            metadata: extra.and_then(|extra| extra.metadata.clone()),
            settlement: self.settlement(row),
        })
    }

    /// Takes the next record in. Its ids are new.
    ///
    /// # Panics
    /// If the record is not the next one, is none that the ledger writes, or there are more than `u32::MAX` transactions.
    pub fn fold(&mut self, record: &Record<'_>) {
        self.begin(record);
        for transaction in transactions_of(record) {
            self.take(record, &transaction);
        }
    }

    /// Moves to the next record and opens its accounts; its transactions are taken one by one.
    pub(crate) fn begin(&mut self, record: &Record<'_>) {
        advance(&mut self.checkpoint, record);
        for event in record.events {
            match event {
                Event::AccountOpened { account, .. } => {
                    self.names.push(account.clone());
                }
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

    pub(crate) fn take(&mut self, record: &Record<'_>, transaction: &Transaction<'_>) {
        let (from, to, amount) = self.sides(transaction);
        let extra = Extra::of(self.rows.len(), transaction);
        let id = transaction.transaction_id;
        let kind = match record.kind {
            CommandKind::Linked => transaction.kind(|index| self.name(index)),
            kind => kind,
        };
        let row = self.rows.push(Row {
            id,
            fingerprint: transaction.fingerprint(|index| self.name(index)),
            recorded_at: record.recorded_at,
            amount,
            from,
            to,
            record: u32::try_from(record.sequence - self.begins_at)
                .expect("there are no more records than rows"),
            kind,
            result: transaction.result(),
            extra: if extra.is_some() { HasExtra::Yes } else { HasExtra::No },
        });
        if let Some(extra) = extra {
            self.extras.push(extra);
        }
        // The id of an expiry is derived, and a client may have had the same one before: then that answer counts.
        if kind != CommandKind::ExpireTransfer || self.row_number(&id).is_none() {
            self.ids.insert(&id, row);
        }
        if let Some(pending_id) = transaction.settled_id() {
            self.settlements.insert(&pending_id, row);
        }
    }

    /// The payer, the payee and the amount of a row. Of a refusal, where its names are.
    fn sides(&mut self, transaction: &Transaction<'_>) -> (u32, u32, i64) {
        match transaction.body {
            TransactionBody::Opened(opening) => {
                let from = opening.funding.map_or(NOBODY, |funding| funding.from_account.0);
                (from, self.names.len() - 1, opening.opening_balance())
            }
            TransactionBody::Moved { from_account, to_account, amount }
            | TransactionBody::Pending { from_account, to_account, amount, .. }
            | TransactionBody::Posted { from_account, to_account, amount, .. } => {
                (from_account.0, to_account.0, amount)
            }
            TransactionBody::Voided(released) | TransactionBody::Expired(released) => {
                (released.from_account.0, released.to_account.0, released.amount)
            }
            TransactionBody::FloorSet { account, .. } => (NOBODY, account.0, 0),
            TransactionBody::Failed(failure) => {
                let (from_account, to_account) = (failure.from_account.clone(), failure.to_account.clone());
                let number = self.failures.push(FailedNames { from_account, to_account });
                (number, NOBODY, failure.amount.unwrap_or(0))
            }
        }
    }

    /// The row with this number, if it is a completed transfer of any kind.
    pub(crate) fn moved(&self, number: u32) -> Option<&Row> {
        self.rows.at(number).filter(|row| row.result == TransactionResult::Completed && row.from != NOBODY)
    }

    /// How many elements a clone copies: the newest rows and names.
    pub(crate) fn clone_cost(&self) -> u64 {
        self.rows.clone_cost()
            + self.ids.clone_cost()
            + self.settlements.clone_cost()
            + self.extras.clone_cost()
            + self.names.clone_cost()
            + self.failures.clone_cost()
    }

    /// The number of the first row of a record.
    fn first_of(&self, sequence: u64) -> Option<u32> {
        let record = u32::try_from(sequence.checked_sub(self.begins_at)?).ok()?;
        let record_of = |number: u32| self.rows.at(number).map_or(u32::MAX, |row| row.record);
        // Every record has a row, so its first row is never before its own number; without groups it is there.
        let first =
            first_where(record.min(self.rows.len()), self.rows.len(), |number| record_of(number) >= record);
        (record_of(first) == record && first < self.rows.len()).then_some(first)
    }

    fn extra(&self, row: u32) -> Option<&Extra> {
        let extra_of =
            |number: u32| self.extras.at(number).expect("every number below the length has an element");
        let number = first_where(0, self.extras.len(), |number| extra_of(number).row >= row);
        self.extras.at(number).filter(|extra| extra.row == row)
    }

    /// What became of the pending transfer in a row.
    fn settlement(&self, row: &Row) -> Option<Settlement> {
        if row.kind != CommandKind::PendingTransfer || row.result != TransactionResult::Completed {
            return None;
        }
        let settled = |number: u32| {
            let extra = self.extra(number).and_then(|extra| extra.pending_id);
            extra.expect("what settles names what it settles")
        };
        let Row { id, recorded_at, amount, record, kind, .. } =
            *self.rows.at(self.settlements.find(&row.id, settled)?)?;
        let sequence = self.begins_at + u64::from(record);
        Some(Settlement { transaction_id: id, kind, amount, sequence, recorded_at })
    }

    fn row_number(&self, id: &TransactionId) -> Option<u32> {
        self.ids.find(id, |row| self.rows.at(row).expect("the index knows rows only").id)
    }

    fn name(&self, index: AccountIndex) -> &AccountName {
        self.names.at(index.0).expect("the ledger names accounts that are open")
    }
}

impl Extra {
    /// `None` if the transaction has nothing that few transactions have.
    pub(crate) fn of(row: u32, transaction: &Transaction<'_>) -> Option<Extra> {
        let (pending_id, expires_at, floor) = match transaction.body {
            TransactionBody::Pending { expires_at, .. } => (None, expires_at, None),
            TransactionBody::FloorSet { floor, .. } => (None, None, Some(floor)),
            TransactionBody::Failed(failure) => {
                let floor = failure.floor.filter(|_| failure.kind == CommandKind::SetFloor);
                (failure.pending_id, failure.expires_at, floor)
            }
            TransactionBody::Posted { .. } | TransactionBody::Voided(_) | TransactionBody::Expired(_) => {
                (transaction.settled_id(), None, None)
            }
            TransactionBody::Opened(_) | TransactionBody::Moved { .. } => (None, None, None),
        };
        let metadata = match transaction.body {
            TransactionBody::Failed(failure) => failure.metadata.clone(),
            TransactionBody::Opened(_)
            | TransactionBody::Moved { .. }
            | TransactionBody::Pending { .. }
            | TransactionBody::Posted { .. }
            | TransactionBody::Voided(_)
            | TransactionBody::Expired(_)
            | TransactionBody::FloorSet { .. } => transaction.metadata.cloned(),
        };
        let nothing = pending_id.is_none() && expires_at.is_none() && floor.is_none() && metadata.is_none();
        (!nothing).then_some(Extra { row, pending_id, expires_at, floor, metadata })
    }
}

/// The first number from `low` on for which `is` holds, or `high`; it holds for every number behind one for which it holds.
fn first_where(low: u32, high: u32, is: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (low, high);
    if low < high && is(low) {
        return low;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) { high = middle } else { low = middle + 1 }
    }
    low
}
