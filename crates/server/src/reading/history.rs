//! What happened, with bounded memory: windows of the newest records, runs on disk of all older ones. The records
//! themselves stand in the log, and are read from there.

use std::collections::VecDeque;
use std::sync::Arc;

use ledger::{AccountIndex, Event, Ledger, Record, TransactionBody, TransactionId};

use super::keeper::{Keeper, Kept};
use super::window::{Place, Window};
use crate::runs::{EntryAt, RunDamaged};

/// Ids in a window of a server.
pub(crate) const WINDOW_IDS: usize = 131_072;
/// Full windows that may wait for the disk. With more, nothing more is folded until one is written or cannot be.
const FULL_WINDOWS_MAX: usize = 4;

/// A window that nothing is added to any more.
pub(crate) struct FullWindow {
    pub(crate) window: Window,
    /// Behind its last record.
    pub(crate) end: Place,
}

/// The way from ids and accounts to the bytes of their records.
pub(crate) struct History {
    hash_seed: u64,
    /// Ids in a window, about: it is full at the end of the record that reaches this.
    window_ids: usize,
    current: Window,
    /// Those that are being written to runs, the oldest first.
    full: VecDeque<Arc<FullWindow>>,
    keeper: Keeper,
    /// Of the record at hand.
    entries: Vec<RecordEntry>,
}

/// One entry that a record makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordEntry {
    /// Whose.
    pub(crate) account: AccountIndex,
    /// The other side.
    pub(crate) counterparty: AccountIndex,
    /// Minor units; more than 0 if money came, less than 0 if it went.
    pub(crate) amount: i64,
    /// The number of the transaction in its record.
    pub(crate) transaction: usize,
}

impl History {
    /// Goes on behind what is in runs.
    pub(crate) fn new(hash_seed: u64, window_ids: usize, keeper: Keeper) -> History {
        let current = Window::new(hash_seed, keeper.kept().covered());
        History { hash_seed, window_ids, current, full: VecDeque::new(), keeper, entries: Vec::new() }
    }

    /// What is in runs.
    pub(crate) fn kept(&self) -> &Arc<Kept> {
        self.keeper.kept()
    }

    /// Whether the window is full, and there is something to be handed to runs.
    pub(crate) fn is_window_full(&self) -> bool {
        self.current.ids_count() >= self.window_ids
    }

    /// Takes the next record in, which the ledger has applied. Its frame begins at this byte of the log.
    pub(crate) fn push(&mut self, ledger: &Ledger, record: &Record<'_>, at_byte: u64) {
        for transaction in record.transactions() {
            let transaction = transaction.expect("a record that was applied is one of the ledger's");
            self.current.push_id(transaction.transaction_id, at_byte);
            if let Some(pending_id) = transaction.settled_id() {
                self.current.push_id(settlement_id(&pending_id), at_byte);
            }
        }
        // So that it can be told when an account was opened: it had 0 from then on.
        for event in record.events {
            if let Event::AccountOpened { account, .. } = event
                && let Some(index) = ledger.find(account)
            {
                self.current.push_entry(index, EntryAt { at_byte, balance_after: 0 });
            }
        }
        let mut entries = std::mem::take(&mut self.entries);
        entries_of(record, &mut entries);
        if let [one, other] = entries[..] {
            // The two sides of a transfer are different accounts.
            self.push_entry(ledger, one, 0, at_byte);
            self.push_entry(ledger, other, 0, at_byte);
        } else {
            // The ledger stands behind the record: after an earlier entry, an account had what later ones changed less.
            for (number, entry) in entries.iter().enumerate() {
                let later = entries[number + 1..].iter().filter(|later| later.account == entry.account);
                let changed_later = later.map(|later| later.amount).sum();
                self.push_entry(ledger, *entry, changed_later, at_byte);
            }
        }
        self.entries = entries;
    }

    fn push_entry(&mut self, ledger: &Ledger, entry: RecordEntry, changed_later: i64, at_byte: u64) {
        let balance_after = ledger.account(entry.account).posted - changed_later;
        self.current.push_entry(entry.account, EntryAt { at_byte, balance_after });
    }

