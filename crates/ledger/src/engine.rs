//! The ledger itself: decide, check, change.

use alloc::vec::Vec;

use hashbrown::HashTable;
use time::Timestamp;
use twox_hash::XxHash3_64;

use crate::{
    command::{Command, CommandKind, Reason, TransactionResult},
    digest::{Digest, account_hash, account_key, outcome_hash},
    event::{AccountIndex, Event, Failure, Record, Transaction},
    fingerprint::Body,
    id::TransactionId,
    inconsistent::Inconsistent,
    names::{AccountName, Asset, SCALE_MAX},
};

/// All accounts, their balances and the digest. A clone costs O(accounts), whatever happened before.
///
/// After every settled event: each balance is at least its account's floor, and for each asset all balances add up to 0.
/// It remembers no transaction: ids and the names of openings are known to be new when a command arrives.
#[derive(Clone)]
pub struct Ledger {
    hash_seed: u64,
    /// Account indices by name; the names themselves stand in `names`.
    indices: HashTable<u32>,
    accounts: Vec<Account>,
    names: Vec<AccountName>,
    assets: Vec<AssetRow>,
    half: Option<Half>,
    opened: Option<Opened>,
    digest: Digest,
}

/// An account as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView<'a> {
    /// Its name.
    pub name: &'a AccountName,
    /// What it holds.
    pub asset: &'a Asset,
    /// Decimal places of the asset.
    pub scale: u8,
    /// The balance that it never falls below, in minor units.
    pub floor: i64,
    /// The balance in minor units.
    pub posted: i64,
}

/// What a transfer touches of an account, in one cache line; the name is apart.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Account {
    /// The part of the hash that never changes.
    key: u128,
    /// This account's term of the digest.
    hash: u128,
    posted: i64,
    /// Reserved for transfers in two steps; 0, and part of the digest.
    pending: i64,
    floor: i64,
    /// Index into `assets`.
    asset: u32,
}

#[derive(Clone)]
struct AssetRow {
    asset: Asset,
    scale: u8,
    world: AccountIndex,
}

/// Money that was deducted and is not yet credited.
#[derive(Clone, Copy)]
struct Half {
    transaction_id: TransactionId,
    account: AccountIndex,
    amount: i64,
}

/// The account opened last: a transfer from the world to it with the same id is its opening balance, no deposit.
#[derive(Clone, Copy)]
struct Opened {
    transaction_id: TransactionId,
    account: AccountIndex,
}

/// A new account that passed every check.
struct NewAccount {
    /// `None`: this is the world account of a new asset.
    asset: Option<u32>,
}

impl Ledger {
    /// An empty ledger. `hash_seed` keys the table of names in memory, against names chosen to collide; it changes no
    /// decision, event, order or digest.
    pub fn new(hash_seed: u64) -> Ledger {
        Ledger {
            hash_seed,
            indices: HashTable::new(),
            accounts: Vec::new(),
            names: Vec::new(),
            assets: Vec::new(),
            half: None,
            opened: None,
            digest: Digest::default(),
        }
    }

