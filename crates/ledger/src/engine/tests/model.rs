//! A ledger without interning, hashing or haste, to compare with.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;

/// What a ledger is without interning, hashing or haste; every fault of a command at once, not only the first.
#[derive(Default)]
pub(super) struct Model {
    pub(super) accounts: BTreeMap<AccountName, ModelAccount>,
    digest: u128,
}

pub(super) struct ModelAccount {
    asset: Asset,
    scale: u8,
    floor: i64,
    pub(super) posted: i128,
}

fn fits(balance: i128) -> bool {
    i64::try_from(balance).is_ok()
}

impl Model {
    pub(super) fn faults(&self, command: &Command) -> BTreeSet<Reason> {
        match command {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                self.opening_faults(account, asset, *scale, *floor, *opening_balance)
            }
            Command::Transfer { from_account, to_account, amount, .. } => {
                self.moving_faults(Some(from_account), Some(to_account), *amount)
            }
            Command::Deposit { account, amount, .. } => self.moving_faults(None, Some(account), *amount),
            Command::Withdrawal { account, amount, .. } => self.moving_faults(Some(account), None, *amount),
        }
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
            (Reason::ReservedAccount, account.is_system() != floor.is_some()),
            (Reason::AssetMismatch, scale > SCALE_MAX || world.is_some_and(|world| world.scale != scale)),
            (Reason::Overflow, !fits(funded)),
            (Reason::InsufficientFunds, floor.is_some_and(|floor| floor > 0)),
        ];
        faults.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
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
        let assets = (payer.map(|payer| &payer.asset), payee.map(|payee| &payee.asset));
        let faults = [
            (Reason::AmountNotPositive, amount <= 0),
            (Reason::SameAccount, from.is_some() && from == to),
            (Reason::ReservedAccount, [from, to].into_iter().flatten().any(AccountName::is_system)),
            (Reason::UnknownFromAccount, from.is_some() && known(from).is_none()),
            (Reason::UnknownToAccount, to.is_some() && known(to).is_none()),
            (Reason::AssetMismatch, matches!(assets, (Some(one), Some(other)) if one != other)),
            (Reason::Overflow, [left, grown].into_iter().flatten().any(|balance| !fits(balance))),
            (Reason::InsufficientFunds, left.is_some_and(|left| left < floor)),
        ];
        faults.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
    }

    /// The first fault, or the effect.
    pub(super) fn run(&mut self, command: &Command) -> TransactionResult {
        let result = match self.faults(command).first() {
            Some(reason) => TransactionResult::Refused(*reason),
            None => TransactionResult::Completed,
        };
        let answer = outcome_hash(command.transaction_id(), command.fingerprint(), result);
        self.digest = self.digest.wrapping_add(answer);
        if result == TransactionResult::Completed {
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
            }
        }
        result
    }

    fn world(&self, name: &AccountName) -> AccountName {
        AccountName::world(&self.accounts[name].asset)
    }

    fn shift(&mut self, from: &AccountName, to: &AccountName, amount: i64) {
        self.accounts.get_mut(from).unwrap().posted -= i128::from(amount);
        self.accounts.get_mut(to).unwrap().posted += i128::from(amount);
    }

    /// The digest by its definition: every account anew.
    pub(super) fn digest(&self) -> u128 {
        self.accounts.iter().fold(self.digest, |sum, (name, account)| {
            let key = account_key(name, &account.asset, account.scale, account.floor);
            sum.wrapping_add(account_hash(key, i64::try_from(account.posted).unwrap(), 0))
        })
    }
}
