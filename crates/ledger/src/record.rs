//! The record: all events of one command, read as the transactions that they are.

use core::slice;

use time::Timestamp;

use crate::{
    command::{CommandKind, Reason, TransactionResult},
    event::{AccountIndex, Event, Failure},
    fingerprint::{Body, Fingerprint},
    id::TransactionId,
    inconsistent::Inconsistent,
    linked::LINKED_MAX,
    metadata::Metadata,
    names::{AccountName, Asset},
};

/// What stands in the log of one command: all its events or, after a crash, none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Dense, 0-based number of the record in its log.
    pub sequence: u64,
    /// When it was recorded; never falls from record to record.
    pub recorded_at: Timestamp,
    /// Fencing token of the writer; never falls from record to record.
    pub generation: u64,
    /// The kind of the command.
    pub kind: CommandKind,
    /// All events of the command, in order; at least one.
    pub events: &'a [Event],
}

/// One answered command as its record tells it: the command itself, or a member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// The command's id; of what the machine did by itself a derived one.
    pub transaction_id: TransactionId,
    /// What happened.
    pub body: TransactionBody<'a>,
    /// What the client attached.
    pub metadata: Option<&'a Metadata>,
}

/// What a transaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionBody<'a> {
    /// An account was opened.
    Opened(Opening<'a>),
    /// An amount was moved: a transfer, a deposit or a withdrawal.
    Moved {
        /// Who paid.
        from_account: AccountIndex,
        /// Who was paid.
        to_account: AccountIndex,
        /// Minor units.
        amount: i64,
    },
    /// An amount is held for a transfer.
    Pending {
        /// Who is to pay.
        from_account: AccountIndex,
        /// Who is to be paid.
        to_account: AccountIndex,
        /// Minor units.
        amount: i64,
        /// When it expires.
        expires_at: Option<Timestamp>,
    },
    /// A pending transfer was made, whole or in part.
    Posted {
        /// The pending transfer.
        pending_id: TransactionId,
        /// Who paid.
        from_account: AccountIndex,
        /// Who was paid.
        to_account: AccountIndex,
        /// Minor units that moved.
        amount: i64,
        /// Minor units that were held.
        pending_amount: i64,
        /// The amount in the command; `None` if it asked for all.
        asked_amount: Option<i64>,
    },
    /// A pending transfer was released by a command.
    Voided(Released),
    /// A pending transfer was released because its deadline passed.
    Expired(Released),
    /// An account has another floor.
    FloorSet {
        /// Whose floor.
        account: AccountIndex,
        /// The new floor in minor units.
        floor: i64,
    },
    /// The command was refused.
    Failed(&'a Failure),
}

/// A completed opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The new name.
    pub account: &'a AccountName,
    /// What the account holds.
    pub asset: &'a Asset,
    /// Decimal places of the asset.
    pub scale: u8,
    /// The balance that the account never falls below.
    pub floor: i64,
    /// Who paid the opening balance and what was opened with it; `None` if the opening balance is 0.
    pub funding: Option<Funding>,
}

/// The transfer of an opening balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funding {
    /// The world account of the asset.
    pub from_account: AccountIndex,
    /// The opened account.
    pub to_account: AccountIndex,
    /// Minor units, more than 0.
    pub amount: i64,
}

/// A pending transfer that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The pending transfer.
    pub pending_id: TransactionId,
    /// Who was to pay.
    pub from_account: AccountIndex,
    /// Who was to be paid.
    pub to_account: AccountIndex,
    /// Minor units that were held.
    pub amount: i64,
}

impl<'a> Record<'a> {
    /// The transactions of the record, in order: one, or one for each member of a group. Lists of events that no command
    /// makes, and a kind that cannot be theirs, are an error, which is the last item. Whether accounts exist and balances
    /// suffice is for [`Ledger::check`](crate::Ledger::check) to say, and what members have to do with each other for
    /// [`Ledger::check_record`](crate::Ledger::check_record).
    pub fn transactions(&self) -> Transactions<'a> {
        Transactions { kind: self.kind, rest: self.events.iter(), read: 0 }
    }
}

