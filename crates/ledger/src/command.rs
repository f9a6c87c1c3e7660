//! What clients and operators ask for, and the ways in which the ledger says no.

use core::{cmp::Ordering, fmt, str::FromStr};

use time::Timestamp;

use crate::{
    event::Failure,
    fingerprint::{Body, Fingerprint},
    id::TransactionId,
    linked::LinkedTransfers,
    metadata::Metadata,
    names::{AccountName, Asset},
};

/// A well-formed wish. Texts that are not well-formed never become one. Amounts are integer minor units.
///
/// That a pending transfer expires is no command: nobody asks for it, the machine that runs the ledger sees to it
/// ([`Ledger::expire`](crate::Ledger::expire)).
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
        /// The balance that the account may fall to, 0 or less. `None` is 0, and is for client accounts only: a system
        /// account, whose name begins with `@`, needs one, and drivers take it from operators only.
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
        /// What the client attaches.
        metadata: Option<Metadata>,
    },
    /// Moves an amount from the world account of the account's asset to a client account.
    Deposit {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// Who is paid.
        account: AccountName,
        /// Minor units, more than 0.
        amount: i64,
        /// What the client attaches.
        metadata: Option<Metadata>,
    },
    /// Moves an amount from a client account to the world account of its asset.
    Withdrawal {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// Who pays.
        account: AccountName,
        /// Minor units, more than 0.
        amount: i64,
        /// What the client attaches.
        metadata: Option<Metadata>,
    },
    /// Holds an amount of a client account for a transfer to another, until it is posted, voided or expires.
    PendingTransfer {
        /// The idempotency key, and the name of the pending transfer.
        transaction_id: TransactionId,
        /// Who is to pay.
        from_account: AccountName,
        /// Who is to be paid.
        to_account: AccountName,
        /// Minor units, more than 0.
        amount: i64,
        /// When it expires by itself; later than now. `None`: it stays until somebody settles it.
        expires_at: Option<Timestamp>,
        /// What the client attaches.
        metadata: Option<Metadata>,
    },
    /// Makes an open pending transfer, whole or in part; what is left of it is released.
    PostTransfer {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// The pending transfer.
        pending_id: TransactionId,
        /// Minor units, more than 0 and at most what is held; `None` for all of it.
        amount: Option<i64>,
        /// What the client attaches.
        metadata: Option<Metadata>,
    },
    /// Releases an open pending transfer.
    VoidTransfer {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// The pending transfer.
        pending_id: TransactionId,
        /// What the client attaches.
        metadata: Option<Metadata>,
    },
    /// Lets the balance of an account fall to another floor from now on. Drivers take it from operators only.
    SetFloor {
        /// The idempotency key.
        transaction_id: TransactionId,
        /// Whose floor; of any account but a world account.
        account: AccountName,
        /// Minor units, 0 or less and at most what is available.
        floor: i64,
    },
    /// Does all of these or none; each sees the effects of those before it.
    Linked {
        /// The members.
        transfers: LinkedTransfers,
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
            Command::PendingTransfer { .. } => CommandKind::PendingTransfer,
            Command::PostTransfer { .. } => CommandKind::PostTransfer,
            Command::VoidTransfer { .. } => CommandKind::VoidTransfer,
            Command::SetFloor { .. } => CommandKind::SetFloor,
            Command::Linked { .. } => CommandKind::Linked,
        }
    }

    /// The id of the command; that of an opening is derived from its whole body (one BLAKE3 hash each call). A group has
    /// none of its own and is named by that of its first member.
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                let floor_bytes = given_floor(account, *floor).map(i64::to_le_bytes);
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
            | Command::Withdrawal { transaction_id, .. }
            | Command::PendingTransfer { transaction_id, .. }
            | Command::PostTransfer { transaction_id, .. }
            | Command::VoidTransfer { transaction_id, .. }
            | Command::SetFloor { transaction_id, .. } => *transaction_id,
            Command::Linked { transfers } => transfers.members()[0].transaction_id(),
        }
    }

    /// The commands whose answers are given: the members of a group, or the command itself.
    pub fn members(&self) -> &[Command] {
        match self {
            Command::Linked { transfers } => transfers.members(),
            Command::OpenAccount { .. }
            | Command::Transfer { .. }
            | Command::Deposit { .. }
            | Command::Withdrawal { .. }
            | Command::PendingTransfer { .. }
            | Command::PostTransfer { .. }
            | Command::VoidTransfer { .. }
            | Command::SetFloor { .. } => core::slice::from_ref(self),
        }
    }

    /// What the client attached; a group has none of its own.
    pub fn metadata(&self) -> Option<&Metadata> {
        match self {
            Command::Transfer { metadata, .. }
            | Command::Deposit { metadata, .. }
            | Command::Withdrawal { metadata, .. }
            | Command::PendingTransfer { metadata, .. }
            | Command::PostTransfer { metadata, .. }
            | Command::VoidTransfer { metadata, .. } => metadata.as_ref(),
            Command::OpenAccount { .. } | Command::SetFloor { .. } | Command::Linked { .. } => None,
        }
    }

    /// What tells the same id with another body: see [`Fingerprint`]. That of a group covers the ids and bodies of all
    /// members and stands in no record.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                Body::opening(account, asset, *scale, given_floor(account, *floor), *opening_balance)
                    .fingerprint()
            }
            Command::Transfer { from_account, to_account, amount, metadata, .. } => {
                Body::transfer(from_account, to_account, *amount).with(metadata.as_ref()).fingerprint()
            }
            Command::Deposit { account, amount, metadata, .. } => {
                Body::deposit(account, *amount).with(metadata.as_ref()).fingerprint()
            }
            Command::Withdrawal { account, amount, metadata, .. } => {
                Body::withdrawal(account, *amount).with(metadata.as_ref()).fingerprint()
            }
            Command::PendingTransfer { from_account, to_account, amount, expires_at, metadata, .. } => {
                Body::pending(from_account, to_account, *amount, *expires_at)
                    .with(metadata.as_ref())
                    .fingerprint()
            }
            Command::PostTransfer { pending_id, amount, metadata, .. } => {
                Body::post(*pending_id, *amount).with(metadata.as_ref()).fingerprint()
            }
            Command::VoidTransfer { pending_id, metadata, .. } => {
                Body::void(*pending_id).with(metadata.as_ref()).fingerprint()
            }
            Command::SetFloor { account, floor, .. } => Body::set_floor(account, *floor).fingerprint(),
            Command::Linked { transfers } => {
                let bodies = transfers.members().iter().map(|one| (one.transaction_id(), one.fingerprint()));
                Fingerprint::of_all(bodies)
            }
        }
    }

    /// The record of this command's refusal: everything as submitted. Of a group each member has its own.
    pub(crate) fn refused(&self, reason: Reason) -> Failure {
        let blank = Failure::blank(self.transaction_id(), self.kind(), reason);
        let metadata = self.metadata().cloned();
        match self.clone() {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => Failure {
                floor: given_floor(&account, floor),
                to_account: Some(account),
                amount: Some(opening_balance),
                asset: Some(asset),
                scale: Some(scale),
                ..blank
            },
            Command::Transfer { from_account, to_account, amount, .. } => Failure {
                from_account: Some(from_account),
                to_account: Some(to_account),
                amount: Some(amount),
                metadata,
                ..blank
            },
            Command::Deposit { account, amount, .. } => {
                Failure { to_account: Some(account), amount: Some(amount), metadata, ..blank }
            }
            Command::Withdrawal { account, amount, .. } => {
                Failure { from_account: Some(account), amount: Some(amount), metadata, ..blank }
            }
            Command::PendingTransfer { from_account, to_account, amount, expires_at, .. } => Failure {
                from_account: Some(from_account),
                to_account: Some(to_account),
                amount: Some(amount),
                expires_at,
                metadata,
                ..blank
            },
            Command::PostTransfer { pending_id, amount, .. } => {
                Failure { pending_id: Some(pending_id), amount, metadata, ..blank }
            }
            Command::VoidTransfer { pending_id, .. } => {
                Failure { pending_id: Some(pending_id), metadata, ..blank }
            }
            Command::SetFloor { account, floor, .. } => {
                Failure { to_account: Some(account), floor: Some(floor), ..blank }
            }
            Command::Linked { .. } => unreachable!("a group is refused member by member"),
        }
    }
}

