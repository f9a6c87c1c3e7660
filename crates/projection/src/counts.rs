//! How many commands came to which end.

use ledger::{CommandKind, Reason, Record, Transaction, TransactionResult};

use crate::{advance, transaction_of};

/// How many commands of each kind completed, and how many were refused for which reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    checkpoint: u64,
    /// By kind, then by the number of the result.
    counts: [[u64; RESULTS_COUNT]; KINDS_COUNT],
}

/// How many kinds of commands there are.
pub const KINDS_COUNT: usize = CommandKind::ALL.len();
/// How many results a command can have: completed, and one for each reason.
pub const RESULTS_COUNT: usize = 1 + Reason::ALL.len();

impl Counts {
    pub(crate) fn new() -> Counts {
        Counts { checkpoint: 0, counts: Default::default() }
    }

    /// These counts, as [`Counts::all`] gives them; the checkpoint is their sum, because every record counts once.
    /// `None` if the sum is more than a sequence can be.
    pub fn restore(counts: [[u64; RESULTS_COUNT]; KINDS_COUNT]) -> Option<Counts> {
        let checkpoint = counts.iter().flatten().try_fold(0, |sum: u64, count| sum.checked_add(*count))?;
        Some(Counts { checkpoint, counts })
    }

    /// All counts: by kind, in the order of [`CommandKind::ALL`], and in it completed first, then by reason, in the order
    /// of [`Reason::ALL`].
    pub fn all(&self) -> &[[u64; RESULTS_COUNT]; KINDS_COUNT] {
        &self.counts
    }

    /// Every record with a smaller sequence is folded.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// How many commands of this kind had this result.
    pub fn count(&self, kind: CommandKind, result: TransactionResult) -> u64 {
        self.counts[row(kind)][usize::from(result.as_u8())]
    }

    /// How many commands of this kind completed.
    pub fn completed(&self, kind: CommandKind) -> u64 {
        self.count(kind, TransactionResult::Completed)
    }

    /// How many commands of this kind were refused, for whatever reason.
    pub fn failed(&self, kind: CommandKind) -> u64 {
        self.counts[row(kind)][1..].iter().sum()
    }

    /// How many commands of all kinds were refused for this reason.
    pub fn failed_for(&self, reason: Reason) -> u64 {
        CommandKind::ALL.into_iter().map(|kind| self.count(kind, TransactionResult::Refused(reason))).sum()
    }

    /// Transfers between clients that completed; openings, deposits and withdrawals do not count.
    pub fn transfers_completed(&self) -> u64 {
        self.completed(CommandKind::Transfer)
    }

    /// Transfers between clients that were refused.
    pub fn transfers_failed(&self) -> u64 {
        self.failed(CommandKind::Transfer)
    }

    /// Openings that completed; a world account that was opened along counts with the account that it was opened for.
    pub fn openings(&self) -> u64 {
        self.completed(CommandKind::OpenAccount)
    }

    /// Openings that were refused.
    pub fn openings_failed(&self) -> u64 {
        self.failed(CommandKind::OpenAccount)
    }

    /// Deposits that completed; opening balances are none.
    pub fn deposits(&self) -> u64 {
        self.completed(CommandKind::Deposit)
    }

    /// Deposits that were refused.
    pub fn deposits_failed(&self) -> u64 {
        self.failed(CommandKind::Deposit)
    }

    /// Withdrawals that completed.
    pub fn withdrawals(&self) -> u64 {
        self.completed(CommandKind::Withdrawal)
    }

    /// Withdrawals that were refused.
    pub fn withdrawals_failed(&self) -> u64 {
        self.failed(CommandKind::Withdrawal)
    }

    /// Takes the next record in.
    ///
    /// # Panics
    /// If the record is not the next one, or is none that the ledger writes.
    pub fn fold(&mut self, record: &Record<'_>) {
        self.fold_transaction(record, &transaction_of(record));
    }

    pub(crate) fn fold_transaction(&mut self, record: &Record<'_>, transaction: &Transaction<'_>) {
        advance(&mut self.checkpoint, record);
        self.counts[row(record.kind)][usize::from(transaction.result().as_u8())] += 1;
    }
}

fn row(kind: CommandKind) -> usize {
    usize::from(kind.as_u8()) - 1
}
