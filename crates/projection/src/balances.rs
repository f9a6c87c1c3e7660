//! What every account has.

use alloc::vec::Vec;

use hashbrown::HashTable;
use ledger::{AccountIndex, AccountName, Asset, Event, Record};
use twox_hash::XxHash3_64;

use crate::{advance, history::Chunks};

/// The balance of every account, system accounts included, at a checkpoint.
#[derive(Clone)]
pub struct Balances {
    hash_seed: u64,
    checkpoint: u64,
    indices: HashTable<u32>,
    names: Chunks<AccountName>,
    accounts: Vec<Account>,
    assets: Vec<(Asset, u8)>,
}

/// An account and its balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceRow<'a> {
    /// The account's name.
    pub name: &'a AccountName,
    /// What it holds.
    pub asset: &'a Asset,
    /// Decimal places of the asset.
    pub scale: u8,
    /// The balance that it never falls below, in minor units.
    pub floor: i64,
    /// The balance in minor units; of a world account 0 or less.
    pub posted: i64,
    /// What is held of it for pending transfers, in minor units, 0 or more.
    pub pending: i64,
}

impl BalanceRow<'_> {
    /// The balance without what is held of it; never below the floor.
    pub fn available(&self) -> i64 {
        // No overflow: the ledger keeps the difference at the floor or above.
        self.posted - self.pending
    }
}

#[derive(Clone, Copy)]
struct Account {
    posted: i64,
    pending: i64,
    floor: i64,
    asset: u32,
}

impl Balances {
    pub(crate) fn new(hash_seed: u64) -> Balances {
        Balances {
            hash_seed,
            checkpoint: 0,
            indices: HashTable::new(),
            names: Chunks::new(),
            accounts: Vec::new(),
            assets: Vec::new(),
        }
    }

    /// These accounts, in the order of their indices, as of a checkpoint.
    pub(crate) fn restore<'a>(
        hash_seed: u64,
        checkpoint: u64,
        rows: impl IntoIterator<Item = BalanceRow<'a>>,
    ) -> Balances {
        let mut balances = Balances { checkpoint, ..Balances::new(hash_seed) };
        for BalanceRow { name, asset, scale, floor, posted, pending } in rows {
            balances.open(name, asset, scale, floor);
            let account = balances.accounts.last_mut().expect("just opened");
            (account.posted, account.pending) = (posted, pending);
        }
        balances
    }

    /// Every record with a smaller sequence is folded.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The account with this name.
    pub fn find(&self, name: &AccountName) -> Option<AccountIndex> {
        let fits = |&index: &u32| self.names.at(index) == Some(name);
        self.indices.find(hash_name(self.hash_seed, name), fits).map(|&index| AccountIndex(index))
    }

    /// The account with this index, which is below [`len`](Balances::len).
    ///
    /// # Panics
    /// If there is no such account.
    pub fn row(&self, index: AccountIndex) -> BalanceRow<'_> {
        let (Some(account), Some(name)) = (self.accounts.get(index.0 as usize), self.names.at(index.0))
        else {
            panic!("there is no account {index} among {}", self.len());
        };
        let (asset, scale) = &self.assets[account.asset as usize];
        let Account { posted, pending, floor, .. } = *account;
        BalanceRow { name, asset, scale: *scale, floor, posted, pending }
    }

    /// Every account, in the order of the indices, which is that in which they were opened.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (AccountIndex, BalanceRow<'_>)> + ExactSizeIterator + Clone {
        (0..self.len()).map(|index| (AccountIndex(index), self.row(AccountIndex(index))))
    }

    /// The names of all accounts by index. A clone of them costs O(1), whatever their number.
    pub fn names(&self) -> &Chunks<AccountName> {
        &self.names
    }

    /// How many accounts there are.
    pub fn len(&self) -> u32 {
        self.names.len()
    }

    /// Are there no accounts?
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Takes the next record in.
    ///
    /// # Panics
    /// If the record is not the next one or contradicts those before it.
    pub fn fold(&mut self, record: &Record<'_>) {
        advance(&mut self.checkpoint, record);
        for event in record.events {
            match event {
                Event::AccountOpened { transaction_id: _, account, asset, scale, floor } => {
                    self.open(account, asset, *scale, *floor);
                }
                Event::MoneyDeducted { account, amount, .. } => {
                    self.change(*account, |posted| posted.checked_sub(*amount));
                }
                Event::MoneyCredited { account, amount, .. } => {
                    self.change(*account, |posted| posted.checked_add(*amount));
                }
                Event::TransferPending { from_account, amount, .. } => self.hold(*from_account, *amount),
                Event::TransferPosted { from_account, to_account, amount, pending_amount, .. } => {
                    self.hold(*from_account, -*pending_amount);
                    self.change(*from_account, |posted| posted.checked_sub(*amount));
                    self.change(*to_account, |posted| posted.checked_add(*amount));
                }
                Event::TransferVoided { from_account, amount, .. }
                | Event::TransferExpired { from_account, amount, .. } => self.hold(*from_account, -*amount),
                Event::FloorChanged { account, floor, .. } => {
                    self.accounts[account.0 as usize].floor = *floor;
                }
                Event::MetadataAttached { .. } | Event::TransactionFailed(_) => {}
            }
        }
    }

    /// How many elements a clone copies: three for each account and the newest names.
    pub(crate) fn clone_cost(&self) -> u64 {
        (self.indices.len() + self.accounts.len() + self.assets.len()) as u64 + self.names.clone_cost()
    }

    fn open(&mut self, name: &AccountName, asset: &Asset, scale: u8, floor: i64) {
        // Accounts of one asset tend to follow each other, and the log has few assets: the newest is looked at first.
        let known = self.assets.iter().rposition(|(known, _)| known == asset);
        let asset_index = known.unwrap_or_else(|| {
            self.assets.push((asset.clone(), scale));
            self.assets.len() - 1
        });
        let asset = u32::try_from(asset_index).expect("there are no more assets than accounts");
        self.accounts.push(Account { posted: 0, pending: 0, floor, asset });
        let index = self.names.push(name.clone());
        let (seed, names) = (self.hash_seed, &self.names);
        let rehash = |&index: &u32| names.at(index).map_or(0, |name| hash_name(seed, name));
        self.indices.insert_unique(hash_name(seed, name), index, rehash);
    }

    /// Holds so much more, or less if it is negative.
    fn hold(&mut self, index: AccountIndex, amount: i64) {
        let account = &mut self.accounts[index.0 as usize];
        account.pending = account.pending.checked_add(amount).expect("the ledger keeps holds in range");
    }

    fn change(&mut self, index: AccountIndex, changed: impl FnOnce(i64) -> Option<i64>) {
        let account = &mut self.accounts[index.0 as usize];
        account.posted = changed(account.posted).expect("the ledger keeps balances in range");
    }
}

fn hash_name(seed: u64, name: &AccountName) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, name.as_str().as_bytes())
}
