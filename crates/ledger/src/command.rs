//! What clients and operators ask for, and the ways in which the ledger says no.

use core::{fmt, str::FromStr};

use crate::{
    event::Failure,
    fingerprint::{Body, Fingerprint},
    id::TransactionId,
    names::{AccountName, Asset},
};

/// A well-formed wish. Texts that are not well-formed never become one. Amounts are integer minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens an account. Idempotent by name: whoever hands commands to the ledger answers a second opening of a name.
    OpenAccount {
        /// The name of the new account.
        account: AccountName,
        /// What it holds.
        asset: Asset,
        /// Decimal places of the asset, the same for all its accounts; at most [`SCALE_MAX`](crate::SCALE_MAX).
        scale: u8,
        /// `None` opens a client account, with floor 0. `Some` opens a system account, whose name begins with `@`, that
        /// may fall to this balance (0 or less); drivers take it from operators only.
        floor: Option<i64>,
        /// Minor units that come from the world account at once, 0 or more; 0 makes no transfer.
        opening_balance: i64,
    },
    /// Moves an amount between two client accounts.
    Transfer {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// Who pays.
        from_account: AccountName,
        /// Who is paid.
        to_account: AccountName,
        /// Minor units, more than 0.
        amount: i64,
    },
    /// Moves an amount from the world account of the account's asset to a client account.
    Deposit {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// Who is paid.
        account: AccountName,
        /// Minor units, more than 0.
        amount: i64,
    },
    /// Moves an amount from a client account to the world account of its asset.
    Withdrawal {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// Who pays.
        account: AccountName,
        /// Minor units, more than 0.
        amount: i64,
    },
}

impl Command {
    /// Which kind of command this is.
    pub fn kind(&self) -> CommandKind {
        match self {
            Command::OpenAccount { .. } => CommandKind::OpenAccount,
            Command::Transfer { .. } => CommandKind::Transfer,
            Command::Deposit { .. } => CommandKind::Deposit,
            Command::Withdrawal { .. } => CommandKind::Withdrawal,
        }
    }

    /// The id of the command; that of an opening is derived from its whole body (one BLAKE3 hash each call).
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                let floor_bytes = floor.map(i64::to_le_bytes);
                TransactionId::derived(
                    "open account",
                    &[
                        account.as_str().as_bytes(),
                        asset.as_str().as_bytes(),
                        &[*scale],
                        floor_bytes.as_ref().map_or(&[], <[u8; 8]>::as_slice),
                        &opening_balance.to_le_bytes(),
                    ],
                )
            }
            Command::Transfer { transaction_id, .. }
            | Command::Deposit { transaction_id, .. }
            | Command::Withdrawal { transaction_id, .. } => *transaction_id,
        }
    }

    /// What tells the same id with another body: see [`Fingerprint`].
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                Body::opening(account, asset, *scale, *floor, *opening_balance).fingerprint()
            }
            Command::Transfer { from_account, to_account, amount, .. } => {
                Body::transfer(from_account, to_account, *amount).fingerprint()
            }
            Command::Deposit { account, amount, .. } => Body::deposit(account, *amount).fingerprint(),
            Command::Withdrawal { account, amount, .. } => Body::withdrawal(account, *amount).fingerprint(),
        }
    }

    /// The record of this command's refusal: everything as submitted.
    pub(crate) fn refused(&self, reason: Reason) -> Failure {
        let (from_account, to_account, amount) = match self {
            Command::OpenAccount { account, opening_balance, .. } => (None, Some(account), opening_balance),
            Command::Transfer { from_account, to_account, amount, .. } => {
                (Some(from_account), Some(to_account), amount)
            }
            Command::Deposit { account, amount, .. } => (None, Some(account), amount),
            Command::Withdrawal { account, amount, .. } => (Some(account), None, amount),
        };
        let (asset, scale, floor) = match self {
            Command::OpenAccount { asset, scale, floor, .. } => (Some(asset.clone()), Some(*scale), *floor),
            Command::Transfer { .. } | Command::Deposit { .. } | Command::Withdrawal { .. } => {
                (None, None, None)
            }
        };
        Failure {
            transaction_id: self.transaction_id(),
            kind: self.kind(),
            from_account: from_account.cloned(),
            to_account: to_account.cloned(),
            amount: *amount,
            asset,
            scale,
            floor,
            reason,
        }
    }
}

/// The kind of a command, and of the record that tells what came of it. The numbers stand in logs and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CommandKind {
    /// [`Command::OpenAccount`].
    OpenAccount = 1,
    /// [`Command::Transfer`].
    Transfer = 2,
    /// [`Command::Deposit`].
    Deposit = 3,
    /// [`Command::Withdrawal`].
    Withdrawal = 4,
}