    /// Decides about a command and appends its events, at least one, to `events`; changes nothing. A refusal is the one
    /// event `TransactionFailed` with the first reason, in the order of [`Reason`], that holds. No rule looks at `_now`
    /// yet.
    ///
    /// The command's id and, of an opening, the account's name are new: whoever calls has answered repeats and conflicts.
    ///
    /// # Panics
    /// If a transfer waits for its second half, or if an opening that would complete names an account that exists.
    pub fn execute(&self, _now: Timestamp, command: &Command, events: &mut Vec<Event>) {
        assert!(
            self.half.is_none(),
            "a command is executed between the halves of a transfer; apply both first"
        );
        let decided = match command {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                self.decide_opening(account, asset, *scale, *floor, *opening_balance).map(|floor| {
                    let id = command.transaction_id();
                    self.push_opening(id, account, asset, *scale, floor, *opening_balance, events);
                })
            }
            Command::Transfer { transaction_id, from_account, to_account, amount } => self
                .decide_transfer(from_account, to_account, *amount)
                .map(|(from, to)| push_transfer(*transaction_id, from, to, *amount, events)),
            Command::Deposit { transaction_id, account, amount } => self
                .decide_deposit(account, *amount)
                .map(|(from, to)| push_transfer(*transaction_id, from, to, *amount, events)),
            Command::Withdrawal { transaction_id, account, amount } => self
                .decide_withdrawal(account, *amount)
                .map(|(from, to)| push_transfer(*transaction_id, from, to, *amount, events)),
        };
        if let Err(reason) = decided {
            events.push(Event::TransactionFailed(alloc::boxed::Box::new(command.refused(reason))));
        }
    }

    /// Could this event follow what was applied so far? For events from outside; what passes does not panic in
    /// [`apply`](Ledger::apply). It does not say whether today's rules would decide so, nor whether an id is new.
    pub fn check(&self, event: &Event) -> Result<(), Inconsistent> {
        match event {
            Event::AccountOpened { account, asset, scale, floor, .. } => {
                self.new_account(account, asset, *scale, *floor).map(drop)
            }
            Event::MoneyDeducted { account, amount, .. } => {
                self.posted_after_deduction(*account, *amount).map(drop)
            }
            Event::MoneyCredited { transaction_id, account, amount } => {
                self.posted_after_credit(*transaction_id, *account, *amount).map(drop)
            }
            Event::TransactionFailed(failure) => self.check_failure(failure),
        }
    }

    /// Do the record's events make one transaction of its kind, between accounts that fit the kind? For records from outside,
    /// before the first of its events is checked and applied. Together with [`check`](Ledger::check) of every event it
    /// makes sure that a projection can fold the record.
    pub fn check_record(&self, record: &Record<'_>) -> Result<(), Inconsistent> {
        let (from_account, to_account) = match record.transaction()? {
            Transaction::Moved { from_account, to_account, .. } => (from_account, to_account),
            Transaction::Opened(opening) => return self.check_funding(record.kind, &opening),
            Transaction::Failed(_) => return Ok(()),
        };
        let (from, to) = (self.known(from_account)?, self.known(to_account)?);
        let fits = match record.kind {
            CommandKind::Transfer => !self.name(from).is_system() && !self.name(to).is_system(),
            CommandKind::Deposit => self.name(from).is_world() && !self.name(to).is_system(),
            CommandKind::Withdrawal => !self.name(from).is_system() && self.name(to).is_world(),
            CommandKind::OpenAccount => false,
        };
        if fits { Ok(()) } else { Err(Inconsistent::RecordShape { kind: record.kind }) }
    }

    /// Takes an event in. Knows nothing of commands: the same events make the same ledger.
    ///
    /// # Panics
    /// If [`check`](Ledger::check) would refuse the event: that is a bug of ours, and going on would lose money.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::AccountOpened { transaction_id, account, asset, scale, floor } => {
                let new = consistent(self.new_account(account, asset, *scale, *floor));
                self.open(&new, *transaction_id, account, asset, *scale, *floor);
            }
            Event::MoneyDeducted { transaction_id, account, amount } => {
                let posted = consistent(self.posted_after_deduction(*account, *amount));
                self.set_posted(*account, posted);
                let (transaction_id, account, amount) = (*transaction_id, *account, *amount);
                self.half = Some(Half { transaction_id, account, amount });
            }
            Event::MoneyCredited { transaction_id, account, amount } => {
                let (half, posted) = consistent(self.posted_after_credit(*transaction_id, *account, *amount));
                self.set_posted(*account, posted);
                self.half = None;
                self.add_transfer_to_digest(half, *account);
            }
            Event::TransactionFailed(failure) => {
                consistent(self.check_failure(failure));
                let result = TransactionResult::Refused(failure.reason);
                self.digest.add(outcome_hash(failure.transaction_id, failure.fingerprint(), result));
            }
        }
    }

    /// Does no `MoneyDeducted` wait for its `MoneyCredited`? True at the end of every record.
    pub fn is_settled(&self) -> bool {
        self.half.is_none()
    }

    /// The digest of accounts and answers; kept up to date, so it costs nothing. Compare it between records only: while a
    /// transfer waits for its second half, it covers the first.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The account with this name.
    pub fn find(&self, name: &AccountName) -> Option<AccountIndex> {
        let hash = hash_name(self.hash_seed, name);
        self.indices
            .find(hash, |&index| self.names[index as usize] == *name)
            .map(|&index| AccountIndex(index))
    }

    /// The account with this index.
    ///
    /// # Panics
    /// If no account has it.
    pub fn account(&self, index: AccountIndex) -> AccountView<'_> {
        let account = &self.accounts[index.0 as usize];
        let AssetRow { asset, scale, .. } = &self.assets[account.asset as usize];
        let (floor, posted) = (account.floor, account.posted);
        AccountView { name: self.name(index), asset, scale: *scale, floor, posted }
    }

    /// All accounts, system accounts included, in the order of their indices.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = AccountView<'_>> {
        (0..self.accounts_count()).map(|index| self.account(AccountIndex(index)))
    }

    /// How many accounts there are, system accounts included.
    pub fn accounts_count(&self) -> u32 {
        u32::try_from(self.accounts.len()).expect("an AccountIndex counts every account")
    }

    /// The sum of the balances of all accounts of each asset, in the order in which the assets first came. Each is 0
    /// unless a transfer waits for its second half. Costs O(accounts).
    pub fn sum_by_asset(&self) -> Vec<(Asset, i128)> {
        let mut sums: Vec<(Asset, i128)> = self.assets.iter().map(|row| (row.asset.clone(), 0)).collect();
        for account in &self.accounts {
            sums[account.asset as usize].1 += i128::from(account.posted);
        }
        sums
    }
}

