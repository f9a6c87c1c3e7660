//! What `check` refuses and `apply` asserts: the same code, so that they cannot differ.

use alloc::collections::BTreeSet;

use crate::{
    command::{CommandKind, Reason, TransactionResult},
    event::{AccountIndex, Event, Failure},
    holds::Hold,
    id::TransactionId,
    inconsistent::Inconsistent,
    names::{AccountName, Asset, SCALE_MAX},
    record::{Opening, Record, Transaction, TransactionBody},
};

use super::{Did, Half, Ledger, NewAccount};

impl Ledger {
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
            Event::TransferPending { transaction_id, from_account, to_account, amount, expires_at } => {
                let (from_account, to_account, amount) = (*from_account, *to_account, *amount);
                let hold = Hold { from_account, to_account, amount, expires_at: *expires_at };
                self.pending_after_hold(*transaction_id, &hold).map(drop)
            }
            Event::TransferPosted { .. } => self.posted_after_post(event).map(drop),
            Event::TransferVoided { pending_id, from_account, to_account, amount, .. }
            | Event::TransferExpired { pending_id, from_account, to_account, amount, .. } => {
                self.check_release(*pending_id, *from_account, *to_account, *amount)
            }
            Event::FloorChanged { account, floor, .. } => self.check_floor(*account, *floor),
            Event::MetadataAttached { transaction_id, .. } => self.check_metadata(*transaction_id).map(drop),
            Event::TransactionFailed(failure) => self.check_failure(failure),
        }
    }

    /// Do the record's events make the transactions of its kind, between accounts that fit the kind, at a time that fits
    /// the deadlines? For records from outside, before the first of its events is checked and applied. Together with
    /// [`check`](Ledger::check) of every event it makes sure that a projection can fold the record.
    pub fn check_record(&self, record: &Record<'_>) -> Result<(), Inconsistent> {
        if record.kind == CommandKind::Linked {
            check_members(record)?;
        }
        for transaction in record.transactions() {
            self.check_transaction(record, &transaction?)?;
        }
        Ok(())
    }

    fn check_transaction(
        &self,
        record: &Record<'_>,
        transaction: &Transaction<'_>,
    ) -> Result<(), Inconsistent> {
        let (kind, recorded_at) = (record.kind, record.recorded_at);
        let transaction_id = transaction.transaction_id;
        match transaction.body {
            TransactionBody::Moved { from_account, to_account, .. } => {
                self.check_sides(kind, from_account, to_account)
            }
            TransactionBody::Opened(opening) => self.check_funding(kind, &opening),
            TransactionBody::Pending { expires_at: Some(expires_at), .. } if expires_at <= recorded_at => {
                Err(Inconsistent::Deadline { transaction_id, expires_at, recorded_at })
            }
            TransactionBody::Expired(released) => {
                let expires_at = self.holds.find(&released.pending_id).and_then(|hold| hold.expires_at);
                match expires_at {
                    Some(expires_at) if expires_at <= recorded_at => Ok(()),
                    Some(expires_at) => {
                        Err(Inconsistent::Deadline { transaction_id, expires_at, recorded_at })
                    }
                    None => Err(Inconsistent::PendingNotOpen { pending_id: released.pending_id }),
                }
            }
            TransactionBody::Pending { .. }
            | TransactionBody::Posted { .. }
            | TransactionBody::Voided(_)
            | TransactionBody::FloorSet { .. }
            | TransactionBody::Failed(_) => Ok(()),
        }
    }

    /// Can a record of this kind move money between these accounts?
    fn check_sides(
        &self,
        kind: CommandKind,
        from: AccountIndex,
        to: AccountIndex,
    ) -> Result<(), Inconsistent> {
        let (from, to) = (self.name(self.known(from)?), self.name(self.known(to)?));
        let transfer = !from.is_system() && !to.is_system();
        let deposit = from.is_world() && !to.is_system();
        let withdrawal = !from.is_system() && to.is_world();
        let fits = match kind {
            CommandKind::Transfer => transfer,
            CommandKind::Deposit => deposit,
            CommandKind::Withdrawal => withdrawal,
            CommandKind::Linked => transfer || deposit || withdrawal,
            CommandKind::OpenAccount
            | CommandKind::PendingTransfer
            | CommandKind::PostTransfer
            | CommandKind::VoidTransfer
            | CommandKind::ExpireTransfer
            | CommandKind::SetFloor => false,
        };
        if fits { Ok(()) } else { Err(Inconsistent::RecordShape { kind }) }
    }
}

/// The members of a group have ids of their own, and completed together or were refused because of exactly one of them.
fn check_members(record: &Record<'_>) -> Result<(), Inconsistent> {
    let mut ids = BTreeSet::new();
    let (mut completed, mut culprits) = (0_usize, 0_usize);
    for transaction in record.transactions() {
        let transaction = transaction?;
        if !ids.insert(transaction.transaction_id) {
            return Err(Inconsistent::RecordShape { kind: record.kind });
        }
        match transaction.result() {
            TransactionResult::Completed => completed += 1,
            TransactionResult::Refused(Reason::LinkedFailed) => {}
            TransactionResult::Refused(_) => culprits += 1,
        }
    }
    let together = if completed > 0 { completed == ids.len() } else { culprits == 1 };
    if together { Ok(()) } else { Err(Inconsistent::RecordShape { kind: record.kind }) }
}

