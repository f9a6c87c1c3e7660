//! What `execute` decides: what a command does, or the first reason against it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use time::Timestamp;

use crate::{
    command::{Command, Reason},
    event::{AccountIndex, Event},
    holds::Hold,
    id::TransactionId,
    linked::LinkedTransfers,
    names::{AccountName, Asset, SCALE_MAX},
};

use super::Ledger;

/// What a command that is not refused does.
#[derive(Clone, Copy)]
enum Effect {
    Move { from: AccountIndex, to: AccountIndex, amount: i64 },
    Hold(Hold),
    Post { pending_id: TransactionId, hold: Hold, amount: i64, asked_amount: Option<i64> },
    Void { pending_id: TransactionId, hold: Hold },
    SetFloor { account: AccountIndex, floor: i64 },
}

/// The ledger as a command sees it: with what the members of its group before it do.
struct View<'a> {
    ledger: &'a Ledger,
    changes: &'a Changes,
}

/// What the members of a group did so far; empty for every other command, and then it costs nothing.
#[derive(Default)]
struct Changes {
    /// What accounts have and what is held of it.
    balances: BTreeMap<AccountIndex, Balance>,
    /// Pending transfers that were opened, and those that were closed (`None`).
    holds: BTreeMap<TransactionId, Option<Hold>>,
}

#[derive(Clone, Copy)]
struct Balance {
    posted: i64,
    pending: i64,
}

