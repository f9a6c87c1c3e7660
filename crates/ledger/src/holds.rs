//! Open pending transfers, by id and by deadline.

use alloc::collections::{BTreeMap, BTreeSet};

use time::Timestamp;

use crate::{event::AccountIndex, id::TransactionId};

/// An open pending transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who is to pay.
    pub from_account: AccountIndex,
    /// Who is to be paid.
    pub to_account: AccountIndex,
    /// Minor units that are held.
    pub amount: i64,
    /// When it expires; `None`: it does not.
    pub expires_at: Option<Timestamp>,
}

/// All open pending transfers. Everything costs O(log n); nothing depends on the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    by_id: BTreeMap<TransactionId, Hold>,
    /// Of those that expire.
    deadlines: BTreeSet<(Timestamp, TransactionId)>,
}

impl Holds {
    /// No pending transfers.
    pub fn new() -> Holds {
        Holds::default()
    }

    /// The pending transfer with this id, if it is open.
    pub fn find(&self, id: &TransactionId) -> Option<Hold> {
        self.by_id.get(id).copied()
    }

    /// All of them in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TransactionId, Hold)> + Clone {
        self.by_id.iter().map(|(id, hold)| (*id, *hold))
    }

    /// The deadline that comes first, with the smallest id of those that have it.
    pub fn next_expiry(&self) -> Option<(Timestamp, TransactionId)> {
        self.deadlines.first().copied()
    }

    /// How many are open.
    pub fn len(&self) -> u64 {
        self.by_id.len() as u64
    }

    /// Is none open?
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Opens one whose id is not open.
    ///
    /// # Panics
    /// If it is.
    pub fn open(&mut self, id: TransactionId, hold: Hold) {
        let before = self.by_id.insert(id, hold);
        assert!(before.is_none(), "pending transfer {id} is opened twice");
        if let Some(expires_at) = hold.expires_at {
            self.deadlines.insert((expires_at, id));
        }
    }

    /// Closes one that is open.
    ///
    /// # Panics
    /// If it is not.
    pub fn close(&mut self, id: &TransactionId) -> Hold {
        let Some(hold) = self.by_id.remove(id) else { panic!("pending transfer {id} is not open") };
        if let Some(expires_at) = hold.expires_at {
            self.deadlines.remove(&(expires_at, *id));
        }
        hold
    }
}
