//! The pending transfers that are open.

use ledger::{Event, Hold, Holds, Record, TransactionId};

use crate::advance;

/// Every open pending transfer at a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    checkpoint: u64,
    holds: Holds,
}

impl Pending {
    pub(crate) fn new() -> Pending {
        Pending::default()
    }

    /// These, as of a checkpoint.
    pub(crate) fn restore(
        checkpoint: u64,
        holds: impl IntoIterator<Item = (TransactionId, Hold)>,
    ) -> Pending {
        let mut pending = Pending { checkpoint, holds: Holds::new() };
        holds.into_iter().for_each(|(id, hold)| pending.holds.open(id, hold));
        pending
    }

    /// Every record with a smaller sequence is folded.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The open pending transfers.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Takes the next record in.
    ///
    /// # Panics
    /// If the record is not the next one or contradicts those before it.
    pub fn fold(&mut self, record: &Record<'_>) {
        advance(&mut self.checkpoint, record);
        for event in record.events {
            match event {
                Event::TransferPending { transaction_id, from_account, to_account, amount, expires_at } => {
                    let (from_account, to_account) = (*from_account, *to_account);
                    let hold = Hold { from_account, to_account, amount: *amount, expires_at: *expires_at };
                    self.holds.open(*transaction_id, hold);
                }
                Event::TransferPosted { pending_id, .. }
                | Event::TransferVoided { pending_id, .. }
                | Event::TransferExpired { pending_id, .. } => {
                    self.holds.close(pending_id);
                }
                Event::AccountOpened { .. }
                | Event::MoneyDeducted { .. }
                | Event::MoneyCredited { .. }
                | Event::FloorChanged { .. }
                | Event::MetadataAttached { .. }
                | Event::TransactionFailed(_) => {}
            }
        }
    }

    /// How many elements a clone copies: two for each pending transfer.
    pub(crate) fn clone_cost(&self) -> u64 {
        2 * self.holds.len()
    }
}
