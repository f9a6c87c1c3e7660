//! The reading end of a driver: who takes what is durable, and who knows the ids that were answered.

use journal::SealBorder;
use ledger::{Digest, TransactionId};
use pipeline::{DurableBatch, DurableView, LogIdentity, Lookup, ReadModels};
use projection::Projections;

use super::LogShared;

/// Takes every durable batch of a [`Driver`](super::Driver), and answers its pipeline's look-ups from them.
pub trait ReadEnd {
    /// Takes the next batches, of which at least one was not taken before; the store has so many bytes behind them. What is
    /// told to clients comes after this call returns.
    fn take(&mut self, batches: Vec<DurableBatch>, store_bytes: u64);

    /// Says which of the ids have outcomes, as of the last batch taken or later. What it does not push to `answers` now is
    /// answered later, by [`Driver::answer`](super::Driver::answer).
    fn look_up(&mut self, ids: &[TransactionId], answers: &mut Vec<Lookup>);
}

/// What an opened log gives to the reading end of its driver.
pub struct ReadBegin<M = Projections> {
    /// The read models as of the log's end.
    pub models: M,
    /// The durable log; the reading end moves it on.
    pub log: LogShared,
    /// What names it.
    pub identity: LogIdentity,
    /// The seal that it ends in; `None` if it is empty.
    pub border: Option<SealBorder>,
    /// Of the ledger as of the log's end.
    pub digest: Digest,
}

/// Read models on the driver's own thread: what [`Driver::wait`](super::Driver::wait) and
/// [`Driver::poll`](super::Driver::poll) took in can be read at once.
pub struct OwnReads {
    begin: ReadBegin,
}

impl OwnReads {
    pub(super) fn new(begin: ReadBegin) -> OwnReads {
        OwnReads { begin }
    }

    /// The read models: what is durable, and nothing more.
    #[must_use]
    pub fn projections(&self) -> &Projections {
        &self.begin.models
    }

    /// The durable log.
    #[must_use]
    pub fn log(&self) -> &LogShared {
        &self.begin.log
    }

    #[cfg(test)]
    pub(crate) fn begun_again(&self) -> ReadBegin {
        let ReadBegin { models, log, identity, border, digest } = &self.begin;
        ReadBegin {
            models: models.clone(),
            log: log.clone(),
            identity: *identity,
            border: *border,
            digest: *digest,
        }
    }

    /// A copy of what is durable, to be made a [`pipeline::Snapshot`] of. Costs O(accounts).
    ///
    /// # Panics
    /// Never: the log of a driver ends in a seal.
    #[must_use]
    pub fn durable_view(&self) -> DurableView {
        self.begin.durable_view()
    }
}

impl ReadBegin {
    /// Folds batches and lets the readers of the log see them.
    pub(crate) fn fold(&mut self, batches: impl IntoIterator<Item = DurableBatch>, store_bytes: u64) {
        for batch in batches {
            self.border = Some(batch.border);
            self.digest = batch.digest;
            self.models.publish(batch);
        }
        if let Some(border) = &self.border {
            self.log.publish(border, store_bytes, self.models.balances.names());
        }
    }

    /// Whether the id has an outcome.
    pub(crate) fn find(&self, transaction_id: TransactionId) -> Lookup {
        match self.models.transactions.found(&transaction_id) {
            Some(found) => Lookup::TransactionFound { transaction_id, found },
            None => Lookup::TransactionAbsent { transaction_id },
        }
    }

    pub(crate) fn durable_view(&self) -> DurableView {
        DurableView::of(self.identity, self.border.as_ref(), self.digest, &self.models)
            .expect("the log ended in a seal when it was opened, as every append does")
    }
}

impl ReadEnd for OwnReads {
    fn take(&mut self, batches: Vec<DurableBatch>, store_bytes: u64) {
        self.begin.fold(batches, store_bytes);
    }

    fn look_up(&mut self, ids: &[TransactionId], answers: &mut Vec<Lookup>) {
        answers.extend(ids.iter().map(|id| self.begin.find(*id)));
    }
}