/// The floor in an opening's body: a client account's 0 is the same wish as none.
fn given_floor(account: &AccountName, floor: Option<i64>) -> Option<i64> {
    floor.filter(|floor| *floor != 0 || account.is_system())
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
    /// [`Command::PendingTransfer`].
    PendingTransfer = 5,
    /// [`Command::PostTransfer`].
    PostTransfer = 6,
    /// [`Command::VoidTransfer`].
    VoidTransfer = 7,
    /// A pending transfer expires; the machine's own, nobody sends it.
    ExpireTransfer = 8,
    /// [`Command::SetFloor`].
    SetFloor = 9,
    /// [`Command::Linked`]; of the record only, each member has its own kind.
    Linked = 10,
}

impl CommandKind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [CommandKind; 10] = [
        CommandKind::OpenAccount,
        CommandKind::Transfer,
        CommandKind::Deposit,
        CommandKind::Withdrawal,
        CommandKind::PendingTransfer,
        CommandKind::PostTransfer,
        CommandKind::VoidTransfer,
        CommandKind::ExpireTransfer,
        CommandKind::SetFloor,
        CommandKind::Linked,
    ];

    /// The word for the kind, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            CommandKind::OpenAccount => "open_account",
            CommandKind::Transfer => "transfer",
            CommandKind::Deposit => "deposit",
            CommandKind::Withdrawal => "withdrawal",
            CommandKind::PendingTransfer => "pending_transfer",
            CommandKind::PostTransfer => "post_transfer",
            CommandKind::VoidTransfer => "void_transfer",
            CommandKind::ExpireTransfer => "expire_transfer",
            CommandKind::SetFloor => "set_floor",
            CommandKind::Linked => "linked",
        }
    }

    /// Can a command of this kind be a member of a group?
    pub const fn is_member(self) -> bool {
        match self {
            CommandKind::Transfer
            | CommandKind::Deposit
            | CommandKind::Withdrawal
            | CommandKind::PendingTransfer
            | CommandKind::PostTransfer
            | CommandKind::VoidTransfer => true,
            CommandKind::OpenAccount
            | CommandKind::ExpireTransfer
            | CommandKind::SetFloor
            | CommandKind::Linked => false,
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

/// Why the ledger refuses a command. If several reasons hold, the first of them is the answer: reasons are ordered by
/// precedence. The numbers stand in logs and never change; they are in the order in which the reasons came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The amount is 0 or less; an opening balance is less than 0.
    AmountNotPositive = 1,
    /// A transfer names one account twice.
    SameAccount = 2,
    /// A transfer, deposit or withdrawal names a system account; an opening names a world account, which the ledger
    /// opens by itself, or gives no floor to a name with `@`; a floor is set for a world account.
    ReservedAccount = 3,
    /// A pending transfer would expire at once: its deadline is not later than now.
    DeadlinePassed = 9,
    /// No account has the name that pays.
    UnknownFromAccount = 4,
    /// No account has the name that is paid, or whose floor is set.
    UnknownToAccount = 5,
    /// No pending transfer with this id is open: there never was one, or it was posted, voided or expired.
    PendingNotOpen = 10,
    /// The accounts hold different assets; an opening has another scale than the accounts of its asset, or one above
    /// [`SCALE_MAX`](crate::SCALE_MAX).
    AssetMismatch = 6,
    /// More would be posted than is held.
    AmountExceedsPending = 11,
    /// A balance, or what is held of one, would leave the range of `i64`.
    Overflow = 7,
    /// What is available (the balance without what is held) would fall below the account's floor; an opening has a floor
    /// above 0, where every balance begins.
    InsufficientFunds = 8,
    /// The new floor is above what is available, or above 0.
    FloorAboveBalance = 12,
    /// Another member of the group was refused.
    LinkedFailed = 13,
}

impl Reason {
    /// Every reason, in the order of precedence.
    pub const ALL: [Reason; 13] = [
        Reason::AmountNotPositive,
        Reason::SameAccount,
        Reason::ReservedAccount,
        Reason::DeadlinePassed,
        Reason::UnknownFromAccount,
        Reason::UnknownToAccount,
        Reason::PendingNotOpen,
        Reason::AssetMismatch,
        Reason::AmountExceedsPending,
        Reason::Overflow,
        Reason::InsufficientFunds,
        Reason::FloorAboveBalance,
        Reason::LinkedFailed,
    ];

    /// The word for the reason, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::AmountNotPositive => "amount_not_positive",
            Reason::SameAccount => "same_account",
            Reason::ReservedAccount => "reserved_account",
            Reason::DeadlinePassed => "deadline_passed",
            Reason::UnknownFromAccount => "unknown_from_account",
            Reason::UnknownToAccount => "unknown_to_account",
            Reason::PendingNotOpen => "pending_not_open",
            Reason::AssetMismatch => "asset_mismatch",
            Reason::AmountExceedsPending => "amount_exceeds_pending",
            Reason::Overflow => "overflow",
            Reason::InsufficientFunds => "insufficient_funds",
            Reason::FloorAboveBalance => "floor_above_balance",
            Reason::LinkedFailed => "linked_failed",
        }
    }

    /// The number for the reason, as in binary logs: 1 to 13.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Its place in [`Reason::ALL`].
    fn precedence(self) -> Option<usize> {
        Reason::ALL.into_iter().position(|reason| reason == self)
    }

    /// The reason with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.as_u8() == number)
    }
}

impl Ord for Reason {
    fn cmp(&self, other: &Reason) -> Ordering {
        self.precedence().cmp(&other.precedence())
    }
}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Reason) -> Option<Ordering> {
        Some(self.cmp(other))
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
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn numbers_and_words_go_there_and_back() {
        for kind in CommandKind::ALL {
            assert_eq!(CommandKind::from_u8(kind.as_u8()), Some(kind));
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let mut numbers: Vec<u8> = Reason::ALL.iter().map(|reason| reason.as_u8()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=13).collect::<Vec<u8>>());
        assert!(Reason::ALL.is_sorted());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_u8(reason.as_u8()), Some(reason));
            assert_eq!(reason.as_str().parse(), Ok(reason));
            let result = TransactionResult::Refused(reason);
            assert_eq!(TransactionResult::from_u8(result.as_u8()), Some(result));
        }
        assert_eq!(TransactionResult::from_u8(0), Some(TransactionResult::Completed));
        assert_eq!((CommandKind::from_u8(0), CommandKind::from_u8(11)), (None, None));
        assert_eq!((Reason::from_u8(0), Reason::from_u8(14)), (None, None));
        assert_eq!("Transfer".parse::<CommandKind>(), Err(UnknownWord));
    }
}
