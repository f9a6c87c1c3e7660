//! What happened.

use alloc::boxed::Box;
use core::fmt;

use time::Timestamp;

use crate::{
    command::{CommandKind, Reason},
    fingerprint::{Body, Fingerprint},
    id::TransactionId,
    metadata::Metadata,
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
    /// An amount of an account is held for a transfer to another. No balance changes.
    TransferPending {
        /// The command's id, and the name of the pending transfer.
        transaction_id: TransactionId,
        /// Who is to pay.
        from_account: AccountIndex,
        /// Who is to be paid.
        to_account: AccountIndex,
        /// Minor units.
        amount: i64,
        /// When it expires; `None`: it does not.
        expires_at: Option<Timestamp>,
    },
    /// A pending transfer is made, whole or in part, and what is left of it is released.
    TransferPosted {
        /// The command's id.
        transaction_id: TransactionId,
        /// The pending transfer.
        pending_id: TransactionId,
        /// Who pays.
        from_account: AccountIndex,
        /// Who is paid.
        to_account: AccountIndex,
        /// Minor units that move.
        amount: i64,
        /// Minor units that were held; at least the amount.
        pending_amount: i64,
        /// The amount in the command; `None` if it asked for all that is held.
        asked_amount: Option<i64>,
    },
    /// A pending transfer is released by a command.
    TransferVoided {
        /// The command's id.
        transaction_id: TransactionId,
        /// The pending transfer.
        pending_id: TransactionId,
        /// Who was to pay.
        from_account: AccountIndex,
        /// Who was to be paid.
        to_account: AccountIndex,
        /// Minor units that were held.
        amount: i64,
    },
    /// A pending transfer is released because its deadline passed.
    TransferExpired {
        /// An id that is derived from the pending transfer's.
        transaction_id: TransactionId,
        /// The pending transfer.
        pending_id: TransactionId,
        /// Who was to pay.
        from_account: AccountIndex,
        /// Who was to be paid.
        to_account: AccountIndex,
        /// Minor units that were held.
        amount: i64,
    },
    /// An account has another floor from now on.
    FloorChanged {
        /// The command's id.
        transaction_id: TransactionId,
        /// Whose floor.
        account: AccountIndex,
        /// The new floor in minor units, 0 or less.
        floor: i64,
    },
    /// What the client attached to a transfer of any kind; the last event of its transaction.
    MetadataAttached {
        /// The command's id.
        transaction_id: TransactionId,
        /// What was attached.
        metadata: Metadata,
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
            | Event::MoneyCredited { transaction_id, .. }
            | Event::TransferPending { transaction_id, .. }
            | Event::TransferPosted { transaction_id, .. }
            | Event::TransferVoided { transaction_id, .. }
            | Event::TransferExpired { transaction_id, .. }
            | Event::FloorChanged { transaction_id, .. }
            | Event::MetadataAttached { transaction_id, .. } => *transaction_id,
            Event::TransactionFailed(failure) => failure.transaction_id,
        }
    }

    /// The event's name, as in JSON: `AccountOpened`, `MoneyDeducted` and so on, as the variants are called.
    pub fn name(&self) -> &'static str {
        match self {
            Event::AccountOpened { .. } => "AccountOpened",
            Event::MoneyDeducted { .. } => "MoneyDeducted",
            Event::MoneyCredited { .. } => "MoneyCredited",
            Event::TransferPending { .. } => "TransferPending",
            Event::TransferPosted { .. } => "TransferPosted",
            Event::TransferVoided { .. } => "TransferVoided",
            Event::TransferExpired { .. } => "TransferExpired",
            Event::FloorChanged { .. } => "FloorChanged",
            Event::MetadataAttached { .. } => "MetadataAttached",
            Event::TransactionFailed(_) => "TransactionFailed",
        }
    }
}

/// A refused command, everything as submitted; names are text because the accounts may not exist. A field is `None` where
/// the command has none: an opening and a deposit have no `from_account`, a withdrawal no `to_account`, the settlement of a
/// pending transfer neither of them, and only an opening has an asset and a scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The command's id.
    pub transaction_id: TransactionId,
    /// The kind of the command; of a member of a group its own.
    pub kind: CommandKind,
    /// Who was to pay.
    pub from_account: Option<AccountName>,
    /// Who was to be paid, or opened, or given another floor.
    pub to_account: Option<AccountName>,
    /// Minor units, any number; the opening balance of an opening. `None` if all of a pending transfer was to be posted, and
    /// of a command that has no amount.
    pub amount: Option<i64>,
    /// The asset of an opening.
    pub asset: Option<Asset>,
    /// The scale of an opening, any number.
    pub scale: Option<u8>,
    /// The floor of an opening, if one was given, or the one to be set.
    pub floor: Option<i64>,
    /// The pending transfer that was to be posted or voided.
    pub pending_id: Option<TransactionId>,
    /// When the pending transfer was to expire.
    pub expires_at: Option<Timestamp>,
    /// What the client attached.
    pub metadata: Option<Metadata>,
    /// Why it was refused.
    pub reason: Reason,
}

impl Failure {
    /// A refusal without any field that depends on the kind of the command.
    pub fn blank(transaction_id: TransactionId, kind: CommandKind, reason: Reason) -> Failure {
        Failure {
            transaction_id,
            kind,
            from_account: None,
            to_account: None,
            amount: None,
            asset: None,
            scale: None,
            floor: None,
            pending_id: None,
            expires_at: None,
            metadata: None,
            reason,
        }
    }

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
            pending_id: self.pending_id,
            expires_at: self.expires_at,
            metadata: self.metadata.as_ref(),
        }
        .fingerprint()
    }

    /// Does it have exactly the fields that its kind of command has?
    pub(crate) fn is_well_formed(&self) -> bool {
        use CommandKind::{
            Deposit, ExpireTransfer, Linked, OpenAccount, PendingTransfer, PostTransfer, SetFloor, Transfer,
            VoidTransfer, Withdrawal,
        };
        let kind = self.kind;
        let opening = kind == OpenAccount;
        let has_from = matches!(kind, Transfer | Withdrawal | PendingTransfer);
        let has_to = matches!(kind, OpenAccount | Transfer | Deposit | PendingTransfer | SetFloor);
        let has_amount = match kind {
            OpenAccount | Transfer | Deposit | Withdrawal | PendingTransfer => self.amount.is_some(),
            PostTransfer => true,
            VoidTransfer | SetFloor => self.amount.is_none(),
            // The machine's own never fails, and a group fails member by member.
            ExpireTransfer | Linked => false,
        };
        has_amount
            && self.from_account.is_some() == has_from
            && self.to_account.is_some() == has_to
            && self.asset.is_some() == opening
            && self.scale.is_some() == opening
            && (opening || self.floor.is_some() == (kind == SetFloor))
            && self.pending_id.is_some() == matches!(kind, PostTransfer | VoidTransfer)
            && (kind == PendingTransfer || self.expires_at.is_none())
            && (kind.is_member() || self.metadata.is_none())
    }
}