impl CommandKind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [CommandKind; 4] =
        [CommandKind::OpenAccount, CommandKind::Transfer, CommandKind::Deposit, CommandKind::Withdrawal];

    /// The word for the kind, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            CommandKind::OpenAccount => "open_account",
            CommandKind::Transfer => "transfer",
            CommandKind::Deposit => "deposit",
            CommandKind::Withdrawal => "withdrawal",
        }
    }

    /// The number for the kind, as in binary logs.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The kind with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<CommandKind> {
        CommandKind::ALL.into_iter().find(|kind| kind.as_u8() == number)
    }
}

impl FromStr for CommandKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<CommandKind, UnknownWord> {
        CommandKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownWord)
    }
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why the ledger refuses a command. If several reasons hold, the first of them in this order is the answer.
/// The numbers stand in logs and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The amount is 0 or less; an opening balance is less than 0.
    AmountNotPositive = 1,
    /// A transfer names one account twice.
    SameAccount = 2,
    /// A transfer, deposit or withdrawal names a system account; an opening names a world account, which the ledger
    /// opens by itself, or gives a floor to a name without `@` or none to a name with it.
    ReservedAccount = 3,
    /// No account has the name that pays.
    UnknownFromAccount = 4,
    /// No account has the name that is paid.
    UnknownToAccount = 5,
    /// The accounts hold different assets; an opening has another scale than the accounts of its asset, or one above
    /// [`SCALE_MAX`](crate::SCALE_MAX).
    AssetMismatch = 6,
    /// A balance would leave the range of `i64`.
    Overflow = 7,
    /// The balance would fall below the account's floor; an opening has a floor above 0, where every balance begins.
    InsufficientFunds = 8,
}

impl Reason {
    /// Every reason, in the order of precedence.
    pub const ALL: [Reason; 8] = [
        Reason::AmountNotPositive,
        Reason::SameAccount,
        Reason::ReservedAccount,
        Reason::UnknownFromAccount,
        Reason::UnknownToAccount,
        Reason::AssetMismatch,
        Reason::Overflow,
        Reason::InsufficientFunds,
    ];

    /// The word for the reason, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::AmountNotPositive => "amount_not_positive",
            Reason::SameAccount => "same_account",
            Reason::ReservedAccount => "reserved_account",
            Reason::UnknownFromAccount => "unknown_from_account",
            Reason::UnknownToAccount => "unknown_to_account",
            Reason::AssetMismatch => "asset_mismatch",
            Reason::Overflow => "overflow",
            Reason::InsufficientFunds => "insufficient_funds",
        }
    }

    /// The number for the reason, as in binary logs: 1 to 8.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The reason with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_u8() == number)
    }
}

impl FromStr for Reason {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Reason, UnknownWord> {
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownWord)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text is none of the fixed words (kinds of command, reasons, results) that were expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord;

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the word is none of those that can stand here")
    }
}

impl core::error::Error for UnknownWord {}

/// What came of a command. Also an opening completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionResult {
    /// It took effect.
    Completed,
    /// It changed nothing, and never will: the same id gets this answer for ever.
    Refused(Reason),
}

impl TransactionResult {
    /// 0 for completed, otherwise the number of the reason.
    pub const fn as_u8(self) -> u8 {
        match self {
            TransactionResult::Completed => 0,
            TransactionResult::Refused(reason) => reason.as_u8(),
        }
    }

    /// The result with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<TransactionResult> {
        match number {
            0 => Some(TransactionResult::Completed),
            _ => Reason::from_u8(number).map(TransactionResult::Refused),
        }
    }
}

impl fmt::Display for TransactionResult {
    /// `completed`, or the word for the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionResult::Completed => f.pad("completed"),
            TransactionResult::Refused(reason) => f.pad(reason.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_go_there_and_back() {
        for kind in CommandKind::ALL {
            assert_eq!(CommandKind::from_u8(kind.as_u8()), Some(kind));
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.as_u8()), index + 1);
            assert_eq!(Reason::from_u8(reason.as_u8()), Some(reason));
            assert_eq!(reason.as_str().parse(), Ok(reason));
            let result = TransactionResult::Refused(reason);
            assert_eq!(TransactionResult::from_u8(result.as_u8()), Some(result));
        }
        assert_eq!(TransactionResult::from_u8(0), Some(TransactionResult::Completed));
        assert_eq!((CommandKind::from_u8(0), CommandKind::from_u8(5)), (None, None));
        assert_eq!((Reason::from_u8(0), Reason::from_u8(9)), (None, None));
        assert_eq!("Transfer".parse::<CommandKind>(), Err(UnknownWord));
    }
}
