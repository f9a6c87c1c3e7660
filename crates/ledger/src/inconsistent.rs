//! Why an event or a record cannot belong where it stands.

use core::fmt;

use time::Timestamp;

use crate::{
    command::CommandKind,
    event::AccountIndex,
    id::TransactionId,
    names::{AccountName, Asset, SCALE_MAX},
};

/// Something in a log contradicts what stands before it. Whoever reads the log adds the file, the byte and the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inconsistent {
    /// An event names an account that was not opened before it.
    UnknownAccount {
        /// The account that is not there.
        account: AccountIndex,
        /// How many accounts there are.
        accounts_count: u32,
    },
    /// An amount is 0 or less.
    AmountNotPositive {
        /// Minor units.
        amount: i64,
    },
    /// What is available would fall below the account's floor.
    FloorBroken {
        /// Whose balance.
        account: AccountName,
        /// The balance before without what is held of it, in minor units.
        available: i64,
        /// What the event deducts or holds.
        amount: i64,
        /// The floor.
        floor: i64,
    },
    /// A balance would leave the range of `i64`.
    Overflow {
        /// Whose balance.
        account: AccountName,
        /// The balance before, in minor units.
        posted: i64,
        /// What the event adds or takes.
        amount: i64,
    },
    /// An account is opened that exists.
    NameTaken {
        /// The name.
        account: AccountName,
    },
    /// An account is opened with more decimal places than [`SCALE_MAX`], or with others than its asset has.
    Scale {
        /// Which account.
        account: AccountName,
        /// Its scale.
        scale: u8,
        /// The asset's scale, if the asset has accounts.
        asset_scale: Option<u8>,
    },
    /// An account is opened with a floor that its kind of account cannot have.
    Floor {
        /// Which account.
        account: AccountName,
        /// Its floor.
        floor: i64,
    },
    /// The name of a world account does not belong to its asset.
    WorldName {
        /// Which account.
        account: AccountName,
        /// Its asset.
        asset: Asset,
    },
    /// An account is opened before the world account of its asset.
    WorldMissing {
        /// Which account.
        account: AccountName,
        /// Its asset.
        asset: Asset,
    },
    /// There are as many accounts as an [`AccountIndex`] can count.
    TooManyAccounts,
    /// Another event stands between the halves of a transfer.
    HalfTransfer {
        /// The transfer that waits for its second half.
        waiting: TransactionId,
    },
    /// Money is credited without a deduction before it.
    CreditWithoutDeduction {
        /// Of which transaction.
        transaction_id: TransactionId,
    },
    /// The halves of a transfer do not fit: other id, other amount, other asset or the same account.
    HalvesDiffer {
        /// The transfer that waits for its second half.
        waiting: TransactionId,
    },
    /// A refusal lacks a field of its kind of command, or has one that the kind does not have.
    FailureFields {
        /// Of which transaction.
        transaction_id: TransactionId,
        /// The kind of command.
        kind: CommandKind,
    },
    /// A pending transfer is opened whose id is open.
    PendingTwice {
        /// The pending transfer.
        pending_id: TransactionId,
    },
    /// A pending transfer is settled that is not open.
    PendingNotOpen {
        /// The pending transfer.
        pending_id: TransactionId,
    },
    /// A pending transfer is settled with other accounts or another amount than it has.
    PendingDiffers {
        /// The pending transfer.
        pending_id: TransactionId,
    },
    /// A pending transfer is between one account, between different assets, or with a system account.
    PendingSides {
        /// The pending transfer.
        transaction_id: TransactionId,
    },
    /// A pending transfer begins after its deadline, or expires before it.
    Deadline {
        /// The transaction that begins or ends it.
        transaction_id: TransactionId,
        /// The deadline.
        expires_at: Timestamp,
        /// The time of the record.
        recorded_at: Timestamp,
    },
    /// An account gets a floor above what is available.
    FloorAbove {
        /// Whose floor.
        account: AccountName,
        /// The balance without what is held of it, in minor units.
        available: i64,
        /// The floor.
        floor: i64,
    },
    /// Metadata stand behind something else than a transfer with their id.
    MetadataAlone {
        /// Their id.
        transaction_id: TransactionId,
    },
    /// The events of a record are not those of one command of its kind.
    RecordShape {
        /// The record's kind.
        kind: CommandKind,
    },
}

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inconsistent::UnknownAccount { account, accounts_count } => {
                write!(
                    f,
                    "account {account} is named before it is opened; {accounts_count} accounts are open"
                )
            }
            Inconsistent::AmountNotPositive { amount } => write!(f, "amount {amount} is not positive"),
            Inconsistent::FloorBroken { account, available, amount, floor } => write!(
                f,
                "deducting {amount} from {account}, which has {available}, would break its floor of {floor}"
            ),
            Inconsistent::Overflow { account, posted, amount } => {
                write!(f, "{amount} would take the balance of {account}, {posted}, out of the 64-bit range")
            }
            Inconsistent::NameTaken { account } => write!(f, "account {account} is opened a second time"),
            Inconsistent::Scale { account, scale, asset_scale: Some(asset_scale) } => {
                write!(f, "account {account} has scale {scale}, but its asset has scale {asset_scale}")
            }
            Inconsistent::Scale { account, scale, asset_scale: None } => {
                write!(f, "account {account} has scale {scale}, more than {SCALE_MAX}")
            }
            Inconsistent::Floor { account, floor } => {
                write!(f, "account {account} has floor {floor}, which an account of its name cannot have")
            }
            Inconsistent::WorldName { account, asset } => {
                write!(f, "{account} is not the name of the world account of {asset}")
            }
            Inconsistent::WorldMissing { account, asset } => {
                write!(f, "account {account} is opened before the world account of {asset}")
            }
            Inconsistent::TooManyAccounts => write!(f, "the log opens more accounts than an index can count"),
            Inconsistent::HalfTransfer { waiting } => {
                write!(f, "another event stands where the second half of transfer {waiting} belongs")
            }
            Inconsistent::CreditWithoutDeduction { transaction_id } => {
                write!(f, "money is credited by {transaction_id} without a deduction before it")
            }
            Inconsistent::HalvesDiffer { waiting } => write!(
                f,
                "the halves of transfer {waiting} do not fit: other id, amount or asset, or the same account twice"
            ),
            Inconsistent::FailureFields { transaction_id, kind } => {
                write!(
                    f,
                    "the refusal of {transaction_id} does not have the fields of a command of kind {kind}"
                )
            }
            Inconsistent::PendingTwice { pending_id } => {
                write!(f, "pending transfer {pending_id} is opened a second time")
            }
            Inconsistent::PendingNotOpen { pending_id } => {
                write!(f, "pending transfer {pending_id} is settled but not open")
            }
            Inconsistent::PendingDiffers { pending_id } => {
                write!(f, "pending transfer {pending_id} has other accounts or another amount")
            }
            Inconsistent::PendingSides { transaction_id } => {
                write!(f, "pending transfer {transaction_id} is not between two client accounts of one asset")
            }
            Inconsistent::Deadline { transaction_id, expires_at, recorded_at } => {
                write!(
                    f,
                    "{transaction_id} is recorded at {recorded_at}, on the wrong side of the deadline {expires_at}"
                )
            }
            Inconsistent::FloorAbove { account, available, floor } => {
                write!(f, "account {account}, which has {available} available, gets a floor of {floor}")
            }
            Inconsistent::MetadataAlone { transaction_id } => {
                write!(f, "metadata of {transaction_id} do not stand behind a transfer with this id")
            }
            Inconsistent::RecordShape { kind } => {
                write!(f, "the events of the record are not those of one command of kind {kind}")
            }
        }
    }
}

impl core::error::Error for Inconsistent {}
