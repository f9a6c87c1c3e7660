//! Where durable records go: the seam between the one writer and whoever reads.

use alloc::vec::Vec;
use bytes::Bytes;
use journal::SealBorder;
use ledger::{CommandKind, Digest, Event, Ledger, Record, TransactionId};
use projection::Projections;
use time::Timestamp;

/// The read models at the end of a [`Pipeline`](crate::Pipeline): its own [`Projections`], or [`Elsewhere`].
pub trait ReadModels {
    /// Takes the next batch, which is durable now.
    fn publish(&mut self, batch: DurableBatch);
}

/// What a recovery folds the records of a log into, one by one, after each was checked and applied.
pub trait Fold {
    /// The record that has this transaction id already; no second one may have it.
    fn sequence_of(&self, id: &TransactionId) -> Option<u64>;

    /// Takes the next record, behind which the ledger stands; its frame begins at this byte of the log's binary form.
    fn fold(&mut self, ledger: &Ledger, record: &Record<'_>, at_byte: u64);
}

/// The records of one append, durable and in order, with what it takes to go on behind them.
#[derive(Clone, Debug)]
pub struct DurableBatch {
    /// The append's bytes as they stand in the log, from a header or the first record to the seal.
    pub bytes: Bytes,
    /// Behind the batch's seal.
    pub border: SealBorder,
    /// Of the ledger as of the batch's last record.
    pub digest: Digest,
    pub(crate) first_sequence: u64,
    pub(crate) generation: u64,
    pub(crate) records: Vec<Executed>,
    pub(crate) events: Vec<Event>,
}

/// A record of a batch, beside its events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Executed {
    pub(crate) recorded_at: Timestamp,
    pub(crate) kind: CommandKind,
    /// Where its events end among those of the batch.
    pub(crate) events_end: usize,
    /// Where its frame begins in the batch's bytes.
    pub(crate) at: usize,
}

impl DurableBatch {
    /// Every record, with the byte of the log at which its frame begins.
    pub fn records(&self) -> impl Iterator<Item = (Record<'_>, u64)> {
        let begins_at = self.border.bytes - self.bytes.len() as u64;
        let mut events_start = 0;
        (self.first_sequence..).zip(&self.records).map(move |(sequence, executed)| {
            let record = Record {
                sequence,
                recorded_at: executed.recorded_at,
                generation: self.generation,
                kind: executed.kind,
                events: &self.events[events_start..executed.events_end],
            };
            events_start = executed.events_end;
            (record, begins_at + executed.at as u64)
        })
    }

    /// How many records there are.
    pub fn records_count(&self) -> u32 {
        u32::try_from(self.records.len()).expect("an append holds at most append_records_max records")
    }
}

impl ReadModels for Projections {
    fn publish(&mut self, batch: DurableBatch) {
        for (record, _) in batch.records() {
            Projections::fold(self, &record);
        }
    }
}

impl Fold for Projections {
    fn sequence_of(&self, id: &TransactionId) -> Option<u64> {
        self.transactions.found(id).map(|found| found.sequence)
    }

    fn fold(&mut self, _ledger: &Ledger, record: &Record<'_>, _at_byte: u64) {
        Projections::fold(self, record);
    }
}

/// Read models that somebody else keeps: batches wait here for the driver to hand them on. Look-ups are answered from
/// there too, so they must cover every record below the last [`Input::Appended`](crate::Input::Appended).
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    durable: Vec<DurableBatch>,
}

impl Elsewhere {
    /// The batches that became durable since the last call, in order.
    pub fn take(&mut self) -> impl Iterator<Item = DurableBatch> {
        self.durable.drain(..)
    }
}

impl ReadModels for Elsewhere {
    fn publish(&mut self, batch: DurableBatch) {
        self.durable.push(batch);
    }
}