/// See [`Record::transactions`].
#[derive(Clone, Debug)]
pub struct Transactions<'a> {
    kind: CommandKind,
    rest: slice::Iter<'a, Event>,
    read: usize,
}

impl<'a> Iterator for Transactions<'a> {
    type Item = Result<Transaction<'a>, Inconsistent>;

    fn next(&mut self) -> Option<Self::Item> {
        let events = self.rest.as_slice();
        let Some(first) = events.first() else {
            // A group has two members or more, every other record has one transaction.
            let least = if self.kind == CommandKind::Linked { 2 } else { 1 };
            let short = self.read < least;
            self.read = LINKED_MAX;
            return short.then_some(Err(Inconsistent::RecordShape { kind: self.kind }));
        };
        let id = first.transaction_id();
        let end = events.iter().position(|event| event.transaction_id() != id).unwrap_or(events.len());
        let (own, rest) = events.split_at(end);
        let transaction = match self.kind {
            CommandKind::Linked if self.read < LINKED_MAX => member(own),
            CommandKind::Linked => None,
            kind => transaction(kind, own).filter(|_| rest.is_empty()),
        };
        self.rest = rest.iter();
        self.read += 1;
        Some(transaction.ok_or_else(|| {
            self.rest = [].iter();
            self.read = LINKED_MAX;
            Inconsistent::RecordShape { kind: self.kind }
        }))
    }
}

impl<'a> Transaction<'a> {
    /// The kind of the command, which is the record's if it is not that of a group. `name` knows every account that the
    /// events name by index.
    pub fn kind<'n>(&self, name: impl Fn(AccountIndex) -> &'n AccountName) -> CommandKind {
        match self.body {
            TransactionBody::Opened(_) => CommandKind::OpenAccount,
            TransactionBody::Moved { from_account, .. } if name(from_account).is_world() => {
                CommandKind::Deposit
            }
            TransactionBody::Moved { to_account, .. } if name(to_account).is_world() => {
                CommandKind::Withdrawal
            }
            TransactionBody::Moved { .. } => CommandKind::Transfer,
            TransactionBody::Pending { .. } => CommandKind::PendingTransfer,
            TransactionBody::Posted { .. } => CommandKind::PostTransfer,
            TransactionBody::Voided(_) => CommandKind::VoidTransfer,
            TransactionBody::Expired(_) => CommandKind::ExpireTransfer,
            TransactionBody::FloorSet { .. } => CommandKind::SetFloor,
            TransactionBody::Failed(failure) => failure.kind,
        }
    }

    /// What came of the command.
    pub fn result(&self) -> TransactionResult {
        match self.body {
            TransactionBody::Failed(failure) => TransactionResult::Refused(failure.reason),
            TransactionBody::Opened(_)
            | TransactionBody::Moved { .. }
            | TransactionBody::Pending { .. }
            | TransactionBody::Posted { .. }
            | TransactionBody::Voided(_)
            | TransactionBody::Expired(_)
            | TransactionBody::FloorSet { .. } => TransactionResult::Completed,
        }
    }

    /// The pending transfer that it posted, voided or let expire; `None` of a refused command.
    pub fn settled_id(&self) -> Option<TransactionId> {
        match self.body {
            TransactionBody::Posted { pending_id, .. } => Some(pending_id),
            TransactionBody::Voided(released) | TransactionBody::Expired(released) => {
                Some(released.pending_id)
            }
            TransactionBody::Opened(_)
            | TransactionBody::Moved { .. }
            | TransactionBody::Pending { .. }
            | TransactionBody::FloorSet { .. }
            | TransactionBody::Failed(_) => None,
        }
    }

    /// The fingerprint of the command, from what was recorded of it. `name` knows every account that the events name by
    /// index.
    pub fn fingerprint<'n>(&self, name: impl Fn(AccountIndex) -> &'n AccountName) -> Fingerprint {
        let body = match self.body {
            TransactionBody::Opened(opening) => return opening.fingerprint(),
            TransactionBody::Failed(failure) => return failure.fingerprint(),
            TransactionBody::Moved { from_account, to_account, amount } => {
                moved_body(name(from_account), name(to_account), amount)
            }
            TransactionBody::Pending { from_account, to_account, amount, expires_at } => {
                Body::pending(name(from_account), name(to_account), amount, expires_at)
            }
            TransactionBody::Posted { pending_id, asked_amount, .. } => Body::post(pending_id, asked_amount),
            TransactionBody::Voided(released) => Body::void(released.pending_id),
            TransactionBody::Expired(released) => Body::expire(released.pending_id),
            TransactionBody::FloorSet { account, floor } => Body::set_floor(name(account), floor),
        };
        body.with(self.metadata).fingerprint()
    }
}

