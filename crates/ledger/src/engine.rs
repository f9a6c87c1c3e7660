//! The ledger itself: decide, check, change.

use alloc::vec::Vec;

use hashbrown::HashTable;
use time::Timestamp;
use twox_hash::XxHash3_64;

use crate::{
    command::{Command, TransactionResult},
    digest::{Digest, outcome_hash},
    event::{AccountIndex, Event},
    holds::{Hold, Holds},
    id::TransactionId,
    inconsistent::Inconsistent,
    names::{AccountName, Asset},
};

mod change;
mod check;
mod decide;

/// All accounts, their balances, the open pending transfers and the digest. A clone costs O(accounts + pending transfers),
/// whatever happened before.
///
/// After every settled event: each balance, less what is held of it, is at least its account's floor; what is held of it is
/// the sum of the account's open pending transfers; and for each asset all balances add up to 0. It remembers no
/// transaction but those that are pending: ids and the names of openings are known to be new when a command arrives.
#[derive(Clone)]
pub struct Ledger {
    hash_seed: u64,
    /// Account indices by name; the names themselves stand in `names`.
    indices: HashTable<u32>,
    accounts: Vec<Account>,
    names: Vec<AccountName>,
    assets: Vec<AssetRow>,
    holds: Holds,
    half: Option<Half>,
    opened: Option<Opened>,
    last: Option<Last>,
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
    /// What is held of it for pending transfers, in minor units, 0 or more.
    pub pending: i64,
}

impl AccountView<'_> {
    /// What could be paid if the floor were 0: the balance without what is held of it. Never below the floor.
    pub fn available(&self) -> i64 {
        // No overflow: the ledger keeps the difference at the floor or above.
        self.posted - self.pending
    }
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
    /// Held for pending transfers: the sum of the account's holds.
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

/// The transaction that the last event completed, if metadata may follow it.
#[derive(Clone, Copy)]
struct Last {
    transaction_id: TransactionId,
    did: Did,
}

/// What a transaction did, as far as its fingerprint needs it.
#[derive(Clone, Copy)]
enum Did {
    Move { from: AccountIndex, to: AccountIndex, amount: i64 },
    Hold(Hold),
    Post { pending_id: TransactionId, asked_amount: Option<i64> },
    Void { pending_id: TransactionId },
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
            holds: Holds::new(),
            half: None,
            opened: None,
            last: None,
            digest: Digest::default(),
        }
    }

    /// Decides about a command and appends its events, at least one, to `events`; changes nothing. A refusal is the event
    /// `TransactionFailed` with the first reason, in the order of [`Reason`](crate::Reason), that holds; of a refused group
    /// every member has one. `now` is the time at which the events will be recorded.
    ///
    /// The command's ids and, of an opening, the account's name are new: whoever calls has answered repeats and conflicts.
    ///
    /// # Panics
    /// If a transfer waits for its second half, or if an opening that would complete names an account that exists.
    pub fn execute(&self, now: Timestamp, command: &Command, events: &mut Vec<Event>) {
        assert!(
            self.half.is_none(),
            "a command is executed between the halves of a transfer; apply both first"
        );
        self.decide(now, command, events);
    }

    /// Appends the one event that lets the open pending transfer `pending_id` expire; changes nothing. Its transaction id is
    /// derived from `pending_id`, so it is the same wherever and whenever this happens.
    ///
    /// # Panics
    /// If the pending transfer is not open, or its deadline is later than `now`.
    pub fn expire(&self, now: Timestamp, pending_id: TransactionId, events: &mut Vec<Event>) {
        let hold = self.holds.find(&pending_id);
        let Some(hold) = hold.filter(|hold| hold.expires_at.is_some_and(|expires_at| expires_at <= now))
        else {
            panic!("pending transfer {pending_id} is not open, or its deadline has not passed at {now}");
        };
        let Hold { from_account, to_account, amount, .. } = hold;
        let transaction_id = TransactionId::derived("expire transfer", &[&pending_id.as_bytes()]);
        events.push(Event::TransferExpired { transaction_id, pending_id, from_account, to_account, amount });
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
                self.last = None;
            }
            Event::MoneyCredited { transaction_id, account, amount } => {
                let (half, posted) = consistent(self.posted_after_credit(*transaction_id, *account, *amount));
                self.set_posted(*account, posted);
                self.half = None;
                self.complete_transfer(half, *account);
            }
            Event::TransferPending { transaction_id, from_account, to_account, amount, expires_at } => {
                let (from_account, to_account, amount) = (*from_account, *to_account, *amount);
                let hold = Hold { from_account, to_account, amount, expires_at: *expires_at };
                let pending = consistent(self.pending_after_hold(*transaction_id, &hold));
                self.open_hold(*transaction_id, hold, pending);
            }
            Event::TransferPosted { transaction_id, pending_id, amount, asked_amount, .. } => {
                let posted = consistent(self.posted_after_post(event));
                self.post(*transaction_id, *pending_id, *amount, *asked_amount, posted);
            }
            Event::TransferVoided { transaction_id, pending_id, from_account, to_account, amount } => {
                consistent(self.check_release(*pending_id, *from_account, *to_account, *amount));
                self.void(*transaction_id, *pending_id);
            }
            Event::TransferExpired { transaction_id, pending_id, from_account, to_account, amount } => {
                consistent(self.check_release(*pending_id, *from_account, *to_account, *amount));
                self.release_expired(*transaction_id, *pending_id);
            }
            Event::FloorChanged { transaction_id, account, floor } => {
                consistent(self.check_floor(*account, *floor));
                self.set_floor(*transaction_id, *account, *floor);
            }
            Event::MetadataAttached { transaction_id, metadata } => {
                let did = consistent(self.check_metadata(*transaction_id));
                self.attach(*transaction_id, did, metadata);
            }
            Event::TransactionFailed(failure) => {
                consistent(self.check_failure(failure));
                let result = TransactionResult::Refused(failure.reason);
                self.digest.add(outcome_hash(failure.transaction_id, failure.fingerprint(), result));
                self.last = None;
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
        let Account { floor, posted, pending, .. } = *account;
        AccountView { name: self.name(index), asset, scale: *scale, floor, posted, pending }
    }

    /// All accounts, system accounts included, in the order of their indices.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = AccountView<'_>> {
        (0..self.accounts_count()).map(|index| self.account(AccountIndex(index)))
    }

    /// How many accounts there are, system accounts included.
    pub fn accounts_count(&self) -> u32 {
        u32::try_from(self.accounts.len()).expect("an AccountIndex counts every account")
    }

    /// All assets with their scales, in the order in which they first came, which is that in which the accounts name them.
    pub fn assets(&self) -> impl ExactSizeIterator<Item = (&Asset, u8)> {
        self.assets.iter().map(|row| (&row.asset, row.scale))
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

    /// The open pending transfers.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// The open pending transfer with this id.
    pub fn hold(&self, pending_id: &TransactionId) -> Option<Hold> {
        self.holds.find(pending_id)
    }

    /// The deadline that passes first, and the pending transfer that has it.
    pub fn next_expiry(&self) -> Option<(Timestamp, TransactionId)> {
        self.holds.next_expiry()
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

impl Account {
    /// The balance without what is held of it; at least the floor, so there is no overflow.
    fn available(&self) -> i64 {
        self.posted - self.pending
    }
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