/// What `execute` decides: who pays whom, or the first reason against it.
impl Ledger {
    fn decide_transfer(
        &self,
        from_name: &AccountName,
        to_name: &AccountName,
        amount: i64,
    ) -> Result<(AccountIndex, AccountIndex), Reason> {
        if amount <= 0 {
            return Err(Reason::AmountNotPositive);
        }
        if from_name == to_name {
            return Err(Reason::SameAccount);
        }
        if from_name.is_system() || to_name.is_system() {
            return Err(Reason::ReservedAccount);
        }
        let from = self.find(from_name).ok_or(Reason::UnknownFromAccount)?;
        let to = self.find(to_name).ok_or(Reason::UnknownToAccount)?;
        if self.hot(from).asset != self.hot(to).asset {
            return Err(Reason::AssetMismatch);
        }
        self.decide_amount(from, to, amount)
    }

    fn decide_deposit(
        &self,
        name: &AccountName,
        amount: i64,
    ) -> Result<(AccountIndex, AccountIndex), Reason> {
        if amount <= 0 {
            return Err(Reason::AmountNotPositive);
        }
        if name.is_system() {
            return Err(Reason::ReservedAccount);
        }
        let to = self.find(name).ok_or(Reason::UnknownToAccount)?;
        self.decide_amount(self.world_of(to), to, amount)
    }

    fn decide_withdrawal(
        &self,
        name: &AccountName,
        amount: i64,
    ) -> Result<(AccountIndex, AccountIndex), Reason> {
        if amount <= 0 {
            return Err(Reason::AmountNotPositive);
        }
        if name.is_system() {
            return Err(Reason::ReservedAccount);
        }
        let from = self.find(name).ok_or(Reason::UnknownFromAccount)?;
        self.decide_amount(from, self.world_of(from), amount)
    }