impl Opening<'_> {
    /// The opening balance in minor units, 0 or more.
    pub fn opening_balance(&self) -> i64 {
        self.funding.map_or(0, |funding| funding.amount)
    }

    fn fingerprint(&self) -> Fingerprint {
        let floor = opened_floor(self.account, self.floor);
        Body::opening(self.account, self.asset, self.scale, floor, self.opening_balance()).fingerprint()
    }
}

/// The floor in the body of a completed opening: given for every system account, and for a client account if it is not 0.
pub(crate) fn opened_floor(account: &AccountName, floor: i64) -> Option<i64> {
    (account.is_system() || floor != 0).then_some(floor)
}

/// The body of a completed transfer, deposit or withdrawal between these accounts.
pub(crate) fn moved_body<'n>(from: &'n AccountName, to: &'n AccountName, amount: i64) -> Body<'n> {
    if from.is_world() {
        Body::deposit(to, amount)
    } else if to.is_world() {
        Body::withdrawal(from, amount)
    } else {
        Body::transfer(from, to, amount)
    }
}

/// The events of a record that is no group.
fn transaction(kind: CommandKind, events: &[Event]) -> Option<Transaction<'_>> {
    if kind == CommandKind::OpenAccount
        && let Some(opening) = opening(events)
    {
        let transaction_id = events[0].transaction_id();
        return Some(Transaction { transaction_id, body: TransactionBody::Opened(opening), metadata: None });
    }
    let transaction = shape(events)?;
    let fits = match transaction.body {
        TransactionBody::Opened(_) => kind == CommandKind::OpenAccount,
        TransactionBody::Moved { .. } => {
            matches!(kind, CommandKind::Transfer | CommandKind::Deposit | CommandKind::Withdrawal)
        }
        TransactionBody::Pending { .. } => kind == CommandKind::PendingTransfer,
        TransactionBody::Posted { .. } => kind == CommandKind::PostTransfer,
        TransactionBody::Voided(_) => kind == CommandKind::VoidTransfer,
        TransactionBody::Expired(_) => kind == CommandKind::ExpireTransfer,
        TransactionBody::FloorSet { .. } => kind == CommandKind::SetFloor,
        TransactionBody::Failed(failure) => failure.kind == kind && failure.reason != Reason::LinkedFailed,
    };
    fits.then_some(transaction)
}

/// The events of one member of a group.
fn member(events: &[Event]) -> Option<Transaction<'_>> {
    shape(events).filter(|transaction| match transaction.body {
        TransactionBody::Moved { .. }
        | TransactionBody::Pending { .. }
        | TransactionBody::Posted { .. }
        | TransactionBody::Voided(_) => true,
        TransactionBody::Failed(failure) => failure.kind.is_member(),
        TransactionBody::Opened(_) | TransactionBody::Expired(_) | TransactionBody::FloorSet { .. } => false,
    })
}