/// The parts that `check` refuses and `apply` asserts.
impl Ledger {
    pub(super) fn new_account(
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
        let floor_fits = if account.is_world() { floor == i64::MIN } else { floor <= 0 };
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

    pub(super) fn posted_after_deduction(
        &self,
        index: AccountIndex,
        amount: i64,
    ) -> Result<i64, Inconsistent> {
        self.no_half()?;
        let account = self.hot(self.known(index)?);
        if amount <= 0 {
            return Err(Inconsistent::AmountNotPositive { amount });
        }
        let Some(left) = account.posted.checked_sub(amount) else { return Err(self.overflow(index, amount)) };
        self.check_available(index, amount)?;
        Ok(left)
    }

    pub(super) fn posted_after_credit(
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

    pub(super) fn check_failure(&self, failure: &Failure) -> Result<(), Inconsistent> {
        self.no_half()?;
        if failure.is_well_formed() {
            Ok(())
        } else {
            let Failure { transaction_id, kind, .. } = *failure;
            Err(Inconsistent::FailureFields { transaction_id, kind })
        }
    }

    /// What is held of the payer once this is held too.
    pub(super) fn pending_after_hold(
        &self,
        transaction_id: TransactionId,
        hold: &Hold,
    ) -> Result<i64, Inconsistent> {
        self.no_half()?;
        self.check_hold(transaction_id, hold)?;
        let Hold { from_account, amount, .. } = *hold;
        let Some(pending) = self.hot(from_account).pending.checked_add(amount) else {
            return Err(self.overflow(from_account, amount));
        };
        self.check_available(from_account, amount)?;
        Ok(pending)
    }

    /// The sides and the amount of a pending transfer, and that its id is not open.
    pub(super) fn check_hold(&self, transaction_id: TransactionId, hold: &Hold) -> Result<(), Inconsistent> {
        let Hold { from_account, to_account, amount, expires_at: _ } = *hold;
        let (from, to) = (self.known(from_account)?, self.known(to_account)?);
        if amount <= 0 {
            return Err(Inconsistent::AmountNotPositive { amount });
        }
        let fits = from != to
            && !self.name(from).is_system()
            && !self.name(to).is_system()
            && self.hot(from).asset == self.hot(to).asset;
        if !fits {
            return Err(Inconsistent::PendingSides { transaction_id });
        }
        match self.holds.find(&transaction_id) {
            None => Ok(()),
            Some(_) => Err(Inconsistent::PendingTwice { pending_id: transaction_id }),
        }
    }

    /// What the payee of a posted transfer has afterwards. `event` is a `TransferPosted`.
    pub(super) fn posted_after_post(&self, event: &Event) -> Result<i64, Inconsistent> {
        let Event::TransferPosted {
            transaction_id: _,
            pending_id,
            from_account,
            to_account,
            amount,
            pending_amount,
            asked_amount,
        } = event
        else {
            unreachable!("the one caller has matched the event")
        };
        self.check_release(*pending_id, *from_account, *to_account, *pending_amount)?;
        if *amount <= 0 {
            return Err(Inconsistent::AmountNotPositive { amount: *amount });
        }
        if amount > pending_amount || asked_amount.unwrap_or(*pending_amount) != *amount {
            return Err(Inconsistent::PendingDiffers { pending_id: *pending_id });
        }
        let posted = self.hot(*to_account).posted.checked_add(*amount);
        posted.ok_or_else(|| self.overflow(*to_account, *amount))
    }

    /// Is this pending transfer open, with these sides and this amount?
    pub(super) fn check_release(
        &self,
        pending_id: TransactionId,
        from_account: AccountIndex,
        to_account: AccountIndex,
        amount: i64,
    ) -> Result<(), Inconsistent> {
        self.no_half()?;
        let Some(hold) = self.holds.find(&pending_id) else {
            return Err(Inconsistent::PendingNotOpen { pending_id });
        };
        if (hold.from_account, hold.to_account, hold.amount) == (from_account, to_account, amount) {
            Ok(())
        } else {
            Err(Inconsistent::PendingDiffers { pending_id })
        }
    }

    pub(super) fn check_floor(&self, index: AccountIndex, floor: i64) -> Result<(), Inconsistent> {
        self.no_half()?;
        let account = self.hot(self.known(index)?);
        let name = self.name(index);
        if name.is_world() || floor > 0 {
            return Err(Inconsistent::Floor { account: name.clone(), floor });
        }
        if floor > account.available() {
            let available = account.available();
            return Err(Inconsistent::FloorAbove { account: name.clone(), available, floor });
        }
        Ok(())
    }

    /// What the transaction did whose metadata this may be.
    pub(super) fn check_metadata(&self, transaction_id: TransactionId) -> Result<Did, Inconsistent> {
        self.no_half()?;
        match self.last {
            Some(last) if last.transaction_id == transaction_id => Ok(last.did),
            Some(_) | None => Err(Inconsistent::MetadataAlone { transaction_id }),
        }
    }

    fn check_available(&self, index: AccountIndex, amount: i64) -> Result<(), Inconsistent> {
        let account = self.hot(index);
        let available = account.available();
        if available.checked_sub(amount).is_some_and(|left| left >= account.floor) {
            return Ok(());
        }
        let floor = account.floor;
        Err(Inconsistent::FloorBroken { account: self.name(index).clone(), available, amount, floor })
    }

    /// An opening balance goes from the world account of the asset, old or just opened, to the new account.
    fn check_funding(&self, kind: CommandKind, opening: &Opening<'_>) -> Result<(), Inconsistent> {
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
