//! What can be read of a pipeline; nothing here changes one, but who listens to its topic.

use broker::{Queue, Topic};
use journal::SealBorder;
use ledger::{Digest, Ledger};
use projection::Projections;

use super::{Pipeline, Stats, count};
use crate::content::LogIdentity;
use crate::read_models::{Elsewhere, ReadModels};
use crate::segments::Room;
use crate::snapshot::DurableView;

impl Pipeline {
    /// The read models: what is durable, and nothing more.
    pub fn projections(&self) -> &Projections {
        &self.read_models
    }

    /// A copy of what is durable, for a [`Snapshot`](crate::Snapshot). Costs O(accounts). `None` if durable records stand
    /// behind the last seal, as in [`Pipeline::durable_border`].
    pub fn durable_view(&self) -> Option<DurableView> {
        DurableView::of(self.identity, self.durable_border.as_ref(), self.durable_digest, &self.read_models)
    }
}

impl Pipeline<Elsewhere> {
    /// The batches that are durable and not handed on yet.
    pub fn elsewhere(&mut self) -> &mut Elsewhere {
        &mut self.read_models
    }
}

impl<R: ReadModels> Pipeline<R> {
    /// The ledger, ahead of what is durable: for invariants and digests of a settled pipeline, not for reads.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The command queue.
    pub fn commands(&self) -> &Queue {
        &self.commands
    }

    /// The event topic: one message for each sealed batch of log bytes, published when it is durable.
    pub fn events(&self) -> &Topic {
        &self.events
    }

    /// The event topic, to subscribe to it and to poll from it.
    pub fn events_mut(&mut self) -> &mut Topic {
        &mut self.events
    }

    /// The fencing token in the records that this pipeline writes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The sequence of the next record to be executed.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Every record with a smaller sequence is durable.
    pub fn durable_before(&self) -> u64 {
        self.durable_before
    }

    /// The digest of the ledger as of the last durable record: what a replay of the durable log gives.
    pub fn durable_digest(&self) -> Digest {
        self.durable_digest
    }

    /// What names the log.
    pub fn identity(&self) -> LogIdentity {
        self.identity
    }

    /// The seal behind the last durable record: its bytes, its time and what it takes to go on from there. `None` if
    /// there is no seal yet, or if the log was recovered with records behind its last seal and nothing was appended since.
    pub fn durable_border(&self) -> Option<&SealBorder> {
        self.durable_border.as_ref()
    }

    /// Whether everything accepted is answered, acknowledged and durable.
    pub fn is_settled(&self) -> bool {
        self.depth() == 0
            && self.stage.is_empty()
            && self.gateway_lookups.is_empty()
            && self.gathering.records.is_empty()
            && self.in_flight.is_empty()
            && self.waiting.is_empty()
    }

    /// Whether commands wait for [`Input::SegmentReady`](crate::Input::SegmentReady) (or `StorageFull`) and nothing else can
    /// set them going.
    pub fn awaits_segment(&self) -> bool {
        !self.stage.is_empty()
            && self.gathering.records.is_empty()
            && self.in_flight.is_empty()
            && self.room() == Room::Later
    }

    /// Whether commands that would make a record are answered `StorageFull` now.
    pub fn is_storage_full(&self) -> bool {
        self.room() == Room::None
    }

    /// What waits where, and the totals.
    pub fn stats(&self) -> Stats {
        Stats {
            staged: count(self.stage.len()),
            gateway_lookups: count(self.gateway_lookups.len()),
            gathered_records: count(self.gathering.records.len()),
            appends_in_flight: count(self.in_flight.len()),
            records_in_flight: self.in_flight.iter().map(|batch| count(batch.records.len())).sum(),
            replies_waiting: count(self.waiting.len()),
            pending_transfers: self.ledger.holds().len(),
            totals: self.totals,
        }
    }
}