/// The events of anything but a completed opening, with metadata at the end where they can be.
fn shape(events: &[Event]) -> Option<Transaction<'_>> {
    let (metadata, own) = match events {
        [own @ .., Event::MetadataAttached { metadata, .. }] => (Some(metadata), own),
        own => (None, own),
    };
    let transaction_id = events.first()?.transaction_id();
    let body = match own {
        [one] => single(one)?,
        two => {
            let Funding { from_account, to_account, amount } = moved(two)?;
            TransactionBody::Moved { from_account, to_account, amount }
        }
    };
    let may_have = matches!(
        body,
        TransactionBody::Moved { .. }
            | TransactionBody::Pending { .. }
            | TransactionBody::Posted { .. }
            | TransactionBody::Voided(_)
    );
    (metadata.is_none() || may_have).then_some(Transaction { transaction_id, body, metadata })
}

/// What one event is by itself.
fn single(event: &Event) -> Option<TransactionBody<'_>> {
    match event {
        Event::TransferPending { transaction_id: _, from_account, to_account, amount, expires_at } => {
            Some(TransactionBody::Pending {
                from_account: *from_account,
                to_account: *to_account,
                amount: *amount,
                expires_at: *expires_at,
            })
        }
        Event::TransferPosted {
            transaction_id: _,
            pending_id,
            from_account,
            to_account,
            amount,
            pending_amount,
            asked_amount,
        } => Some(TransactionBody::Posted {
            pending_id: *pending_id,
            from_account: *from_account,
            to_account: *to_account,
            amount: *amount,
            pending_amount: *pending_amount,
            asked_amount: *asked_amount,
        }),
        Event::TransferVoided { transaction_id: _, pending_id, from_account, to_account, amount } => {
            Some(TransactionBody::Voided(released(*pending_id, *from_account, *to_account, *amount)))
        }
        Event::TransferExpired { transaction_id: _, pending_id, from_account, to_account, amount } => {
            Some(TransactionBody::Expired(released(*pending_id, *from_account, *to_account, *amount)))
        }
        Event::FloorChanged { transaction_id: _, account, floor } => {
            Some(TransactionBody::FloorSet { account: *account, floor: *floor })
        }
        Event::TransactionFailed(failure) if failure.is_well_formed() => {
            Some(TransactionBody::Failed(failure))
        }
        Event::AccountOpened { .. }
        | Event::MoneyDeducted { .. }
        | Event::MoneyCredited { .. }
        | Event::MetadataAttached { .. }
        | Event::TransactionFailed(_) => None,
    }
}

fn released(
    pending_id: TransactionId,
    from_account: AccountIndex,
    to_account: AccountIndex,
    amount: i64,
) -> Released {
    Released { pending_id, from_account, to_account, amount }
}

/// The asset's world account if it is the first of the asset, the account, the opening balance if there is one.
fn opening(events: &[Event]) -> Option<Opening<'_>> {
    let (first, rest) = events.split_first()?;
    let Event::AccountOpened { account: first_name, asset: first_asset, .. } = first else { return None };
    let (opened, funding) = if first_name.is_world() { rest.split_first()? } else { (first, rest) };
    let Event::AccountOpened { transaction_id: _, account, asset, scale, floor } = opened else {
        return None;
    };
    if account.is_world() || asset != first_asset {
        return None;
    }
    let funding = match funding {
        [] => None,
        events => Some(moved(events)?),
    };
    Some(Opening { account, asset, scale: *scale, floor: *floor, funding })
}

fn moved(events: &[Event]) -> Option<Funding> {
    match events {
        [
            Event::MoneyDeducted { account: from_account, amount, .. },
            Event::MoneyCredited { account: to_account, amount: credited, .. },
        ] if amount == credited => {
            Some(Funding { from_account: *from_account, to_account: *to_account, amount: *amount })
        }
        _ => None,
    }
}
