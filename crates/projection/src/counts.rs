//! How many commands came to which end.

use ledger::{
    AccountIndex, AccountName, CommandKind, LINKED_MAX, Reason, Record, Transaction, TransactionResult,
};

use crate::{advance, transactions_of};

/// How many commands of each kind completed, and how many were refused for which reason. Members of a group count under
/// their own kinds; the group counts once more under its own, as refused for the reason of the member that was to blame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    checkpoint: u64,
    /// By the number of the kind, then by that of the result.
    counts: [[u64; RESULTS_COUNT]; KINDS_COUNT],
}

/// How many kinds of commands there are.
pub const KINDS_COUNT: usize = CommandKind::ALL.len();
/// How many results a command can have: completed, and one for each reason.
pub const RESULTS_COUNT: usize = 1 + Reason::ALL.len();

impl Counts {
    /// No commands.
    pub fn new() -> Counts {
        Counts::default()
    }

    /// These counts, as [`Counts::all`] gives them, of the records below `checkpoint`. `None` if so many records cannot
    /// have these counts.
    pub fn restore(checkpoint: u64, counts: [[u64; RESULTS_COUNT]; KINDS_COUNT]) -> Option<Counts> {
        let sum =
            |kind: CommandKind| -> u128 { counts[row(kind)].iter().map(|count| u128::from(*count)).sum() };
        let groups = sum(CommandKind::Linked);
        let transactions: u128 = CommandKind::ALL.into_iter().map(sum).sum::<u128>() - groups;
        // Every record has one transaction, but that of a group has 2 to LINKED_MAX.
        let more = transactions.checked_sub(u128::from(checkpoint))?;
        let fits = more >= groups && more <= groups * (LINKED_MAX as u128 - 1);
        fits.then_some(Counts { checkpoint, counts })
    }

    /// All counts: by kind, in the order of [`CommandKind::ALL`], and in it completed first, then by the numbers of the
    /// reasons ([`TransactionResult::as_u8`]).
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

    /// How many commands of all kinds were refused for this reason. Members of groups count, groups do not.
    pub fn failed_for(&self, reason: Reason) -> u64 {
        let kinds = CommandKind::ALL.into_iter().filter(|kind| *kind != CommandKind::Linked);
        kinds.map(|kind| self.count(kind, TransactionResult::Refused(reason))).sum()
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

    /// Takes the next record in. `name` knows every account that the record's events name by index.
    ///
    /// # Panics
    /// If the record is not the next one, or is none that the ledger writes.
    pub fn fold<'n>(&mut self, record: &Record<'_>, name: impl Fn(AccountIndex) -> &'n AccountName) {
        self.begin(record);
        for transaction in transactions_of(record) {
            self.take(record, &transaction, &name);
        }
    }

    /// Moves to the next record; its transactions are taken one by one.
    pub(crate) fn begin(&mut self, record: &Record<'_>) {
        advance(&mut self.checkpoint, record);
        if record.kind == CommandKind::Linked {
            self.count_group(record);
        }
    }

    pub(crate) fn take<'n>(
        &mut self,
        record: &Record<'_>,
        transaction: &Transaction<'_>,
        name: impl Fn(AccountIndex) -> &'n AccountName,
    ) {
        // Outside a group the record says the kind, and no names are needed to tell it.
        let kind = match record.kind {
            CommandKind::Linked => transaction.kind(name),
            kind => kind,
        };
        self.counts[row(kind)][usize::from(transaction.result().as_u8())] += 1;
    }

    /// A group came to what the member to blame came to, or it completed.
    fn count_group(&mut self, record: &Record<'_>) {
        let linked_failed = TransactionResult::Refused(Reason::LinkedFailed);
        let results = transactions_of(record).map(|transaction| transaction.result());
        let result = results.into_iter().find(|result| *result != linked_failed);
        let result = result.expect("one member of a refused group has a reason of its own");
        self.counts[row(CommandKind::Linked)][usize::from(result.as_u8())] += 1;
    }
}

fn row(kind: CommandKind) -> usize {
    usize::from(kind.as_u8()) - 1
}