    /// The last two reasons, which need the balances.
    fn decide_amount(
        &self,
        from: AccountIndex,
        to: AccountIndex,
        amount: i64,
    ) -> Result<(AccountIndex, AccountIndex), Reason> {
        let (payer, payee) = (self.hot(from), self.hot(to));
        let (Some(left), Some(_)) = (payer.posted.checked_sub(amount), payee.posted.checked_add(amount))
        else {
            return Err(Reason::Overflow);
        };
        if left < payer.floor {
            return Err(Reason::InsufficientFunds);
        }
        Ok((from, to))
    }

    /// The floor of the new account.
    fn decide_opening(
        &self,
        account: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: Option<i64>,
        opening_balance: i64,
    ) -> Result<i64, Reason> {
        if opening_balance < 0 {
            return Err(Reason::AmountNotPositive);
        }
        if account.is_world() || account.is_system() != floor.is_some() {
            return Err(Reason::ReservedAccount);
        }
        let world = self.find(&AccountName::world(asset));
        let asset_scale = world.map(|world| self.account(world).scale);
        if scale > SCALE_MAX || asset_scale.is_some_and(|asset_scale| asset_scale != scale) {
            return Err(Reason::AssetMismatch);
        }
        let world_posted = world.map_or(0, |world| self.hot(world).posted);
        if world_posted.checked_sub(opening_balance).is_none() {
            return Err(Reason::Overflow);
        }
        let floor = floor.unwrap_or(0);
        if floor > 0 {
            return Err(Reason::InsufficientFunds);
        }
        assert!(
            self.find(account).is_none(),
            "account {account} exists; the caller answers a second opening"
        );
        Ok(floor)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one command, taken apart by the one caller")]
    fn push_opening(
        &self,
        transaction_id: TransactionId,
        account: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: i64,
        opening_balance: i64,
        events: &mut Vec<Event>,
    ) {
        let world_name = AccountName::world(asset);
        let mut next = self.accounts_count();
        let mut push_account = |account: AccountName, floor| {
            events.push(Event::AccountOpened { transaction_id, account, asset: asset.clone(), scale, floor });
            let index = AccountIndex(next);
            next += 1;
            index
        };
        let world = self.find(&world_name).unwrap_or_else(|| push_account(world_name, i64::MIN));
        let account = push_account(account.clone(), floor);
        if opening_balance > 0 {
            push_transfer(transaction_id, world, account, opening_balance, events);
        }
    }
}

/// What `check` refuses and `apply` asserts: the same code, so that they cannot differ.
impl Ledger {
    fn new_account(
        &self,
        account: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: i64,
    ) -> Result<NewAccount, Inconsistent> {
        self.no_half()?;
        if self.find(account).is_some() {
            return Err(Inconsistent::NameTaken { account: account.clone() });
        }
        if self.accounts.len() >= u32::MAX as usize {
            return Err(Inconsistent::TooManyAccounts);
        }
        if scale > SCALE_MAX {
            return Err(Inconsistent::Scale { account: account.clone(), scale, asset_scale: None });
        }
        let world_name = AccountName::world(asset);
        let floor_fits = match (account.is_world(), account.is_system()) {
            (true, _) => floor == i64::MIN,
            (false, true) => floor <= 0,
            (false, false) => floor == 0,
        };
        if !floor_fits {
            return Err(Inconsistent::Floor { account: account.clone(), floor });
        }
        if account.is_world() {
            return if *account == world_name {
                Ok(NewAccount { asset: None })
            } else {
                Err(Inconsistent::WorldName { account: account.clone(), asset: asset.clone() })
            };
        }
        let Some(world) = self.find(&world_name) else {
            return Err(Inconsistent::WorldMissing { account: account.clone(), asset: asset.clone() });
        };
        let asset = self.hot(world).asset;
        let asset_scale = self.assets[asset as usize].scale;
        if scale != asset_scale {
            return Err(Inconsistent::Scale {
                account: account.clone(),
                scale,
                asset_scale: Some(asset_scale),
            });
        }
        Ok(NewAccount { asset: Some(asset) })
    }

