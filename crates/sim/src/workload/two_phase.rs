//! Transfers in two steps, groups and floors.

use ledger::{Command, LinkedTransfers, Metadata, TransactionId};
use time::Timestamp;

use super::Generator;
use crate::options::Options;

/// A pending transfer that a client may settle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    id: TransactionId,
    amount: i64,
}

/// The longest time that a pending transfer is given, in virtual microseconds.
const EXPIRES_IN_MICROS_MAX: u64 = 200_000;
/// The lowest floor that is set, in minor units.
const FLOOR_MIN: u64 = 50_000;
/// The most members of a generated group.
const MEMBERS_MAX: u64 = 5;

impl Pending {
    /// The pending transfer that this command opens, if it was not refused.
    pub(super) fn of(command: &Command) -> Option<Pending> {
        match command {
            Command::PendingTransfer { transaction_id, amount, .. } => {
                Some(Pending { id: *transaction_id, amount: *amount })
            }
            Command::OpenAccount { .. }
            | Command::Transfer { .. }
            | Command::Deposit { .. }
            | Command::Withdrawal { .. }
            | Command::PostTransfer { .. }
            | Command::VoidTransfer { .. }
            | Command::SetFloor { .. }
            | Command::Linked { .. } => None,
        }
    }
}

impl Generator {
    /// Opens a pending transfer, or settles one that was answered: it may be open, settled, expired or refused by now.
    pub(super) fn two_phase(&mut self, options: &Options, now: Timestamp) -> Command {
        let at = usize::try_from(self.rng.below(2 * (self.pendings.len() as u64 + 1))).expect("a short list");
        // Half of them stay in the list, so that some are settled twice.
        let known = self.pendings.get(at).copied();
        match known {
            Some(pending) => {
                if self.rng.below(2) == 0 {
                    self.pendings.remove(at);
                }
                self.settle(pending, now)
            }
            None => self.pending(options, now),
        }
    }

    /// A group of transfers of all kinds; at times one member opens a pending transfer and the next posts it, and at times
    /// one cannot be, so that none of them is.
    pub(super) fn linked(&mut self, options: &Options, now: Timestamp) -> Command {
        let count = self.rng.between(2, MEMBERS_MAX);
        let mut members = Vec::new();
        for _ in 0..count {
            match self.rng.below(8) {
                0 => {
                    let pending = self.pending(options, now);
                    members.extend(Pending::of(&pending).map(|pending| self.settle(pending, now)));
                    let last = members.len() - 1;
                    members.insert(last, pending);
                }
                1 => {
                    let (transaction_id, amount) = (self.id(now), self.amount(options));
                    let (account, metadata) = (self.account(), self.metadata());
                    members.push(Command::Deposit { transaction_id, account, amount, metadata });
                }
                _ => members.push(self.transfer(options, now)),
            }
        }
        let transfers = LinkedTransfers::new(members).expect("a handful of members with ids of their own");
        Command::Linked { transfers }
    }

    pub(super) fn set_floor(&mut self, now: Timestamp) -> Command {
        let (transaction_id, account) = (self.id(now), self.account());
        let below = if self.rng.below(2) == 0 { 0 } else { self.rng.between(1, FLOOR_MIN) };
        let floor = -i64::try_from(below).expect("a small number");
        Command::SetFloor { transaction_id, account, floor }
    }

    fn pending(&mut self, options: &Options, now: Timestamp) -> Command {
        let metadata = self.metadata();
        let expires_at = match self.rng.below(4) {
            0 => None,
            _ => Some(now.saturating_add_micros(self.rng.between(0, EXPIRES_IN_MICROS_MAX))),
        };
        match self.transfer(options, now) {
            Command::Transfer { transaction_id, from_account, to_account, amount, .. } => {
                Command::PendingTransfer {
                    transaction_id,
                    from_account,
                    to_account,
                    amount,
                    expires_at,
                    metadata,
                }
            }
            other => other,
        }
    }

    fn settle(&mut self, pending: Pending, now: Timestamp) -> Command {
        let (transaction_id, pending_id, metadata) = (self.id(now), pending.id, self.metadata());
        let part = u64::try_from(pending.amount).unwrap_or(1);
        match self.rng.below(6) {
            0 | 1 => Command::PostTransfer { transaction_id, pending_id, amount: None, metadata },
            2 | 3 => {
                let amount = i64::try_from(self.rng.between(1, part)).ok();
                Command::PostTransfer { transaction_id, pending_id, amount, metadata }
            }
            4 => {
                let amount = pending.amount.checked_add(1);
                Command::PostTransfer { transaction_id, pending_id, amount, metadata }
            }
            _ => Command::VoidTransfer { transaction_id, pending_id, metadata },
        }
    }

    fn metadata(&mut self) -> Option<Metadata> {
        let order = self.rng.below(4 * 10_000);
        let text = format!("{{\"order\":{order}}}");
        (order < 10_000).then(|| Metadata::from_canonical(&text).expect("a short text"))
    }
}

/// Makes another body for the same id; of a group that of the first member.
pub(super) fn change_body(command: &mut Command) {
    match command {
        Command::Transfer { amount, .. }
        | Command::Deposit { amount, .. }
        | Command::Withdrawal { amount, .. }
        | Command::PendingTransfer { amount, .. } => *amount = amount.wrapping_add(1),
        Command::PostTransfer { amount, .. } => {
            *amount = Some(amount.map_or(1, |amount| amount.wrapping_add(1)));
        }
        Command::VoidTransfer { pending_id, .. } => {
            let mut bytes = pending_id.as_bytes();
            bytes[15] ^= 1;
            *pending_id = TransactionId::from_bytes(bytes);
        }
        Command::SetFloor { floor, .. } => *floor = floor.wrapping_sub(1),
        Command::Linked { transfers } => {
            let mut members = transfers.members().to_vec();
            change_body(&mut members[0]);
            *transfers = LinkedTransfers::new(members).expect("the ids are the same");
        }
        Command::OpenAccount { .. } => {}
    }
}
