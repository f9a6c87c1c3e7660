//! A ledger without interning, hashing or haste, to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use crate::digest::{account_hash, account_key, hold_hash};
use crate::fingerprint::Body;
use crate::{Reason, SCALE_MAX};

use super::super::*;

/// What a ledger is without interning, hashing or haste; every fault of a command at once, not only the first. What is held
/// is added up from the open pending transfers whenever it is asked for.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) accounts: BTreeMap<AccountName, ModelAccount>,
    pub(super) pending: BTreeMap<TransactionId, ModelPending>,
    answers: u128,
}

#[derive(Clone)]
pub(super) struct ModelAccount {
    asset: Asset,
    scale: u8,
    floor: i64,
    pub(super) posted: i128,
}

#[derive(Clone)]
pub(super) struct ModelPending {
    from: AccountName,
    to: AccountName,
    amount: i64,
    expires_at: Option<Timestamp>,
}

/// Something that happened at a time: a command, or that what was due expired.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Command(Timestamp, Command),
    Expire(Timestamp),
}

fn fits(balance: i128) -> bool {
    i64::try_from(balance).is_ok()
}

impl Model {
    /// Everything anew from all that happened.
    pub(super) fn of(steps: &[Step]) -> Model {
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Command(now, command) => drop(model.run(*now, command)),
                Step::Expire(now) => model.expire(*now),
            }
        }
        model
    }

    pub(super) fn faults(&self, now: Timestamp, command: &Command) -> BTreeSet<Reason> {
        match command {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                self.opening_faults(account, asset, *scale, *floor, *opening_balance)
            }
            Command::Transfer { from_account, to_account, amount, .. } => {
                self.moving_faults(Some(from_account), Some(to_account), *amount)
            }
            Command::Deposit { account, amount, .. } => self.moving_faults(None, Some(account), *amount),
            Command::Withdrawal { account, amount, .. } => self.moving_faults(Some(account), None, *amount),
            Command::PendingTransfer { from_account, to_account, amount, expires_at, .. } => {
                let mut faults = self.moving_faults(Some(from_account), Some(to_account), *amount);
                if expires_at.is_some_and(|expires_at| expires_at <= now) {
                    faults.insert(Reason::DeadlinePassed);
                }
                if !fits(self.held(from_account) + i128::from(*amount)) {
                    faults.insert(Reason::Overflow);
                }
                faults
            }
            Command::PostTransfer { pending_id, amount, .. } => self.post_faults(pending_id, *amount),
            Command::VoidTransfer { pending_id, .. } => {
                only([(Reason::PendingNotOpen, !self.pending.contains_key(pending_id))])
            }
            Command::SetFloor { account, floor, .. } => {
                let available = self.accounts.get(account).map(|known| known.posted - self.held(account));
                let above = available.is_some_and(|available| i128::from(*floor) > available);
                only([
                    (Reason::ReservedAccount, account.as_str().starts_with("@world/")),
                    (Reason::UnknownToAccount, available.is_none()),
                    (Reason::FloorAboveBalance, *floor > 0 || above),
                ])
            }
            Command::Linked { .. } => panic!("a group has no faults but those of its members"),
        }
    }

    fn post_faults(&self, pending_id: &TransactionId, amount: Option<i64>) -> BTreeSet<Reason> {
        let pending = self.pending.get(pending_id);
        let moved = pending.map(|pending| amount.unwrap_or(pending.amount));
        let grown =
            pending.zip(moved).map(|(pending, moved)| self.accounts[&pending.to].posted + i128::from(moved));
        only([
            (Reason::AmountNotPositive, amount.is_some_and(|amount| amount <= 0)),
            (Reason::PendingNotOpen, pending.is_none()),
            (Reason::AmountExceedsPending, pending.zip(moved).is_some_and(|(p, moved)| moved > p.amount)),
            (Reason::Overflow, grown.is_some_and(|grown| !fits(grown))),
        ])
    }

    /// What is held of an account.
    pub(super) fn held(&self, name: &AccountName) -> i128 {
        let own = self.pending.values().filter(|pending| pending.from == *name);
        own.map(|pending| i128::from(pending.amount)).sum()
    }

    fn opening_faults(
        &self,
        account: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: Option<i64>,
        opening_balance: i64,
    ) -> BTreeSet<Reason> {
        let world = self.accounts.get(&AccountName::world(asset));
        let funded = world.map_or(0, |world| world.posted) - i128::from(opening_balance);
        let faults = [
            (Reason::AmountNotPositive, opening_balance < 0),
            (Reason::ReservedAccount, account.as_str().starts_with("@world/")),
            (Reason::ReservedAccount, account.is_system() && floor.is_none()),
            (Reason::AssetMismatch, scale > SCALE_MAX || world.is_some_and(|world| world.scale != scale)),
            (Reason::Overflow, !fits(funded)),
            (Reason::InsufficientFunds, floor.is_some_and(|floor| floor > 0)),
        ];
        only(faults)
    }

    fn moving_faults(
        &self,
        from: Option<&AccountName>,
        to: Option<&AccountName>,
        amount: i64,
    ) -> BTreeSet<Reason> {
        let known = |name: Option<&AccountName>| name.and_then(|name| self.accounts.get(name));
        let world_beside = |other: Option<&ModelAccount>| {
            other.and_then(|other| self.accounts.get(&AccountName::world(&other.asset)))
        };
        let payer = if from.is_some() { known(from) } else { world_beside(known(to)) };
        let payee = if to.is_some() { known(to) } else { world_beside(known(from)) };
        let left = payer.map(|payer| payer.posted - i128::from(amount));
        let grown = payee.map(|payee| payee.posted + i128::from(amount));
        let floor = payer.map_or(0, |payer| i128::from(payer.floor));
        let held = from.map_or(0, |from| self.held(from));
        let assets = (payer.map(|payer| &payer.asset), payee.map(|payee| &payee.asset));
        let faults = [
            (Reason::AmountNotPositive, amount <= 0),
            (Reason::SameAccount, from.is_some() && from == to),
            (Reason::ReservedAccount, [from, to].into_iter().flatten().any(AccountName::is_system)),
            (Reason::UnknownFromAccount, from.is_some() && known(from).is_none()),
            (Reason::UnknownToAccount, to.is_some() && known(to).is_none()),
            (Reason::AssetMismatch, matches!(assets, (Some(one), Some(other)) if one != other)),
            (Reason::Overflow, [left, grown].into_iter().flatten().any(|balance| !fits(balance))),
            (Reason::InsufficientFunds, left.is_some_and(|left| left - held < floor)),
        ];
        only(faults)
    }

    /// The first fault, or the effect, of the command or of each member of a group.
    pub(super) fn run(&mut self, now: Timestamp, command: &Command) -> Vec<TransactionResult> {
        let results = match command {
            Command::Linked { transfers } => self.run_linked(now, transfers.members()),
            single => {
                let result = self.result(now, single);
                if result == TransactionResult::Completed {
                    self.take(single);
                }
                [result].into()
            }
        };
        for (member, result) in command.members().iter().zip(&results) {
            self.answer(member.transaction_id(), member.fingerprint(), *result);
        }
        results
    }

    fn run_linked(&mut self, now: Timestamp, members: &[Command]) -> Vec<TransactionResult> {
        let mut after = self.clone();
        for (number, member) in members.iter().enumerate() {
            let result = after.result(now, member);
            if result != TransactionResult::Completed {
                let mut results = std::vec![TransactionResult::Refused(Reason::LinkedFailed); members.len()];
                results[number] = result;
                return results;
            }
            after.take(member);
        }
        *self = after;
        std::vec![TransactionResult::Completed; members.len()]
    }

    fn result(&self, now: Timestamp, command: &Command) -> TransactionResult {
        match self.faults(now, command).first() {
            Some(reason) => TransactionResult::Refused(*reason),
            None => TransactionResult::Completed,
        }
    }

    fn take(&mut self, command: &Command) {
        match command {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                let world = AccountName::world(asset);
                let open = |floor| ModelAccount { asset: asset.clone(), scale: *scale, floor, posted: 0 };
                self.accounts.entry(world.clone()).or_insert_with(|| open(i64::MIN));
                self.accounts.insert(account.clone(), open(floor.unwrap_or(0)));
                self.shift(&world, account, *opening_balance);
            }
            Command::Transfer { from_account, to_account, amount, .. } => {
                self.shift(from_account, to_account, *amount);
            }
            Command::Deposit { account, amount, .. } => {
                self.shift(&self.world(account), account, *amount);
            }
            Command::Withdrawal { account, amount, .. } => {
                self.shift(account, &self.world(account), *amount);
            }
            Command::PendingTransfer {
                transaction_id, from_account, to_account, amount, expires_at, ..
            } => {
                let (from, to) = (from_account.clone(), to_account.clone());
                let pending = ModelPending { from, to, amount: *amount, expires_at: *expires_at };
                self.pending.insert(*transaction_id, pending);
            }
            Command::PostTransfer { pending_id, amount, .. } => {
                let pending = self.pending.remove(pending_id).unwrap();
                self.shift(&pending.from, &pending.to, amount.unwrap_or(pending.amount));
            }
            Command::VoidTransfer { pending_id, .. } => drop(self.pending.remove(pending_id)),
            Command::SetFloor { account, floor, .. } => {
                self.accounts.get_mut(account).unwrap().floor = *floor;
            }
            Command::Linked { .. } => panic!("a group is taken member by member"),
        }
    }

    /// Everything that is due expires.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let is_due = |pending: &ModelPending| pending.expires_at.is_some_and(|at| at <= now);
        for (id, _) in self.pending.clone().into_iter().filter(|(_, pending)| is_due(pending)) {
            self.pending.remove(&id);
            let expiry = TransactionId::derived("expire transfer", &[&id.as_bytes()]);
            self.answer(expiry, Body::expire(id).fingerprint(), TransactionResult::Completed);
        }
    }

    fn answer(&mut self, id: TransactionId, fingerprint: crate::Fingerprint, result: TransactionResult) {
        self.answers = self.answers.wrapping_add(outcome_hash(id, fingerprint, result));
    }

    fn world(&self, name: &AccountName) -> AccountName {
        AccountName::world(&self.accounts[name].asset)
    }

    fn shift(&mut self, from: &AccountName, to: &AccountName, amount: i64) {
        self.accounts.get_mut(from).unwrap().posted -= i128::from(amount);
        self.accounts.get_mut(to).unwrap().posted += i128::from(amount);
    }

    /// The digest by its definition: every account and every pending transfer anew.
    pub(super) fn digest(&self) -> u128 {
        let accounts = self.accounts.iter().map(|(name, account)| {
            let key = account_key(name, &account.asset, account.scale, account.floor);
            let (posted, held) = (account.posted, self.held(name));
            account_hash(key, i64::try_from(posted).unwrap(), i64::try_from(held).unwrap())
        });
        let pending = self.pending.iter().map(|(id, pending)| {
            hold_hash(*id, &pending.from, &pending.to, pending.amount, pending.expires_at)
        });
        accounts.chain(pending).fold(self.answers, u128::wrapping_add)
    }
}

/// The reasons that hold.
fn only<const N: usize>(faults: [(Reason, bool); N]) -> BTreeSet<Reason> {
    faults.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
}