    fn posted_after_deduction(&self, index: AccountIndex, amount: i64) -> Result<i64, Inconsistent> {
        self.no_half()?;
        let account = self.hot(self.known(index)?);
        if amount <= 0 {
            return Err(Inconsistent::AmountNotPositive { amount });
        }
        match account.posted.checked_sub(amount) {
            None => Err(self.overflow(index, amount)),
            Some(left) if left < account.floor => Err(Inconsistent::FloorBroken {
                account: self.name(index).clone(),
                posted: account.posted,
                amount,
                floor: account.floor,
            }),
            Some(left) => Ok(left),
        }
    }

    fn posted_after_credit(
        &self,
        transaction_id: TransactionId,
        index: AccountIndex,
        amount: i64,
    ) -> Result<(Half, i64), Inconsistent> {
        let Some(half) = self.half else {
            return Err(Inconsistent::CreditWithoutDeduction { transaction_id });
        };
        let account = self.hot(self.known(index)?);
        let fits = half.transaction_id == transaction_id
            && half.amount == amount
            && half.account != index
            && self.hot(half.account).asset == account.asset;
        if !fits {
            return Err(Inconsistent::HalvesDiffer { waiting: half.transaction_id });
        }
        match account.posted.checked_add(amount) {
            None => Err(self.overflow(index, amount)),
            Some(posted) => Ok((half, posted)),
        }
    }

    fn check_failure(&self, failure: &Failure) -> Result<(), Inconsistent> {
        self.no_half()?;
        if failure.is_well_formed() {
            Ok(())
        } else {
            let Failure { transaction_id, kind, .. } = *failure;
            Err(Inconsistent::FailureFields { transaction_id, kind })
        }
    }

    /// An opening balance goes from the world account of the asset, old or just opened, to the new account.
    fn check_funding(&self, kind: CommandKind, opening: &crate::Opening<'_>) -> Result<(), Inconsistent> {
        let Some(funding) = opening.funding else { return Ok(()) };
        let next = self.accounts_count();
        let (world, account) = match self.find(&AccountName::world(opening.asset)) {
            Some(world) => (world, next),
            None => (AccountIndex(next), next.saturating_add(1)),
        };
        if funding.from_account == world && funding.to_account == AccountIndex(account) {
            Ok(())
        } else {
            Err(Inconsistent::RecordShape { kind })
        }
    }

    fn no_half(&self) -> Result<(), Inconsistent> {
        match self.half {
            None => Ok(()),
            Some(half) => Err(Inconsistent::HalfTransfer { waiting: half.transaction_id }),
        }
    }

    fn known(&self, account: AccountIndex) -> Result<AccountIndex, Inconsistent> {
        if (account.0 as usize) < self.accounts.len() {
            Ok(account)
        } else {
            Err(Inconsistent::UnknownAccount { account, accounts_count: self.accounts_count() })
        }
    }

    #[cold]
    fn overflow(&self, index: AccountIndex, amount: i64) -> Inconsistent {
        Inconsistent::Overflow { account: self.name(index).clone(), posted: self.hot(index).posted, amount }
    }
}

/// What `apply` changes.
impl Ledger {
    fn open(
        &mut self,
        new: &NewAccount,
        transaction_id: TransactionId,
        name: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: i64,
    ) {
        let index = self.add_account(new, name, asset, scale, floor);
        self.digest.add(self.hot(index).hash);
        // A world account is opened along with another one and is no answer of its own.
        if new.asset.is_some() {
            let answer = self.opening_hash(transaction_id, index, 0);
            self.digest.add(answer);
            self.opened = Some(Opened { transaction_id, account: index });
        }
    }

