//! A snapshot in the making: as of one moment, while the ledger goes on.

use std::collections::HashMap;

use ledger::{AccountIndex, AccountView, Event, Hold, Ledger, TransactionId};
use pipeline::SnapshotWriter;

/// Writes the state that a ledger has now, a slice at a time. Whoever changes the ledger meanwhile says so first
/// ([`Take::before`]), and the accounts that were not written yet are kept as they were: copy on write. It costs the ledger's
/// thread some 50 ns an account, in slices of its own choosing, and never a pause for all of them.
pub(crate) struct Take {
    sequence: u64,
    writer: SnapshotWriter,
    next: u32,
    accounts_count: u32,
    /// Accounts from `next` on that have changed since: floor, balance and what is held of it before that.
    before: HashMap<u32, (i64, i64, i64)>,
    holds: Vec<(TransactionId, Hold)>,
}

/// What came of a slice.
pub(crate) enum Slice {
    /// More follows.
    Piece(Box<Take>, Vec<u8>),
    /// The end of the snapshot.
    Last(Vec<u8>),
}

impl Take {
    /// Goes on behind what `writer` has begun, with the ledger as it stands now.
    pub(crate) fn new(sequence: u64, writer: SnapshotWriter, ledger: &Ledger) -> Take {
        Take {
            sequence,
            writer,
            next: 0,
            accounts_count: ledger.accounts_count(),
            before: HashMap::new(),
            holds: ledger.holds().iter().collect(),
        }
    }

    /// Every record with a smaller sequence is in it, and no other.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The ledger is about to apply these events.
    pub(crate) fn before(&mut self, ledger: &Ledger, events: &[Event]) {
        for event in events {
            for account in accounts_of(event).into_iter().flatten() {
                if (self.next..self.accounts_count).contains(&account.0) {
                    self.before.entry(account.0).or_insert_with(|| {
                        let AccountView { floor, posted, pending, .. } = ledger.account(account);
                        (floor, posted, pending)
                    });
                }
            }
        }
    }

    /// Writes the next accounts, at most so many, or the end.
    pub(crate) fn slice(mut self: Box<Self>, ledger: &Ledger, accounts_max: u32) -> Slice {
        let mut piece = Vec::new();
        let end = self.accounts_count.min(self.next.saturating_add(accounts_max));
        let before = &mut self.before;
        let views = (self.next..end).map(|index| {
            let view = ledger.account(AccountIndex(index));
            match before.remove(&index) {
                Some((floor, posted, pending)) => AccountView { floor, posted, pending, ..view },
                None => view,
            }
        });
        self.writer.accounts(views, &mut piece);
        self.next = end;
        if end < self.accounts_count {
            return Slice::Piece(self, piece);
        }
        let Take { writer, holds, .. } = *self;
        writer.finish(holds.into_iter(), &mut piece);
        Slice::Last(piece)
    }
}

/// The accounts that an event changes. A new one is in no snapshot that was begun before.
fn accounts_of(event: &Event) -> [Option<AccountIndex>; 2] {
    match event {
        Event::MoneyDeducted { account, .. }
        | Event::MoneyCredited { account, .. }
        | Event::FloorChanged { account, .. } => [Some(*account), None],
        Event::TransferPending { from_account, to_account, .. }
        | Event::TransferPosted { from_account, to_account, .. }
        | Event::TransferVoided { from_account, to_account, .. }
        | Event::TransferExpired { from_account, to_account, .. } => [Some(*from_account), Some(*to_account)],
        Event::AccountOpened { .. } | Event::MetadataAttached { .. } | Event::TransactionFailed(_) => {
            [None, None]
        }
    }
}
