//! What happened: events, and the record that holds all events of one command.

use alloc::boxed::Box;
use core::fmt;

use time::Timestamp;

use crate::{
    command::{CommandKind, Reason, TransactionResult},
    fingerprint::{Body, Fingerprint},
    id::TransactionId,
    inconsistent::Inconsistent,
    names::{AccountName, Asset},
};

/// The number of an account in one log: dense from 0, in the order of its [`Event::AccountOpened`]. It stands in memory and
/// in binary records only, never in JSON and never in a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountIndex(pub u32);

impl fmt::Display for AccountIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A fact that changes the ledger or, for a refusal, its memory of answers. Amounts are minor units, more than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An account exists from now on, with balance 0 and the next [`AccountIndex`].
    AccountOpened {
        /// The opening's id; the same for a world account that was opened along with it.
        transaction_id: TransactionId,
        /// The new name.
        account: AccountName,
        /// What the account holds.
        asset: Asset,
        /// Decimal places of the asset.
        scale: u8,
        /// The balance that the account never falls below: 0 for a client account, `i64::MIN` for a world account.
        floor: i64,
    },
    /// The first half of a transfer; the second half follows at once, in the same record.
    MoneyDeducted {
        /// The command's id.
        transaction_id: TransactionId,
        /// Who pays.
        account: AccountIndex,
        /// Minor units.
        amount: i64,
    },
    /// The second half of a transfer, with the id and the amount of the first.
    MoneyCredited {
        /// The command's id.
        transaction_id: TransactionId,
        /// Who is paid.
        account: AccountIndex,
        /// Minor units.
        amount: i64,
    },
    /// A command was refused, for good.
    TransactionFailed(Box<Failure>),
}

impl Event {
    /// The id of the command that the event came of.
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Event::AccountOpened { transaction_id, .. }
            | Event::MoneyDeducted { transaction_id, .. }
            | Event::MoneyCredited { transaction_id, .. } => *transaction_id,
            Event::TransactionFailed(failure) => failure.transaction_id,
        }
    }

    /// The event's name, as in JSON: `AccountOpened`, `MoneyDeducted`, `MoneyCredited` or `TransactionFailed`.
    pub fn name(&self) -> &'static str {
        match self {
            Event::AccountOpened { .. } => "AccountOpened",
            Event::MoneyDeducted { .. } => "MoneyDeducted",
            Event::MoneyCredited { .. } => "MoneyCredited",
            Event::TransactionFailed(_) => "TransactionFailed",
        }
    }
}

/// A refused command, everything as submitted; names are text because the accounts may not exist. A field is `None` where
/// the command has none: an opening and a deposit have no `from_account`, a withdrawal no `to_account`, and only an opening
/// has an asset, a scale and, for a system account, a floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The command's id.
    pub transaction_id: TransactionId,
    /// The kind of the command.
    pub kind: CommandKind,
    /// Who was to pay.
    pub from_account: Option<AccountName>,
    /// Who was to be paid, or opened.
    pub to_account: Option<AccountName>,
    /// Minor units, any number; the opening balance of an opening.
    pub amount: i64,
    /// The asset of an opening.
    pub asset: Option<Asset>,
    /// The scale of an opening, any number.
    pub scale: Option<u8>,
    /// The floor of an opening, if one was given.
    pub floor: Option<i64>,
    /// Why it was refused.
    pub reason: Reason,
}

impl Failure {
    /// The fingerprint of the refused command.
    pub fn fingerprint(&self) -> Fingerprint {
        Body {
            kind: self.kind,
            from_account: self.from_account.as_ref(),
            to_account: self.to_account.as_ref(),
            amount: self.amount,
            asset: self.asset.as_ref(),
            scale: self.scale,
            floor: self.floor,
        }
        .fingerprint()
    }

    /// Does it have exactly the fields that its kind of command has?
    pub(crate) fn is_well_formed(&self) -> bool {
        let (from, to, opening) = match self.kind {
            CommandKind::OpenAccount => (false, true, true),
            CommandKind::Transfer => (true, true, false),
            CommandKind::Deposit => (false, true, false),
            CommandKind::Withdrawal => (true, false, false),
        };
        self.from_account.is_some() == from
            && self.to_account.is_some() == to
            && self.asset.is_some() == opening
            && self.scale.is_some() == opening
            && (opening || self.floor.is_none())
    }
}

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