    /// Adds an account with nothing on it; the digest does not cover it yet.
    fn add_account(
        &mut self,
        new: &NewAccount,
        name: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: i64,
    ) -> AccountIndex {
        let index = self.accounts_count();
        let asset_index = new.asset.unwrap_or_else(|| {
            self.assets.push(AssetRow { asset: asset.clone(), scale, world: AccountIndex(index) });
            u32::try_from(self.assets.len() - 1).expect("there are no more assets than accounts")
        });
        let key = account_key(name, asset, scale, floor);
        let hash = account_hash(key, 0, 0);
        self.accounts.push(Account { key, hash, posted: 0, pending: 0, floor, asset: asset_index });
        self.names.push(name.clone());
        let (seed, names) = (self.hash_seed, &self.names);
        let rehash = |&index: &u32| hash_name(seed, &names[index as usize]);
        self.indices.insert_unique(hash_name(seed, name), index, rehash);
        AccountIndex(index)
    }

    /// Adds an account as it was, under the rules for a new one.
    pub(crate) fn restore_account(
        &mut self,
        name: &AccountName,
        asset: &Asset,
        scale: u8,
        floor: i64,
        posted: i64,
    ) -> Result<(), Inconsistent> {
        let new = self.new_account(name, asset, scale, floor)?;
        let index = self.add_account(&new, name, asset, scale, floor);
        let account = &mut self.accounts[index.0 as usize];
        account.posted = posted;
        account.hash = account_hash(account.key, posted, account.pending);
        Ok(())
    }

    pub(crate) fn set_digest(&mut self, digest: Digest) {
        self.digest = digest;
    }

    /// The answer that a completed transfer is, or what it adds to the opening just before it.
    fn add_transfer_to_digest(&mut self, half: Half, to: AccountIndex) {
        let Half { transaction_id, account: from, amount } = half;
        let opened = self.opened.take();
        if opened.is_some_and(|opened| opened.transaction_id == transaction_id && opened.account == to) {
            let (without, with) =
                (self.opening_hash(transaction_id, to, 0), self.opening_hash(transaction_id, to, amount));
            self.digest.remove(without);
            self.digest.add(with);
            return;
        }
        let (from_name, to_name) = (self.name(from), self.name(to));
        let body = if from == self.world_of(from) {
            Body::deposit(to_name, amount)
        } else if to == self.world_of(to) {
            Body::withdrawal(from_name, amount)
        } else {
            Body::transfer(from_name, to_name, amount)
        };
        self.digest.add(outcome_hash(transaction_id, body.fingerprint(), TransactionResult::Completed));
    }

    fn opening_hash(&self, transaction_id: TransactionId, index: AccountIndex, opening_balance: i64) -> u128 {
        let AccountView { name, asset, scale, floor, .. } = self.account(index);
        let floor = name.is_system().then_some(floor);
        let fingerprint = Body::opening(name, asset, scale, floor, opening_balance).fingerprint();
        outcome_hash(transaction_id, fingerprint, TransactionResult::Completed)
    }

    fn set_posted(&mut self, index: AccountIndex, posted: i64) {
        let account = &mut self.accounts[index.0 as usize];
        let hash = account_hash(account.key, posted, account.pending);
        self.digest.remove(account.hash);
        self.digest.add(hash);
        account.posted = posted;
        account.hash = hash;
    }

    fn hot(&self, index: AccountIndex) -> &Account {
        &self.accounts[index.0 as usize]
    }

    fn name(&self, index: AccountIndex) -> &AccountName {
        &self.names[index.0 as usize]
    }

    fn world_of(&self, index: AccountIndex) -> AccountIndex {
        self.assets[self.hot(index).asset as usize].world
    }
}

fn push_transfer(
    transaction_id: TransactionId,
    from: AccountIndex,
    to: AccountIndex,
    amount: i64,
    events: &mut Vec<Event>,
) {
    events.push(Event::MoneyDeducted { transaction_id, account: from, amount });
    events.push(Event::MoneyCredited { transaction_id, account: to, amount });
}

fn hash_name(seed: u64, name: &AccountName) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, name.as_str().as_bytes())
}

fn consistent<T>(checked: Result<T, Inconsistent>) -> T {
    match checked {
        Ok(fine) => fine,
        Err(inconsistent) => panic!("an event contradicts the ledger: {inconsistent}"),
    }
}

#[cfg(test)]
mod tests;
