//! A row from its record alone, for whoever keeps records and not rows.

use ledger::{
    AccountIndex, AccountName, CommandKind, Event, Record, Transaction, TransactionBody, TransactionId,
    TransactionResult,
};

use crate::transactions::{Extra, Settlement, TransactionRow};

impl TransactionRow {
    /// The row of the transaction with this id, if the record has it. `name` knows every account that the events name by
    /// index. What became of a pending transfer stands in another record ([`Settlement::of`]).
    pub fn of<'n>(
        record: &Record<'_>,
        id: &TransactionId,
        name: impl Fn(AccountIndex) -> &'n AccountName,
    ) -> Option<TransactionRow> {
        let transaction = record.transactions().flatten().find(|one| one.transaction_id == *id)?;
        let (from_account, to_account, amount) = sides(record, &transaction, &name);
        let extra = Extra::of(0, &transaction);
        let (pending_id, expires_at, floor, metadata) = match extra {
            Some(extra) => (extra.pending_id, extra.expires_at, extra.floor, extra.metadata),
            None => (None, None, None, None),
        };
        Some(TransactionRow {
            transaction_id: *id,
            kind: transaction.kind(&name),
            from_account,
            to_account,
            amount,
            result: transaction.result(),
            sequence: record.sequence,
            recorded_at: record.recorded_at,
            fingerprint: transaction.fingerprint(&name),
            pending_id,
            expires_at,
            floor,
            metadata,
            settlement: None,
        })
    }

    /// Whether it is a pending transfer that was opened: what became of it stands in another record.
    pub fn is_opened_pending(&self) -> bool {
        self.kind == CommandKind::PendingTransfer && self.result == TransactionResult::Completed
    }
}

impl Settlement {
    /// How the record ended the pending transfer, if it did.
    pub fn of<'n>(
        record: &Record<'_>,
        pending_id: &TransactionId,
        name: impl Fn(AccountIndex) -> &'n AccountName,
    ) -> Option<Settlement> {
        let settles = |one: &Transaction<'_>| one.settled_id() == Some(*pending_id);
        let transaction = record.transactions().flatten().find(settles)?;
        let (_, _, amount) = sides(record, &transaction, &name);
        Some(Settlement {
            transaction_id: transaction.transaction_id,
            kind: transaction.kind(&name),
            amount,
            sequence: record.sequence,
            recorded_at: record.recorded_at,
        })
    }
}

fn sides<'n>(
    record: &Record<'_>,
    transaction: &Transaction<'_>,
    name: impl Fn(AccountIndex) -> &'n AccountName,
) -> (Option<AccountName>, Option<AccountName>, i64) {
    let both = |from, to, amount| (Some(name(from).clone()), Some(name(to).clone()), amount);
    match transaction.body {
        TransactionBody::Opened(opening) => {
            let from = opening.funding.map(|funding| name(funding.from_account).clone());
            (from, opened(record), opening.opening_balance())
        }
        TransactionBody::Moved { from_account, to_account, amount }
        | TransactionBody::Pending { from_account, to_account, amount, .. }
        | TransactionBody::Posted { from_account, to_account, amount, .. } => {
            both(from_account, to_account, amount)
        }
        TransactionBody::Voided(released) | TransactionBody::Expired(released) => {
            both(released.from_account, released.to_account, released.amount)
        }
        TransactionBody::FloorSet { account, .. } => (None, Some(name(account).clone()), 0),
        TransactionBody::Failed(failure) => {
            (failure.from_account.clone(), failure.to_account.clone(), failure.amount.unwrap_or(0))
        }
    }
}

/// The account that an opening is about; a world account may be opened along with it, before it.
fn opened(record: &Record<'_>) -> Option<AccountName> {
    record.events.iter().rev().find_map(|event| match event {
        Event::AccountOpened { account, .. } => Some(account.clone()),
        Event::MoneyDeducted { .. }
        | Event::MoneyCredited { .. }
        | Event::TransferPending { .. }
        | Event::TransferPosted { .. }
        | Event::TransferVoided { .. }
        | Event::TransferExpired { .. }
        | Event::FloorChanged { .. }
        | Event::MetadataAttached { .. }
        | Event::TransactionFailed(_) => None,
    })
}