/// What a record tells, read from its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction<'a> {
    /// An account was opened.
    Opened(Opening<'a>),
    /// An amount was moved: a transfer, a deposit or a withdrawal.
    Moved {
        /// The command's id.
        transaction_id: TransactionId,
        /// Who paid.
        from_account: AccountIndex,
        /// Who was paid.
        to_account: AccountIndex,
        /// Minor units.
        amount: i64,
    },
    /// The command was refused.
    Failed(&'a Failure),
}

/// A completed opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The opening's id.
    pub transaction_id: TransactionId,
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

impl<'a> Record<'a> {
    /// Reads the events as one transaction. Refuses lists of events that no command makes, and a kind that cannot be theirs;
    /// whether accounts exist and balances suffice is for [`Ledger::check`](crate::Ledger::check) to say.
    pub fn transaction(&self) -> Result<Transaction<'a>, Inconsistent> {
        let refused = Err(Inconsistent::RecordShape { kind: self.kind });
        let first = match self.events.first() {
            Some(first) => first.transaction_id(),
            None => return refused,
        };
        if self.events.iter().any(|event| event.transaction_id() != first) {
            return refused;
        }
        match (self.kind, self.events) {
            (kind, [Event::TransactionFailed(failure)])
                if failure.kind == kind && failure.is_well_formed() =>
            {
                Ok(Transaction::Failed(failure))
            }
            (CommandKind::OpenAccount, events) => match opening(events) {
                Some(opening) => Ok(Transaction::Opened(opening)),
                None => refused,
            },
            (CommandKind::Transfer | CommandKind::Deposit | CommandKind::Withdrawal, events) => {
                match moved(events) {
                    Some(Funding { from_account, to_account, amount }) => {
                        Ok(Transaction::Moved { transaction_id: first, from_account, to_account, amount })
                    }
                    None => refused,
                }
            }
        }
    }
}

impl<'a> Transaction<'a> {
    /// The command's id.
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Transaction::Opened(opening) => opening.transaction_id,
            Transaction::Moved { transaction_id, .. } => *transaction_id,
            Transaction::Failed(failure) => failure.transaction_id,
        }
    }

    /// What came of the command.
    pub fn result(&self) -> TransactionResult {
        match self {
            Transaction::Opened(_) | Transaction::Moved { .. } => TransactionResult::Completed,
            Transaction::Failed(failure) => TransactionResult::Refused(failure.reason),
        }
    }

    /// The fingerprint of the command, from what was recorded of it. `kind` is the record's, and `name` knows every account
    /// that the events name by index.
    pub fn fingerprint<'n>(
        &self,
        kind: CommandKind,
        name: impl Fn(AccountIndex) -> &'n AccountName,
    ) -> Fingerprint {
        match *self {
            Transaction::Opened(opening) => opening.fingerprint(),
            Transaction::Moved { from_account, to_account, amount, .. } => match kind {
                CommandKind::Deposit => Body::deposit(name(to_account), amount).fingerprint(),
                CommandKind::Withdrawal => Body::withdrawal(name(from_account), amount).fingerprint(),
                CommandKind::Transfer | CommandKind::OpenAccount => {
                    Body::transfer(name(from_account), name(to_account), amount).fingerprint()
                }
            },
            Transaction::Failed(failure) => failure.fingerprint(),
        }
    }
}

impl Opening<'_> {
    /// The opening balance in minor units, 0 or more.
    pub fn opening_balance(&self) -> i64 {
        self.funding.map_or(0, |funding| funding.amount)
    }

    fn fingerprint(&self) -> Fingerprint {
        // A completed opening was given a floor exactly if it is of a system account.
        let floor = self.account.is_system().then_some(self.floor);
        Body::opening(self.account, self.asset, self.scale, floor, self.opening_balance()).fingerprint()
    }
}

/// The asset's world account if it is the first of the asset, the account, the opening balance if there is one.
fn opening(events: &[Event]) -> Option<Opening<'_>> {
    let (first, rest) = events.split_first()?;
    let Event::AccountOpened { account: first_name, asset: first_asset, .. } = first else { return None };
    let (opened, funding) = if first_name.is_world() { rest.split_first()? } else { (first, rest) };
    let Event::AccountOpened { transaction_id, account, asset, scale, floor } = opened else { return None };
    if account.is_world() || asset != first_asset {
        return None;
    }
    let funding = match funding {
        [] => None,
        events => Some(moved(events)?),
    };
    let (scale, floor) = (*scale, *floor);
    Some(Opening { transaction_id: *transaction_id, account, asset, scale, floor, funding })
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
