//! What `apply` changes.

use crate::{
    command::TransactionResult,
    digest::{Digest, account_hash, account_key, hold_hash, outcome_hash},
    event::AccountIndex,
    fingerprint::Body,
    holds::Hold,
    id::TransactionId,
    inconsistent::Inconsistent,
    metadata::Metadata,
    names::{AccountName, Asset},
    record::{moved_body, opened_floor},
};

use super::{Account, AccountView, AssetRow, Did, Half, Last, Ledger, NewAccount, Opened, hash_name};

impl Ledger {
    pub(super) fn open(
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
        self.last = None;
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
    pub(crate) fn restore_account(&mut self, view: &AccountView<'_>) -> Result<(), Inconsistent> {
        let AccountView { name, asset, scale, floor, posted, pending } = *view;
        let new = self.new_account(name, asset, scale, floor)?;
        let index = self.add_account(&new, name, asset, scale, floor);
        let account = &mut self.accounts[index.0 as usize];
        account.posted = posted;
        account.pending = pending;
        account.hash = account_hash(account.key, posted, pending);
        Ok(())
    }

    /// Adds an open pending transfer as it was; the accounts' sums cover it already.
    pub(crate) fn restore_hold(&mut self, id: TransactionId, hold: Hold) -> Result<(), Inconsistent> {
        self.check_hold(id, &hold)?;
        self.holds.open(id, hold);
        Ok(())
    }

    pub(crate) fn set_digest(&mut self, digest: Digest) {
        self.digest = digest;
    }

    /// The answer that a completed transfer is, or what it adds to the opening just before it.
    pub(super) fn complete_transfer(&mut self, half: Half, to: AccountIndex) {
        let Half { transaction_id, account: from, amount } = half;
        let opened = self.opened.take();
        if opened.is_some_and(|opened| opened.transaction_id == transaction_id && opened.account == to) {
            let (without, with) =
                (self.opening_hash(transaction_id, to, 0), self.opening_hash(transaction_id, to, amount));
            self.digest.remove(without);
            self.digest.add(with);
            return;
        }
        self.complete(transaction_id, Did::Move { from, to, amount });
    }

    pub(super) fn open_hold(&mut self, transaction_id: TransactionId, hold: Hold, pending: i64) {
        self.set_pending(hold.from_account, pending);
        self.digest.add(self.hold_hash(transaction_id, &hold));
        self.holds.open(transaction_id, hold);
        self.complete(transaction_id, Did::Hold(hold));
    }

    /// `posted` is what the account that is paid has afterwards.
    pub(super) fn post(
        &mut self,
        transaction_id: TransactionId,
        pending_id: TransactionId,
        amount: i64,
        asked_amount: Option<i64>,
        posted: i64,
    ) {
        let hold = self.release(pending_id);
        let left = self.hot(hold.from_account).posted - amount;
        self.set_posted(hold.from_account, left);
        self.set_posted(hold.to_account, posted);
        self.complete(transaction_id, Did::Post { pending_id, asked_amount });
    }

    pub(super) fn void(&mut self, transaction_id: TransactionId, pending_id: TransactionId) {
        self.release(pending_id);
        self.complete(transaction_id, Did::Void { pending_id });
    }

    pub(super) fn release_expired(&mut self, transaction_id: TransactionId, pending_id: TransactionId) {
        self.release(pending_id);
        let fingerprint = Body::expire(pending_id).fingerprint();
        self.digest.add(outcome_hash(transaction_id, fingerprint, TransactionResult::Completed));
        self.last = None;
    }

    pub(super) fn set_floor(&mut self, transaction_id: TransactionId, index: AccountIndex, floor: i64) {
        let AccountView { name, asset, scale, .. } = self.account(index);
        let key = account_key(name, asset, scale, floor);
        let fingerprint = Body::set_floor(name, floor).fingerprint();
        self.digest.add(outcome_hash(transaction_id, fingerprint, TransactionResult::Completed));
        let account = &mut self.accounts[index.0 as usize];
        account.key = key;
        account.floor = floor;
        self.rehash(index);
        self.last = None;
    }

    /// The answer just given covers metadata too.
    pub(super) fn attach(&mut self, transaction_id: TransactionId, did: Did, metadata: &Metadata) {
        let hash = |metadata| {
            let fingerprint = self.body(&did).with(metadata).fingerprint();
            outcome_hash(transaction_id, fingerprint, TransactionResult::Completed)
        };
        let (without, with) = (hash(None), hash(Some(metadata)));
        self.digest.remove(without);
        self.digest.add(with);
        self.last = None;
    }

    /// The answer of a completed transaction, to which metadata may be attached.
    fn complete(&mut self, transaction_id: TransactionId, did: Did) {
        let fingerprint = self.body(&did).fingerprint();
        self.digest.add(outcome_hash(transaction_id, fingerprint, TransactionResult::Completed));
        self.last = Some(Last { transaction_id, did });
    }

    fn body(&self, did: &Did) -> Body<'_> {
        match *did {
            Did::Move { from, to, amount } => moved_body(self.name(from), self.name(to), amount),
            Did::Hold(Hold { from_account, to_account, amount, expires_at }) => {
                Body::pending(self.name(from_account), self.name(to_account), amount, expires_at)
            }
            Did::Post { pending_id, asked_amount } => Body::post(pending_id, asked_amount),
            Did::Void { pending_id } => Body::void(pending_id),
        }
    }

    fn release(&mut self, pending_id: TransactionId) -> Hold {
        let hold = self.holds.close(&pending_id);
        self.digest.remove(self.hold_hash(pending_id, &hold));
        let pending = self.hot(hold.from_account).pending - hold.amount;
        self.set_pending(hold.from_account, pending);
        hold
    }

    fn hold_hash(&self, id: TransactionId, hold: &Hold) -> u128 {
        let Hold { from_account, to_account, amount, expires_at } = *hold;
        hold_hash(id, self.name(from_account), self.name(to_account), amount, expires_at)
    }

    fn opening_hash(&self, transaction_id: TransactionId, index: AccountIndex, opening_balance: i64) -> u128 {
        let AccountView { name, asset, scale, floor, .. } = self.account(index);
        let floor = opened_floor(name, floor);
        let fingerprint = Body::opening(name, asset, scale, floor, opening_balance).fingerprint();
        outcome_hash(transaction_id, fingerprint, TransactionResult::Completed)
    }

    pub(super) fn set_posted(&mut self, index: AccountIndex, posted: i64) {
        self.accounts[index.0 as usize].posted = posted;
        self.rehash(index);
    }

    fn set_pending(&mut self, index: AccountIndex, pending: i64) {
        self.accounts[index.0 as usize].pending = pending;
        self.rehash(index);
    }

    fn rehash(&mut self, index: AccountIndex) {
        let account = &mut self.accounts[index.0 as usize];
        let hash = account_hash(account.key, account.posted, account.pending);
        self.digest.remove(account.hash);
        self.digest.add(hash);
        account.hash = hash;
    }
}