impl Ledger {
    pub(super) fn decide(&self, now: Timestamp, command: &Command, events: &mut Vec<Event>) {
        let decided = match command {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                self.decide_opening(account, asset, *scale, *floor, *opening_balance).map(|floor| {
                    let id = command.transaction_id();
                    self.push_opening(id, account, asset, *scale, floor, *opening_balance, events);
                })
            }
            Command::Linked { transfers } => {
                self.decide_linked(now, transfers, events);
                Ok(())
            }
            Command::Transfer { .. }
            | Command::Deposit { .. }
            | Command::Withdrawal { .. }
            | Command::PendingTransfer { .. }
            | Command::PostTransfer { .. }
            | Command::VoidTransfer { .. }
            | Command::SetFloor { .. } => View { ledger: self, changes: &Changes::default() }
                .decide(now, command)
                .map(|effect| push_effect(command, &effect, events)),
        };
        if let Err(reason) = decided {
            push_refusal(command, reason, events);
        }
    }

    /// All members complete, or all are refused because of the first that has a reason.
    fn decide_linked(&self, now: Timestamp, transfers: &LinkedTransfers, events: &mut Vec<Event>) {
        let start = events.len();
        let mut changes = Changes::default();
        for (number, member) in transfers.members().iter().enumerate() {
            match (View { ledger: self, changes: &changes }).decide(now, member) {
                Ok(effect) => {
                    push_effect(member, &effect, events);
                    changes.take(self, member.transaction_id(), &effect);
                }
                Err(culprit) => {
                    events.truncate(start);
                    for (other, member) in transfers.members().iter().enumerate() {
                        let reason = if other == number { culprit } else { Reason::LinkedFailed };
                        push_refusal(member, reason, events);
                    }
                    return;
                }
            }
        }
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
        if account.is_world() || (account.is_system() && floor.is_none()) {
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

impl Changes {
    /// Takes in what a member does; it was decided, so nothing overflows.
    fn take(&mut self, ledger: &Ledger, transaction_id: TransactionId, effect: &Effect) {
        match *effect {
            Effect::Move { from, to, amount } => {
                self.balance(ledger, from).posted -= amount;
                self.balance(ledger, to).posted += amount;
            }
            Effect::Hold(hold) => {
                self.balance(ledger, hold.from_account).pending += hold.amount;
                self.holds.insert(transaction_id, Some(hold));
            }
            Effect::Post { pending_id, hold, amount, .. } => {
                let payer = self.balance(ledger, hold.from_account);
                payer.pending -= hold.amount;
                payer.posted -= amount;
                self.balance(ledger, hold.to_account).posted += amount;
                self.holds.insert(pending_id, None);
            }
            Effect::Void { pending_id, hold } => {
                self.balance(ledger, hold.from_account).pending -= hold.amount;
                self.holds.insert(pending_id, None);
            }
            Effect::SetFloor { .. } => unreachable!("a floor is not set in a group"),
        }
    }

    fn balance(&mut self, ledger: &Ledger, index: AccountIndex) -> &mut Balance {
        let account = ledger.hot(index);
        let before = Balance { posted: account.posted, pending: account.pending };
        self.balances.entry(index).or_insert(before)
    }
}

impl View<'_> {
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Effect, Reason> {
        match command {
            Command::Transfer { from_account, to_account, amount, .. } => {
                let (from, to) = self.decide_sides(from_account, to_account, *amount, None)?;
                self.decide_amount(from, to, *amount)
            }
            Command::Deposit { account, amount, .. } => {
                let name = client(account, *amount)?;
                let to = self.ledger.find(name).ok_or(Reason::UnknownToAccount)?;
                self.decide_amount(self.ledger.world_of(to), to, *amount)
            }
            Command::Withdrawal { account, amount, .. } => {
                let name = client(account, *amount)?;
                let from = self.ledger.find(name).ok_or(Reason::UnknownFromAccount)?;
                self.decide_amount(from, self.ledger.world_of(from), *amount)
            }
            Command::PendingTransfer { from_account, to_account, amount, expires_at, .. } => {
                let late = expires_at.filter(|expires_at| *expires_at <= now);
                let (from_account, to_account) =
                    self.decide_sides(from_account, to_account, *amount, late)?;
                self.decide_hold(Hold { from_account, to_account, amount: *amount, expires_at: *expires_at })
            }
            Command::PostTransfer { pending_id, amount, .. } => self.decide_post(*pending_id, *amount),
            Command::VoidTransfer { pending_id, .. } => {
                let hold = self.hold(pending_id).ok_or(Reason::PendingNotOpen)?;
                Ok(Effect::Void { pending_id: *pending_id, hold })
            }
            Command::SetFloor { account, floor, .. } => self.decide_floor(account, *floor),
            Command::OpenAccount { .. } | Command::Linked { .. } => {
                unreachable!("openings and groups are decided before")
            }
        }
    }

    /// Who pays whom; `late` is a deadline that passed.
    fn decide_sides(
        &self,
        from_name: &AccountName,
        to_name: &AccountName,
        amount: i64,
        late: Option<Timestamp>,
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
        if late.is_some() {
            return Err(Reason::DeadlinePassed);
        }
        let from = self.ledger.find(from_name).ok_or(Reason::UnknownFromAccount)?;
        let to = self.ledger.find(to_name).ok_or(Reason::UnknownToAccount)?;
        if self.ledger.hot(from).asset != self.ledger.hot(to).asset {
            return Err(Reason::AssetMismatch);
        }
        Ok((from, to))
    }

    /// The reasons that need the balances.
    fn decide_amount(&self, from: AccountIndex, to: AccountIndex, amount: i64) -> Result<Effect, Reason> {
        let (payer, payee) = (self.balance(from), self.balance(to));
        if payer.posted.checked_sub(amount).is_none() || payee.posted.checked_add(amount).is_none() {
            return Err(Reason::Overflow);
        }
        if !payer.affords(amount, self.ledger.hot(from).floor) {
            return Err(Reason::InsufficientFunds);
        }
        Ok(Effect::Move { from, to, amount })
    }

    /// As for the transfer that it may become, and what is held of the payer stays in range too.
    fn decide_hold(&self, hold: Hold) -> Result<Effect, Reason> {
        let Hold { from_account, to_account, amount, .. } = hold;
        let (payer, payee) = (self.balance(from_account), self.balance(to_account));
        let out_of_range = payer.posted.checked_sub(amount).is_none()
            || payer.pending.checked_add(amount).is_none()
            || payee.posted.checked_add(amount).is_none();
        if out_of_range {
            return Err(Reason::Overflow);
        }
        if !payer.affords(amount, self.ledger.hot(from_account).floor) {
            return Err(Reason::InsufficientFunds);
        }
        Ok(Effect::Hold(hold))
    }

    fn decide_post(&self, pending_id: TransactionId, asked_amount: Option<i64>) -> Result<Effect, Reason> {
        if asked_amount.is_some_and(|amount| amount <= 0) {
            return Err(Reason::AmountNotPositive);
        }
        let hold = self.hold(&pending_id).ok_or(Reason::PendingNotOpen)?;
        let amount = asked_amount.unwrap_or(hold.amount);
        if amount > hold.amount {
            return Err(Reason::AmountExceedsPending);
        }
        // The payer cannot overflow: what is held of it is available above its floor.
        if self.balance(hold.to_account).posted.checked_add(amount).is_none() {
            return Err(Reason::Overflow);
        }
        Ok(Effect::Post { pending_id, hold, amount, asked_amount })
    }

    fn decide_floor(&self, name: &AccountName, floor: i64) -> Result<Effect, Reason> {
        if name.is_world() {
            return Err(Reason::ReservedAccount);
        }
        let account = self.ledger.find(name).ok_or(Reason::UnknownToAccount)?;
        if floor > 0 || floor > self.ledger.hot(account).available() {
            return Err(Reason::FloorAboveBalance);
        }
        Ok(Effect::SetFloor { account, floor })
    }

    fn balance(&self, index: AccountIndex) -> Balance {
        let account = self.ledger.hot(index);
        let now = Balance { posted: account.posted, pending: account.pending };
        self.changes.balances.get(&index).copied().unwrap_or(now)
    }

    fn hold(&self, id: &TransactionId) -> Option<Hold> {
        self.changes.holds.get(id).copied().unwrap_or_else(|| self.ledger.holds.find(id))
    }
}

impl Balance {
    /// Can this amount go without breaking the floor or what is held?
    fn affords(self, amount: i64, floor: i64) -> bool {
        let available = self.posted - self.pending;
        available.checked_sub(amount).is_some_and(|left| left >= floor)
    }
}

/// The name of a client account, and an amount that can move.
fn client(name: &AccountName, amount: i64) -> Result<&AccountName, Reason> {
    if amount <= 0 {
        return Err(Reason::AmountNotPositive);
    }
    if name.is_system() {
        return Err(Reason::ReservedAccount);
    }
    Ok(name)
}

fn push_effect(command: &Command, effect: &Effect, events: &mut Vec<Event>) {
    let transaction_id = command.transaction_id();
    match *effect {
        Effect::Move { from, to, amount } => push_transfer(transaction_id, from, to, amount, events),
        Effect::Hold(Hold { from_account, to_account, amount, expires_at }) => {
            events.push(Event::TransferPending {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at,
            });
        }
        Effect::Post { pending_id, hold, amount, asked_amount } => events.push(Event::TransferPosted {
            transaction_id,
            pending_id,
            from_account: hold.from_account,
            to_account: hold.to_account,
            amount,
            pending_amount: hold.amount,
            asked_amount,
        }),
        Effect::Void { pending_id, hold: Hold { from_account, to_account, amount, .. } } => {
            events.push(Event::TransferVoided {
                transaction_id,
                pending_id,
                from_account,
                to_account,
                amount,
            });
        }
        Effect::SetFloor { account, floor } => {
            events.push(Event::FloorChanged { transaction_id, account, floor });
        }
    }
    if let Some(metadata) = command.metadata() {
        events.push(Event::MetadataAttached { transaction_id, metadata: metadata.clone() });
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

#[cold]
fn push_refusal(command: &Command, reason: Reason, events: &mut Vec<Event>) {
    events.push(Event::TransactionFailed(Box::new(command.refused(reason))));
}