    /// Hands what was taken in so far to runs, and begins a new window at this place. Waits for the disk if too much waits
    /// for it already; while the disk is in trouble, nothing is handed on and the window goes on growing, which is false.
    pub(crate) fn rotate(&mut self, end: Place) -> bool {
        while self.full.len() >= FULL_WINDOWS_MAX {
            if !self.keeper.wait_for_one() {
                return false;
            }
            self.settle();
        }
        let window = std::mem::replace(&mut self.current, Window::new(self.hash_seed, end));
        let full = Arc::new(FullWindow { window, end });
        self.keeper.write(Arc::clone(&full));
        self.full.push_back(full);
        true
    }

    /// The thread that writes what is derived.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Lets go of windows that stand in runs.
    pub(crate) fn settle(&mut self) {
        let covered = self.keeper.kept().covered();
        while self.full.front().is_some_and(|full| full.end.sequence <= covered.sequence) {
            self.full.pop_front();
        }
    }

    /// The bytes of all records that may have this id.
    pub(crate) fn find(&self, id: &TransactionId) -> Result<Vec<u64>, RunDamaged> {
        // A window may stand in runs already, before it is let go.
        let mut found = self.keeper.kept().ids.find(id)?;
        found.extend(self.windows().flat_map(|window| window.find(id)));
        Ok(found)
    }

    /// About `limit` entries of an account, the newest first, of records before this byte of the log; fewer only if there are
    /// no more.
    pub(crate) fn entries_before(
        &self,
        account: AccountIndex,
        before_byte: u64,
        limit: usize,
    ) -> Result<Vec<EntryAt>, RunDamaged> {
        let mut found: Vec<EntryAt> = self
            .windows()
            .flat_map(|window| window.entries_of(account))
            .filter(|entry| entry.at_byte < before_byte)
            .take(limit)
            .collect();
        // A window may stand in runs already, before it is let go.
        let oldest = self.windows().last().map_or(u64::MAX, |window| window.begin().byte);
        if found.len() < limit {
            let before = before_byte.min(oldest);
            let missing = u32::try_from(limit - found.len()).unwrap_or(u32::MAX);
            found.extend(self.keeper.kept().entries.older_than(account.0, before, missing)?);
        }
        Ok(found)
    }

    /// The balance of an account after its last entry before this byte of the log; `None` if it had none, not even its
    /// opening.
    pub(crate) fn balance_before(
        &self,
        account: AccountIndex,
        before_byte: u64,
    ) -> Result<Option<i64>, RunDamaged> {
        let in_windows = self
            .windows()
            .flat_map(|window| window.entries_of(account))
            .find(|entry| entry.at_byte < before_byte);
        match in_windows {
            Some(entry) => Ok(Some(entry.balance_after)),
            None => self.keeper.kept().entries.balance_at(account.0, before_byte),
        }
    }

    /// All windows, the newest first.
    fn windows(&self) -> impl Iterator<Item = &Window> {
        std::iter::once(&self.current).chain(self.full.iter().rev().map(|full| &full.window))
    }

    /// All ids that stand in no run yet.
    pub(crate) fn ids_in_windows(&self) -> impl Iterator<Item = &TransactionId> {
        let full = self.full.iter().map(|full| &full.window);
        full.chain(std::iter::once(&self.current)).flat_map(|window| window.ids().iter().map(|(id, _)| id))
    }
}

/// The id under which the settlement of a pending transfer is found; no client's command has it but by a BLAKE3 collision.
pub(crate) fn settlement_id(pending_id: &TransactionId) -> TransactionId {
    TransactionId::derived("settlement", &[&pending_id.as_bytes()])
}

/// The entries that a record makes, in order: two for each transfer that moved money.
pub(crate) fn entries_of(record: &Record<'_>, entries: &mut Vec<RecordEntry>) {
    entries.clear();
    for (number, transaction) in record.transactions().enumerate() {
        let transaction = transaction.expect("a record that was applied is one of the ledger's");
        let (from, to, amount) = match transaction.body {
            TransactionBody::Opened(opening) => match opening.funding {
                Some(funding) => (funding.from_account, funding.to_account, funding.amount),
                None => continue,
            },
            TransactionBody::Moved { from_account, to_account, amount }
            | TransactionBody::Posted { from_account, to_account, amount, .. } => {
                (from_account, to_account, amount)
            }
            TransactionBody::Pending { .. }
            | TransactionBody::Voided(_)
            | TransactionBody::Expired(_)
            | TransactionBody::FloorSet { .. }
            | TransactionBody::Failed(_) => continue,
        };
        let transaction = number;
        entries.push(RecordEntry { account: from, counterparty: to, amount: -amount, transaction });
        entries.push(RecordEntry { account: to, counterparty: from, amount, transaction });
    }
}
